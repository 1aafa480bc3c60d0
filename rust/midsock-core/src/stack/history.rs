//! What goes into a flow's history.

use crate::flow::{Flow, FlowExtra, Sight};
use crate::tcp::{Arrival, Details, Endpoint, Flags, Seq};
use crate::wire::{Segment, TcpFlags};
use crate::{Anomaly, Side};

const CONTROLS: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

/// Notes a segment of `side`, before anything moves, if somebody may ask for the history.
pub(super) fn note<U>(
    flow: &mut Flow,
    extra: &mut FlowExtra<U>,
    side: Side,
    segment: &Segment,
    arrival: &Arrival,
) {
    if !extra.history.is_kept() {
        return;
    }
    let what = |anomaly| arrival.anomalies.contains(anomaly);
    if what(Anomaly::BadIpChecksum) || what(Anomaly::BadHeader) {
        // Nothing that it says is to be believed, not even whose it is.
        return;
    }
    if what(Anomaly::BadChecksum) {
        return extra.history.note_checksum(side);
    }
    let endpoint = &mut flow.ends[side.index()];
    let sight = Sight {
        flags: segment.flags,
        seq: Seq(segment.seq),
        length: segment.length,
        closes_window: segment.window == 0,
        seen: if segment.length > 0 { seen(endpoint, &extra.details[side.index()]) } else { None },
    };
    extra.history.note(side, &sight);
    if !segment.flags.intersects(CONTROLS) && (segment.length > 0 || segment.flags.contains(TcpFlags::ACK)) {
        endpoint.flags.set(Flags::noted(segment.length));
    }
}

/// Notes the first plain segment of `side` with payload, or the first without: of its kind, no later one adds to the
/// history.
#[cold]
pub(super) fn note_plain<U>(flow: &mut Flow, extra: &mut FlowExtra<U>, side: Side, segment: &Segment) {
    extra.history.note_plain(side, segment.length);
    flow.ends[side.index()].flags.set(Flags::noted(segment.length));
}

/// One beyond the highest sequence number that an end was seen to send.
fn seen(endpoint: &Endpoint, details: &Details) -> Option<Seq> {
    if !endpoint.flags.any(Flags::SEEN) {
        return None;
    }
    let is_acked = endpoint.flags.any(Flags::ACKED) && endpoint.next == endpoint.acked;
    if !is_acked || endpoint.flags.any(Flags::FIN) || !endpoint.next.after(endpoint.head) {
        return Some(endpoint.next);
    }
    // That far it may only have been acknowledged.
    let head = details.offset(endpoint.head);
    let held = details.stream.as_ref().and_then(|stream| stream.held.end()).unwrap_or(head);
    // Held ranges lie less than the sequence space ahead.
    Some(endpoint.head.plus(held.saturating_sub(head) as u32))
}
