//! Datagrams from fragments, whole and odd.

mod limits;
mod model;
mod policy;

use super::kit::fragment;
use super::*;
use crate::wire::{Outcome, decode};

const MINUTE: Nanos = 60_000_000_000;

/// A protocol that nobody knows the headers of.
const ANY: u8 = 253;

/// A defragmenter with what tests ask of it.
struct Bench {
    defragmenter: Defragmenter,
    policy: FragmentPolicy,
    limits: Limits,
    now: Nanos,
    whole: Whole,
}

impl Bench {
    fn new(policy: FragmentPolicy) -> Bench {
        let limits = Limits { bytes: 1 << 24, timeout: MINUTE };
        Bench { defragmenter: Defragmenter::default(), policy, limits, now: 0, whole: Whole::default() }
    }

    /// Takes in a frame that holds a fragment; returns the datagram's frame, if it is whole.
    fn push(&mut self, frame: &[u8]) -> Option<&[u8]> {
        self.push_on(frame, 0)
    }

    fn push_on(&mut self, frame: &[u8], path: u64) -> Option<&[u8]> {
        let mut segment = Segment::default();
        let outcome = decode(frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
        assert_eq!(outcome, Outcome::Fragment);
        let fragment = Fragment::of(frame, &segment).unwrap();
        let key = Key::of(frame, &segment, &fragment, path);
        let link = LinkType::Ethernet;
        let arrival = Arrival { frame, link, segment: &segment, fragment: &fragment, path: None };
        let (limits, policy) = (self.limits, self.policy);
        self.defragmenter.expire(self.now);
        let pushed = self.defragmenter.push(key, arrival, self.now, &limits, || policy, &mut self.whole);
        let statistics = self.defragmenter.statistics();
        assert!(statistics.bytes <= limits.bytes);
        (pushed == Pushed::Whole).then_some(&self.whole.frame)
    }

    fn statistics(&self) -> DefragStatistics {
        self.defragmenter.statistics()
    }
}

/// Fragments of a datagram, written as `id@offset+length`, with a `.` behind the last: each is full of its letter.
fn letters(version: u8, list: &str) -> Vec<Vec<u8>> {
    list.split_whitespace()
        .map(|text| {
            let (body, more) = text.strip_suffix('.').map_or((text, true), |body| (body, false));
            let (letter, place) = body.split_once('@').unwrap();
            let (offset, length) = place.split_once('+').unwrap();
            let data = vec![letter.as_bytes()[0]; length.parse().unwrap()];
            fragment(version, ANY, 7, offset.parse().unwrap(), more, &data)
        })
        .collect()
}

/// What the fragments come to: the letter of every eighth byte, if the last of them completes the datagram.
fn result(policy: FragmentPolicy, version: u8, list: &str) -> (Option<String>, DefragStatistics) {
    let mut bench = Bench::new(policy);
    let mut whole = None;
    for frame in letters(version, list) {
        assert_eq!(whole, None, "it was whole before its last fragment came");
        whole = bench.push(&frame).map(|frame| {
            let data = &frame[14 + if version == 4 { 20 } else { 40 }..];
            data.iter().step_by(8).map(|byte| char::from(*byte)).collect::<String>()
        });
    }
    (whole, bench.statistics())
}

#[test]
fn in_any_order_the_datagram_is_as_it_was() {
    for version in [4, 6] {
        for list in
            ["A@0+8 B@8+16 C@24+3.", "C@24+3. B@8+16 A@0+8", "B@8+16 A@0+8 C@24+3.", "B@8+16 C@24+3. A@0+8"]
        {
            let (whole, statistics) = result(FragmentPolicy::Discard, version, list);
            assert_eq!(whole.as_deref(), Some("ABBC"), "{list}");
            let right = DefragStatistics { reassembled: 1, ..DefragStatistics::default() };
            assert_eq!(statistics, right, "{list}");
        }
    }
}

#[test]
fn the_headers_are_those_of_a_datagram_that_was_never_cut() {
    let mut bench = Bench::new(FragmentPolicy::First);
    let frames = letters(4, "A@0+8 B@8+3.");
    bench.push(&frames[1]);
    let whole = bench.push(&frames[0]).unwrap();
    assert_eq!(whole[16..18], [0, 31]);
    assert_eq!(whole[20..22], [0, 0]);
    assert_eq!(crate::wire::checksum::checksum(&whole[14..34]), 0);
    assert_eq!(&whole[34..], b"AAAAAAAABBB");
    let frames = letters(6, "A@0+8 B@8+3.");
    bench.push(&frames[1]);
    let whole = bench.push(&frames[0]).unwrap();
    assert_eq!((&whole[18..20], whole[20]), (&[0, 11][..], ANY));
    assert_eq!(&whole[54..], b"AAAAAAAABBB");
}

#[test]
fn extension_headers_before_the_fragment_header_stay() {
    let mut bench = Bench::new(FragmentPolicy::First);
    for frame in letters(6, "A@0+8 B@8+3.") {
        // Hop-by-hop options, and destination options.
        let mut with = frame[..54].to_vec();
        with[19] += 16;
        with[20] = 0;
        with.extend([60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0]);
        with.extend(&frame[54..]);
        if let Some(whole) = bench.push(&with) {
            assert_eq!((whole[19], whole[20], whole[54], whole[62]), (27, 0, 60, ANY));
            assert_eq!(&whole[70..], b"AAAAAAAABBB");
            return;
        }
    }
    panic!("it was never whole");
}

#[test]
fn exact_repetitions_are_harmless() {
    for version in [4, 6] {
        let (whole, statistics) =
            result(FragmentPolicy::Discard, version, "A@0+8 A@0+8 C@16+3. B@32+8 C@16+3. A@0+8 B@8+8");
        assert_eq!(whole.as_deref(), Some("ABC"));
        // B@32 contradicts the end; nothing overlaps.
        assert_eq!((statistics.overlaps, statistics.refused, statistics.reassembled), (0, 1, 1));
    }
}

#[test]
fn a_last_fragment_at_another_place_is_refused() {
    for list in [
        // The second end is another one.
        "A@0+8 C@16+8. X@24+8. B@8+8",
        "A@0+8 C@16+8. X@8+8. B@8+8",
        // What was seen goes on behind the end.
        "C@16+8 A@0+8 X@8+4. B@8+8 D@24+8.",
        // More comes behind the end.
        "A@0+8 C@16+8. X@24+8 B@8+8",
    ] {
        let (whole, statistics) = result(FragmentPolicy::Linux, 4, list);
        assert!(whole.is_some_and(|whole| whole.starts_with("ABC")), "{list}");
        assert_eq!((statistics.refused, statistics.teardrops), (1, 1), "{list}");
    }
}

#[test]
fn teardrop() {
    // Targa's: the second one ends inside of the first.
    let (whole, statistics) = result(FragmentPolicy::First, 4, "A@0+40 B@24+8.");
    assert_eq!((whole, statistics.teardrops, statistics.refused), (None, 1, 1));
    let (whole, statistics) = result(FragmentPolicy::First, 4, "A@0+40 B@8+8 C@40+8.");
    assert_eq!((whole.as_deref(), statistics.teardrops, statistics.different), (Some("AAAAAC"), 1, 1));
}

#[test]
fn ping_of_death() {
    for version in [4, 6] {
        let mut bench = Bench::new(FragmentPolicy::First);
        let frames = letters(version, "A@0+1480 B@65528+8.");
        assert!(frames.iter().all(|frame| bench.push(frame).is_none()));
        let statistics = bench.statistics();
        assert_eq!((statistics.too_long, statistics.refused), (1, 1));
    }
    // 65,535 bytes with the header are just enough.
    let list = (0..65_512)
        .step_by(1_448)
        .fold(String::new(), |list, at| format!("{list}A@{at}+{} ", 1_448.min(65_512 - at)));
    let (whole, _) = result(FragmentPolicy::First, 4, &format!("{list} B@65512+3."));
    assert!(whole.is_some());
    let (whole, _) = result(FragmentPolicy::First, 4, &format!("{list} B@65512+4."));
    assert!(whole.is_none());
}

#[test]
fn a_datagram_with_more_headers_than_its_fragments_can_be_too_long() {
    let mut bench = Bench::new(FragmentPolicy::First);
    let data = vec![b'A'; 65_504];
    let mut first = fragment(4, ANY, 7, 0, true, &data[..8]);
    // No-operation options.
    first.splice(34..34, [1; 12]);
    (first[14], first[17]) = (0x48, first[17] + 12);
    assert!(bench.push(&first).is_none());
    assert!(bench.push(&fragment(4, ANY, 7, 8, true, &data[8..])).is_none());
    assert!(bench.push(&fragment(4, ANY, 7, 65_504, false, b"end.")).is_none());
    let statistics = bench.statistics();
    assert_eq!((statistics.too_long, statistics.reassembled, statistics.waiting), (1, 0, 0));
}

#[test]
fn fragments_without_an_end_on_a_multiple_of_8() {
    // Linux cuts them; others discard them.
    let (whole, statistics) = result(FragmentPolicy::Linux, 4, "A@0+12 B@8+8.");
    assert_eq!((whole.as_deref(), statistics.refused), (Some("AB"), 0));
    let (whole, statistics) = result(FragmentPolicy::Bsd, 4, "A@0+12 B@8+8.");
    assert_eq!((whole, statistics.refused), (None, 1));
    let (whole, statistics) = result(FragmentPolicy::Linux, 6, "A@0+12 B@8+8.");
    assert_eq!((whole, statistics.refused), (None, 1));
    for list in ["A@8+0.", "A@8+0", "A@8+7"] {
        let (whole, statistics) = result(FragmentPolicy::Linux, 4, list);
        assert_eq!((whole, statistics.refused, statistics.waiting), (None, 1, 0), "{list}");
    }
}

#[test]
fn a_first_fragment_without_the_headers_is_tiny() {
    const TCP: u8 = 6;
    for (version, taken) in [(4, true), (6, false)] {
        let mut bench = Bench::new(FragmentPolicy::First);
        bench.push(&fragment(version, TCP, 7, 0, true, &[0; 16]));
        let whole = bench.push(&fragment(version, TCP, 7, 16, false, &[0; 8]));
        assert_eq!(whole.is_some(), taken, "version {version}");
        let statistics = bench.statistics();
        assert_eq!((statistics.tiny, statistics.refused), (1, u64::from(!taken)));
        assert_eq!(bench.whole.findings.contains(Findings::TINY), taken);
    }
    // A chain of headers that goes on in the second fragment (RFC 7112).
    let mut bench = Bench::new(FragmentPolicy::First);
    bench.push(&fragment(6, 60, 7, 0, true, &[TCP, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(bench.statistics().tiny, 1);
    bench.push(&fragment(6, 60, 8, 0, true, &[&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &[0; 16]].concat()));
    assert_eq!(bench.statistics().tiny, 2);
    bench.push(&fragment(6, 60, 9, 0, true, &[&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &[0; 24]].concat()));
    assert_eq!(bench.statistics().tiny, 2);
}

#[test]
fn datagrams_are_told_apart() {
    let mut bench = Bench::new(FragmentPolicy::First);
    let [first, last] = [(0, true, b"AAAAAAAA"), (8, false, b"BBBBBBBB")];
    let make = |version, protocol, id, (offset, more, data): (usize, bool, &[u8; 8])| {
        fragment(version, protocol, id, offset, more, data)
    };
    bench.push(&make(4, ANY, 7, first));
    assert!(bench.push(&make(4, ANY, 8, last)).is_none(), "another id");
    assert!(bench.push(&make(4, ANY + 1, 7, last)).is_none(), "another protocol");
    assert!(bench.push(&make(6, ANY, 7, last)).is_none(), "another version");
    assert!(bench.push_on(&make(4, ANY, 7, last), 5).is_none(), "another path");
    let mut other = make(4, ANY, 7, last);
    other.swap(14 + 12, 14 + 16);
    assert!(bench.push(&other).is_none(), "other ends");
    assert!(bench.push(&make(4, ANY, 7, last)).is_some());
    // Of IPv6, what fragments behind the first say of their protocol is of no concern (RFC 8200, 4.5).
    bench.push(&make(6, ANY, 9, first));
    let whole = bench.push(&make(6, ANY + 1, 9, last)).unwrap();
    assert_eq!(whole[20], ANY);
}

#[test]
fn what_was_not_captured_whole_is_refused() {
    let mut bench = Bench::new(FragmentPolicy::First);
    let frame = fragment(4, ANY, 7, 0, true, &[0; 64]);
    let mut segment = Segment::default();
    let cut = &frame[..60];
    assert_eq!(decode(cut, LinkType::Ethernet, frame.len() as u32, &mut segment), Outcome::Fragment);
    let fragment = Fragment::of(cut, &segment).unwrap();
    assert_eq!((fragment.length, fragment.data.clone()), (64, 34..60));
    assert!(bench.push(cut).is_none());
    assert_eq!(bench.statistics().refused, 1);
}
