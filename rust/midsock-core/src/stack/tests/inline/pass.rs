//! What nobody touches passes as it came.

use proptest::prelude::*;

use super::super::talk::{ACK, Build, FIN_ACK, RST_ACK, SYN, bad_checksum};
use super::*;
use crate::Side::{Client, Server};
use crate::wire::TcpFrame;

/// A packet of some sort between two of a few ends; which sort, and what is in it.
fn packet(sort: u8, ends: (u16, u16), seq: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let source = std::net::SocketAddr::from(([192, 0, 2, (ends.0 % 3) as u8 + 1], 1000 + ends.0 % 3));
    let destination = std::net::SocketAddr::from(([198, 51, 100, 1], 2000 + ends.1 % 2));
    let tcp = TcpFrame::new(source, destination).seq(seq).flags(TcpFlags(flags & 0x1ff)).payload(body);
    let mut frame = tcp.build();
    match sort {
        0..=4 => frame,
        5 => tcp.bad_checksum().build(),
        6 => tcp.vlan(&[7, 4090]).padding(body.len() % 9).build(),
        // UDP.
        7 => {
            frame[23] = 17;
            frame
        }
        // A fragment.
        8 => {
            frame[20] = 0x20;
            frame[21] = body.len() as u8;
            frame
        }
        // ARP.
        9 => {
            frame[12..14].copy_from_slice(&[8, 6]);
            frame
        }
        // A runt, and garbage.
        10 => frame[..body.len().min(frame.len()).max(1)].to_vec(),
        _ => [&[0xa5], body].concat(),
    }
}

fn packets() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let one =
        (0..12_u8, any::<(u16, u16)>(), 0..64_u32, any::<u16>(), prop::collection::vec(any::<u8>(), 0..40));
    let one = one.prop_map(|(sort, ends, seq, flags, body)| packet(sort, ends, seq, flags, &body));
    prop::collection::vec((0..2_u8, one), 0..120)
}

fn frame(time: usize, bytes: Vec<u8>) -> Frame {
    Frame::from((time as Nanos * MS, bytes, LinkType::Ethernet))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_come_out_as_they_came(packets in packets(), midstream in any::<bool>()) {
        let mut frames = [Vec::new(), Vec::new()];
        for (time, (port, bytes)) in packets.into_iter().enumerate() {
            frames[usize::from(port)].push(frame(time, bytes));
        }
        let config = Config { seed: Some(1), midstream, ..Config::default() };
        let wishes = [on(Kind::PktIn), on(Kind::NewData), on(Kind::Anomaly), on(Kind::ConnEnd)];
        let all = Inline { config, wishes: &wishes, ..Inline::default() }.run_split(&frames);
        prop_assert_eq!(&all.out[1], &frames[0]);
        prop_assert_eq!(&all.out[0], &frames[1]);
        let forwarded = (frames[0].len() + frames[1].len()) as u64;
        prop_assert_eq!(all.statistics, InlineStatistics { forwarded, ..InlineStatistics::default() });
    }
}

/// Does something that depends on the frame at hand alone.
fn do_anything(stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>) {
    let frame = stack.frame();
    let choice = frame
        .iter()
        .fold(upcall.event.kind as u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let verdict = Verdict::ALL[choice as usize / 16 % 4];
    let flow = upcall.flow;
    match choice % 16 {
        0..=4 => drop(stack.verdict(upcall, verdict)),
        5 => drop(flow.map(|flow| stack.reset(flow))),
        6 => drop(flow.map(|flow| stack.drop_flow(flow))),
        7 => drop(flow.map(|flow| stack.stop(flow))),
        8 => drop(stack.inject_frame(choice as usize / 16 % 3, &[0; 70])),
        9 => stack.handler_failed(upcall),
        10 => drop(stack.set_timer(flow, Nanos::from(choice % 50) * MS, Some(HandlerId(3)), 1)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_packets_does_not_depend_on_bursts(
        packets in packets(),
        midstream in any::<bool>(),
        on_failure in prop_oneof![Just(FailurePolicy::Open), Just(FailurePolicy::Closed)],
    ) {
        let count = packets.len() as u64;
        let mut frames = [Vec::new(), Vec::new()];
        for (time, (port, bytes)) in packets.into_iter().enumerate() {
            frames[usize::from(port)].push(frame(time, bytes));
        }
        let config = Config { seed: Some(1), midstream, on_failure, records: true, ..Config::default() };
        let mut wishes = vec![wish(Kind::PktIn, Hook::PreTcp, 1), wish(Kind::PktIn, Hook::PostSnd, 2)];
        wishes.extend([Kind::PktIn, Kind::NewData, Kind::Anomaly, Kind::ConnEnd, Kind::Orphan].map(on));
        let all = Inline { config, wishes: &wishes, act: &do_anything }.run_split(&frames);
        prop_assert_eq!(all.statistics.forwarded + all.statistics.dropped_by_verdict, count);
    }
}

#[test]
fn a_conversation_is_followed_across_both_ports() {
    let mut talk = Talk::opened();
    talk.say(Client, b"question").say(Server, b"answer").close();
    let wishes = [on(Kind::ConnSetup), on(Kind::NewData), on(Kind::ConnEnd)];
    let act: Act<'_> = &read_all;
    let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
    assert_eq!(
        all.lines,
        ["SETUP client", "NEW_DATA client 0+8 question", "NEW_DATA server 0+6 answer", "END closed"]
    );
    let [client, server] = split(&talk);
    assert_eq!([&all.out[1], &all.out[0]], [&client, &server]);
}

#[test]
fn what_the_stack_rejects_passes_all_the_same() {
    let mut talk = Talk::opened();
    let [c, s] = talk.next;
    let build: Build = bad_checksum;
    talk.send_with(Client, ACK, c, s, b"damaged", build);
    talk.send(Client, ACK, c.wrapping_add(1 << 29), s, b"far away");
    talk.send(Server, RST_ACK, s.wrapping_add(77), c, b"");
    talk.send(Server, SYN, 1, 0, b"");
    talk.send(Client, FIN_ACK, c.wrapping_sub(70_000), s, b"");
    let all = Inline { wishes: &[on(Kind::Anomaly)], ..Inline::default() }.run(&talk);
    assert_eq!(all.lines.len(), 5, "{:?}", all.lines);
    let [client, server] = split(&talk);
    assert_eq!([&all.out[1], &all.out[0]], [&client, &server]);
}

#[test]
fn a_packet_that_was_cut_cannot_be_forwarded() {
    let mut talk = Talk::opened();
    talk.say(Client, b"whole").say(Client, b"in part").cut(3).say(Client, b"whole again");
    let all = Inline::default().run(&talk);
    let statistics = InlineStatistics { forwarded: 5, failures: 1, ..InlineStatistics::default() };
    assert_eq!(all.statistics, statistics);
    assert!(all.out[1].iter().all(|frame| !frame.bytes.ends_with(b"in p")));
}

#[test]
fn a_port_at_its_end_does_not_stop_the_other() {
    let mut talk = Talk::opened();
    talk.say(Client, b"nobody listens");
    let mut frames = split(&talk);
    frames[1].clear();
    let all = Inline { config: Config { midstream: true, ..Config::default() }, ..Inline::default() }
        .run_split(&frames);
    assert_eq!(all.out[1], frames[0]);
    assert_eq!(all.statistics.forwarded, 3);
}

#[test]
fn packets_of_live_ports_take_turns_and_an_ended_port_does_not_stop_a_live_one() {
    let talk = Talk::opened();
    let [client, server] = split(&talk);
    let recorded = MemoryPort::new(server).with_burst(1);
    let (live, sent) = (Wire::default(), recorded.sent());
    live.push(client.clone());
    let mut stack: Stack<u32> = Stack::inline([live.port(), Box::new(recorded)], Config::default()).unwrap();
    for _ in 0..2 {
        assert!(matches!(stack.step().unwrap(), Step::BurstEnd));
    }
    assert!(matches!(stack.step().unwrap(), Step::Idle));
    assert_eq!((sent.take(), live.take().len()), (client.clone(), 1));
    live.push(client.clone());
    assert!(matches!(stack.step().unwrap(), Step::BurstEnd));
    assert_eq!(sent.take(), client);
}

#[test]
fn packets_of_an_untouched_flow_may_be_changed_in_place() {
    let mut talk = Talk::opened();
    talk.say(Client, b"secret").close();
    let wishes = [wish(Kind::NewData, Hook::PostTcp, 0), wish(Kind::NewData, Hook::PostTcp, 1)];
    let act: Act<'_> = &|stack, upcall, lines| {
        if let Call::Handler(HandlerId(0)) = upcall.call {
            let frame = stack.packet_mut(upcall).unwrap();
            let start = frame.len() - 6;
            frame[start..].copy_from_slice(b"public");
        }
        lines.push(String::from_utf8_lossy(stack.data(upcall)).into_owned());
    };
    let all = Inline { wishes: &wishes, act, ..Inline::default() }.run(&talk);
    let expected = ["NEW_DATA client 0+6 secret", "public", "h1 NEW_DATA client 0+6 public", "public"];
    assert_eq!(all.lines, expected);
    assert!(all.out[1][2].bytes.ends_with(b"public"));
}
