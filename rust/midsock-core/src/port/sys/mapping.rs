//! Memory that is shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A stretch of address space, unmapped when dropped.
///
/// The kernel writes to parts of it at any time: to ring indexes, which are only looked at as atomics, and to frames
/// that the ring says are its own, which nobody here looks at. A frame that the ring has handed out stays as it is.
#[derive(Debug)]
pub(in crate::port) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is this object's alone within the process, and is tied to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Memory of the process's own: zeros, which take no room until they are touched.
    pub(in crate::port) fn anonymous(length: usize) -> io::Result<Mapping> {
        Mapping::map(None, length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, None)
    }

    /// `length` bytes of a descriptor's memory from `offset` on.
    pub(in crate::port) fn shared(
        descriptor: BorrowedFd<'_>,
        offset: i64,
        length: usize,
    ) -> io::Result<Mapping> {
        Mapping::map(None, length, libc::MAP_SHARED, Some((descriptor, offset)))
    }

    /// Puts `length` bytes of a descriptor's memory in the place of what is here `at` bytes from the start.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if that place is not within this mapping or not at a page's start; else what the system says.
    pub(in crate::port) fn put_shared(
        &mut self,
        at: usize,
        descriptor: BorrowedFd<'_>,
        offset: i64,
        length: usize,
    ) -> io::Result<()> {
        if length == 0 || at.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `at` is within the mapping, as was just seen.
        let place = unsafe { self.base.add(at) };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let part = Mapping::map(Some(place), length, flags, Some((descriptor, offset)))?;
        // It is part of this mapping and goes with it.
        std::mem::forget(part);
        Ok(())
    }

    fn map(
        place: Option<NonNull<u8>>,
        length: usize,
        flags: i32,
        source: Option<(BorrowedFd<'_>, i64)>,
    ) -> io::Result<Mapping> {
        let place = place.map_or(std::ptr::null_mut(), |place| place.as_ptr().cast());
        let (descriptor, offset) = source.map_or((-1, 0), |(fd, offset)| (fd.as_raw_fd(), offset));
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel finds free address space; with it the only caller has seen that the
        // place is within its own mapping, of which no reference exists while it is borrowed mutably.
        let base = unsafe { libc::mmap(place, length, protection, flags, descriptor, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Mapping { base, length })
    }

    pub(in crate::port) fn len(&self) -> usize {
        self.length
    }

    /// Where it starts, for what the kernel or a ring is told of it.
    pub(in crate::port) fn start(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// All of it. Only frames that are this process's may be looked at.
    pub(in crate::port) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable and as long as it says for as long as `self` lives; what the kernel changes
        // meanwhile nobody reads through this slice.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.length) }
    }

    /// All of it. Only frames that are this process's may be touched.
    pub(in crate::port) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.length) }
    }

    /// The 32-bit word `at` bytes from the start, which the kernel may change at any time.
    ///
    /// # Panics
    ///
    /// If it does not lie in the mapping, or not at a multiple of four: where words lie is checked when a ring is set up.
    #[inline]
    #[allow(clippy::cast_ptr_alignment)] // asserted
    pub(in crate::port) fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at.checked_add(4).is_some_and(|end| end <= self.length));
        // SAFETY: the word lies within the mapping and is aligned, for the mapping starts at a page; all bit patterns are
        // valid, and it is only ever accessed atomically.
        unsafe { &*self.base.as_ptr().add(at).cast::<AtomicU32>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's, and no reference into it outlives it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}
