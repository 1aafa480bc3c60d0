//! Overlap, policy by policy.

use std::ops::Range;

use proptest::prelude::*;

use super::*;

/// Where the new bytes win, a row for each kind of overlap: what was measured with segments of a kind each.
const ROWS: [(Geometry, &[Overlap]); 7] = {
    use Overlap::{Bsd, Hpux10, Hpux11, Irix, Last, Linux, Macos, OldLinux, Solaris, Windows, Windows2k3};
    [
        (Geometry::Longer, &[Last, Linux, OldLinux, Solaris, Hpux11]),
        (Geometry::Same, &[Last, OldLinux, Solaris, Hpux11]),
        (Geometry::Shorter, &[Last]),
        (Geometry::Before, &[Last, Bsd, Hpux10, Irix, Windows, Windows2k3, OldLinux, Linux, Macos]),
        (
            Geometry::Around,
            &[Last, Bsd, Hpux10, Irix, Windows, Windows2k3, OldLinux, Linux, Macos, Solaris, Hpux11],
        ),
        (Geometry::Beyond, &[Last, Solaris, Hpux11]),
        (Geometry::Inside, &[Last]),
    ]
};

/// New segments against an old one at 10 to 20.
const SEGMENTS: [(Geometry, Range<i64>); 10] = [
    (Geometry::Longer, 10..21),
    (Geometry::Same, 10..20),
    (Geometry::Shorter, 10..11),
    (Geometry::Before, 9..11),
    (Geometry::Before, 1..19),
    (Geometry::Around, 9..20),
    (Geometry::Around, 9..21),
    (Geometry::Beyond, 19..21),
    (Geometry::Inside, 11..20),
    (Geometry::Inside, 11..19),
];

#[test]
fn every_policy_settles_every_geometry_as_measured() {
    for (geometry, new) in SEGMENTS {
        let winners = ROWS.iter().find(|(row, _)| *row == geometry).unwrap().1;
        for policy in Overlap::ALL {
            let mut assembler = Assembler::default();
            assembler.insert(10, 10, b"oooooooooo", policy);
            let (start, length) = (new.start as u64, (new.end - new.start) as u64);
            let inserted =
                assembler.insert(start, length, &b"nnnnnnnnnnnnnnnnnnnnnnnnn"[..length as usize], policy);
            assert!(inserted.differs);
            let mut expected: Vec<Option<u8>> = vec![None; new.end.max(20) as usize];
            expected[10..20].fill(Some(b'o'));
            for (place, byte) in expected.iter_mut().enumerate() {
                if new.contains(&(place as i64)) && (byte.is_none() || winners.contains(&policy)) {
                    *byte = Some(b'n');
                }
            }
            assert_eq!(drain(&mut assembler), expected, "{policy:?} {geometry:?} {new:?}");
        }
    }
}

#[test]
fn geometry_is_that_of_the_segments_as_they_were_sent() {
    // The old segment is 10 to 20. Of the first new one only 15 to 18 is taken in, as if the rest lay before the head.
    for (sent, wins) in [(9..18, true), (10..18, false), (11..18, false)] {
        let mut assembler = Assembler::default();
        assembler.insert(10, 10, b"oooooooooo", Overlap::Bsd);
        let piece = Piece { sent, offset: 15, length: 3, data: b"nnn", time: 0 };
        assembler.take_in(&piece, Overlap::Bsd, 0, None);
        let bytes: Vec<u8> = drain(&mut assembler)[10..].iter().flatten().copied().collect();
        assert_eq!(bytes, if wins { b"ooooonnnoo" } else { b"oooooooooo" });
    }
    // What is left of a segment is still judged by all of it: here its start, which another one has taken from it.
    let mut assembler = Assembler::default();
    assembler.insert(10, 10, b"oooooooooo", Overlap::Linux);
    assembler.insert(5, 10, b"nnnnnnnnnn", Overlap::Linux);
    assembler.insert(15, 10, b"mmmmmmmmmm", Overlap::Linux);
    let bytes: Vec<u8> = drain(&mut assembler)[5..].iter().flatten().copied().collect();
    assert_eq!(bytes, b"nnnnnnnnnnooooommmmm");
}

fn conflict(offset: u64, old: &[u8], new: &[u8], old_stands: bool) -> Conflict {
    Conflict { offset, old: old.to_vec(), new: new.to_vec(), old_stands }
}

#[test]
fn what_was_handed_on_stays() {
    let mut assembler = Assembler::default();
    assembler.insert(0, 6, b"oooooo", Overlap::Last);
    let mut conflicts = Vec::new();
    let inserted = assembler.take_in(&Piece::whole(1, 6, b"nnnnnn"), Overlap::Last, 3, Some(&mut conflicts));
    assert_eq!(inserted, Inserted { fresh: 1, repeated: 5, differs: true });
    assert_eq!(conflicts, [conflict(1, b"oo", b"nn", true), conflict(3, b"ooo", b"nnn", false)]);
    let bytes: Vec<u8> = drain(&mut assembler).into_iter().flatten().collect();
    assert_eq!(bytes, b"ooonnnn");
}

#[test]
fn conflicts_of_adjacent_segments_are_told_as_one() {
    let mut assembler = Assembler::default();
    assembler.insert(0, 2, b"ab", Overlap::First);
    assembler.insert(2, 2, b"cd", Overlap::First);
    assembler.insert(4, 2, b"ef", Overlap::First);
    assembler.insert(8, 2, b"ij", Overlap::First);
    let mut conflicts = Vec::new();
    assembler.take_in(&Piece::whole(0, 10, b"aBCdefghiJ"), Overlap::First, 0, Some(&mut conflicts));
    assert_eq!(conflicts, [conflict(0, b"abcd", b"aBCd", true), conflict(8, b"ij", b"iJ", true)]);
}

#[test]
fn names_are_those_that_others_use() {
    let names = Overlap::ALL.map(Overlap::name);
    let known = "first last bsd bsd_right linux old_linux solaris old_solaris windows windows2k3 vista macos irix \
                 hpux10 hpux11";
    let mut known: Vec<&str> = known.split_whitespace().collect();
    assert_eq!(names.len(), known.len());
    known.retain(|name| Overlap::from_name(name).is_none_or(|policy| policy.name() != *name));
    assert!(known.is_empty(), "{known:?}");
    assert_eq!(Overlap::from_name("Linux"), None);
    assert_eq!(Overlap::from_name(""), None);
}

#[test]
fn resets_and_fragments_go_by_the_same_name() {
    for policy in Overlap::ALL {
        let expected = match policy {
            Overlap::Hpux11 => ResetRule::AtOrAfterNext,
            Overlap::Linux | Overlap::OldLinux | Overlap::Solaris => ResetRule::InWindow,
            _ => ResetRule::Exact,
        };
        assert_eq!(policy.reset_rule(), expected);
        // Where both have a policy of the same name, it is that one.
        let same = match policy.name() {
            "first" => Some(FragmentOverlap::First),
            "last" => Some(FragmentOverlap::Last),
            "bsd" => Some(FragmentOverlap::Bsd),
            "bsd_right" => Some(FragmentOverlap::BsdRight),
            "linux" => Some(FragmentOverlap::Linux),
            "windows" => Some(FragmentOverlap::Windows),
            "solaris" => Some(FragmentOverlap::Solaris),
            _ => None,
        };
        assert!(same.is_none_or(|same| policy.of_fragments() == same));
    }
}

/// The simplest thing that is right: for each place its byte and the segment that it is of.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<(u8, Range<i64>)>>,
}

impl Model {
    fn insert(&mut self, piece: &Piece<'_>, policy: Overlap, fixed: u64) -> Inserted {
        let mut inserted = Inserted::default();
        let offset = piece.offset as usize;
        if self.bytes.len() < offset + piece.data.len() {
            self.bytes.resize(offset + piece.data.len(), None);
        }
        for (i, byte) in piece.data.iter().enumerate() {
            match &mut self.bytes[offset + i] {
                empty @ None => {
                    *empty = Some((*byte, piece.sent.clone()));
                    inserted.fresh += 1;
                }
                Some((old, sent)) => {
                    inserted.repeated += 1;
                    inserted.differs |= old != byte;
                    let geometry = geometry_in_words(&piece.sent, sent);
                    let winners = ROWS.iter().find(|(row, _)| *row == geometry).unwrap().1;
                    if winners.contains(&policy) && (offset + i) as u64 >= fixed {
                        (*old, *sent) = (*byte, piece.sent.clone());
                    }
                }
            }
        }
        inserted
    }
}

/// The kind of overlap, in the words of the table.
fn geometry_in_words(new: &Range<i64>, old: &Range<i64>) -> Geometry {
    let (starts_earlier, ends_later) = (new.start < old.start, new.end > old.end);
    match (starts_earlier, ends_later) {
        _ if new.start == old.start && new.end == old.end => Geometry::Same,
        (_, true) if new.start == old.start => Geometry::Longer,
        (_, false) if new.start == old.start => Geometry::Shorter,
        (true, _) if new.end >= old.end => Geometry::Around,
        (true, _) => Geometry::Before,
        (false, true) => Geometry::Beyond,
        (false, false) => Geometry::Inside,
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

/// Where it starts, its bytes, how many of them are trimmed off its front, and what was handed on by then.
fn segment() -> impl Strategy<Value = (usize, Vec<u8>, usize, u64)> {
    let fixed = prop_oneof![3 => Just(0), 1 => 0_u64..200];
    (0_usize..120, prop::collection::vec(0_u8..4, 1..30), prop_oneof![4 => Just(0), 1 => 0_usize..20], fixed)
}

proptest! {
    #[test]
    fn assembler_agrees_with_a_naive_model_under_every_policy(
        segments in prop::collection::vec(segment(), 0..60),
    ) {
        for policy in Overlap::ALL {
            let (mut assembler, mut model) = (Assembler::default(), Model::default());
            for (start, data, trimmed, fixed) in &segments {
                let trimmed = (*trimmed).min(data.len() - 1);
                let sent = *start as i64..(*start + data.len()) as i64;
                let (offset, data) = ((start + trimmed) as u64, &data[trimmed..]);
                let piece = Piece { sent, offset, length: data.len() as u64, data, time: 0 };
                let covered = assembler.covered(offset..offset + piece.length);
                let mut conflicts = Vec::new();
                let before = assembler.clone();
                let inserted = assembler.take_in(&piece, policy, *fixed, Some(&mut conflicts));
                prop_assert_eq!(inserted.repeated, covered);
                prop_assert_eq!(inserted, model.insert(&piece, policy, *fixed));
                prop_assert_eq!(inserted.differs, !conflicts.is_empty());
                let before = drain(&mut before.clone());
                for conflict in conflicts {
                    let at = conflict.offset as usize;
                    let was: Vec<u8> = before[at..at + conflict.old.len()].iter().flatten().copied().collect();
                    prop_assert_eq!(was, conflict.old);
                    let from = at - offset as usize;
                    prop_assert_eq!(&data[from..from + conflict.new.len()], &conflict.new[..]);
                }
            }
            let bytes: Vec<Option<u8>> = model.bytes.into_iter().map(|byte| byte.map(|(byte, _)| byte)).collect();
            prop_assert_eq!(drain(&mut assembler), bytes);
        }
    }
}
