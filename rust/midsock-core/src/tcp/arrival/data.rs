//! Data and FIN.

use super::{Arrival, FAR, Probe, Rexmit, RexmitKind, SLACK, View};
use crate::tcp::{Anomaly, Details, Endpoint, Flags, Seq};
use crate::wire::TcpFlags;

/// Judges a segment without SYN or RST by where it lies in the stream of its sender.
pub(super) fn judge(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, details) = (view.sender, view.sender_details);
    if !sender.flags.any(Flags::SEEN) {
        return;
    }
    let (seq, end, length) = (view.seq(), view.end(), view.segment.length);
    let has_fin = view.has(TcpFlags::FIN);
    let beyond_window = || {
        let limit = sender.edge.plus(sender.allowance().max(SLACK));
        sender.flags.any(Flags::ACKED) && seq.after(limit)
    };
    if !(-FAR..FAR).contains(&seq.since(sender.head)) || beyond_window() {
        // Where the handshake is not over, it is that which went wrong.
        let is_last_step = view.awaits_ack();
        return arrival.reject(if is_last_step { Anomaly::HandshakeWrongSeq } else { Anomaly::OutOfWindow });
    }
    let window_is_closed = sender.flags.any(Flags::ACKED) && sender.edge.since(sender.acked) <= 0;
    // What a probe holds lies at or before the edge, with nothing outstanding before it.
    let at_edge = sender.flags.any(Flags::ACKED) && (seq == sender.acked || seq == sender.acked.minus(1));
    if length <= 1 && at_edge && !has_fin && !view.segment.flags.intersects(TcpFlags::URG) {
        if window_is_closed && (length == 1 || seq.before(sender.next)) {
            arrival.probe = Some(Probe::Window);
            return;
        }
        if seq == sender.next.minus(1) && sender.acked == sender.next && !sender.flags.any(Flags::FIN) {
            arrival.probe = Some(Probe::KeepAlive);
            return;
        }
    }
    let first = details.first();
    if sender.flags.any(Flags::SYN) && details.offset(sender.head) < FAR as u64 && seq.before(first) {
        if view.awaits_ack() && end.since(first) <= 0 {
            return arrival.reject(Anomaly::HandshakeWrongSeq);
        }
        if length > 0 && end.since(first) <= 0 {
            return arrival.reject(Anomaly::DataBeforeStart);
        }
        if length > 0 {
            arrival.anomalies.add(Anomaly::DataBeforeStart);
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
    } else if has_fin && view.receiver.state.is_synchronized() {
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
