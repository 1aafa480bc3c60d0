//! Repeated bytes that differ from those already seen.

use super::talk::Talk;
use super::*;
use crate::Side::{Client, Server};

const KINDS: &[Kind] = &[Kind::Anomaly];

fn bench(compare: Option<u64>) -> Bench<'static> {
    let settings = StreamSettings { compare, ..StreamSettings::default() };
    Bench { settings, kinds: KINDS, ..Bench::default() }
}

#[test]
fn bytes_that_were_handed_on_are_compared_if_somebody_asks() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abcd").say(Client, b"efgh").again(Client, -6, b"cdXXgh").again(
        Client,
        -8,
        b"abcdefgh",
    );
    talk.again(Client, -3, b"Yghij").skip(Client, 2).ack(Server).close();
    bench(None).expect(&talk, &[]);
    bench(Some(0)).expect(
        &talk,
        &[
            "ANOMALY client different_content 4+4 efgh > XXgh",
            "ANOMALY client different_content 5+3 fgh > Ygh",
        ],
    );
}

#[test]
fn acknowledged_bytes_are_compared_as_far_back_as_is_asked() {
    let mut talk = Talk::opened();
    for _ in 0..10 {
        talk.say(Client, b"0123456789").ack(Server);
    }
    talk.again(Client, -10, b"01234x6789").again(Client, -50, b"y123456789").again(
        Client,
        -100,
        b"z123456789",
    );
    let last = "ANOMALY client different_content 90+10 0123456789 > 01234x6789";
    let middle = "ANOMALY client different_content 50+10 0123456789 > y123456789";
    let first = "ANOMALY client different_content 0+10 0123456789 > z123456789";
    // What was acknowledged is forgotten when more comes.
    bench(Some(0)).expect(&talk, &[last]);
    bench(Some(10)).expect(&talk, &[last]);
    bench(Some(50)).expect(&talk, &[last, middle]);
    bench(Some(1000)).expect(&talk, &[last, middle, first]);
}

#[test]
fn held_bytes_are_compared_in_any_case() {
    let mut talk = Talk::opened();
    talk.again(Client, 2, b"cdef")
        .again(Client, 4, b"eXgh")
        .say(Client, b"ab")
        .skip(Client, 6)
        .ack(Server)
        .close();
    let mut bench = bench(None);
    bench.kinds = &[Kind::Anomaly, Kind::NewData];
    bench.expect(&talk, &["ANOMALY client different_content 4+2 ef > eX", "NEW_DATA client 0+8 abcdefgh"]);
}

#[test]
fn what_is_kept_is_bounded_though_nothing_is_acknowledged() {
    let mut talk = Talk::opened();
    for _ in 0..60 {
        talk.say(Client, &[7; 1000]);
    }
    talk.again(Client, -1000, &[8; 1000]).again(Client, -50_000, &[8; 1000]);
    let peak = std::cell::Cell::new(0);
    let see = |stack: &mut Stack<u32>, _: &Upcall, _: &mut Vec<String>| {
        peak.set(peak.get().max(stack.statistics().reassembly));
    };
    let settings = StreamSettings { compare: Some(0), buffer: 20_000, ..StreamSettings::default() };
    let bench = Bench { settings, kinds: &[Kind::PktIn], act: &see, ..Bench::default() };
    let (_, records) = bench.run(&talk.frames);
    assert_eq!(anomalies(&records[0]), [("different_content", 1)]);
    assert!((15_000..=21_200).contains(&peak.get()), "{}", peak.get());
}

#[test]
fn probes_hold_any_byte() {
    let mut talk = Talk::opened();
    talk.say(Client, b"hello").ack(Server).again(Client, -1, b"\0").ack(Server).close();
    bench(Some(100)).expect(&talk, &[]);
}
