//! Ports of Linux's AF_XDP sockets.
//!
//! An XDP program at the interface hands every packet to the socket of the queue that received it, before the kernel's
//! own stack sees it: whoever opens such a port takes the interface over. All frames lie in one stretch of memory, the
//! UMEM, and travel between this process and the kernel as numbers in four rings per queue. See
//! <https://docs.kernel.org/networking/af_xdp.html>.
//!
//! - [`open`] finds out what the interface can do, makes the sockets and attaches the program.
//! - `program` is that program. It is attached by a link, which goes when the process goes, however it ends.
//! - `queue` is one socket with its rings; `frames` knows where every frame is.
//!
//! Two ports opened by [`open::open_pair`] share one UMEM. A frame is then forwarded by putting its number into the
//! other port's transmit ring. The kernel has the copies to make that the drivers need: of a virtual Ethernet (veth),
//! one when it receives and one when it sends.

mod frames;
mod open;
mod partial;
mod program;
mod queue;
mod settings;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::frames::{Frame, Frames};
pub(super) use self::open::PREFIX;
pub use self::open::{open, open_beside, open_pair};
use self::queue::{Kick, Queue, Shape};
use super::sys::mapping::Mapping;
use super::sys::poll;
use super::sys::xdp_ring::CONTINUES;
use super::{BURST, ChecksumState, LinkType, Packet, Port, PortError, PortStatistics, Received, now};

/// The most frames that one packet fills; `linux/skbuff.h` has one head and 17 fragments.
const MOST_PARTS: u32 = 18;

/// An Ethernet header: nothing shorter can be sent.
const SHORTEST: usize = 14;

/// How long one call waits for room to send.
const PATIENCE: Duration = Duration::from_millis(5);

/// Held no more: forwarded, or copied behind the UMEM.
const NONE: Frame = Frame::MAX;

/// A port of the queues of an interface.
#[derive(Debug)]
pub struct AfXdpPort {
    name: String,
    /// What is attached to the interface. It goes before the sockets go, so that no packet is lost to a closed one.
    attached: Vec<OwnedFd>,
    queues: Vec<Queue>,
    /// What is waited for, if there is more than one queue.
    any_queue: Option<OwnedFd>,
    /// The UMEM, and behind it room for one copy of each packet that fills several frames.
    memory: Mapping,
    /// The UMEM itself: ports that share it are known by it.
    umem: Arc<OwnedFd>,
    shape: Shape,
    frames: Frames,
    /// The frames of the current burst's packets.
    held: Vec<Frame>,
    /// Which queue's packets come first in the next burst.
    next_queue: usize,
    /// How many of the queues, from the first on, can send.
    senders: usize,
    /// The most frames of one packet to be sent.
    most_parts: u32,
    statistics: PortStatistics,
    /// The last burst was empty.
    is_idle: bool,
    is_gone: bool,
    warning: Option<String>,
    interface: String,
    /// How many bursts are still looked into for checksums that were left out.
    doubts: u32,
}

impl AfXdpPort {
    /// Whether the driver uses this process's memory, so that the kernel copies nothing.
    pub fn is_zero_copy(&self) -> bool {
        self.queues[0].socket.is_zero_copy().unwrap_or(false)
    }

    /// Frees the frames of the last burst that were not forwarded.
    fn release_held(&mut self) {
        for frame in self.held.drain(..) {
            if frame != NONE {
                self.frames.release(frame);
            }
        }
    }

    /// Takes back sent frames and gives the kernel others to receive into.
    fn turn_over(&mut self) {
        for queue in &mut self.queues {
            self.statistics.malformed += queue.complete(&mut self.frames, self.shape);
            queue.fill(&mut self.frames, self.shape);
            queue.wake_receive();
        }
    }

    /// Fills the burst from the queues, each in turn being the first.
    fn take(&mut self, burst: &mut Vec<Packet>) -> bool {
        let first = self.next_queue;
        let mut scratch = self.shape.length();
        for at in (first..self.queues.len()).chain(0..first) {
            self.take_from(at, burst, &mut scratch);
        }
        self.next_queue = (first + 1) % self.queues.len();
        if burst.is_empty() {
            return false;
        }
        let time = now();
        for packet in burst.iter_mut() {
            packet.time = time;
            self.statistics.received_bytes += u64::from(packet.length);
        }
        self.statistics.received += burst.len() as u64;
        self.is_idle = false;
        if self.doubts > 0 {
            self.doubts -= 1;
            self.look_at_checksum(&burst[0]);
        }
        true
    }

    /// Fills the burst from one queue; `scratch` is where the next packet of several frames is copied to.
    fn take_from(&mut self, at: usize, burst: &mut Vec<Packet>, scratch: &mut usize) {
        let queue = &mut self.queues[at];
        let available = queue.rings.receive.available();
        let mut taken = 0;
        while taken < available && burst.len() < BURST {
            let descriptor = queue.rings.receive.peek(taken);
            let mut parts = 1;
            let mut place = None;
            if descriptor.options & CONTINUES == 0 {
                // Whatever the kernel says it received, it lies in a frame that the kernel has for that.
                let frame = self.shape.frame_of(descriptor.address, descriptor.length);
                if let Some(frame) = frame.filter(|frame| self.frames.received(*frame)) {
                    self.held.push(frame);
                    place = Some((descriptor.address as usize, descriptor.length));
                }
            } else {
                while parts < MOST_PARTS.min(available - taken)
                    && queue.rings.receive.peek(taken + parts - 1).options & CONTINUES != 0
                {
                    parts += 1;
                }
                let is_whole = queue.rings.receive.peek(taken + parts - 1).options & CONTINUES == 0;
                if !is_whole && parts < MOST_PARTS {
                    // The rest of it is still to come.
                    break;
                }
                let start = *scratch;
                let mut end = start;
                let mut is_good = is_whole;
                for part in taken..taken + parts {
                    let part = queue.rings.receive.peek(part);
                    match self.shape.frame_of(part.address, part.length) {
                        Some(frame) if self.frames.received(frame) => {
                            let from = part.address as usize;
                            let length = part.length as usize;
                            self.memory.bytes_mut().copy_within(from..from + length, end);
                            end += length;
                            self.frames.release(frame);
                        }
                        _ => is_good = false,
                    }
                }
                if is_good {
                    self.held.push(NONE);
                    place = Some((start, (end - start) as u32));
                    *scratch = end.next_multiple_of(64);
                }
            }
            taken += parts;
            match place {
                Some((offset, length)) => burst.push(Packet {
                    time: 0,
                    offset,
                    captured: length,
                    length,
                    link: LinkType::Ethernet,
                    checksum: ChecksumState::Unknown,
                    interface: at as u16,
                }),
                None => self.statistics.malformed += 1,
            }
        }
        if taken > 0 {
            queue.release(taken);
        }
    }

    /// Warns of a sender that leaves checksums out.
    fn look_at_checksum(&mut self, packet: &Packet) {
        if !partial::is_partial(packet.frame(self.memory.bytes())) {
            return;
        }
        self.doubts = 0;
        let warning = format!(
            "{}: packets come with unfinished checksums; sent on so, their receivers drop them. Switch the offload off \
             where they come from, of a veth at the other end of {}: ethtool -K INTERFACE tx off",
            self.name, self.interface
        );
        self.warning = Some(match self.warning.take() {
            Some(other) => format!("{other}\n{warning}"),
            None => warning,
        });
    }

    /// Finds out whether the interface went away.
    fn check(&mut self) -> Result<(), PortError> {
        if !self.is_gone {
            let error = self.queues[0].socket.error().map_err(|error| self.failed(&error))?;
            self.is_gone = error.is_some();
        }
        if !self.is_gone {
            return Ok(());
        }
        Err(PortError::Live {
            name: self.name.clone(),
            kind: io::ErrorKind::NotFound,
            reason: format!(
                "the interface {} was removed, or moved to another network namespace",
                self.interface
            ),
        })
    }

    fn failed(&self, error: &io::Error) -> PortError {
        PortError::Live { name: self.name.clone(), kind: error.kind(), reason: error.to_string() }
    }

    /// The queue by which a packet that came by queue `interface` is sent: always the same, so that order is kept.
    #[inline]
    fn sender(&self, interface: u16) -> usize {
        usize::from(interface) % self.senders.max(1)
    }

    #[inline]
    fn has_room(&mut self, queue: usize, parts: u32) -> bool {
        self.frames.available() >= parts as usize && self.queues[queue].rings.transmit.room(parts) >= parts
    }

    /// Makes room for a packet of `parts` frames, and waits for it until `deadline`, which it sets.
    fn make_room(
        &mut self,
        queue: usize,
        parts: u32,
        deadline: &mut Option<Instant>,
    ) -> Result<bool, PortError> {
        loop {
            for other in &mut self.queues {
                self.statistics.malformed += other.complete(&mut self.frames, self.shape);
            }
            if self.has_room(queue, parts) {
                return Ok(true);
            }
            let time = Instant::now();
            if time >= *deadline.get_or_insert(time + PATIENCE) {
                return Ok(false);
            }
            let mut is_down = false;
            for at in 0..self.senders {
                is_down |= self.kick(at)? == Kick::Down;
            }
            if is_down {
                self.check()?;
                // Nothing is sent while the interface is down: no use in waiting.
                *deadline = Some(time);
                continue;
            }
            for other in &mut self.queues {
                self.statistics.malformed += other.complete(&mut self.frames, self.shape);
            }
            if self.has_room(queue, parts) {
                return Ok(true);
            }
            let socket = self.queues[queue].socket.as_fd();
            poll::writable(socket, Duration::from_millis(1)).map_err(|error| self.failed(&error))?;
        }
    }

    fn kick(&mut self, at: usize) -> Result<Kick, PortError> {
        let mut dropped = 0;
        let result = self.queues[at].kick(&mut dropped);
        self.statistics.send_failures += dropped;
        self.statistics.sent = self.statistics.sent.saturating_sub(dropped);
        result.map_err(|error| self.failed(&error))
    }

    /// How many frames a packet of `length` bytes fills when it is sent; none if it cannot be sent.
    #[inline]
    fn parts(&self, length: usize) -> Option<u32> {
        let parts = length.div_ceil(self.shape.frame_size());
        (length >= SHORTEST && parts <= self.most_parts as usize && self.senders > 0).then_some(parts as u32)
    }

    fn count_sent(&mut self, length: usize) {
        self.statistics.sent += 1;
        self.statistics.sent_bytes += length as u64;
    }

    /// Copies a frame into the UMEM and puts it into the transmit ring.
    fn send_copy(
        &mut self,
        frame: &[u8],
        interface: u16,
        deadline: &mut Option<Instant>,
    ) -> Result<(), PortError> {
        let at = self.sender(interface);
        let Some(parts) = self.parts(frame.len()) else {
            self.statistics.send_failures += 1;
            return Ok(());
        };
        if !self.has_room(at, parts) && !self.make_room(at, parts, deadline)? {
            self.statistics.send_failures += 1;
            return Ok(());
        }
        let mut rest = frame;
        // There are as many free frames as the packet has parts.
        while !rest.is_empty()
            && let Some(free) = self.frames.send()
        {
            let (part, after) = rest.split_at(rest.len().min(self.shape.frame_size()));
            let address = self.shape.address(free);
            self.memory.bytes_mut()[address as usize..][..part.len()].copy_from_slice(part);
            self.queues[at].push(address, part.len() as u32, after.is_empty());
            rest = after;
        }
        self.count_sent(frame.len());
        Ok(())
    }

    /// Hands over a frame that `from` holds, which shares the UMEM.
    fn send_held(
        &mut self,
        from: &mut AfXdpPort,
        packet: &Packet,
        place: usize,
        deadline: &mut Option<Instant>,
    ) -> Result<(), PortError> {
        if packet.offset >= self.shape.length() {
            return self.send_copy(packet.frame(from.memory.bytes()), packet.interface, deadline);
        }
        let at = self.sender(packet.interface);
        let held = from.held.get(place).copied();
        let within = self.shape.frame_of(packet.offset as u64, packet.captured);
        let can_send = self.parts(packet.captured as usize) == Some(1)
            // A frame that was forwarded is gone, and so is one that is not where the packet says.
            && held.is_some_and(|held| within == Some(held))
            && (self.has_room(at, 1) || self.make_room(at, 1, deadline)?);
        match held {
            Some(held) if can_send && self.frames.exchange(&mut from.frames, held) => {
                from.held[place] = NONE;
                self.queues[at].push(packet.offset as u64, packet.captured, true);
                self.count_sent(packet.captured as usize);
            }
            _ => self.statistics.send_failures += 1,
        }
        Ok(())
    }
}

impl Port for AfXdpPort {
    fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        self.release_held();
        self.turn_over();
        if self.take(burst) {
            return Ok(Received::Packets);
        }
        // What the kernel had no room for would wait for the next packet else.
        self.flush()?;
        if self.is_idle || !wait.is_zero() {
            self.check()?;
        }
        self.is_idle = true;
        if wait.is_zero() {
            return Ok(Received::Nothing);
        }
        // A port has something to wait for as long as it lives.
        if let Some(descriptor) = self.descriptor() {
            poll::readable(&[descriptor], wait).map_err(|error| self.failed(&error))?;
        }
        self.turn_over();
        if self.take(burst) {
            return Ok(Received::Packets);
        }
        self.check()?;
        Ok(Received::Nothing)
    }

    fn can_send(&self) -> bool {
        self.senders > 0
    }

    fn memory(&self) -> &[u8] {
        self.memory.bytes()
    }

    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        Some(self.memory.bytes_mut())
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        let mut deadline = None;
        for packet in burst {
            self.send_copy(packet.frame(memory), packet.interface, &mut deadline)?;
        }
        Ok(())
    }

    fn forward(&mut self, from: &mut dyn Port, burst: &[Packet], places: &[u16]) -> Result<(), PortError> {
        let mut deadline = None;
        match (&mut *from as &mut dyn Any).downcast_mut::<AfXdpPort>() {
            Some(from) if Arc::ptr_eq(&from.umem, &self.umem) => {
                for place in places {
                    let place = usize::from(*place);
                    self.send_held(from, &burst[place], place, &mut deadline)?;
                }
            }
            _ => {
                for place in places {
                    let packet = &burst[usize::from(*place)];
                    self.send_copy(packet.frame(from.memory()), packet.interface, &mut deadline)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PortError> {
        for at in 0..self.senders {
            if self.kick(at)? == Kick::Down {
                self.check()?;
            }
        }
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        let mut statistics = self.statistics;
        for queue in &self.queues {
            // The sockets can be asked even when their interface is gone.
            let drops = queue.socket.drops().unwrap_or_default();
            statistics.dropped_by_kernel += drops.dropped + drops.ring_full;
            statistics.send_failures += drops.refused;
            statistics.sent = statistics.sent.saturating_sub(drops.refused);
        }
        statistics
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.any_queue.as_ref().map_or_else(|| self.queues[0].socket.as_fd(), AsFd::as_fd))
    }

    fn is_live(&self) -> bool {
        true
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

impl Drop for AfXdpPort {
    fn drop(&mut self) {
        // What is left to send; there is nobody to be told that it fails.
        let _ = self.flush();
        self.attached.clear();
    }
}
