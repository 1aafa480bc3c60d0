mod overlap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn backlog_agrees_with_a_naive_queue(
        steps in prop::collection::vec((any::<bool>(), 0_usize..50, any::<u8>()), 0..100),
    ) {
        let (mut backlog, mut model) = (Backlog::default(), Vec::<u8>::new());
        let (mut written, mut read) = (0_u64, 0_u64);
        for (push, count, byte) in steps {
            if push {
                let data = vec![byte; count];
                backlog.push(written, &data);
                model.extend(&data);
                written += count as u64;
            } else {
                let expected = &model[..count.min(model.len())];
                prop_assert_eq!(backlog.front(count), expected);
                prop_assert_eq!(backlog.at(read, count), expected);
                let taken = expected.len();
                backlog.consume(taken as u64);
                model.drain(..taken);
                read += taken as u64;
            }
            prop_assert_eq!(backlog.len(), model.len() as u64);
        }
    }
}

#[test]
fn a_read_stops_at_a_gap() {
    let mut backlog = Backlog::default();
    backlog.push(0, b"before");
    backlog.push(10, b"after");
    assert_eq!(backlog.front(100), b"before");
    assert_eq!(backlog.at(12, 2), b"te");
    assert_eq!(backlog.at(7, 2), b"");
    backlog.consume(6);
    assert_eq!(backlog.offset(), Some(10));
    assert_eq!(backlog.front(100), b"after");
    backlog.consume(100);
    assert!(backlog.is_empty());
    assert_eq!(backlog.offset(), None);
}

#[test]
fn bytes_that_the_capture_cut_stay_unknown() {
    let mut assembler = Assembler::default();
    assembler.insert(0, 10, b"abcd", Overlap::First);
    let inserted = assembler.insert(2, 6, b"cXefgh", Overlap::First);
    assert_eq!(inserted, Inserted { fresh: 0, repeated: 6, differs: true });
    let run = Run { length: 10, bytes: b"abcd".to_vec(), sent: 0..10, since: 0 };
    assert_eq!(assembler.pop(0), Some((0, run)));
}

#[test]
fn tiny_segments_cost_what_they_take() {
    let mut assembler = Assembler::default();
    for i in 0..100 {
        assembler.insert(i * 2, 1, b"x", Overlap::First);
    }
    assert!(assembler.cost() >= 100 * 48);
}

#[test]
fn gaps_merge_and_count_what_is_missing() {
    let mut stream = Stream::default();
    stream.note_gap(Gap { offset: 10, length: 5 });
    stream.note_gap(Gap { offset: 15, length: 5 });
    stream.note_gap(Gap { offset: 30, length: 1 });
    assert_eq!(
        stream.gaps().collect::<Vec<Gap>>(),
        [Gap { offset: 10, length: 10 }, Gap { offset: 30, length: 1 }]
    );
    assert_eq!(stream.missing(0..10), 0);
    assert_eq!(stream.missing(0..100), 11);
    assert_eq!(stream.missing(12..31), 9);
    assert_eq!(stream.missing(20..30), 0);
}

#[test]
fn gaps_are_found_behind_urgent_bytes() {
    let mut stream = Stream::default();
    stream.note_gap(Gap { offset: 10, length: 5 });
    assert_eq!(stream.urgent.announce(15), Announced::Noted);
    assert_eq!(stream.urgent.first_in(&(0..15)), None);
    assert_eq!(stream.urgent.first_in(&(15..20)), Some(15));
    stream.urgent.take();
    // Told behind one another, but with the urgent byte between.
    stream.note_gap(Gap { offset: 15, length: 5 });
    let gaps: Vec<Gap> = stream.gaps().collect();
    assert_eq!(gaps, [Gap { offset: 10, length: 5 }, Gap { offset: 15, length: 5 }]);
    assert_eq!(stream.missing(0..100), 10);
    assert_eq!(stream.missing(15..16), 0);
    assert_eq!(stream.missing(16..100), 5);
}

#[test]
fn urgent_bytes_are_bounded() {
    let mut urgent = UrgentBytes::default();
    let results: Vec<Announced> = (0..300).map(|place| urgent.announce(place)).collect();
    assert_eq!(results[255..258], [Announced::Noted, Announced::Limit, Announced::Over]);
    // An announcement may come again.
    assert_eq!(urgent.announce(255), Announced::Noted);
    urgent.pass(255);
    assert_eq!(urgent.first_in(&(0..300)), Some(255));
    for place in 255..6000 {
        urgent.announce(place);
        if urgent.first_in(&(place..place + 1)).is_some() {
            urgent.take();
        }
    }
    assert_eq!(urgent.taken(), 4096);
}

#[test]
fn remembered_gaps_are_bounded() {
    let mut stream = Stream::default();
    for i in 0..100_000 {
        stream.note_gap(Gap { offset: i * 10, length: 1 });
    }
    assert!(stream.gaps().count() < 20_000);
    let last = stream.gaps().last().unwrap();
    assert_eq!(last.offset + last.length, 999_991);
}

#[test]
fn digest_is_sha256_of_all_bytes() {
    let mut digest = Digest::default();
    digest.update(b"a");
    digest.update(b"bc");
    assert_eq!(digest.length(), 3);
    assert_eq!(digest.sha256()[..4], [0xba, 0x78, 0x16, 0xbf]);
}
