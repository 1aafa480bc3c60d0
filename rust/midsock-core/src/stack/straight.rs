//! The straight line for most of the world's segments.
//!
//! A plain segment of a flow of which nobody wants more than its stream goes through sender, receiver and stream in one
//! go. Whatever is not plainly that goes stage by stage, which comes to the same.

use super::stream::{Fresh, News, advance};
use super::{Engine, Feed, Stage, history};
use crate::Side;
use crate::config::ChecksumPolicy;
use crate::event::{Brief, Hook, Kind};
use crate::flow::{Flow, FlowExtra};
use crate::port::ChecksumState;
use crate::reassembly::Gap;
use crate::tcp::{self, Arrival, Flags};
use crate::wire::{self, Segment};

/// What makes the stream of a side one of its own.
const OWN_STREAM: Flags = Flags::STREAM.or(Flags::DEEP).or(Flags::COLLECT).or(Flags::DISCARD);

/// How far a packet got by the straight line.
pub(super) enum Straight {
    /// It has to go stage by stage; nothing has changed.
    No,
    /// The same, and it is not plain.
    NotPlain,
    /// All is done.
    Done,
    /// It has come to [`Stage::Finish`].
    Told,
}

impl<U> Engine<U> {
    /// Takes the packet along the straight line, if it may go there.
    #[inline]
    pub(super) fn go_straight(&mut self, feed: Feed<'_>) -> Straight {
        let decoded = self.ahead.at(self.current.packet);
        let Some(place) = decoded.guess else { return Straight::No };
        let (flow, extra) = self.table.both_mut(place);
        if flow.key != decoded.key || !flow.is_open() {
            return Straight::No;
        }
        let (side, segment) = (flow.sender(decoded.forward), &decoded.segment);
        let brief = self.registry.brief(flow.program);
        let before = brief.mask(Hook::PreTcp) | brief.mask(Hook::PostSnd);
        if !tcp::arrival::is_plain(&flow.ends, &extra.details, side, segment, feed.frame) {
            return Straight::NotPlain;
        }
        if before & Kind::PktIn.bit() != 0 || !may_go(brief, flow, side, segment) {
            return Straight::No;
        }
        if self.config.checksums != ChecksumPolicy::Ignore && feed.packet.checksum != ChecksumState::Verified
        {
            if !wire::checksum::are_right(feed.frame, segment) {
                return Straight::No;
            }
            flow.ends[side.index()].flags.set(Flags::SUMS_GOOD);
        }
        if !flow.ends[side.index()].flags.any(Flags::noted(segment.length)) {
            history::note_plain(flow, extra, side, segment);
        }
        self.statistics.tcp += 1;
        flow.last = feed.packet.time;
        flow.packets[side.index()] += 1;
        flow.bytes[side.index()] += u64::from(segment.length);
        let news = go(brief, flow, extra, side, segment, feed);
        let tells = brief.mask(Hook::PostTcp) & Kind::PktIn.bit() != 0;
        if news.is_none() && !tells {
            return Straight::Done;
        }
        let current = &mut self.current;
        (current.place, current.side, current.stage) = (Some(place), side, Stage::Finish);
        (current.arrival, current.raised) = (Arrival::plain(), Kind::PktIn.bit());
        current.news.clear();
        current.fresh = None;
        if let Some((data, fresh)) = news {
            current.fresh = brief.bytes.then_some(fresh);
            current.news.push(News::Data(side, data));
        }
        self.packet_events(feed, Hook::PostTcp);
        if news.is_some() {
            self.stream_events(Some(feed), place);
        }
        Straight::Told
    }
}

/// Whether a plain segment of `side` can go straight, if nobody wants to see the packet itself.
#[inline]
fn may_go(brief: &Brief, flow: &Flow, side: Side, segment: &Segment) -> bool {
    brief.whole
        && !flow.ends[side.index()].flags.any(OWN_STREAM)
        // A closed window is told in the flow's history.
        && segment.window != 0
        // A frame that was cut is an anomaly.
        && segment.captured == segment.length
}

/// Takes a plain segment of `side` all the way to the end of its receiver's step; returns what of the stream is new, if
/// anybody wants to be told.
#[inline(always)]
fn go<U>(
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
    tcp::receiver::step_plain(receiver, receiver_details, sender.scale, segment, feed.frame, time);
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
