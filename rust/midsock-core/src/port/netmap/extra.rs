//! Extra buffers: those of a port that are in no ring. Packets that wait for room in a ring are held in them.

use std::sync::atomic::Ordering;

use super::ring::Buffers;
use crate::port::sys::mapping::Mapping;

/// The extra buffers of a port that hold no packet.
#[derive(Debug)]
pub(super) struct Spares {
    /// Where the list begins that the kernel frees when the port is closed.
    list: usize,
    indexes: Vec<u32>,
}

impl Spares {
    /// Takes all of the list at `list`, which has `granted` buffers.
    ///
    /// The list is empty from then on: were the process killed, the kernel would otherwise free what had meanwhile been
    /// swapped into a ring a second time. What it does not free then is back when the region's last user closes it.
    ///
    /// # Errors
    ///
    /// What is wrong with the list.
    pub(super) fn take(
        mapping: &Mapping,
        buffers: &Buffers,
        list: usize,
        granted: u32,
    ) -> Result<Spares, String> {
        let mut indexes = Vec::new();
        let mut index = mapping.word(list).load(Ordering::Acquire);
        while index != 0 {
            let place = buffers.place(index).filter(|_| indexes.len() < granted as usize);
            let place = place.ok_or_else(|| format!("its list of extra buffers leads to {index}"))?;
            indexes.push(index);
            index = mapping.word(place).load(Ordering::Relaxed);
        }
        if indexes.len() != granted as usize {
            return Err(format!("its list has {} extra buffers, not {granted}", indexes.len()));
        }
        mapping.word(list).store(0, Ordering::Release);
        Ok(Spares { list, indexes })
    }

    pub(super) fn len(&self) -> usize {
        self.indexes.len()
    }

    pub(super) fn pop(&mut self) -> Option<u32> {
        self.indexes.pop()
    }

    /// Adds a buffer, one that was seen to lie in the region.
    pub(super) fn push(&mut self, index: u32) {
        self.indexes.push(index);
    }

    /// Lists the buffers for the kernel again: the ones that are extra now, whichever they were at first.
    pub(super) fn give_back(&mut self, mapping: &Mapping, buffers: &Buffers) {
        let mut first = 0;
        for index in self.indexes.drain(..) {
            if let Some(place) = buffers.place(index) {
                mapping.word(place).store(first, Ordering::Relaxed);
                first = index;
            }
        }
        mapping.word(self.list).store(first, Ordering::Release);
    }
}
