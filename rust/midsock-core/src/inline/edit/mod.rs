//! Replacing ranges of a side's stream by data of any length.
//!
//! A side's sender goes on in its own sequence numbers, the *original* ones; its receiver sees *new* ones, in which the
//! edited stream has no holes. [`Edits`] holds the map between the two and the bytes that the receiver did not
//! acknowledge yet, so that a retransmission, however it is cut up, carries the edited bytes again. What was
//! acknowledged leaves nothing but a difference of sequence numbers.
//!
//! * Segments of the edited side are changed as they leave ([`Edits::leave`]).
//! * Segments of its receiver are changed as they arrive ([`Edits::arrive`]), so that everything between the two, this
//!   stack's own state included, works in original numbers.
//!
//! A byte of the original stream is acknowledged to its sender once all that took the place of it and of what precedes it
//! was acknowledged by the receiver. Bytes that were deleted are acknowledged as soon as everything before them is: by
//! the receiver's next acknowledgement, or by one that is made here if none is to come.

mod arrive;
mod frame;
mod leave;

use std::collections::VecDeque;

pub use self::arrive::Arrived;
pub use self::frame::{Made, Template};
pub use self::leave::{Leaving, Left};
use crate::Nanos;
use crate::tcp::Seq;

/// The most bytes that one side's edits up to a new one hold which the receiver has not acknowledged, their bookkeeping
/// included. All of them hold at most twice as many: what follows bytes that are missing must not keep these from being
/// edited when they come, for nothing would go on then.
pub const MOST_HELD: usize = 1 << 20;

/// What one edit counts for beside its bytes.
const COST: usize = 64;

/// The most holes of a side's stream that are remembered. Bytes of a hole forgotten count as sent.
const MOST_GAPS: usize = 16;

/// How far the map's beginning may stay behind the receiver's acknowledgements.
const BEHIND: i32 = 1 << 30;

/// The first wait for an acknowledgement of bytes that the sender knows nothing of, where no round trip was measured
/// (RFC 6298, 2.1).
const FIRST_WAIT: Nanos = 1_000_000_000;
/// The longest wait.
const LONGEST_WAIT: Nanos = 60_000_000_000;
/// The shortest.
const SHORTEST_WAIT: Nanos = 200_000_000;
/// How often bytes are sent again before they are given up.
const MOST_TRIES: u32 = 12;

/// Why a stream was not edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The range is not within the packet's payload.
    #[error("the range is not within the packet's payload")]
    Range,
    /// The edit overlaps an earlier one in part.
    #[error("the range overlaps an earlier edit in part; edit what that one left, or all of its range")]
    Overlap,
    /// Only some of the bytes were sent on before.
    #[error(
        "some of these bytes were sent on before, as part of another segment; edit only those that were not"
    )]
    PartlySent,
    /// Bytes that follow were sent on before, so that the length cannot change any more.
    #[error(
        "bytes that follow were sent on before, so these can only be replaced by as many; keep the side in order \
         to prevent this"
    )]
    LaterSent,
    /// Too many bytes wait for the receiver's acknowledgement.
    #[error(
        "more than {MOST_HELD} bytes of edits wait to be acknowledged by the receiver; drop the packet to have it \
         come again"
    )]
    Full,
    /// The side has closed its stream, or the connection is over.
    #[error("the side has closed its stream; nothing can follow")]
    Closed,
    /// The connection is not set up yet.
    #[error("the connection is not set up yet")]
    NotSetUp,
    /// The side's state is not tracked, so its position is not known.
    #[error("the position in the side's stream is not known: no packet of it was seen, or it is not tracked")]
    Unknown,
    /// The packet is not whole, or not of a kind whose length can be changed.
    #[error("the packet cannot be edited: {0}")]
    Packet(&'static str),
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It was taken.
    Done,
    /// The packet repeats bytes that were sent on before; they go out as they did then.
    Repeated,
}

/// One edit.
#[derive(Clone)]
struct Edit {
    /// Its first byte's original number.
    start: Seq,
    /// How many original bytes it replaces.
    removed: u32,
    /// Its first byte's new number.
    new_start: Seq,
    /// What takes their place.
    data: Box<[u8]>,
    /// Whether that was sent.
    sent: bool,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, new_start, length) = (self.start, self.new_start, self.data.len());
        write!(f, "{start}+{} at {new_start}+{length}{}", self.removed, if self.sent { " sent" } else { "" })
    }
}

impl Edit {
    fn end(&self) -> Seq {
        self.start.plus(self.removed)
    }

    fn new_end(&self) -> Seq {
        self.new_start.plus(self.data.len() as u32)
    }

    fn is_insertion(&self) -> bool {
        self.removed == 0
    }

    fn cost(&self) -> usize {
        self.data.len() + COST
    }
}

/// The edits of one side's stream.
#[derive(Debug)]
pub struct Edits {
    /// An original number and its new one, from which on the map holds; what lies before was acknowledged.
    base: (Seq, Seq),
    /// What the receiver has not acknowledged in full, in order.
    list: VecDeque<Edit>,
    /// One beyond the highest original number that left; does not count a FIN.
    sent: Seq,
    /// Where the stream is was not known yet when this was made: the first segment shows it.
    unknown: bool,
    /// The original number of the FIN, once that left.
    fin: Option<Seq>,
    /// Original ranges before `sent` that never left.
    gaps: Vec<(Seq, Seq)>,
    /// What the receiver acknowledged, and the end of its window: new numbers.
    acked: Option<(Seq, Seq)>,
    /// An acknowledgement that arrived and is still to be judged, and the end of its window.
    arrived: Option<(Seq, Seq)>,
    /// What the edits hold.
    held: usize,
    /// The most payload that a segment of this side had.
    largest: u32,
    /// Nothing passes that would leave a hole behind.
    in_order: bool,
    /// The side's latest headers as they left.
    template: Option<Template>,
    /// New numbers that the receiver had no room for when they were sent, and has now.
    again: Option<(Seq, Seq)>,
    /// When bytes that were not acknowledged are sent again.
    due: Option<Nanos>,
    tries: u32,
    /// The first wait.
    wait: Nanos,
}

impl Edits {
    /// No edits yet of a stream whose bytes before `sent`, an original number, have left; `round_trip` is the time that
    /// its receiver takes to answer, in nanoseconds, if it is known.
    pub fn new(sent: Seq, round_trip: Option<Nanos>) -> Edits {
        Edits {
            base: (sent, sent),
            list: VecDeque::new(),
            sent,
            unknown: false,
            fin: None,
            gaps: Vec::new(),
            acked: None,
            arrived: None,
            held: 0,
            largest: 0,
            in_order: false,
            template: None,
            again: None,
            due: None,
            tries: 0,
            wait: round_trip
                .map_or(FIRST_WAIT, |trip| trip.saturating_mul(3).clamp(SHORTEST_WAIT, FIRST_WAIT * 3)),
        }
    }

    /// No edits yet of a stream of which no segment was seen.
    pub fn unknown() -> Edits {
        Edits { unknown: true, ..Edits::new(Seq(0), None) }
    }

    /// Says that the stream's FIN has left: it takes the next number.
    pub fn close(&mut self) {
        self.fin = Some(self.sent);
    }

    /// Says that an original range before [`Edits::sent`] has not left.
    pub fn leave_gap(&mut self, start: Seq, end: Seq) {
        self.gaps.push((start, end));
        if start.before(self.base.0) {
            self.base = (start, start);
        }
    }

    /// Replaces `removed` original bytes from `start` on by `data`, where the packet at hand has the original bytes from
    /// the first number of `packet` up to the second.
    ///
    /// Bytes that were sent on before cannot be changed any more. An edit that covers others which have not left takes
    /// their place; so does one that overlaps others of bytes beyond this packet, for they are of packets that did not
    /// leave: their bytes come again, cut up in another way, and can be edited then. `Full` leaves everything as it is.
    pub fn replace(
        &mut self,
        packet: (Seq, Seq),
        start: Seq,
        removed: u32,
        data: &[u8],
    ) -> Result<Replaced, EditError> {
        let end = start.plus(removed);
        if start.before(self.base.0) {
            return Ok(Replaced::Repeated);
        }
        if start == self.sent && removed == 0 {
            // Behind a packet that was here before, or a FIN, nothing is inserted any more.
            let is_behind_old = packet.0.before(start) && self.list.iter().any(|edit| edit.start == start);
            if is_behind_old || self.fin.is_some() {
                return Ok(Replaced::Repeated);
            }
        }
        if start.before(self.sent) {
            let is_gap = |gap: &(Seq, Seq)| start.since(gap.0) >= 0 && end.since(gap.1) <= 0;
            if self.gaps.iter().any(is_gap) && removed > 0 {
                if removed as usize != data.len() {
                    return Err(EditError::LaterSent);
                }
            } else if end.after(self.sent) {
                return Err(EditError::PartlySent);
            } else {
                return Ok(Replaced::Repeated);
            }
        }
        self.register(packet, start, removed, data)?;
        Ok(Replaced::Done)
    }

    /// Inserts `data` before the original number `at`, after whatever was inserted there before.
    pub fn insert(&mut self, at: Seq, data: &[u8]) -> Result<(), EditError> {
        if at.before(self.sent) || self.fin.is_some() {
            return Err(if self.fin.is_some() { EditError::Closed } else { EditError::LaterSent });
        }
        self.register((at, at), at, 0, data)
    }

    /// Lets nothing pass any more that would leave a hole in the stream behind, so that edits may always change lengths:
    /// what comes early is withheld, its receiver is made to ask for what is missing, and the sender sends it all again.
    pub fn keep_order(&mut self, on: bool) {
        self.in_order = on;
    }

    /// Whether something was inserted at the side's position that has not left.
    pub fn has_inserted(&self) -> bool {
        let is_pending = |edit: &Edit| edit.is_insertion() && edit.start == self.sent && !edit.sent;
        self.fin.is_none() && self.list.back().is_some_and(is_pending)
    }

    /// One beyond the highest original number that left, not counting a FIN.
    pub fn sent(&self) -> Seq {
        self.sent
    }

    /// Whether bytes wait to be acknowledged, for which [`Edits::due`] says when to send them again.
    pub fn is_waiting(&self) -> bool {
        !self.list.is_empty()
    }

    /// When [`Edits::resend`] is to be called, if it is.
    pub fn due(&self) -> Option<Nanos> {
        if self.again.is_some() { Some(Nanos::MIN) } else { self.due }
    }

    /// Bytes that the edits hold, their bookkeeping included; at most twice [`MOST_HELD`].
    pub fn held(&self) -> usize {
        self.held
    }

    /// The side's latest headers as they left, for frames to be made from.
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    fn register(
        &mut self,
        packet: (Seq, Seq),
        start: Seq,
        removed: u32,
        data: &[u8],
    ) -> Result<(), EditError> {
        if removed == 0 && data.is_empty() {
            return Ok(());
        }
        let end = start.plus(removed);
        let is_left_behind = |edit: &Edit| {
            !edit.sent && removed > 0 && (edit.start.before(packet.0) || edit.end().after(packet.1))
        };
        let mut first = self
            .list
            .partition_point(|edit| edit.start.before(start) || edit.start == start && edit.is_insertion());
        let mut last = first;
        if first > 0 && self.list[first - 1].end().after(start) {
            first -= 1;
            if !is_left_behind(&self.list[first]) {
                return Err(EditError::Overlap);
            }
        }
        while let Some(edit) = self.list.get(last).filter(|edit| edit.start.before(end)) {
            if edit.end().after(end) && !is_left_behind(edit) {
                return Err(EditError::Overlap);
            }
            last += 1;
        }
        let freed: usize = self.list.range(first..last).map(Edit::cost).sum();
        let after: usize = self.list.range(last..).map(Edit::cost).sum();
        let up_to = self.held - freed - after + data.len() + COST;
        if up_to > MOST_HELD || up_to + after > 2 * MOST_HELD {
            return Err(EditError::Full);
        }
        self.list.drain(first..last);
        let edit = Edit { start, removed, new_start: start, data: data.into(), sent: false };
        self.held = self.held - freed + edit.cost();
        self.list.insert(first, edit);
        for i in first..self.list.len() {
            let (end, new_end) = self.end_before(i);
            let edit = &mut self.list[i];
            edit.new_start = new_end.plus(edit.start.0.wrapping_sub(end.0));
        }
        Ok(())
    }

    /// Where what precedes the edit at this place of the list ends: original and new number.
    fn end_before(&self, place: usize) -> (Seq, Seq) {
        let before = place.checked_sub(1).and_then(|before| self.list.get(before));
        before.map_or(self.base, |edit| (edit.end(), edit.new_end()))
    }

    /// The new number of an original one that lies in no edit: behind what was inserted there and sent. Inside an edit,
    /// the end of what took its place.
    pub fn to_new(&self, original: Seq) -> Seq {
        let place = self.list.partition_point(|edit| {
            if edit.is_insertion() {
                edit.start.before(original) || edit.start == original && edit.sent
            } else {
                edit.end().since(original) <= 0
            }
        });
        match self.list.get(place) {
            Some(edit) if edit.start.before(original) => edit.new_end(),
            _ => translate(original, self.end_before(place)),
        }
    }

    /// The highest original number before which nothing is missing if nothing is before this new one.
    pub fn to_original(&self, new: Seq) -> Seq {
        if new.before(self.base.1) && self.base.0 != self.base.1 {
            // What lies there is forgotten, because all of it was acknowledged.
            return self.base.0;
        }
        let place = self.list.partition_point(|edit| edit.new_end().since(new) <= 0);
        let (end, new_end) = self.end_before(place);
        let original = translate(new, (new_end, end));
        match self.list.get(place) {
            Some(edit) if original.after(edit.start) => edit.start,
            _ => original,
        }
    }

    /// Where a block that the receiver holds begins in original numbers. If bytes are missing before it that the sender
    /// knows nothing of, the block begins one byte later, so that the sender has something to send again that they go
    /// along with.
    fn block_start(&self, new: Seq) -> Seq {
        if new.before(self.base.1) {
            return self.to_original(new);
        }
        let place = self.list.partition_point(|edit| edit.new_end().since(new) <= 0);
        if let Some(edit) = self.list.get(place)
            && edit.new_start.before(new)
        {
            return edit.end().plus(u32::from(edit.is_insertion()));
        }
        let (end, new_end) = self.end_before(place);
        let before = place.checked_sub(1).and_then(|before| self.list.get(before));
        let follows_insertion = new == new_end && before.is_some_and(Edit::is_insertion);
        translate(new, (new_end, end)).plus(u32::from(follows_insertion))
    }

    /// Takes in what the receiver acknowledged and how far its window reaches, both new numbers: forgets edits that it
    /// has in full.
    fn acknowledge(&mut self, ack: Seq, edge: Seq, now: Nanos) {
        let highest = self.to_new(self.sent).plus(u32::from(self.fin.is_some()));
        if ack.after(highest) {
            return;
        }
        let (before, room) = self.acked.unwrap_or((ack.minus(1), edge));
        if ack.before(before) {
            return;
        }
        if edge.after(room) {
            self.again = Some((room, edge));
        }
        self.acked = Some((ack, edge));
        while let Some(edit) = self.list.front() {
            let is_over = edit.new_end().since(ack) <= 0 && (edit.sent || edit.data.is_empty());
            if !is_over {
                break;
            }
            self.base = (edit.end(), edit.new_end());
            self.held -= edit.cost();
            self.list.pop_front();
        }
        if self.base.0.after(self.sent) {
            // Deleted before they could leave: nothing can change them any more.
            self.sent = self.base.0;
        }
        while ack.since(self.base.1) > BEHIND {
            let step = BEHIND as u32 / 2;
            self.base = (self.base.0.plus(step), self.base.1.plus(step));
        }
        if ack.after(before) {
            self.tries = 0;
            self.due = None;
        }
        self.set_due(now);
    }

    /// Starts the clock if bytes that were sent wait to be acknowledged.
    fn set_due(&mut self, now: Nanos) {
        let is_out = self.list.iter().any(|edit| edit.sent && !edit.data.is_empty());
        if !is_out {
            (self.due, self.again) = (None, None);
        } else if self.due.is_none() && self.tries < MOST_TRIES {
            let wait = self.wait.saturating_mul(1 << self.tries.min(20)).min(LONGEST_WAIT);
            self.due = Some(now.saturating_add(wait));
        }
    }
}

/// A number carried over from one numbering to the other, by a pair of equal ones.
fn translate(number: Seq, (from, to): (Seq, Seq)) -> Seq {
    Seq(number.0.wrapping_sub(from.0).wrapping_add(to.0))
}
