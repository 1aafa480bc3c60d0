//! A receive ring of blocks that frames of any size are packed into (`TPACKET_V3`): the cheapest way to receive much, but a
//! block is handed over only when it is full or some milliseconds old.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::header::{self, Header, Shape, Version};
use crate::port::sys::mapping::Mapping;
use crate::port::sys::packet::{Geometry, PacketSocket};
use crate::port::{BURST, Packet};

/// Bytes of a block: more than the longest frame, few enough that a burst finds it in the cache, and so few that a ring
/// has many blocks. However little comes, the ring lasts no longer than its blocks take to be retired.
const BLOCK: usize = 128 << 10;
/// How old a block that is not full gets, in milliseconds.
const RETIRE: u32 = 4;

/// Where the words of a block's header are (`struct tpacket_block_desc`).
const STATUS: usize = 8;
const PACKETS: usize = 12;
const FIRST: usize = 16;

/// The ring.
pub(super) struct Blocks {
    mapping: Mapping,
    shape: Shape,
    count: usize,
    /// The block to be looked at next, or being handed out.
    block: usize,
    /// Frames of it that are still to be handed out; none if it is still the kernel's.
    left: Option<u32>,
    /// Where the next of them starts in the block.
    at: usize,
}

impl Blocks {
    /// Makes a ring of about `length` bytes, and maps it.
    pub(super) fn new(socket: &PacketSocket, shape: Shape, length: usize) -> io::Result<Blocks> {
        // The slot means nothing here but to the kernel's checks.
        let geometry = Geometry { block: BLOCK, slot: 2048, blocks: (length / BLOCK).max(4) };
        socket.set_number(libc::PACKET_VERSION, 2)?;
        socket.set_number(libc::PACKET_RESERVE, header::RESERVE)?;
        socket.receive_ring(geometry, Some(RETIRE))?;
        let mut mapping = Mapping::anonymous(geometry.length())?;
        mapping.put_shared(0, socket.as_fd(), 0, geometry.length())?;
        Ok(Blocks { mapping, shape, count: geometry.blocks, block: 0, left: None, at: 0 })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn mapping_mut(&mut self) -> &mut Mapping {
        &mut self.mapping
    }

    /// Gives the block back to the kernel once all of it was handed out.
    pub(super) fn release(&mut self) {
        if self.left == Some(0) {
            let status = self.mapping.word(self.block * BLOCK + STATUS);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.block = if self.block + 1 == self.count { 0 } else { self.block + 1 };
            self.left = None;
        }
    }

    /// Appends what has come to `burst`; returns how many frames could not be handed out.
    pub(super) fn fill(&mut self, burst: &mut Vec<Packet>) -> u64 {
        let base = self.block * BLOCK;
        let mut left = if let Some(left) = self.left {
            left
        } else {
            if self.mapping.word(base + STATUS).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return 0;
            }
            self.at = self.mapping.word(base + FIRST).load(Ordering::Relaxed) as usize;
            self.mapping.word(base + PACKETS).load(Ordering::Relaxed)
        };
        let block = &mut self.mapping.bytes_mut()[base..base + BLOCK];
        let mut unreadable = 0;
        while left > 0 && burst.len() < BURST {
            let Some((header, next)) = block.get(self.at..).and_then(read) else {
                // It is no block as the kernel makes them: nothing more of it can be found.
                unreadable += u64::from(left);
                left = 0;
                break;
            };
            let start = self.at;
            left -= 1;
            // The last frame has no next one. The kernel keeps frames apart; only what lies before the next one may be
            // this frame's.
            let end = if left == 0 || next == 0 { BLOCK } else { start.saturating_add(next).min(BLOCK) };
            self.at = end;
            let slot = &mut block[start..end];
            if self.shape.skip_outgoing && header::is_outgoing(slot, Version::Three) {
                continue;
            }
            match header.packet(slot, base + start, Version::Three, self.shape) {
                Some(packet) => burst.push(packet),
                None => unreadable += 1,
            }
        }
        self.left = Some(left);
        unreadable
    }
}

/// The header at the start of `slot`, and how many bytes further the next one is.
fn read(slot: &[u8]) -> Option<(Header, usize)> {
    let header = Header::read(slot, Version::Three)?;
    slot.first_chunk().map(|next| (header, u32::from_ne_bytes(*next) as usize))
}
