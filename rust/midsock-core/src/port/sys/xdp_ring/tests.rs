use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::{Consumer, Descriptor, Layout, Producer};
use crate::port::sys::mapping::Mapping;

const LAYOUT: Layout = Layout { producer: 0, consumer: 64, flags: 128, entries: 192 };

/// A ring's memory whose indexes start at `index`.
fn memory(index: u32) -> Mapping {
    let mapping = Mapping::anonymous(4096).unwrap();
    for at in [LAYOUT.producer, LAYOUT.consumer] {
        mapping.word(at).store(index, Ordering::Relaxed);
    }
    mapping
}

proptest! {
    /// The test is the kernel: it takes what the ring was given, in order, also where the indexes wrap.
    #[test]
    fn what_is_put_in_comes_out(start in prop_oneof![Just(0), Just(u32::MAX - 5), any::<u32>()],
                                steps in prop::collection::vec((0..10u32, 0..10u32), 1..60)) {
        let mut ring = Producer::<u64>::new(memory(start), LAYOUT, 8).unwrap();
        let (mut put, mut taken) = (0u64, 0u64);
        for (puts, takes) in steps {
            let room = ring.room(puts);
            prop_assert!(room <= 8 && (room >= puts || u64::from(room) == 8 - (put - taken)));
            for _ in 0..puts.min(room) {
                ring.push(put);
                put += 1;
            }
            ring.publish();
            let kernel = &ring.ring.mapping;
            prop_assert_eq!(kernel.word(LAYOUT.producer).load(Ordering::Relaxed), start.wrapping_add(put as u32));
            for _ in 0..takes.min((put - taken) as u32) {
                let at = start.wrapping_add(taken as u32) % 8;
                let at = LAYOUT.entries + at as usize * 8;
                prop_assert_eq!(u64::from(kernel.word(at).load(Ordering::Relaxed)), taken);
                taken += 1;
            }
            kernel.word(LAYOUT.consumer).store(start.wrapping_add(taken as u32), Ordering::Relaxed);
            prop_assert_eq!(u64::from(ring.pending()), put - taken);
        }
    }

    #[test]
    fn what_the_kernel_puts_in_is_seen_once(start in prop_oneof![Just(u32::MAX - 5), any::<u32>()],
                                            steps in prop::collection::vec((0..10u32, 0..10u32), 1..60)) {
        let mut ring = Consumer::<Descriptor>::new(memory(start), LAYOUT, 8).unwrap();
        let (mut put, mut taken) = (0u32, 0u32);
        for (puts, takes) in steps {
            for _ in 0..puts.min(8 - (put - taken)) {
                let at = LAYOUT.entries + (start.wrapping_add(put) % 8) as usize * 16;
                for (word, value) in [put, 0, put + 1, super::CONTINUES].into_iter().enumerate() {
                    ring.ring.mapping.word(at + 4 * word).store(value, Ordering::Relaxed);
                }
                put += 1;
            }
            ring.ring.mapping.word(LAYOUT.producer).store(start.wrapping_add(put), Ordering::Relaxed);
            prop_assert_eq!(ring.available(), put - taken);
            let takes = takes.min(ring.available());
            for ahead in 0..takes {
                let number = taken + ahead;
                let expected = Descriptor { address: u64::from(number), length: number + 1, options: super::CONTINUES };
                prop_assert_eq!(ring.peek(ahead), expected);
            }
            ring.release(takes);
            taken += takes;
            let consumer = ring.ring.mapping.word(LAYOUT.consumer).load(Ordering::Relaxed);
            prop_assert_eq!(consumer, start.wrapping_add(taken));
        }
    }
}

#[test]
fn indexes_that_make_no_sense_are_bounded() {
    let mut ring = Producer::<u64>::new(memory(0), LAYOUT, 8).unwrap();
    ring.ring.mapping.word(LAYOUT.consumer).store(77, Ordering::Relaxed);
    assert_eq!(ring.room(9), 0);
    let ring = Consumer::<u64>::new(memory(5), LAYOUT, 8).unwrap();
    ring.ring.mapping.word(LAYOUT.producer).store(1, Ordering::Relaxed);
    assert_eq!(ring.available(), 8);
    ring.peek(u32::MAX);
}

#[test]
fn a_ring_lies_in_its_mapping() {
    let make = |layout, size| Producer::<Descriptor>::new(memory(0), layout, size).is_some();
    assert!(make(LAYOUT, 128));
    assert!(!make(LAYOUT, 256));
    assert!(!make(LAYOUT, 3) && !make(LAYOUT, 0));
    for layout in [
        Layout { producer: 4093, ..LAYOUT },
        Layout { consumer: 2, ..LAYOUT },
        Layout { flags: usize::MAX - 3, ..LAYOUT },
        Layout { entries: 4096, ..LAYOUT },
        Layout { entries: 196, ..LAYOUT },
        Layout { entries: usize::MAX - 7, ..LAYOUT },
    ] {
        assert!(!make(layout, 8), "{layout:?}");
    }
}

#[test]
fn the_kernel_asks_to_be_woken_by_a_flag() {
    let ring = Producer::<u64>::new(memory(0), LAYOUT, 8).unwrap();
    assert!(!ring.needs_wakeup());
    ring.ring.mapping.word(LAYOUT.flags).store(1, Ordering::Relaxed);
    assert!(ring.needs_wakeup());
}
