//! What remains of a flow once it is freed.

use std::net::SocketAddr;

use super::{ConnState, EndReason, Flow, FlowExtra, FlowFlags, Path, Rexmits};
use crate::reassembly::Gap;
use crate::tcp::{Flags, Seq, State};
use crate::{Anomaly, Nanos};

/// One side of a [`FlowRecord`].
#[derive(Clone, Debug)]
pub struct SideRecord {
    /// Its address and port.
    pub address: SocketAddr,
    /// Packets it sent.
    pub packets: u64,
    /// Payload bytes it sent on the wire, repeated bytes counted again.
    pub bytes: u64,
    /// Its last state.
    pub state: State,
    /// Its initial sequence number, if its SYN was seen.
    pub isn: Option<Seq>,
    /// One beyond the highest sequence number it sent.
    pub next: Option<Seq>,
    /// The highest sequence number acknowledged to it.
    pub acked: Option<Seq>,
    /// The receive window it advertised last, in bytes.
    pub window: Option<u32>,
    /// The maximum segment size it announced.
    pub mss: Option<u16>,
    /// Smoothed round trip to the other end and back, in nanoseconds.
    pub rtt: Option<Nanos>,
    /// Its retransmissions.
    pub rexmits: Rexmits,
    /// Its keep-alives.
    pub keep_alives: u32,
    /// Its zero-window probes.
    pub window_probes: u32,
    /// Its segments that came before others that precede them.
    pub out_of_order: u32,
    /// Bytes of its stream that were handed on or given up: the offset that the next byte would have.
    pub offset: u64,
    /// Bytes of its stream that were never seen.
    pub gaps: Vec<Gap>,
    /// Length and SHA-256 of what was handed on, if its stream was hashed.
    pub digest: Option<(u64, [u8; 32])>,
}

/// All that is known of a flow, without its streams.
#[derive(Clone, Debug)]
pub struct FlowRecord {
    /// Its number.
    pub number: u64,
    /// Client and server.
    pub sides: [SideRecord; 2],
    /// VLAN ids, outermost first; 0 is none.
    pub vlan: [u16; 2],
    /// When its first packet came.
    pub start: Nanos,
    /// When its last packet came.
    pub last: Nanos,
    /// Why it ended; none while it has not.
    pub reason: Option<EndReason>,
    /// How the connection stands, as Zeek's `conn_state` has it.
    pub conn_state: ConnState,
    /// What the connection went through, as Zeek's `history` has it.
    pub history: Box<str>,
    /// The whole handshake was seen.
    pub handshake: bool,
    /// Its first packet was no SYN.
    pub midstream: bool,
    /// How often each anomaly occurred.
    pub anomalies: Vec<(Anomaly, u32)>,
}

impl FlowRecord {
    /// What is known of a flow now.
    pub fn new<U>(flow: &Flow, extra: &FlowExtra<U>) -> FlowRecord {
        let trouble = extra.trouble.as_deref().cloned().unwrap_or_default();
        let side = |side: crate::Side| {
            let i = side.index();
            let (endpoint, details) = (&flow.ends[i], &extra.details[i]);
            let other = &flow.ends[side.other().index()];
            let when = |bits: Flags, seq: Seq| endpoint.flags.any(bits).then_some(seq);
            let stream = details.stream.as_deref();
            let digest = stream.and_then(|stream| stream.digest.as_ref());
            SideRecord {
                address: flow.address(side),
                packets: flow.packets[i],
                bytes: flow.bytes[i],
                state: endpoint.state,
                isn: when(Flags::SYN, details.isn),
                next: when(Flags::SEEN, endpoint.next),
                acked: when(Flags::ACKED, endpoint.acked),
                window: other.flags.any(Flags::ACKED).then(|| other.allowance()),
                mss: (details.mss != 0).then_some(details.mss),
                rtt: details.rtt.smoothed(),
                rexmits: trouble.rexmits[i],
                keep_alives: trouble.keep_alives[i],
                window_probes: trouble.window_probes[i],
                out_of_order: trouble.out_of_order[i],
                offset: if endpoint.flags.any(Flags::SEEN) { details.told_offset(endpoint.head) } else { 0 },
                gaps: stream.map(|stream| stream.gaps().collect()).unwrap_or_default(),
                digest: digest.map(|digest| (digest.length(), digest.sha256())),
            }
        };
        FlowRecord {
            number: extra.number,
            sides: crate::Side::BOTH.map(side),
            vlan: extra.path.as_ref().map_or_else(|| flow.key.vlan(), Path::vlan),
            start: extra.start,
            last: flow.last,
            reason: flow.reason,
            conn_state: flow.conn_state(&extra.history),
            history: extra.history.letters().into(),
            handshake: flow.flags.any(FlowFlags::HANDSHAKE),
            midstream: flow.flags.any(FlowFlags::MIDSTREAM),
            anomalies: trouble.anomalies.as_slice().to_vec(),
        }
    }
}
