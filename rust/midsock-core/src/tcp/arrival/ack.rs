//! Acknowledgement and window.

use super::{Arrival, FAR, SLACK, View};
use crate::tcp::{Anomaly, Flags};

/// Judges the acknowledgement of a segment without SYN or RST (RFC 9293, section 3.10.7.4; RFC 5961, section 5.2).
pub(super) fn judge(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, receiver) = (view.sender, view.receiver);
    if !receiver.flags.any(Flags::SEEN) || receiver.flags.any(Flags::UNTRACKED) {
        return;
    }
    let ack = view.ack();
    if view.awaits_ack() && !view.acks_syn() {
        return arrival.reject(Anomaly::HandshakeWrongAck);
    }
    let ahead = ack.since(receiver.next);
    if ahead > 0 {
        // It may acknowledge what the capture lacks, but no more than its own sender had room for.
        let room = receiver.edge.plus(receiver.allowance().max(SLACK));
        let possible = receiver.state.is_synchronized()
            && ahead < FAR
            && (!receiver.flags.any(Flags::ACKED) || ack.since(room) <= 0);
        if possible {
            arrival.anomalies.add(Anomaly::AckUnseen);
        } else {
            arrival.reject(Anomaly::InvalidAck);
        }
        return;
    }
    if !receiver.flags.any(Flags::ACKED) {
        return;
    }
    // The widest window that its sender can ever have had bounds how late it can be.
    let widest = sender.scale.window(u16::MAX).max(SLACK);
    let behind = receiver.acked.since(ack);
    if behind < 0 {
        judge_window(arrival, view);
    } else if behind.unsigned_abs() > widest {
        arrival.reject(Anomaly::InvalidAck);
    } else if behind == 0 && view.seq().since(sender.next) >= 0 {
        judge_window(arrival, view);
    }
}

/// RFC 9293, section 3.8.6: a window is not to be shrunk, but for what its scale rounds off (RFC 7323, section 2.4).
/// A late acknowledgement only seems to, and so does the first after a SYN, whose window is never scaled.
fn judge_window(arrival: &mut Arrival, view: &View<'_>) {
    let edge = view.ack().plus(view.sender.scale.window(view.segment.window));
    let is_syns =
        view.receiver.flags.any(Flags::SYN) && view.receiver.acked == view.receiver_details.isn.plus(1);
    let rounded = 1_i32 << view.sender.scale.shift();
    if view.receiver.edge.since(edge) >= rounded.max(2) && !is_syns {
        arrival.anomalies.add(Anomaly::WindowShrunk);
    }
}
