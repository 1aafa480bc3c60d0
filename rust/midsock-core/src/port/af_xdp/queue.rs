//! One queue of the interface: its socket and rings.

use std::io;

use super::frames::{Frame, Frames};
use crate::port::sys::xdp::{Rings, Socket};
use crate::port::sys::xdp_ring::{CONTINUES, Descriptor};

/// How many frames one call sends in copy mode on a kernel that cannot be asked for more.
const KERNEL_BUDGET: u32 = 32;

/// The frames' size and number: what an address is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Binary logarithm of a frame's size.
    pub(super) shift: u32,
    /// Frames in the UMEM.
    pub(super) count: u32,
}

impl Shape {
    pub(super) fn frame_size(self) -> usize {
        1 << self.shift
    }

    /// Bytes of the whole UMEM.
    pub(super) fn length(self) -> usize {
        (self.count as usize) << self.shift
    }

    /// Where the frame starts in the UMEM.
    #[inline]
    pub(super) fn address(self, frame: Frame) -> u64 {
        u64::from(frame) << self.shift
    }

    /// The frame that the address lies in, if it lies in the UMEM.
    #[inline]
    pub(super) fn frame(self, address: u64) -> Option<Frame> {
        let frame = address >> self.shift;
        (frame < u64::from(self.count)).then_some(frame as Frame)
    }

    /// The frame that `length` bytes from the address on lie in, if they lie in one frame of the UMEM.
    #[inline]
    pub(super) fn frame_of(self, address: u64, length: u32) -> Option<Frame> {
        let within = address & ((1 << self.shift) - 1);
        if within + u64::from(length) > 1 << self.shift { None } else { self.frame(address) }
    }
}

/// What came of telling the kernel to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kick {
    /// It sends, or has sent, all there was.
    Done,
    /// It has no room now.
    Stalled,
    /// The interface is down, or gone.
    Down,
}

/// A socket with its rings.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) socket: Socket,
    pub(super) rings: Rings,
    /// Frames put into the transmit ring that did not come back by the completion ring.
    pub(super) in_flight: u32,
    /// The transmit ring has entries that the kernel was not told of, or did not take.
    pub(super) is_unsent: bool,
    /// Frames in the fill and receive rings.
    filled: u32,
    /// The most there may be of these.
    depth: u32,
    /// The kernel sends as many frames by one call as the ring holds.
    sends_all: bool,
}

impl Queue {
    pub(super) fn new(socket: Socket, rings: Rings, depth: u32) -> Queue {
        // Nothing depends on it but the number of calls.
        let sends_all = socket.set_transmit_budget(depth).is_ok();
        Queue { socket, rings, in_flight: 0, is_unsent: false, filled: 0, depth, sends_all }
    }

    /// Gives the kernel free frames to receive into, as many as the fill ring takes.
    #[inline]
    pub(super) fn fill(&mut self, frames: &mut Frames, shape: Shape) {
        let missing = self.depth - self.filled;
        if missing == 0 {
            return;
        }
        let room = self.rings.fill.room(missing).min(missing);
        let mut filled = 0;
        while filled < room
            && let Some(frame) = frames.fill()
        {
            self.rings.fill.push(shape.address(frame));
            filled += 1;
        }
        if filled > 0 {
            self.rings.fill.publish();
            self.filled += filled;
        }
    }

    /// Tells the kernel of frames in the fill ring if it sleeps.
    #[inline]
    pub(super) fn wake_receive(&self) {
        if self.rings.fill.needs_wakeup() {
            // It is told again at the next call if this fails; that the interface went away is looked at elsewhere.
            let _ = self.socket.wake_receive();
        }
    }

    /// Takes `entries` of the receive ring.
    #[inline]
    pub(super) fn release(&mut self, entries: u32) {
        self.rings.receive.release(entries);
        self.filled = self.filled.saturating_sub(entries);
    }

    /// Takes back the frames that were sent; returns how many entries were not believed.
    #[inline]
    pub(super) fn complete(&mut self, frames: &mut Frames, shape: Shape) -> u64 {
        if self.in_flight == 0 {
            return 0;
        }
        let available = self.rings.completion.available();
        let mut refused = 0;
        for ahead in 0..available {
            let frame = shape.frame(self.rings.completion.peek(ahead));
            if !frame.is_some_and(|frame| frames.completed(frame)) {
                refused += 1;
            }
        }
        if available > 0 {
            self.rings.completion.release(available);
            self.in_flight = self.in_flight.saturating_sub(available);
        }
        refused
    }

    /// Puts a part of a packet into the transmit ring, which must have room.
    #[inline]
    pub(super) fn push(&mut self, address: u64, length: u32, is_last: bool) {
        let options = if is_last { 0 } else { CONTINUES };
        self.rings.transmit.push(Descriptor { address, length, options });
        self.in_flight += 1;
        self.is_unsent = true;
    }

    /// Has the kernel send what is in the transmit ring; counts into `dropped` what the interface took and dropped.
    pub(super) fn kick(&mut self, dropped: &mut u64) -> io::Result<Kick> {
        if !self.is_unsent {
            return Ok(Kick::Done);
        }
        self.rings.transmit.publish();
        let mut pending = self.rings.transmit.pending();
        // A kernel that sends a few by each call may tell of them by the next call only.
        let mut calls_without_progress = if self.sends_all { 1 } else { pending / KERNEL_BUDGET + 2 };
        while pending > 0 && self.rings.transmit.needs_wakeup() {
            match self.socket.wake_transmit() {
                Ok(()) => break,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EBUSY) => *dropped += 1,
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR | libc::ENOMEM) => {}
                    Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => return Ok(Kick::Down),
                    _ => return Err(error),
                },
            }
            let left = self.rings.transmit.pending();
            if left == pending {
                calls_without_progress -= 1;
                if calls_without_progress == 0 {
                    return Ok(Kick::Stalled);
                }
            }
            pending = left;
        }
        // Without a copy the kernel goes on by itself, and may want to be told again.
        self.is_unsent = self.rings.transmit.pending() > 0;
        Ok(Kick::Done)
    }
}

#[cfg(test)]
mod tests;
