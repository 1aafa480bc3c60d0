//! What a segment is, judged by both ends as they are before it.

mod ack;
mod data;
mod handshake;
pub(super) mod options;
mod reset;

use super::{Anomalies, Anomaly, Details, Endpoint, Flags, Seq, State};
use crate::reassembly::Urgent;
use crate::wire::{Segment, TcpFlags};
use crate::{Nanos, Side};

/// What is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RexmitKind {
    /// A SYN.
    Syn,
    /// A SYN/ACK.
    SynAck,
    /// A FIN.
    Fin,
    /// Data, all or part of it.
    Data,
}

impl RexmitKind {
    /// Every kind, in the order of its number.
    pub const ALL: [RexmitKind; 4] = [RexmitKind::Syn, RexmitKind::SynAck, RexmitKind::Fin, RexmitKind::Data];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            RexmitKind::Syn => "syn",
            RexmitKind::SynAck => "synack",
            RexmitKind::Fin => "fin",
            RexmitKind::Data => "data",
        }
    }
}

/// A retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rexmit {
    /// What was sent again.
    pub kind: RexmitKind,
    /// How many bytes of payload were seen before.
    pub repeated: u32,
    /// Whether the segment also holds bytes that were not.
    pub partial: bool,
}

/// A segment that asks for an answer rather than carrying something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A keep-alive (RFC 9293, section 3.8.4).
    KeepAlive,
    /// A probe of a closed window (RFC 9293, section 3.8.6.1).
    Window,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// In order, in the window, nothing but data and acknowledgement, both ends in the midst of the connection.
    pub plain: bool,
    /// It changes neither state nor stream.
    pub rejected: bool,
    /// It repeats something.
    pub rexmit: Option<Rexmit>,
    /// It probes.
    pub probe: Option<Probe>,
    /// The connection was idle for so long that timestamps begin anew with it (RFC 7323, section 5.5).
    pub is_late: bool,
    /// What is wrong with it.
    pub anomalies: Anomalies,
}

impl Arrival {
    /// What a plain segment is.
    pub(crate) fn plain() -> Arrival {
        Arrival { plain: true, ..Arrival::default() }
    }

    /// Makes it a segment that changes nothing, because of this anomaly.
    pub(crate) fn reject(&mut self, anomaly: Anomaly) {
        self.rejected = true;
        self.plain = false;
        self.anomalies.add(anomaly);
    }
}

const CONTROLS: TcpFlags =
    TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0 | TcpFlags::ACK.0 | TcpFlags::URG.0);

/// A segment this far from where its side is belongs to another time.
const FAR: i32 = 1 << 30;

/// Room beyond the advertised window, in bytes: the acknowledgement that opened it may be missing from the capture.
const SLACK: u32 = 2 * 1460;

/// Whether a segment that `side` sends is plain: see [`Arrival::plain`].
#[inline(always)]
pub fn is_plain(
    ends: &[Endpoint; 2],
    details: &[Details; 2],
    side: Side,
    segment: &Segment,
    frame: &[u8],
) -> bool {
    let (sender, receiver) = (&ends[side.index()], &ends[side.other().index()]);
    let seq = Seq(segment.seq);
    let ack = Seq(segment.ack);
    let (acked, unacked) = (ack.since(receiver.acked), receiver.next.since(ack));
    // What it takes back of the window is to be told.
    let widened = ack.plus(sender.scale.window(segment.window)).since(receiver.edge);
    segment.flags & CONTROLS == TcpFlags::ACK
        && sender.state.is_steady()
        && receiver.state.is_steady()
        && seq == sender.next
        && seq == sender.head
        && receiver.head == receiver.next
        && (acked | unacked | widened) >= 0
        && (sender.flags & receiver.flags).all(Flags::SEEN | Flags::ACKED)
        && !(sender.flags | receiver.flags).any(Flags::UNTRACKED | Flags::FIN)
        // Compared as lengths: one that a damaged capture claims may be longer than half the sequence space.
        && i64::from(segment.length) <= i64::from(sender.edge.since(seq))
        && options::are_usual(sender, &details[side.index()], segment, frame)
}

/// A segment and both ends as they are before it.
struct View<'v> {
    sender: &'v Endpoint,
    receiver: &'v Endpoint,
    sender_details: &'v Details,
    receiver_details: &'v Details,
    segment: &'v Segment,
    frame: &'v [u8],
    /// How long no packet of the flow came.
    idle: Nanos,
}

impl View<'_> {
    fn has(&self, flags: TcpFlags) -> bool {
        self.segment.flags.contains(flags)
    }

    fn seq(&self) -> Seq {
        Seq(self.segment.seq)
    }

    fn ack(&self) -> Seq {
        Seq(self.segment.ack)
    }

    /// One beyond its last byte, or its sequence number if it has none.
    fn end(&self) -> Seq {
        self.seq().plus(self.segment.length)
    }

    /// Whether its acknowledgement covers the receiver's SYN, with or without the data in it, and no more.
    fn acks_syn(&self) -> bool {
        self.ack().after(self.receiver_details.isn) && self.ack().since(self.receiver.next) <= 0
    }

    /// Whether its receiver has sent its SYN, and nothing has acknowledged that.
    fn awaits_ack(&self) -> bool {
        self.receiver.state == State::SynReceived
            && self.receiver.flags.any(Flags::SYN)
            && !(self.receiver.flags.any(Flags::ACKED)
                && self.receiver.acked.after(self.receiver_details.isn))
    }
}

/// Judges a segment that `side` sends, after no packet of the flow came for `idle`.
#[inline]
pub fn judge(
    ends: &[Endpoint; 2],
    details: &[Details; 2],
    side: Side,
    segment: &Segment,
    frame: &[u8],
    idle: Nanos,
) -> Arrival {
    if is_plain(ends, details, side, segment, frame) {
        return Arrival::plain();
    }
    judge_irregular(ends, details, side, segment, frame, idle)
}

/// [`judge`] for a segment that is known not to be plain.
pub(crate) fn judge_irregular(
    ends: &[Endpoint; 2],
    details: &[Details; 2],
    side: Side,
    segment: &Segment,
    frame: &[u8],
    idle: Nanos,
) -> Arrival {
    let (from, to) = (side.index(), side.other().index());
    judge_in_full(&View {
        sender: &ends[from],
        receiver: &ends[to],
        sender_details: &details[from],
        receiver_details: &details[to],
        segment,
        frame,
        idle,
    })
}

fn judge_in_full(view: &View<'_>) -> Arrival {
    let mut arrival = Arrival::default();
    let segment = view.segment;
    if segment.is_broken() {
        arrival.reject(Anomaly::BadHeader);
        return arrival;
    }
    if view.sender.flags.any(Flags::UNTRACKED) {
        return arrival;
    }
    let (is_syn, is_rst) = (view.has(TcpFlags::SYN), view.has(TcpFlags::RST));
    if segment.length >= FAR as u32 {
        // No packet is so long: a damaged capture says so of its frame.
        arrival.reject(Anomaly::OutOfWindow);
    } else if segment.flags & CONTROLS & !TcpFlags::URG == TcpFlags(0) && view.sender.state.is_synchronized()
    {
        arrival.reject(Anomaly::NoAck);
    } else if is_syn && segment.flags.intersects(TcpFlags::FIN | TcpFlags::RST) {
        arrival.reject(Anomaly::BadFlags);
    } else if is_rst {
        reset::judge(&mut arrival, view);
    } else if is_syn {
        handshake::judge_syn(&mut arrival, view);
    } else {
        handshake::judge_rest(&mut arrival, view);
        data::judge(&mut arrival, view);
        options::judge_timestamp(&mut arrival, view);
    }
    if view.has(TcpFlags::ACK) && !is_rst && !is_syn {
        ack::judge(&mut arrival, view);
    }
    if !arrival.rejected && !is_syn && !is_rst && handshake::is_split(view) {
        arrival.anomalies.add(Anomaly::SplitHandshake);
    }
    options::judge(&mut arrival, view);
    if segment.flags.intersects(TcpFlags::URG) && segment.urgent(view.frame) > 0 && !is_rst {
        if view.sender_details.urgent == Urgent::Drop {
            (arrival.rexmit, arrival.probe) = (None, None);
            arrival.reject(Anomaly::UrgentData);
        } else {
            arrival.anomalies.add(Anomaly::UrgentData);
        }
    }
    if !view.has(TcpFlags::ACK) && segment.ack != 0 {
        arrival.anomalies.add(Anomaly::AckWithoutFlag);
    }
    arrival
}
