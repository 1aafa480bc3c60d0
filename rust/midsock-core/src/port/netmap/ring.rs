//! Rings, their slots and their buffers, where they lie in a region.

use std::sync::atomic::Ordering;

use super::cursor::{Broken, Cursor};
use crate::Nanos;
use crate::port::TIME_LIMIT;
use crate::port::sys::mapping::Mapping;

/// Where the fields of a `netmap_ring` lie in it, and its slots after it.
pub(super) mod at {
    pub(in crate::port::netmap) const BUFFERS: usize = 0;
    pub(in crate::port::netmap) const SLOTS: usize = 8;
    pub(in crate::port::netmap) const BUFFER_SIZE: usize = 12;
    pub(in crate::port::netmap) const HEAD: usize = 20;
    pub(in crate::port::netmap) const CUR: usize = 24;
    pub(in crate::port::netmap) const TAIL: usize = 28;
    pub(in crate::port::netmap) const FLAGS: usize = 32;
    pub(in crate::port::netmap) const TIME: usize = 40;
    pub(in crate::port::netmap) const FIRST_SLOT: usize = 256;
    pub(in crate::port::netmap) const SLOT_SIZE: usize = 16;
}

/// Flag of a ring: the kernel is to write the time of a sync to it.
const RING_TIMESTAMP: u32 = 2;

/// Flag of a slot: its buffer is another one than the kernel last saw there.
pub(super) const BUFFER_CHANGED: u16 = 1;
/// Flag of a slot: the frame goes on in the next one.
pub(super) const MORE: u16 = 0x20;
/// The most slots that one frame may take.
pub(super) const FRAGMENTS: u32 = 64;

/// Where a region's buffers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    /// Where the buffer with index 0 lies.
    pub(super) base: usize,
    /// Bytes of each.
    pub(super) size: usize,
    /// How many there may be: those beyond do not lie in the region.
    pub(super) count: u32,
}

impl Buffers {
    /// Where the buffer lies; none if a slot cannot name it: the first two are the kernel's, others are not there.
    #[inline]
    pub(super) fn place(&self, index: u32) -> Option<usize> {
        (2..self.count).contains(&index).then(|| self.base + index as usize * self.size)
    }

    /// The most bytes of a frame in one buffer: a slot's length has 16 bits.
    pub(super) fn room(&self) -> usize {
        self.size.min(usize::from(u16::MAX))
    }
}

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) buffer: u32,
    pub(super) length: u16,
    pub(super) flags: u16,
}

/// One ring that is bound to a port.
#[derive(Debug)]
pub(super) struct Ring {
    at: usize,
    published: u32,
    pub(super) cursor: Cursor,
    /// Which of the interface's rings of its direction it is; host rings come after the NIC's.
    pub(super) number: u16,
    /// Whether the other end is the host's own network stack.
    pub(super) host: bool,
}

impl Ring {
    /// The ring at `at`, all of which lies in the mapping.
    pub(super) fn new(mapping: &Mapping, at: usize, number: u16, host: bool) -> Result<Ring, Broken> {
        let word = |field| mapping.word(at + field).load(Ordering::Acquire);
        let cursor = Cursor::new(word(at::SLOTS), word(at::HEAD), word(at::TAIL))?;
        Ok(Ring { at, published: cursor.head(), cursor, number, host })
    }

    /// Has the kernel write the time of each sync; what is there now is of no sync of this port's.
    pub(super) fn ask_for_time(&self, mapping: &Mapping) {
        for word in 0..4 {
            mapping.word(self.at + at::TIME + 4 * word).store(0, Ordering::Relaxed);
        }
        mapping.word(self.at + at::FLAGS).fetch_or(RING_TIMESTAMP, Ordering::Relaxed);
    }

    /// The time of the last sync, if the kernel wrote one.
    pub(super) fn time(&self, mapping: &Mapping) -> Option<Nanos> {
        let seconds = signed(mapping, self.at + at::TIME);
        let micros = signed(mapping, self.at + at::TIME + 8);
        if seconds == 0 && micros == 0 {
            return None;
        }
        let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000));
        Some(nanos.clamp(-TIME_LIMIT, TIME_LIMIT))
    }

    /// Reads how far the kernel has got.
    #[inline]
    pub(super) fn refresh(&mut self, mapping: &Mapping) -> Result<(), Broken> {
        self.cursor.see_tail(mapping.word(self.at + at::TAIL).load(Ordering::Acquire))
    }

    /// Gives what was used to the kernel, as the next sync will take it. A poll is to wait for a slot at `wake` or later,
    /// which lies from the cursor's `next` on and not after its tail.
    ///
    /// # Errors
    ///
    /// If somebody else has changed the ring: the kernel, after an error, or whoever else has opened it.
    #[inline]
    pub(super) fn publish(&mut self, mapping: &Mapping, wake: u32) -> Result<(), Broken> {
        let head = mapping.word(self.at + at::HEAD);
        let found = head.load(Ordering::Relaxed);
        if found != self.published {
            return Err(Broken { what: "head", value: found, slots: self.cursor.slots() });
        }
        self.refresh(mapping)?;
        self.cursor.release();
        mapping.word(self.at + at::CUR).store(wake, Ordering::Relaxed);
        self.published = self.cursor.head();
        head.store(self.published, Ordering::Release);
        Ok(())
    }

    #[inline]
    pub(super) fn slot(&self, mapping: &Mapping, place: u32) -> Slot {
        let at = self.slot_at(place);
        let [a, b, c, d] = mapping.word(at + 4).load(Ordering::Relaxed).to_ne_bytes();
        Slot {
            buffer: mapping.word(at).load(Ordering::Relaxed),
            length: u16::from_ne_bytes([a, b]),
            flags: u16::from_ne_bytes([c, d]),
        }
    }

    #[inline]
    pub(super) fn set_slot(&self, mapping: &Mapping, place: u32, slot: Slot) {
        let at = self.slot_at(place);
        let ([a, b], [c, d]) = (slot.length.to_ne_bytes(), slot.flags.to_ne_bytes());
        mapping.word(at).store(slot.buffer, Ordering::Relaxed);
        mapping.word(at + 4).store(u32::from_ne_bytes([a, b, c, d]), Ordering::Relaxed);
    }

    #[inline]
    fn slot_at(&self, place: u32) -> usize {
        self.at + at::FIRST_SLOT + place as usize * at::SLOT_SIZE
    }
}

/// A signed number of 64 bits at a multiple of four.
pub(super) fn signed(mapping: &Mapping, at: usize) -> i64 {
    let mut bytes = [0; 8];
    for (half, at) in bytes.chunks_exact_mut(4).zip([at, at + 4]) {
        half.copy_from_slice(&mapping.word(at).load(Ordering::Relaxed).to_ne_bytes());
    }
    i64::from_ne_bytes(bytes)
}
