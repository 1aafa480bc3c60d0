//! The straight line for most of the world's segments.
//!
//! A plain segment of a flow of which nobody wants more than its stream goes through sender, receiver and stream in one
//! go. Whatever is not plainly that goes stage by stage, which comes to the same.

use super::stream::{Fresh, News, advance};
use super::{Engine, Feed};
use crate::reassembly::Gap;
use crate::tcp::{self, Flags};

/// What makes the stream of a side one of its own.
const OWN_STREAM: Flags = Flags::STREAM.or(Flags::DEEP).or(Flags::COLLECT).or(Flags::DISCARD);

impl<U> Engine<U> {
    /// Takes the judged segment all the way to the end of its receiver's step; returns whether it was one to go
    /// straight.
    #[inline]
    pub(super) fn go_straight(&mut self, feed: Feed<'_>) -> bool {
        let current = &mut self.current;
        let Some(place) = current.place.filter(|_| current.arrival.plain) else { return false };
        let segment = &self.ahead.at(current.packet).segment;
        let (flow, extra) = self.table.both_mut(place);
        let brief = self.registry.brief(flow.program);
        let [client, server] = &mut flow.ends;
        let [client_details, server_details] = &mut extra.details;
        let (side, time) = (current.side, feed.packet.time);
        let (sender, details, receiver, receiver_details) = match side {
            crate::Side::Client => (client, client_details, server, server_details),
            crate::Side::Server => (server, server_details, client, client_details),
        };
        if brief.any_mask() & current.raised != 0
            || !brief.whole
            || sender.flags.any(OWN_STREAM)
            || brief.bytes && segment.captured != segment.length
        {
            return false;
        }
        tcp::sender::step_plain(sender, details, segment, feed.frame, time);
        tcp::receiver::step_plain(receiver, receiver_details, sender.shift, segment, feed.frame, time);
        current.news.clear();
        current.fresh = None;
        if segment.length == 0 {
            return true;
        }
        let offset = details.offset(sender.head);
        advance(sender, details, segment.length);
        if brief.told {
            let (start, length) = (u32::from(segment.payload), segment.captured);
            current.news.push(News::Data(side, Gap { offset, length: segment.length.into() }));
            current.fresh = brief.bytes.then_some(Fresh { side, offset, start, length });
            self.stream_events(Some(feed), place);
        }
        true
    }
}
