use super::talk::ACK;
use super::*;
use crate::Side::{Client, Server};
use crate::reassembly::{Gap, Overlap};

fn gaps(record: &FlowRecord) -> [Vec<(u64, u64)>; 2] {
    record.sides.each_ref().map(|side| side.gaps.iter().map(|gap: &Gap| (gap.offset, gap.length)).collect())
}

#[test]
fn bytes_out_of_order_wait_for_those_before_them() {
    let mut talk = Talk::opened();
    talk.again(Client, 5, b"fghij").again(Client, 10, b"klm").say(Client, b"abcde");
    talk.skip(Client, 8).say(Client, b"n");
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+13 abcdefghijklm",
            "NEW_DATA client 13+1 n",
            "END end",
        ],
    );
    assert_eq!(records[0].sides[0].out_of_order, 2);
    assert_eq!(records[0].sides[0].rexmits.total(), 0);
}

#[test]
fn overlap_is_settled_by_the_policy() {
    let mut talk = Talk::opened();
    talk.again(Client, 2, b"cdef").again(Client, 4, b"EFGH").say(Client, b"abCD");
    for (overlap, bytes) in [(Overlap::First, "abcdefGH"), (Overlap::Last, "abCDEFGH")] {
        let settings = StreamSettings { overlap, ..StreamSettings::default() };
        let data = format!("NEW_DATA client 0+8 {bytes}");
        let records = Bench { settings, ..Bench::default() }.expect(
            &talk,
            &[
                "START client",
                "SETUP client",
                "REXMIT client data 2 partial",
                "ANOMALY client different_content 4+2 ef > EF",
                "REXMIT client data 2 partial",
                "ANOMALY client different_content 2+2 cd > CD",
                &data,
                "END end",
            ],
        );
        assert_eq!(anomalies(&records[0]), [("different_content", 2)]);
    }
}

#[test]
fn acknowledged_bytes_that_do_not_turn_up_become_a_gap_with_the_next_packet() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abc").skip(Client, 7).ack(Server);
    // Up to a tenth of a second they might still come.
    talk.wait(50 * MS).say(Client, b"xyz").wait(51 * MS).ack(Server).say(Client, b"!");
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+3 abc",
            "ANOMALY server ack_unseen",
            "GAP client 3+7",
            "NEW_DATA client 10+3 xyz",
            "NEW_DATA client 13+1 !",
            "END end",
        ],
    );
    assert_eq!(gaps(&records[0]), [vec![(3, 7)], vec![]]);
}

#[test]
fn they_become_a_gap_by_time_alone_too() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abc").skip(Client, 7).ack(Server).say(Client, b"xyz").wait(SECOND);
    // Another flow's packet brings the time.
    talk.port(4001).open();
    expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+3 abc",
            "ANOMALY server ack_unseen",
            "GAP client 3+7",
            "NEW_DATA client 10+3 xyz",
            "#1 START client",
            "#1 SETUP client",
            "END end",
            "#1 END end",
        ],
    );
}

#[test]
fn they_are_no_gap_if_they_come_in_time() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abc").skip(Client, 3).ack(Server).say(Client, b"ghi").again(Client, -6, b"def");
    talk.wait(SECOND).ack(Server);
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+3 abc",
            "ANOMALY server ack_unseen",
            "NEW_DATA client 3+6 defghi",
            "END end",
        ],
    );
    assert_eq!(gaps(&records[0]), [vec![], vec![]]);
}

#[test]
fn a_hole_that_was_not_acknowledged_is_kept_open() {
    let mut talk = Talk::opened();
    talk.skip(Client, 3).say(Client, b"def").ack(Server);
    // The first three bytes are acknowledged and missing. The next three are lost on the way, and come again later.
    talk.skip(Client, 3);
    let acked = talk.next[0] - 3;
    talk.say(Client, b"jkl")
        .send(Server, ACK, 5001, acked, b"")
        .wait(SECOND)
        .send(Server, ACK, 5001, acked, b"");
    talk.again(Client, -6, b"ghi");
    expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "GAP client 0+3",
            "NEW_DATA client 3+3 def",
            "NEW_DATA client 6+6 ghijkl",
            "END end",
        ],
    );
}

#[test]
fn what_is_missing_at_the_end_is_a_gap() {
    let mut talk = Talk::opened();
    talk.skip(Client, 3).say(Client, b"def").skip(Server, 2).say(Server, b"xyz").skip(Server, 2).ack(Client);
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "ANOMALY client ack_unseen",
            "GAP client 0+3",
            "NEW_DATA client 3+3 def",
            "GAP server 0+2",
            "NEW_DATA server 2+3 xyz",
            "GAP server 5+2",
            "END end",
        ],
    );
    assert_eq!(gaps(&records[0]), [vec![(0, 3)], vec![(0, 2), (5, 2)]]);
}

#[test]
fn a_fin_behind_a_gap_closes_once_the_gap_is_given_up() {
    let mut talk = Talk::opened();
    talk.skip(Client, 3).fin(Client).fin(Server).ack(Client).wait(SECOND);
    talk.port(4001).open();
    expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "GAP client 0+3",
            "END closed",
            "#1 START client",
            "#1 SETUP client",
            "#1 END end",
        ],
    );
}

#[test]
fn bytes_cut_by_the_capture_are_a_gap_at_once() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abcdef").cut(2).say(Client, b"ghi");
    talk.skip(Client, 2).say(Client, b"lm").cut(1).again(Client, -4, b"jk");
    let records = expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "ANOMALY client truncated",
            "NEW_DATA client 0+4 abcd",
            "GAP client 4+2",
            "NEW_DATA client 6+3 ghi",
            "ANOMALY client truncated",
            "NEW_DATA client 9+3 jkl",
            "GAP client 12+1",
            "END end",
        ],
    );
    assert_eq!(gaps(&records[0])[0], [(4, 2), (12, 1)]);
}

/// Reads as its data says: how much, or `-` for nothing.
fn read_some(stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>) {
    let (Kind::NewData, Some(flow)) = (upcall.event.kind, upcall.flow) else { return };
    let side = upcall.event.side;
    let offset = stack.unread_offset(flow, side).unwrap();
    let unread = stack.unread(flow, side).unwrap().to_vec();
    let limit =
        unread.iter().rev().find(|byte| byte.is_ascii_digit()).map_or(0, |digit| usize::from(digit - b'0'));
    let peeked = stack.peek_at(flow, side, offset + 1, 2).unwrap().to_vec();
    let read = stack.read(flow, side, limit, <[u8]>::to_vec).unwrap();
    let after = stack.unread_offset(flow, side).unwrap();
    assert_eq!(after, offset + read.len() as u64);
    assert_eq!(stack.unread(flow, side).unwrap(), &unread[read.len()..]);
    assert_eq!(stack.peek_at(flow, side, after, usize::MAX).unwrap(), &unread[read.len()..]);
    assert!(stack.peek_at(flow, side, u64::MAX, 1).unwrap().is_empty());
    lines.push(format!(
        "  at {offset}: {} peek {} read {}",
        unread.escape_ascii(),
        peeked.escape_ascii(),
        read.escape_ascii()
    ));
}

#[test]
fn what_is_not_read_is_kept_in_order() {
    let mut talk = Talk::opened();
    talk.say(Client, b"ab-c2").say(Client, b"de-0").say(Client, b"fg-9").say(Client, b"hi-0");
    // Out of order behind what is unread.
    talk.again(Client, 3, b"o-9").say(Client, b"lmn");
    Bench { act: &read_some, ..Bench::default() }.expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+5 ab-c2",
            "  at 0: ab-c2 peek b- read ab",
            "NEW_DATA client 5+4 de-0",
            "  at 2: -c2de-0 peek c2 read ",
            "NEW_DATA client 9+4 fg-9",
            "  at 2: -c2de-0fg-9 peek c2 read -c2de-0fg",
            "NEW_DATA client 13+4 hi-0",
            "  at 11: -9hi-0 peek 9h read ",
            "NEW_DATA client 17+6 lmno-9",
            "  at 11: -9hi-0lmno-9 peek 9h read -9hi-0lmn",
            "END end",
        ],
    );
}

#[test]
fn no_read_joins_what_a_gap_divides() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abc")
        .skip(Client, 2)
        .say(Client, b"fgh")
        .skip(Client, 1)
        .say(Client, b"j")
        .ack(Server);
    talk.wait(SECOND).ack(Server);
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        if let (Kind::ConnEnd, Some(flow)) = (upcall.event.kind, upcall.flow) {
            loop {
                let offset = stack.unread_offset(flow, Client).unwrap();
                let read = stack.read(flow, Client, usize::MAX, <[u8]>::to_vec).unwrap();
                lines.push(format!("  {offset}: {}", read.escape_ascii()));
                if read.is_empty() {
                    break;
                }
            }
            let gaps: Vec<u64> = stack.gaps(flow, Client).unwrap().iter().map(|gap| gap.offset).collect();
            assert_eq!(gaps, [3, 8]);
        }
    };
    let settings = StreamSettings { reassemble: Some(true), ..StreamSettings::default() };
    let kinds = &[Kind::NewData, Kind::Gap, Kind::ConnEnd];
    Bench { settings, act: &act, kinds, ..Bench::default() }.expect(
        &talk,
        &[
            "NEW_DATA client 0+3 abc",
            "GAP client 3+2",
            "NEW_DATA client 5+3 fgh",
            "GAP client 8+1",
            "NEW_DATA client 9+1 j",
            "END end",
            "  0: abc",
            "  5: fgh",
            "  9: j",
            "  10: ",
        ],
    );
}

#[test]
fn unread_bytes_beyond_the_cap_are_dropped_oldest_first() {
    let settings = StreamSettings { buffer: 6, reassemble: Some(true), ..StreamSettings::default() };
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        if let (Kind::ConnEnd, Some(flow)) = (upcall.event.kind, upcall.flow) {
            let unread = stack.unread(flow, Client).unwrap().escape_ascii();
            lines.push(format!("  {}: {unread}", stack.unread_offset(flow, Client).unwrap()));
        }
    };
    let bench = Bench { settings, act: &act, ..Bench::default() };
    let mut talk = Talk::opened();
    talk.say(Client, b"abcd").say(Client, b"efgh").say(Client, b"ij");
    let records = bench.expect(
        &talk,
        &[
            "START client",
            "SETUP client",
            "NEW_DATA client 0+4 abcd",
            "NEW_DATA client 4+4 efgh",
            "ANOMALY client unread_full",
            "NEW_DATA client 8+2 ij",
            "ANOMALY client unread_full",
            "END end",
            "  4: efghij",
        ],
    );
    assert_eq!(anomalies(&records[0]), [("unread_full", 2)]);
}

#[test]
fn the_cap_holds_for_bytes_that_came_out_of_order_too() {
    let settings = StreamSettings { buffer: 100, reassemble: Some(true), ..StreamSettings::default() };
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        let unread = stack.unread(upcall.flow.unwrap(), Client).unwrap();
        assert!(unread.len() <= 200, "the cap, and the packet at hand");
    };
    let mut talk = Talk::opened();
    for _ in 0..50 {
        talk.again(Client, 20, &[b'b'; 20]).say(Client, &[b'a'; 20]).skip(Client, 20);
    }
    let bench = Bench { settings, act: &act, kinds: &[Kind::NewData], ..Bench::default() };
    let (_, records) = bench.run(&talk.frames);
    assert!(anomalies(&records[0])[0].1 > 10);
}

#[test]
fn held_bytes_beyond_the_cap_give_a_hole_up() {
    let settings = StreamSettings { buffer: 200, ..StreamSettings::default() };
    let mut talk = Talk::opened();
    talk.again(Client, 1, &[b'x'; 100]).again(Client, 150, &[b'y'; 100]).say(Client, b"late");
    let bench = Bench { settings, ..Bench::default() };
    let (result, records) = bench.run(&talk.frames);
    let told = result.lines.iter().filter(|line| line.starts_with("GAP") || line.starts_with("ANOMALY"));
    let told: Vec<&str> = told.map(String::as_str).collect();
    assert_eq!(
        told,
        ["ANOMALY client held_full", "ANOMALY client gap_without_ack", "GAP client 0+1", "GAP client 101+49"]
    );
    assert_eq!(gaps(&records[0])[0], [(0, 1), (101, 49)]);
}

#[test]
fn all_held_bytes_together_have_a_cap() {
    let mut bench = Bench::default();
    bench.config.max_reassembly = 500;
    let mut talk = Talk::new();
    for port in 1..5 {
        talk.port(port).open().again(Client, 1, &[b'x'; 150]);
    }
    talk.again(Client, 152, &[b'y'; 10]);
    let (result, _) = bench.run(&talk.frames);
    assert!(result.lines.iter().any(|line| line.ends_with("held_full")), "{:?}", result.lines);
}

#[test]
fn a_stream_is_wanted_up_to_its_depth() {
    for depth in [0, 3, 5, 8] {
        let settings = StreamSettings { depth, ..StreamSettings::default() };
        let mut talk = Talk::opened();
        talk.say(Client, b"abcde").say(Client, b"fghij").say(Client, b"k").say(Server, b"x");
        let first = format!("NEW_DATA client 0+{0} {1}", depth.min(5), &"abcde"[..depth.min(5) as usize]);
        let second = format!("NEW_DATA client 5+{} fgh", depth.saturating_sub(5));
        let mut lines = vec!["START client", "SETUP client"];
        if depth > 0 {
            lines.push(&first);
        }
        if depth > 5 {
            lines.push(&second);
        }
        lines.push("ANOMALY client depth_reached");
        lines.extend(
            if depth == 0 { "ANOMALY server depth_reached" } else { "NEW_DATA server 0+1 x" }.lines(),
        );
        lines.push("END end");
        let records = Bench { settings, ..Bench::default() }.expect(&talk, &lines);
        assert_eq!(records[0].sides[0].offset, 11);
    }
}

#[test]
fn settings_of_a_side_change_at_any_time() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, lines: &mut Vec<String>| {
        let (Kind::NewData, Some(flow), Client) = (upcall.event.kind, upcall.flow, upcall.event.side) else {
            return;
        };
        let data = stack.read(flow, Client, usize::MAX, <[u8]>::to_vec).unwrap();
        match data[0] {
            b'd' => stack.set_depth(flow, Client, 10).unwrap(),
            b'o' => stack.set_reassemble(flow, Client, false).unwrap(),
            b'u' => stack.set_track(flow, Client, false).unwrap(),
            _ => {}
        }
        let settings = stack.settings(flow, Client).unwrap();
        lines.push(format!("  {:?} {:?} {}", settings.track, settings.reassemble, settings.depth.min(99)));
    };
    let mut talk = Talk::opened();
    talk.say(Client, b"a").say(Client, b"depth").say(Client, b"01234567").say(Client, b"x");
    Bench { act: &act, kinds: &[Kind::NewData, Kind::Anomaly], ..Bench::default() }.expect(
        &talk,
        &[
            "NEW_DATA client 0+1 a",
            "  [true, true] Some(true) 99",
            "NEW_DATA client 1+5 depth",
            "  [true, true] Some(true) 10",
            "NEW_DATA client 6+4 0123",
            "  [true, true] Some(true) 10",
            "ANOMALY client depth_reached",
        ],
    );
    let mut talk = Talk::opened();
    talk.say(Client, b"off").say(Client, b"not told").say(Server, b"told");
    Bench { act: &act, kinds: &[Kind::NewData], ..Bench::default() }.expect(
        &talk,
        &["NEW_DATA client 0+3 off", "  [true, true] Some(false) 99", "NEW_DATA server 0+4 told"],
    );
    let mut talk = Talk::opened();
    talk.say(Client, b"un").say(Client, b"untold").fin(Client);
    Bench { act: &act, kinds: &[Kind::NewData, Kind::ConnEnd], ..Bench::default() }
        .expect(&talk, &["NEW_DATA client 0+2 un", "  [false, true] Some(true) 99", "END end"]);
}

#[test]
fn a_side_tracked_again_goes_on_with_its_next_segment() {
    let act = |stack: &mut Stack<u32>, upcall: &Upcall, _: &mut Vec<String>| {
        read_all(stack, upcall, &mut Vec::new());
        let (Kind::PktIn, Some(flow)) = (upcall.event.kind, upcall.flow) else { return };
        let payload = stack.field(upcall, crate::event::Field::Payload, |value| format!("{value:?}"));
        let text = format!("{:?}", Some(crate::event::Value::Bytes(b"off")));
        if payload == text {
            stack.set_track(flow, Client, false).unwrap();
        } else if payload == format!("{:?}", Some(crate::event::Value::Bytes(b"on"))) {
            stack.set_track(flow, Client, true).unwrap();
        }
    };
    let mut talk = Talk::opened();
    talk.skip(Client, 2).say(Client, b"abc").ack(Server).wait(SECOND).ack(Server);
    talk.say(Client, b"off").say(Client, b"never").say(Client, b"on").say(Client, b"again").skip(Client, 4);
    talk.say(Client, b"end").ack(Server).wait(SECOND).ack(Server);
    let lines = Bench { act: &act, kinds: &[Kind::NewData, Kind::PktIn, Kind::Gap], ..Bench::default() };
    let (result, records) = lines.run(&talk.frames);
    let lines: Vec<&str> =
        result.lines.iter().map(String::as_str).filter(|line| !line.starts_with("PKT_IN")).collect();
    assert_eq!(
        lines,
        [
            "GAP client 0+2",
            "NEW_DATA client 2+3 abc",
            "NEW_DATA client 5+3 off",
            "NEW_DATA client 8+5 again",
            "GAP client 13+4",
            "NEW_DATA client 17+3 end",
        ]
    );
    assert_eq!(gaps(&records[0])[0], [(0, 2), (13, 4)]);
}

#[test]
fn streams_nobody_looks_at_are_not_kept() {
    let mut talk = Talk::opened();
    talk.say(Client, b"abc").again(Client, 3, &[0; 1000]).say(Client, b"def");
    let settings = StreamSettings { reassemble: Some(false), ..StreamSettings::default() };
    Bench { settings, kinds: &[Kind::NewData, Kind::Gap], ..Bench::default() }.expect(&talk, &[]);
}

#[test]
fn digests_are_of_all_bytes_in_order() {
    use sha2::{Digest as _, Sha256};
    let settings = StreamSettings { digest: true, ..StreamSettings::default() };
    let mut talk = Talk::opened();
    talk.say(Client, b"abc").again(Client, 3, b"ghi").say(Client, b"def").again(Client, -3, b"def");
    let (_, records) = Bench { settings, kinds: &[], ..Bench::default() }.run(&talk.frames);
    let expected: [u8; 32] = Sha256::digest(b"abcdefghi").into();
    assert_eq!(records[0].sides[0].digest, Some((9, expected)));
    assert_eq!(records[0].sides[1].digest, Some((0, Sha256::digest(b"").into())));
}

#[test]
fn offsets_go_on_beyond_four_gibibytes() {
    let mut talk = Talk::opened();
    talk.window = 0;
    let mut expected = Vec::new();
    // 64 MiB at a time, of which only the last byte is captured.
    let (step, mut offset) = (64_u64 << 20, 0);
    let mut lines = Vec::new();
    for _ in 0..140 {
        talk.skip(Client, step as u32 - 1);
        let ack = talk.next[0];
        talk.frames.pop();
        // A window of 1 GiB, scaled by 14 as offered in the handshake below.
        talk.window = u16::MAX;
        talk.send(Server, ACK, 5001, ack, b"")
            .wait(SECOND)
            .say(Client, b"x")
            .send(Server, ACK, 5001, ack, b"");
        lines.push(format!("GAP client {offset}+{}", step - 1));
        offset += step;
        lines.push(format!("NEW_DATA client {}+1 x", offset - 1));
        expected.push(offset);
    }
    let mut start = Talk::new();
    start.send_with(Client, talk::SYN, 1000, 0, b"", |frame| frame.window_scale(14));
    start.send_with(Server, talk::SYN_ACK, 5000, 1001, b"", |frame| frame.window_scale(14));
    start.send(Client, ACK, 1001, 5001, b"").send(Server, ACK, 5001, 1001, b"");
    start.frames.extend(talk.frames.into_iter().skip(2));
    let bench = Bench { kinds: &[Kind::NewData, Kind::Gap], ..Bench::default() };
    let (result, records) = bench.run(&start.frames);
    assert_eq!(result.lines, lines);
    assert_eq!(records[0].sides[0].offset, 140 * step);
}
