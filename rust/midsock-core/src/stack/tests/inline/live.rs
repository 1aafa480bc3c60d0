//! Time goes on by the clock when no packet comes.

use super::*;
use crate::event::{BatchSpec, Field};
use crate::port;

/// A stack on one live port, with timers of 1 ns and more set before anything came.
fn live() -> (Stack<u32>, Wire) {
    let wire = Wire::default();
    let mut config = Config { seed: Some(1), ..Config::default() };
    config.timeouts.opening = 40 * MS;
    let mut stack = Stack::new(wire.port(), config).unwrap();
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    for kind in [Kind::ConnStart, Kind::ConnEnd] {
        stack.register(monitor, on(kind)).unwrap();
    }
    (stack, wire)
}

/// The steps up to the next one that rests at no upcall.
fn upcalls(stack: &mut Stack<u32>) -> (Vec<Upcall>, Step) {
    let mut upcalls = Vec::new();
    loop {
        match stack.step().unwrap() {
            Step::Upcall(upcall) => upcalls.push(upcall),
            step => return (upcalls, step),
        }
    }
}

#[test]
fn late_timers_fire_in_order_while_no_packet_comes() {
    let (mut stack, _wire) = live();
    let begin = port::now();
    // Some of them within one tick of the wheel.
    for (token, delay) in [(3, 3 * MS), (1, 1000), (2, MS), (0, 10), (5, 30 * MS), (4, 3 * MS + 1)] {
        stack.set_timer(None, delay, Some(HandlerId(7)), token).unwrap();
    }
    let mut tokens = Vec::new();
    let mut idle = 0;
    while tokens.len() < 6 {
        let (fired, step) = upcalls(&mut stack);
        assert!(matches!(step, Step::Idle));
        idle += 1;
        for upcall in fired {
            assert!(matches!(upcall.call, Call::Once(HandlerId(7))));
            let EventDetail::Timer(token) = upcall.event.detail else { panic!("{:?}", upcall.event) };
            assert!(upcall.event.time >= begin);
            tokens.push(token);
        }
        assert!(idle < 100, "{tokens:?}");
    }
    assert_eq!(tokens, [0, 1, 2, 3, 4, 5]);
    let took = port::now() - begin;
    // A timer is waited for, and not some rounder time.
    assert!((30 * MS..SECOND).contains(&took), "{took}");
}

#[test]
fn flows_time_out_while_no_packet_comes() {
    let (mut stack, wire) = live();
    let mut talk = Talk::new();
    talk.now = port::now();
    talk.send(Side::Client, TcpFlags::SYN, 1, 0, b"");
    wire.push(talk.frames);
    let (started, step) = upcalls(&mut stack);
    assert!(matches!(step, Step::BurstEnd));
    assert_eq!(started.len(), 1);
    let mut ended = Vec::new();
    for _ in 0..100 {
        let (upcalls, step) = upcalls(&mut stack);
        assert!(matches!(step, Step::Idle));
        ended.extend(upcalls.into_iter().map(|upcall| upcall.event.detail));
        if !ended.is_empty() {
            break;
        }
    }
    assert_eq!(ended, [EventDetail::End(EndReason::Timeout)]);
    stack.step().unwrap();
    assert_eq!(stack.flow_statistics().open, 0);
}

#[test]
fn a_timer_resets_a_silent_flow_at_once() {
    let (mut stack, wire) = live();
    let mut talk = Talk::new();
    talk.now = port::now();
    talk.send(Side::Client, TcpFlags::SYN, 1, 0, b"");
    wire.push(talk.frames);
    let (started, _) = upcalls(&mut stack);
    stack.set_timer(started[0].flow, MS, Some(HandlerId(1)), 0).unwrap();
    for _ in 0..100 {
        if let Step::Upcall(upcall) = stack.step().unwrap() {
            stack.reset(upcall.flow.unwrap()).unwrap();
            break;
        }
    }
    // The RSTs did not wait for a packet.
    let rsts: Vec<(u32, u32)> =
        wire.take().iter().map(|frame| segment(&frame.bytes)).map(|rst| (rst.seq, rst.ack)).collect();
    assert_eq!(rsts, [(0, 2), (2, 0)]);
}

#[test]
fn rows_of_timers_come_while_no_packet_does() {
    let (client, server) = (Wire::default(), Wire::default());
    let mut stack: Stack<u32> = Stack::inline([client.port(), server.port()], Config::default()).unwrap();
    let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
    stack.register(monitor, on(Kind::ConnStart)).unwrap();
    let batch = stack.add_batch(BatchSpec { columns: vec![Field::EventLength], size: 0 }, false);
    let action = Action::Batch(batch);
    let wish = Registration { event: Kind::Timer.into(), hook: Hook::PostTcp, side: None, action };
    stack.register(monitor, wish).unwrap();
    let mut talk = Talk::new();
    talk.now = port::now();
    talk.send(Side::Client, TcpFlags::SYN, 1, 0, b"");
    client.push(talk.frames.clone());
    let (started, _) = upcalls(&mut stack);
    let flow = started[0].flow.unwrap();
    stack.set_timer(Some(flow), MS, None, 0).unwrap();
    loop {
        match stack.step().unwrap() {
            Step::Batch(id, rows) => {
                assert_eq!((id, rows.num_rows()), (batch, 1));
                stack.batch_verdicts(id, &[Verdict::Reset]).unwrap();
                break;
            }
            step => assert!(matches!(step, Step::Idle)),
        }
    }
    assert!(!stack.is_open(flow));
    // The SYN went to the server, and a RST to each.
    assert_eq!((client.take().len(), server.take().len()), (1, 2));
    client.push(talk.frames);
    let (ends, step) = upcalls(&mut stack);
    assert!(ends.is_empty() && matches!(step, Step::Idle | Step::BurstEnd));
    while stack.inline_statistics().dropped_by_verdict == 0 {
        stack.step().unwrap();
    }
    assert_eq!((client.take().len(), server.take().len()), (1, 0));
}

#[test]
fn recorded_packets_have_no_other_time_than_their_own() {
    let mut stack: Stack<u32> =
        Stack::new(Box::new(MemoryPort::new(Talk::opened().frames)), Config::default()).unwrap();
    stack.set_timer(None, SECOND, Some(HandlerId(0)), 0).unwrap();
    assert!(matches!(stack.step().unwrap(), Step::BurstEnd));
    assert!(matches!(stack.step().unwrap(), Step::BurstEnd));
    assert!(matches!(stack.step().unwrap(), Step::End));
}
