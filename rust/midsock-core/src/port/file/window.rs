//! The one buffer that a capture file is read through.

use std::io::{self, Read};

/// The longest record, header and options included, that a file may hold. Nothing longer was ever captured: libpcap
/// and Wireshark stop at frames of 256 KiB, the rest is room for pcapng options.
pub(super) const MAX_RECORD: usize = 1 << 20;

/// Bytes asked of the system in one read.
const CHUNK: usize = 256 << 10;

/// Reads start at a page boundary of memory as well as of the file, where the kernel copies fastest.
const ALIGNMENT: usize = 4096;

/// A window over the file: records are walked where `read` put them.
///
/// Every read fills the same `CHUNK` bytes. A record that a read cut in two is joined by moving its first part, and
/// nothing else, to just before those bytes. The room in front is address space that stays untouched, and so costs no
/// memory, unless records are that long.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Where reads start.
    floor: usize,
    /// Where the first byte not yet walked is.
    start: usize,
    /// Where the bytes that were read end.
    end: usize,
    /// Bytes read since the window was made or emptied.
    delivered: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        let bytes = vec![0; MAX_RECORD + ALIGNMENT + CHUNK];
        let floor = MAX_RECORD + bytes[MAX_RECORD..].as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, floor, start: floor, end: floor, delivered: 0 }
    }

    /// What packets' offsets count in.
    pub(super) fn memory(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// The bytes read but not yet walked.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Where the first byte not yet walked is in [`Self::memory`].
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Goes on to offset `at` of [`Self::memory`].
    pub(super) fn advance_to(&mut self, at: usize) {
        debug_assert!(self.start <= at && at <= self.end);
        self.start = at;
    }

    /// Where the first byte not yet walked is in the (decompressed) file.
    pub(super) fn position(&self) -> u64 {
        self.delivered - (self.end - self.start) as u64
    }

    /// Forgets what was read, as if nothing had been, and returns it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let taken = self.rest().to_vec();
        (self.start, self.end, self.delivered) = (self.floor, self.floor, 0);
        taken
    }

    /// Reads once from `source`; 0 means that it has ended.
    ///
    /// All offsets into [`Self::memory`] are stale after this. Call it only when what is left is less than one record.
    pub(super) fn refill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        // A pipe hands out less than was asked for: what fits behind is put there, so that nothing moves.
        if self.start == self.end || self.end == self.floor + CHUNK {
            let rest = self.end - self.start;
            // Less than a record is left, and a record is at most as long as the room in front of the floor.
            let start = self.floor - rest;
            self.bytes.copy_within(self.start..self.end, start);
            (self.start, self.end) = (start, self.floor);
        }
        let got = source.read(&mut self.bytes[self.end..self.floor + CHUNK])?;
        self.end += got;
        self.delivered += got as u64;
        Ok(got)
    }

    /// Reads until at least `wanted` bytes are there, or the source has ended; whether they are there.
    pub(super) fn need(&mut self, wanted: usize, source: &mut impl Read) -> io::Result<bool> {
        while self.rest().len() < wanted {
            if self.refill(source)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
