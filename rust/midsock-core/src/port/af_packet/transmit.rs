//! A transmit ring (`TPACKET_V2`): the cheapest way to send many frames that fit its slots.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use super::offload;
use crate::port::sys::mapping::Mapping;
use crate::port::sys::packet::{Geometry, PacketSocket};
use crate::port::sys::packet_send::Parts;

/// Bytes of a block.
const BLOCK: usize = 256 << 10;
/// Slots, at least: four bursts.
const SLOTS: usize = 1024;
/// Where a frame starts in its slot: behind `struct tpacket2_hdr`.
const START: usize = 32;
/// Where its length is.
const FRAME_LENGTH: usize = 4;

/// The ring, with a socket of its own that receives nothing.
pub(super) struct Transmit {
    socket: PacketSocket,
    mapping: Mapping,
    geometry: Geometry,
    /// The slot that the next frame goes to.
    next: usize,
}

/// Frames, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Transmit {
    /// Makes a ring for frames of up to `longest` bytes, to be sent by the interface with this index. Up to `buffer`
    /// bytes may be on their way.
    pub(super) fn new(index: u32, longest: usize, buffer: u32) -> io::Result<Transmit> {
        let slot = (START + offload::LENGTH + longest).next_multiple_of(64);
        let block = BLOCK.max(slot.next_power_of_two());
        let geometry = Geometry { block, slot, blocks: SLOTS.div_ceil(block / slot) };
        let socket = PacketSocket::new(true)?;
        socket.set_number(libc::PACKET_VERSION, 1)?;
        socket.set_number(libc::PACKET_VNET_HDR, 1)?;
        // Without it a frame that the kernel cannot send would stop the ring for good.
        socket.set_number(libc::PACKET_LOSS, 1)?;
        socket.set_buffers(buffer)?;
        socket.transmit_ring(geometry)?;
        let mut mapping = Mapping::anonymous(geometry.length())?;
        mapping.put_shared(0, socket.as_fd(), 0, geometry.length())?;
        socket.bind(index, false)?;
        Ok(Transmit { socket, mapping, geometry, next: 0 })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Puts a frame, with its offload header first, into the next slot; returns whether that slot was free. The frame
    /// must fit it.
    pub(super) fn put(&mut self, parts: Parts<'_>) -> bool {
        let at = self.geometry.at(self.next);
        if self.mapping.word(at).load(Ordering::Acquire) != libc::TP_STATUS_AVAILABLE {
            return false;
        }
        let slot = &mut self.mapping.bytes_mut()[at..at + self.geometry.slot];
        let mut end = START;
        for part in parts {
            slot[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        slot[FRAME_LENGTH..FRAME_LENGTH + 4].copy_from_slice(&((end - START) as u32).to_ne_bytes());
        self.mapping.word(at).store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
        self.next = self.geometry.after(self.next);
        true
    }

    /// Lets the kernel take what was put into the ring.
    pub(super) fn kick(&self) -> io::Result<()> {
        self.socket.kick()
    }

    /// Whether the kernel has not taken all of it yet.
    pub(super) fn is_pending(&self) -> bool {
        let last = self.geometry.at(self.geometry.before(self.next));
        self.mapping.word(last).load(Ordering::Acquire) == libc::TP_STATUS_SEND_REQUEST
    }

    /// Takes back what the kernel has not taken.
    pub(super) fn withdraw(&mut self) -> Amount {
        let mut amount = Amount::default();
        while self.is_pending() {
            self.next = self.geometry.before(self.next);
            let at = self.geometry.at(self.next);
            let length = self.mapping.word(at + FRAME_LENGTH).load(Ordering::Relaxed);
            amount.frames += 1;
            amount.bytes += u64::from(length).saturating_sub(offload::LENGTH as u64);
            self.mapping.word(at).store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
        }
        amount
    }
}
