//! Regions made by hand, as the kernel would lay them out.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use crate::port::netmap::layout::{Layout, at as nifp_at};
use crate::port::netmap::receive::{Basket, Inlet};
use crate::port::netmap::ring::{MORE, Slot, at as ring_at};
use crate::port::sys::mapping::Mapping;
use crate::port::{Packet, PortStatistics};

/// Room behind the region for chains.
const SCRATCH: usize = 64 * 512;

pub(super) struct Region {
    pub(super) mapping: Mapping,
    pub(super) size: usize,
    pub(super) buffers_at: usize,
    slots: u32,
}

impl Region {
    /// Where the `netmap_if` lies: not at the start, so that offsets from it differ from those from the region.
    pub(super) const NIFP: usize = 256;

    /// A region with so many rings (NIC transmit, host transmit, NIC receive, host receive) and buffers.
    pub(super) fn new(rings: [u32; 4], slots: u32, buffer: usize, buffers: usize) -> Region {
        let each = ring_at::FIRST_SLOT + slots as usize * ring_at::SLOT_SIZE;
        let buffers_at = 4096 + rings.iter().sum::<u32>() as usize * each;
        let size = buffers_at + buffers * buffer;
        let mapping = Mapping::anonymous(size + SCRATCH).unwrap();
        let region = Region { mapping, size, buffers_at, slots };
        for (field, count) in
            [nifp_at::TX_RINGS, nifp_at::HOST_TX_RINGS, nifp_at::RX_RINGS, nifp_at::HOST_RX_RINGS]
                .into_iter()
                .zip([rings[0], rings[1], rings[2], rings[3]])
        {
            region.set(Self::NIFP + field, count);
        }
        for number in 0..rings.iter().sum::<u32>() as usize {
            let at = 4096 + number * each;
            region.set_offset(number, (at - Self::NIFP) as i64);
            region.set(at + ring_at::BUFFERS, (buffers_at - at) as u32);
            region.set(at + ring_at::SLOTS, slots);
            region.set(at + ring_at::BUFFER_SIZE, buffer as u32);
            for slot in 0..slots {
                let index = 2 + (number as u32 * slots + slot) % (buffers as u32 - 2);
                region.set(at + ring_at::FIRST_SLOT + slot as usize * ring_at::SLOT_SIZE, index);
            }
        }
        region
    }

    pub(super) fn set(&self, at: usize, value: u32) {
        self.mapping.word(at).store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self, at: usize) -> u32 {
        self.mapping.word(at).load(Ordering::Relaxed)
    }

    pub(super) fn set_offset(&self, ring: usize, offset: i64) {
        let at = Self::NIFP + nifp_at::RING_OFFSETS + 8 * ring;
        self.set(at, offset as u32);
        self.set(at + 4, (offset >> 32) as u32);
    }

    /// Where the ring with this number in the order of the offsets lies.
    pub(super) fn ring_at(&self, ring: usize) -> usize {
        4096 + ring * (ring_at::FIRST_SLOT + self.slots as usize * ring_at::SLOT_SIZE)
    }

    pub(super) fn layout(&self) -> Result<Layout, String> {
        Layout::read(&self.mapping, Self::NIFP as u64, self.size)
    }
}

/// A receive ring, the kernel's side of it too.
struct Receiver {
    region: Region,
    inlet: Inlet,
    buffers: crate::port::netmap::ring::Buffers,
    tail: u32,
    statistics: PortStatistics,
}

impl Receiver {
    fn new(slots: u32) -> Receiver {
        let region = Region::new([1, 0, 1, 0], slots, 512, 2 * slots as usize + 2);
        let layout = region.layout().unwrap();
        let inlet = Inlet::new(layout.rx.into_iter().next().unwrap());
        Receiver { region, inlet, buffers: layout.buffers, tail: 0, statistics: PortStatistics::default() }
    }

    /// The kernel writes slots: each its bytes' count and value, and whether more follows.
    fn arrive(&mut self, slots: &[(u16, u8, bool)]) {
        for (length, value, more) in slots {
            let ring = &self.inlet.ring;
            let buffer = ring.slot(&self.region.mapping, self.tail).buffer;
            let flags = if *more { MORE | 0x300 } else { 0 };
            ring.set_slot(&self.region.mapping, self.tail, Slot { buffer, length: *length, flags });
            let place = self.buffers.place(buffer).unwrap();
            self.region.mapping.bytes_mut()[place..][..usize::from(*length).min(512)].fill(*value);
            self.tail = ring.cursor.after(self.tail, 1);
        }
        self.region.set(self.region.ring_at(1) + ring_at::TAIL, self.tail);
    }

    fn burst(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let (mut burst, mut held) = (Vec::<Packet>::new(), Vec::new());
        let mut basket = Basket::new(&mut burst, self.region.size);
        let Receiver { region, inlet, buffers, statistics, .. } = self;
        inlet.publish(&region.mapping).map_err(|broken| broken.to_string())?;
        inlet
            .gather(0, &mut region.mapping, buffers, &mut basket, &mut held, statistics)
            .map_err(|broken| broken.to_string())?;
        assert_eq!(held.len(), burst.len());
        let frames = burst.iter().map(|packet| packet.frame(region.mapping.bytes()).to_vec()).collect();
        inlet.publish(&region.mapping).map_err(|broken| broken.to_string())?;
        Ok(frames)
    }

    fn word(&self, field: usize) -> u32 {
        self.region.get(self.region.ring_at(1) + field)
    }
}

#[test]
fn a_chain_of_slots_is_one_frame_once_it_is_whole() {
    let mut receiver = Receiver::new(7);
    receiver.arrive(&[(60, 1, false), (512, 2, true), (512, 3, true)]);
    assert_eq!(receiver.burst().unwrap(), [vec![1; 60]]);
    // A poll now waits for more of the chain, whose slots stay this process's.
    assert_eq!((receiver.word(ring_at::HEAD), receiver.word(ring_at::CUR)), (1, 3));
    assert!(receiver.burst().unwrap().is_empty());
    receiver.arrive(&[(10, 4, false), (70, 5, false)]);
    let long = [vec![2; 512], vec![3; 512], vec![4; 10]].concat();
    assert_eq!(receiver.burst().unwrap(), [long, vec![5; 70]]);
    assert_eq!((receiver.word(ring_at::HEAD), receiver.word(ring_at::CUR)), (5, 5));
    assert_eq!(receiver.statistics.malformed, 0);
}

#[test]
fn slots_without_a_byte_are_no_packets() {
    let mut receiver = Receiver::new(9);
    receiver.arrive(&[
        (0, 0, false),
        (60, 1, false),
        (0, 0, true),
        (0, 0, true),
        (30, 2, false),
        (0, 0, false),
    ]);
    assert_eq!(receiver.burst().unwrap(), [vec![1; 60], vec![2; 30]]);
    assert_eq!(receiver.word(ring_at::HEAD), 6);
}

#[test]
fn a_chain_without_an_end_is_passed_over() {
    let mut receiver = Receiver::new(6);
    receiver.arrive(&[(100, 1, true); 5]);
    assert!(receiver.burst().unwrap().is_empty());
    assert_eq!((receiver.word(ring_at::HEAD), receiver.statistics.malformed), (5, 1));
    receiver.arrive(&[(100, 1, true), (100, 1, true), (9, 1, false), (50, 2, false)]);
    assert_eq!(receiver.burst().unwrap(), [vec![2; 50]]);
    assert_eq!(receiver.statistics.malformed, 1);
    let mut receiver = Receiver::new(200);
    receiver.arrive(&[[(10, 1, true); 70].as_slice(), &[(10, 1, false), (20, 2, false)]].concat());
    assert_eq!(receiver.burst().unwrap(), [vec![2; 20]]);
    assert_eq!(receiver.statistics.malformed, 1);
}

#[test]
fn a_slot_longer_than_its_buffer_is_malformed() {
    let mut receiver = Receiver::new(8);
    receiver.arrive(&[(513, 1, false), (60, 2, false), (60, 3, true), (u16::MAX, 4, false), (512, 5, false)]);
    assert_eq!(receiver.burst().unwrap(), [vec![2; 60], vec![5; 512]]);
    assert_eq!(receiver.statistics.malformed, 2);
}

#[test]
fn a_ring_that_somebody_else_changed_is_broken() {
    for (field, value, message) in [
        (ring_at::TAIL, 8, "its tail is 8 in a ring of 8 slots"),
        (ring_at::TAIL, u32::MAX, "its tail is 4294967295 in a ring of 8 slots"),
        (ring_at::HEAD, 3, "its head is 3 in a ring of 8 slots"),
    ] {
        let mut receiver = Receiver::new(8);
        receiver.region.set(receiver.region.ring_at(1) + field, value);
        assert_eq!(receiver.burst().unwrap_err(), message);
    }
    for index in [0, 1, 18, u32::MAX] {
        let mut receiver = Receiver::new(8);
        receiver.arrive(&[(60, 1, false)]);
        receiver.region.set(receiver.region.ring_at(1) + ring_at::FIRST_SLOT, index);
        assert_eq!(
            receiver.burst().unwrap_err(),
            format!("its buffer index is {index} in a ring of 8 slots")
        );
    }
}

#[test]
fn the_kernel_is_asked_for_the_time_of_a_sync() {
    let receiver = Receiver::new(8);
    let (ring, mapping) = (&receiver.inlet.ring, &receiver.region.mapping);
    let at = receiver.region.ring_at(1);
    receiver.region.set(at + ring_at::TIME, 77);
    ring.ask_for_time(mapping);
    assert_eq!((receiver.region.get(at + ring_at::FLAGS), ring.time(mapping)), (2, None));
    receiver.region.set(at + ring_at::TIME, 5);
    receiver.region.set(at + ring_at::TIME + 8, 6);
    assert_eq!(ring.time(mapping), Some(5_000_006_000));
    receiver.region.set(at + ring_at::TIME + 4, 0x7fff_ffff);
    assert_eq!(ring.time(mapping), Some(crate::port::TIME_LIMIT));
}

proptest! {
    /// Slots come in any portions; the frames are those that a plain list gives.
    #[test]
    fn frames_come_whole_and_in_order(
        slots in 3..40u32,
        frames in proptest::collection::vec(proptest::collection::vec(1..512u16, 1..5), 0..60),
        portions in proptest::collection::vec(1..12usize, 1..20),
    ) {
        let mut receiver = Receiver::new(slots);
        let most = slots as usize - 2;
        let mut sent = Vec::new();
        let mut wanted = Vec::new();
        for (number, parts) in (0..).zip(&frames) {
            let parts = &parts[..parts.len().min(most)];
            for (place, length) in parts.iter().enumerate() {
                sent.push((*length, number as u8, place + 1 < parts.len()));
            }
            wanted.push(vec![number as u8; parts.iter().map(|length| usize::from(*length)).sum()]);
        }
        let (mut got, mut rest, mut portions) = (Vec::new(), &*sent, portions.iter().cycle());
        while !rest.is_empty() || got.len() < wanted.len() {
            let free = receiver.inlet.ring.cursor.pending() as usize;
            let (now, later) = rest.split_at(rest.len().min(free).min(*portions.next().unwrap()));
            receiver.arrive(now);
            rest = later;
            got.extend(receiver.burst().unwrap());
        }
        prop_assert_eq!(got, wanted);
        prop_assert_eq!(receiver.statistics.malformed, 0);
    }

    /// Whatever is in the region, it is an error or packets that lie in the mapping.
    #[test]
    fn no_region_makes_it_panic(
        words in proptest::collection::vec((0..1400usize, prop_oneof![0..40u32, any::<u32>()]), 0..30)
    ) {
        let mut receiver = Receiver::new(8);
        receiver.arrive(&[(60, 1, false), (512, 2, true), (512, 3, true), (9, 4, false)]);
        for (word, value) in words {
            receiver.region.set(word * 4 % receiver.region.size, value);
        }
        let _ = receiver.burst();
        let Ok(mut layout) = receiver.region.layout() else { return Ok(()) };
        for ring in layout.rx.drain(..) {
            receiver.inlet = Inlet::new(ring);
            receiver.buffers = layout.buffers;
            let _ = receiver.burst();
        }
    }
}
