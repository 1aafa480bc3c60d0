//! Bursts out of the receive rings.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::Duration;

use super::NetmapPort;
use super::cursor::Broken;
use super::ring::{BUFFER_CHANGED, Buffers, FRAGMENTS, MORE, Ring, Slot};
use crate::Nanos;
use crate::port::sys::mapping::Mapping;
use crate::port::sys::poll;
use crate::port::{
    BURST, ChecksumState, LinkType, Packet, PortError, PortStatistics, Received, TIME_LIMIT, now,
};

/// A receive ring.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) ring: Ring,
    /// Up to where the kernel's poll is to find nothing new: past what was handed out and the beginning of a chain.
    seen: u32,
    /// Whether the slots up to the end of a chain are to be passed over.
    skipping: bool,
    /// Slots taken since the kernel last took back what was released.
    unreturned: u32,
}

/// What a packet of the current burst lies in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    inlet: u16,
    slot: u32,
    offset: usize,
    length: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In its ring's buffer.
    InPlace,
    /// In the room behind the region, where the buffers of a chain were put together.
    Copied,
    /// It was handed over to another ring.
    Gone,
}

impl Held {
    pub(super) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// Whether all of `packet` lies in the one buffer of its slot, from its start on.
    pub(super) fn is_swappable(&self, packet: &Packet, buffers: &Buffers) -> bool {
        self.state == State::InPlace
            && packet.offset == self.offset
            && (1..=buffers.room()).contains(&(packet.captured as usize))
    }
}

impl Inlet {
    pub(super) fn new(ring: Ring) -> Inlet {
        let seen = ring.cursor.next();
        Inlet { ring, seen, skipping: false, unreturned: 0 }
    }

    pub(super) fn publish(&mut self, mapping: &Mapping) -> Result<(), Broken> {
        self.ring.publish(mapping, self.seen)
    }

    fn take(&mut self, slots: u32) {
        self.ring.cursor.take(slots);
        self.seen = self.ring.cursor.next();
        self.unreturned += slots;
    }

    /// Whether the kernel has at least half of the ring for what comes next.
    fn leaves_enough(&self) -> bool {
        self.unreturned <= self.ring.cursor.slots() / 2
    }

    /// The slots that the next frame takes, and its bytes.
    fn frame(&self, mapping: &Mapping, buffers: &Buffers) -> Result<Found, Broken> {
        let cursor = &self.ring.cursor;
        let mut found = Found { slots: 0, bytes: 0, first: 0, whole: false, sound: true };
        for number in 0..cursor.room().min(FRAGMENTS) {
            let slot = self.ring.slot(mapping, cursor.after(cursor.next(), number));
            let Some(place) = buffers.place(slot.buffer) else {
                return Err(Broken { what: "buffer index", value: slot.buffer, slots: cursor.slots() });
            };
            if number == 0 {
                found.first = place;
            }
            found.sound &= usize::from(slot.length) <= buffers.size;
            found.bytes += u32::from(slot.length);
            found.slots += 1;
            if slot.flags & MORE == 0 {
                found.whole = true;
                break;
            }
        }
        Ok(found)
    }
}

struct Found {
    slots: u32,
    bytes: u32,
    /// Where the first buffer lies.
    first: usize,
    /// Whether the last slot is there.
    whole: bool,
    /// Whether each slot's bytes lie in its buffer.
    sound: bool,
}

/// Where the packets of a burst go, and what is left of the room for chains.
pub(super) struct Basket<'b> {
    burst: &'b mut Vec<Packet>,
    /// Where the next chain is put together.
    scratch: usize,
    /// The time of packets from rings without one, once it was asked for.
    now: Option<Nanos>,
}

impl NetmapPort {
    pub(super) fn next_burst(
        &mut self,
        burst: &mut Vec<Packet>,
        wait: Duration,
    ) -> Result<Received, PortError> {
        burst.clear();
        if self.rx.is_empty() {
            return Ok(Received::End);
        }
        self.pass_on()?;
        self.send_waiting()?;
        self.publish_rx()?;
        // What a poll or the last sync has brought needs no sync, as long as the kernel has slots for more.
        if self.rx.iter().all(Inlet::leaves_enough) {
            self.gather(burst)?;
        }
        if burst.is_empty() && (wait.is_zero() || self.watch.is_some()) {
            self.sync_rx()?;
            self.gather(burst)?;
        }
        if burst.is_empty() && self.watch.is_some() {
            self.wait_for_interface(burst, wait)?;
        } else if burst.is_empty() && !wait.is_zero() {
            // A poll is a sync too.
            let ready = poll::readable(&[self.device.as_fd()], wait).map_err(|error| self.lost(&error))?;
            self.rx.iter_mut().for_each(|inlet| inlet.unreturned = 0);
            self.gather(burst)?;
            if ready && burst.is_empty() {
                // An error, maybe; the sync tells which.
                self.publish_rx()?;
                self.sync_rx()?;
                self.gather(burst)?;
                if burst.is_empty()
                    && poll::is_broken(self.device.as_fd()).map_err(|error| self.lost(&error))?
                {
                    // Its sync says nothing.
                    self.gone = true;
                    let reason = "the port that it monitors was closed".to_owned();
                    return Err(self.failed(ErrorKind::NotConnected, reason));
                }
            }
        }
        if burst.is_empty() {
            // So that whoever polls the descriptor next sleeps until there is more of a frame that has begun.
            self.publish_rx()?;
            return Ok(Received::Nothing);
        }
        self.statistics.received += burst.len() as u64;
        self.statistics.received_bytes += burst.iter().map(|packet| u64::from(packet.length)).sum::<u64>();
        Ok(Received::Packets)
    }

    /// Waits as [`Watch`] wants it: what a sync just found was nothing.
    fn wait_for_interface(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<(), PortError> {
        let running = self.may_sync();
        let Some(watch) = &mut self.watch else { return Ok(()) };
        // What was news is known now.
        watch.clear_news();
        let mut result = if running { watch.include(self.device.as_fd()) } else { Ok(()) };
        if result.is_ok() && !wait.is_zero() {
            let waited = match watch.either() {
                _ if !running => watch.news(),
                Some(either) => either,
                None => self.device.as_fd(),
            };
            result = poll::readable(&[waited], wait).map(drop);
        }
        result.map_err(|error| self.lost(&error))?;
        if wait.is_zero() {
            return Ok(());
        }
        self.publish_rx()?;
        self.sync_rx()?;
        self.gather(burst)
    }

    fn sync_rx(&mut self) -> Result<(), PortError> {
        if !self.may_sync() {
            return Ok(());
        }
        self.rx.iter_mut().for_each(|inlet| inlet.unreturned = 0);
        self.device.sync_rx().map_err(|error| self.lost(&error))
    }

    /// Gives all slots of the last burst to the kernel.
    fn publish_rx(&mut self) -> Result<(), PortError> {
        self.held.clear();
        for inlet in &mut self.rx {
            if let Err(broken) = inlet.publish(&self.mapping) {
                return Err(self.broken(broken));
            }
        }
        Ok(())
    }

    /// Takes packets from the rings in turn, a different one first each time.
    fn gather(&mut self, burst: &mut Vec<Packet>) -> Result<(), PortError> {
        let mut basket = Basket::new(burst, self.region_size);
        let rings = self.rx.len();
        for step in 0..rings {
            let which = (self.turn + step) % rings;
            let Self { rx, mapping, buffers, held, statistics, .. } = self;
            let taken = rx[which].gather(which as u16, mapping, buffers, &mut basket, held, statistics);
            if let Err(broken) = taken {
                return Err(self.broken(broken));
            }
        }
        self.turn = (self.turn + 1) % rings;
        Ok(())
    }

    /// Passes what the current burst still holds between the NIC and the host.
    pub(super) fn pass_on(&mut self) -> Result<(), PortError> {
        if !self.tap || self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        for packet in &held {
            let ring = &self.rx[usize::from(packet.inlet)].ring;
            let host_rings = self.tx.len() - self.nic_tx;
            let outlet = if ring.host {
                usize::from(ring.number) % self.nic_tx
            } else {
                self.nic_tx + usize::from(ring.number) % host_rings
            };
            match packet.state {
                State::InPlace => {
                    let index = self.slot_of(*packet).buffer;
                    if let Some(other) = self.send_buffer(outlet, index, packet.length as u16)? {
                        self.replace_buffer(*packet, other);
                    }
                }
                State::Copied => {
                    // Only offloads make chains here; most are too long to be sent at all.
                    let end = packet.offset + packet.length as usize;
                    let frame = self.mapping.bytes()[packet.offset..end].to_vec();
                    self.send_copy(outlet, &frame)?;
                }
                State::Gone => {}
            }
        }
        self.held = held;
        self.flush_all()
    }

    /// The packet at `place` of the current burst; none if it is not of this burst.
    pub(super) fn held(&self, place: usize) -> Option<Held> {
        self.held.get(place).copied()
    }

    pub(super) fn slot_of(&self, held: Held) -> Slot {
        self.rx[usize::from(held.inlet)].ring.slot(&self.mapping, held.slot)
    }

    /// Puts another buffer in the place of the packet at `place`, which is gone then.
    pub(super) fn exchange(&mut self, place: usize, buffer: u32) {
        let held = self.held[place];
        self.held[place].state = State::Gone;
        self.replace_buffer(held, buffer);
    }

    fn replace_buffer(&self, held: Held, buffer: u32) {
        let slot = Slot { buffer, length: 0, flags: BUFFER_CHANGED };
        self.rx[usize::from(held.inlet)].ring.set_slot(&self.mapping, held.slot, slot);
    }
}

impl Inlet {
    /// Takes frames from the ring as long as there are some and the basket has room.
    pub(super) fn gather(
        &mut self,
        which: u16,
        mapping: &mut Mapping,
        buffers: &Buffers,
        basket: &mut Basket<'_>,
        held: &mut Vec<Held>,
        statistics: &mut PortStatistics,
    ) -> Result<(), Broken> {
        self.ring.refresh(mapping)?;
        let mut time = None;
        while basket.burst.len() < BURST && self.ring.cursor.room() > 0 {
            let found = self.frame(mapping, buffers)?;
            if !found.whole && !self.skipping && !self.is_endless(&found) {
                // The kernel has not written all of it yet.
                self.seen = self.ring.cursor.tail();
                break;
            }
            if self.skipping || !found.whole || !found.sound {
                statistics.malformed += u64::from(!self.skipping);
                self.skipping = !found.whole;
                self.take(found.slots);
                continue;
            }
            // A VALE switch leaves slots without a byte where a sender withdrew: they are no packets.
            if found.bytes == 0 {
                self.take(found.slots);
                continue;
            }
            let (offset, state) = if found.slots == 1 {
                (found.first, State::InPlace)
            } else if basket.scratch + found.bytes as usize > mapping.len() {
                break;
            } else {
                let offset = basket.scratch;
                basket.scratch = self.put_together(mapping, buffers, offset, found.slots);
                (offset, State::Copied)
            };
            let time = *time.get_or_insert_with(|| self.ring.time(mapping).unwrap_or_else(|| basket.clock()));
            held.push(Held {
                inlet: which,
                slot: self.ring.cursor.next(),
                offset,
                length: found.bytes,
                state,
            });
            basket.burst.push(Packet {
                time,
                offset,
                captured: found.bytes,
                length: found.bytes,
                link: LinkType::Ethernet,
                checksum: ChecksumState::Unknown,
                interface: self.ring.number,
            });
            self.take(found.slots);
        }
        Ok(())
    }

    /// Whether a chain whose end is not there can have none.
    fn is_endless(&self, found: &Found) -> bool {
        found.slots >= FRAGMENTS || found.slots >= self.ring.cursor.capacity()
    }

    /// Copies the buffers of a chain one after the other to `to`; returns where they end.
    fn put_together(&self, mapping: &mut Mapping, buffers: &Buffers, mut to: usize, slots: u32) -> usize {
        let cursor = self.ring.cursor;
        for number in 0..slots {
            let slot = self.ring.slot(mapping, cursor.after(cursor.next(), number));
            let length = usize::from(slot.length);
            // All was looked at when the frame was found. Were it another one now, it would be left out.
            if let Some(place) = buffers.place(slot.buffer)
                && length <= buffers.size
                && to + length <= mapping.len()
            {
                mapping.bytes_mut().copy_within(place..place + length, to);
                to += length;
            }
        }
        to
    }
}

impl<'b> Basket<'b> {
    /// An empty basket for a burst; chains are put together from `scratch` on.
    pub(super) fn new(burst: &'b mut Vec<Packet>, scratch: usize) -> Basket<'b> {
        Basket { burst, scratch, now: None }
    }

    fn clock(&mut self) -> Nanos {
        *self.now.get_or_insert_with(|| now().min(TIME_LIMIT))
    }
}
