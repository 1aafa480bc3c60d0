//! The straight line for most of the world's segments.
//!
//! A plain segment of a flow of which nobody wants more than its stream goes through sender, receiver and stream in one
//! go. Whatever is not plainly that goes stage by stage, which comes to the same.

use super::Feed;
use super::stream::{Fresh, advance};
use crate::Side;
use crate::event::Brief;
use crate::flow::{Flow, FlowExtra};
use crate::reassembly::Gap;
use crate::tcp::{self, Flags};
use crate::wire::Segment;

/// What makes the stream of a side one of its own.
const OWN_STREAM: Flags = Flags::STREAM.or(Flags::DEEP).or(Flags::COLLECT).or(Flags::DISCARD);

/// Whether a plain segment of `side` can go straight, if nobody wants to see the packet itself.
#[inline]
pub(super) fn may_go(brief: &Brief, flow: &Flow, side: Side, segment: &Segment) -> bool {
    brief.whole
        && !flow.ends[side.index()].flags.any(OWN_STREAM)
        && (!brief.bytes || segment.captured == segment.length)
}

/// Takes a plain segment of `side` all the way to the end of its receiver's step; returns what of the stream is new, if
/// anybody wants to be told.
#[inline]
pub(super) fn go<U>(
    brief: &Brief,
    flow: &mut Flow,
    extra: &mut FlowExtra<U>,
    side: Side,
    segment: &Segment,
    feed: Feed<'_>,
) -> Option<(Gap, Fresh)> {
    let [client, server] = &mut flow.ends;
    let [client_details, server_details] = &mut extra.details;
    let (sender, details, receiver, receiver_details) = match side {
        Side::Client => (client, client_details, server, server_details),
        Side::Server => (server, server_details, client, client_details),
    };
    let time = feed.packet.time;
    tcp::sender::step_plain(sender, details, segment, feed.frame, time);
    tcp::receiver::step_plain(receiver, receiver_details, sender.shift, segment, feed.frame, time);
    if segment.length == 0 {
        return None;
    }
    let head = sender.head;
    advance(sender, details, segment.length);
    brief.told.then(|| {
        let (offset, start) = (details.offset(head), u32::from(segment.payload));
        let fresh = Fresh { side, offset, start, length: segment.captured };
        (Gap { offset, length: segment.length.into() }, fresh)
    })
}
