//! What becomes of fragments between two ports.

use super::*;
use crate::Side::{Client, Server};
use crate::defrag::kit;
use crate::event::Value;
use crate::inline::rewrite::HeaderField;

const DATA: [u8; 60] = [b'd'; 60];

/// A conversation of which what the client says comes in fragments, and those.
fn frames() -> ([Vec<Frame>; 2], Vec<Frame>) {
    let mut talk = Talk::opened();
    talk.say(Client, &DATA).ack(Server).close();
    let mut frames = split(&talk);
    let whole = frames[0].remove(2);
    let cut: Vec<Frame> = kit::pieces(&whole.bytes, 9, 32)
        .into_iter()
        .map(|bytes| Frame::from((whole.time, bytes, LinkType::Ethernet)))
        .collect();
    frames[0].splice(2..2, cut.clone());
    (frames, cut)
}

#[test]
fn fragments_pass_as_they_came() {
    let (frames, _) = frames();
    let passed = Inline { wishes: &[on(Kind::NewData)], ..Inline::default() }.run_split(&frames);
    assert_eq!(passed.lines, [format!("NEW_DATA client 0+60 {}", "d".repeat(60))]);
    for port in [0, 1] {
        assert_eq!(bytes(&passed.out[1 - port]), bytes(&frames[port]));
    }
}

#[test]
fn a_verdict_on_the_datagram_is_one_on_the_fragment_that_completed_it() {
    for (verdict, dropped) in [(Verdict::Drop, 1), (Verdict::DropFlow, 2)] {
        let (frames, cut) = frames();
        let rule = move |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
            if stack.data(upcall).starts_with(b"d") {
                stack.verdict(upcall, verdict).unwrap();
            }
        };
        let passed = Inline { wishes: &[on(Kind::NewData)], act: &rule, ..Inline::default() };
        let passed = passed.run_split(&frames);
        let out = bytes(&passed.out[1]);
        assert!(out.contains(&&cut[0].bytes[..]) && out.contains(&&cut[1].bytes[..]));
        assert!(!out.contains(&&cut[2].bytes[..]));
        assert!(passed.statistics.dropped_by_verdict >= dropped);
    }
}

#[test]
fn a_reset_comes_in_place_of_the_last_fragment() {
    let (frames, cut) = frames();
    let rule = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        stack.verdict(upcall, Verdict::Reset).unwrap();
    };
    let passed = Inline { wishes: &[on(Kind::NewData)], act: &rule, ..Inline::default() };
    let passed = passed.run_split(&frames);
    assert_eq!(passed.statistics.resets, 1);
    assert!(!bytes(&passed.out[1]).contains(&&cut[2].bytes[..]));
    let resets = passed.out[1].iter().filter(|frame| frame.bytes.len() == 60 && frame.bytes[47] & 4 != 0);
    // The server has nothing of the datagram.
    let seqs: Vec<u32> = resets.map(|frame| segment(&frame.bytes).seq).collect();
    assert_eq!(seqs[..1], [1001]);
}

#[test]
fn what_came_in_fragments_is_not_changed() {
    let (frames, cut) = frames();
    let change = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        assert_eq!(stack.frame().len(), 14 + 20 + 20 + 60);
        let set = stack.set_field(upcall, HeaderField::IpTtl, Value::Int(9));
        lines.push(set.unwrap_err().to_string());
        lines.push(stack.replace(upcall, 0..1, b"x").unwrap_err().to_string());
        assert!(stack.packet_mut(upcall).is_none());
    };
    let passed = Inline { wishes: &[on(Kind::NewData)], act: &change, ..Inline::default() };
    let passed = passed.run_split(&frames);
    assert_eq!(passed.lines.iter().filter(|line| line.contains("came in fragments")).count(), 2);
    assert!(bytes(&passed.out[1]).contains(&&cut[2].bytes[..]));
}

#[test]
fn a_flow_whose_packets_are_changed_takes_no_fragments() {
    let (frames, cut) = frames();
    let outside = "203.0.113.9:5000".parse().unwrap();
    for kind in [Kind::ConnStart, Kind::NewData] {
        let translate = move |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
            stack.translate(upcall.flow.unwrap(), Client, outside).unwrap();
        };
        let wishes = &[on(kind)];
        let passed = Inline { wishes, act: &translate, ..Inline::default() }.run_split(&frames);
        let out = bytes(&passed.out[1]);
        assert!(out.contains(&&cut[1].bytes[..]) && !out.contains(&&cut[2].bytes[..]), "{kind:?}");
    }
}
