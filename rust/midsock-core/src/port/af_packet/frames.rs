//! A receive ring of slots of one size (`TPACKET_V2`): each frame is handed over as soon as it has come.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::header::{self, Header, ROOM, Shape, Version};
use super::offload;
use crate::port::sys::mapping::Mapping;
use crate::port::sys::packet::{Geometry, PacketSocket};
use crate::port::{BURST, LinkType, Packet};

/// Bytes of a block: the kernel looks for as much memory in one piece, and takes it in single pages if there is none.
const BLOCK: usize = 256 << 10;

/// The longest frame that is taken whole: the longest IP packet with its Ethernet header and two tags, and some.
const LONGEST: usize = (64 << 10) + 64;
/// What is left free before a frame that waits beside the ring, for a VLAN tag.
const BEFORE: usize = 16;
/// Bytes from one such frame to the next.
const STEP: usize = LONGEST + BEFORE + offload::LENGTH;
/// Such frames of a burst: few enough to stay in the second-level cache until they are sent on.
const BESIDE: usize = 8;

/// The ring, and the frames too long for its slots, which the kernel queues beside it.
pub(super) struct Frames {
    mapping: Mapping,
    geometry: Geometry,
    shape: Shape,
    /// The slot to be looked at next.
    next: usize,
    /// How many slots before it belong to the burst.
    held: usize,
}

impl Frames {
    /// Makes a ring of about `length` bytes for frames of up to `longest` bytes, and maps it.
    pub(super) fn new(
        socket: &PacketSocket,
        shape: Shape,
        longest: usize,
        length: usize,
    ) -> io::Result<Frames> {
        let slot = (ROOM + longest).next_multiple_of(64);
        let block = BLOCK.max(slot.next_power_of_two());
        // A burst must never hold all slots.
        let fewest = (4 * BURST).div_ceil(block / slot);
        let geometry = Geometry { block, slot, blocks: (length / block).max(fewest) };
        socket.set_number(libc::PACKET_VERSION, 1)?;
        socket.set_number(libc::PACKET_RESERVE, header::RESERVE)?;
        socket.set_number(libc::PACKET_COPY_THRESH, slot as u32)?;
        socket.receive_ring(geometry, None)?;
        let mut mapping = Mapping::anonymous(geometry.length() + BESIDE * STEP)?;
        mapping.put_shared(0, socket.as_fd(), 0, geometry.length())?;
        Ok(Frames { mapping, geometry, shape, next: 0, held: 0 })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn mapping_mut(&mut self) -> &mut Mapping {
        &mut self.mapping
    }

    /// Gives the slots of the last burst back to the kernel.
    pub(super) fn release(&mut self) {
        let slots = self.geometry.slots();
        let mut slot = (self.next + slots - self.held) % slots;
        for _ in 0..std::mem::take(&mut self.held) {
            let status = self.mapping.word(self.geometry.at(slot));
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            slot = self.geometry.after(slot);
        }
    }

    /// Appends what has come to `burst`; returns how many frames could not be handed out.
    pub(super) fn fill(&mut self, socket: &PacketSocket, burst: &mut Vec<Packet>) -> u64 {
        let (mut beside, mut unreadable) = (0, 0);
        while self.held < BURST && beside < BESIDE {
            let at = self.geometry.at(self.next);
            let status = self.mapping.word(at).load(Ordering::Acquire);
            if status & libc::TP_STATUS_USER == 0 {
                break;
            }
            self.next = self.geometry.after(self.next);
            self.held += 1;
            let slot = &mut self.mapping.bytes_mut()[at..at + self.geometry.slot];
            let Some(header) = Header::read(slot, Version::Two) else { continue };
            let header = Header { status, ..header };
            let is_skipped = self.shape.skip_outgoing && header::is_outgoing(slot, Version::Two);
            let packet = if status & libc::TP_STATUS_COPY != 0 {
                let place = self.geometry.length() + beside * STEP;
                let packet = self.beside(socket, place, &header);
                beside += usize::from(packet.is_some() && !is_skipped);
                packet
            } else {
                header.packet(slot, at, Version::Two, self.shape)
            };
            match packet {
                Some(packet) if !is_skipped => burst.push(packet),
                Some(_) => {}
                None => unreadable += 1,
            }
        }
        unreadable
    }

    /// Fetches the frame that belongs to `header` from beside the ring.
    fn beside(&mut self, socket: &PacketSocket, place: usize, header: &Header) -> Option<Packet> {
        let before = if self.shape.has_offload { offload::LENGTH } else { 0 };
        let room = self.mapping.bytes_mut().get_mut(place..place + STEP)?;
        // Frames wait in the order of their slots. One of another length belongs to a slot whose frame could not be
        // fetched.
        let captured = loop {
            match socket.receive(&mut room[BEFORE..]) {
                Ok(length) if length.checked_sub(before) == Some(header.length as usize) => {
                    break length.min(room.len() - BEFORE) - before;
                }
                // What is pending is an interface that went down; the frame is there all the same.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => {}
                Err(_) => return None,
            }
        };
        let header = Header { captured: captured as u32, ..*header };
        let start = BEFORE + before;
        let mut packet = header.at(place, start, self.shape.link);
        if self.shape.link == LinkType::Ethernet {
            header.restore_vlan(room, start, before, &mut packet);
        }
        Some(packet)
    }
}
