//! Ranges of a stream that lie beyond a hole.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Overlap;

/// A contiguous range that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes it spans.
    pub length: u64,
    /// Those bytes, as far as they are known: the capture may have cut the rest, or only the range is remembered.
    pub bytes: Vec<u8>,
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

/// What a held range costs besides its bytes: its node and its allocation, so that tiny segments cannot take more
/// memory than their cap says.
const RUN_COST: u64 = 64;

/// Ranges that wait for the bytes before them. They never overlap; each is one segment's, as far as it was new.
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

    /// Takes in a segment of `length` bytes at `offset`. `data` holds its bytes from the first on; what it lacks of
    /// them is remembered as a range only.
    pub fn insert(&mut self, offset: u64, length: u64, data: &[u8], policy: Overlap) -> Inserted {
        let end = offset + length;
        let slice = |range: Range<u64>| {
            let known = |at: u64| ((at - offset) as usize).min(data.len());
            &data[known(range.start)..known(range.end)]
        };
        let mut inserted = Inserted::default();
        // Allocates only where there is overlap, which is rare and bounded by the segment's own size.
        let overlapping: Vec<(u64, u64)> = self.overlapping(offset..end).collect();
        let mut at = offset;
        for (start, stop) in overlapping {
            if at < start {
                inserted.fresh += self.add(at, start - at, slice(at..start));
            }
            let shared = start.max(offset)..stop.min(end);
            inserted.repeated += shared.end - shared.start;
            inserted.differs |= self.settle(start, shared.clone(), slice(shared), policy);
            at = stop;
        }
        if at < end {
            inserted.fresh += self.add(at, end - at, slice(at..end));
        }
        inserted
    }

    fn add(&mut self, offset: u64, length: u64, data: &[u8]) -> u64 {
        self.cost += RUN_COST + data.len() as u64;
        self.runs.insert(offset, Run { length, bytes: data.to_vec() });
        length
    }

    /// Settles the overlap of new bytes with the run at `start`; returns whether the two differ.
    fn settle(&mut self, start: u64, shared: Range<u64>, data: &[u8], policy: Overlap) -> bool {
        let Some(run) = self.runs.get_mut(&start) else { return false };
        let from = (shared.start - start) as usize;
        let known = run.bytes.len().saturating_sub(from).min(data.len());
        if known == 0 {
            return false;
        }
        let held = &mut run.bytes[from..from + known];
        let differs = held != &data[..known];
        if differs && policy.new_wins() {
            held.copy_from_slice(&data[..known]);
        }
        differs
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
