//! From a tuple's hash to the flow's record: open addressing with linear probing.

use prefetch_index::prefetch_index;

#[cfg(target_os = "linux")]
use crate::port::sys::pages::prefer_huge_pages;

/// One slot: the tuple's hash and the record's number plus one (0 is an empty slot).
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    entry: u32,
}

/// An open-addressing index of records by their hash.
///
/// A slot's place is the *top* bits of its hash, so that the whole table can be rebuilt by one walk over the slots
/// alone when it grows, without a look at the records.
pub(super) struct Index {
    slots: Vec<Slot>,
    shift: u32,
    used: usize,
}

const FEWEST_SLOTS: usize = 1 << 10;

impl Index {
    pub(super) fn new() -> Index {
        Index::with_slots(FEWEST_SLOTS)
    }

    fn with_slots(count: usize) -> Index {
        let mut slots = Vec::with_capacity(count);
        #[cfg(target_os = "linux")]
        prefer_huge_pages(slots.spare_capacity_mut());
        slots.resize(count, Slot::default());
        Index { slots, shift: 32 - count.trailing_zeros(), used: 0 }
    }

    /// The first record whose hash is `hash` and that `same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut place = (hash >> self.shift) as usize;
        loop {
            let slot = self.slots[place & mask];
            if slot.entry == 0 {
                return None;
            }
            if slot.hash == hash && same(slot.entry - 1) {
                return Some(slot.entry - 1);
            }
            place += 1;
        }
    }

    /// Has the slot where a hash has its place brought into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch_index(&self.slots, (hash >> self.shift) as usize);
    }

    /// Adds a record; the caller has made sure that it is not there yet.
    pub(super) fn insert(&mut self, hash: u32, record: u32) {
        // At most half full: probes stay short, and a walk always meets an empty slot.
        if (self.used + 1) * 2 > self.slots.len() {
            self.grow();
        }
        self.place(Slot { hash, entry: record + 1 });
        self.used += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut place = (slot.hash >> self.shift) as usize;
        while self.slots[place].entry != 0 {
            place = (place + 1) & mask;
        }
        self.slots[place] = slot;
    }

    fn grow(&mut self) {
        let bigger = Index::with_slots(self.slots.len() * 2);
        let old = std::mem::replace(self, bigger);
        for slot in old.slots {
            if slot.entry != 0 {
                self.place(slot);
            }
        }
        self.used = old.used;
    }

    /// Removes a record, moving those behind it that would no longer be found.
    pub(super) fn remove(&mut self, hash: u32, record: u32) {
        let mask = self.slots.len() - 1;
        let mut hole = (hash >> self.shift) as usize;
        while self.slots[hole].entry != record + 1 {
            if self.slots[hole].entry == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let slot = self.slots[place];
            if slot.entry == 0 {
                break;
            }
            let home = (slot.hash >> self.shift) as usize;
            // The slot may move into the hole unless its home lies cyclically behind the hole.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = place;
            }
        }
        self.slots[hole] = Slot::default();
        self.used -= 1;
    }

    /// Bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }
}
