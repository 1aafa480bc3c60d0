//! Handshakes other than the usual one.

use super::*;

const COOKIE: [u8; 8] = [7; 8];

fn with_cookie(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    let mut option = vec![34, 10];
    option.extend(COOKIE);
    frame.options(&option)
}

fn cookie_request(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    frame.options(&[34, 2])
}

/// The server answers a SYN by a SYN, and takes the client's answer for the end of the handshake (4 steps).
#[test]
fn a_handshake_of_four_steps() {
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
    told(talk.send(Server, ACK, S + 1, C + 1, 0), Anomaly::SplitHandshake);
    script(
        &mut talk,
        &[
            (Client, ACK, C + 1, S + 1, 10, Established, Established),
            (Server, ACK, S + 1, C + 11, 10, Established, Established),
        ],
    );
}

/// The same, after an ACK that SYN-SENT does not take (5 steps).
#[test]
fn a_handshake_of_five_steps() {
    use State::*;
    let mut talk = Talk::new();
    script(&mut talk, &[(Client, SYN, C, 0, 0, SynSent, SynReceived)]);
    rejected(talk.send(Server, ACK, S - 500, C + 1, 0), Anomaly::AckWrongDirection);
    assert_eq!(talk.states(), (SynSent, SynReceived));
    script(
        &mut talk,
        &[
            (Server, SYN, S, 0, 0, SynReceived, SynReceived),
            (Client, SYN_ACK, C, S + 1, 0, SynReceived, Established),
        ],
    );
    told(talk.send(Server, ACK, S + 1, C + 1, 0), Anomaly::SplitHandshake);
    assert_eq!(talk.states(), (Established, Established));
    script(&mut talk, &[(Client, ACK, C + 1, S + 1, 10, Established, Established)]);
}

#[test]
fn a_split_handshake_that_goes_wrong() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN, S, 0, 0);
    rejected(talk.send(Client, SYN_ACK, C, S + 2, 0), Anomaly::SynAckWrongAck);
    rejected(talk.send(Client, SYN_ACK, C + 5, S + 1, 0), Anomaly::SynAckDifferentSeq);
    talk.send(Client, SYN_ACK, C, S + 1, 0);
    rejected(talk.send(Server, ACK, S + 1, C + 99, 0), Anomaly::HandshakeWrongAck);
    rejected(talk.send(Server, ACK, S - 99, C + 1, 0), Anomaly::HandshakeWrongSeq);
    assert_eq!(talk.states().0, State::SynReceived);
}

#[test]
fn syns_and_syn_acks_of_the_wrong_end() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    rejected(talk.send(Client, SYN_ACK, C, S + 1, 0), Anomaly::SynAckWrongDirection);
    rejected(talk.send(Client, SYN_ACK, C + 9, S + 1, 0), Anomaly::SynAckWrongDirection);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    for _ in 0..2 {
        // While the handshake is under way, and after it.
        rejected(talk.send(Client, SYN_ACK, C, S + 1, 0), Anomaly::SynAckWrongDirection);
        rejected(talk.send(Server, SYN, S, 0, 0), Anomaly::SynWrongDirection);
        rejected(talk.send(Server, SYN_ACK, S, C + 2, 0), Anomaly::SynAckDifferentAck);
        rejected(talk.send(Server, SYN_ACK, S + 7, C + 1, 0), Anomaly::SynAckDifferentSeq);
        repeats(talk.send(Server, SYN_ACK, S, C + 1, 0), RexmitKind::SynAck, 0, false);
        repeats(talk.send(Client, SYN, C, 0, 0), RexmitKind::Syn, 0, false);
        talk.send(Client, ACK, C + 1, S + 1, 0);
        assert_eq!(talk.states(), (State::Established, State::Established));
    }
}

#[test]
fn a_syn_with_another_number_while_the_handshake_is_under_way() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    rejected(talk.send(Client, SYN, C + 500, 0, 0), Anomaly::SynDifferentSeq);
    rejected(talk.send(Server, SYN, S + 500, 0, 0), Anomaly::SynWrongDirection);
    assert_eq!(talk.states(), (State::Established, State::SynReceived));
}

/// RFC 9293, section 3.10.7.4: SYN-RECEIVED takes no acknowledgement but of its SYN.
#[test]
fn the_last_step_must_fit_the_first_two() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    for ack in [S, S + 2, S + 1000, S.wrapping_sub(1000)] {
        rejected(talk.send(Client, ACK, C + 1, ack, 10), Anomaly::HandshakeWrongAck);
    }
    rejected(talk.send(Client, ACK, C - 500, S + 1, 10), Anomaly::HandshakeWrongSeq);
    let both = talk.send(Client, ACK, C + 1_000_000, S + 2, 10);
    assert!(both.rejected);
    assert_eq!(
        both.anomalies.iter().collect::<Vec<_>>(),
        [Anomaly::HandshakeWrongSeq, Anomaly::HandshakeWrongAck]
    );
    assert_eq!(talk.states(), (State::Established, State::SynReceived));
    script(&mut talk, &[(Client, ACK, C + 1, S + 1, 10, State::Established, State::Established)]);
}

#[test]
fn an_end_that_does_not_wait_for_the_handshake() {
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    talk.send(Server, SYN_ACK, S, C + 1, 0);
    told(talk.send(Server, ACK, S + 1, C + 1, 0), Anomaly::AckWrongDirection);
    told(talk.send(Server, ACK, S + 1, C + 1, 10), Anomaly::DataBeforeEstablished);
    told(talk.send(Server, FIN_ACK, S + 11, C + 1, 0), Anomaly::FinBeforeEstablished);
    let mut talk = Talk::new();
    talk.send(Client, SYN, C, 0, 0);
    told(talk.send(Client, ACK, C + 1, S + 1, 0), Anomaly::OneSided);
    script(&mut talk, &[(Client, ACK, C + 1, S + 1, 10, State::Established, State::Established)]);
}

#[test]
fn data_on_a_syn_is_told_unless_a_cookie_comes_with_it() {
    told(Talk::new().send(Client, SYN, C, 0, 10), Anomaly::SynWithData);
    told(Talk::new().send_with(Client, SYN, C, 0, 10, cookie_request), Anomaly::SynWithData);
    let arrival = Talk::new().send_with(Client, SYN, C, 0, 10, with_cookie);
    assert!(!arrival.rejected && arrival.anomalies.is_empty(), "{arrival:?}");
}

/// RFC 7413, section 3: the server may answer before the handshake is over, or leave the data to be sent again.
#[test]
fn fast_open_accepted_and_ignored() {
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 10, with_cookie);
    let lines = [
        (Server, SYN_ACK, S, C + 11, 0, State::Established, State::SynReceived),
        (Server, ACK, S + 1, C + 11, 20, State::Established, State::SynReceived),
        (Client, ACK, C + 11, S + 21, 0, State::Established, State::Established),
    ];
    script(&mut talk, &lines);
    let mut talk = Talk::new();
    talk.send_with(Client, SYN, C, 0, 10, with_cookie);
    told(talk.send(Server, SYN_ACK, S, C + 1, 0), Anomaly::FastOpenDataIgnored);
}
