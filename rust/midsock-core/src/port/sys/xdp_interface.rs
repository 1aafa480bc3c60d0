//! What an AF_XDP port asks of its interface.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::xdp::{owned, succeeded};

/// Has the interface receive what is not for its own address, for as long as the socket that is returned exists.
pub(in crate::port) fn promiscuous(interface: u32) -> io::Result<OwnedFd> {
    // Protocol 0: it receives nothing itself.
    // SAFETY: no pointers.
    let socket = owned(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    let membership = libc::packet_mreq {
        mr_ifindex: interface as libc::c_int,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the membership is initialized and as long as it says.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const membership).cast(),
            size_of_val(&membership) as libc::socklen_t,
        )
    };
    succeeded(result)?;
    Ok(socket)
}
