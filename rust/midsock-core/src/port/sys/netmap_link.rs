//! What a netmap port asks of the interface behind it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::interface::{ETHTOOL_WORDS, Inquiry, Name};

/// Asks whether an interface runs and has its carrier.
const ETHTOOL_GLINK: u32 = 0x0a;

/// Has the interface with this index take frames to every address for as long as the result is kept.
pub(in crate::port) fn promiscuous(index: u32) -> io::Result<OwnedFd> {
    // Of no protocol: nothing is ever received by it.
    // SAFETY: the call has no precondition.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let member = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(|_| io::ErrorKind::NotFound)?,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the option's value is a `packet_mreq` of the length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const member).cast(),
            size_of_val(&member) as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Tells when an interface can't be synced.
///
/// From the moment on that an interface is set down until it is up again, netmap's module has every sync and every
/// poll of its descriptors sleep, and no signal wakes them, not even the one that kills. So nothing is asked of a
/// descriptor without a look at the interface; and nobody sleeps in its poll, which would end with a sync: an epoll
/// instance asks the device only once the device has called.
#[derive(Debug)]
pub(in crate::port) struct Watch {
    inquiry: Inquiry,
    name: Name,
    /// A netlink socket that hears of changes of interfaces.
    news: OwnedFd,
    /// The epoll instance of `news` and, once it may be asked, the device.
    either: OwnedFd,
    device: Member,
}

/// The device's part in the epoll instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    NotYet,
    Yes,
    /// What emulates it can't be waited for so. It does not sleep either.
    Never,
}

impl Watch {
    pub(in crate::port) fn new(name: Name) -> io::Result<Watch> {
        let inquiry = Inquiry::new()?;
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the call has no precondition.
        let news = owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: all zeros are a valid `sockaddr_nl`.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is a `sockaddr_nl` of the length that is given.
        if unsafe { libc::bind(news.as_raw_fd(), (&raw const address).cast(), length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has no precondition.
        let either = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        add(&either, news.as_fd())?;
        Ok(Watch { inquiry, name, news, either, device: Member::NotYet })
    }

    /// Whether the device may be synced now. If the interface is not found any more, the sync tells why.
    ///
    /// An interface that is set down between this and the sync still lets it sleep: netmap offers no way around.
    pub(in crate::port) fn is_running(&self) -> bool {
        let Ok(flags) = self.inquiry.flags(self.name) else { return true };
        // Of the two, RUNNING is cleared first, right after the module has stopped the rings.
        if flags & libc::IFF_UP == 0 || flags & libc::IFF_RUNNING != 0 {
            return flags & libc::IFF_UP != 0;
        }
        // RUNNING may be set as late as a second after the carrier is there; to be sure takes the kernel's lock.
        let mut words = [0; ETHTOOL_WORDS];
        words[0] = ETHTOOL_GLINK;
        self.inquiry.ethtool(self.name, &mut words).is_ok() && words[1] != 0
    }

    /// Prepares for waiting, when the interface is running.
    pub(in crate::port) fn include(&mut self, device: BorrowedFd<'_>) -> io::Result<()> {
        if self.device == Member::NotYet {
            self.device = match add(&self.either, device) {
                Ok(()) => Member::Yes,
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => Member::Never,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// What to wait for instead of the device; none if the device is to be waited for itself.
    pub(in crate::port) fn either(&self) -> Option<BorrowedFd<'_>> {
        (self.device != Member::Never).then(|| self.either.as_fd())
    }

    /// What hears of changes of interfaces.
    pub(in crate::port) fn news(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    /// Forgets what news there is, so that it ends no wait any longer.
    pub(in crate::port) fn clear_news(&self) {
        let mut part = [0_u8; 16];
        // As many as may be left for the next time: a flood of news must not hold anybody.
        for _ in 0..64 {
            // SAFETY: the buffer is of the length that is given; what has no room in it is dropped.
            let read = unsafe {
                libc::recv(self.news.as_raw_fd(), part.as_mut_ptr().cast(), part.len(), libc::MSG_DONTWAIT)
            };
            if read < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                break;
            }
        }
    }
}

fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller has just opened it, and it is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn add(to: &OwnedFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: the event lives until the call returns.
    let result = unsafe {
        libc::epoll_ctl(to.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor.as_raw_fd(), &raw mut event)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
