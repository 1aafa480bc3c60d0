//! What a segment's payload does to its side's stream.
//!
//! In nearly every packet the payload continues the stream and is handed on straight from the frame. Only what comes
//! out of order, or is not read at once, is copied.

use super::inline::{Task, Verdict};
use super::{Current, Engine, Feed};
use crate::config::Timeouts;
use crate::event::{Event, EventDetail, Hook, Kind, Program};
use crate::flow::{EndReason, Flow, FlowExtra, Trouble};
use crate::reassembly::{Announced, Conflict, Gap, Piece, Run, Stream, Urgent};
use crate::tcp::{Anomaly, Details, Endpoint, Flags, Seq};
use crate::wire::{Segment, TcpFlags};
use crate::{Nanos, Side};

/// Something that became of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// These bytes became readable.
    Data(Side, Gap),
    /// These bytes were given up.
    Gap(Side, Gap),
    /// That is not as it should be.
    Anomaly(Side, Anomaly),
    /// Bytes differ from those that were there: the packet's conflict of this number, at this place.
    Conflict(Side, Gap, u32),
}

/// Bytes that are readable straight from the frame at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) side: Side,
    /// Stream offset of the first unread one.
    pub(super) offset: u64,
    /// Where that one lies in the frame.
    pub(super) start: u32,
    /// How many are unread.
    pub(super) length: u32,
}

impl Fresh {
    pub(super) fn bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(self.start as usize..(self.start + self.length) as usize).unwrap_or_default()
    }
}

/// The bytes that an event is about, if they are at hand.
pub(super) fn data_of<'d, U>(
    event: &Event,
    extra: &'d FlowExtra<U>,
    feed: Option<Feed<'d>>,
    current: &'d Current,
) -> &'d [u8] {
    if let EventDetail::Conflict { number, .. } = event.detail {
        return current.conflicts.get(number as usize).map_or(&[], |conflict| &conflict.new);
    }
    let fresh = current.fresh.as_ref();
    let (Kind::NewData, EventDetail::Bytes { offset, length }) = (event.kind, event.detail) else {
        return &[];
    };
    match (feed, fresh) {
        (Some(feed), Some(fresh)) if fresh.side == event.side => {
            // All of them, also those that an earlier handler has read.
            let read = fresh.offset.saturating_sub(offset) as usize;
            let start = (fresh.start as usize).saturating_sub(read);
            feed.frame.get(start..(fresh.start + fresh.length) as usize).unwrap_or_default()
        }
        _ => {
            let stream = extra.details[event.side.index()].stream.as_deref();
            stream.map_or(&[], |stream| stream.backlog.at(offset, length as usize))
        }
    }
}

/// The bytes that an event of different content found there.
pub(super) fn old_data_of<'d>(event: &Event, current: &'d Current) -> &'d [u8] {
    let EventDetail::Conflict { number, .. } = event.detail else { return &[] };
    current.conflicts.get(number as usize).map_or(&[], |conflict| &conflict.old)
}

/// What the application wants of one side's stream.
#[derive(Clone, Copy)]
struct Wants {
    /// To be told of it.
    told: bool,
    /// Its bytes.
    bytes: bool,
    /// To look at them later than at once.
    reads: bool,
    depth: u64,
    /// How many bytes behind those unacknowledged are compared with what repeats them.
    compare: Option<u64>,
    /// Cap on those.
    buffer: u64,
}

impl Wants {
    #[inline]
    fn of(program: &Program, endpoint: &Endpoint, stream: Option<&Stream>) -> Wants {
        let flags = endpoint.flags;
        let is_off = flags.any(Flags::DISCARD | Flags::DEEP)
            || program.settings.reassemble == Some(false) && !flags.any(Flags::COLLECT);
        let bytes = !is_off && (program.collects || flags.any(Flags::COLLECT));
        let mask = program.mask(Hook::PostTcp) & (Kind::NewData.bit() | Kind::Gap.bit());
        Wants {
            told: !is_off && (bytes || mask != 0),
            bytes,
            reads: !is_off && (program.reads || flags.any(Flags::COLLECT)),
            depth: stream.and_then(|stream| stream.depth).unwrap_or(program.settings.depth),
            compare: program.settings.reach().filter(|_| !is_off),
            buffer: stream.and_then(|stream| stream.buffer).unwrap_or(program.settings.buffer),
        }
    }
}

impl Wants {
    /// Whether the stream is wanted to its end, and none of it has to be remembered.
    #[inline]
    fn is_all(&self) -> bool {
        self.depth == u64::MAX && self.compare.is_none()
    }
}

/// Which holes are given up.
#[derive(Clone, Copy)]
enum Holes {
    /// Those whose bytes the receiver has: nobody will send them again.
    Acknowledged,
    /// Those behind which bytes wait that came at this time or before.
    Since(Nanos),
    /// All, up to what is held or acknowledged.
    All,
}

/// The parts of a flow's side that its stream concerns.
struct Intake<'i> {
    side: Side,
    endpoint: &'i mut Endpoint,
    details: &'i mut Details,
    trouble: &'i mut Option<Box<Trouble>>,
    news: &'i mut Vec<News>,
    wants: Wants,
}

impl<U> Engine<U> {
    /// Takes the payload of a segment into the stream of its side.
    #[inline]
    pub(super) fn take_payload(&mut self, feed: Feed<'_>, place: u32, side: Side, segment: &Segment) {
        // What a RST carries tells why; it is no part of the stream (RFC 1122, section 4.2.2.12).
        if segment.length == 0 || segment.flags.contains(TcpFlags::RST) {
            return;
        }
        let flags = self.table.flow(place).ends[side.index()].flags;
        if flags.any(Flags::UNTRACKED) || !flags.any(Flags::SEEN) {
            return;
        }
        // Data in a SYN follows the SYN.
        let seq = Seq(segment.seq).plus(u32::from(segment.flags.contains(TcpFlags::SYN)));
        if segment.flags.contains(TcpFlags::URG) {
            self.note_urgent(feed, place, side, segment, seq);
        }
        let (flow, extra) = self.table.both_mut(place);
        let (endpoint, details) = (&mut flow.ends[side.index()], &mut extra.details[side.index()]);
        let program = self.registry.get(flow.program);
        let flags = endpoint.flags;
        let wants = Wants::of(program, endpoint, details.stream.as_deref());
        let is_whole = segment.captured == segment.length || !wants.bytes;
        if seq == endpoint.head && !flags.any(Flags::STREAM) && is_whole && wants.is_all() {
            let head = endpoint.head;
            advance(endpoint, details, segment.length);
            if wants.told {
                let offset = details.offset(head);
                let length = segment.length;
                let start = u32::from(segment.payload);
                self.current.news.push(News::Data(side, Gap { offset, length: length.into() }));
                self.current.fresh =
                    wants.bytes.then_some(Fresh { side, offset, start, length: segment.captured });
            }
            return;
        }
        self.take_slowly(feed, place, side, segment, seq, wants);
    }

    /// Notes the urgent byte that a segment announces, if that is to be taken out of the stream and has not been handed
    /// on. The urgent pointer says how far behind the segment's first byte the next one after it lies: not what RFC 9293
    /// says, but what systems do (RFC 6093, section 3.1).
    #[cold]
    fn note_urgent(&mut self, feed: Feed<'_>, place: u32, side: Side, segment: &Segment, seq: Seq) {
        let (flow, extra) = self.table.both_mut(place);
        let (endpoint, details) = (&mut flow.ends[side.index()], &mut extra.details[side.index()]);
        let pointer = u32::from(segment.urgent(feed.frame));
        let ahead = seq.plus(pointer).since(endpoint.head);
        if details.urgent != Urgent::Oob || pointer == 0 || ahead <= 0 {
            return;
        }
        endpoint.flags.set(Flags::STREAM);
        let at = details.offset(endpoint.head) + u64::from(ahead.unsigned_abs()) - 1;
        if details.stream.get_or_insert_default().urgent.announce(at) == Announced::Limit {
            extra.trouble.get_or_insert_default().anomalies.note(Anomaly::UrgentLimit);
            self.current.news.push(News::Anomaly(side, Anomaly::UrgentLimit));
        }
    }

    fn take_slowly(
        &mut self,
        feed: Feed<'_>,
        place: u32,
        side: Side,
        segment: &Segment,
        seq: Seq,
        wants: Wants,
    ) {
        let (flow, extra) = self.table.both_mut(place);
        let settings = self.registry.get(flow.program).settings;
        let mut intake = intake(flow, extra, side, &mut self.current.news, wants);
        let ahead = i64::from(seq.since(intake.endpoint.head));
        let skip = (-ahead).max(0) as u64;
        if skip > 0 && wants.compare.is_some() && self.current.arrival.probe.is_none() {
            // A probe holds any byte (RFC 9293, section 3.8.4).
            let repeated = segment.payload(feed.frame);
            let repeated = &repeated[..repeated.len().min(skip as usize)];
            intake.compare(skip, repeated, &mut self.current.conflicts);
        }
        if skip >= u64::from(segment.length) {
            return self.normalize(place, segment, seq);
        }
        let was_held = intake.endpoint.flags.any(Flags::HELD);
        intake.endpoint.flags.set(Flags::STREAM);
        let head = intake.details.offset(intake.endpoint.head);
        let stream = intake.details.stream.get_or_insert_default();
        let cost = stream.cost();
        let offset = head + ahead.max(0) as u64;
        let length = u64::from(segment.length) - skip;
        let payload = segment.payload(feed.frame);
        let known = if wants.bytes { payload.get(skip as usize..).unwrap_or_default() } else { &[] };
        if offset == head && stream.held.is_empty() {
            let is_whole = stream.urgent.first_in(&(offset..offset + length)).is_none();
            let (is_direct, taken) = (stream.backlog.is_empty() && is_whole, stream.urgent.taken());
            let kept = if wants.reads && !is_direct { known } else { &[] };
            let told = intake.hand_on(offset, length, known, kept);
            if is_direct && wants.bytes && told > 0 {
                let start = u32::from(segment.payload) + skip as u32;
                let offset = offset - taken;
                self.current.fresh = Some(Fresh { side, offset, start, length: told as u32 });
            }
        } else {
            let policy = intake.details.overlap;
            // As it was sent, it may begin before the head, and even before the stream.
            let start = (head as i64).saturating_add(ahead);
            let sent = start..start + i64::from(segment.length);
            let piece = Piece { sent, offset, length, data: known, time: feed.packet.time };
            let first = self.current.conflicts.len();
            let inserted = stream.held.take_in(&piece, policy, head, Some(&mut self.current.conflicts));
            if offset > head && inserted.fresh > 0 {
                let count = &mut intake.trouble.get_or_insert_default().out_of_order[side.index()];
                *count = count.saturating_add(1);
            }
            intake.note_conflicts(first, &self.current.conflicts);
            intake.drain();
        }
        let cap = settings.buffer;
        let over_all = self.statistics.reassembly > self.config.max_reassembly;
        intake.cap_held(cap, over_all);
        if over_all && let Some(stream) = &mut intake.details.stream {
            stream.past.clear();
        }
        let begins = !was_held && intake.endpoint.flags.any(Flags::HELD);
        let now = intake.details.stream.as_ref().map_or(0, |stream| stream.cost());
        self.statistics.reassembly = (self.statistics.reassembly + now).saturating_sub(cost);
        if begins {
            self.watch_gap(place);
        }
        self.normalize(place, segment, seq);
    }

    /// Inline, has the bytes of the packet at hand replaced that are not those of the stream.
    fn normalize(&mut self, place: u32, segment: &Segment, seq: Seq) {
        let Some(outbox) = &mut self.outbox else { return };
        if !outbox.is_bridge || !self.current.conflicts.iter().any(|conflict| conflict.old_stands) {
            return;
        }
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        if !self.registry.get(flow.program).settings.normalize {
            return;
        }
        let (endpoint, details) =
            (&flow.ends[self.current.side.index()], &extra.details[self.current.side.index()]);
        if self.fragments.is_whole || segment.tunnels > 0 {
            // What cannot be changed must not pass.
            return outbox.put(self.current.packet, Verdict::Drop);
        }
        let start = details.offset(endpoint.head).wrapping_add_signed(seq.since(endpoint.head).into());
        self.translations.task = Some(Task::Normalize { start });
    }

    /// Sees to bytes that were acknowledged but never seen.
    pub(super) fn look_for_gaps(&mut self, place: u32, now: Nanos) {
        let may_lack = |end: &Endpoint| end.acked.after(end.head) || end.flags.any(Flags::LACKING);
        if !self.table.flow(place).ends.iter().any(may_lack) {
            return;
        }
        let mut begins = false;
        for side in Side::BOTH {
            let (flow, extra) = self.table.both_mut(place);
            let (endpoint, details) = (&mut flow.ends[side.index()], &mut extra.details[side.index()]);
            if lacks(endpoint, details).is_none() {
                endpoint.flags.clear(Flags::LACKING);
            } else if !endpoint.flags.any(Flags::LACKING) {
                endpoint.flags.set(Flags::LACKING | Flags::STREAM);
                details.stream.get_or_insert_default().lacking_since = now;
                extra.history.note_gap(side);
                begins = true;
            } else if is_overdue(details, now, &self.config.timeouts) {
                self.settle(place, side, Holes::Acknowledged);
            }
        }
        if begins {
            self.watch_gap(place);
        }
    }

    /// Gives up what has been missing for too long; called when no packet is at hand.
    pub(super) fn settle_overdue(&mut self, place: u32, now: Nanos) {
        self.begin_without_packet();
        for side in Side::BOTH {
            let (flow, extra) = (self.table.flow(place), self.table.extra(place));
            let (endpoint, details) = (&flow.ends[side.index()], &extra.details[side.index()]);
            let timeouts = &self.config.timeouts;
            let is_lacking = endpoint.flags.any(Flags::LACKING) && is_overdue(details, now, timeouts);
            if is_lacking {
                self.settle(place, side, Holes::Acknowledged);
            }
            self.settle(place, side, Holes::Since(now.saturating_sub(self.config.timeouts.hole)));
        }
        let mut changes = crate::tcp::Changes::default();
        self.finish_closing(place, &mut changes);
        for change in changes.iter() {
            let detail = EventDetail::StateChange(change.old, change.new);
            self.raise_alone(place, Kind::StateChange, change.side, detail);
        }
        self.stream_events(None, place);
        self.end_if_over(place);
    }

    /// Hands on all that is held, and gives up what is missing between; the flow ends for this reason.
    pub(super) fn flush_streams(&mut self, place: u32, reason: EndReason) {
        let flow = self.table.flow(place);
        if !flow.ends.iter().any(|end| end.flags.any(Flags::HELD | Flags::LACKING)) {
            return;
        }
        self.begin_without_packet();
        for side in Side::BOTH {
            let (flow, extra) = self.table.both_mut(place);
            if reason.lingers() && flow.ends[side.index()].flags.any(Flags::HELD | Flags::LACKING) {
                extra.trouble.get_or_insert_default().anomalies.note(Anomaly::ClosedIncomplete);
                self.current.news.push(News::Anomaly(side, Anomaly::ClosedIncomplete));
            }
            self.settle(place, side, Holes::All);
        }
        self.stream_events(None, place);
    }

    fn begin_without_packet(&mut self) {
        self.current.news.clear();
        self.current.fresh = None;
        self.current.conflicts.clear();
    }

    /// Gives up a side's holes.
    fn settle(&mut self, place: u32, side: Side, holes: Holes) {
        let (flow, extra) = self.table.both_mut(place);
        let program = self.registry.get(flow.program);
        let endpoint = &flow.ends[side.index()];
        let wants = Wants::of(program, endpoint, extra.details[side.index()].stream.as_deref());
        let mut intake = intake(flow, extra, side, &mut self.current.news, wants);
        let cost = intake.details.stream.as_ref().map_or(0, |stream| stream.cost());
        while let Some(end) = intake.hole_end() {
            let is_over = match holes {
                Holes::Acknowledged => lacks(intake.endpoint, intake.details).is_some(),
                Holes::Since(time) => intake.waits_since().is_some_and(|since| since <= time),
                Holes::All => true,
            };
            if !is_over {
                break;
            }
            if let Holes::Since(_) = holes {
                intake.note_unacked(end);
            }
            intake.give_up(end);
        }
        if lacks(intake.endpoint, intake.details).is_none() {
            intake.endpoint.flags.clear(Flags::LACKING);
        }
        let now = intake.details.stream.as_ref().map_or(0, |stream| stream.cost());
        self.statistics.reassembly = (self.statistics.reassembly + now).saturating_sub(cost);
    }

    /// Tells what became of the streams.
    pub(super) fn stream_events(&mut self, feed: Option<Feed<'_>>, place: u32) {
        for i in 0..self.current.news.len() {
            let (side, kind, detail) = match self.current.news[i] {
                News::Data(side, Gap { offset, length }) => {
                    (side, Kind::NewData, EventDetail::Bytes { offset, length })
                }
                News::Gap(side, Gap { offset, length }) => {
                    (side, Kind::Gap, EventDetail::Bytes { offset, length })
                }
                News::Anomaly(side, anomaly) => (side, Kind::Anomaly, EventDetail::Anomaly(anomaly)),
                News::Conflict(side, Gap { offset, length }, number) => {
                    (side, Kind::Anomaly, EventDetail::Conflict { offset, length, number })
                }
            };
            self.raise(feed, place, kind, Hook::PostTcp, side, detail);
        }
    }

    /// Keeps what the packet's handlers left unread, if it may be read later.
    #[inline]
    pub(super) fn keep_unread(&mut self, feed: Feed<'_>, place: u32) {
        let fresh = self.current.fresh.take();
        let (flow, extra) = self.table.both_mut(place);
        let brief = self.registry.brief(flow.program);
        let side = self.current.side;
        let flags = flow.ends[side.index()].flags;
        let retains = brief.retains && !flags.any(Flags::DISCARD) || flags.any(Flags::COLLECT);
        if !flags.any(Flags::STREAM) && (!retains || fresh.is_none_or(|fresh| fresh.length == 0)) {
            return;
        }
        let settings = self.registry.get(flow.program).settings;
        flow.ends[side.index()].flags.set(Flags::STREAM);
        let stream = extra.details[side.index()].stream.get_or_insert_default();
        let (cost, mut is_full) = (stream.cost(), false);
        if retains {
            if let Some(fresh) = fresh {
                stream.backlog.push(fresh.offset, fresh.bytes(feed.frame));
            }
            let cap = stream.buffer.unwrap_or(settings.buffer);
            let excess = stream.backlog.len().saturating_sub(cap);
            is_full = excess > 0;
            if is_full {
                stream.backlog.consume(excess);
                extra.trouble.get_or_insert_default().anomalies.note(Anomaly::UnreadFull);
            }
        } else {
            stream.backlog.clear();
        }
        let now = stream.cost();
        self.statistics.reassembly = (self.statistics.reassembly + now).saturating_sub(cost);
        if is_full {
            self.raise_alone(place, Kind::Anomaly, side, EventDetail::Anomaly(Anomaly::UnreadFull));
        }
    }
}

fn intake<'i, U>(
    flow: &'i mut Flow,
    extra: &'i mut FlowExtra<U>,
    side: Side,
    news: &'i mut Vec<News>,
    wants: Wants,
) -> Intake<'i> {
    Intake {
        side,
        endpoint: &mut flow.ends[side.index()],
        details: &mut extra.details[side.index()],
        trouble: &mut extra.trouble,
        news,
        wants,
    }
}

/// Moves the head on, and with it the anchor that keeps offsets right, at least every 2 GiB.
#[inline]
pub(super) fn advance(endpoint: &mut Endpoint, details: &mut Details, length: u32) {
    let head = endpoint.head.plus(length);
    if (head.0 ^ endpoint.head.0) >> 31 != 0 {
        details.anchor(endpoint.head);
    }
    endpoint.head = head;
}

/// Where bytes that the other end acknowledged, but that were never seen, end.
fn lacks(endpoint: &Endpoint, details: &Details) -> Option<Seq> {
    if !endpoint.flags.all(Flags::SEEN | Flags::ACKED) || endpoint.flags.any(Flags::UNTRACKED) {
        return None;
    }
    let is_beyond_fin = endpoint.flags.any(Flags::FIN) && endpoint.acked.after(details.fin);
    let end = if is_beyond_fin { details.fin } else { endpoint.acked };
    end.after(endpoint.head).then_some(end)
}

fn is_overdue(details: &Details, now: Nanos, timeouts: &Timeouts) -> bool {
    let since = details.stream.as_ref().map_or(now, |stream| stream.lacking_since);
    now.saturating_sub(since) >= timeouts.gap
}

impl Intake<'_> {
    fn note(&mut self, anomaly: Anomaly) {
        self.trouble.get_or_insert_default().anomalies.note(anomaly);
        self.news.push(News::Anomaly(self.side, anomaly));
    }

    /// Compares bytes that lie so many before the head with those that were handed on.
    fn compare(&mut self, before: u64, data: &[u8], conflicts: &mut Vec<Conflict>) {
        let head = self.details.offset(self.endpoint.head);
        // What lies before the stream's first byte is compared with nothing.
        let cut = (before.saturating_sub(head) as usize).min(data.len());
        let first = conflicts.len();
        if let Some(stream) = &self.details.stream {
            stream.past.compare(head.saturating_sub(before), &data[cut..], conflicts);
        }
        self.note_conflicts(first, conflicts);
    }

    /// Tells of the packet's conflicts from this one on.
    fn note_conflicts(&mut self, first: usize, conflicts: &[Conflict]) {
        for (number, conflict) in conflicts.iter().enumerate().skip(first) {
            self.trouble.get_or_insert_default().anomalies.note(Anomaly::DifferentContent);
            let offset = conflict.offset.saturating_sub(self.taken());
            let place = Gap { offset, length: conflict.old.len() as u64 };
            self.news.push(News::Conflict(self.side, place, number as u32));
        }
    }

    /// Keeps bytes that were handed on, as far back as they may be compared.
    fn remember(&mut self, offset: u64, known: &[u8]) {
        let Some(reach) = self.wants.compare else { return };
        let head = self.details.offset(self.endpoint.head);
        let unacked = self.endpoint.head.since(self.endpoint.acked).max(0).unsigned_abs();
        let acked =
            if self.endpoint.flags.any(Flags::ACKED) { head.saturating_sub(unacked.into()) } else { 0 };
        let stream = self.details.stream.get_or_insert_default();
        if !known.is_empty() {
            let (start, length) = (offset as i64, known.len() as u64);
            let sent = start..start.saturating_add_unsigned(length);
            stream.past.put(offset, Run { length, bytes: known.to_vec(), sent, since: 0 });
        }
        stream.past.forget(acked.saturating_sub(reach), self.wants.buffer);
    }

    /// Hands on the next `length` bytes of the stream, of which the first are `known`; `kept` of them are to be read
    /// later. Urgent bytes are taken out. Returns how many bytes were told of.
    fn hand_on(&mut self, offset: u64, length: u64, known: &[u8], kept: &[u8]) -> u64 {
        let (mut at, end, mut told) = (offset, offset + length, 0);
        let cut = |bytes: &'_ [u8], from: u64, to: u64| {
            let place = |at: u64| ((at - offset) as usize).min(bytes.len());
            place(from)..place(to)
        };
        loop {
            let stream = self.details.stream.as_deref();
            let urgent = stream.and_then(|stream| stream.urgent.first_in(&(at..end)));
            let stop = urgent.unwrap_or(end);
            if stop > at {
                let (known, kept) = (&known[cut(known, at, stop)], &kept[cut(kept, at, stop)]);
                told += self.hand_on_part(at, stop - at, known, kept);
            }
            if urgent.is_none() {
                return told;
            }
            advance(self.endpoint, self.details, 1);
            if let Some(stream) = &mut self.details.stream {
                stream.urgent.take();
            }
            at = stop + 1;
        }
    }

    /// Hands on the next bytes, none of which is urgent.
    fn hand_on_part(&mut self, offset: u64, length: u64, known: &[u8], kept: &[u8]) -> u64 {
        let place = offset;
        let offset = offset - self.taken();
        advance(self.endpoint, self.details, length as u32);
        if !self.wants.told {
            return 0;
        }
        self.remember(place, &known[..known.len().min(length as usize)]);
        let usable = length.min(self.wants.depth.saturating_sub(offset));
        let told = if self.wants.bytes { usable.min(known.len() as u64) } else { usable };
        let stream = self.details.stream.get_or_insert_default();
        if let Some(digest) = &mut stream.digest {
            digest.update(&known[..known.len().min(told as usize)]);
        }
        if !kept.is_empty() {
            stream.backlog.push(offset, &kept[..kept.len().min(told as usize)]);
        }
        if told > 0 {
            match self.news.last_mut() {
                Some(News::Data(side, data)) if *side == self.side && data.offset + data.length == offset => {
                    data.length += told;
                }
                _ => self.news.push(News::Data(self.side, Gap { offset, length: told })),
            }
        }
        if told < usable {
            // The capture cut these, so they will never come.
            self.tell_gap(Gap { offset: offset + told, length: usable - told });
        }
        if offset + length >= self.wants.depth {
            self.endpoint.flags.set(Flags::DEEP);
            self.wants.told = false;
            self.note(Anomaly::DepthReached);
        }
        told
    }

    /// How many urgent bytes were taken out of the stream.
    fn taken(&self) -> u64 {
        self.details.stream.as_ref().map_or(0, |stream| stream.urgent.taken())
    }

    fn tell_gap(&mut self, gap: Gap) {
        self.details.stream.get_or_insert_default().note_gap(gap);
        if self.wants.told {
            self.news.push(News::Gap(self.side, gap));
        }
    }

    /// Hands on held ranges that the head has reached.
    fn drain(&mut self) {
        loop {
            let head = self.details.offset(self.endpoint.head);
            let run = self.details.stream.as_mut().and_then(|stream| stream.held.pop(head));
            let Some((offset, run)) = run else { break };
            let kept: &[u8] = if self.wants.reads { &run.bytes } else { &[] };
            self.hand_on(offset, run.length, &run.bytes, kept);
        }
        let holds = self.details.stream.as_ref().is_some_and(|stream| !stream.held.is_empty());
        self.endpoint.flags.put(Flags::HELD, holds);
    }

    /// Where the hole at the head ends, if there is one: at the first held range, or where the other end's
    /// acknowledgement reaches.
    fn hole_end(&self) -> Option<u64> {
        let head = self.details.offset(self.endpoint.head);
        let held = self.details.stream.as_ref().and_then(|stream| stream.held.first());
        let lacking =
            lacks(self.endpoint, self.details).map(|end| head + end.since(self.endpoint.head).max(0) as u64);
        match (held, lacking) {
            (Some(held), Some(lacking)) => Some(held.min(lacking)),
            (held, lacking) => held.or(lacking),
        }
    }

    /// Since when bytes wait behind the hole at the head.
    fn waits_since(&self) -> Option<Nanos> {
        self.details.stream.as_ref().and_then(|stream| stream.held.since())
    }

    /// The hole at the head, which ends at this offset, is about to be given up: tells if it was not acknowledged.
    fn note_unacked(&mut self, end: u64) {
        let head = self.details.offset(self.endpoint.head);
        let acked = lacks(self.endpoint, self.details).map_or(0, |acked| acked.since(self.endpoint.head));
        if head + u64::from(acked.max(0).unsigned_abs()) < end {
            self.note(Anomaly::GapWithoutAck);
        }
    }

    /// Gives up the hole at the head, which ends at this offset.
    fn give_up(&mut self, end: u64) {
        let head = self.details.offset(self.endpoint.head);
        advance(self.endpoint, self.details, (end - head) as u32);
        if let Some(stream) = &mut self.details.stream {
            stream.urgent.pass(end);
        }
        self.tell_gap(Gap { offset: head - self.taken(), length: end - head });
        self.drain();
    }

    /// Gives up holes until what is held is within its cap.
    fn cap_held(&mut self, cap: u64, over_all: bool) {
        loop {
            let Some(stream) = &self.details.stream else { return };
            let cap = if over_all { 0 } else { stream.buffer.unwrap_or(cap) };
            if stream.held.is_empty() || stream.held.cost() <= cap {
                return;
            }
            let Some(end) = self.hole_end() else { return };
            self.note(Anomaly::HeldFull);
            self.note_unacked(end);
            self.give_up(end);
        }
    }
}
