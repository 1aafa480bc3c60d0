//! The arithmetic of a ring: three places on a circle.

use std::fmt;

/// Places in a ring of `slots` slots, which need not be a power of two.
///
/// This process owns the slots from `head` on, up to `tail`, which it does not own. It has used those before `next`:
/// handed them out (receive) or filled them (transmit). `head` and `tail` are never so far apart that they meet: one slot
/// is always the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    slots: u32,
    head: u32,
    next: u32,
    tail: u32,
}

/// Why the places that the kernel and this process share cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) what: &'static str,
    pub(super) value: u32,
    pub(super) slots: u32,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its {} is {} in a ring of {} slots", self.what, self.value, self.slots)
    }
}

impl Cursor {
    /// A ring as it is when it is opened: nothing of it is used yet.
    pub(super) fn new(slots: u32, head: u32, tail: u32) -> Result<Cursor, Broken> {
        // A ring of one slot could never own any, and the arithmetic adds two places without overflow.
        if !(2..=1 << 30).contains(&slots) {
            return Err(Broken { what: "size", value: slots, slots });
        }
        if head >= slots {
            return Err(Broken { what: "head", value: head, slots });
        }
        let mut cursor = Cursor { slots, head, next: head, tail: head };
        cursor.see_tail(tail)?;
        Ok(cursor)
    }

    pub(super) fn head(&self) -> u32 {
        self.head
    }

    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn tail(&self) -> u32 {
        self.tail
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// The most slots that can be this process's at once.
    pub(super) fn capacity(&self) -> u32 {
        self.slots - 1
    }

    /// The place `by` slots, at most the ring's size, after `place`.
    #[inline]
    pub(super) fn after(&self, place: u32, by: u32) -> u32 {
        let sum = place + by.min(self.slots);
        if sum >= self.slots { sum - self.slots } else { sum }
    }

    /// How many slots lie from `from` on and before `to`.
    #[inline]
    fn distance(&self, from: u32, to: u32) -> u32 {
        if to >= from { to - from } else { to + self.slots - from }
    }

    /// How many slots this process owns and has not used yet.
    #[inline]
    pub(super) fn room(&self) -> u32 {
        self.distance(self.next, self.tail)
    }

    /// How many slots this process has used and not given to the kernel.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        self.distance(self.head, self.next)
    }

    /// How many slots are the kernel's, one of which it keeps always.
    pub(super) fn pending(&self) -> u32 {
        self.capacity() - self.distance(self.head, self.tail)
    }

    /// Takes the kernel's new tail.
    ///
    /// # Errors
    ///
    /// If it is not in the ring, or would take away slots that this process has used.
    #[inline]
    pub(super) fn see_tail(&mut self, tail: u32) -> Result<(), Broken> {
        if tail >= self.slots || self.distance(self.head, tail) < self.used() {
            return Err(Broken { what: "tail", value: tail, slots: self.slots });
        }
        self.tail = tail;
        Ok(())
    }

    /// Uses the next `slots` slots, of which there must be room.
    #[inline]
    pub(super) fn take(&mut self, slots: u32) {
        debug_assert!(slots <= self.room());
        self.next = self.after(self.next, slots.min(self.room()));
    }

    /// Gives what was used to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.head = self.next;
    }
}
