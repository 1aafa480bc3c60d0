//! Who is told what: scopes, filters, registrations, checksums, batches.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;

use super::talk::{Build, SYN};
use super::*;
use crate::Side::{Client, Server};
use crate::event::{BatchSpec, Expr, Field, Filter, HandlerId};

/// Two flows, to ports 80 and 443.
fn two_flows() -> Talk {
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    talk.ends[1].set_port(443);
    talk.port(4001).open().say(Client, b"two");
    talk
}

#[test]
fn scopes_are_independent_of_each_other() {
    let bench = Bench {
        scope: "port 80",
        kinds: &[Kind::ConnStart],
        prepare: &|stack, _| {
            for (number, scope) in [(1, "port 443"), (2, "tcp"), (3, "udp"), (4, "src port 80")] {
                let monitor =
                    stack.open(MonitorKind::Stream, Scope::parse(scope).unwrap(), StreamSettings::default());
                stack.register(monitor, wish(Kind::NewData, Hook::PostTcp, number)).unwrap();
            }
        },
        ..Bench::default()
    };
    bench.expect(
        &two_flows(),
        &[
            "START client",
            "h2 NEW_DATA client 0+3 one",
            "h1 #1 NEW_DATA client 0+3 two",
            "h2 #1 NEW_DATA client 0+3 two",
        ],
    );
}

#[test]
fn what_nobody_watches_is_counted_only() {
    let bench = Bench { scope: "port 443", kinds: &[Kind::ConnStart, Kind::Orphan], ..Bench::default() };
    let (result, records) = bench.run(&two_flows().frames);
    assert_eq!(result.lines, ["START client"]);
    assert_eq!((records.len(), result.statistics.unwatched), (1, 1));
    assert_eq!(result.statistics.tcp, 8);
}

#[test]
fn a_closed_socket_is_told_nothing_more() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        if upcall.event.kind == Kind::NewData {
            stack.close(MonitorId(0));
            let late = stack.register(MonitorId(0), wish(Kind::NewData, Hook::PostTcp, 1));
            assert!(late.is_err());
        }
    };
    let mut talk = two_flows();
    talk.say(Client, b"more");
    let bench = Bench { act: &act, kinds: &[Kind::NewData, Kind::ConnEnd], ..Bench::default() };
    bench.expect(&talk, &["NEW_DATA client 0+3 one"]);
}

#[test]
fn a_flow_gets_registrations_of_its_own() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        let flow = upcall.flow.unwrap();
        if upcall.event.kind == Kind::ConnStart && flow.number == 1 {
            stack.register_flow(flow, wish(Kind::NewData, Hook::PostTcp, 5)).unwrap().unwrap();
            let early = wish(Kind::NewData, Hook::PreTcp, 5);
            assert!(stack.register_flow(flow, early).unwrap().is_err());
        }
    };
    let bench = Bench { act: &act, kinds: &[Kind::ConnStart], ..Bench::default() };
    bench.expect(&two_flows(), &["START client", "#1 START client", "h5 #1 NEW_DATA client 0+3 two"]);
}

#[test]
fn a_registration_made_in_a_handler_holds_from_the_next_event_on() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        if matches!(upcall.call, Call::Handler(HandlerId(0))) && upcall.event.kind == Kind::ConnStart {
            stack.register(MonitorId(0), wish(Kind::ConnSetup, Hook::PostTcp, 3)).unwrap();
        }
    };
    let mut talk = Talk::opened();
    talk.port(4001).open();
    Bench { act: &act, kinds: &[Kind::ConnStart], ..Bench::default() }.expect(
        &talk,
        &["START client", "h3 SETUP client", "#1 START client", "h3 #1 SETUP client", "h3 #1 SETUP client"],
    );
}

#[test]
fn filters_of_the_application_are_asked_in_order() {
    let bench = Bench {
        kinds: &[],
        prepare: &|stack, monitor| {
            let parent = Some(Kind::NewData.into());
            let (no, yes) =
                (stack.define(parent, Filter::External(0)), stack.define(parent, Filter::External(1)));
            let data = Expr::contains(Field::Data, b"n").unwrap();
            let below = stack.define(Some(yes), Filter::Expr(Arc::new(data)));
            for (event, handler) in [(no, 1), (yes, 2), (below, 3), (Kind::NewData.into(), 4)] {
                stack
                    .register(monitor, Registration { event, ..wish(Kind::NewData, Hook::PostTcp, handler) })
                    .unwrap();
            }
        },
        ..Bench::default()
    };
    let mut talk = Talk::opened();
    talk.say(Client, b"yes").say(Client, b"no");
    bench.expect(
        &talk,
        &[
            "h4 NEW_DATA client 0+3 yes",
            "filter 0? NEW_DATA client 0+3 yes",
            "filter 1? NEW_DATA client 0+3 yes",
            "h2 NEW_DATA client 0+3 yes",
            "h4 NEW_DATA client 3+2 no",
            "filter 0? NEW_DATA client 3+2 no",
            "filter 1? NEW_DATA client 3+2 no",
            "h2 NEW_DATA client 3+2 no",
            "h3 NEW_DATA client 3+2 no",
        ],
    );
}

#[test]
fn the_application_raises_its_own_events() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        if upcall.event.kind == Kind::ConnSetup {
            // Defined again: the same events as below.
            let syn = Expr::flag(Field::Syn).unwrap();
            let event = stack.define(Some(Kind::PktIn.into()), Filter::Expr(Arc::new(syn)));
            stack.raise(upcall.flow.unwrap(), event).unwrap();
            lines.push("  raised".into());
        }
    };
    let bench = Bench {
        act: &act,
        kinds: &[Kind::ConnSetup],
        prepare: &|stack, monitor| {
            let syn = Expr::flag(Field::Syn).unwrap();
            let event = stack.define(Some(Kind::PktIn.into()), Filter::Expr(Arc::new(syn)));
            stack.register(monitor, Registration { event, ..wish(Kind::PktIn, Hook::PostTcp, 1) }).unwrap();
        },
        ..Bench::default()
    };
    bench.expect(
        &Talk::opened(),
        &["h1 PKT_IN client", "h1 PKT_IN server", "SETUP client", "  raised", "h1 USER client"],
    );
}

#[test]
fn raw_sockets_see_every_packet() {
    let bench = Bench {
        kinds: &[Kind::ConnStart],
        prepare: &|stack, _| {
            let monitor =
                stack.open(MonitorKind::Raw, Scope::parse("tcp").unwrap(), StreamSettings::default());
            stack.register(monitor, wish(Kind::PktIn, Hook::PostTcp, 1)).unwrap();
            stack.register(monitor, wish(Kind::Orphan, Hook::PostTcp, 2)).unwrap();
        },
        ..Bench::default()
    };
    let mut talk = Talk::new();
    talk.ack(Client).send(Client, SYN, 1000, 0, b"");
    talk.frames.push(Frame::from((talk.now, vec![0; 60], crate::port::LinkType::Ethernet)));
    bench.expect(&talk, &["h1 PKT_IN client", "h2 ORPHAN client", "h1 PKT_IN client", "START client"]);
}

#[test]
fn wrong_checksums_are_verified_ignored_or_put_down_to_offload() {
    let kinds = &[Kind::NewData, Kind::Anomaly];
    let run = |checksums, talk: &Talk| {
        let mut bench = Bench { kinds, ..Bench::default() };
        bench.config.checksums = checksums;
        bench.run(&talk.frames).0.lines
    };
    // One wrong among right ones.
    let mut talk = Talk::opened();
    let [c, s] = talk.next;
    talk.send_with(Client, talk::ACK, c, s, b"bad", talk::bad_checksum).say(Client, b"good");
    let rejected = ["ANOMALY client bad_checksum", "NEW_DATA client 0+4 good"];
    assert_eq!(run(ChecksumPolicy::Verify, &talk), rejected);
    assert_eq!(run(ChecksumPolicy::Auto, &talk), rejected);
    assert_eq!(run(ChecksumPolicy::Ignore, &talk), ["NEW_DATA client 0+3 bad", "NEW_DATA client 3+1 d"]);
    // A client whose checksums are all left to its hardware, and a server whose are right but for one.
    for build in [talk::bad_checksum as Build, talk::partial_checksum] {
        let mut talk = Talk::new();
        talk.send_with(Client, SYN, 1000, 0, b"", build).send(Server, talk::SYN_ACK, 5000, 1001, b"");
        talk.send_with(Client, talk::ACK, 1001, 5001, b"offload", build);
        talk.send_with(Server, talk::ACK, 5001, 1008, b"broken", talk::bad_checksum);
        talk.send(Server, talk::ACK, 5001, 1008, b"well");
        assert_eq!(
            run(ChecksumPolicy::Auto, &talk),
            ["NEW_DATA client 0+7 offload", "ANOMALY server bad_checksum", "NEW_DATA server 0+4 well",]
        );
        assert!(
            run(ChecksumPolicy::Verify, &talk).iter().filter(|line| line.contains("client bad")).count() == 2
        );
    }
    // What the port knows is believed.
    let mut talk = Talk::opened();
    talk.send_with(Client, talk::ACK, c, s, b"known", talk::bad_checksum);
    talk.frames.last_mut().unwrap().checksum = crate::port::ChecksumState::Verified;
    assert_eq!(run(ChecksumPolicy::Verify, &talk), ["NEW_DATA client 0+5 known"]);
}

#[test]
fn a_broken_retransmission_is_none() {
    let mut talk = Talk::opened();
    let [c, s] = talk.next;
    talk.say(Client, b"one").send_with(Client, talk::ACK, c, s, b"one", talk::bad_checksum);
    // The IP header's checksum is wrong, but not that of TCP.
    talk.again(Client, -3, b"one");
    talk.frames.last_mut().unwrap().bytes[24] ^= 1;
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+3 one",
            "ANOMALY client bad_checksum",
            "ANOMALY client bad_ip_checksum",
            "END end",
        ],
    );
    assert_eq!(records[0].sides[0].rexmits.total(), 0);
}

#[test]
fn counters_and_batches_need_no_upcall() {
    let mut talk = two_flows();
    talk.say(Client, b"three").say(Server, b"four!").say(Client, b"five").close();
    for burst in [1, 256] {
        let mut stack = Bench { kinds: &[], ..Bench::default() }.open(&talk.frames, burst);
        let packets = stack.add_count(None);
        let bytes = stack.add_count(Some(Field::EventLength));
        let columns = vec![Field::FlowNumber, Field::EventSide, Field::EventLength, Field::Data];
        let batch = stack.add_batch(BatchSpec { columns, size: 0 }, true);
        for (kind, action) in [
            (Kind::PktIn, Action::Count(packets)),
            (Kind::NewData, Action::Count(bytes)),
            (Kind::NewData, Action::Batch(batch)),
        ] {
            stack.register(MonitorId(0), Registration { action, ..wish(kind, Hook::PostTcp, 0) }).unwrap();
        }
        let (mut rows, mut text) = (0, Vec::new());
        loop {
            match stack.step().unwrap() {
                Step::Upcall(_) => panic!("nobody asked to be called"),
                Step::Batch(id, batch) => {
                    assert_eq!(id, crate::event::BatchId(0));
                    rows += batch.num_rows();
                    let lengths = batch.column(2).as_primitive::<UInt64Type>();
                    let data = batch.column(3).as_binary::<i64>();
                    for i in 0..batch.num_rows() {
                        assert_eq!(lengths.value(i), data.value(i).len() as u64);
                        text.extend_from_slice(data.value(i));
                    }
                    assert_eq!(data.null_count(), 0);
                }
                Step::End => break,
                Step::BurstEnd | Step::Idle => {}
            }
        }
        assert_eq!(stack.count(packets).events, talk.frames.len() as u64);
        assert_eq!((stack.count(bytes).events, stack.count(bytes).sum), (5, 20));
        assert_eq!(rows, if burst == 1 { 5 } else { 3 });
        assert_eq!(text.len(), 20);
        assert_eq!(stack.statistics().reassembly, 0, "batches keep nothing unread");
    }
}
