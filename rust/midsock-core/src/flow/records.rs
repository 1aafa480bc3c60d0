//! Storage for records, which grows without moving what is in it.

#[cfg(target_os = "linux")]
use crate::port::sys::pages::prefer_huge_pages;

/// A list with room for all that it may ever hold. Room is address space at first; memory is taken as records come.
///
/// One stretch needs no look-up of where a record lies, and can be backed by huge pages: a table of a million flows is
/// looked into at random, and each page that the processor has no translation for costs as much as the record itself.
pub(super) struct Records<T> {
    records: Vec<T>,
}

impl<T> Records<T> {
    /// A list for `most` records. Where the system does not let so much be reserved, it grows by being copied.
    pub(super) fn new(most: u64) -> Records<T> {
        let mut records = Vec::new();
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(u32::MAX as usize);
        if records.try_reserve_exact(most).is_ok() {
            #[cfg(target_os = "linux")]
            prefer_huge_pages(records.spare_capacity_mut());
        }
        Records { records }
    }

    pub(super) fn push(&mut self, record: T) {
        self.records.push(record);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of memory that have been used so far.
    pub(super) fn memory(&self) -> usize {
        self.records.len() * size_of::<T>()
    }
}

impl<T> std::ops::Index<u32> for Records<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: u32) -> &T {
        &self.records[i as usize]
    }
}

impl<T> std::ops::IndexMut<u32> for Records<T> {
    #[inline]
    fn index_mut(&mut self, i: u32) -> &mut T {
        &mut self.records[i as usize]
    }
}
