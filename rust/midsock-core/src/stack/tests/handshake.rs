use super::talk::{ACK, SYN, SYN_ACK};
use super::*;
use crate::Side::{Client, Server};
use crate::flow::Rexmits;
use crate::tcp::RexmitKind;

fn rexmits(rexmits: &Rexmits) -> [u32; 4] {
    RexmitKind::ALL.map(|kind| rexmits.count(kind))
}

#[test]
fn a_conversation() {
    let mut talk = Talk::opened();
    talk.say(Client, b"hello").say(Server, b"good").say(Server, b" day").ack(Client).close();
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+5 hello",
            "NEW_DATA server 0+4 good",
            "NEW_DATA server 4+4  day",
            "END closed",
        ],
    );
    let record = &records[0];
    assert_eq!(records.len(), 1);
    assert!(record.handshake && !record.midstream);
    assert_eq!(record.sides.each_ref().map(|side| side.packets), [6, 4]);
    assert_eq!(record.sides.each_ref().map(|side| side.bytes), [5, 8]);
    assert_eq!(record.sides.each_ref().map(|side| side.offset), [5, 8]);
    assert_eq!(record.sides.each_ref().map(|side| side.address), talk.ends);
    assert_eq!(record.sides.each_ref().map(|side| side.state), [State::TimeWait, State::Closed]);
    assert_eq!(record.sides.each_ref().map(|side| side.isn.map(|isn| isn.0)), [Some(1000), Some(5000)]);
    assert_eq!((record.start, record.last), (talk.frames[0].time, talk.frames[9].time));
    assert!(record.anomalies.is_empty());
}

#[test]
fn it_is_the_same_over_ipv6_and_in_vlans() {
    for vlan in [vec![], vec![7], vec![7, 8]] {
        let mut talk = Talk::new();
        talk.ends = ["[2001:db8::2]:4000".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()];
        talk.vlan = vlan;
        talk.open().say(Client, b"hello").close();
        let records =
            expect(&talk, &["START client", "SETUP client", "NEW_DATA client 0+5 hello", "END closed"]);
        assert_eq!(records[0].sides.each_ref().map(|side| side.address), talk.ends);
        assert_eq!(records[0].vlan[0], talk.vlan.first().copied().unwrap_or(0));
    }
}

#[test]
fn two_vlans_with_one_tuple_are_two_flows() {
    let (mut talk, mut other) = (Talk::new(), Talk::new());
    (talk.vlan, other.vlan) = (vec![1], vec![2]);
    talk.open().say(Client, b"one");
    other.open().say(Client, b"two");
    let (mut a, mut b) = (talk.frames.into_iter(), other.frames.into_iter());
    talk = Talk::new();
    while let (Some(a), Some(b)) = (a.next(), b.next()) {
        talk.frames.extend([a, b]);
    }
    expect(
        &talk,
        &[
            "START client",
            "#1 START client",
            "SETUP client",
            "#1 SETUP client",
            "NEW_DATA client 0+3 one",
            "#1 NEW_DATA client 0+3 two",
            "END end",
            "#1 END end",
        ],
    );
}

#[test]
fn states_change_in_order() {
    let bench = Bench { kinds: &[Kind::StateChange, Kind::ConnSetup, Kind::ConnEnd], ..Bench::default() };
    let mut talk = Talk::opened();
    talk.say(Client, b"hello").close();
    bench.expect(
        &talk,
        &[
            "STATE_CHANGE client CLOSED > SYN-SENT",
            "STATE_CHANGE server LISTEN > SYN-RECEIVED",
            "STATE_CHANGE client SYN-SENT > ESTABLISHED",
            "STATE_CHANGE server SYN-RECEIVED > ESTABLISHED",
            "SETUP client",
            "STATE_CHANGE client ESTABLISHED > FIN-WAIT-1",
            "STATE_CHANGE server ESTABLISHED > CLOSE-WAIT",
            "STATE_CHANGE server CLOSE-WAIT > LAST-ACK",
            "STATE_CHANGE client FIN-WAIT-1 > FIN-WAIT-2",
            "STATE_CHANGE client FIN-WAIT-2 > TIME-WAIT",
            "STATE_CHANGE server LAST-ACK > CLOSED",
            "END closed",
        ],
    );
}

/// The states that a handler sees, at each hook.
#[test]
fn hooks_see_both_ends_as_they_are_then() {
    let see = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        let record = stack.record(upcall.flow.unwrap()).unwrap();
        lines.push(format!("  {} {}", record.sides[0].state, record.sides[1].state));
        let unread = stack.unread(upcall.flow.unwrap(), Client).unwrap();
        lines.push(format!("  next {:?} unread {}", record.sides[0].next.map(|seq| seq.0), unread.len()));
    };
    let bench = Bench {
        kinds: &[],
        act: &see,
        prepare: &|stack, monitor| {
            for hook in Hook::ALL {
                stack.register(monitor, wish(Kind::PktIn, hook, 0)).unwrap();
            }
            stack.register(monitor, wish(Kind::NewData, Hook::PostTcp, 0)).unwrap();
        },
        ..Bench::default()
    };
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"")
        .send(Server, SYN_ACK, 5000, 1001, b"")
        .send(Client, ACK, 1001, 5001, b"x");
    bench.expect(
        &talk,
        &[
            "PRE_TCP PKT_IN client",
            "  CLOSED LISTEN",
            "  next None unread 0",
            "POST_SND PKT_IN client",
            "  SYN-SENT LISTEN",
            "  next Some(1001) unread 0",
            "PKT_IN client",
            "  SYN-SENT SYN-RECEIVED",
            "  next Some(1001) unread 0",
            "PRE_TCP PKT_IN server",
            "  SYN-SENT SYN-RECEIVED",
            "  next Some(1001) unread 0",
            "POST_SND PKT_IN server",
            "  SYN-SENT SYN-RECEIVED",
            "  next Some(1001) unread 0",
            "PKT_IN server",
            "  ESTABLISHED SYN-RECEIVED",
            "  next Some(1001) unread 0",
            "PRE_TCP PKT_IN client",
            "  ESTABLISHED SYN-RECEIVED",
            "  next Some(1001) unread 0",
            "POST_SND PKT_IN client",
            "  ESTABLISHED SYN-RECEIVED",
            "  next Some(1002) unread 0",
            "PKT_IN client",
            "  ESTABLISHED ESTABLISHED",
            "  next Some(1002) unread 1",
            "NEW_DATA client 0+1 x",
            "  ESTABLISHED ESTABLISHED",
            "  next Some(1002) unread 1",
        ],
    );
}

#[test]
fn a_state_change_is_told_to_the_sender_hook_first() {
    let bench = Bench {
        kinds: &[Kind::StateChange],
        prepare: &|stack, monitor| {
            stack.register(monitor, wish(Kind::StateChange, Hook::PostSnd, 1)).unwrap();
        },
        ..Bench::default()
    };
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"");
    bench.expect(
        &talk,
        &[
            "h1 POST_SND STATE_CHANGE client CLOSED > SYN-SENT",
            "STATE_CHANGE client CLOSED > SYN-SENT",
            "STATE_CHANGE server LISTEN > SYN-RECEIVED",
        ],
    );
}

#[test]
fn retransmissions_of_the_handshake_start_nothing_anew() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").wait(SECOND).send(Client, SYN, 1000, 0, b"");
    talk.wait(2 * SECOND).send(Client, SYN, 1000, 0, b"");
    talk.send(Server, SYN_ACK, 5000, 1001, b"").wait(SECOND).send(Server, SYN_ACK, 5000, 1001, b"");
    talk.next = [1001, 5001];
    talk.ack(Client).close();
    let records = expect(
        &talk,
        &[
            "START client",
            "REXMIT client syn 0",
            "REXMIT client syn 0",
            "REXMIT server synack 0",
            "SETUP client",
            "END closed",
        ],
    );
    assert_eq!(rexmits(&records[0].sides[0].rexmits), [2, 0, 0, 0]);
    assert_eq!(rexmits(&records[0].sides[1].rexmits), [0, 1, 0, 0]);
}

#[test]
fn a_syn_retransmission_is_known_before_anything_moves() {
    let bench = Bench {
        kinds: &[],
        prepare: &|stack, monitor| {
            stack.register(monitor, wish(Kind::Rexmit, Hook::PreTcp, 0)).unwrap();
            stack.register(monitor, wish(Kind::ConnStart, Hook::PreTcp, 0)).unwrap();
        },
        ..Bench::default()
    };
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").send(Client, SYN, 1000, 0, b"");
    bench.expect(&talk, &["PRE_TCP START client", "PRE_TCP REXMIT client syn 0"]);
}

#[test]
fn retransmissions_of_data_and_fin() {
    let mut talk = Talk::opened();
    talk.say(Client, b"hello").again(Client, -5, b"hello").again(Client, -3, b"llo, you");
    talk.skip(Client, 5).fin(Client);
    // The last bytes and the FIN once more, and the FIN alone.
    talk.send(Client, super::talk::FIN_ACK, 1009, 5001, b"ou").send(
        Client,
        super::talk::FIN_ACK,
        1011,
        5001,
        b"",
    );
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+5 hello",
            "REXMIT client data 5",
            "REXMIT client data 3 partial",
            "NEW_DATA client 5+5 , you",
            "REXMIT client fin 2",
            "REXMIT client fin 0",
            "END end",
        ],
    );
    assert_eq!(
        rexmits(&records[0].sides[0].rexmits),
        [0, 0, 2, 3],
        "bytes repeated with a FIN count as data, too"
    );
    assert_eq!(records[0].sides[0].bytes, 5 + 5 + 8 + 2);
}

#[test]
fn keep_alives_and_window_probes_are_counted_apart() {
    let mut talk = Talk::opened();
    talk.say(Client, b"hello")
        .ack(Server)
        .again(Client, -1, b"")
        .ack(Server)
        .again(Client, -1, b"o")
        .ack(Server);
    talk.window = 0;
    talk.ack(Server);
    talk.window = 1000;
    talk.again(Client, -1, b"").again(Client, -1, b"");
    let shrunk = "ANOMALY server window_shrunk";
    let records =
        expect(&talk, &["START client", "SETUP client", "NEW_DATA client 0+5 hello", shrunk, "END end"]);
    assert_eq!((records[0].sides[0].keep_alives, records[0].sides[0].window_probes), (2, 2));
    assert_eq!(records[0].sides[0].rexmits.total(), 0);
}

#[test]
fn data_on_a_syn_belongs_to_the_stream() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"early")
        .send(Server, SYN_ACK, 5000, 1006, b"")
        .send(Client, ACK, 1006, 5001, b"!");
    expect(
        &talk,
        &[
            "START client",
            "ANOMALY client syn_with_data",
            "NEW_DATA client 0+5 early",
            "SETUP client",
            "NEW_DATA client 5+1 !",
            "END end",
        ],
    );
    // A server that does not take it acknowledges the SYN alone.
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"early")
        .send(Server, SYN_ACK, 5000, 1001, b"")
        .send(Client, ACK, 1001, 5001, b"early!");
    expect(
        &talk,
        &[
            "START client",
            "ANOMALY client syn_with_data",
            "NEW_DATA client 0+5 early",
            "REXMIT client data 5 partial",
            "SETUP client",
            "NEW_DATA client 5+1 !",
            "END end",
        ],
    );
}

#[test]
fn both_ends_may_open_at_once() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").send(Server, SYN, 5000, 0, b"");
    talk.send(Client, SYN_ACK, 1000, 5001, b"").send(Server, SYN_ACK, 5000, 1001, b"");
    talk.next = [1001, 5001];
    talk.say(Client, b"hi").close();
    let records = expect(
        &talk,
        &[
            "START client",
            "ANOMALY server simultaneous_open",
            "SETUP server",
            "NEW_DATA client 0+2 hi",
            "END closed",
        ],
    );
    assert!(records[0].handshake);
}

#[test]
fn connections_under_way_are_orphans_or_picked_up() {
    let mut talk = Talk::new();
    talk.say(Server, b"tail").say(Client, b"more").say(Server, b" end");
    let records = expect(&talk, &["ORPHAN client", "ORPHAN client", "ORPHAN client"]);
    assert!(records.is_empty());
    let mut bench = Bench::default();
    bench.config.midstream = true;
    let records = bench.expect(
        &talk,
        &[
            "START server",
            "NEW_DATA server 0+4 tail",
            "NEW_DATA client 0+4 more",
            "NEW_DATA server 4+4  end",
            "END end",
        ],
    );
    assert!(records[0].midstream && !records[0].handshake);
    assert_eq!(records[0].sides.each_ref().map(|side| side.address), talk.ends);
}

#[test]
fn a_syn_ack_tells_the_server() {
    let mut talk = Talk::new();
    talk.ends = ["192.0.2.1:80".parse().unwrap(), "198.51.100.1:4000".parse().unwrap()];
    talk.send(Server, SYN_ACK, 5000, 1001, b"");
    talk.next = [1001, 5001];
    talk.ack(Client).say(Client, b"hi");
    let mut bench = Bench::default();
    bench.config.midstream = true;
    let lines = [
        "START server",
        "ANOMALY server synack_without_flow",
        "SETUP client",
        "NEW_DATA client 0+2 hi",
        "END end",
    ];
    let records = bench.expect(&talk, &lines);
    assert_eq!(records[0].sides.each_ref().map(|side| side.address), talk.ends);
    assert!(records[0].midstream && !records[0].handshake);
}

#[test]
fn a_syn_that_was_overtaken_belongs_to_its_flow() {
    let mut talk = Talk::new();
    talk.open().say(Client, b"abc");
    // The SYN was delayed between the wire and the capture.
    let syn = talk.frames.remove(0);
    talk.frames.insert(3, syn);
    for (at, frame) in talk.frames.iter_mut().enumerate() {
        frame.time = at as Nanos * MS;
    }
    let mut bench = Bench::default();
    bench.config.midstream = true;
    let (result, records) = bench.run(&talk.frames);
    assert!(result.lines.iter().any(|line| line == "NEW_DATA client 0+3 abc"), "{:?}", result.lines);
    assert_eq!(records.len(), 1);
    assert_eq!(anomalies(&records[0]), [("synack_without_flow", 1)]);
    assert_eq!(records[0].sides[0].rexmits, Rexmits::default());
    assert!(records[0].sides[0].isn.is_some());
}
