//! Conversations and what Zeek's manual says of them.

use super::*;

const S: TcpFlags = TcpFlags::SYN;
const SA: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const A: TcpFlags = TcpFlags::ACK;
const FA: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const R: TcpFlags = TcpFlags::RST;
const RA: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

/// Notes segments as (side, flags, seq, length) and keeps what each side has sent.
#[derive(Default)]
struct Talk {
    history: History,
    sent: [Option<Seq>; 2],
    data: bool,
}

impl Talk {
    fn begin(side: Side, flags: TcpFlags, is_service: bool) -> Talk {
        let mut talk = Talk { history: History::kept(), ..Talk::default() };
        talk.history.begin(side, flags, is_service);
        talk
    }

    fn say(mut self, side: u8, flags: TcpFlags, seq: u32, length: u32) -> Talk {
        let side = if side == 0 { Side::Client } else { Side::Server };
        let sent = &mut self.sent[side.index()];
        let sight = Sight { flags, seq: Seq(seq), length, closes_window: false, seen: *sent };
        self.history.note(side, &sight);
        let controls = u32::from(flags.contains(S)) + u32::from(flags.contains(TcpFlags::FIN));
        let end = Seq(seq).plus(length + controls);
        *sent = Some(sent.map_or(end, |before| if end.after(before) { end } else { before }));
        self.data |= length > 0;
        self
    }

    fn handshake() -> Talk {
        Talk::begin(Side::Client, S, false).say(0, S, 100, 0).say(1, SA, 500, 0).say(0, A, 101, 0)
    }

    fn is(&self, state: ConnState, letters: &str) {
        assert_eq!((self.history.state(self.data).name(), self.history.letters()), (state.name(), letters));
    }
}

#[test]
fn a_connection_goes_through_the_states_of_its_control_bits() {
    Talk::begin(Side::Client, S, false).say(0, S, 100, 0).say(0, S, 100, 0).is(ConnState::S0, "S");
    Talk::handshake().is(ConnState::S1, "ShA");
    let talk = Talk::handshake().say(0, A, 101, 10).say(1, A, 501, 0).say(1, A, 501, 20).say(0, A, 111, 0);
    talk.is(ConnState::S1, "ShADad");
    let half = talk.say(0, FA, 111, 0);
    half.is(ConnState::S2, "ShADadF");
    half.say(1, FA, 521, 0).is(ConnState::SF, "ShADadFf");
    Talk::handshake().say(1, FA, 501, 0).is(ConnState::S3, "ShAf");
    Talk::handshake().say(0, RA, 101, 0).is(ConnState::Rsto, "ShAR");
    Talk::handshake().say(1, RA, 501, 0).is(ConnState::Rstr, "ShAr");
}

#[test]
fn attempts_end_in_words_of_their_own() {
    let syn = || Talk::begin(Side::Client, S, false).say(0, S, 100, 0);
    syn().say(1, RA, 0, 0).is(ConnState::Rej, "Sr");
    syn().say(0, R, 101, 0).is(ConnState::Rstos0, "SR");
    syn().say(0, FA, 101, 0).is(ConnState::Sh, "SF");
    let answer = || Talk::begin(Side::Server, SA, true).say(1, SA, 500, 0);
    answer().is(ConnState::Oth, "^h");
    answer().say(1, R, 501, 0).is(ConnState::Rstrh, "^hr");
    answer().say(1, FA, 501, 0).is(ConnState::Shr, "^hf");
    answer().say(0, A, 101, 0).is(ConnState::S1, "^hA");
}

#[test]
fn a_syn_ack_from_nowhere_counts_as_a_scan_until_somebody_goes_on() {
    let answer = || Talk::begin(Side::Server, SA, false).say(1, SA, 500, 0);
    answer().is(ConnState::Oth, "H");
    answer().say(0, R, 101, 0).is(ConnState::Rej, "Hr");
    answer().say(0, A, 101, 0).say(0, A, 101, 5).is(ConnState::Oth, "^hAD");
    // SYN and SYN/ACK were captured in the wrong order.
    answer().say(0, S, 100, 0).say(0, A, 101, 0).is(ConnState::S1, "Hs^A");
}

#[test]
fn midstream_connections_are_others() {
    let talk = Talk::begin(Side::Client, A, false).say(0, A, 100, 10).say(1, A, 500, 0);
    talk.is(ConnState::Oth, "Da");
    talk.say(0, FA, 110, 0).say(1, FA, 500, 0).is(ConnState::SF, "DaFf");
    Talk::begin(Side::Server, A, true).say(1, A, 500, 9).say(0, A, 100, 0).is(ConnState::Oth, "^dA");
}

#[test]
fn counted_letters_come_at_powers_of_ten() {
    let mut talk = Talk::handshake().say(0, A, 101, 10);
    for _ in 0..9 {
        talk = talk.say(0, A, 101, 10);
    }
    talk.is(ConnState::S1, "ShADT");
    talk = talk.say(0, A, 101, 10);
    talk.is(ConnState::S1, "ShADTT");
    for _ in 0..89 {
        talk = talk.say(0, A, 101, 10);
    }
    talk.is(ConnState::S1, "ShADTT");
    talk.say(0, A, 101, 10).is(ConnState::S1, "ShADTTT");
}

#[test]
fn controls_at_another_number_are_told_again_and_mixed_ones_apart() {
    let talk = Talk::handshake().say(0, FA, 101, 0).say(0, FA, 101, 0).say(0, FA, 90, 11).say(0, FA, 120, 0);
    talk.is(ConnState::S2, "ShAFTF");
    let talk = Talk::handshake().say(1, R, 501, 0).say(1, R, 501, 0).say(1, R, 600, 0);
    talk.is(ConnState::Rstr, "ShArr");
    let mixed = TcpFlags(TcpFlags::FIN.0 | TcpFlags::RST.0);
    Talk::handshake().say(0, mixed, 101, 0).is(ConnState::Rsto, "ShAI");
    let mixed = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0);
    Talk::begin(Side::Client, mixed, false).say(0, mixed, 100, 0).is(ConnState::Sh, "Q");
}

#[test]
fn gaps_count_between_established_ends_only() {
    let mut talk = Talk::handshake();
    talk.history.note_gap(Side::Server);
    talk.is(ConnState::S1, "ShAg");
    let mut talk = Talk::begin(Side::Client, A, false).say(0, A, 100, 10);
    talk.history.note_gap(Side::Client);
    talk.history.note_checksum(Side::Server);
    talk.is(ConnState::Oth, "Dc");
}

#[test]
fn a_side_that_resets_for_ever_fills_no_memory() {
    let mut talk = Talk::handshake();
    for n in 0..10_000 {
        talk = talk.say(0, R, n, 0);
    }
    assert_eq!(talk.history.letters().len(), MOST);
    assert!(talk.history.letters().starts_with("ShARRR"));
}

#[test]
fn a_connection_that_was_the_wrong_way_round_is_flipped() {
    let mut talk = Talk::begin(Side::Client, A, false).say(0, A, 100, 10);
    talk.history.flip();
    talk.say(0, A, 500, 10).is(ConnState::Oth, "D^D");
}

#[test]
fn the_record_stays_small() {
    assert!(size_of::<History>() <= 48);
}
