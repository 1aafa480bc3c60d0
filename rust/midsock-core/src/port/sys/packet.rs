//! Packet sockets (packet(7)).

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `ETH_P_ALL` as the kernel wants it.
const EVERYTHING: u16 = (libc::ETH_P_ALL as u16).to_be();

/// How a ring is cut into blocks, and blocks into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::port) struct Geometry {
    /// Bytes of a block; a multiple of the page size.
    pub(in crate::port) block: usize,
    pub(in crate::port) blocks: usize,
    /// Bytes of a frame's slot; a multiple of 16.
    pub(in crate::port) slot: usize,
}

impl Geometry {
    /// Bytes of the whole ring.
    pub(in crate::port) const fn length(&self) -> usize {
        self.block * self.blocks
    }

    /// Slots of all blocks.
    pub(in crate::port) const fn slots(&self) -> usize {
        self.blocks * (self.block / self.slot)
    }

    /// Where a slot starts in the ring.
    #[inline]
    pub(in crate::port) const fn at(&self, slot: usize) -> usize {
        let per_block = self.block / self.slot;
        slot / per_block * self.block + slot % per_block * self.slot
    }

    /// The slot after this one.
    #[inline]
    pub(in crate::port) const fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots() { 0 } else { slot + 1 }
    }

    /// The slot before this one.
    #[inline]
    pub(in crate::port) const fn before(&self, slot: usize) -> usize {
        if slot == 0 { self.slots() - 1 } else { slot - 1 }
    }
}

/// A packet socket that never blocks.
#[derive(Debug)]
pub(in crate::port) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// A socket that receives nothing yet; its frames start with the link's header if it is `raw`.
    pub(in crate::port) fn new(raw: bool) -> io::Result<PacketSocket> {
        let kind = if raw { libc::SOCK_RAW } else { libc::SOCK_DGRAM };
        // SAFETY: no pointers.
        let descriptor =
            unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened and is nobody else's.
        Ok(PacketSocket(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    fn set<T: Copy>(&self, level: i32, option: i32, value: &T) -> io::Result<()> {
        let length = size_of_val(value) as libc::socklen_t;
        // SAFETY: the kernel reads `length` bytes from `value`.
        let result = unsafe {
            libc::setsockopt(self.0.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sets an option of packet sockets that is a number.
    pub(in crate::port) fn set_number(&self, option: i32, value: u32) -> io::Result<()> {
        self.set(libc::SOL_PACKET, option, &value)
    }

    /// Sets the most memory that received and sent frames may take; of what the system allows as much as there is.
    pub(in crate::port) fn set_buffers(&self, bytes: u32) -> io::Result<()> {
        for (force, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            // The first needs CAP_NET_ADMIN.
            self.set(libc::SOL_SOCKET, force, &bytes)
                .or_else(|_| self.set(libc::SOL_SOCKET, plain, &bytes))?;
        }
        Ok(())
    }

    /// Makes a receive ring of frames (`TPACKET_V2`), or of blocks that are handed over after at most `retire`
    /// milliseconds (`TPACKET_V3`).
    pub(in crate::port) fn receive_ring(&self, ring: Geometry, retire: Option<u32>) -> io::Result<()> {
        let Some(milliseconds) = retire else {
            return self.ring_of_frames(libc::PACKET_RX_RING, ring);
        };
        // SAFETY: all zeros are a valid request.
        let mut request: libc::tpacket_req3 = unsafe { std::mem::zeroed() };
        request.tp_block_size = number(ring.block)?;
        request.tp_block_nr = number(ring.blocks)?;
        request.tp_frame_size = number(ring.slot)?;
        request.tp_frame_nr = number(ring.slots())?;
        request.tp_retire_blk_tov = milliseconds;
        self.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
    }

    /// Makes a transmit ring of frames (`TPACKET_V2`). All that is sent then goes through it.
    pub(in crate::port) fn transmit_ring(&self, ring: Geometry) -> io::Result<()> {
        self.ring_of_frames(libc::PACKET_TX_RING, ring)
    }

    fn ring_of_frames(&self, option: i32, ring: Geometry) -> io::Result<()> {
        let request = libc::tpacket_req {
            tp_block_size: number(ring.block)?,
            tp_block_nr: number(ring.blocks)?,
            tp_frame_size: number(ring.slot)?,
            tp_frame_nr: number(ring.slots())?,
        };
        self.set(libc::SOL_PACKET, option, &request)
    }

    /// Sends what is in the transmit ring.
    pub(in crate::port) fn kick(&self) -> io::Result<()> {
        // SAFETY: nothing is read: the length is zero.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends by the interface with this index, and receives everything from it from now on, if that is wanted.
    pub(in crate::port) fn bind(&self, index: u32, receives: bool) -> io::Result<()> {
        // SAFETY: all zeros are a valid address.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = if receives { EVERYTHING } else { 0 };
        address.sll_ifindex = index as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel reads `length` bytes of `address`.
        let result = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The index of the interface it is bound to; none once that interface is gone.
    pub(in crate::port) fn bound(&self) -> io::Result<Option<u32>> {
        // SAFETY: all zeros are a valid address.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `address`.
        let result =
            unsafe { libc::getsockname(self.0.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(u32::try_from(address.sll_ifindex).ok().filter(|index| *index != 0))
    }

    /// Lets the interface receive what is addressed to others, too, for as long as the socket is open.
    pub(in crate::port) fn promiscuous(&self, index: u32) -> io::Result<()> {
        // SAFETY: all zeros are a valid request.
        let mut request: libc::packet_mreq = unsafe { std::mem::zeroed() };
        request.mr_ifindex = index as i32;
        request.mr_type = libc::PACKET_MR_PROMISC as u16;
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Packets received, dropped ones included, and packets dropped for want of room, since the last call.
    pub(in crate::port) fn statistics(&self) -> io::Result<(u32, u32)> {
        // The counters of `TPACKET_V3` have one more.
        let mut counters = [0_u32; 3];
        self.get(libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counters)?;
        Ok((counters[0], counters[1]))
    }

    /// The socket's pending error, which is cleared.
    pub(in crate::port) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut number = [0_u32; 3];
        self.get(libc::SOL_SOCKET, libc::SO_ERROR, &mut number)?;
        Ok((number[0] != 0).then(|| io::Error::from_raw_os_error(number[0] as i32)))
    }

    fn get(&self, level: i32, option: i32, words: &mut [u32; 3]) -> io::Result<()> {
        let mut length = size_of_val(words) as libc::socklen_t;
        let to = words.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `length` bytes to `words`.
        let result = unsafe { libc::getsockopt(self.0.as_raw_fd(), level, option, to, &raw mut length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives one frame that waits beside the ring; returns its length, which may be more than there is room for.
    pub(in crate::port) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `into.len()` bytes to `into`.
        let length = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                into.as_mut_ptr().cast(),
                into.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            )
        };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn number(size: usize) -> io::Result<u32> {
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidInput.into())
}
