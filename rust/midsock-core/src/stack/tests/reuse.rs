//! One tuple, several connections.

use super::talk::{ACK, FIN_ACK, RST_ACK, SYN, SYN_ACK};
use super::*;
use crate::Side::{Client, Server};
use crate::tcp::RexmitKind;

const ONE: &[&str] = &["START client", "SETUP client", "NEW_DATA client 0+3 one", "END closed"];
/// Another one in its place, soon after it.
const TWO: &[&str] = &[
    "#1 START client",
    "#1 ANOMALY client port_reuse",
    "#1 SETUP client",
    "#1 NEW_DATA client 0+3 two",
    "#1 END closed",
];

/// A whole connection with these initial sequence numbers.
fn connection(talk: &mut Talk, isn: [u32; 2], payload: &[u8]) {
    talk.next = isn;
    talk.open().say(Client, payload).close();
}

#[test]
fn a_tuple_is_used_again_after_a_close() {
    for pause in [0, SECOND, 3600 * SECOND] {
        let mut talk = Talk::new();
        connection(&mut talk, [1000, 5000], b"one");
        connection(talk.wait(pause), [90_000, 80_000], b"two");
        // After an hour, nobody remembers.
        let two: Vec<&str> =
            TWO.iter().copied().filter(|line| pause <= SECOND || !line.contains("ANOMALY")).collect();
        let records = expect(&talk, &[ONE, &two].concat());
        assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(records[0].sides.each_ref().map(|side| side.packets), [5, 2]);
        assert_eq!(records[1].sides.each_ref().map(|side| side.packets), [5, 2]);
    }
}

#[test]
fn it_is_used_again_and_again_within_a_burst() {
    let mut talk = Talk::new();
    for i in 0..60_u32 {
        talk.next = [i << 20, i << 24];
        talk.open();
        if i % 3 == 0 {
            talk.close()
        } else {
            talk.reset(Client)
        };
    }
    let bench = Bench { kinds: &[], ..Bench::default() };
    let (_, records) = bench.run(&talk.frames);
    assert!(
        records.iter().enumerate().all(|(i, record)| record.number == i as u64),
        "in the order of their end"
    );
    assert_eq!(records.len(), 60);
}

#[test]
fn the_roles_may_be_exchanged() {
    let mut talk = Talk::new();
    connection(&mut talk, [1000, 5000], b"one");
    talk.ends.reverse();
    connection(&mut talk, [90_000, 80_000], b"two");
    let records = expect(&talk, &[ONE, TWO].concat());
    assert_eq!(records[0].sides[0].address, records[1].sides[1].address);
}

#[test]
fn time_wait_is_left_early_also_without_the_last_ack() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").fin(Client).fin(Server);
    connection(&mut talk, [90_000, 80_000], b"two");
    expect(&talk, &[ONE, TWO].concat());
}

#[test]
fn a_tuple_is_used_again_after_a_reset() {
    let mut talk = Talk::opened();
    talk.reset(Server);
    connection(&mut talk, [90_000, 80_000], b"two");
    expect(&talk, &[&["START client", "SETUP client", "END reset"], TWO].concat());
}

#[test]
fn an_unanswered_syn_is_given_up_for_another() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"");
    connection(&mut talk, [90_000, 80_000], b"two");
    let again = ["#1 START client", "#1 ANOMALY client syn_different_seq"];
    expect(&talk, &[&["START client", "END reset"], &again[..], &TWO[2..]].concat());
}

#[test]
fn many_syns_of_one_tuple_are_a_flood() {
    let mut talk = Talk::new();
    for isn in 0..25 {
        talk.send(Client, SYN, isn << 20, 0, b"");
    }
    let (result, _) = Bench { kinds: &[Kind::Anomaly], ..Bench::default() }.run(&talk.frames);
    let floods = result.lines.iter().filter(|line| line.ends_with("syn_flood")).count();
    assert_eq!((floods, result.lines.len()), (2, 24 + 2));
}

#[test]
fn a_syn_inside_a_live_flow_takes_over_once_it_is_answered() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    connection(talk.wait(SECOND), [900_000, 800_000], b"two");
    let records = expect(
        &talk,
        &[
            &[
                "START client",
                "SETUP client",
                "NEW_DATA client 0+3 one",
                "ANOMALY client syn_on_live",
                "END reset",
            ][..],
            &["#1 START server", "#1 ANOMALY server live_port_reuse"][..],
            &TWO[2..],
        ]
        .concat(),
    );
    assert_eq!(records[0].sides.each_ref().map(|side| side.packets), [3, 1]);
    assert_eq!(records[1].sides.each_ref().map(|side| side.packets), [5, 2]);
    assert_eq!(
        records[1].sides.each_ref().map(|side| side.isn.map(|isn| isn.0)),
        [Some(900_000), Some(800_000)]
    );
    assert_eq!(records[1].start, talk.frames[4].time);
    assert!(records[1].handshake);
}

#[test]
fn a_live_flow_may_be_taken_over_by_the_other_end() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    talk.ends.reverse();
    connection(&mut talk, [900_000, 800_000], b"two");
    let records = expect(
        &talk,
        &[
            &[
                "START client",
                "SETUP client",
                "NEW_DATA client 0+3 one",
                "ANOMALY server syn_on_live",
                "END reset",
            ][..],
            &["#1 START server", "#1 ANOMALY server live_port_reuse"][..],
            &TWO[2..],
        ]
        .concat(),
    );
    assert_eq!(records[0].sides[0].address, records[1].sides[1].address);
}

#[test]
fn a_syn_inside_a_live_flow_that_is_not_answered_changes_nothing() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").send(Client, SYN, 900_000, 0, b"");
    // A challenge ACK (RFC 5961, section 4.2), and a SYN/ACK that answers something else.
    talk.ack(Server).send(Server, SYN_ACK, 800_000, 900_002, b"");
    talk.say(Client, b"more");
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+3 one",
            "ANOMALY client syn_on_live",
            "ANOMALY server synack_different_seq",
            "NEW_DATA client 3+4 more",
            "END end",
        ],
    );
    assert_eq!(anomalies(&records[0]), [("syn_on_live", 1), ("synack_different_seq", 1)]);
}

#[test]
fn late_packets_of_a_closed_flow_are_counted_only() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").close().again(Client, 0, b"late").ack(Server).send(Client, SYN, 1000, 0, b"");
    let records = expect(&talk, ONE);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].sides.each_ref().map(|side| side.packets), [7, 3]);
    assert_eq!(records[0].sides[0].bytes, 7);
    assert_eq!(records[0].last, talk.frames.last().unwrap().time);
}

#[test]
fn a_late_retransmission_is_counted() {
    let mut talk = Talk::opened();
    // The acknowledgement of the server's FIN was lost; then a segment with the client's data and FIN comes again.
    talk.say(Client, b"one").close();
    let [client, server] = talk.next;
    talk.send(Server, FIN_ACK, server - 1, client, b"").send(Client, FIN_ACK, client - 4, server, b"one");
    let records = expect(&talk, ONE);
    let [client, server] = records[0].sides.each_ref().map(|side| side.rexmits);
    assert_eq!((server.count(RexmitKind::Fin), server.count(RexmitKind::Data), server.total()), (1, 0, 1));
    assert_eq!((client.count(RexmitKind::Fin), client.count(RexmitKind::Data), client.total()), (1, 1, 1));
}

#[test]
fn after_a_while_late_packets_belong_to_nothing() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").close().wait(31 * SECOND).ack(Server);
    let records = expect(&talk, &[ONE, &["ORPHAN client"]].concat());
    assert_eq!(records[0].sides.each_ref().map(|side| side.packets), [5, 2]);
}

#[test]
fn a_refused_connection() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").send(Server, RST_ACK, 0, 1001, b"");
    expect(&talk, &["START client", "END reset"]);
}

#[test]
fn resets_are_checked() {
    let mut talk = Talk::opened();
    talk.send(Server, RST_ACK, 5002, 1001, b"")
        .send(Client, talk::RST, 999, 0, b"")
        .say(Client, b"on")
        .reset(Client);
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "ANOMALY server inexact_rst",
            "ANOMALY client inexact_rst",
            "NEW_DATA client 0+2 on",
            "END reset",
        ],
    );
    assert_eq!(records[0].sides.each_ref().map(|side| side.state), [State::Closed; 2]);
}

#[test]
fn records_come_in_the_order_in_which_flows_ended() {
    let mut talk = Talk::new();
    for port in 1..=4 {
        talk.port(port).open();
    }
    for (port, rest) in [(3, true), (1, false), (2, true)] {
        talk.port(port).next = [1001, 5001];
        if rest {
            talk.close()
        } else {
            talk.reset(Client)
        };
    }
    // The fourth is closed after the first three have long been freed, and a fifth never is.
    talk.wait(100 * SECOND).port(5).open();
    talk.port(4).next = [1001, 5001];
    talk.close().send(Server, ACK, 5002, 1002, b"");
    let (_, records) = Bench { kinds: &[], ..Bench::default() }.run(&talk.frames);
    assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [2, 0, 1, 3, 4]);
}

/// A handler of the old flow's end runs before the packet that ends it goes on.
#[test]
fn handlers_of_the_end_may_stop_and_register() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        let flow = upcall.flow.unwrap();
        if upcall.event.kind == Kind::ConnEnd {
            assert!(!stack.is_open(flow));
            stack.stop(flow).unwrap();
            assert!(stack.register_flow(flow, wish(Kind::PktIn, Hook::PreTcp, 9)).unwrap().is_ok());
            stack.set_user(flow, Some(7)).unwrap();
            lines.push(format!("  {:?}", stack.record(flow).unwrap().reason));
        }
        read_all(stack, upcall, lines);
    };
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    connection(&mut talk, [900_000, 800_000], b"two");
    Bench { act: &act, kinds: &[Kind::ConnStart, Kind::ConnEnd], ..Bench::default() }.expect(
        &talk,
        &["START client", "END reset", "  Some(Reset)", "#1 START server", "#1 END closed", "  Some(Closed)"],
    );
}
