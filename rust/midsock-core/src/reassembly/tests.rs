use proptest::prelude::*;

use super::*;

/// The simplest thing that is right: a byte and its number of arrival for each place.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<u8>>,
}

impl Model {
    fn insert(&mut self, offset: usize, data: &[u8], policy: Overlap) -> Inserted {
        let mut inserted = Inserted::default();
        if self.bytes.len() < offset + data.len() {
            self.bytes.resize(offset + data.len(), None);
        }
        for (i, byte) in data.iter().enumerate() {
            match &mut self.bytes[offset + i] {
                empty @ None => {
                    *empty = Some(*byte);
                    inserted.fresh += 1;
                }
                Some(old) => {
                    inserted.repeated += 1;
                    inserted.differs |= old != byte;
                    if policy == Overlap::Last {
                        *old = *byte;
                    }
                }
            }
        }
        inserted
    }
}

fn drain(assembler: &mut Assembler) -> Vec<Option<u8>> {
    let mut bytes = Vec::new();
    while let Some((start, run)) = assembler.pop(u64::MAX) {
        assert!(start as usize >= bytes.len(), "runs overlap or are out of order");
        bytes.resize(start as usize, None);
        assert_eq!(run.length, run.bytes.len() as u64);
        bytes.extend(run.bytes.into_iter().map(Some));
    }
    assert_eq!(assembler.cost(), 0);
    bytes
}

proptest! {
    #[test]
    fn assembler_agrees_with_a_naive_model(
        segments in prop::collection::vec((0_usize..200, prop::collection::vec(0_u8..4, 1..40)), 0..60),
        last in any::<bool>(),
    ) {
        let policy = if last { Overlap::Last } else { Overlap::First };
        let (mut assembler, mut model) = (Assembler::default(), Model::default());
        for (offset, data) in &segments {
            let range = *offset as u64..(offset + data.len()) as u64;
            let covered = assembler.covered(range);
            let inserted = assembler.insert(*offset as u64, data.len() as u64, data, policy);
            prop_assert_eq!(inserted.repeated, covered);
            prop_assert_eq!(inserted, model.insert(*offset, data, policy));
        }
        prop_assert_eq!(drain(&mut assembler), model.bytes);
    }

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
    assert_eq!(assembler.pop(0), Some((0, Run { length: 10, bytes: b"abcd".to_vec() })));
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
    assert_eq!(stream.gaps(), [Gap { offset: 10, length: 10 }, Gap { offset: 30, length: 1 }]);
    assert_eq!(stream.missing(0..10), 0);
    assert_eq!(stream.missing(0..100), 11);
    assert_eq!(stream.missing(12..31), 9);
    assert_eq!(stream.missing(20..30), 0);
}

#[test]
fn remembered_gaps_are_bounded() {
    let mut stream = Stream::default();
    for i in 0..100_000 {
        stream.note_gap(Gap { offset: i * 10, length: 1 });
    }
    assert!(stream.gaps().len() < 20_000);
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
