//! AF_XDP sockets: their options, rings and wake-ups, and the memory of their frames.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::mapping::Mapping;
use super::xdp_ring::{Consumer, Descriptor, Layout, Producer};

/// `linux/if_xdp.h`, since Linux 6.17: how many frames one call sends in copy mode.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// How a socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::port) enum Binding {
    /// To the memory registered by itself, with these `XDP_…` flags of `linux/if_xdp.h`.
    Own(u16),
    /// To the memory of another socket, with its flags.
    Shared(libc::c_int),
}

/// What the kernel dropped.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::port) struct Drops {
    /// Frames for which the fill ring had no room, or that did not fit.
    pub(in crate::port) dropped: u64,
    /// Frames for which the receive ring had no room.
    pub(in crate::port) ring_full: u64,
    /// Descriptors that this process put into the transmit ring and that the kernel refused.
    pub(in crate::port) refused: u64,
}

/// An AF_XDP socket.
#[derive(Debug)]
pub(in crate::port) struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    pub(in crate::port) fn new() -> io::Result<Socket> {
        // SAFETY: no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        owned(descriptor).map(Socket)
    }

    /// Makes `length` bytes of `memory`, from its start, frames of `chunk` bytes for the kernel to use.
    ///
    /// The kernel keeps the pages, whatever becomes of the mapping.
    pub(in crate::port) fn register(&self, memory: &Mapping, length: usize, chunk: u32) -> io::Result<()> {
        let registration = libc::xdp_umem_reg {
            addr: memory.start() as u64,
            len: length.min(memory.len()) as u64,
            chunk_size: chunk,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        self.set(libc::SOL_XDP, libc::XDP_UMEM_REG, registration)
    }

    /// Makes the four rings, of `size` entries each, and maps them.
    pub(in crate::port) fn rings(&self, size: u32) -> io::Result<Rings> {
        for ring in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            self.set(libc::SOL_XDP, ring, size)?;
        }
        let offsets: libc::xdp_mmap_offsets = self.get(libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let place = |page: u64, ring: &libc::xdp_ring_offset, entry: usize| {
            let layout = Layout {
                producer: ring.producer as usize,
                consumer: ring.consumer as usize,
                flags: ring.flags as usize,
                entries: ring.desc as usize,
            };
            let length = layout.entries.saturating_add((size as usize).saturating_mul(entry));
            Ok::<_, io::Error>((Mapping::shared(self.as_fd(), page as i64, length)?, layout))
        };
        let refused = || io::Error::from(io::ErrorKind::InvalidData);
        let (fill, fill_at) = place(libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, size_of::<u64>())?;
        let (done, done_at) = place(libc::XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, size_of::<u64>())?;
        let (rx, rx_at) = place(libc::XDP_PGOFF_RX_RING as u64, &offsets.rx, size_of::<Descriptor>())?;
        let (tx, tx_at) = place(libc::XDP_PGOFF_TX_RING as u64, &offsets.tx, size_of::<Descriptor>())?;
        Ok(Rings {
            fill: Producer::new(fill, fill_at, size).ok_or_else(refused)?,
            completion: Consumer::new(done, done_at, size).ok_or_else(refused)?,
            receive: Consumer::new(rx, rx_at, size).ok_or_else(refused)?,
            transmit: Producer::new(tx, tx_at, size).ok_or_else(refused)?,
        })
    }

    /// Binds the socket to a queue of an interface.
    pub(in crate::port) fn bind(&self, interface: u32, queue: u32, binding: Binding) -> io::Result<()> {
        let (flags, shared) = match binding {
            Binding::Own(flags) => (flags, 0),
            Binding::Shared(socket) => (libc::XDP_SHARED_UMEM, socket as u32),
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: shared,
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is initialized and as long as it says.
        let result = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), length) };
        succeeded(result)
    }

    /// What [`Binding::Shared`] names this socket by.
    pub(in crate::port) fn number(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }

    /// Tells the kernel of entries in the transmit ring; in copy mode this call sends them.
    pub(in crate::port) fn wake_transmit(&self) -> io::Result<()> {
        // SAFETY: no data and no address.
        let result = unsafe {
            libc::sendto(self.0.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        succeeded(result as libc::c_int)
    }

    /// Tells the kernel of entries in the fill ring; with busy polling this call receives.
    pub(in crate::port) fn wake_receive(&self) -> io::Result<()> {
        let nothing = std::ptr::null_mut();
        // SAFETY: no room for data and none for an address.
        let result = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                nothing,
                0,
                libc::MSG_DONTWAIT,
                nothing.cast(),
                std::ptr::null_mut(),
            )
        };
        succeeded(result as libc::c_int)
    }

    /// Whether the kernel uses the frames without a copy.
    pub(in crate::port) fn is_zero_copy(&self) -> io::Result<bool> {
        let options: libc::xdp_options = self.get(libc::SOL_XDP, libc::XDP_OPTIONS)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    pub(in crate::port) fn drops(&self) -> io::Result<Drops> {
        // Kernels before 5.9 fill in the first half only.
        let drops: libc::xdp_statistics = self.get(libc::SOL_XDP, libc::XDP_STATISTICS)?;
        Ok(Drops {
            dropped: drops.rx_dropped,
            ring_full: drops.rx_ring_full,
            refused: drops.tx_invalid_descs,
        })
    }

    /// Takes the error that the kernel left at the socket, such as that its interface went away.
    pub(in crate::port) fn error(&self) -> io::Result<Option<io::Error>> {
        let error: libc::c_int = self.get(libc::SOL_SOCKET, libc::SO_ERROR)?;
        Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
    }

    /// Asks for as many frames to be sent by one call; a kernel before 6.17 sends 32.
    pub(in crate::port) fn set_transmit_budget(&self, frames: u32) -> io::Result<()> {
        self.set(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, frames)
    }

    /// Lets as many bytes of sent frames wait for their receivers; more than the system's limit if rights allow.
    pub(in crate::port) fn set_send_buffer(&self, bytes: libc::c_int) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
            .or_else(|_| self.set(libc::SOL_SOCKET, libc::SO_SNDBUF, bytes))
    }

    fn set<T: OptionValue>(&self, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the value is initialized and as long as it says.
        let result =
            unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, (&raw const value).cast(), length) };
        succeeded(result)
    }

    fn get<T: OptionValue>(&self, level: libc::c_int, name: libc::c_int) -> io::Result<T> {
        let mut value = MaybeUninit::<T>::zeroed();
        let mut length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the value has as much room as it says.
        let result = unsafe {
            libc::getsockopt(self.0.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
        };
        succeeded(result)?;
        // SAFETY: all bits of an option are valid, and it was zeros where the kernel did not write.
        Ok(unsafe { value.assume_init() })
    }
}

/// The value of a socket option.
///
/// # Safety
///
/// Plain integers without padding, any bits of which are valid.
unsafe trait OptionValue: Copy {}
// SAFETY: integers.
unsafe impl OptionValue for u32 {}
// SAFETY: an integer.
unsafe impl OptionValue for libc::c_int {}
// SAFETY: two 64-bit and four 32-bit integers.
unsafe impl OptionValue for libc::xdp_umem_reg {}
// SAFETY: 64-bit integers.
unsafe impl OptionValue for libc::xdp_mmap_offsets {}
// SAFETY: an integer.
unsafe impl OptionValue for libc::xdp_options {}
// SAFETY: 64-bit integers.
unsafe impl OptionValue for libc::xdp_statistics {}

/// The rings of a socket.
#[derive(Debug)]
pub(in crate::port) struct Rings {
    /// Frames for the kernel to receive into.
    pub(in crate::port) fill: Producer<u64>,
    /// Frames that were sent.
    pub(in crate::port) completion: Consumer<u64>,
    pub(in crate::port) receive: Consumer<Descriptor>,
    pub(in crate::port) transmit: Producer<Descriptor>,
}

/// Memory that several mappings can show, each at its own place: it lives as long as any of them.
pub(in crate::port) fn shared_memory(length: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a string that ends with a zero.
    let memory = owned(unsafe { libc::memfd_create(c"midsock-umem".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: no pointers.
    succeeded(unsafe { libc::ftruncate(memory.as_raw_fd(), length as libc::off_t) })?;
    Ok(memory)
}

/// A descriptor that can be read if one of `watched` can.
pub(in crate::port) fn any_of(watched: &[&Socket]) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let any = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    for socket in watched {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event is initialized; the kernel only reads it.
        let result = unsafe {
            libc::epoll_ctl(any.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.0.as_raw_fd(), &raw mut event)
        };
        succeeded(result)?;
    }
    Ok(any)
}

pub(super) fn owned(descriptor: libc::c_int) -> io::Result<OwnedFd> {
    succeeded(descriptor)?;
    // SAFETY: the call that made it gave it to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

pub(super) fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
