//! How the system backs memory.

/// Memory below this is not worth huge pages, which are 2 MiB on most processors.
const WORTHWHILE: usize = 4 << 20;

/// No page of any supported processor is larger, but for huge ones.
const PAGE: usize = 64 << 10;

/// Asks the system to back memory by huge pages as it is touched. That is a hint: where there are none, nothing changes.
pub(crate) fn prefer_huge_pages<T>(memory: &mut [T]) {
    let range = memory.as_mut_ptr_range();
    let (start, end) = (range.start.cast::<u8>(), range.end.cast::<u8>());
    let skipped = start.align_offset(PAGE);
    let length = (end.addr() - start.addr()).saturating_sub(skipped) / PAGE * PAGE;
    if length < WORTHWHILE {
        return;
    }
    // SAFETY: the pages lie within `memory`, which is borrowed exclusively, and the advice changes nothing of what they
    // hold.
    unsafe {
        libc::madvise(start.add(skipped).cast(), length, libc::MADV_HUGEPAGE);
    }
}
