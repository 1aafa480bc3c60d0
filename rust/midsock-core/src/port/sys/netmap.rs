//! netmap's device: the requests and syncs that this crate makes of it.
//!
//! The structures and numbers are those of netmap's public interface, version 14 (`net/netmap.h`).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub(in crate::port) const DEVICE: &CStr = c"/dev/netmap";

/// The versions of the interface that this crate speaks, the preferred one first.
const VERSIONS: [u16; 2] = [14, 15];

const NIOCCTRL: u64 = 0xc058_6997;
const NIOCTXSYNC: u64 = 0x6994;
const NIOCRXSYNC: u64 = 0x6995;

const REQUEST_REGISTER: u16 = 1;

/// Bytes of a port's name in a request, the final zero included.
pub(in crate::port) const NAME_SIZE: usize = 64;

#[repr(C)]
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) request: u16,
    pub(super) reserved: u32,
    pub(super) name: [u8; NAME_SIZE],
    pub(super) options: u64,
    pub(super) body: u64,
}

/// What is asked for when a descriptor is bound to a port, and what is granted.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(in crate::port) struct Register {
    /// Where the port's `netmap_if` lies in the region.
    pub(in crate::port) offset: u64,
    /// Bytes of the region.
    pub(in crate::port) memsize: u64,
    pub(in crate::port) tx_slots: u32,
    pub(in crate::port) rx_slots: u32,
    pub(in crate::port) tx_rings: u16,
    pub(in crate::port) rx_rings: u16,
    pub(in crate::port) host_tx_rings: u16,
    pub(in crate::port) host_rx_rings: u16,
    /// The region; 0 leaves the choice to the kernel.
    pub(in crate::port) mem_id: u16,
    pub(in crate::port) ring: u16,
    pub(in crate::port) mode: u32,
    pub(in crate::port) extra_buffers: u32,
    pub(in crate::port) padding: u32,
    pub(in crate::port) flags: u64,
}

/// Values of [`Register::mode`].
pub(in crate::port) mod mode {
    pub(in crate::port) const ALL_NIC: u32 = 1;
    pub(in crate::port) const HOST: u32 = 2;
    pub(in crate::port) const NIC_AND_HOST: u32 = 3;
    pub(in crate::port) const ONE_NIC: u32 = 4;
    pub(in crate::port) const ONE_HOST: u32 = 8;
}

/// Values of [`Register::flags`].
pub(in crate::port) mod flag {
    pub(in crate::port) const MONITOR_TX: u64 = 0x100;
    pub(in crate::port) const MONITOR_RX: u64 = 0x200;
    pub(in crate::port) const MONITOR_ZERO_COPY: u64 = 0x400;
    pub(in crate::port) const EXCLUSIVE: u64 = 0x800;
    pub(in crate::port) const RX_ONLY: u64 = 0x2000;
    pub(in crate::port) const TX_ONLY: u64 = 0x4000;
    pub(in crate::port) const NO_TX_POLL: u64 = 0x20000;
}

/// An open netmap device, bound to no port or to one.
#[derive(Debug)]
pub(in crate::port) struct Device(OwnedFd);

impl Device {
    pub(in crate::port) fn open() -> io::Result<Device> {
        // SAFETY: the path ends with a zero.
        let descriptor = unsafe { libc::open(DEVICE.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and is nobody else's.
        Ok(Device(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Binds the device to the port called `name`, as `wanted` says; returns what was granted.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name has no room; else what the kernel says.
    pub(in crate::port) fn register(&self, name: &str, wanted: &Register) -> io::Result<Register> {
        let mut padded = [0; NAME_SIZE];
        if name.len() >= NAME_SIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
        for version in VERSIONS {
            let mut granted = wanted.clone();
            let mut header = Header {
                version,
                request: REQUEST_REGISTER,
                reserved: 0,
                name: padded,
                options: 0,
                body: (&raw mut granted).expose_provenance() as u64,
            };
            // SAFETY: the request reads and writes a header and, through its address, the body of a registration; both
            // live until it returns.
            let result = unsafe { libc::ioctl(self.0.as_raw_fd(), NIOCCTRL, &raw mut header) };
            if result >= 0 {
                return Ok(granted);
            }
            refused = io::Error::last_os_error();
            // What a version that the kernel does not speak gives; other mistakes give it again.
            if refused.raw_os_error() != Some(libc::EINVAL) {
                break;
            }
        }
        Err(refused)
    }

    /// Takes what is in the transmit rings, and tells what was sent.
    pub(in crate::port) fn sync_tx(&self) -> io::Result<()> {
        self.sync(NIOCTXSYNC)
    }

    /// Takes back what was released of the receive rings, and tells what was received.
    pub(in crate::port) fn sync_rx(&self) -> io::Result<()> {
        self.sync(NIOCRXSYNC)
    }

    fn sync(&self, request: u64) -> io::Result<()> {
        // SAFETY: a sync takes no argument. It works on the rings, which lie in memory that is only accessed atomically.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), request) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
