//! Whether sockets of a kind can be had at all.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Opens a raw socket of a family, bound to nothing, and closes it again.
pub(in crate::port) fn raw_socket(family: i32) -> io::Result<()> {
    // SAFETY: numbers only.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}
