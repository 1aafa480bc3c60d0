//! What is known of one flow.

use std::net::SocketAddr;

use super::{ConnState, History, Key, Path, TimerId};
use crate::port::Packet;
use crate::tcp::{Details, Endpoint, Rexmit, RexmitKind};
use crate::wire::Segment;
use crate::{AnomalyCounts, Nanos, Side};

/// Which flow: its place in the table and its number. A freed flow's id never names a later flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    pub(super) place: u32,
    /// The flow's number: flows are counted from 0 in the order in which they were opened.
    pub number: u64,
}

/// The part of a flow that every packet touches: two cache lines.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub struct Flow {
    /// Client and server.
    pub ends: [Endpoint; 2],
    /// Payload bytes on the wire by the side that sent them, repeated bytes counted again.
    pub bytes: [u64; 2],
    /// Packets by the side that sent them.
    pub packets: [u64; 2],
    /// The tuple.
    pub key: Key,
    /// When its last packet came.
    pub last: Nanos,
    /// Which program decides its events: what the monitoring sockets that watch it want.
    pub program: u32,
    /// What else every packet asks.
    pub flags: FlowFlags,
    /// Why it ended, once it has.
    pub reason: Option<EndReason>,
}

const _: () = assert!(size_of::<Flow>() == 128);

/// Bits of a [`Flow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowFlags(u8);

impl FlowFlags {
    /// The record is in use.
    pub const LIVE: FlowFlags = FlowFlags(1 << 0);
    /// The client is the higher end of the key.
    pub const CLIENT_IS_HIGH: FlowFlags = FlowFlags(1 << 1);
    /// Its first packet was not a SYN.
    pub const MIDSTREAM: FlowFlags = FlowFlags(1 << 2);
    /// SYN, SYN/ACK and the acknowledgement of the latter were seen.
    pub const HANDSHAKE: FlowFlags = FlowFlags(1 << 3);
    /// Both ends were established at some time.
    pub const SETUP: FlowFlags = FlowFlags(1 << 4);
    /// A timer looks after its missing bytes.
    pub const GAP_TIMER: FlowFlags = FlowFlags(1 << 5);
    /// Inline, nothing of it passes any more.
    pub const CUT: FlowFlags = FlowFlags(1 << 6);

    /// Its packets are changed on their way: there is a translation.
    pub const TRANSLATED: FlowFlags = FlowFlags(1 << 7);

    /// Whether any of these bits is set.
    #[inline]
    pub fn any(self, bits: FlowFlags) -> bool {
        self.0 & bits.0 != 0
    }

    /// Sets these bits.
    #[inline]
    pub fn set(&mut self, bits: FlowFlags) {
        self.0 |= bits.0;
    }

    /// Clears these bits.
    #[inline]
    pub fn clear(&mut self, bits: FlowFlags) {
        self.0 &= !bits.0;
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// Both ends closed.
    Closed,
    /// A RST was accepted, or the tuple was taken over by a new connection.
    Reset,
    /// No packet came for as long as its state allows.
    Timeout,
    /// It had to make room.
    Evicted,
    /// The application stopped it.
    Stopped,
    /// The input ended.
    End,
}

impl EndReason {
    /// Every reason, in the order of its number.
    pub const ALL: [EndReason; 6] = [
        EndReason::Closed,
        EndReason::Reset,
        EndReason::Timeout,
        EndReason::Evicted,
        EndReason::Stopped,
        EndReason::End,
    ];

    /// Whether the flow still takes in late packets of its own.
    pub fn lingers(self) -> bool {
        matches!(self, EndReason::Closed | EndReason::Reset)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Closed => "closed",
            EndReason::Reset => "reset",
            EndReason::Timeout => "timeout",
            EndReason::Evicted => "evicted",
            EndReason::Stopped => "stopped",
            EndReason::End => "end",
        }
    }
}

/// Retransmitted segments of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rexmits {
    kinds: [u32; RexmitKind::ALL.len()],
    /// Of the FINs, those whose segment repeats data, too.
    with_data: u32,
}

impl Rexmits {
    /// How many of this kind. A segment that repeats both data and its FIN is of both kinds.
    pub fn count(&self, kind: RexmitKind) -> u32 {
        let with_data = if kind == RexmitKind::Data { self.with_data } else { 0 };
        self.kinds[kind as usize].saturating_add(with_data)
    }

    /// How many segments of all kinds.
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|count| u64::from(*count)).sum()
    }

    /// One more.
    pub fn note(&mut self, rexmit: &Rexmit) {
        let count = &mut self.kinds[rexmit.kind as usize];
        *count = count.saturating_add(1);
        if rexmit.kind == RexmitKind::Fin && rexmit.repeated > 0 {
            self.with_data = self.with_data.saturating_add(1);
        }
    }
}

/// What only a flow with irregularities needs.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Retransmissions by the side that sent them.
    pub rexmits: [Rexmits; 2],
    /// Keep-alives by the side that sent them (RFC 9293, section 3.8.4).
    pub keep_alives: [u32; 2],
    /// Zero-window probes by the side that sent them (RFC 9293, section 3.8.6.1).
    pub window_probes: [u32; 2],
    /// Segments that came before others that precede them, by the side that sent them.
    pub out_of_order: [u32; 2],
    /// How often each anomaly occurred.
    pub anomalies: AnomalyCounts,
    /// A SYN that came into the live flow: what the next SYN/ACK is checked against.
    pub challenger: Option<Box<Challenger>>,
}

/// A SYN inside a live flow, which may be the first of a connection that reuses the tuple.
#[derive(Clone, Debug)]
pub struct Challenger {
    /// Who sent it.
    pub side: Side,
    /// Its record.
    pub packet: Packet,
    /// Where its parts are.
    pub segment: Segment,
    /// Its frame up to the TCP payload.
    pub frame: Box<[u8]>,
}

/// The rest of what is known of a flow.
pub struct FlowExtra<U> {
    /// The flow's number.
    pub number: u64,
    /// When its first packet came.
    pub start: Nanos,
    /// What few packets ask of client and server.
    pub details: [Details; 2],
    /// Irregularities, if there were any.
    pub trouble: Option<Box<Trouble>>,
    /// What it went through, in Zeek's notation.
    pub history: History,
    /// The tunnels that it comes through, if there are any.
    pub path: Option<Path>,
    /// What the application keeps with the flow.
    pub user: Option<U>,
    /// The timers that the application set for it.
    pub(crate) timers: Vec<u32>,
    /// The timer that looks after it when it is idle; none once it has ended.
    pub(crate) timer: Option<TimerId>,
    /// Its place in the order of ended flows.
    pub(crate) ended: u64,
}

impl<U> Default for FlowExtra<U> {
    fn default() -> FlowExtra<U> {
        FlowExtra {
            number: u64::MAX,
            start: 0,
            details: Default::default(),
            trouble: None,
            history: History::default(),
            path: None,
            user: None,
            timers: Vec::new(),
            timer: None,
            ended: 0,
        }
    }
}

impl Flow {
    /// The address and port of one side.
    pub fn address(&self, side: Side) -> SocketAddr {
        if (side == Side::Client) == self.flags.any(FlowFlags::CLIENT_IS_HIGH) {
            self.key.high()
        } else {
            self.key.low()
        }
    }

    /// How the connection with this history stands.
    pub fn conn_state(&self, history: &History) -> ConnState {
        history.state(self.bytes != [0; 2])
    }

    /// Who sent a packet that went from the key's lower end to the higher one, or the other way.
    #[inline]
    pub fn sender(&self, forward: bool) -> Side {
        if forward == self.flags.any(FlowFlags::CLIENT_IS_HIGH) { Side::Server } else { Side::Client }
    }

    /// Whether the record is in use, by a flow whose end was not told.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.flags.any(FlowFlags::LIVE) && !self.is_ended()
    }

    /// Whether its end was told; it lingers for late packets.
    #[inline]
    pub fn is_ended(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether it has ended and takes in late packets of its own for a while, and no longer.
    pub fn lingers(&self) -> bool {
        self.reason.is_some_and(EndReason::lingers) && !self.flags.any(FlowFlags::CUT)
    }
}
