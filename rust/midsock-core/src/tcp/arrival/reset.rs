//! RST.

use super::{Arrival, View};
use crate::reassembly::ResetRule;
use crate::tcp::{Anomaly, Flags, State};
use crate::wire::TcpFlags;

/// RFC 9293, section 3.10.7, and RFC 5961, section 3.2: a RST counts only where it is exactly expected. What its
/// receiver expects is known up to what is on its way between here and there: it may have received all that was sent,
/// all that is contiguous, or what it acknowledged last.
pub(super) fn judge(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, receiver, seq) = (view.sender, view.receiver, view.seq());
    let is_ack = view.has(TcpFlags::ACK);
    let expected = if receiver.state == State::SynSent {
        is_ack && view.acks_syn()
    } else {
        let seen = sender.flags.any(Flags::SEEN) && (seq == sender.next || seq == sender.head);
        let acked = sender.flags.any(Flags::ACKED) && seq == sender.acked;
        seen || acked || is_taken_elsewhere(view) || !sender.flags.any(Flags::SEEN | Flags::ACKED)
    };
    if !expected {
        arrival.reject(Anomaly::InexactRst);
    } else if is_ack && receiver.flags.all(Flags::SEEN | Flags::ACKED) && view.ack().after(receiver.next) {
        // Its receiver looks at the sequence number first, and takes it (RFC 9293, section 3.10.7.4).
        arrival.anomalies.add(Anomaly::InvalidAck);
    }
    if view.segment.length > 0 {
        arrival.anomalies.add(Anomaly::RstWithData);
    }
}

/// Whether a receiver that is less strict than RFC 5961 takes it: by its system's rule.
fn is_taken_elsewhere(view: &View<'_>) -> bool {
    let (sender, seq) = (view.sender, view.seq());
    if !sender.flags.all(Flags::SEEN | Flags::ACKED) {
        return false;
    }
    match view.sender_details.overlap.reset_rule() {
        ResetRule::Exact => false,
        ResetRule::InWindow => seq.since(sender.head) >= 0 && sender.edge.since(seq) >= 0,
        ResetRule::AtOrAfterNext => seq.since(sender.head) >= 0,
    }
}
