//! Time-outs, room, stopping and timers.

use super::talk::SYN;
use super::*;
use crate::Side::{Client, Server};
use crate::config::FullPolicy;
use crate::event::HandlerId;

const ENDS: &[Kind] = &[Kind::ConnEnd];

#[test]
fn idle_flows_end_though_others_stay_busy() {
    let mut talk = Talk::new();
    // 1 never gets past its SYN, 2 is established, 3 is closing.
    talk.port(1).send(Client, SYN, 1000, 0, b"");
    talk.port(2).open();
    talk.port(3).open().fin(Client).ack(Server);
    talk.port(4).open();
    for _ in 0..4200 {
        talk.wait(SECOND).say(Client, b".");
    }
    let (result, records) = Bench { kinds: ENDS, ..Bench::default() }.run(&talk.frames);
    assert_eq!(result.lines, ["END timeout", "#2 END timeout", "#1 END timeout", "#3 END end"]);
    assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [0, 2, 1, 3]);
}

#[test]
fn a_flow_times_out_by_the_state_it_is_in() {
    for (ends_at, prepare) in [
        (
            120,
            &(|talk: &mut Talk| {
                talk.send(Client, SYN, 1000, 0, b"");
            }) as &dyn Fn(&mut Talk),
        ),
        (3600, &|talk: &mut Talk| {
            talk.open();
        }),
        (600, &|talk: &mut Talk| {
            talk.open().fin(Client);
        }),
        // It was established for longer than the time-out of the handshake before it began to close.
        (600, &|talk: &mut Talk| {
            talk.open().wait(500 * SECOND).fin(Client);
        }),
        (600, &|talk: &mut Talk| {
            talk.open().wait(3000 * SECOND).fin(Server);
        }),
    ] {
        let mut talk = Talk::new();
        prepare(&mut talk);
        let last = talk.now;
        talk.port(9);
        for second in [ends_at - 1, ends_at + 1] {
            talk.now = last + second * SECOND;
            talk.send(Client, SYN, second as u32, 0, b"").reset(Server);
        }
        let act = |_: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
            lines.push(format!("  {}", (upcall.event.time - last) / SECOND));
        };
        let (result, _) = Bench { kinds: ENDS, act: &act, ..Bench::default() }.run(&talk.frames);
        let at = result.lines.iter().position(|line| line == "END timeout").unwrap();
        assert_eq!(result.lines[at + 1], format!("  {}", ends_at + 1));
    }
}

#[test]
fn a_full_table_ignores_new_flows() {
    let mut bench = Bench { kinds: &[Kind::ConnStart, Kind::ConnEnd], ..Bench::default() };
    (bench.config.max_flows, bench.config.full) = (2, FullPolicy::Ignore);
    let mut talk = Talk::new();
    for port in 1..=4 {
        talk.port(port).send(Client, SYN, 1000, 0, b"");
    }
    let (result, _) = bench.run(&talk.frames);
    assert_eq!(result.lines, ["START client", "#1 START client", "END end", "#1 END end"]);
    assert_eq!((result.statistics.ignored, result.statistics.evicted), (2, 0));
}

#[test]
fn a_flood_of_syns_evicts_no_established_flow() {
    let mut bench = Bench { kinds: &[Kind::ConnEnd], ..Bench::default() };
    bench.config.max_flows = 40;
    let mut talk = Talk::new();
    for port in 1..=20 {
        talk.port(port).open();
    }
    for port in 100..1100 {
        talk.port(port).send(Client, SYN, 1000, 0, b"");
    }
    for port in 1..=20 {
        talk.port(port).next = [1001, 5001];
        talk.say(Client, b"still here").close();
    }
    let (result, records) = bench.run(&talk.frames);
    assert_eq!(result.statistics.evicted, 980);
    assert_eq!(records.len(), 1020);
    assert_eq!(records.iter().filter(|record| record.sides[0].bytes == 10).count(), 20);
    assert!(
        records
            .iter()
            .filter(|record| record.number < 20)
            .all(|record| record.reason == Some(crate::flow::EndReason::Closed))
    );
}

#[test]
fn with_established_flows_only_new_ones_are_ignored_until_some_are_idle() {
    let mut bench = Bench { kinds: &[Kind::ConnStart, Kind::ConnEnd], ..Bench::default() };
    bench.config.max_flows = 2;
    let mut talk = Talk::new();
    talk.port(1).open().port(2).open().port(3).send(Client, SYN, 1, 0, b"");
    talk.wait(61 * SECOND).port(4).send(Client, SYN, 1, 0, b"");
    let (result, _) = bench.run(&talk.frames);
    assert_eq!(
        result.lines,
        ["START client", "#1 START client", "END evicted", "#2 START client", "#1 END end", "#2 END end",]
    );
    assert_eq!((result.statistics.ignored, result.statistics.evicted), (1, 1));
}

#[test]
fn flows_that_ended_make_room_first() {
    let mut bench = Bench { kinds: &[Kind::ConnEnd], ..Bench::default() };
    bench.config.max_flows = 3;
    let mut talk = Talk::new();
    for port in 1..=50 {
        talk.port(port).open();
        if port > 2 {
            talk.close();
        }
    }
    let (result, records) = bench.run(&talk.frames);
    assert_eq!(result.statistics.ignored, 0);
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (2..50).chain([0, 1]).collect::<Vec<u64>>());
}

#[test]
fn a_stopped_flow_is_told_of_once_and_then_only_passes() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        if upcall.event.kind == Kind::NewData {
            let flow = upcall.flow.unwrap();
            stack.stop(flow).unwrap();
            stack.stop(flow).unwrap();
            assert!(!stack.is_open(flow));
            lines.push("  stopped".into());
        }
    };
    let bench = Bench {
        act: &act,
        prepare: &|stack, monitor| {
            stack.register(monitor, wish(Kind::NewData, Hook::PostTcp, 1)).unwrap();
        },
        ..Bench::default()
    };
    let mut talk = Talk::opened();
    talk.again(Client, 3, b"held").say(Client, b"one").say(Client, b"two").ack(Server).close();
    let records = bench.expect(
        &talk,
        &["START client", "SETUP client", "NEW_DATA client 0+7 oneheld", "  stopped", "END stopped"],
    );
    assert_eq!(records[0].sides[0].packets, 7, "what passes is still counted");
    // The tuple may be used again.
    talk.next = [70_000, 80_000];
    talk.open();
    let (result, _) = bench.run(&talk.frames);
    assert_eq!(&result.lines[5..], ["#1 START client", "#1 SETUP client", "#1 END end"]);
}

#[test]
fn a_flow_may_be_stopped_at_any_event() {
    for hook in Hook::ALL {
        for kind in Kind::ALL {
            if !kind.hooks().contains(&hook) || matches!(kind, Kind::User | Kind::Orphan | Kind::Timer) {
                continue;
            }
            let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
                stack.stop(upcall.flow.unwrap()).unwrap();
            };
            let bench = Bench {
                act: &act,
                kinds: &[],
                prepare: &|stack, monitor| {
                    stack.register(monitor, wish(kind, hook, 0)).unwrap();
                    stack.register(monitor, wish(kind, hook, 1)).unwrap();
                },
                ..Bench::default()
            };
            let mut talk = Talk::opened();
            talk.say(Client, b"a").again(Client, -1, b"a").skip(Client, 3).say(Client, b"b").ack(Server);
            talk.wait(SECOND).skip(Client, 1).ack(Server).close();
            let (result, records) = bench.run(&talk.frames);
            // An end is told to all who want it.
            let expected = if kind == Kind::ConnEnd { 2 } else { 1 };
            assert_eq!(result.lines.len(), expected, "{} {:?}", kind.name(), result.lines);
            assert_eq!(records.len(), 1);
        }
    }
}

#[test]
fn timers_fire_once_their_time_is_past() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        let flow = upcall.flow;
        match upcall.event.kind {
            Kind::ConnSetup => {
                stack.set_timer(flow, 5 * SECOND, None, 1).unwrap();
                stack.set_timer(flow, 3 * SECOND, Some(HandlerId(4)), 2).unwrap();
                stack.set_timer(None, 4 * SECOND, Some(HandlerId(5)), 3).unwrap();
                let taken_back = stack.set_timer(flow, SECOND, Some(HandlerId(6)), 4).unwrap();
                assert!(stack.cancel_timer(taken_back));
                assert!(!stack.cancel_timer(taken_back));
                stack.set_timer(flow, 500 * SECOND, Some(HandlerId(7)), 5).unwrap();
                stack.set_timer(flow, -SECOND, Some(HandlerId(8)), 6).unwrap();
            }
            Kind::Timer => {
                let seq = stack.field(upcall, crate::event::Field::Seq, |value| value.is_some());
                assert!(!seq, "no packet belongs to a timer");
                if lines.last().is_some_and(|line| line == "h4 TIMER 2") {
                    stack.set_timer(flow, SECOND, Some(HandlerId(9)), 7).unwrap();
                }
            }
            _ => lines.push(format!("  at {}", (upcall.event.time / SECOND) % 100)),
        }
    };
    let mut talk = Talk::opened();
    for _ in 0..8 {
        talk.wait(SECOND).ack(Client);
    }
    talk.close().wait(1000 * SECOND).port(9).send(Client, SYN, 1, 0, b"");
    Bench { act: &act, kinds: &[Kind::ConnSetup, Kind::Timer], ..Bench::default() }.expect(
        &talk,
        &[
            "SETUP client",
            "TIMER 6",
            "h8 TIMER 6",
            "TIMER 2",
            "h4 TIMER 2",
            "h5 TIMER 3",
            "TIMER 7",
            "h9 TIMER 7",
            "TIMER 1",
        ],
    );
}

#[test]
fn a_timer_set_before_the_first_packet_counts_from_that() {
    let mut talk = Talk::opened();
    talk.wait(SECOND).ack(Client).wait(SECOND).ack(Client).wait(SECOND).ack(Client);
    let act = |_: &mut Stack<u32>, _: &Upcall, _: &mut Vec<String>| {};
    let start = talk.frames[0].time;
    let prepare = |stack: &mut Stack<u32>, _: MonitorId| {
        stack.set_timer(None, 2 * SECOND, Some(HandlerId(1)), 1).unwrap();
        let gone = stack.set_timer(None, SECOND, Some(HandlerId(2)), 2).unwrap();
        assert!(stack.cancel_timer(gone));
    };
    let mut stack =
        Bench { act: &act, kinds: &[], prepare: &prepare, ..Bench::default() }.open(&talk.frames, 1);
    let mut fired = Vec::new();
    loop {
        match stack.step().unwrap() {
            Step::Upcall(upcall) => fired.push((upcall.event.time - start) / SECOND),
            Step::End => break,
            _ => {}
        }
    }
    assert_eq!(fired, [2]);
}

#[test]
fn what_the_application_keeps_with_a_flow_comes_back() {
    let mut talk = Talk::opened();
    talk.close();
    let mut stack = Bench { kinds: &[Kind::ConnStart], ..Bench::default() }.open(&talk.frames, 256);
    let (mut released, mut flow) = (Vec::new(), None);
    loop {
        match stack.step().unwrap() {
            Step::Upcall(upcall) => {
                flow = upcall.flow;
                let flow = flow.unwrap();
                assert_eq!(stack.user(flow).unwrap(), None);
                assert_eq!(stack.set_user(flow, Some(1)).unwrap(), None);
                assert_eq!(stack.set_user(flow, Some(2)).unwrap(), Some(1));
                assert_eq!(stack.user(flow).unwrap(), Some(&2));
            }
            Step::End => break,
            _ => released.extend(stack.take_released()),
        }
    }
    assert_eq!(released.iter().map(|(record, user)| (record.number, *user)).collect::<Vec<_>>(), [(0, 2)]);
    let flow = flow.unwrap();
    assert_eq!(stack.user(flow), Err(NoFlow));
    assert!(stack.record(flow).is_err() && stack.stop(flow).is_err() && !stack.is_open(flow));
    assert!(stack.read(flow, Client, 1, <[u8]>::len).is_err());
    assert!(stack.set_timer(Some(flow), 1, None, 0).is_err());
    assert!(matches!(stack.step().unwrap(), Step::End), "the end stays the end");
}
