//! Options: timestamps above all (RFC 7323).

use super::{Arrival, View};
use crate::Nanos;
use crate::tcp::{Anomaly, Details, Endpoint};
use crate::wire::options::{self, NOP, TIMESTAMPS};
use crate::wire::{Segment, TcpFlags};

/// After so long without a packet, timestamps say nothing any more (RFC 7323, section 5.5): 24 days.
const OUTDATED: Nanos = 24 * 24 * 3600 * 1_000_000_000;

/// What all common stacks send on a connection with timestamps, once it is set up (RFC 7323, appendix A).
const STAMPED: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];

/// Whether a segment has just the options that nearly all have: none, or where the ends agreed on them, timestamps,
/// and then one that is not older than the last (PAWS: RFC 7323, section 5.3).
#[inline]
pub(super) fn are_usual(sender: &Endpoint, details: &Details, segment: &Segment, frame: &[u8]) -> bool {
    let header = segment.payload.wrapping_sub(segment.transport);
    if !sender.scale.is_stamped() {
        return header == 20;
    }
    header == 32
        && usual_timestamp(segment, frame)
            .is_some_and(|value| value.wrapping_sub(details.recent).cast_signed() >= 0)
}

/// The timestamp of a segment whose header is 32 bytes long, if it lies where it usually does.
#[inline]
pub(in crate::tcp) fn usual_timestamp(segment: &Segment, frame: &[u8]) -> Option<u32> {
    let options = frame.get(usize::from(segment.transport) + 20..)?.first_chunk::<8>()?;
    let [a, b, c, d, value @ ..] = *options;
    ([a, b, c, d] == STAMPED).then(|| u32::from_be_bytes(value))
}

/// PAWS (RFC 7323, section 5): what comes with an old timestamp is a segment of long ago, or somebody else's.
pub(super) fn judge_timestamp(arrival: &mut Arrival, view: &View<'_>) {
    let (sender, details) = (view.sender, view.sender_details);
    if !sender.scale.is_stamped() || arrival.rejected {
        return;
    }
    let Some((value, _)) = options::timestamps(view.segment.options(view.frame)) else {
        if !is_header_cut(view) {
            arrival.anomalies.add(Anomaly::MissingTimestamp);
        }
        return;
    };
    arrival.is_late = view.idle >= OUTDATED;
    // Some systems send 0 in their SYN, and another number in what follows; before a side's first segment it is 0, too.
    let is_set = details.recent != 0;
    let is_old = is_set && value.wrapping_sub(details.recent).cast_signed() < 0 && !arrival.is_late;
    // What was merely overtaken, or sent twice by the network, brings nothing new: nothing is to be refused.
    let is_fin = view.has(TcpFlags::FIN);
    let has_news = view.end().after(sender.head)
        || is_fin && arrival.rexmit.is_none()
        || view.ack().after(view.receiver.acked);
    if is_old && has_news {
        (arrival.rexmit, arrival.probe) = (None, None);
        arrival.reject(Anomaly::OldTimestamp);
    }
}

/// Options that do not parse, and a window scale that is none.
pub(super) fn judge(arrival: &mut Arrival, view: &View<'_>) {
    let options = view.segment.options(view.frame);
    if options.is_empty() || options.len() == 12 && options.starts_with(&STAMPED) || is_header_cut(view) {
        return;
    }
    let parsed = options::parse(options);
    if parsed.malformed {
        arrival.anomalies.add(Anomaly::BadOptions);
    }
    if parsed.window_scale_clamped && view.has(TcpFlags::SYN) {
        arrival.anomalies.add(Anomaly::BadWindowScale);
    }
}

/// Whether the capture lacks a part of the header.
fn is_header_cut(view: &View<'_>) -> bool {
    let header = view.frame.get(usize::from(view.segment.transport) + 12).map_or(0, |byte| byte >> 4);
    usize::from(view.segment.transport) + usize::from(header) * 4 > usize::from(view.segment.payload)
}
