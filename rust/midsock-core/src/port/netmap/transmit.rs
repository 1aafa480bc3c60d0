//! Frames into the transmit rings.
//!
//! A frame goes into its ring at once if there is room. If there is none, the ring is synced; if there still is none, the
//! frame is held in an extra buffer and goes as soon as there is room again, so that a short stall costs no packet and
//! does not stop the traffic the other way. Only when the extra buffers are used up too is there a wait, of
//! [`LONGEST_WAIT`] between two flushes at most; then the frame is a send failure. A ring that has made no progress in a
//! whole wait is not waited for again until it does.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::NetmapPort;
use super::cursor::Broken;
use super::extra::Spares;
use super::ring::{BUFFER_CHANGED, Buffers, FRAGMENTS, MORE, Ring, Slot};
use crate::port::sys::mapping::Mapping;
use crate::port::sys::poll;
use crate::port::{Packet, PortError};

/// How long is waited for room between two flushes.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// How long a port that is being closed waits for what is on its way.
const LONGEST_DRAIN: Duration = Duration::from_millis(500);

/// How often is looked for room where the device's poll is not to be used.
const PAUSE: Duration = Duration::from_micros(100);

/// A transmit ring, and what waits for room in it.
#[derive(Debug)]
pub(super) struct Outlet {
    ring: Ring,
    waiting: VecDeque<Waiting>,
}

/// A buffer that waits for a slot.
#[derive(Debug)]
struct Waiting {
    buffer: u32,
    length: u16,
    /// Whether the frame goes on in the next one.
    more: bool,
}

/// How much of the wait for room is used up.
#[derive(Debug, Default)]
pub(super) struct Budget {
    waited: Duration,
    /// A sync since the last flush has made no room.
    full: bool,
    /// A whole wait has made no room.
    stalled: bool,
}

/// Where a frame can go.
enum Room {
    Ring,
    Extra,
    None,
}

impl Outlet {
    pub(super) fn new(ring: Ring) -> Outlet {
        Outlet { ring, waiting: VecDeque::new() }
    }

    /// Whether a frame of so many slots can go into the ring now. What waits goes first.
    fn has_room(&self, slots: u32) -> bool {
        self.waiting.is_empty() && self.ring.cursor.room() >= slots
    }

    /// Puts a buffer into the next slot; returns the one that was there.
    fn put(
        &mut self,
        mapping: &Mapping,
        buffers: &Buffers,
        buffer: u32,
        length: u16,
        more: bool,
    ) -> Result<u32, Broken> {
        let place = self.ring.cursor.next();
        let there = self.ring.slot(mapping, place).buffer;
        if buffers.place(there).is_none() {
            return Err(Broken { what: "buffer index", value: there, slots: self.ring.cursor.slots() });
        }
        let changed = if buffer == there { 0 } else { BUFFER_CHANGED };
        let flags = changed | if more { MORE } else { 0 };
        self.ring.set_slot(mapping, place, Slot { buffer, length, flags });
        self.ring.cursor.take(1);
        Ok(there)
    }

    /// Puts what waits into the ring, whole frames only, as far as there is room; returns whether there was any.
    fn put_waiting(
        &mut self,
        mapping: &Mapping,
        buffers: &Buffers,
        spares: &mut Spares,
    ) -> Result<bool, Broken> {
        let mut any = false;
        while !self.waiting.is_empty() {
            let slots = 1 + self.waiting.iter().take_while(|part| part.more).count();
            if (self.ring.cursor.room() as usize) < slots {
                break;
            }
            for _ in 0..slots {
                let Some(part) = self.waiting.pop_front() else { break };
                spares.push(self.put(mapping, buffers, part.buffer, part.length, part.more)?);
            }
            any = true;
        }
        Ok(any)
    }

    /// Makes the buffers of what still waits extra ones again; the frames are lost.
    pub(super) fn give_up(&mut self, spares: &mut Spares) {
        for part in self.waiting.drain(..) {
            spares.push(part.buffer);
        }
    }
}

impl NetmapPort {
    pub(super) fn check_sends(&self) -> Result<(), PortError> {
        if self.tx.is_empty() {
            let reason = "this port only receives: a monitor, or opened with the flag R";
            return Err(self.failed(ErrorKind::Unsupported, reason.to_owned()));
        }
        Ok(())
    }

    /// The ring for a packet: the same for all packets from one ring, so that they stay in order.
    pub(super) fn outlet_of(&self, packet: &Packet) -> usize {
        // The host's rings of a port with both are for what the port passes on itself.
        let rings = if self.nic_tx > 0 { self.nic_tx } else { self.tx.len() };
        usize::from(packet.interface) % rings.max(1)
    }

    /// Sends a copy of a frame.
    pub(super) fn send_copy(&mut self, outlet: usize, frame: &[u8]) -> Result<(), PortError> {
        let each = self.buffers.room();
        let slots = frame.len().div_ceil(each) as u32;
        let most = if self.chains { FRAGMENTS.min(self.tx[outlet].ring.cursor.capacity()) } else { 1 };
        if !(1..=most).contains(&slots) {
            self.statistics.send_failures += 1;
            return Ok(());
        }
        let room = self.room(outlet, slots)?;
        let Self { tx, mapping, buffers, spares, .. } = self;
        let outlet = &mut tx[outlet];
        for (number, part) in (1..).zip(frame.chunks(each)) {
            let (length, more) = (part.len() as u16, number < slots);
            let buffer = match room {
                Room::Ring => {
                    let place = outlet.ring.cursor.next();
                    Some(outlet.ring.slot(mapping, place).buffer)
                }
                Room::Extra => spares.pop(),
                Room::None => None,
            };
            let Some(buffer) = buffer else {
                self.statistics.send_failures += 1;
                return Ok(());
            };
            let Some(place) = buffers.place(buffer) else {
                let slots = outlet.ring.cursor.slots();
                return Err(self.broken(Broken { what: "buffer index", value: buffer, slots }));
            };
            mapping.bytes_mut()[place..place + part.len()].copy_from_slice(part);
            if matches!(room, Room::Extra) {
                outlet.waiting.push_back(Waiting { buffer, length, more });
            } else if let Err(broken) = outlet.put(mapping, buffers, buffer, length, more) {
                return Err(self.broken(broken));
            }
        }
        self.count_sent(frame.len());
        Ok(())
    }

    /// Sends the packet at `place` of the current burst of `source`, a port of the same region, without a copy if it lies
    /// in one buffer.
    pub(super) fn hand_over(
        &mut self,
        source: &mut NetmapPort,
        packet: &Packet,
        place: usize,
    ) -> Result<(), PortError> {
        let outlet = self.outlet_of(packet);
        let Some(held) = source.held(place).filter(|held| !held.is_gone()) else {
            // Its buffer is another ring's already.
            self.statistics.send_failures += 1;
            return Ok(());
        };
        if !held.is_swappable(packet, &source.buffers) || self.buffers != source.buffers {
            return self.send_copy(outlet, packet.frame(source.mapping.bytes()));
        }
        let buffer = source.slot_of(held).buffer;
        if let Some(other) = self.send_buffer(outlet, buffer, packet.captured as u16)? {
            source.exchange(place, other);
        }
        Ok(())
    }

    /// Sends a buffer; returns the one to be used in its place, or none if there was no room for it.
    pub(super) fn send_buffer(
        &mut self,
        outlet: usize,
        buffer: u32,
        length: u16,
    ) -> Result<Option<u32>, PortError> {
        let room = self.room(outlet, 1)?;
        let Self { tx, mapping, buffers, spares, .. } = self;
        let other = match room {
            Room::Ring => match tx[outlet].put(mapping, buffers, buffer, length, false) {
                Ok(other) => Some(other),
                Err(broken) => return Err(self.broken(broken)),
            },
            Room::Extra => spares.pop().inspect(|_| {
                tx[outlet].waiting.push_back(Waiting { buffer, length, more: false });
            }),
            Room::None => None,
        };
        match other {
            Some(_) => self.count_sent(usize::from(length)),
            None => self.statistics.send_failures += 1,
        }
        Ok(other)
    }

    fn count_sent(&mut self, length: usize) {
        self.statistics.sent += 1;
        self.statistics.sent_bytes += length as u64;
    }

    /// Finds room for a frame of so many slots.
    fn room(&mut self, outlet: usize, slots: u32) -> Result<Room, PortError> {
        if self.tx[outlet].has_room(slots) {
            return Ok(Room::Ring);
        }
        if !self.budget.full {
            self.push()?;
            if self.tx[outlet].has_room(slots) {
                return Ok(Room::Ring);
            }
            self.budget.full = true;
        }
        loop {
            if self.spares.len() >= slots as usize {
                return Ok(Room::Extra);
            }
            if !self.wait_for_room()? {
                return Ok(Room::None);
            }
            if self.tx[outlet].has_room(slots) {
                return Ok(Room::Ring);
            }
        }
    }

    /// Waits for slots to become free and puts what waits into them; returns false if the time for that is used up.
    fn wait_for_room(&mut self) -> Result<bool, PortError> {
        let left = LONGEST_WAIT.saturating_sub(self.budget.waited);
        if self.budget.stalled || left.is_zero() {
            return Ok(false);
        }
        // A ring with room must not end the wait for the one without.
        self.publish_tx(|ring| ring.cursor.tail())?;
        let before = Instant::now();
        let ready = if self.watch.is_none() {
            poll::writable(self.device.as_fd(), left).map_err(|error| self.lost(&error))?
        } else {
            // The device's poll might never end; see `Watch`.
            std::thread::sleep(PAUSE.min(left));
            before.elapsed() < left && self.may_sync()
        };
        self.budget.waited += before.elapsed();
        (self.budget.full, self.budget.stalled) = (!ready, !ready);
        self.push()?;
        Ok(!self.budget.stalled)
    }

    /// Gives the kernel what is in the rings, and puts what waits into the slots that became free.
    fn push(&mut self) -> Result<(), PortError> {
        loop {
            self.publish_tx(|ring| ring.cursor.next())?;
            if self.may_sync() {
                self.device.sync_tx().map_err(|error| self.lost(&error))?;
            }
            let Self { tx, mapping, buffers, spares, budget, .. } = self;
            let mut more = false;
            for outlet in tx {
                let before = outlet.ring.cursor.tail();
                let put =
                    outlet.ring.refresh(mapping).and_then(|()| outlet.put_waiting(mapping, buffers, spares));
                match put {
                    Ok(put) => more |= put,
                    Err(broken) => return Err(self.broken(broken)),
                }
                if outlet.ring.cursor.tail() != before {
                    (budget.full, budget.stalled) = (false, false);
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn publish_tx(&mut self, wake: impl Fn(&Ring) -> u32) -> Result<(), PortError> {
        for outlet in &mut self.tx {
            let wake = wake(&outlet.ring);
            if let Err(broken) = outlet.ring.publish(&self.mapping, wake) {
                return Err(self.broken(broken));
            }
        }
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        self.tx.iter().any(|outlet| !outlet.waiting.is_empty())
    }

    /// Tries again what waits for room.
    pub(super) fn send_waiting(&mut self) -> Result<(), PortError> {
        if self.is_waiting() { self.push() } else { Ok(()) }
    }

    pub(super) fn flush_all(&mut self) -> Result<(), PortError> {
        if self.is_waiting() || self.tx.iter().any(|outlet| outlet.ring.cursor.used() > 0) {
            self.push()?;
            while self.is_waiting() && self.wait_for_room()? {}
        }
        (self.budget.waited, self.budget.full) = (Duration::ZERO, false);
        Ok(())
    }

    /// Sends what can still be sent, within [`LONGEST_DRAIN`].
    pub(super) fn drain(&mut self) {
        let deadline = Instant::now() + LONGEST_DRAIN;
        // An error ends it: the port is closed anyway.
        let mut result = if self.gone { return } else { self.pass_on() };
        while result.is_ok() {
            result = self.push();
            let pending = self.tx.iter().any(|outlet| outlet.ring.cursor.pending() > 0);
            if !(pending || self.is_waiting()) || Instant::now() >= deadline || !self.may_sync() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
