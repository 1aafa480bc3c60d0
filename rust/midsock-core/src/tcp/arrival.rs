//! What a segment is, judged by both ends as they are before it.

use super::{Anomalies, Anomaly, Details, Endpoint, Flags, Seq, State};
use crate::Side;
use crate::wire::{Segment, TcpFlags};

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
    /// What is wrong with it.
    pub anomalies: Anomalies,
}

impl Arrival {
    /// Makes it a segment that changes nothing, because of this anomaly.
    pub(crate) fn reject(&mut self, anomaly: Anomaly) {
        self.rejected = true;
        self.plain = false;
        self.anomalies.add(anomaly);
    }
}

const CONTROLS: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0 | TcpFlags::ACK.0);

/// A segment this far from where its side is belongs to another time.
const FAR: i32 = 1 << 30;

/// Room beyond the advertised window, in bytes: the acknowledgement that opened it may be missing from the capture.
const SLACK: u32 = 2 * 1460;

/// Judges a segment that `side` sends.
#[inline]
pub fn judge(ends: &[Endpoint; 2], details: &[Details; 2], side: Side, segment: &Segment) -> Arrival {
    let (sender, receiver) = (&ends[side.index()], &ends[side.other().index()]);
    let seq = Seq(segment.seq);
    let (acked, unacked) = (Seq(segment.ack).since(receiver.acked), receiver.next.since(Seq(segment.ack)));
    if segment.flags & CONTROLS == TcpFlags::ACK
        && sender.state.is_steady()
        && receiver.state.is_steady()
        && seq == sender.next
        && seq == sender.head
        && receiver.head == receiver.next
        && (acked | unacked) >= 0
        && sender.flags.all(Flags::SEEN | Flags::ACKED)
        && receiver.flags.all(Flags::SEEN | Flags::ACKED)
        && !(sender.flags | receiver.flags).any(Flags::UNTRACKED | Flags::FIN)
        // Compared as lengths: one that a damaged capture claims may be longer than half the sequence space.
        && i64::from(segment.length) <= i64::from(sender.edge.since(seq))
    {
        return Arrival { plain: true, ..Arrival::default() };
    }
    judge_in_full(ends, details, side, segment)
}

fn judge_in_full(ends: &[Endpoint; 2], details: &[Details; 2], side: Side, segment: &Segment) -> Arrival {
    let mut arrival = Arrival::default();
    let (sender, receiver) = (&ends[side.index()], &ends[side.other().index()]);
    let flags = segment.flags;
    if segment.is_broken() {
        arrival.reject(Anomaly::BadHeader);
        return arrival;
    }
    if sender.flags.any(Flags::UNTRACKED) {
        return arrival;
    }
    if segment.length >= FAR as u32 {
        // No packet is so long: a damaged capture says so of its frame.
        arrival.reject(Anomaly::OutOfWindow);
    } else if flags & CONTROLS == TcpFlags(0) && sender.state.is_synchronized() {
        arrival.reject(Anomaly::NoAck);
    } else if flags.contains(TcpFlags::SYN) && flags.intersects(TcpFlags::FIN | TcpFlags::RST) {
        arrival.reject(Anomaly::BadFlags);
    } else if flags.contains(TcpFlags::RST) {
        judge_rst(&mut arrival, sender, receiver, &details[side.other().index()], segment);
    } else if flags.contains(TcpFlags::SYN) {
        judge_syn(&mut arrival, sender, receiver, details, side, segment);
    } else {
        judge_data(&mut arrival, sender, receiver, &details[side.index()], segment);
    }
    if flags.contains(TcpFlags::ACK) && !flags.intersects(TcpFlags::RST | TcpFlags::SYN) {
        judge_ack(&mut arrival, receiver, segment);
    }
    arrival
}

/// RFC 9293, section 3.10.7, and RFC 5961, section 3.2: a RST counts only where it is exactly expected. What its
/// receiver expects is known up to what is on its way between here and there: it may have received all that was sent,
/// all that is contiguous, or what it acknowledged last.
fn judge_rst(
    arrival: &mut Arrival,
    sender: &Endpoint,
    receiver: &Endpoint,
    receiver_details: &Details,
    segment: &Segment,
) {
    let (seq, ack) = (Seq(segment.seq), Seq(segment.ack));
    let expected = if receiver.state == State::SynSent {
        segment.flags.contains(TcpFlags::ACK) && acks_syn(receiver, receiver_details, ack)
    } else {
        let seen = sender.flags.any(Flags::SEEN) && (seq == sender.next || seq == sender.head);
        let acked = sender.flags.any(Flags::ACKED) && seq == sender.acked;
        seen || acked || !sender.flags.any(Flags::SEEN | Flags::ACKED)
    };
    if !expected {
        arrival.reject(Anomaly::InexactRst);
    }
}

/// Whether this acknowledges the receiver's SYN, with or without the data in it.
fn acks_syn(receiver: &Endpoint, details: &Details, ack: Seq) -> bool {
    ack.after(details.isn) && ack.since(receiver.next) <= 0
}

fn judge_syn(
    arrival: &mut Arrival,
    sender: &Endpoint,
    receiver: &Endpoint,
    details: &[Details; 2],
    side: Side,
    segment: &Segment,
) {
    let is_syn_ack = segment.flags.is_syn_ack();
    let (details, receiver_details) = (&details[side.index()], &details[side.other().index()]);
    if !sender.flags.any(Flags::SEEN) {
        let is_answer =
            !receiver.flags.any(Flags::SYN) || acks_syn(receiver, receiver_details, Seq(segment.ack));
        if is_syn_ack && !is_answer {
            arrival.reject(Anomaly::SynAckWrongAck);
        }
    } else if sender.flags.any(Flags::SYN) && Seq(segment.seq) == details.isn {
        // The SYN/ACK of a simultaneous open repeats the number of the SYN, but is not a retransmission of it.
        let first_syn_ack = is_syn_ack && !receiver.flags.any(Flags::ACKED);
        if !first_syn_ack {
            let kind = if is_syn_ack { RexmitKind::SynAck } else { RexmitKind::Syn };
            arrival.rexmit = Some(Rexmit { kind, repeated: segment.length, partial: false });
        }
    } else if !sender.flags.any(Flags::SYN) && Seq(segment.seq).plus(1) == details.first() {
        // The SYN of a flow that was picked up by a packet of its own, which overtook it on the way to the capture.
    } else if is_syn_ack {
        arrival.reject(Anomaly::SynAckDifferentSeq);
    } else {
        arrival.reject(Anomaly::SynOnLive);
    }
}

fn judge_data(
    arrival: &mut Arrival,
    sender: &Endpoint,
    receiver: &Endpoint,
    details: &Details,
    segment: &Segment,
) {
    if !sender.flags.any(Flags::SEEN) {
        return;
    }
    let (seq, length) = (Seq(segment.seq), segment.length);
    let end = seq.plus(length);
    let has_fin = segment.flags.contains(TcpFlags::FIN);
    let beyond_window = || {
        let limit = sender.edge.plus(sender.allowance().max(SLACK));
        sender.flags.any(Flags::ACKED) && seq.after(limit)
    };
    if !(-FAR..FAR).contains(&seq.since(sender.head)) || beyond_window() {
        return arrival.reject(Anomaly::OutOfWindow);
    }
    let window_is_closed = sender.flags.any(Flags::ACKED) && sender.edge.since(sender.acked) <= 0;
    // What a probe holds lies at or before the edge, with nothing outstanding before it.
    let at_edge = sender.flags.any(Flags::ACKED) && (seq == sender.acked || seq == sender.acked.minus(1));
    if length <= 1 && at_edge && !has_fin && !segment.flags.intersects(TcpFlags::URG) {
        if window_is_closed && (length == 1 || seq.before(sender.next)) {
            arrival.probe = Some(Probe::Window);
            return;
        }
        if seq == sender.next.minus(1) && sender.acked == sender.next && !sender.flags.any(Flags::FIN) {
            arrival.probe = Some(Probe::KeepAlive);
            return;
        }
    }
    if sender.flags.any(Flags::FIN) {
        if end.after(details.fin) && length > 0 {
            return arrival.reject(Anomaly::DataAfterFin);
        }
        if has_fin && end != details.fin {
            return arrival.reject(Anomaly::FinMoved);
        }
        if has_fin {
            let repeated = seen_before(sender, details, seq, length);
            arrival.rexmit = Some(Rexmit { kind: RexmitKind::Fin, repeated, partial: repeated < length });
            return;
        }
    } else if has_fin && receiver.state.is_synchronized() {
        // A later acknowledgement may have shown already that a FIN was sent here; data may not.
        let is_past = sender.next.after(end.plus(1));
        if is_past || sender.next.after(end) && seen_before(sender, details, end, 1) > 0 {
            return arrival.reject(Anomaly::FinMoved);
        }
    }
    if length > 0 && (seq.before(sender.next)) {
        let repeated = seen_before(sender, details, seq, length);
        if repeated > 0 {
            let partial = repeated < length;
            arrival.rexmit = Some(Rexmit { kind: RexmitKind::Data, repeated, partial });
        }
    }
}

/// How many bytes of a range were seen before: those before the head, but for gaps, and those held beyond it.
fn seen_before(sender: &Endpoint, details: &Details, seq: Seq, length: u32) -> u32 {
    let head = details.offset(sender.head);
    // Bytes before the stream's first one were never seen.
    let start = head.saturating_add_signed(i64::from(seq.since(sender.head)));
    let end = head.saturating_add_signed(i64::from(seq.since(sender.head)) + i64::from(length));
    let before_head = start.min(head)..end.min(head);
    let mut seen = before_head.end - before_head.start;
    if let Some(stream) = &details.stream {
        seen -= stream.missing(before_head);
        seen += stream.held.covered(start.max(head)..end.max(head));
    }
    seen as u32
}

fn judge_ack(arrival: &mut Arrival, receiver: &Endpoint, segment: &Segment) {
    if !receiver.flags.any(Flags::SEEN) || receiver.flags.any(Flags::UNTRACKED) {
        return;
    }
    let ahead = Seq(segment.ack).since(receiver.next);
    if ahead > 0 {
        // It may acknowledge what the capture lacks, but no more than its own sender had room for.
        let room = receiver.edge.plus(receiver.allowance().max(SLACK));
        let possible = receiver.state.is_synchronized()
            && ahead < FAR
            && (!receiver.flags.any(Flags::ACKED) || Seq(segment.ack).since(room) <= 0);
        if possible {
            arrival.anomalies.add(Anomaly::AckUnseen);
        } else {
            arrival.reject(Anomaly::InvalidAck);
        }
    } else if receiver.flags.any(Flags::ACKED) && Seq(segment.ack).since(receiver.acked) < -FAR {
        arrival.reject(Anomaly::InvalidAck);
    }
}
