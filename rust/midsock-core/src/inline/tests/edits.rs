use super::*;
use crate::inline::edit::{Leaving, MOST_HELD, Made};
use crate::inline::{EditError, Edits, Replaced};
use crate::tcp::Seq;
use crate::wire::{checksum, options};

const BASE: u32 = u32::MAX - 99;

fn number(offset: u32) -> Seq {
    Seq(BASE.wrapping_add(offset))
}

/// The numbers of a packet that is long enough for what is replaced in it.
fn from(offset: u32) -> (Seq, Seq) {
    (number(offset), number(offset + 100))
}

/// Lets a segment leave; returns what goes out, as offset, flags, payload.
#[allow(clippy::needless_pass_by_value)] // frames are made where they are passed
fn leave(edits: &mut Edits, frame: TcpFrame<'_>) -> Vec<(u32, TcpFlags, Vec<u8>)> {
    let (mut content, mut made) = (Vec::new(), Made::default());
    let mut frame = frame.build();
    let leaving = Leaving { mss: 100, accepted: true, can_answer: true, now: 0 };
    let left = with_target(&mut frame, |target| edits.leave(target, leaving, &mut content, &mut made));
    let frames = if left.is_replaced { made.frames().map(<[u8]>::to_vec).collect() } else { vec![frame] };
    let tell = |frame: &Vec<u8>| {
        let (_, segment) = decoded(frame);
        assert!(checksum::are_right(frame, &segment));
        (segment.seq.wrapping_sub(BASE), segment.flags, segment.payload(frame).to_vec())
    };
    frames.iter().map(tell).collect()
}

fn data(offset: u32, payload: &[u8]) -> TcpFrame<'_> {
    v4().seq(number(offset).0).payload(payload)
}

#[test]
fn numbers_are_mapped_across_the_wrap() {
    let mut edits = Edits::new(number(0), None);
    // 10 bytes at 50 become 30, 20 at 90 nothing, 5 are inserted at 150.
    assert_eq!(edits.replace(from(0), number(50), 10, &[1; 30]), Ok(Replaced::Done));
    assert_eq!(edits.replace(from(0), number(90), 20, &[]), Ok(Replaced::Done));
    assert_eq!(edits.replace(from(0), number(150), 0, &[2; 5]), Ok(Replaced::Done));
    leave(&mut edits, data(0, &[0; 200]));
    for (original, new) in
        [(0, 0), (50, 50), (60, 80), (89, 109), (110, 110), (149, 149), (150, 155), (200, 205)]
    {
        assert_eq!(edits.to_new(number(original)), number(new), "{original}");
    }
    for (new, original) in
        [(0, 0), (50, 50), (79, 50), (80, 60), (109, 89), (110, 110), (150, 150), (154, 150), (156, 151)]
    {
        assert_eq!(edits.to_original(number(new)), number(original), "{new}");
    }
}

#[test]
fn edits_that_cannot_be_are_refused() {
    let mut edits = Edits::new(number(100), None);
    assert_eq!(edits.replace(from(50), number(60), 10, b"x"), Ok(Replaced::Repeated));
    assert_eq!(edits.replace(from(100), number(100), 20, b"x"), Ok(Replaced::Done));
    assert_eq!(edits.replace(from(100), number(110), 20, b"x"), Err(EditError::Overlap));
    assert_eq!(edits.replace(from(100), number(120), 1, &vec![0; MOST_HELD]), Err(EditError::Full));
    leave(&mut edits, data(100, &[0; 50]));
    // A hole of 50 bytes.
    leave(&mut edits, data(200, &[0; 50]));
    assert_eq!(edits.replace(from(150), number(160), 10, b"x"), Err(EditError::LaterSent));
    assert_eq!(edits.replace(from(150), number(160), 2, b"xy"), Ok(Replaced::Done));
    assert_eq!(edits.replace(from(220), number(220), 40, b"x"), Err(EditError::PartlySent));
    assert_eq!(edits.insert(number(240), b"x"), Err(EditError::LaterSent));
    let fin = data(250, b"").flags(TcpFlags::ACK | TcpFlags::FIN);
    leave(&mut edits, fin);
    assert_eq!(edits.insert(number(250), b"x"), Err(EditError::Closed));
}

#[test]
fn what_follows_missing_bytes_leaves_room_for_edits_of_these() {
    let mut edits = Edits::new(number(0), None);
    edits.keep_order(true);
    let long = vec![7; 100_000];
    let mut at = 1000;
    while edits.replace(from(at), number(at), 100, &long) == Ok(Replaced::Done) {
        at += 100;
    }
    assert!(edits.held() <= MOST_HELD && edits.held() > MOST_HELD - 110_000);
    // Those up to the last of them come, and leave, one by one.
    for start in (0..at).step_by(100) {
        assert_eq!(edits.replace(from(start), number(start), 100, b"x"), Ok(Replaced::Done), "{start}");
        assert_eq!(
            leave(&mut edits, data(start, &[0; 100])).last().unwrap().2.last(),
            Some(&b'x'),
            "{start}"
        );
    }
    assert!(edits.held() <= 2 * MOST_HELD);
}

#[test]
fn an_edit_of_a_packet_that_did_not_leave_gives_way_to_those_of_its_parts() {
    let mut edits = Edits::new(number(0), None);
    assert_eq!(edits.replace((number(0), number(300)), number(0), 300, b"whole"), Ok(Replaced::Done));
    // It was dropped, and comes again in three.
    for start in [0, 100, 200] {
        assert_eq!(edits.replace(from(start), number(start), 100, b"part"), Ok(Replaced::Done));
        assert_eq!(leave(&mut edits, data(start, &[0; 100]))[0].2, b"part");
    }
    // What has left stays.
    assert_eq!(edits.replace((number(0), number(300)), number(0), 300, b"whole"), Ok(Replaced::Repeated));
}

#[test]
fn flags_go_where_they_belong() {
    let mut edits = Edits::new(number(0), None);
    edits.replace(from(0), number(5), 5, &[b'y'; 995]).unwrap();
    let flags = TcpFlags::ACK | TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG | TcpFlags::CWR;
    let out = leave(&mut edits, data(0, b"0123456789").flags(flags).urgent(10));
    assert_eq!(out.iter().map(|(_, _, payload)| payload.len()).collect::<Vec<_>>(), [100; 10]);
    let (ack, urg) = (TcpFlags::ACK, TcpFlags::URG);
    assert_eq!(out[0].1, ack | urg | TcpFlags::CWR);
    assert!(out[1..9].iter().all(|(_, flags, _)| *flags == ack | urg));
    assert_eq!(out[9].1, ack | urg | TcpFlags::PSH | TcpFlags::FIN);
}

#[test]
fn blocks_and_windows_are_mapped() {
    let mut edits = Edits::new(number(0), None);
    edits.replace(from(0), number(50), 0, &[1; 30]).unwrap();
    leave(&mut edits, data(0, &[0; 80]));
    leave(&mut edits, data(80, &[0; 20]));
    // What was inserted is missing at its end: the byte behind it is asked for, so that it comes along.
    let blocks = [(number(70).0, number(130).0), (number(10).0, number(20).0)];
    let mut frame = v4().ack(number(50).0).window(100).sack(&blocks).build();
    let arrived = with_target(&mut frame, |target| edits.arrive(target, Some(0)));
    assert_eq!((arrived.ack, arrived.window), (number(50).0, 70));
    let (_, segment) = decoded(&frame);
    assert!(checksum::are_right(&frame, &segment));
    let sacked = options::parse(segment.options(&frame));
    assert_eq!(sacked.sack_blocks(), [(number(51).0, number(100).0), (number(10).0, number(20).0)]);
}

#[test]
fn what_came_early_is_withheld_if_order_is_kept() {
    let mut edits = Edits::new(number(0), None);
    edits.keep_order(true);
    let ack = TcpFlags::ACK;
    assert_eq!(leave(&mut edits, data(0, b"abc")), [(0, ack, b"abc".to_vec())]);
    assert_eq!(leave(&mut edits, data(6, b"ghi")), [(2, ack, vec![])]);
    assert_eq!(edits.replace(from(3), number(3), 3, b"-"), Ok(Replaced::Done));
    assert_eq!(leave(&mut edits, data(3, b"defghi")), [(3, ack, b"-ghi".to_vec())]);
}

#[test]
fn damaged_and_offloaded_segments_stay_so_or_are_finished() {
    let mut edits = Edits::new(number(0), None);
    edits.replace(from(0), number(0), 3, b"longer").unwrap();
    let (mut content, mut made) = (Vec::new(), Made::default());
    let leaving = Leaving { mss: 100, accepted: false, can_answer: false, now: 0 };
    for (frame, is_right) in
        [(data(0, b"abc").bad_checksum(), false), (data(0, b"abc").partial_checksum(), true)]
    {
        let mut frame = frame.build();
        let left = with_target(&mut frame, |target| edits.leave(target, leaving, &mut content, &mut made));
        assert!(left.is_replaced);
        let frame = made.frames().next().unwrap();
        assert_eq!(checksum::are_right(frame, &decoded(frame).1), is_right);
        made.clear();
    }
}

#[test]
fn what_is_repeated_of_an_edit_that_was_acknowledged_makes_the_receiver_answer() {
    let mut edits = Edits::new(number(0), None);
    edits.replace(from(0), number(0), 10, b"other").unwrap();
    leave(&mut edits, data(0, &[0; 10]));
    leave(&mut edits, data(10, &[0; 50]));
    let mut frame = v4().ack(number(5).0).window(100).build();
    with_target(&mut frame, |target| edits.arrive(target, Some(0)));
    edits.accept(0);
    assert_eq!((edits.held(), edits.is_waiting()), (0, false));
    let (mut content, mut made) = (Vec::new(), Made::default());
    let mut frame = data(0, &[0; 10]).build();
    let leaving = Leaving { mss: 100, accepted: true, can_answer: false, now: 0 };
    assert!(
        with_target(&mut frame, |target| edits.leave(target, leaving, &mut content, &mut made)).is_replaced
    );
    let (_, segment) = decoded(made.frames().next().unwrap());
    // Before the 5 that it expects next, and nothing of what was replaced.
    assert_eq!((Seq(segment.seq), segment.length), (number(4), 0));
}
