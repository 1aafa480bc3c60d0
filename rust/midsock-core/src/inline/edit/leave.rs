//! Segments of the edited side, as they leave.

use super::frame::{Made, Parts, Source, Template};
use super::{Edits, translate};
use crate::Nanos;
use crate::inline::rewrite::{Area, Layout, Target};
use crate::tcp::Seq;
use crate::wire::{Outcome, Segment, TcpFlags};

/// The payload that every path takes, for flows whose handshake was not seen: IPv4's and IPv6's smallest packet less
/// headers (RFC 9293, 3.7.1).
const SAFE: [usize; 2] = [536, 1220];

/// The most that is sent again at a time, in bytes (RFC 6928).
const FIRST_WINDOW: u32 = 14_600;

/// What became of a segment that left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Made frames go out in place of it. If not, its frame does, changed as needed.
    pub is_replaced: bool,
    /// The receiver has all that was left of the stream up to this original number, but will not say so: its sender is to
    /// be told.
    pub answer: Option<Seq>,
}

/// What leaves of a segment.
struct Out {
    /// The first byte's new number.
    seq: Seq,
    /// The payload is not the segment's own.
    is_other: bool,
    /// Nothing of it is left but its acknowledgement.
    is_empty: bool,
}

/// What is to be known of the flow for a segment to leave.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    /// The maximum segment size that the receiver announced; 0 if that is not known.
    pub mss: u16,
    /// The segment was accepted: what it says moves the state.
    pub accepted: bool,
    /// An acknowledgement can be made towards the sender.
    pub can_answer: bool,
    /// Now.
    pub now: Nanos,
}

impl Edits {
    /// Changes a segment of this side that is about to leave: its numbers and its bytes become those that the receiver
    /// is to see. What does not fit the frame is made anew at the end of `made`, in segments that the path takes.
    ///
    /// The segment's fields must be those that it arrived with, in original numbers; its frame may have been changed.
    pub fn leave(
        &mut self,
        target: &mut Target<'_>,
        leaving: Leaving,
        content: &mut Vec<u8>,
        made: &mut Made,
    ) -> Left {
        let segment = target.segment;
        if segment.is_broken() || target.frame.len() < usize::from(segment.payload) {
            return Left::default();
        }
        let Some(layout) = Layout::of(target.frame, Outcome::Tcp, segment, target.checksum) else {
            return Left::default();
        };
        let (start, has_fin) = (Seq(segment.seq), segment.flags.contains(TcpFlags::FIN));
        let end = start.plus(segment.length);
        if self.unknown && leaving.accepted {
            self.unknown = false;
            (self.sent, self.base) = (start, (start, start));
        }
        if segment.flags.contains(TcpFlags::SYN) {
            if leaving.accepted && end.plus(1).after(self.sent) {
                self.sent = end.plus(1);
            }
            return Left::default();
        }
        if segment.flags.contains(TcpFlags::RST) || segment.captured < segment.length {
            let seq = self.to_new(start);
            self.shift(&layout, target, seq);
            return Left::default();
        }
        if leaving.accepted {
            self.largest = self.largest.max(segment.length);
        }
        if self.in_order && start.after(self.sent) && (segment.length > 0 || has_fin) {
            // Empty and old, it makes the receiver say what it lacks.
            let seq = self.to_new(self.sent).minus(1);
            self.make(&Source::whole(target, layout), seq, &[], TcpFlags::FIN, leaving.mss, made);
            return Left { is_replaced: true, answer: None };
        }
        content.clear();
        let mut out = self.assemble(segment, segment.payload(target.frame), leaving.accepted, content);
        let is_old = start.before(self.sent) && end.since(self.sent) <= 0;
        // Data is to be acknowledged; a keep-alive without any, too.
        let asks = segment.length > 0 || start == self.sent.minus(1);
        let known = self.acked.map(|(ack, _)| ack).filter(|ack| ack.since(out.seq) >= 0);
        if leaving.accepted {
            self.note_sent(start, end, has_fin);
            self.set_due(leaving.now);
        }
        let mut answer = None;
        if out.is_empty && !has_fin && asks {
            if known.is_some() && segment.length > 0 && leaving.can_answer {
                answer = Some(self.to_original(out.seq));
            } else if let Some(ack) = known {
                // The receiver only answers what is old to it.
                out.seq = if out.seq.before(ack) { out.seq } else { ack.minus(1) };
            } else if is_old {
                let next = self.to_new(self.sent);
                out.seq = if out.seq.before(next) { out.seq } else { next.minus(1) };
            }
        }
        if out.is_other && content.len() != segment.length as usize {
            let source = Source::whole(target, layout);
            self.make(&source, out.seq, content, TcpFlags(0), leaving.mss, made);
            if leaving.accepted {
                self.keep_template(target, out.seq, content.len(), has_fin);
            }
            return Left { is_replaced: true, answer };
        }
        if out.is_other {
            layout.put(target.frame, Area::Tcp, usize::from(segment.payload), content);
        }
        self.shift(&layout, target, out.seq);
        if leaving.accepted {
            self.keep_template(target, out.seq, segment.length as usize, has_fin);
        }
        Left { is_replaced: false, answer }
    }

    /// Sends again what the sender knows nothing of and the receiver has not acknowledged in time, or had no room for
    /// when it was sent. Frames are made at the end of `made`. To be called at [`Edits::due`].
    pub fn resend(&mut self, mss: u16, now: Nanos, made: &mut Made) {
        let is_due = self.due.is_some_and(|due| due <= now);
        let window = self.again.take();
        let Some((ack, edge)) = self.acked else {
            if is_due {
                self.resend_first(mss, now, made);
            }
            return;
        };
        if let Some((from, to)) = window {
            self.resend_range(from, to, mss, made);
        }
        if is_due {
            self.due = None;
            self.tries += 1;
            self.set_due(now);
            // At least something, as a probe of a window that is closed.
            let end = if edge.after(ack) { edge } else { ack.plus(1) };
            let first = self.list.iter().find(|edit| edit.sent && !edit.data.is_empty());
            if let Some(edit) = first
                && edit.new_start.since(ack) <= 0
            {
                // No more than a first window, for what is lost may be lost to congestion.
                let most = ack.plus(FIRST_WINDOW);
                self.resend_range(ack, if end.after(most) { most } else { end }, mss, made);
            }
        }
    }

    fn resend_first(&mut self, mss: u16, now: Nanos, made: &mut Made) {
        self.due = None;
        self.tries += 1;
        self.set_due(now);
        if let Some(edit) = self.list.iter().find(|edit| edit.sent && !edit.data.is_empty()) {
            let (from, to) = (edit.new_start, edit.new_end());
            self.resend_range(from, to, mss, made);
        }
    }

    /// Sends again those bytes of edits that lie in this range of new numbers.
    fn resend_range(&self, from: Seq, to: Seq, mss: u16, made: &mut Made) {
        let Some(source) = self.template.as_ref().and_then(Template::source) else { return };
        for edit in self.list.iter().filter(|edit| edit.sent) {
            let start = from.since(edit.new_start).max(0) as usize;
            let end = (to.since(edit.new_start).max(0) as usize).min(edit.data.len());
            if start < end {
                let seq = edit.new_start.plus(start as u32);
                let most = self.limit(mss, &source);
                for (step, piece) in edit.data[start..end].chunks(most).enumerate() {
                    let seq = seq.plus((step * most) as u32);
                    let flags = TcpFlags::ACK | TcpFlags::PSH;
                    let parts = Parts { seq, flags, urgent: 0, ack: None, step: step as u16 + 1 };
                    source.make(made, parts, piece);
                }
            }
        }
    }

    /// Sends what was inserted at the side's position and has not left, by the side's latest headers; says whether
    /// there were any.
    pub fn send_inserted(&mut self, mss: u16, now: Nanos, made: &mut Made) -> bool {
        if self.template.is_none() {
            return false;
        }
        let next = self.to_new(self.sent);
        let sent = self.sent;
        for edit in self.list.iter_mut().filter(|edit| edit.is_insertion() && edit.start == sent) {
            edit.sent = true;
        }
        let end = self.to_new(self.sent);
        self.resend_range(next, end, mss, made);
        if let Some(template) = &mut self.template {
            template.pass(end);
        }
        self.set_due(now);
        true
    }

    /// Makes the acknowledgement of `answer`, an original number, that this side's sender is waiting for, from the
    /// headers of the other side; `shift` is that side's window scale, if it is known. Returns the end of the window
    /// that it tells, an original number.
    pub fn answer(&self, answer: Seq, shift: Option<u8>, from: &Template, made: &mut Made) -> Seq {
        let window = match (self.acked, shift) {
            (Some((_, edge)), Some(shift)) => {
                let room = self.to_original(edge).since(answer).max(0) as u32;
                (room >> shift).min(0xffff) as u16
            }
            _ => from.window(),
        };
        from.acknowledge(made, answer, window);
        answer.plus(u32::from(window) << shift.unwrap_or(0))
    }

    /// Puts together the payload that takes the place of a segment's.
    fn assemble(&mut self, segment: &Segment, payload: &[u8], marks: bool, content: &mut Vec<u8>) -> Out {
        let start = Seq(segment.seq);
        let end = start.plus(segment.length);
        let has_fin = segment.flags.contains(TcpFlags::FIN);
        let repeats = start.before(self.sent) && segment.length > 0 || has_fin && self.fin.is_some();
        // Of what was acknowledged, nobody knows any more what it became: it is not sent again.
        let behind = self.base.0.since(start).max(0) as u32;
        let skipped = behind.min(segment.length);
        if skipped == segment.length && behind > 0 && !has_fin {
            let is_other = segment.length > 0;
            let seq = if is_other { self.base.1 } else { translate(start, self.base) };
            return Out { seq, is_other, is_empty: true };
        }
        let mut at = start.plus(behind);
        let mut place = self.list.partition_point(|edit| {
            if edit.is_insertion() { edit.start.before(at) } else { edit.end().since(at) <= 0 }
        });
        while let Some(edit) = self.list.get(place)
            && edit.is_insertion()
            && edit.start == at
            && edit.sent
            && !repeats
        {
            place += 1;
        }
        let mut is_other = skipped > 0;
        let (before, new_before) = self.end_before(place);
        let mut seq = translate(at, (before, new_before));
        if let Some(edit) = self.list.get(place).filter(|edit| edit.start.before(at)) {
            // It goes along with the bytes that the edit began with.
            (seq, is_other) = (edit.new_end(), true);
            at = if edit.end().after(end) { end } else { edit.end() };
            place += 1;
        }
        let bytes = |from: Seq, to: Seq| {
            let place = |seq: Seq| seq.since(start).max(0) as usize;
            payload.get(place(from)..place(to)).unwrap_or_default()
        };
        while let Some(edit) = self.list.get_mut(place) {
            let is_within = edit.start.before(end)
                || edit.start == end && edit.is_insertion() && (segment.length > 0 || has_fin || !edit.sent);
            if !is_within {
                break;
            }
            content.extend_from_slice(bytes(at, edit.start));
            content.extend_from_slice(&edit.data);
            edit.sent |= marks;
            at = if edit.end().after(end) { end } else { edit.end() };
            is_other = true;
            place += 1;
        }
        if is_other {
            content.extend_from_slice(bytes(at, end));
        }
        let is_empty = if is_other { content.is_empty() } else { segment.length == 0 };
        Out { seq, is_other, is_empty }
    }

    /// Takes down that an original range left.
    fn note_sent(&mut self, start: Seq, end: Seq, has_fin: bool) {
        if start == end && !has_fin || self.fin.is_some_and(|fin| start.after(fin)) {
            return;
        }
        if has_fin {
            self.fin = Some(end);
        }
        if start.after(self.sent) {
            if self.gaps.len() == super::MOST_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((self.sent, start));
        } else if !self.gaps.is_empty() && start.before(self.sent) {
            let gaps = std::mem::take(&mut self.gaps);
            for (from, to) in gaps {
                let (left, right) =
                    (if start.before(to) { start } else { to }, if end.after(from) { end } else { from });
                for (from, to) in [(from, left), (right, to)] {
                    if from.before(to) && self.gaps.len() < super::MOST_GAPS {
                        self.gaps.push((from, to));
                    }
                }
            }
        }
        if end.after(self.sent) {
            self.sent = end;
        }
    }

    /// Makes the segments that take the place of one, but for the flags `without`.
    fn make(
        &self,
        source: &Source<'_>,
        seq: Seq,
        content: &[u8],
        without: TcpFlags,
        mss: u16,
        made: &mut Made,
    ) {
        let flags = source.flags() & !without;
        let most = self.limit(mss, source);
        let urgent = flags.contains(TcpFlags::URG).then(|| self.to_new(source.urgent()));
        let moved = source.moved();
        let pieces = content.len().div_ceil(most).max(1);
        for step in 0..pieces {
            let piece = &content[step * most..((step + 1) * most).min(content.len())];
            let at = seq.plus((step * most) as u32);
            let mut flags = flags;
            if step + 1 < pieces {
                flags = flags & !(TcpFlags::FIN | TcpFlags::PSH);
            }
            if step > 0 {
                flags = flags & !TcpFlags::CWR;
            }
            let offset = urgent.map_or(0, |urgent| urgent.since(at));
            if offset <= 0 {
                flags = flags & !TcpFlags::URG;
            }
            let urgent = offset.clamp(0, 0xffff) as u16;
            let seq = at.plus(moved);
            source.make(made, Parts { seq, flags, urgent, ack: None, step: step as u16 }, piece);
        }
    }

    /// The most payload that a segment with these headers is given.
    fn limit(&self, mss: u16, source: &Source<'_>) -> usize {
        let options = source.options_length();
        // No larger than this side's own segments: their size says what the path takes.
        let seen = (self.largest as usize).max(SAFE[usize::from(source.is_v6())] - options);
        let agreed = if mss == 0 { seen } else { usize::from(mss).saturating_sub(options) };
        seen.min(agreed).min(source.most()).max(1)
    }

    /// Moves the numbers of a frame in place so that it starts at `seq`.
    fn shift(&self, layout: &Layout, target: &mut Target<'_>, seq: Seq) {
        let segment = target.segment;
        let at = usize::from(segment.transport);
        let moved = seq.0.wrapping_sub(segment.seq);
        let field = |frame: &[u8]| frame.get(at + 4..).and_then(<[u8]>::first_chunk).copied();
        if moved != 0
            && let Some(old) = field(target.frame)
        {
            // What the application set itself moves along.
            let new = u32::from_be_bytes(old).wrapping_add(moved);
            layout.put(target.frame, Area::Tcp, at + 4, &new.to_be_bytes());
        }
        if segment.flags.contains(TcpFlags::URG) {
            let pointer = segment.urgent(target.frame);
            let urgent = self.to_new(Seq(segment.seq).plus(pointer.into()));
            let new = urgent.since(seq).clamp(0, 0xffff) as u16;
            if new != pointer {
                layout.put(target.frame, Area::Tcp, at + 18, &new.to_be_bytes());
            }
        }
    }

    /// Keeps the headers of a segment that leaves as one from `seq` on.
    fn keep_template(&mut self, target: &Target<'_>, seq: Seq, length: usize, has_fin: bool) {
        let end = seq.plus(length as u32).plus(u32::from(has_fin));
        Template::keep(&mut self.template, target.frame, target.segment, end);
    }

    /// Keeps the headers of a frame at hand of the other side, turned round, as this side's latest, if there are none
    /// yet: with `ack`, what this side acknowledged, in the other side's original numbers, and its window field. `change` is what is to be done to the headers besides.
    pub fn turn_template(
        &mut self,
        target: &Target<'_>,
        ack: Seq,
        window: u16,
        change: impl FnOnce(&mut Target<'_>),
    ) {
        if self.template.is_none() {
            let next = self.to_new(self.sent);
            self.template = Template::turned(target, next, ack, window);
            if let Some(template) = &mut self.template {
                template.change(change);
            }
        }
    }
}
