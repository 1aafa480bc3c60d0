mod acceptance;
mod handshake;

use super::*;
use crate::Nanos;
use crate::Side::{Client, Server};
use crate::wire::{self, Outcome};
use crate::wire::{Segment, TcpFlags, TcpFrame};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(FIN.0 | ACK.0);
const RST_ACK: TcpFlags = TcpFlags(RST.0 | ACK.0);

/// Initial sequence numbers.
const C: u32 = 1000;
const S: u32 = 5000;

const MS: Nanos = 1_000_000;

type Build = fn(TcpFrame<'_>) -> TcpFrame<'_>;

/// Both ends of a connection and a clock.
struct Talk {
    ends: [Endpoint; 2],
    details: [Details; 2],
    now: Nanos,
    /// How long nothing was sent.
    idle: Nanos,
}

impl Talk {
    fn new() -> Talk {
        let mut ends = [Endpoint::default(); 2];
        ends[1].state = State::Listen;
        Talk { ends, details: Default::default(), now: 0, idle: 0 }
    }

    /// A connection whose handshake is over.
    fn established() -> Talk {
        let mut talk = Talk::new();
        talk.open();
        talk
    }

    fn open(&mut self) {
        self.send(Client, SYN, C, 0, 0);
        self.send(Server, SYN_ACK, S, C + 1, 0);
        self.send(Client, ACK, C + 1, S + 1, 0);
        assert_eq!(self.states(), (State::Established, State::Established));
    }

    fn send(&mut self, side: Side, flags: TcpFlags, seq: u32, ack: u32, length: usize) -> Arrival {
        self.send_with(side, flags, seq, ack, length, |frame| frame)
    }

    /// Passes a segment through all steps, as the stack does, but with a stream that takes in what is in order only.
    fn send_with(
        &mut self,
        side: Side,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        length: usize,
        build: Build,
    ) -> Arrival {
        let ends = ["192.0.2.1:4000".parse().unwrap(), "192.0.2.2:80".parse().unwrap()];
        let payload = vec![b'x'; length];
        let frame = TcpFrame::new(ends[side.index()], ends[side.other().index()]);
        let frame = build(frame.seq(seq).ack(ack).flags(flags).payload(&payload)).build();
        let mut segment = Segment::default();
        let outcome = wire::decode(&frame, crate::port::LinkType::Ethernet, frame.len() as u32, &mut segment);
        assert_eq!(outcome, Outcome::Tcp);
        self.pass(side, &segment, &frame)
    }

    fn pass(&mut self, side: Side, segment: &Segment, frame: &[u8]) -> Arrival {
        let arrival = arrival::judge(&self.ends, &self.details, side, segment, frame, self.idle);
        assert!(!(arrival.plain && arrival.rejected));
        if arrival.rejected {
            assert!(!arrival.anomalies.is_empty(), "a rejection has a reason");
            return arrival;
        }
        let mut connection = Connection { ends: &mut self.ends, details: &mut self.details };
        sender::step(&mut connection, side, segment, frame, &arrival, self.now);
        let mut changes = receiver::step(&mut connection, side, segment, frame, &arrival, self.now);
        let data = Seq(segment.seq).plus(u32::from(segment.flags.contains(SYN)));
        let end = data.plus(segment.length);
        let sender = &mut connection.ends[side.index()];
        if data.since(sender.head) <= 0 && end.after(sender.head) {
            sender.head = end;
        }
        for side in Side::BOTH {
            receiver::finish(&mut connection, side, &mut changes);
        }
        arrival
    }

    fn states(&self) -> (State, State) {
        (self.ends[0].state, self.ends[1].state)
    }
}

/// A line of a script: who sends, flags, seq, ack, length, and the states of both ends afterwards.
type Line = (Side, TcpFlags, u32, u32, usize, State, State);

fn script(talk: &mut Talk, lines: &[Line]) {
    for (number, (side, flags, seq, ack, length, client, server)) in lines.iter().enumerate() {
        let arrival = talk.send(*side, *flags, *seq, *ack, *length);
        assert!(!arrival.rejected && arrival.anomalies.is_empty(), "line {number}: {arrival:?}");
        assert!(arrival.rexmit.is_none() && arrival.probe.is_none(), "line {number}: {arrival:?}");
        assert_eq!(talk.states(), (*client, *server), "line {number}");
    }
}

fn rejected(arrival: Arrival, anomaly: Anomaly) {
    assert!(arrival.rejected && !arrival.plain, "{arrival:?}");
    assert_eq!(arrival.anomalies.iter().collect::<Vec<_>>(), [anomaly]);
}

/// It is taken, and told of.
fn told(arrival: Arrival, anomaly: Anomaly) {
    assert!(!arrival.rejected && !arrival.plain, "{arrival:?}");
    assert_eq!(arrival.anomalies.iter().collect::<Vec<_>>(), [anomaly]);
}

fn repeats(arrival: Arrival, kind: RexmitKind, repeated: u32, partial: bool) {
    assert!(!arrival.rejected && arrival.anomalies.is_empty(), "{arrival:?}");
    assert_eq!(arrival.rexmit, Some(Rexmit { kind, repeated, partial }));
}

#[test]
fn a_connection_from_open_to_close() {
    use State::*;
    let mut talk = Talk::new();
    script(
        &mut talk,
        &[
            (Client, SYN, C, 0, 0, SynSent, SynReceived),
            (Server, SYN_ACK, S, C + 1, 0, Established, SynReceived),
            (Client, ACK, C + 1, S + 1, 0, Established, Established),
            (Client, ACK, C + 1, S + 1, 100, Established, Established),
            (Server, ACK, S + 1, C + 101, 200, Established, Established),
            // Half-close: the client is done, the server goes on.
            (Client, FIN_ACK, C + 101, S + 201, 50, FinWait1, CloseWait),
            (Server, ACK, S + 201, C + 152, 0, FinWait2, CloseWait),
            (Server, ACK, S + 201, C + 152, 300, FinWait2, CloseWait),
            (Client, ACK, C + 152, S + 501, 0, FinWait2, CloseWait),
            (Server, FIN_ACK, S + 501, C + 152, 0, TimeWait, LastAck),
            (Client, ACK, C + 152, S + 502, 0, TimeWait, Closed),
        ],
    );
    let [client, server] = &talk.details;
    assert_eq!((client.isn, client.fin), (Seq(C), Seq(C + 151)));
    assert_eq!((server.isn, server.fin), (Seq(S), Seq(S + 501)));
}

#[test]
fn the_server_may_close_first_and_a_fin_may_acknowledge_a_fin() {
    use State::*;
    script(
        &mut Talk::established(),
        &[
            (Server, FIN_ACK, S + 1, C + 1, 10, CloseWait, FinWait1),
            (Client, FIN_ACK, C + 1, S + 12, 0, LastAck, TimeWait),
            (Server, ACK, S + 12, C + 2, 0, Closed, TimeWait),
        ],
    );
}

#[test]
fn both_ends_may_close_at_once() {
    use State::*;
    script(
        &mut Talk::established(),
        &[
            (Client, FIN_ACK, C + 1, S + 1, 0, FinWait1, CloseWait),
            // The server had not yet received the client's FIN when it sent this; from here, it had to.
            (Server, FIN_ACK, S + 1, C + 1, 0, Closing, LastAck),
            (Client, ACK, C + 2, S + 2, 0, Closing, Closed),
            (Server, ACK, S + 2, C + 2, 0, TimeWait, Closed),
        ],
    );
}

#[test]
fn both_ends_may_open_at_once() {
    use State::*;
    let mut talk = Talk::new();
    script(
        &mut talk,
        &[
            (Client, SYN, C, 0, 0, SynSent, SynReceived),
            (Server, SYN, S, 0, 0, SynReceived, SynReceived),
            (Client, SYN_ACK, C, S + 1, 0, SynReceived, Established),
        ],
    );
    told(talk.send(Server, SYN_ACK, S, C + 1, 0), Anomaly::SimultaneousOpen);
    assert_eq!(talk.states(), (Established, Established));
    script(&mut talk, &[(Client, ACK, C + 1, S + 1, 10, Established, Established)]);
}

#[test]
fn a_fin_before_its_data_waits_for_it() {
    let mut talk = Talk::established();
    talk.send(Client, FIN_ACK, C + 101, S + 1, 0);
    assert_eq!(talk.states(), (State::FinWait1, State::Established));
    talk.send(Client, ACK, C + 1, S + 1, 100);
    assert_eq!(talk.states(), (State::FinWait1, State::CloseWait));
}

#[test]
fn an_end_that_is_done_stays_done() {
    let mut talk = Talk::established();
    talk.send(Client, FIN_ACK, C + 1, S + 1, 0);
    // The capture lacks 100 bytes of the server before its FIN.
    talk.send(Server, FIN_ACK, S + 101, C + 2, 0);
    assert_eq!(talk.states(), (State::FinWait2, State::LastAck));
    talk.send(Client, ACK, C + 2, S + 102, 0);
    assert_eq!(talk.states(), (State::FinWait2, State::Closed));
    talk.send(Client, ACK, C + 2, S + 102, 0);
    assert_eq!(talk.states(), (State::FinWait2, State::Closed));
    talk.send(Server, FIN_ACK, S + 101, C + 2, 0);
    assert_eq!(talk.states(), (State::FinWait2, State::Closed));
}

#[test]
fn syn_and_syn_ack_retransmissions() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    repeats(talk.send(Client, SYN, C, 0, 0), RexmitKind::Syn, 0, false);
    assert_eq!(talk.states(), (State::SynSent, State::SynReceived));
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    repeats(talk.send(Server, SYN_ACK, S, C + 1, 0), RexmitKind::SynAck, 0, false);
    repeats(talk.send(Client, SYN, C, 0, 0), RexmitKind::Syn, 0, false);
    assert_eq!(talk.states(), (State::Established, State::SynReceived));
    talk.send(Client, ACK, C + 1, S + 1, 0);
    repeats(talk.send(Server, SYN_ACK, S, C + 1, 0), RexmitKind::SynAck, 0, false);
    assert_eq!(talk.states(), (State::Established, State::Established));
}

#[test]
fn data_retransmissions_full_partial_and_of_a_gap() {
    let mut talk = Talk::established();
    talk.send(Client, ACK, C + 1, S + 1, 100);
    repeats(talk.send(Client, ACK, C + 1, S + 1, 100), RexmitKind::Data, 100, false);
    repeats(talk.send(Client, ACK, C + 51, S + 1, 30), RexmitKind::Data, 30, false);
    repeats(talk.send(Client, ACK, C + 51, S + 1, 70), RexmitKind::Data, 50, true);
    // What comes first out of order is no retransmission, nor is what fills the hole before it.
    let arrival = talk.send(Client, ACK, C + 221, S + 1, 10);
    assert_eq!((arrival.rexmit, arrival.rejected), (None, false));
    assert_eq!(talk.send(Client, ACK, C + 121, S + 1, 100).rexmit, None);
    // What was given up as missing was never seen either.
    talk.details[0].stream.get_or_insert_default().note_gap(crate::reassembly::Gap { offset: 0, length: 60 });
    repeats(talk.send(Client, ACK, C + 1, S + 1, 100), RexmitKind::Data, 40, true);
    assert_eq!(talk.send(Client, ACK, C + 1, S + 1, 60).rexmit, None);
}

#[test]
fn fin_retransmissions() {
    let mut talk = Talk::established();
    talk.send(Client, FIN_ACK, C + 1, S + 1, 100);
    repeats(talk.send(Client, FIN_ACK, C + 1, S + 1, 100), RexmitKind::Fin, 100, false);
    repeats(talk.send(Client, FIN_ACK, C + 101, S + 1, 0), RexmitKind::Fin, 0, false);
    repeats(talk.send(Client, ACK, C + 1, S + 1, 100), RexmitKind::Data, 100, false);
    rejected(talk.send(Client, FIN_ACK, C + 1, S + 1, 50), Anomaly::FinMoved);
    rejected(talk.send(Client, FIN_ACK, C + 102, S + 1, 0), Anomaly::FinMoved);
    rejected(talk.send(Client, ACK, C + 51, S + 1, 100), Anomaly::DataAfterFin);
    assert_eq!(talk.states(), (State::FinWait1, State::CloseWait));
}

#[test]
fn a_repeated_fin_with_data_never_seen_repeats_no_data() {
    let mut talk = Talk::established();
    talk.send(Client, FIN_ACK, C + 101, S + 1, 0);
    repeats(talk.send(Client, FIN_ACK, C + 1, S + 1, 100), RexmitKind::Fin, 0, true);
    assert_eq!(talk.states(), (State::FinWait1, State::CloseWait));
}

#[test]
fn a_fin_inside_what_was_sent_is_refused() {
    let mut talk = Talk::established();
    talk.send(Client, ACK, C + 1, S + 1, 100);
    rejected(talk.send(Client, FIN_ACK, C + 1, S + 1, 50), Anomaly::FinMoved);
    assert_eq!(talk.states(), (State::Established, State::Established));
}

#[test]
fn keep_alives_and_window_probes_are_no_retransmissions() {
    let mut talk = Talk::established();
    talk.send(Client, ACK, C + 1, S + 1, 100);
    talk.send(Server, ACK, S + 1, C + 101, 0);
    for length in [0, 1] {
        let arrival = talk.send(Client, ACK, C + 100, S + 1, length);
        assert_eq!((arrival.probe, arrival.rexmit), (Some(Probe::KeepAlive), None));
    }
    // Its answer is nothing of the kind.
    let arrival = talk.send(Server, ACK, S + 1, C + 101, 0);
    assert_eq!((arrival.probe, arrival.rexmit), (None, None));
    // Of two bytes, one would be a retransmission.
    repeats(talk.send(Client, ACK, C + 100, S + 1, 2), RexmitKind::Data, 1, true);
    talk.send(Server, ACK, S + 1, C + 102, 0);

    talk.send_with(Server, ACK, S + 1, C + 102, 0, |frame| frame.window(0));
    let arrival = talk.send(Client, ACK, C + 102, S + 1, 0);
    assert_eq!(arrival.probe, None, "an acknowledgement while the window is closed");
    let arrival = talk.send(Client, ACK, C + 101, S + 1, 0);
    assert_eq!((arrival.probe, arrival.rexmit), (Some(Probe::Window), None));
    for _ in 0..3 {
        let arrival = talk.send(Client, ACK, C + 102, S + 1, 1);
        assert_eq!((arrival.probe, arrival.rexmit), (Some(Probe::Window), None));
        talk.send_with(Server, ACK, S + 1, C + 102, 0, |frame| frame.window(0));
    }
}

#[test]
fn a_rst_counts_where_it_is_exactly_expected() {
    let cases: [(Side, TcpFlags, u32); 4] =
        [(Client, RST, C + 1), (Client, RST_ACK, C + 1), (Server, RST, S + 1), (Server, RST_ACK, S + 1)];
    for (side, flags, seq) in cases {
        let mut talk = Talk::established();
        for wrong in [seq - 1, seq + 1, seq + 1000, seq.wrapping_add(1 << 31), 0] {
            rejected(talk.send(side, flags, wrong, 0, 0), Anomaly::InexactRst);
        }
        assert_eq!(talk.states(), (State::Established, State::Established));
        let arrival = talk.send(side, flags, seq, 0, 0);
        assert!(!arrival.rejected && arrival.anomalies.is_empty());
        assert_eq!(talk.states(), (State::Closed, State::Closed));
    }
}

#[test]
fn a_rst_may_be_where_its_receiver_is_by_its_acknowledgement_or_its_stream() {
    for expected in [C + 1, C + 101, C + 301] {
        let mut talk = Talk::established();
        // Bytes 0..100 seen and not acknowledged, 100..200 not seen, 200..300 seen.
        talk.send(Client, ACK, C + 1, S + 1, 100);
        talk.send(Client, ACK, C + 201, S + 1, 100);
        rejected(talk.send(Client, RST, C + 201, 0, 0), Anomaly::InexactRst);
        assert!(!talk.send(Client, RST, expected, 0, 0).rejected, "{expected}");
    }
}

#[test]
fn a_rst_that_answers_a_syn_must_acknowledge_it() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    for (flags, ack) in [(RST, 0), (RST_ACK, C), (RST_ACK, C + 2), (RST_ACK, 0)] {
        rejected(talk.send(Server, flags, 0, ack, 0), Anomaly::InexactRst);
    }
    assert_eq!(talk.states(), (State::SynSent, State::SynReceived));
    assert!(!talk.send(Server, RST_ACK, 0, C + 1, 0).rejected);
    assert_eq!(talk.states(), (State::Closed, State::Closed));
}

#[test]
fn a_syn_or_nonsense_inside_a_connection_is_refused() {
    let mut talk = Talk::established();
    rejected(talk.send(Client, SYN, C + 500, 0, 0), Anomaly::SynOnLive);
    rejected(talk.send(Client, SYN, C.wrapping_sub(500), 0, 0), Anomaly::SynOnLive);
    rejected(talk.send(Server, SYN_ACK, S + 500, C + 1, 0), Anomaly::SynAckDifferentSeq);
    rejected(talk.send(Client, SYN | FIN, C + 1, 0, 0), Anomaly::BadFlags);
    rejected(talk.send(Client, SYN | RST, C + 1, 0, 0), Anomaly::BadFlags);
    rejected(talk.send(Client, TcpFlags(0), C + 1, 0, 10), Anomaly::NoAck);
    assert_eq!(talk.states(), (State::Established, State::Established));
    assert_eq!(talk.ends[0].next, Seq(C + 1));
}

#[test]
fn a_syn_ack_must_acknowledge_the_syn() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    for ack in [C, C + 2, C + 1000, 0] {
        rejected(talk.send(Server, SYN_ACK, S, ack, 0), Anomaly::SynAckWrongAck);
    }
    assert_eq!(talk.states(), (State::SynSent, State::SynReceived));
    assert!(!talk.send(Server, SYN_ACK, S, C + 1, 0).rejected);
}

#[test]
fn data_in_a_syn_may_be_acknowledged_or_not() {
    for (ack, rest) in [(C + 1, C + 1), (C + 11, C + 11)] {
        let mut talk = Talk::new();
        talk.send(Client, SYN, C, 0, 10);
        assert_eq!((talk.ends[0].head, talk.ends[0].next), (Seq(C + 11), Seq(C + 11)));
        let arrival = talk.send(Server, SYN_ACK, S, ack, 0);
        assert!(!arrival.rejected && arrival.anomalies.is_empty(), "{ack}: {arrival:?}");
        let again = talk.send(Client, ACK, rest, S + 1, 20);
        assert_eq!(
            again.rexmit.map(|rexmit| (rexmit.kind, rexmit.repeated)),
            match ack {
                _ if ack == C + 1 => Some((RexmitKind::Data, 10)),
                _ => None,
            }
        );
        assert_eq!(talk.states(), (State::Established, State::Established));
    }
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 10);
    assert!(!talk.send(Server, RST_ACK, 0, C + 1, 0).rejected);
}

#[test]
fn a_server_that_speaks_before_the_last_ack_is_established_by_it() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    talk.send(Server, ACK, S + 1, C + 1, 100);
    talk.send(Client, ACK, C + 1, S + 1, 0);
    assert_eq!(talk.states(), (State::Established, State::Established));
}

#[test]
fn windows_are_scaled_only_if_both_ends_offered_it() {
    let offers: [(Build, Build, u32, u32); 4] = [
        (|f| f.window_scale(3), |f| f.window_scale(7), 3, 7),
        (|f| f.window_scale(3), |f| f, 0, 0),
        (|f| f, |f| f.window_scale(7), 0, 0),
        (|f| f.window_scale(200), |f| f.window_scale(0), 14, 0),
    ];
    for (syn, syn_ack, client, server) in offers {
        let mut talk = Talk::new();
        talk.send_with(Client, SYN, C, 0, 0, syn);
        talk.send_with(Server, SYN_ACK, S, C + 1, 0, syn_ack);
        // The window of a SYN is never scaled (RFC 7323, section 2.2).
        assert_eq!(talk.ends[0].allowance(), 65535);
        talk.send_with(Client, ACK, C + 1, S + 1, 0, |f| f.window(100));
        talk.send_with(Server, ACK, S + 1, C + 1, 0, |f| f.window(200));
        assert_eq!(talk.ends[1].allowance(), 100 << client, "what the server may send");
        assert_eq!(talk.ends[0].allowance(), 200 << server, "what the client may send");
        // The same on the straight path.
        let arrival = talk.send_with(Client, ACK, C + 1, S + 1, 1, |f| f.window(150));
        assert!(arrival.plain);
        assert_eq!(talk.ends[1].allowance(), 150 << client);
    }
}

#[test]
fn options_of_the_handshake_are_kept() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 0, |f| f.mss(1460).sack_permitted().timestamps(7, 0).window_scale(5));
    talk.send_with(Server, SYN_ACK, S, C + 1, 0, |f| f.mss(1400));
    let [client, server] = &talk.details;
    assert_eq!(
        (client.mss, client.sack_permitted, client.timestamps, client.scale),
        (1460, true, true, Some(5))
    );
    assert_eq!(
        (server.mss, server.sack_permitted, server.timestamps, server.scale),
        (1400, false, false, None)
    );
}

#[test]
fn segments_outside_the_window_change_nothing() {
    let mut talk = Talk::established();
    talk.send_with(Server, ACK, S + 1, C + 1, 0, |f| f.window(10_000));
    rejected(talk.send(Client, ACK, C + 1 + 20_001, S + 1, 10), Anomaly::OutOfWindow);
    rejected(talk.send(Client, ACK, C.wrapping_sub(1 << 30), S + 1, 10), Anomaly::OutOfWindow);
    rejected(talk.send(Client, ACK, C.wrapping_add(1 << 31), S + 1, 10), Anomaly::OutOfWindow);
    assert_eq!(talk.ends[0].next, Seq(C + 1));
    // At the window's edge and a little beyond, an acknowledgement may just be missing here.
    assert!(!talk.send(Client, ACK, C + 10_001, S + 1, 10).rejected);
    // Old segments lie before the window, and are retransmissions.
    talk.send(Client, ACK, C + 1, S + 1, 100);
    repeats(talk.send(Client, ACK, C + 1, S + 1, 100), RexmitKind::Data, 100, false);
}

#[test]
fn a_segment_longer_than_any_window_is_refused_on_every_path() {
    let talk = Talk::established();
    for length in [1 << 30, 1 << 31, u32::MAX - 1, u32::MAX] {
        let (transport, payload) = (34, 54);
        let mut segment = Segment {
            seq: C + 1,
            ack: S + 1,
            flags: ACK,
            length,
            version: 4,
            transport,
            payload,
            ..Segment::default()
        };
        rejected(arrival::judge(&talk.ends, &talk.details, Client, &segment, &[], 0), Anomaly::OutOfWindow);
        segment.seq = C - 10;
        rejected(arrival::judge(&talk.ends, &talk.details, Client, &segment, &[], 0), Anomaly::OutOfWindow);
        (segment.flags, segment.ack) = (SYN, 0);
        let fresh = Talk::new();
        rejected(arrival::judge(&fresh.ends, &fresh.details, Client, &segment, &[], 0), Anomaly::OutOfWindow);
    }
}

#[test]
fn acknowledgements_of_what_was_never_sent() {
    let mut talk = Talk::established();
    talk.send(Server, ACK, S + 1, C + 1, 100);
    // Within the room that the client had given, the capture may lack what it acknowledges.
    let arrival = talk.send(Client, ACK, C + 1, S + 1001, 0);
    assert!(!arrival.rejected);
    assert_eq!(arrival.anomalies.iter().collect::<Vec<_>>(), [Anomaly::AckUnseen]);
    assert_eq!((talk.ends[1].acked, talk.ends[1].next), (Seq(S + 1001), Seq(S + 1001)));
    assert_eq!(talk.ends[1].head, Seq(S + 101));
    for ack in [S + 1001 + 200_000, S.wrapping_add(1 << 31), S.wrapping_sub(1 << 30)] {
        rejected(talk.send(Client, ACK, C + 1, ack, 10), Anomaly::InvalidAck);
    }
    assert_eq!(talk.ends[0].head, Seq(C + 1));
    assert_eq!(talk.ends[1].acked, Seq(S + 1001));
    // Late acknowledgements take nothing back.
    assert!(!talk.send(Client, ACK, C + 1, S + 1, 0).rejected);
    assert_eq!(talk.ends[1].acked, Seq(S + 1001));
}

#[test]
fn sequence_numbers_wrap() {
    for back in [0, 1, 2, 5, 50, 1000] {
        let (c, s) = (0_u32.wrapping_sub(back), 7_u32.wrapping_sub(back));
        let mut talk = Talk::new();
        let at = |base: u32, n: u32| base.wrapping_add(n);
        talk.send(Client, SYN, c, 0, 0);
        talk.send(Server, SYN_ACK, s, at(c, 1), 0);
        talk.send(Client, ACK, at(c, 1), at(s, 1), 0);
        for i in 0..20 {
            let arrival = talk.send(Client, ACK, at(c, 1 + i * 100), at(s, 1 + i), 100);
            assert!(arrival.plain, "{back} {i}: {arrival:?}");
            assert!(talk.send(Server, ACK, at(s, 1 + i), at(c, 101 + i * 100), 1).plain);
        }
        repeats(talk.send(Client, ACK, at(c, 1), at(s, 21), 100), RexmitKind::Data, 100, false);
        talk.send(Client, FIN_ACK, at(c, 2001), at(s, 21), 0);
        talk.send(Server, FIN_ACK, at(s, 21), at(c, 2002), 0);
        talk.send(Client, ACK, at(c, 2002), at(s, 22), 0);
        assert_eq!(talk.states(), (State::TimeWait, State::Closed));
    }
    assert!(Seq(1).after(Seq(u32::MAX)) && Seq(u32::MAX).before(Seq(0)));
    assert_eq!(
        (Seq(5).since(Seq(u32::MAX)), Seq(2).minus(3), Seq(u32::MAX).plus(2)),
        (6, Seq(u32::MAX), Seq(1))
    );
}

#[test]
fn offsets_go_on_beyond_four_gibibytes() {
    let mut details = Details::default();
    let start = Seq(0xffff_ff00);
    details.start(start, 0);
    let (mut head, mut offset) = (start, 0_u64);
    while offset < 5 << 32 {
        head = head.plus(1 << 30);
        offset += 1 << 30;
        assert_eq!(details.offset(head), offset);
        details.anchor(head);
    }
}

#[test]
fn round_trips_by_acknowledgements() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.now += 30 * MS;
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    assert_eq!(talk.details[0].rtt.smoothed(), Some(30 * MS));
    talk.now += 2 * MS;
    talk.send(Client, ACK, C + 1, S + 1, 0);
    assert_eq!(talk.details[1].rtt.smoothed(), Some(2 * MS));
    // An eighth of each further measure (RFC 6298).
    talk.send(Client, ACK, C + 1, S + 1, 10);
    talk.now += 110 * MS;
    talk.send(Server, ACK, S + 1, C + 11, 0);
    assert_eq!(talk.details[0].rtt.smoothed(), Some(40 * MS));
    // Of a retransmission nobody knows which one was acknowledged (Karn).
    talk.send(Client, ACK, C + 11, S + 1, 10);
    talk.now += 500 * MS;
    talk.send(Client, ACK, C + 11, S + 1, 10);
    talk.now += MS;
    talk.send(Server, ACK, S + 1, C + 21, 0);
    assert_eq!(talk.details[0].rtt.smoothed(), Some(40 * MS));
}

#[test]
fn round_trips_by_timestamps() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 0, |f| f.timestamps(1, 0));
    talk.now += 10 * MS;
    talk.send_with(Server, SYN_ACK, S, C + 1, 0, |f| f.timestamps(900, 1));
    assert_eq!(talk.details[0].rtt.smoothed(), Some(10 * MS));
    talk.send_with(Client, ACK, C + 1, S + 1, 0, |f| f.timestamps(2, 900));
    talk.send_with(Client, ACK, C + 1, S + 1, 10, |f| f.timestamps(3, 900));
    talk.now += 400 * MS;
    talk.send_with(Client, ACK, C + 1, S + 1, 10, |f| f.timestamps(4, 900));
    talk.now += 10 * MS;
    // It echoes the retransmission, so it says nothing of the first one.
    talk.send_with(Server, ACK, S + 1, C + 11, 0, |f| f.timestamps(901, 4));
    assert_eq!(talk.details[0].rtt.smoothed(), Some(10 * MS));
    talk.send_with(Client, ACK, C + 11, S + 1, 10, |f| f.timestamps(5, 901));
    talk.now += 90 * MS;
    talk.send_with(Server, ACK, S + 1, C + 21, 0, |f| f.timestamps(902, 5));
    assert_eq!(talk.details[0].rtt.smoothed(), Some(20 * MS));
}

#[test]
fn a_connection_under_way_is_picked_up() {
    let mut talk = Talk::new();
    talk.ends[0].state = State::Established;
    talk.ends[1].state = State::Established;
    let arrival = talk.send(Server, ACK, S, C, 100);
    assert!(!arrival.rejected && arrival.anomalies.is_empty() && arrival.rexmit.is_none());
    talk.send_with(Client, ACK, C, S + 100, 10, |f| f.window(100));
    assert!(!talk.ends[1].flags.any(Flags::SYN));
    // Its scale was not seen: the largest loses nothing.
    assert_eq!(talk.ends[1].allowance(), 100 << 14);
    assert!(talk.send(Server, ACK, S + 100, C + 10, 100).plain);
    repeats(talk.send(Server, ACK, S, C + 10, 100), RexmitKind::Data, 100, false);
    // Bytes before the first one that was seen were not seen.
    assert_eq!(talk.send(Server, ACK, S - 50, C + 10, 50).rexmit, None);
    repeats(talk.send(Server, ACK, S - 50, C + 10, 100), RexmitKind::Data, 50, true);
    talk.send(Client, FIN_ACK, C + 10, S + 200, 0);
    talk.send(Server, FIN_ACK, S + 200, C + 11, 0);
    talk.send(Client, ACK, C + 11, S + 201, 0);
    assert_eq!(talk.states(), (State::TimeWait, State::Closed));
}

#[test]
fn a_handshake_with_packets_missing_is_made_up_for() {
    // No SYN/ACK: what follows shows that there was one.
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Client, ACK, C + 1, S + 1, 10);
    assert_eq!(talk.states(), (State::Established, State::Established));
    // No last ACK: the next segment stands for it.
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    talk.send(Client, ACK, C + 11, S + 1, 10);
    assert_eq!(talk.states(), (State::Established, State::Established));
}

#[test]
fn an_end_that_is_not_tracked_stays_as_it_is() {
    let mut talk = Talk::established();
    talk.ends[1].flags.set(Flags::UNTRACKED);
    let before = talk.ends[1];
    talk.send(Server, ACK, S + 1000, C + 1, 500);
    talk.send(Client, ACK, C + 1, S + 90_000, 10);
    talk.send(Server, FIN_ACK, S + 1, C + 11, 0);
    assert_eq!((talk.ends[1].next, talk.ends[1].acked), (before.next, before.acked));
    assert_eq!(talk.states(), (State::Established, State::Established));
    assert_eq!(talk.ends[0].acked, Seq(C + 11));
}

#[test]
fn states_have_names_of_their_own() {
    let names: std::collections::HashSet<&str> = State::ALL.into_iter().map(State::name).collect();
    assert_eq!(names.len(), State::ALL.len());
    assert!(State::ALL.into_iter().enumerate().all(|(i, state)| state as usize == i));
    let mut changes = Changes::default();
    assert!(changes.is_empty());
    let mut ends = [Endpoint::default(); 2];
    changes.enter(&mut ends, Client, State::Closed);
    assert!(changes.is_empty(), "no change, nothing to tell");
    changes.enter(&mut ends, Client, State::SynSent);
    let all: Vec<Change> = changes.iter().collect();
    assert_eq!(all, [Change { side: Client, old: State::Closed, new: State::SynSent }]);
}
