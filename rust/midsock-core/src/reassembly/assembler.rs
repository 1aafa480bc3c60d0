//! Segments of a stream that wait for the bytes before them, or that are kept to be compared with what repeats them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Geometry, Overlap};
use crate::Nanos;

/// A contiguous range that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes it spans.
    pub length: u64,
    /// Those bytes, as far as they are known: the capture may have cut the rest, or only the range is remembered.
    pub bytes: Vec<u8>,
    /// Start and end of the segment that it is of, as that was sent: overlap is judged by these, whatever is left of
    /// the segment.
    pub sent: Range<i64>,
    /// When that came.
    pub since: Nanos,
}

/// What an insertion came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Bytes that filled holes.
    pub fresh: u64,
    /// Bytes that were there already.
    pub repeated: u64,
    /// Some of the repeated bytes differ from those that were there.
    pub differs: bool,
}

/// Bytes that were sent twice, not the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Stream offset of the first one.
    pub offset: u64,
    /// Those that were there.
    pub old: Vec<u8>,
    /// Those that came now; as many.
    pub new: Vec<u8>,
    /// Those that were there stay; or else the new ones replace them.
    pub old_stands: bool,
}

/// A segment that is taken in.
#[derive(Clone, Debug)]
pub struct Piece<'d> {
    /// Start and end as it was sent; the start may lie before the stream's first byte.
    pub sent: Range<i64>,
    /// Stream offset of the first byte that is taken in.
    pub offset: u64,
    /// How many are.
    pub length: u64,
    /// Those bytes, from the first on; what is lacking of them is remembered as a range only.
    pub data: &'d [u8],
    /// When it came.
    pub time: Nanos,
}

impl<'d> Piece<'d> {
    /// A whole segment, whatever its time.
    pub fn whole(offset: u64, length: u64, data: &'d [u8]) -> Piece<'d> {
        let start = offset as i64;
        Piece { sent: start..start.saturating_add_unsigned(length), offset, length, data, time: 0 }
    }

    fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The bytes of a part of it, as far as they are known.
    fn slice(&self, range: &Range<u64>) -> &'d [u8] {
        let known = |at: u64| ((at - self.offset) as usize).min(self.data.len());
        &self.data[known(range.start)..known(range.end)]
    }
}

/// What a held range costs besides its bytes: its node and its allocation, so that tiny segments cannot take more
/// memory than their cap says.
const RUN_COST: u64 = 96;

/// Ranges that wait for the bytes before them, and those that are kept beyond that. They never overlap; each is one
/// segment's, as far as its bytes stand.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    runs: BTreeMap<u64, Run>,
    cost: u64,
}

impl Assembler {
    /// Whether nothing is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What the held ranges cost, in bytes of memory.
    #[inline]
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Where the first range starts.
    pub fn first(&self) -> Option<u64> {
        self.runs.first_key_value().map(|(start, _)| *start)
    }

    /// Since when the first range is held.
    pub fn since(&self) -> Option<Nanos> {
        self.runs.first_key_value().map(|(_, run)| run.since)
    }

    /// Where the first range starts that begins at `offset` or beyond.
    pub fn first_from(&self, offset: u64) -> Option<u64> {
        self.runs.range(offset..).next().map(|(start, _)| *start)
    }

    /// Where the last range ends.
    pub fn end(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(start, run)| start.saturating_add(run.length))
    }

    /// How many bytes of a range are held.
    pub fn covered(&self, range: Range<u64>) -> u64 {
        self.overlapping(range.clone()).map(|(start, end)| end.min(range.end) - start.max(range.start)).sum()
    }

    /// Start and end of the runs that share bytes with a range, in order.
    fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u64)> + use<'_> {
        // Runs don't overlap, so of those that start before the range only the last one can reach into it.
        let before = self.runs.range(..range.start).next_back();
        let from = before.filter(|(start, run)| *start + run.length > range.start);
        from.into_iter()
            .chain(self.runs.range(range.start..range.end.max(range.start)))
            .map(|(start, run)| (*start, start + run.length))
    }

    /// Takes in a whole segment of `length` bytes at `offset`; see [`Assembler::take_in`].
    pub fn insert(&mut self, offset: u64, length: u64, data: &[u8], policy: Overlap) -> Inserted {
        self.take_in(&Piece::whole(offset, length, data), policy, 0, None)
    }

    /// Takes in a segment. Where it overlaps others, the policy settles which bytes stand; those before `fixed` stand
    /// whatever it says. `conflicts` gets both contents where they differ.
    pub fn take_in(
        &mut self,
        piece: &Piece<'_>,
        policy: Overlap,
        fixed: u64,
        mut conflicts: Option<&mut Vec<Conflict>>,
    ) -> Inserted {
        let mut inserted = Inserted::default();
        // Allocates only where there is overlap, which is rare and bounded by the segment's own size.
        let overlapping: Vec<(u64, u64)> = self.overlapping(piece.offset..piece.end()).collect();
        let mut at = piece.offset;
        for (start, stop) in overlapping {
            if at < start {
                inserted.fresh += self.add(piece, at..start);
            }
            let shared = start.max(piece.offset)..stop.min(piece.end());
            inserted.repeated += shared.end - shared.start;
            inserted.differs |= self.settle(start, &shared, piece, policy, fixed, conflicts.as_deref_mut());
            at = stop;
        }
        if at < piece.end() {
            inserted.fresh += self.add(piece, at..piece.end());
        }
        inserted
    }

    fn add(&mut self, piece: &Piece<'_>, range: Range<u64>) -> u64 {
        let (length, bytes) = (range.end - range.start, piece.slice(&range).to_vec());
        self.put(range.start, Run { length, bytes, sent: piece.sent.clone(), since: piece.time });
        length
    }

    /// Puts a range in that shares no bytes with any other.
    pub fn put(&mut self, offset: u64, run: Run) {
        self.cost += RUN_COST + run.bytes.len() as u64;
        self.runs.insert(offset, run);
    }

    /// Settles the overlap of a new segment with the run at `start`; returns whether the two differ.
    fn settle(
        &mut self,
        start: u64,
        shared: &Range<u64>,
        piece: &Piece<'_>,
        policy: Overlap,
        fixed: u64,
        conflicts: Option<&mut Vec<Conflict>>,
    ) -> bool {
        let Some(run) = self.runs.get_mut(&start) else { return false };
        let data = piece.slice(shared);
        let from = (shared.start - start) as usize;
        let known = run.bytes.len().saturating_sub(from).min(data.len());
        let data = &data[..known];
        let held = run.bytes.get_mut(from..from + known).unwrap_or_default();
        let differs = *held != *data;
        let new_wins = policy.new_wins(Geometry::of(&piece.sent, &run.sent));
        if differs && let Some(conflicts) = conflicts {
            let end = shared.start + known as u64;
            let place = if new_wins { fixed.clamp(shared.start, end) } else { end };
            let (old, new) = (
                held.split_at((place - shared.start) as usize),
                data.split_at((place - shared.start) as usize),
            );
            note(conflicts, shared.start, old.0, new.0, true);
            note(conflicts, place, old.1, new.1, false);
        }
        if new_wins {
            let free = shared.start.max(fixed)..shared.end;
            if free.is_empty() {
                return differs;
            }
            let skip = (free.start - shared.start) as usize;
            if skip < known {
                held[skip..].copy_from_slice(&data[skip..]);
            }
            self.hand_over(start, &free, &piece.sent);
        }
        differs
    }

    /// Makes a part of a run one of another segment, which later ones are judged by.
    fn hand_over(&mut self, start: u64, part: &Range<u64>, sent: &Range<i64>) {
        let Some(mut run) = self.runs.remove(&start) else { return };
        self.cost -= RUN_COST + run.bytes.len() as u64;
        if part.end < start + run.length {
            let rest = split(&mut run, part.end - start);
            self.put(part.end, rest);
        }
        if part.start > start {
            let mut middle = split(&mut run, part.start - start);
            middle.sent = sent.clone();
            self.put(part.start, middle);
        } else {
            run.sent = sent.clone();
        }
        self.put(start, run);
    }

    /// Compares bytes at `offset` with those that are there, and notes both contents where they differ.
    pub fn compare(&self, offset: u64, data: &[u8], conflicts: &mut Vec<Conflict>) {
        let end = offset.saturating_add(data.len() as u64);
        let first = self.runs.range(..=offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, run) in self.runs.range(first..end) {
            let known = start + run.bytes.len() as u64;
            let shared = offset.max(*start)..end.min(known);
            if shared.is_empty() {
                continue;
            }
            let old = &run.bytes[(shared.start - start) as usize..(shared.end - start) as usize];
            let new = &data[(shared.start - offset) as usize..(shared.end - offset) as usize];
            note(conflicts, shared.start, old, new, true);
        }
    }

    /// Forgets ranges that end at `offset` or before, and then the first ones until the rest costs no more than `cap`.
    pub fn forget(&mut self, offset: u64, cap: u64) {
        while let Some(first) = self.runs.first_entry()
            && (first.key() + first.get().length <= offset || self.cost > cap)
        {
            self.cost -= RUN_COST + first.remove().bytes.len() as u64;
        }
    }

    /// Takes out the first range if it starts at `offset` or before.
    pub fn pop(&mut self, offset: u64) -> Option<(u64, Run)> {
        let entry = self.runs.first_entry().filter(|entry| *entry.key() <= offset)?;
        let (start, run) = entry.remove_entry();
        self.cost -= RUN_COST + run.bytes.len() as u64;
        Some((start, run))
    }

    /// Forgets all that is held.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.cost = 0;
    }
}

/// Divides a run; returns what lies behind the first `length` bytes.
fn split(run: &mut Run, length: u64) -> Run {
    let bytes = run.bytes.split_off((length as usize).min(run.bytes.len()));
    let rest = Run { length: run.length - length, bytes, sent: run.sent.clone(), since: run.since };
    run.length = length;
    rest
}

/// Notes both contents if they differ, together with those right before them.
fn note(conflicts: &mut Vec<Conflict>, offset: u64, old: &[u8], new: &[u8], old_stands: bool) {
    if old == new {
        return;
    }
    match conflicts.last_mut() {
        Some(last) if last.offset + last.old.len() as u64 == offset && last.old_stands == old_stands => {
            last.old.extend_from_slice(old);
            last.new.extend_from_slice(new);
        }
        _ => conflicts.push(Conflict { offset, old: old.to_vec(), new: new.to_vec(), old_stands }),
    }
}
