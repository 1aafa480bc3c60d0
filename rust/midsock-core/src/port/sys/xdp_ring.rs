//! The rings that an AF_XDP socket shares with the kernel.
//!
//! A ring has a power of two of entries and two free-running 32-bit indexes: its producer's, the entries ever put in,
//! and its consumer's, the entries ever taken out. Each is written by one side only.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;

use super::mapping::Mapping;

/// `linux/if_xdp.h`: the kernel sleeps, and has to be told of new entries.
const XDP_RING_NEED_WAKEUP: u32 = 1 << 0;

/// Where the parts of a ring lie in its mapping, in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::port) struct Layout {
    pub(in crate::port) producer: usize,
    pub(in crate::port) consumer: usize,
    pub(in crate::port) flags: usize,
    pub(in crate::port) entries: usize,
}

/// A received frame, or one to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(in crate::port) struct Descriptor {
    /// Where it starts in the UMEM.
    pub(in crate::port) address: u64,
    /// Its bytes.
    pub(in crate::port) length: u32,
    /// [`CONTINUES`] or nothing.
    pub(in crate::port) options: u32,
}

/// `linux/if_xdp.h`, `XDP_PKT_CONTD`: the packet goes on in the next descriptor.
pub(in crate::port) const CONTINUES: u32 = 1 << 0;

/// What a ring may hold: plain values, any bits of which are valid.
pub(in crate::port) trait Entry: Copy + private::Plain {}
impl Entry for u64 {}
impl Entry for Descriptor {}

mod private {
    /// Kept from other modules, for [`super::Ring`] reads entries that the kernel wrote.
    pub(in crate::port) trait Plain {}
    impl Plain for u64 {}
    impl Plain for super::Descriptor {}
}

/// The memory of a ring.
#[derive(Debug)]
struct Ring<E> {
    mapping: Mapping,
    layout: Layout,
    /// The number of entries, less one.
    mask: u32,
    entries: PhantomData<E>,
}

impl<E: Entry> Ring<E> {
    /// None unless `size` is a power of two and all parts lie, aligned, in the mapping.
    fn new(mapping: Mapping, layout: Layout, size: u32) -> Option<Ring<E>> {
        let entries = (size as usize).checked_mul(size_of::<E>())?;
        let end = layout.entries.checked_add(entries)?;
        let words = [layout.producer, layout.consumer, layout.flags];
        let fits =
            words.iter().all(|at| at % 4 == 0 && at.checked_add(4).is_some_and(|e| e <= mapping.len()))
                && layout.entries.is_multiple_of(align_of::<E>())
                && end <= mapping.len();
        (size.is_power_of_two() && fits).then(|| Ring {
            mapping,
            layout,
            mask: size - 1,
            entries: PhantomData,
        })
    }

    fn size(&self) -> u32 {
        self.mask + 1
    }

    #[inline]
    fn producer(&self) -> u32 {
        self.mapping.word(self.layout.producer).load(Ordering::Acquire)
    }

    #[inline]
    fn consumer(&self) -> u32 {
        self.mapping.word(self.layout.consumer).load(Ordering::Acquire)
    }

    #[inline]
    fn entry(&self, index: u32) -> *mut E {
        let place = (index & self.mask) as usize;
        // SAFETY: the mask keeps the place within the ring's entries, which lie in the mapping as `new` has seen; the
        // mapping is writable memory that was never borrowed, for nobody calls `bytes` on it.
        unsafe { self.mapping.start().add(self.layout.entries).cast::<E>().add(place) }
    }

    #[inline]
    fn needs_wakeup(&self) -> bool {
        self.mapping.word(self.layout.flags).load(Ordering::Relaxed) & XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring into which this process puts what the kernel takes: fill and transmit.
#[derive(Debug)]
pub(in crate::port) struct Producer<E> {
    ring: Ring<E>,
    /// Where the next entry goes; ahead of the shared index until it is published.
    next: u32,
    /// How far the kernel is known to have taken entries.
    taken: u32,
}

impl<E: Entry> Producer<E> {
    /// None if the ring does not lie in the mapping.
    pub(in crate::port) fn new(mapping: Mapping, layout: Layout, size: u32) -> Option<Producer<E>> {
        let ring = Ring::new(mapping, layout, size)?;
        Some(Producer { next: ring.producer(), taken: ring.consumer(), ring })
    }

    /// How many entries there is room for; looks at the kernel's index only if fewer than `wanted` are known of.
    #[inline]
    pub(in crate::port) fn room(&mut self, wanted: u32) -> u32 {
        let room = |this: &Self| this.ring.size().saturating_sub(this.next.wrapping_sub(this.taken));
        let known = room(self);
        if known >= wanted {
            return known;
        }
        self.taken = self.ring.consumer();
        room(self)
    }

    /// Puts an entry in, to be seen once it is published. There must be room: what the kernel has not taken is lost else.
    #[inline]
    pub(in crate::port) fn push(&mut self, entry: E) {
        // SAFETY: the place is within the ring, and no other thread of this process has it.
        unsafe { self.ring.entry(self.next).write_volatile(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the kernel the entries put in so far.
    #[inline]
    pub(in crate::port) fn publish(&mut self) {
        self.ring.mapping.word(self.ring.layout.producer).store(self.next, Ordering::Release);
    }

    /// How many entries the kernel has not taken.
    #[inline]
    pub(in crate::port) fn pending(&mut self) -> u32 {
        self.taken = self.ring.consumer();
        self.next.wrapping_sub(self.taken)
    }

    /// Whether the kernel has to be told of new entries.
    #[inline]
    pub(in crate::port) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// A ring out of which this process takes what the kernel puts in: receive and completion.
#[derive(Debug)]
pub(in crate::port) struct Consumer<E> {
    ring: Ring<E>,
    /// The next entry to take; ahead of the shared index until it is released.
    next: u32,
}

impl<E: Entry> Consumer<E> {
    /// None if the ring does not lie in the mapping.
    pub(in crate::port) fn new(mapping: Mapping, layout: Layout, size: u32) -> Option<Consumer<E>> {
        let ring = Ring::new(mapping, layout, size)?;
        Some(Consumer { next: ring.consumer(), ring })
    }

    /// How many entries can be looked at and taken; never more than the ring holds.
    #[inline]
    pub(in crate::port) fn available(&self) -> u32 {
        self.ring.producer().wrapping_sub(self.next).min(self.ring.size())
    }

    /// The entry `ahead` of the next one; it must be available, else it is one of old.
    #[inline]
    pub(in crate::port) fn peek(&self, ahead: u32) -> E {
        // SAFETY: the place is within the ring, any bits there are a valid entry.
        unsafe { self.ring.entry(self.next.wrapping_add(ahead)).read_volatile() }
    }

    /// Takes `entries` that were looked at: the kernel may use their places again.
    #[inline]
    pub(in crate::port) fn release(&mut self, entries: u32) {
        self.next = self.next.wrapping_add(entries);
        self.ring.mapping.word(self.ring.layout.consumer).store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
