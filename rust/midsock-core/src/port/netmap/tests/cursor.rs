use proptest::prelude::*;

use crate::port::netmap::cursor::Cursor;

#[test]
fn a_ring_is_refused_that_cannot_be_one() {
    for (slots, head, tail) in
        [(0, 0, 0), (1, 0, 0), (u32::MAX, 0, 0), (8, 8, 0), (8, 0, 8), (8, u32::MAX, 0)]
    {
        assert!(Cursor::new(slots, head, tail).is_err(), "{slots} {head} {tail}");
    }
    let cursor = Cursor::new(3, 2, 1).unwrap();
    assert_eq!((cursor.capacity(), cursor.room(), cursor.used(), cursor.pending()), (2, 2, 0, 0));
    let broken = Cursor::new(8, 0, 9).unwrap_err();
    assert_eq!(broken.to_string(), "its tail is 9 in a ring of 8 slots");
}

#[test]
fn a_fresh_transmit_ring_is_all_room_but_one() {
    let mut cursor = Cursor::new(1000, 0, 999).unwrap();
    assert_eq!((cursor.room(), cursor.pending()), (999, 0));
    cursor.take(999);
    assert_eq!((cursor.room(), cursor.next()), (0, 999));
    cursor.release();
    assert_eq!((cursor.head(), cursor.pending()), (999, 999));
    cursor.see_tail(998).unwrap();
    assert_eq!((cursor.room(), cursor.pending()), (999, 0));
    cursor.take(1);
    assert_eq!(cursor.next(), 0);
}

#[test]
fn what_is_used_is_not_taken_away() {
    let mut cursor = Cursor::new(10, 8, 5).unwrap();
    cursor.take(4);
    assert_eq!(cursor.next(), 2);
    for tail in [8, 9, 0, 1] {
        assert!(cursor.see_tail(tail).is_err(), "{tail}");
    }
    for tail in [2, 3, 5, 7] {
        cursor.see_tail(tail).unwrap();
    }
}

/// What a program and a kernel do to a ring.
#[derive(Clone, Debug)]
enum Step {
    Take(u32),
    Release,
    Kernel(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step =
        prop_oneof![(0..40u32).prop_map(Step::Take), Just(Step::Release), (0..40u32).prop_map(Step::Kernel),];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// The model counts slots and never wraps.
    #[test]
    fn a_cursor_is_three_counters_modulo_the_ring(
        slots in 2..40u32, start in 0..40u32, steps in steps()
    ) {
        let start = start % slots;
        let (mut head, mut next, mut tail) = (u64::from(start), u64::from(start), u64::from(start));
        let mut cursor = Cursor::new(slots, start, start).unwrap();
        let at = |count: u64| (count % u64::from(slots)) as u32;
        for step in steps {
            match step {
                Step::Take(wanted) => {
                    let taken = u64::from(wanted).min(tail - next);
                    cursor.take(taken as u32);
                    next += taken;
                }
                Step::Release => {
                    cursor.release();
                    head = next;
                }
                Step::Kernel(wanted) => {
                    tail += u64::from(wanted).min(u64::from(slots) - 1 - (tail - head));
                    cursor.see_tail(at(tail)).unwrap();
                }
            }
            prop_assert_eq!((cursor.head(), cursor.next(), cursor.tail()), (at(head), at(next), at(tail)));
            prop_assert_eq!(u64::from(cursor.room()), tail - next);
            prop_assert_eq!(u64::from(cursor.used()), next - head);
            prop_assert_eq!(u64::from(cursor.pending()), u64::from(slots) - 1 - (tail - head));
        }
    }

    #[test]
    fn no_tail_brings_a_cursor_out_of_order(
        slots in any::<u32>(), head in any::<u32>(), tails in proptest::collection::vec(any::<u32>(), 0..20)
    ) {
        let Ok(mut cursor) = Cursor::new(slots, head, head) else { return Ok(()) };
        for tail in tails {
            let _ = cursor.see_tail(tail % slots.saturating_add(1));
            cursor.take(cursor.room() / 2);
            prop_assert!(cursor.used() + cursor.room() <= cursor.capacity());
            prop_assert!(cursor.next() < slots && cursor.tail() < slots);
        }
    }
}
