//! Packets decoded ahead of their turn.

use crate::flow::{FlowTable, Key, Paths};
use crate::port::Packet;
use crate::wire::{Decoder, Malformed, Outcome, Segment};
use crate::{Config, VlanPolicy};

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

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded {
            segment: Segment::default(),
            outcome: Outcome::NotIp,
            forward: false,
            hash: 0,
            guess: None,
            key: Key::default(),
        }
    }
}

/// How frames are decoded, and what of them is in a key.
#[derive(Clone, Copy)]
pub(super) struct Decoding {
    pub(super) decoder: Decoder,
    /// For [`Key::mask`].
    mask: u64,
}

impl Decoding {
    fn new(config: &Config) -> Decoding {
        let mask = Key::mask_of(config.vlans == VlanPolicy::Separate);
        Decoding { decoder: config.decoder, mask }
    }

    /// The VLANs that are part of a path.
    pub(super) fn vlan(&self, segment: &Segment) -> [u16; 2] {
        if self.mask == u64::MAX { segment.vlan } else { [0; 2] }
    }

    /// The key of a decoded segment. With tunnels, `write` appends what tells those apart.
    #[inline]
    pub(super) fn key(
        &self,
        decoded: &mut Decoded,
        frame: &[u8],
        paths: &mut Paths,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        (decoded.key, decoded.forward) = Key::of(frame, &decoded.segment);
        decoded.key.mask(self.mask);
        if decoded.segment.tunnels > 0 {
            match paths.number(self.vlan(&decoded.segment), write) {
                Some(path) => decoded.key = decoded.key.through(path),
                // No flow can be opened for it.
                None => decoded.outcome = Outcome::NotTcp,
            }
        }
    }
}

/// The packets of the burst that were decoded last.
pub(super) struct Ahead {
    pub(super) decoding: Decoding,
    /// Each at its place in the burst modulo their number.
    packets: Box<[Decoded; AHEAD]>,
    /// How many packets of the burst are decoded.
    done: usize,
}

impl Ahead {
    pub(super) fn new(config: &Config) -> Ahead {
        let decoding = Decoding::new(config);
        Ahead { decoding, packets: Box::new([Decoded::default(); AHEAD]), done: 0 }
    }

    /// Decodes one packet by itself, if it carries TCP.
    pub(super) fn decode_one(&self, packet: &Packet, frame: &[u8], paths: &mut Paths) -> Option<Decoded> {
        let mut decoded = Decoded::default();
        let decoder = &self.decoding.decoder;
        decoded.outcome = decoder.decode(frame, packet.link, packet.length, &mut decoded.segment);
        if !matches!(decoded.outcome, Outcome::Tcp | Outcome::Malformed(Malformed::BadTcpDataOffset)) {
            return None;
        }
        self.decoding.key(&mut decoded, frame, paths, |path| {
            decoder.path(frame, packet.link, packet.length, path);
        });
        Some(decoded)
    }

    /// The packet at this place in the burst, which must be among those decoded last.
    #[inline]
    pub(super) fn at(&self, packet: usize) -> &Decoded {
        &self.packets[packet % AHEAD]
    }

    /// The same, to be changed along with its frame.
    pub(super) fn at_mut(&mut self, packet: usize) -> &mut Decoded {
        &mut self.packets[packet % AHEAD]
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

    /// Decodes the next packets and has what they will need brought into the cache.
    fn decode<U>(&mut self, table: &FlowTable<U>, paths: &mut Paths, memory: &[u8], burst: &[Packet]) {
        let packets = burst[self.done..].iter().take(AHEAD);
        self.done += packets.len();
        let (decoding, ahead) = (&self.decoding, &mut self.packets[..packets.len()]);
        // What each will need is asked for as soon as it is known, first slots and then records, and waited for by none:
        // memory has many of these requests under way at a time.
        for (decoded, packet) in ahead.iter_mut().zip(packets) {
            let frame = packet.frame(memory);
            let decoder = &decoding.decoder;
            decoded.outcome = decoder.decode(frame, packet.link, packet.length, &mut decoded.segment);
            if decoded.outcome == Outcome::Malformed(Malformed::BadTcpDataOffset) {
                // It changes nothing, but its flow is to know of it.
                decoded.outcome = Outcome::Tcp;
            }
            if decoded.outcome == Outcome::Tcp {
                decoding.key(decoded, frame, paths, |path| {
                    decoder.path(frame, packet.link, packet.length, path);
                });
                decoded.hash = table.hash(&decoded.key);
                table.prefetch_slot(decoded.hash);
            }
        }
        for decoded in ahead.iter_mut() {
            decoded.guess = table.guess(decoded.hash);
            if let Some(place) = decoded.guess {
                table.prefetch_record(place);
            }
        }
    }
}
