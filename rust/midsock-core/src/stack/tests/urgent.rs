//! Urgent bytes in and out of streams.

use super::talk::Talk;
use super::*;
use crate::Side::{Client, Server};
use crate::reassembly::Urgent;

const URG_ACK: TcpFlags = TcpFlags(TcpFlags::URG.0 | TcpFlags::ACK.0);

fn urgent(talk: &mut Talk, side: Side, back: i32, payload: &[u8], build: talk::Build) {
    let (seq, ack) = (talk.next[side.index()], talk.next[side.other().index()]);
    talk.send_with(side, URG_ACK, seq.wrapping_add_signed(back), ack, payload, build);
}

fn bench(urgent: Urgent) -> Bench<'static> {
    let settings = StreamSettings { urgent, ..StreamSettings::default() };
    Bench { settings, kinds: &[Kind::NewData, Kind::Gap, Kind::Anomaly], ..Bench::default() }
}

fn telnet(isn: u32) -> Talk {
    let mut talk = Talk::new();
    talk.next[0] = isn;
    talk.open();
    urgent(&mut talk, Client, 0, b"abXcd", |frame| frame.urgent(3));
    talk.skip(Client, 5).ack(Server).say(Client, b"ef").ack(Server).wait(SECOND).ack(Server).close();
    talk
}

#[test]
fn the_urgent_byte_is_in_the_stream_or_not_as_the_policy_says() {
    for isn in [1000, u32::MAX, u32::MAX - 1, u32::MAX - 3, u32::MAX - 6] {
        let records = bench(Urgent::Oob).expect(
            &telnet(isn),
            &["ANOMALY client urgent_data", "NEW_DATA client 0+4 abcd", "NEW_DATA client 4+2 ef"],
        );
        assert_eq!(records[0].sides[0].offset, 6);
        let records = bench(Urgent::Inline).expect(
            &telnet(isn),
            &["ANOMALY client urgent_data", "NEW_DATA client 0+5 abXcd", "NEW_DATA client 5+2 ef"],
        );
        assert_eq!(records[0].sides[0].offset, 7);
        bench(Urgent::Drop).expect(
            &telnet(isn),
            &[
                "ANOMALY client urgent_data",
                "ANOMALY server ack_unseen",
                "GAP client 0+5",
                "NEW_DATA client 5+2 ef",
            ],
        );
    }
}

#[test]
fn an_urgent_byte_is_taken_out_wherever_it_comes_from() {
    let mut talk = Talk::opened();
    // It comes ahead of the bytes before it, and again; then one is announced ahead of its segment; then one ends its
    // segment; and one is all of it.
    urgent(&mut talk, Client, 2, b"cXd", |frame| frame.urgent(2));
    urgent(&mut talk, Client, 2, b"cXd", |frame| frame.urgent(2));
    talk.say(Client, b"ab").skip(Client, 3).ack(Server);
    urgent(&mut talk, Client, 0, b"ef", |frame| frame.urgent(3));
    talk.skip(Client, 2).say(Client, b"Xg").ack(Server);
    urgent(&mut talk, Client, 0, b"hX", |frame| frame.urgent(2));
    talk.skip(Client, 2).say(Client, b"i");
    urgent(&mut talk, Client, 0, b"X", |frame| frame.urgent(1));
    talk.skip(Client, 1).say(Client, b"j").ack(Server);
    // What was handed on is not looked at again.
    urgent(&mut talk, Client, -1, b"j", |frame| frame.urgent(1));
    talk.say(Server, b"k").close();
    let kinds = &[Kind::NewData, Kind::Gap];
    let lines = [
        "NEW_DATA client 0+4 abcd",
        "NEW_DATA client 4+2 ef",
        "NEW_DATA client 6+1 g",
        "NEW_DATA client 7+1 h",
        "NEW_DATA client 8+1 i",
        "NEW_DATA client 9+1 j",
        "NEW_DATA server 0+1 k",
    ];
    for act in [read_all as fn(&mut Stack<u32>, &Upcall, &mut Vec<String>), leave_unread] {
        Bench { kinds, act: &act, ..Bench::default() }.expect(&talk, &lines);
    }
}

#[test]
fn gaps_and_depth_count_without_urgent_bytes() {
    let mut talk = Talk::opened();
    urgent(&mut talk, Client, 0, b"abX", |frame| frame.urgent(3));
    // The urgent byte of the next one is lost with it.
    urgent(talk.skip(Client, 3), Client, 10, b"", |frame| frame.urgent(5));
    talk.skip(Client, 4).say(Client, b"cd").ack(Server).wait(SECOND).ack(Client).say(Client, b"efgh").close();
    let settings = StreamSettings { depth: 10, ..StreamSettings::default() };
    let bench = Bench { settings, kinds: &[Kind::NewData, Kind::Gap], ..Bench::default() };
    bench.expect(
        &talk,
        &["NEW_DATA client 0+2 ab", "GAP client 2+4", "NEW_DATA client 6+2 cd", "NEW_DATA client 8+2 ef"],
    );
}

#[test]
fn too_many_urgent_bytes_stay_in_the_stream() {
    let mut talk = Talk::opened();
    for _ in 0..4200 {
        urgent(&mut talk, Client, 0, b"aX", |frame| frame.urgent(2));
        talk.skip(Client, 2).ack(Server);
    }
    talk.close();
    let (_, records) = Bench { kinds: &[], ..Bench::default() }.run(&talk.frames);
    assert_eq!(anomalies(&records[0]), [("urgent_data", 4200), ("urgent_limit", 1)]);
    assert_eq!(records[0].sides[0].offset, 8400 - 4096);
}
