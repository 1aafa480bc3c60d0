//! Verdicts on packets, and on the rest of a flow.

use super::super::talk::{ACK, SYN};
use super::*;
use crate::Side::{Client, Server};

/// The payloads among frames.
fn payloads(frames: &[Frame]) -> Vec<String> {
    let payload =
        |frame: &Frame| String::from_utf8_lossy(segment(&frame.bytes).payload(&frame.bytes)).into_owned();
    frames.iter().map(payload).filter(|payload| !payload.is_empty()).collect()
}

/// Gives a verdict by what a packet says.
fn by_data(stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>) {
    let verdict = match stack.data(upcall) {
        b"drop" => Verdict::Drop,
        b"drop flow" => Verdict::DropFlow,
        b"reset" => Verdict::Reset,
        _ => return,
    };
    stack.verdict(upcall, verdict).unwrap();
}

fn run(talk: &Talk) -> Passed {
    Inline { wishes: &[on(Kind::NewData), on(Kind::ConnEnd)], act: &by_data, ..Inline::default() }.run(talk)
}

#[test]
fn one_packet_is_dropped() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"drop").say(Client, b"three").say(Server, b"four").close();
    let all = run(&talk);
    assert_eq!(payloads(&all.out[1]), ["one", "three"]);
    assert_eq!(payloads(&all.out[0]), ["four"]);
    assert_eq!(all.lines.last().unwrap(), "END closed");
    assert_eq!((all.statistics.dropped_by_verdict, all.statistics.forwarded), (1, 9));
}

#[test]
fn the_rest_of_a_flow_is_dropped_in_both_directions() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"drop flow").say(Client, b"three").say(Server, b"four").close();
    talk.port(4001).open().say(Client, b"another");
    let all = run(&talk);
    assert_eq!(payloads(&all.out[1]), ["one", "another"]);
    assert_eq!(all.lines[2], "END stopped");
    // The packet itself, the two behind it and the three that close.
    assert_eq!(all.statistics.dropped_by_verdict, 6);
    assert_eq!(all.records[0], (Some(EndReason::End), 4));
    assert_eq!(all.records[1], (Some(EndReason::Stopped), 10));
}

#[test]
fn the_strongest_verdict_holds() {
    for (verdicts, forwarded, reason) in [
        ([Verdict::Drop, Verdict::Forward], 3, EndReason::End),
        ([Verdict::Forward, Verdict::DropFlow], 3, EndReason::Stopped),
        ([Verdict::Reset, Verdict::DropFlow], 3, EndReason::Reset),
        ([Verdict::DropFlow, Verdict::Reset], 3, EndReason::Reset),
        ([Verdict::Forward, Verdict::Forward], 4, EndReason::End),
    ] {
        let mut talk = Talk::opened();
        talk.say(Client, b"data");
        let wishes = [wish(Kind::NewData, Hook::PostTcp, 0), wish(Kind::PktIn, Hook::PostTcp, 1)];
        let act: Act<'_> = &|stack, upcall, _| {
            let Call::Handler(HandlerId(handler)) = upcall.call else { return };
            if upcall.event.kind == Kind::NewData || !payload_at_hand(stack).is_empty() {
                stack.verdict(upcall, verdicts[handler as usize]).unwrap();
            }
        };
        let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
        // Both handlers were called.
        assert_eq!(all.lines.iter().filter(|line| line.starts_with("h1")).count(), 4);
        assert_eq!((all.statistics.forwarded, all.records[0].0), (forwarded, Some(reason)), "{verdicts:?}");
    }
}

#[test]
fn a_handler_before_the_update_can_drop_too() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    for hook in [Hook::PreTcp, Hook::PostSnd, Hook::PostTcp] {
        let act: Act<'_> = &|stack, upcall, _| {
            if !payload_at_hand(stack).is_empty() {
                stack.verdict(upcall, Verdict::Drop).unwrap();
            }
        };
        let all = Inline { wishes: &[wish(Kind::PktIn, hook, 0)], act, ..Inline::default() }.run(&talk);
        assert!(payloads(&all.out[1]).is_empty());
        assert_eq!(all.statistics.forwarded, 3);
    }
}

#[test]
fn a_syn_does_not_get_a_dropped_flow_going_again() {
    let mut talk = Talk::opened();
    talk.say(Client, b"drop flow");
    let [c, s] = talk.next;
    talk.send(Client, SYN, 77_000, 0, b"").send(Client, ACK, c, s, b"evades");
    let all = run(&talk);
    assert!(payloads(&all.out[1]).is_empty());
    assert_eq!((all.records.len(), all.statistics.dropped_by_verdict), (1, 3));
}

#[test]
fn a_syn_that_was_dropped_with_its_flow_may_be_tried_anew() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, 1000, 0, b"").send(Client, SYN, 1000, 0, b"").send(Client, SYN, 2000, 0, b"");
    let act: Act<'_> = &|stack, upcall, _| {
        if upcall.flow.is_some_and(|flow| flow.number == 0) {
            stack.verdict(upcall, Verdict::DropFlow).unwrap();
        }
    };
    let all = Inline { wishes: &[on(Kind::ConnStart)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.lines, ["START client", "#1 START client"]);
    assert_eq!((all.out[1].len(), all.statistics.dropped_by_verdict), (1, 2));
}

#[test]
fn another_flows_handler_drops_a_flow() {
    let mut talk = Talk::opened();
    let first = talk.clone();
    talk.port(4001).open().say(Client, b"now");
    talk.ends[0].set_port(4000);
    talk.next = first.next;
    talk.say(Client, b"too late").say(Server, b"this also");
    let flow = std::sync::Mutex::new(None);
    let act: Act<'_> = &|stack, upcall, _| match upcall.event.kind {
        Kind::ConnStart if upcall.flow.unwrap().number == 0 => *flow.lock().unwrap() = upcall.flow,
        Kind::NewData => stack.drop_flow(flow.lock().unwrap().unwrap()).unwrap(),
        _ => {}
    };
    let wishes = [on(Kind::ConnStart), on(Kind::NewData), on(Kind::ConnEnd)];
    let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
    assert_eq!(payloads(&all.out[1]), ["now"]);
    assert!(payloads(&all.out[0]).is_empty());
    assert!(all.lines.contains(&"END stopped".to_owned()), "{:?}", all.lines);
}

#[test]
fn a_stopped_flow_passes_without_a_look() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Server, b"three").close();
    let act: Act<'_> = &|stack, upcall, _| {
        let _ = stack.stop(upcall.flow.unwrap());
    };
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.lines, ["NEW_DATA client 0+3 one"]);
    let [client, server] = split(&talk);
    assert_eq!([&all.out[1], &all.out[0]], [&client, &server]);
    assert_eq!((all.statistics.bypassed, all.statistics.forwarded), (5, 9));
}

#[test]
fn raw_monitoring_sockets_drop_any_packet() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Server, b"two");
    let frames = split(&talk);
    let (mut stack, sent) = between(&frames, 3, Config::default());
    let monitor =
        stack.open(MonitorKind::Raw, Scope::parse("src port 80").unwrap(), StreamSettings::default());
    stack.register(monitor, on(Kind::PktIn)).unwrap();
    let act: Act<'_> = &|stack, upcall, _| {
        assert!(matches!(stack.verdict(upcall, Verdict::DropFlow), Err(InlineError::NoFlow)));
        stack.verdict(upcall, Verdict::Drop).unwrap();
    };
    stack.run(&mut Log { lines: Vec::new(), act }).unwrap();
    assert_eq!((sent[0].len(), sent[1].take()), (0, frames[0].clone()));
}

#[test]
fn verdicts_are_for_the_packet_at_hand() {
    let mut talk = Talk::opened();
    talk.wait(2 * SECOND).port(4001).open().wait(10 * SECOND).port(4002).open();
    let errors = Arc::new(Mutex::new(0));
    let act: Act<'_> = &|stack, upcall, _| {
        let flow = upcall.flow.unwrap();
        match upcall.event.kind {
            Kind::ConnStart if flow.number == 0 => {
                stack.set_timer(Some(flow), SECOND, None, 0).unwrap();
            }
            // A packet of another flow is at hand, and not yet looked at; or none.
            Kind::Timer | Kind::ConnEnd => {
                let refused = stack.verdict(upcall, Verdict::Drop);
                assert!(matches!(refused, Err(InlineError::NoPacket)), "{refused:?}");
                assert!(stack.packet_mut(upcall).is_none());
                *errors.lock().unwrap() += 1;
            }
            _ => {}
        }
    };
    let wishes = [on(Kind::ConnStart), on(Kind::Timer), on(Kind::ConnEnd)];
    let mut config = Config { seed: Some(1), ..Config::default() };
    (config.timeouts.opening, config.timeouts.established) = (5 * SECOND, 5 * SECOND);
    let all = Inline { wishes: &wishes, act, config }.run(&talk);
    let expected = [
        "START client",
        "TIMER 0",
        "#1 START client",
        "END timeout",
        "#1 END timeout",
        "#2 START client",
        "#2 END end",
    ];
    assert_eq!(all.lines, expected);
    assert_eq!((*errors.lock().unwrap(), all.statistics.forwarded), (4 * 4, 9));
}

#[test]
fn the_last_packet_of_a_flow_can_be_dropped_when_its_end_is_told() {
    let mut talk = Talk::opened();
    talk.close();
    let act: Act<'_> = &|stack, upcall, _| stack.verdict(upcall, Verdict::Drop).unwrap();
    let all = Inline { wishes: &[on(Kind::ConnEnd)], act, ..Inline::default() }.run(&talk);
    assert_eq!(all.lines, ["END closed"]);
    assert_eq!((all.out[1].len(), all.statistics.dropped_by_verdict), (3, 1));
}

#[test]
fn a_stack_with_one_port_can_drop_nothing() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one");
    let act: Act<'_> = &|stack, upcall, _| {
        stack.verdict(upcall, Verdict::Forward).unwrap();
        assert!(matches!(stack.verdict(upcall, Verdict::Drop), Err(InlineError::Passive)));
        assert!(matches!(stack.verdict(upcall, Verdict::DropFlow), Err(InlineError::Passive)));
        assert!(matches!(stack.drop_flow(upcall.flow.unwrap()), Err(InlineError::Passive)));
    };
    let (result, _) = Bench { kinds: &[Kind::NewData], act, ..Bench::default() }.run(&talk.frames);
    assert_eq!(result.lines.len(), 1);
}

#[test]
fn made_frames_go_out_where_they_were_made() {
    let mut talk = Talk::opened();
    talk.say(Client, b"one").say(Client, b"two").say(Server, b"three");
    let act: Act<'_> = &|stack, upcall, _| {
        let data = stack.data(upcall).to_vec();
        stack.inject_frame(1, &[b"made for 1, behind ", &data[..]].concat()).unwrap();
        stack.inject_frame(0, &[b"made for 0, behind ", &data[..]].concat()).unwrap();
        assert!(matches!(stack.inject_frame(2, b"x"), Err(InlineError::NoPort(2))));
        assert!(matches!(stack.inject_frame(0, b""), Err(InlineError::EmptyFrame)));
    };
    let all = Inline { wishes: &[on(Kind::NewData)], act, ..Inline::default() }.run(&talk);
    let [client, server] = split(&talk);
    let made = |text: &'static str| text.as_bytes();
    let expected = [
        vec![
            &server[0].bytes[..],
            made("made for 0, behind one"),
            made("made for 0, behind two"),
            &server[1].bytes,
            made("made for 0, behind three"),
        ],
        vec![
            &client[0].bytes,
            &client[1].bytes,
            &client[2].bytes,
            made("made for 1, behind one"),
            &client[3].bytes,
            made("made for 1, behind two"),
            made("made for 1, behind three"),
        ],
    ];
    assert_eq!([bytes(&all.out[0]), bytes(&all.out[1])], expected);
    assert_eq!(all.statistics.injected, 6);
}

#[test]
fn frames_made_between_bursts_go_out_at_once() {
    let (mut stack, sent) = between(&[Vec::new(), Vec::new()], 1, Config::default());
    stack.inject_frame(1, b"hello").unwrap();
    assert_eq!(bytes(&sent[1].take()), [b"hello"]);
    let mut stack: Stack<u32> = Stack::new(Wire::default().port(), Config::default()).unwrap();
    stack.inject_frame(0, b"hello").unwrap();
    assert_eq!(stack.inline_statistics().injected, 1);
}
