//! Whatever becomes of the segments on their way, the stream is the stream.

use proptest::prelude::*;

use super::talk::ACK;
use super::*;
use crate::Side::{Client, Server};

/// What a stream came to: its bytes and gaps, with every event where the one before ended.
#[derive(Default)]
struct Collected {
    bytes: Vec<Option<u8>>,
}

impl Collected {
    fn of(lines: &[String], side: Side) -> Collected {
        let mut collected = Collected::default();
        for line in lines {
            let mut words = line.split(' ');
            let (Some(kind), Some(whose), Some(range)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if whose != side.name() || !matches!(kind, "NEW_DATA" | "GAP") {
                continue;
            }
            let (offset, length) = range.split_once('+').unwrap();
            assert_eq!(offset.parse::<usize>().unwrap(), collected.bytes.len(), "{line}");
            let length: usize = length.parse().unwrap();
            if kind == "GAP" {
                collected.bytes.extend(vec![None; length]);
            } else {
                let data = words.next().unwrap();
                assert_eq!(data.len(), length, "{line}");
                collected.bytes.extend(data.bytes().map(Some));
            }
        }
        collected
    }
}

/// Bytes that tell their place, none of which the log has to escape.
fn stream(length: usize) -> Vec<u8> {
    (0..length).map(|i| b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"[(i * 7 + i / 43) % 43]).collect()
}

fn isn() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0..600_u32).prop_map(|back| 0_u32.wrapping_sub(back)), Just((1 << 31) - 100)]
}

fn any_bench<'a>() -> Bench<'a> {
    Bench { kinds: &[Kind::NewData, Kind::Gap], ..Bench::default() }
}

/// Segments as offset and length.
type Segments = Vec<(usize, usize)>;

/// Segments that cover a stream of 400 bytes, some of it several times, in an order that is not quite its own.
fn segments() -> impl Strategy<Value = Segments> {
    let cuts = prop::collection::vec(1..60_usize, 8..40);
    let extra = prop::collection::vec((0..400_usize, 1..80_usize), 0..20);
    (cuts, extra, prop::collection::vec(0..40_u64, 64)).prop_map(|(cuts, extra, delays)| {
        let mut all = Segments::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            if at >= 400 {
                break;
            }
            let length = (*cut).min(400 - at);
            all.push((at, length));
            at += length;
        }
        all.extend(extra.into_iter().map(|(at, length)| (at, length.min(400 - at))));
        let mut late: Vec<(u64, (usize, usize))> =
            all.into_iter().enumerate().map(|(i, s)| (i as u64 + delays[i % delays.len()], s)).collect();
        late.sort_by_key(|(when, _)| *when);
        late.into_iter().map(|(_, segment)| segment).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_overlap_make_the_stream(
        isns in (isn(), isn()),
        segments in segments(),
        side in prop_oneof![Just(Client), Just(Server)],
        reads in any::<bool>(),
    ) {
        let bytes = stream(400);
        let mut talk = Talk::new();
        talk.next = [isns.0, isns.1];
        talk.open();
        for (at, length) in &segments {
            talk.again(side, *at as i32, &bytes[*at..at + length]);
        }
        talk.skip(side, 400).ack(side.other()).close();
        let (result, records) = if reads {
            any_bench().run(&talk.frames)
        } else {
            Bench { act: &leave_unread, ..any_bench() }.run(&talk.frames)
        };
        let expected: Vec<Option<u8>> = bytes.iter().copied().map(Some).collect();
        prop_assert_eq!(Collected::of(&result.lines, side).bytes, expected);
        prop_assert_eq!(records.len(), 1);
        prop_assert_eq!(records[0].sides[side.index()].offset, 400);
        prop_assert!(records[0].sides[side.index()].gaps.is_empty());
        prop_assert!(records[0].anomalies.is_empty(), "{:?}", records[0].anomalies);
        prop_assert_eq!(records[0].reason, Some(crate::flow::EndReason::Closed));
    }

    #[test]
    fn lost_bytes_become_gaps_and_no_others(
        isns in (isn(), isn()),
        segments in segments(),
        lost in prop::collection::vec(any::<bool>(), 64),
        acks in prop::collection::vec((any::<bool>(), 0..150_i64), 64),
    ) {
        let bytes = stream(400);
        let mut talk = Talk::new();
        talk.next = [isns.0, isns.1];
        talk.open();
        let [c, s] = talk.next;
        let mut sent = vec![false; 400];
        let mut seen = vec![false; 400];
        for (i, (at, length)) in segments.iter().enumerate() {
            sent[*at..at + length].fill(true);
            if !lost[i % lost.len()] {
                talk.again(Client, *at as i32, &bytes[*at..at + length]);
                seen[*at..at + length].fill(true);
            }
            if acks[i % acks.len()].0 {
                // The receiver lacks nothing: only the capture does.
                let acked = sent.iter().position(|sent| !sent).unwrap_or(400) as u32;
                talk.send(Server, ACK, s, c.wrapping_add(acked), b"").wait(acks[i % acks.len()].1 * MS);
            }
        }
        talk.skip(Client, 400).ack(Server).wait(SECOND).close();
        let (result, records) = any_bench().run(&talk.frames);
        let collected = Collected::of(&result.lines, Client).bytes;
        prop_assert_eq!(collected.len(), 400);
        for (i, byte) in collected.iter().enumerate() {
            // A byte that comes after it was given up is too late.
            prop_assert!(byte.is_none_or(|byte| byte == bytes[i]));
            prop_assert!(byte.is_none() || seen[i], "byte {} was invented", i);
        }
        let missing: u64 = records[0].sides[0].gaps.iter().map(|gap| gap.length).sum();
        prop_assert_eq!(missing, collected.iter().filter(|byte| byte.is_none()).count() as u64);
        prop_assert_eq!(records[0].reason, Some(crate::flow::EndReason::Closed));
    }
}
