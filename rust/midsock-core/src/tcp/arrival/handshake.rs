//! SYN, and what goes wrong before both ends are established.

use super::{Arrival, Rexmit, RexmitKind, View};
use crate::tcp::{Anomaly, Flags, Marks, State};
use crate::wire::{TcpFlags, options};

/// Judges a SYN or SYN/ACK.
pub(super) fn judge_syn(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, details) = (view.sender, view.sender_details);
    let is_syn_ack = view.segment.flags.is_syn_ack();
    let is_same = sender.flags.any(Flags::SYN) && view.seq() == details.isn;
    if sender.flags.any(Flags::SEEN) && !sender.flags.any(Flags::SYN) && view.seq().plus(1) == details.first()
    {
        // The SYN of a flow that was picked up by a packet of its own, which overtook it on the way to the capture.
        return;
    }
    if sender.flags.any(Flags::SEEN) && !is_same {
        return arrival.reject(misplaced(view, is_syn_ack));
    }
    if is_syn_ack {
        judge_syn_ack(arrival, view);
    } else {
        judge_bare_syn(arrival, view);
    }
}

/// What a SYN or SYN/ACK is whose sequence number is not its sender's first.
fn misplaced(view: &View<'_>, is_syn_ack: bool) -> Anomaly {
    let marks = view.sender_details.marks;
    let has_answered = marks.any(Marks::SYN_ACK) && !marks.any(Marks::SYN);
    let has_opened = marks.any(Marks::SYN) && !marks.any(Marks::SYN_ACK);
    let is_over = view.sender.state.is_synchronized() && view.receiver.state.is_synchronized();
    match is_syn_ack {
        true if has_opened && !view.receiver_details.marks.any(Marks::SYN) => Anomaly::SynAckWrongDirection,
        true => Anomaly::SynAckDifferentSeq,
        false if is_over || !view.sender.flags.any(Flags::SYN) => Anomaly::SynOnLive,
        false if has_answered => Anomaly::SynWrongDirection,
        false => Anomaly::SynDifferentSeq,
    }
}

fn judge_syn_ack(arrival: &mut Arrival, view: &View<'_>) {
    let (receiver, marks) = (view.receiver, view.sender_details.marks);
    let receiver_marks = view.receiver_details.marks;
    let was_sent = marks.any(Marks::SYN_ACK);
    if marks.any(Marks::SYN) && !receiver_marks.any(Marks::SYN) {
        // It opened the connection: no SYN of the other end asks for this.
        return arrival.reject(Anomaly::SynAckWrongDirection);
    }
    if receiver.flags.any(Flags::SYN) && !view.acks_syn() {
        let anomaly = if was_sent { Anomaly::SynAckDifferentAck } else { Anomaly::SynAckWrongAck };
        return arrival.reject(anomaly);
    }
    if was_sent {
        let repeated = view.segment.length;
        arrival.rexmit = Some(Rexmit { kind: RexmitKind::SynAck, repeated, partial: false });
        return;
    }
    // The SYN/ACK of a simultaneous open repeats the number of the SYN, but is not a retransmission of it. The one who
    // answers a SYN by a SYN in a split handshake sends none.
    if marks.any(Marks::SYN) && receiver_marks.any(Marks::SYN_ACK) {
        arrival.anomalies.add(Anomaly::SimultaneousOpen);
    }
    if receiver_marks.any(Marks::COOKIE)
        && receiver_marks.any(Marks::SYN_DATA)
        && view.ack() == view.receiver_details.isn.plus(1)
    {
        arrival.anomalies.add(Anomaly::FastOpenDataIgnored);
    }
}

fn judge_bare_syn(arrival: &mut Arrival, view: &View<'_>) {
    let marks = view.sender_details.marks;
    if marks.any(Marks::SYN_ACK) && !marks.any(Marks::SYN) {
        return arrival.reject(Anomaly::SynWrongDirection);
    }
    let length = view.segment.length;
    if marks.any(Marks::SYN) {
        arrival.rexmit = Some(Rexmit { kind: RexmitKind::Syn, repeated: length, partial: false });
    }
    if length > 0 && !has_cookie(view) {
        arrival.anomalies.add(Anomaly::SynWithData);
    }
}

/// Whether a SYN brings a Fast Open cookie (RFC 7413), not the request for one.
fn has_cookie(view: &View<'_>) -> bool {
    options::parse(view.segment.options(view.frame)).fast_open.is_some_and(|cookie| cookie.length > 0)
}

/// Whether this is the last step of a split handshake: its sender answered the other's SYN by one of its own, and takes
/// the SYN/ACK that answers that for what it waits for.
pub(super) fn is_split(view: &View<'_>) -> bool {
    let (marks, receiver_marks) = (view.sender_details.marks, view.receiver_details.marks);
    marks.any(Marks::SYN)
        && !marks.any(Marks::SYN_ACK)
        && receiver_marks.all(Marks::SYN | Marks::SYN_ACK)
        && view.awaits_ack()
        && view.acks_syn()
}

/// Judges a segment without SYN or RST by how far the handshake has come.
pub(super) fn judge_rest(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, receiver) = (view.sender, view.receiver);
    let (length, has_fin) = (view.segment.length, view.has(TcpFlags::FIN));
    let is_opening = matches!(sender.state, State::SynSent | State::SynReceived);
    if !is_opening {
        return;
    }
    let is_receiver_seen = receiver.flags.any(Flags::SEEN);
    if !sender.flags.any(Flags::SEEN) {
        // Its own SYN, which should come first, was not seen.
        if receiver.state == State::SynSent && length == 0 && !has_fin {
            // SYN-SENT takes no such segment (RFC 9293, section 3.10.7.3): a challenge, or the first step of a split
            // handshake.
            return arrival.reject(Anomaly::AckWrongDirection);
        }
        if length > 0 {
            arrival.anomalies.add(Anomaly::DataBeforeEstablished);
        }
    } else if sender.state == State::SynSent && !is_receiver_seen {
        arrival.anomalies.add(if length > 0 { Anomaly::DataBeforeEstablished } else { Anomaly::OneSided });
    } else if sender.state == State::SynReceived && is_receiver_seen {
        let marks = view.sender_details.marks;
        let receiver_marks = view.receiver_details.marks;
        if receiver_marks.any(Marks::COOKIE) {
            // With Fast Open, it may answer before the handshake is over (RFC 7413, section 3).
        } else if length > 0 {
            arrival.anomalies.add(Anomaly::DataBeforeEstablished);
        } else if !has_fin && !marks.any(Marks::SYN) {
            arrival.anomalies.add(Anomaly::AckWrongDirection);
        }
    }
    if has_fin {
        arrival.anomalies.add(Anomaly::FinBeforeEstablished);
    }
}
