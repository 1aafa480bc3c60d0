//! Segments of the edited side's receiver, as they arrive.

use super::{Edits, Seq};
use crate::Nanos;
use crate::inline::rewrite::{Area, Layout, Target};
use crate::wire::{Outcome, Segment, TcpFlags, options};

/// What an arrived segment was changed to: what the stack is to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The acknowledgment number, an original one.
    pub ack: u32,
    /// The window field.
    pub window: u16,
}

impl Edits {
    /// Changes what a segment of the other side says of this one's stream to original numbers: acknowledgement, window
    /// and SACK blocks. `shift` is the scale of its windows, if it is known. Returns what the segment's fields are now.
    ///
    /// The map itself only moves once the segment was [accepted](Edits::accept).
    pub fn arrive(&mut self, target: &mut Target<'_>, shift: Option<u8>) -> Arrived {
        let segment = *target.segment;
        let unchanged = Arrived { ack: segment.ack, window: segment.window };
        self.arrived = None;
        let concerns = segment.flags.contains(TcpFlags::ACK) && !segment.flags.contains(TcpFlags::SYN);
        if !concerns || segment.is_broken() {
            return unchanged;
        }
        let Some(layout) = Layout::of(target.frame, Outcome::Tcp, &segment, target.checksum) else {
            return unchanged;
        };
        let new = Seq(segment.ack);
        let edge = new.plus(u32::from(segment.window) << shift.unwrap_or(0));
        let ack = self.to_original(new);
        let window = match shift {
            Some(shift) => {
                // A window never reaches beyond what the receiver has room for, edits included.
                let room = self.to_original(edge).since(ack).max(0) as u32;
                (room >> shift).min(0xffff) as u16
            }
            // Taking the bytes that are to come in addition for as many units is too much, but never too little.
            None => segment.window.saturating_sub(self.surplus(new)),
        };
        let at = usize::from(segment.transport);
        if ack != new {
            layout.put(target.frame, Area::Tcp, at + 8, &ack.0.to_be_bytes());
        }
        if window != segment.window {
            layout.put(target.frame, Area::Tcp, at + 14, &window.to_be_bytes());
        }
        self.change_blocks(&layout, target.frame, &segment, new);
        if !segment.flags.contains(TcpFlags::RST) {
            self.arrived = Some((new, edge));
        }
        Arrived { ack: ack.0, window }
    }

    /// The segment that [arrived](Edits::arrive) last was accepted: what it acknowledges needs not be kept any more.
    pub fn accept(&mut self, now: Nanos) {
        if let Some((ack, edge)) = self.arrived.take() {
            self.acknowledge(ack, edge, now);
        }
    }

    /// By how many bytes the edits beyond a new number make the stream longer.
    fn surplus(&self, new: Seq) -> u16 {
        let surplus = self
            .list
            .iter()
            .filter(|edit| edit.new_end().after(new))
            .map(|edit| edit.data.len() as i64 - i64::from(edit.removed))
            .sum::<i64>();
        surplus.clamp(0, 0xffff) as u16
    }

    /// Changes the edges of SACK blocks (RFC 2018, RFC 2883). Blocks of which the sender knows nothing are left out.
    fn change_blocks(&self, layout: &Layout, frame: &mut [u8], segment: &Segment, ack: Seq) {
        let start = usize::from(segment.transport) + 20;
        let Some((at, length)) = options::each(segment.options(frame))
            .find(|(_, option)| option[0] == options::SACK && option.len() >= 10 && option.len() % 8 == 2)
            .map(|(at, option)| (start + at, option.len()))
        else {
            return;
        };
        let mut changed = [options::NOP; 40];
        let Some(option) = changed.get_mut(..length) else { return };
        let mut used = 2;
        for block in frame[at + 2..at + length].as_chunks::<8>().0 {
            let both = u64::from_be_bytes(*block);
            let (left, right) = (Seq((both >> 32) as u32), Seq(both as u32));
            let is_repeated = right.since(ack) <= 0;
            let left = if is_repeated { self.to_original(left) } else { self.block_start(left) };
            let right = self.to_original(right);
            if left.before(right) {
                option[used..used + 4].copy_from_slice(&left.0.to_be_bytes());
                option[used + 4..used + 8].copy_from_slice(&right.0.to_be_bytes());
                used += 8;
            }
        }
        if used > 2 {
            (option[0], option[1]) = (options::SACK, used as u8);
        }
        if frame[at..at + length] != *option {
            layout.put(frame, Area::Tcp, at, option);
        }
    }
}
