//! Packets decoded ahead of their turn.

use crate::flow::{FlowTable, Key, Paths};
use crate::port::Packet;
use crate::wire::{self, Malformed, Outcome, Segment};

/// How many packets are decoded ahead: enough for their loads from memory to overlap, and few enough for what was
/// decoded and read to be in the nearest cache when their turn comes.
const AHEAD: usize = 32;

/// A decoded packet.
#[derive(Clone, Copy)]
pub(super) struct Decoded {
    pub(super) segment: Segment,
    pub(super) outcome: Outcome,
    /// It goes from the lower end of the key to the higher one.
    pub(super) forward: bool,
    pub(super) hash: u32,
    /// Where its flow probably is.
    pub(super) guess: Option<u32>,
    pub(super) key: Key,
}

impl Decoded {
    /// Gives the key the path of tunnels that the segment came through.
    fn go_through(&mut self, paths: &mut Paths, frame: &[u8], packet: &Packet) {
        let write = |path: &mut Vec<u8>| wire::path(frame, packet.link, packet.length, path);
        match paths.number(self.segment.vlan, write) {
            Some(path) => self.key = self.key.through(path),
            // No flow can be opened for it.
            None => self.outcome = Outcome::NotTcp,
        }
    }
}

/// The packets of the burst that were decoded last.
pub(super) struct Ahead {
    /// Each at its place in the burst modulo their number.
    packets: Box<[Decoded; AHEAD]>,
    /// How many packets of the burst are decoded.
    done: usize,
}

impl Default for Ahead {
    fn default() -> Ahead {
        let none = Decoded {
            segment: Segment::default(),
            outcome: Outcome::NotIp,
            forward: false,
            hash: 0,
            guess: None,
            key: Key::default(),
        };
        Ahead { packets: Box::new([none; AHEAD]), done: 0 }
    }
}

impl Ahead {
    /// The packet at this place in the burst, which must be among those decoded last.
    #[inline]
    pub(super) fn at(&self, packet: usize) -> &Decoded {
        &self.packets[packet % AHEAD]
    }

    /// A burst has come.
    pub(super) fn begin_burst(&mut self) {
        self.done = 0;
    }

    /// Sees to it that the packet at this place, the next one to be worked on, is decoded.
    #[inline]
    pub(super) fn reach<U>(
        &mut self,
        packet: usize,
        table: &FlowTable<U>,
        paths: &mut Paths,
        memory: &[u8],
        burst: &[Packet],
    ) {
        if packet == self.done {
            self.decode(table, paths, memory, burst);
        }
    }

    /// Decodes the next packets and reads what they will need, so that memory answers many requests at once.
    fn decode<U>(&mut self, table: &FlowTable<U>, paths: &mut Paths, memory: &[u8], burst: &[Packet]) {
        let packets = burst[self.done..].iter().take(AHEAD);
        self.done += packets.len();
        let ahead = &mut self.packets[..packets.len()];
        // Loads that do not depend on one another, first of slots and then of records: the processor has many of them
        // under way at a time.
        let mut read = 0;
        for (decoded, packet) in ahead.iter_mut().zip(packets) {
            let frame = packet.frame(memory);
            decoded.outcome = wire::decode(frame, packet.link, packet.length, &mut decoded.segment);
            if decoded.outcome == Outcome::Malformed(Malformed::BadTcpDataOffset) {
                // It changes nothing, but its flow is to know of it.
                decoded.outcome = Outcome::Tcp;
            }
            if decoded.outcome == Outcome::Tcp {
                (decoded.key, decoded.forward) = Key::of(frame, &decoded.segment);
                if decoded.segment.tunnels > 0 {
                    decoded.go_through(paths, frame, packet);
                }
                decoded.hash = table.hash(&decoded.key);
                read ^= table.peek_slot(decoded.hash);
            }
        }
        for decoded in ahead.iter_mut() {
            decoded.guess = table.guess(decoded.hash);
            read ^= decoded.guess.map_or(0, |place| table.peek_record(place));
        }
        std::hint::black_box(read);
    }
}
