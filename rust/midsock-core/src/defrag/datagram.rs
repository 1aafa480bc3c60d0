//! A datagram of which fragments are still to come.

use super::{Findings, FragmentPolicy};

/// The most pieces one datagram is held in: of 32 bytes each, the largest one still fits.
const MAX_PIECES: usize = 2048;

/// The most bytes that are held of one datagram, those included that others have taken the place of.
const MAX_HELD: usize = 4 << 16;

/// Some of a datagram's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where in the data it starts and ends.
    start: u32,
    end: u32,
    /// Where its bytes are held.
    at: u32,
}

/// What came of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// More of the datagram is to come.
    Waits,
    /// The datagram is whole.
    Whole,
    /// It contradicts what came before, and changes nothing.
    Refused,
    /// The datagram is to be given up: its fragments overlap, and its receiver would discard it.
    Discarded,
    /// The datagram is to be given up: there is too much of it.
    TooMuch,
}

/// The data of a datagram, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// The headers of its first fragment, once that has come.
    pub(super) head: Vec<u8>,
    /// In their order, and without overlap.
    pieces: Vec<Piece>,
    /// What fragments held, in the order in which they came.
    held: Vec<u8>,
    /// How many bytes the pieces cover.
    covered: u32,
    /// Where the data ends, once the last fragment has come.
    total: Option<u32>,
    /// The pieces in place of those that a fragment overlaps.
    scratch: Vec<Piece>,
}

impl Data {
    /// Forgets all, and keeps the memory, if it is little.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.head.shrink_to(256);
        self.pieces.clear();
        self.held.clear();
        self.scratch.clear();
        (self.covered, self.total) = (0, None);
        self.pieces.shrink_to(64);
        self.scratch.shrink_to(64);
        self.held.shrink_to(1 << 12);
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        (self.pieces.capacity() + self.scratch.capacity()) * size_of::<Piece>()
            + self.head.capacity()
            + self.held.capacity()
    }

    /// Takes in a fragment's data, which starts at `start`; `more` is to come behind it.
    pub(super) fn take(
        &mut self,
        start: u32,
        bytes: &[u8],
        more: bool,
        policy: FragmentPolicy,
        findings: &mut Findings,
    ) -> Taken {
        let end = start + bytes.len() as u32;
        let known = self.pieces.last().map_or(0, |piece| piece.end);
        let contradicts = match self.total {
            Some(total) => end > total || !more && end != total,
            None => !more && end < known,
        };
        if contradicts {
            // A last fragment that ends inside of what others hold is the teardrop attack; any other is of its kin.
            findings.add(Findings::TEARDROP);
            return Taken::Refused;
        }
        let first = self.pieces.partition_point(|piece| piece.end <= start);
        let overlapping = self.pieces[first..].iter().take_while(|piece| piece.start < end).count();
        let run = first..first + overlapping;
        if !run.is_empty() {
            if self.is_repeated(run.clone(), start, bytes) {
                self.total = self.total.or((!more).then_some(end));
                return self.state();
            }
            findings.add(Findings::OVERLAP);
            let old = &self.pieces[run.clone()];
            if old.iter().any(|piece| self.differs(*piece, start, bytes)) {
                findings.add(Findings::DIFFERENT);
            }
            if old.iter().any(|piece| piece.start < start && end < piece.end) {
                findings.add(Findings::TEARDROP);
            }
            if policy == FragmentPolicy::Discard {
                return Taken::Discarded;
            }
        }
        if self.held.len() + bytes.len() > MAX_HELD || self.pieces.len() + 2 > MAX_PIECES {
            return Taken::TooMuch;
        }
        let at = self.held.len() as u32;
        self.held.extend_from_slice(bytes);
        if run.is_empty() {
            self.pieces.insert(first, Piece { start, end, at });
            self.covered += end - start;
        } else {
            self.settle(run, Piece { start, end, at }, policy);
            if self.pieces.len() > MAX_PIECES {
                return Taken::TooMuch;
            }
        }
        if !more {
            self.total = Some(end);
        }
        self.state()
    }

    fn state(&self) -> Taken {
        if self.total == Some(self.covered) { Taken::Whole } else { Taken::Waits }
    }

    /// Whether a fragment is one that came before, byte for byte.
    fn is_repeated(&self, run: std::ops::Range<usize>, start: u32, bytes: &[u8]) -> bool {
        let [piece] = self.pieces[run] else { return false };
        (piece.start, piece.end - piece.start) == (start, bytes.len() as u32)
            && !self.differs(piece, start, bytes)
    }

    /// Whether a fragment holds other bytes than a piece that it overlaps.
    fn differs(&self, piece: Piece, start: u32, bytes: &[u8]) -> bool {
        let (from, to) = (start.max(piece.start), (start + bytes.len() as u32).min(piece.end));
        let new = &bytes[(from - start) as usize..(to - start) as usize];
        let old = (piece.at + from - piece.start) as usize;
        self.held[old..][..new.len()] != *new
    }

    /// Puts a new piece among those of a run, all of which it overlaps.
    fn settle(&mut self, run: std::ops::Range<usize>, new: Piece, policy: FragmentPolicy) {
        self.scratch.clear();
        // Where the part of the new piece begins that is not yet settled.
        let mut from = new.start;
        let mut put = |start: u32, end: u32, of: Piece| {
            if start < end {
                self.scratch.push(Piece { start, end, at: of.at + start - of.start });
            }
        };
        for old in &self.pieces[run.clone()] {
            if policy.prefers_new((new.start, new.end), (old.start, old.end)) {
                put(old.start, new.start, *old);
                if old.end > new.end {
                    put(from, new.end, new);
                    put(new.end, old.end, *old);
                    from = new.end;
                }
            } else {
                put(from, old.start, new);
                put(old.start, old.end, *old);
                from = old.end;
            }
        }
        put(from, new.end, new);
        let before: u32 = self.pieces[run.clone()].iter().map(|piece| piece.end - piece.start).sum();
        let after: u32 = self.scratch.iter().map(|piece| piece.end - piece.start).sum();
        self.covered = self.covered - before + after;
        self.pieces.splice(run, self.scratch.drain(..));
    }

    /// How long a whole datagram's data is.
    pub(super) fn length(&self) -> u32 {
        self.covered
    }

    /// Appends the data of a whole datagram.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        for piece in &self.pieces {
            to.extend_from_slice(&self.held[piece.at as usize..][..(piece.end - piece.start) as usize]);
        }
    }
}
