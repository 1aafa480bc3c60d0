//! One side's stream, where its bytes cannot be handed on straight from the packet.

use sha2::{Digest as _, Sha256};

use super::{Assembler, Backlog, UrgentBytes};
use crate::Nanos;

/// Bytes of a stream that were never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// Stream offset of the first one.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// The SHA-256 of a stream's bytes and how many they were.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    hasher: Sha256,
    length: u64,
}

impl Digest {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// How many bytes were taken in.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The hash of all of them.
    pub fn sha256(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }
}

/// Gaps that are remembered one by one; beyond, the last one grows, so that a hostile stream takes bounded memory.
const MOST_GAPS: usize = 1 << 14;

/// What one side's stream needs once a segment came out of order, bytes stayed unread, or the application set
/// something for this side alone.
#[derive(Debug, Default)]
pub struct Stream {
    /// Ranges beyond the first hole.
    pub held: Assembler,
    /// Ranges that were handed on, kept to be compared with what repeats them.
    pub past: Assembler,
    /// Contiguous bytes that wait to be read.
    pub backlog: Backlog,
    /// Since when the other end has acknowledged bytes that were never seen.
    pub lacking_since: Nanos,
    /// Hash of what was handed on, if wanted.
    pub digest: Option<Box<Digest>>,
    /// This side's own settings; `None` stands for those of the monitoring sockets.
    pub depth: Option<u64>,
    /// Cap on held and on unread bytes.
    pub buffer: Option<u64>,
    /// Bytes that are no part of the stream.
    pub urgent: UrgentBytes,
    gaps: Vec<Hole>,
}

/// A gap, and how many urgent bytes were taken out of the stream before it.
#[derive(Clone, Copy, Debug)]
struct Hole {
    gap: Gap,
    taken: u64,
}

impl Hole {
    /// Where it lies in all bytes, those included that were taken out.
    fn range(&self) -> std::ops::Range<u64> {
        let start = self.gap.offset + self.taken;
        start..start + self.gap.length
    }
}

impl Stream {
    /// A stream whose bytes are hashed.
    pub fn hashed() -> Stream {
        Stream { digest: Some(Box::default()), ..Stream::default() }
    }

    /// Remembers a gap.
    pub fn note_gap(&mut self, gap: Gap) {
        let (is_full, taken) = (self.gaps.len() >= MOST_GAPS, self.urgent.taken());
        match self.gaps.last_mut() {
            Some(Hole { gap: last, taken: before })
                if is_full || last.offset + last.length == gap.offset && *before == taken =>
            {
                last.length = gap.offset + gap.length - last.offset;
            }
            _ => self.gaps.push(Hole { gap, taken }),
        }
    }

    /// The bytes that were never seen, in order.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.gaps.iter().map(|hole| hole.gap)
    }

    /// How many bytes of a range lie in gaps, the range counted in all bytes, those included that were taken out.
    pub fn missing(&self, range: std::ops::Range<u64>) -> u64 {
        let first = self.gaps.partition_point(|hole| hole.range().end <= range.start);
        self.gaps[first..]
            .iter()
            .map(Hole::range)
            .take_while(|hole| hole.start < range.end)
            .map(|hole| hole.end.min(range.end) - hole.start.max(range.start))
            .sum()
    }

    /// Bytes of memory that held, unread and remembered bytes take.
    pub fn cost(&self) -> u64 {
        self.held.cost() + self.past.cost() + self.backlog.len()
    }
}
