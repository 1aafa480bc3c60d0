//! Waiting for descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// The most descriptors that are waited for at once: two ports, each with room to spare.
const MOST: usize = 8;

/// Waits until one of the descriptors can be read or is in error; returns whether one is. A signal ends the wait.
pub(in crate::port) fn readable(descriptors: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<bool> {
    wait(descriptors, libc::POLLIN, timeout)
}

/// Waits until the descriptor can be written to or is in error; returns whether it is. A signal ends the wait.
pub(in crate::port) fn writable(descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    wait(&[descriptor], libc::POLLOUT, timeout)
}

/// Whether the descriptor is in error, for one that has to be asked whether it can be read to find that out.
pub(in crate::port) fn is_broken(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: it is one initialized entry, and outlives the call.
    if unsafe { libc::poll(&raw mut polled, 1, 0) } < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    Ok(polled.revents & libc::POLLERR != 0)
}

fn wait(descriptors: &[BorrowedFd<'_>], events: i16, timeout: Duration) -> io::Result<bool> {
    assert!(descriptors.len() <= MOST, "a wait is for few descriptors");
    let mut polled = [libc::pollfd { fd: -1, events, revents: 0 }; MOST];
    for (polled, descriptor) in polled.iter_mut().zip(descriptors) {
        polled.fd = descriptor.as_raw_fd();
    }
    // Rounded up: a wait for less than a millisecond must not spin.
    let timeout = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: `polled` holds as many initialized entries as it is said to, and outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), descriptors.len() as libc::nfds_t, timeout) };
    if ready >= 0 {
        return Ok(ready > 0);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
}
