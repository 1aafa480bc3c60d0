//! What an end takes, and what it does not.

use super::*;

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 24 * 3600 * SECOND;

/// A connection that agreed on timestamps, which stand at 100.
fn stamped() -> Talk {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 0, |f| f.mss(1460).sack_permitted().timestamps(100, 0).window_scale(7));
    talk.send_with(Server, SYN_ACK, S, C + 1, 0, |f| {
        f.mss(1460).sack_permitted().timestamps(100, 100).window_scale(7)
    });
    talk.send_with(Client, ACK, C + 1, S + 1, 0, stamp::<100>);
    assert_eq!(talk.states(), (State::Established, State::Established));
    talk
}

/// Timestamps where all common stacks put them.
fn stamp<const VALUE: u32>(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    frame.options(&[1, 1]).timestamps(VALUE, 100)
}

/// RFC 7323, section 5.3, R1: a segment with an older timestamp is not acceptable.
#[test]
fn an_old_timestamp_changes_nothing() {
    let mut talk = stamped();
    assert!(talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>).plain);
    let (ends, details) = (format!("{:?}", talk.ends), talk.details[0].recent);
    rejected(talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<199>), Anomaly::OldTimestamp);
    rejected(talk.send_with(Client, FIN_ACK, C + 11, S + 1, 10, stamp::<100>), Anomaly::OldTimestamp);
    rejected(talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<0x8000_0101>), Anomaly::OldTimestamp);
    assert_eq!((format!("{:?}", talk.ends), talk.details[0].recent), (ends, details));
    // The genuine one is still good, and plain.
    assert!(talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<200>).plain);
    // Beyond half the numbers, timestamps begin anew.
    assert!(talk.send_with(Client, ACK, C + 21, S + 1, 10, stamp::<0x7000_0000>).plain);
    assert!(talk.send_with(Client, ACK, C + 31, S + 1, 10, stamp::<0xe000_0000>).plain);
    assert!(talk.send_with(Client, ACK, C + 41, S + 1, 10, stamp::<5>).plain);
}

#[test]
fn an_old_timestamp_cannot_acknowledge_either() {
    let mut talk = stamped();
    talk.send_with(Server, ACK, S + 1, C + 1, 10, stamp::<100>);
    talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>);
    rejected(talk.send_with(Client, ACK, C + 11, S + 11, 0, stamp::<150>), Anomaly::OldTimestamp);
    assert_eq!(talk.ends[1].acked, Seq(S + 1));
}

/// What the network swapped or doubled is no attack: nothing new is in it.
#[test]
fn what_was_overtaken_or_doubled_is_no_anomaly() {
    let mut talk = stamped();
    talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>);
    talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<210>);
    repeats(talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>), RexmitKind::Data, 10, false);
    let late = talk.send_with(Client, ACK, C + 11, S + 1, 0, stamp::<205>);
    assert!(!late.rejected && late.anomalies.is_empty(), "{late:?}");
}

/// A segment that came out of order does not set the mark for those before it (RFC 7323, section 4.3).
#[test]
fn a_hole_is_filled_by_a_segment_with_an_older_timestamp() {
    let mut talk = stamped();
    talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<210>);
    let filler = talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>);
    assert!(!filler.rejected && filler.anomalies.is_empty(), "{filler:?}");
}

/// RFC 7323, section 5.5: after 24 days, a timestamp says nothing.
#[test]
fn timestamps_grow_old() {
    for (idle, is_taken) in [(23 * DAY, false), (25 * DAY, true)] {
        let mut talk = stamped();
        talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<200>);
        talk.idle = idle;
        assert_eq!(!talk.send_with(Client, ACK, C + 11, S + 1, 10, stamp::<150>).rejected, is_taken);
        talk.idle = 0;
        // From then on, the new ones count.
        assert_eq!(talk.send_with(Client, ACK, C + 21, S + 1, 10, stamp::<160>).rejected, !is_taken);
    }
}

/// Windows is one of the systems whose SYN/ACK has 0 there; Linux, too, takes what follows.
#[test]
fn a_timestamp_of_zero_says_nothing() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 0, |f| f.timestamps(100, 0));
    talk.send_with(Server, SYN_ACK, S, C + 1, 0, |f| f.timestamps(0, 100));
    talk.send_with(Client, ACK, C + 1, S + 1, 10, stamp::<100>);
    let first = talk.send_with(Server, ACK, S + 1, C + 11, 10, stamp::<0x9000_0000>);
    assert!(!first.rejected && first.anomalies.is_empty(), "{first:?}");
    rejected(talk.send_with(Server, ACK, S + 11, C + 11, 10, stamp::<0x8000_0000>), Anomaly::OldTimestamp);
}

/// RFC 7323, section 5.2: a RST is taken with any timestamp.
#[test]
fn a_rst_needs_no_timestamp() {
    for build in [stamp::<1> as Build, |f| f] {
        let mut talk = stamped();
        let arrival = talk.send_with(Client, RST, C + 1, 0, 0, build);
        assert!(!arrival.rejected && arrival.anomalies.is_empty(), "{arrival:?}");
    }
}

#[test]
fn a_missing_timestamp_is_told() {
    let mut talk = stamped();
    told(talk.send(Client, ACK, C + 1, S + 1, 10), Anomaly::MissingTimestamp);
    // Bytes of the payload are no option.
    let ends = ["192.0.2.1:4000".parse().unwrap(), "192.0.2.2:80".parse().unwrap()];
    let payload = [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0];
    let frame = TcpFrame::new(ends[0], ends[1]).seq(C + 11).ack(S + 1).flags(ACK).payload(&payload).build();
    let mut segment = Segment::default();
    wire::decode(&frame, crate::port::LinkType::Ethernet, frame.len() as u32, &mut segment);
    told(talk.pass(Client, &segment, &frame), Anomaly::MissingTimestamp);
}

#[test]
fn timestamps_are_agreed_on_by_both_syns() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 0, |f| f.timestamps(100, 0));
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    talk.send(Client, ACK, C + 1, S + 1, 0);
    talk.send(Server, ACK, S + 1, C + 1, 10);
    assert!(!talk.ends[0].scale.is_stamped());
    assert!(talk.send(Client, ACK, C + 1, S + 11, 10).plain);
    // One who sends them all the same is not held to them.
    let arrival = talk.send_with(Client, ACK, C + 11, S + 11, 10, stamp::<50>);
    assert!(!arrival.rejected && arrival.anomalies.is_empty());
}

#[test]
fn options_that_do_not_parse_are_told() {
    let bad: [&[u8]; 6] =
        [&[2, 3, 1], &[3, 2], &[5, 9, 0, 0, 0, 0, 0, 0, 0], &[8, 4, 0, 0], &[28, 3, 0], &[29, 3, 0]];
    for option in bad {
        let mut talk = Talk::established();
        let ends = ["192.0.2.1:4000".parse().unwrap(), "192.0.2.2:80".parse().unwrap()];
        let frame = TcpFrame::new(ends[0], ends[1]).seq(C + 1).ack(S + 1).flags(ACK).options(option);
        let frame = frame.payload(b"x").build();
        let mut segment = Segment::default();
        wire::decode(&frame, crate::port::LinkType::Ethernet, frame.len() as u32, &mut segment);
        told(talk.pass(Client, &segment, &frame), Anomaly::BadOptions);
    }
    told(Talk::new().send_with(Client, SYN, C, 0, 0, |f| f.window_scale(15)), Anomaly::BadWindowScale);
}

/// RFC 5961, section 5.2: an acknowledgement further back than any window was open is not one.
#[test]
fn an_acknowledgement_may_be_late_by_a_window() {
    let mut talk = Talk::established();
    for sent in 0..100 {
        talk.send(Server, ACK, S + 1 + sent * 1000, C + 1, 1000);
        talk.send(Client, ACK, C + 1, S + 1 + (sent + 1) * 1000, 0);
    }
    let acked = talk.ends[1].acked.0;
    assert!(!talk.send(Client, ACK, C + 1, acked - 65_535, 10).rejected);
    rejected(talk.send(Client, ACK, C + 11, acked - 65_536, 10), Anomaly::InvalidAck);
    assert_eq!(talk.ends[1].acked.0, acked);
}

#[test]
fn a_window_that_is_taken_back_is_told() {
    let mut talk = Talk::established();
    talk.send(Client, ACK, C + 1, S + 1, 100);
    talk.send_with(Server, ACK, S + 1, C + 101, 0, |f| f.window(1000));
    // What was taken in may stay in the buffer: the edge stays where it is.
    talk.send(Client, ACK, C + 101, S + 1, 100);
    let arrival = talk.send_with(Server, ACK, S + 1, C + 201, 0, |f| f.window(900));
    assert!(arrival.anomalies.is_empty(), "{arrival:?}");
    told(talk.send_with(Server, ACK, S + 1, C + 201, 0, |f| f.window(100)), Anomaly::WindowShrunk);
    assert_eq!(talk.ends[0].allowance(), 100);
}

#[test]
fn data_before_the_first_byte_is_refused() {
    let mut talk = Talk::established();
    talk.send(Client, ACK, C + 1, S + 1, 10);
    rejected(talk.send(Client, ACK, C - 99, S + 1, 100), Anomaly::DataBeforeStart);
    let arrival = talk.send(Client, ACK, C - 4, S + 1, 10);
    assert!(!arrival.rejected && arrival.anomalies.contains(Anomaly::DataBeforeStart));
}

/// Its receiver looks at the sequence number of a RST before its acknowledgement (RFC 9293, section 3.10.7.4).
#[test]
fn a_rst_with_data_or_a_wrong_acknowledgement_is_taken_and_told() {
    told(Talk::established().send(Client, RST, C + 1, 0, 10), Anomaly::RstWithData);
    let mut talk = Talk::established();
    talk.send(Server, ACK, S + 1, C + 1, 0);
    talk.send(Client, ACK, C + 1, S + 1, 0);
    told(talk.send(Client, RST_ACK, C + 1, S + 9000, 0), Anomaly::InvalidAck);
    assert_eq!(talk.states(), (State::Closed, State::Closed));
}

#[test]
fn urgent_data_and_an_acknowledgement_without_flag_are_told() {
    let urgent = ACK | TcpFlags::URG;
    told(
        Talk::established().send_with(Client, urgent, C + 1, S + 1, 5, |f| f.urgent(3)),
        Anomaly::UrgentData,
    );
    told(Talk::new().send(Client, SYN, C, 7, 0), Anomaly::AckWithoutFlag);
}

/// Where systems take a RST, by their names: on the exact number, in the window, or anywhere beyond.
#[test]
fn a_rst_is_taken_by_the_rule_of_its_receiver() {
    use crate::reassembly::Overlap;
    for policy in Overlap::ALL {
        let (in_window, beyond) = match policy.name() {
            "linux" | "old_linux" | "solaris" => (true, false),
            "hpux11" => (true, true),
            _ => (false, false),
        };
        let cases =
            [(C + 1, true), (C, false), (C + 100, in_window), (C + 1000, in_window), (C + 2000, beyond)];
        for (seq, is_taken) in cases {
            let mut talk = Talk::established();
            talk.send_with(Server, ACK, S + 1, C + 1, 1, |f| f.window(1000));
            talk.details[0].overlap = policy;
            assert_eq!(!talk.send(Client, RST, seq, 0, 0).rejected, is_taken, "{} {seq}", policy.name());
        }
    }
}
