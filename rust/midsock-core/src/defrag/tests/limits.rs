//! What is under way for too long, or takes too much.

use super::*;

#[test]
fn a_datagram_waits_for_so_long() {
    let mut bench = Bench::new(FragmentPolicy::First);
    let frames = letters(4, "A@0+8 B@8+8 C@16+8.");
    bench.push(&frames[0]);
    bench.now = MINUTE - 1;
    bench.push(&frames[1]);
    assert_eq!(bench.defragmenter.next_due(), Some(MINUTE));
    // The time counts from the first fragment on.
    bench.now = MINUTE;
    assert!(bench.push(&frames[2]).is_none());
    let statistics = bench.statistics();
    assert_eq!((statistics.timed_out, statistics.waiting), (1, 1));
    assert_eq!(bench.defragmenter.expire(2 * MINUTE), 1);
    let left = DefragStatistics { timed_out: 2, ..DefragStatistics::default() };
    assert_eq!(bench.statistics(), left);
}

#[test]
fn a_flood_of_fragments_takes_no_more_than_its_share() {
    let mut bench = Bench::new(FragmentPolicy::First);
    bench.limits.bytes = 1 << 18;
    for id in 0..20_000_u32 {
        let offset = (id as usize % 100) * 8 * usize::from(id % 3 > 0);
        bench.push(&fragment(4, (id >> 16) as u8, id, offset, true, &[0; 1_400]));
    }
    let statistics = bench.statistics();
    assert_eq!(statistics.waiting + statistics.shed, 20_000);
    assert!(statistics.waiting > 50, "{statistics:?}");
    // Those that came last are still under way.
    assert!(bench.push(&fragment(4, 0, 19_998, 1_400, false, b"end")).is_some());
    // The memory of those that are not any more is not kept.
    assert!(bench.defragmenter.list.len() < 1_000);
    assert!(bench.defragmenter.spare.len() <= SPARE);
    bench.defragmenter.expire(MINUTE);
    assert_eq!((bench.statistics().bytes, bench.statistics().waiting), (0, 0));
}

#[test]
fn one_datagram_takes_no_more_than_its_share() {
    // In ever more pieces.
    let mut bench = Bench::new(FragmentPolicy::Last);
    for i in 0..8_000 {
        bench.push(&fragment(4, ANY, 7, i * 8, true, &[i as u8; 8]));
    }
    assert!(bench.statistics().shed >= 1);
    // In ever more bytes that take the place of others.
    let mut bench = Bench::new(FragmentPolicy::Last);
    for i in 0..8_000 {
        bench.push(&fragment(4, ANY, 7, 8, true, &[i as u8; 1_400]));
        assert!(bench.statistics().bytes < 1 << 20);
    }
    assert!(bench.statistics().shed >= 1);
    // Holes in one, cut out by others.
    let mut bench = Bench::new(FragmentPolicy::Last);
    bench.push(&fragment(4, ANY, 7, 0, true, &vec![0; 65_000]));
    for i in 0..4_000 {
        bench.push(&fragment(4, ANY, 7, i * 16 + 8, true, &[1; 8]));
    }
    assert!(bench.statistics().shed >= 1);
}

#[test]
fn no_more_datagrams_than_there_are_places() {
    let mut bench = Bench::new(FragmentPolicy::First);
    bench.limits.bytes = u64::MAX;
    for id in 0..MAX_DATAGRAMS as u32 + 10 {
        bench.push(&fragment(6, ANY, id, 8, true, &[0; 8]));
    }
    let statistics = bench.statistics();
    assert_eq!((statistics.waiting, statistics.shed), (MAX_DATAGRAMS as u64, 10));
}
