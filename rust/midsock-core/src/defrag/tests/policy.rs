//! Fragments that overlap, by policy.

use super::FragmentPolicy::{self, Bsd, BsdRight, Discard, First, Last, Linux, Solaris, Windows};
use super::*;

/// The fragments of "Target-Based Fragmentation Reassembly" (J. Novak, S. Sturges, 2005), in the order in which they are
/// sent: those of "Active Mapping" (U. Shankar, V. Paxson, 2003), and what was added to tell more systems apart.
const VECTOR: &str = "A@0+24 B@32+16 C@48+24 D@80+8 E@104+16 F@120+24 G@144+16 H@160+16 I@176+8 \
                      J@8+32 K@48+24 L@72+24 M@96+24 N@128+8 O@152+8 P@160+8 Q@176+16.";

/// What each system makes of them.
const RESULTS: [(FragmentPolicy, &str); 7] = [
    (First, "AAAJBBCCCLDLMEEFFFGGHHIQ"),
    (Last, "AJJJJBKKKLLLMMMFNFGOPHQQ"),
    (Bsd, "AAAJJBCCCLLLMMMFFFGGHHIQ"),
    (BsdRight, "AJJJBBKKKLLLMMMFFFGGHHQQ"),
    (Linux, "AAAJJBKKKLLLMMMFFFGGPHQQ"),
    (Windows, "AAAJBBCCCLLLMEEFFFGGHHIQ"),
    (Solaris, "AAAJBBCCCLLLMMMFFFGGHHIQ"),
];

#[test]
fn the_vectors_of_sturges_and_novak() {
    for version in [4, 6] {
        for (policy, expected) in RESULTS {
            let (whole, statistics) = result(policy, version, VECTOR);
            assert_eq!(whole.as_deref(), Some(expected), "{} of IPv{version}", policy.name());
            // All of the second lot overlap, and say something else; two lie inside of others.
            assert_eq!((statistics.overlaps, statistics.different), (8, 8));
            assert_eq!(statistics.refused, 0);
        }
    }
}

/// Fragments, and what they come to.
const CASES: [(FragmentPolicy, &str, &str); 11] = [
    // A fragment that starts earlier is taken, up to where what is behind it was sent last.
    (Linux, "A@0+24 B@40+48 C@24+48 D@88+14.", "AAACCCCCCBBDD"),
    (Bsd, "A@24+16. B@8+16 C@16+16 D@0+8", "DBBCA"),
    (Bsd, "E@8+24. M@0+24", "MMME"),
    (Bsd, "A@8+8 B@32+8 C@16+8 D@24+8 E@0+40 F@40+8.", "EEEEEF"),
    // Each of several that are covered, by itself.
    (First, "B@8+8 D@24+8 A@0+40 E@40+8.", "ABADAE"),
    (Windows, "B@8+8 D@32+8 A@0+40 E@40+8.", "AAAADE"),
    (Solaris, "B@8+8 D@32+8 A@0+40 E@40+8.", "AAAAAE"),
    (Last, "A@0+32 B@8+8 C@16+24.", "ABCCC"),
    (BsdRight, "A@0+32 B@8+8 C@16+24.", "AACCC"),
    // Same place, same length.
    (Linux, "A@0+16 B@0+16 C@16+8.", "BBC"),
    (Bsd, "A@0+16 B@0+16 C@16+8.", "AAC"),
];

#[test]
fn single_overlaps() {
    for (policy, list, expected) in CASES {
        let (whole, _) = result(policy, 4, list);
        assert_eq!(whole.as_deref(), Some(expected), "{} of {list}", policy.name());
    }
}

#[test]
fn overlapping_fragments_of_ipv6_discard_the_datagram_and_what_comes_of_it() {
    for list in [
        "A@0+16 X@8+8 B@16+8.",
        "A@0+16 X@8+16 B@16+8.",
        // Also where they say the same.
        "A@0+16 A@8+8 B@16+8.",
        "B@16+8. A@0+8 A@0+16",
    ] {
        let (whole, statistics) = result(Discard, 6, list);
        assert_eq!(whole, None, "{list}");
        assert_eq!((statistics.discarded, statistics.overlaps), (1, 1), "{list}");
        assert_eq!(statistics.waiting, 1, "what else comes of it is to be known");
    }
    let mut bench = Bench::new(Discard);
    for frame in letters(6, "A@0+16 X@8+8") {
        bench.push(&frame);
    }
    let again = letters(6, "A@0+16 B@16+8.");
    assert!(again.iter().all(|frame| bench.push(frame).is_none()));
    // Until it would have been given up: then the id may be that of another one.
    bench.now = MINUTE;
    assert_eq!(again.iter().filter(|frame| bench.push(frame).is_some()).count(), 1);
    assert_eq!(bench.statistics().timed_out, 0, "it was discarded before");
}
