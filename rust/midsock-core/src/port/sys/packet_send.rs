//! Sending many frames by one system call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most frames of one call.
pub(in crate::port) const MOST: usize = 256;

/// The parts of a frame that are sent after each other.
pub(in crate::port) type Parts<'m> = [&'m [u8]; 2];

/// Room for what `sendmmsg` is told.
pub(in crate::port) struct Outbox {
    parts: Box<[libc::iovec]>,
    messages: Box<[libc::mmsghdr]>,
}

// SAFETY: its pointers are set and used within one call of `send`; between calls nobody looks at them.
unsafe impl Send for Outbox {}

impl Outbox {
    pub(in crate::port) fn new() -> Outbox {
        let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all zeros are a valid message header: no address, no parts, no control data.
        let message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Outbox { parts: vec![nothing; 2 * MOST].into(), messages: vec![message; MOST].into() }
    }

    /// Sends frames in their order, at most [`MOST`] of them; returns how many were taken.
    ///
    /// # Errors
    ///
    /// What the system says of the first frame, if it was not taken.
    pub(in crate::port) fn send<'m>(
        &mut self,
        socket: BorrowedFd<'_>,
        frames: impl Iterator<Item = Parts<'m>>,
    ) -> io::Result<usize> {
        let mut count = 0;
        let rooms = self.parts.chunks_exact_mut(2).zip(&mut self.messages);
        for (frame, (parts, message)) in frames.zip(rooms) {
            for (part, bytes) in parts.iter_mut().zip(frame) {
                // The kernel only reads from it.
                part.iov_base = bytes.as_ptr().cast_mut().cast();
                part.iov_len = bytes.len();
            }
            message.msg_hdr.msg_iov = parts.as_mut_ptr();
            message.msg_hdr.msg_iovlen = if frame[1].is_empty() { 1 } else { 2 };
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        // SAFETY: the first `count` messages have just been given parts that point into slices which live as long as
        // this call ('m), and have neither an address nor control data; the kernel writes to `msg_len` only.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
