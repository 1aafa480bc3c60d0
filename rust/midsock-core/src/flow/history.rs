//! What a connection went through, in Zeek's notation.
//!
//! Analysts know two columns of Zeek's connection log: `conn_state`, a word for how far both ends came, and `history`, a
//! letter for each kind of thing that happened, in order of its first occurrence, upper case for what the originator
//! sent. They follow from Zeek's own view of both ends, which knows no sequence space but only which control bits came
//! ([`Phase`]); so that view is kept here, beside the RFC's. What the letters mean, and when they are given, is what
//! Zeek's manual says of `Conn::Info`.

use crate::Side;
use crate::tcp::Seq;
use crate::wire::TcpFlags;

/// How far one end came, by its own control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It has sent nothing.
    #[default]
    Inactive,
    /// It has sent a SYN.
    SynSent,
    /// Its first packet was a SYN/ACK, and was the connection's first.
    SynAckSent,
    /// Its first packet was in the midst of a connection.
    Partial,
    /// The handshake is over.
    Established,
    /// It has sent a FIN.
    Closed,
    /// It has sent a RST.
    Reset,
}

impl Phase {
    fn is_unopened(self) -> bool {
        matches!(self, Phase::Inactive | Phase::Partial)
    }
}

/// One end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    phase: Phase,
    /// The phase before that.
    before: Phase,
    /// Which letters it has had.
    letters: u16,
    /// Where its last FIN was.
    fin: Seq,
    /// Where its last RST was.
    rst: Seq,
}

impl End {
    fn enter(&mut self, phase: Phase) {
        if phase != self.phase {
            self.before = self.phase;
            self.phase = phase;
        }
    }

    /// Open, or closed from there.
    fn is_clean(&self) -> bool {
        self.phase == Phase::Established || self.phase == Phase::Closed && self.before == Phase::Established
    }
}

/// How a connection stands, as Zeek's `conn_state` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnState {
    /// A SYN without an answer.
    S0,
    /// Established, not closed.
    S1,
    /// Established, and a FIN of the originator's without one of the responder's.
    S2,
    /// Established, and a FIN of the responder's without one of the originator's.
    S3,
    /// Established and closed by both.
    SF,
    /// The SYN was answered with a RST.
    Rej,
    /// Established, and reset by the originator.
    Rsto,
    /// Reset by the responder.
    Rstr,
    /// A SYN and then a RST of the originator's, without an answer.
    Rstos0,
    /// A SYN/ACK and then a RST of the responder's, without a SYN of the originator's.
    Rstrh,
    /// A SYN and then a FIN of the originator's, without an answer.
    Sh,
    /// A SYN/ACK and then a FIN of the responder's, without a SYN of the originator's.
    Shr,
    /// None of these: picked up midstream.
    Oth,
}

impl ConnState {
    /// Every state, in the order of its number.
    pub const ALL: [ConnState; 13] = [
        ConnState::S0,
        ConnState::S1,
        ConnState::S2,
        ConnState::S3,
        ConnState::SF,
        ConnState::Rej,
        ConnState::Rsto,
        ConnState::Rstr,
        ConnState::Rstos0,
        ConnState::Rstrh,
        ConnState::Sh,
        ConnState::Shr,
        ConnState::Oth,
    ];

    /// Its name, as Zeek writes it.
    pub fn name(self) -> &'static str {
        match self {
            ConnState::S0 => "S0",
            ConnState::S1 => "S1",
            ConnState::S2 => "S2",
            ConnState::S3 => "S3",
            ConnState::SF => "SF",
            ConnState::Rej => "REJ",
            ConnState::Rsto => "RSTO",
            ConnState::Rstr => "RSTR",
            ConnState::Rstos0 => "RSTOS0",
            ConnState::Rstrh => "RSTRH",
            ConnState::Sh => "SH",
            ConnState::Shr => "SHR",
            ConnState::Oth => "OTH",
        }
    }

    /// How a flow without connections stands: who sent anything.
    pub fn of_packets(packets: [u64; 2]) -> ConnState {
        match packets.map(|count| count > 0) {
            [true, true] => ConnState::SF,
            [true, false] => ConnState::S0,
            [false, true] => ConnState::Shr,
            [false, false] => ConnState::Oth,
        }
    }
}

/// Letters that are given once for each side, but for S, H, F and R at another sequence number.
#[derive(Clone, Copy)]
enum Letter {
    Syn,
    SynAck,
    Ack,
    Data,
    Fin,
    Rst,
    /// FIN and RST in one segment.
    Inconsistent,
    /// SYN with FIN or RST.
    Multiple,
}

const LETTERS: [u8; 8] = *b"SHADFRIQ";

/// Things that are counted: their letter is given for the first, the tenth, the hundredth and so on.
#[derive(Clone, Copy)]
enum Counted {
    Checksum,
    Gap,
    Rexmit,
    ZeroWindow,
}

const COUNTED: [u8; 4] = *b"CGTW";

/// Letters kept in place: nearly all connections have fewer.
const INLINE: usize = 13;

/// Letters kept at all: more of them come only of a side that sends ever other FINs or RSTs.
const MOST: usize = 256;

/// What few connections need.
#[derive(Clone, Debug, Default)]
struct More {
    /// How often counted things happened.
    counts: [[u32; COUNTED.len()]; 2],
    /// All letters, once they are too many.
    letters: Vec<u8>,
}

const CONTROLS: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

/// A segment as far as its history is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Its control bits.
    pub flags: TcpFlags,
    /// Its sequence number.
    pub seq: Seq,
    /// Bytes of its payload on the wire.
    pub length: u32,
    /// Its window is closed.
    pub closes_window: bool,
    /// One beyond the highest sequence number that its sender was seen to send before; none if it sent nothing. Asked for
    /// only of segments with payload.
    pub seen: Option<Seq>,
}

/// A connection's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    ends: [End; 2],
    letters: [u8; INLINE],
    length: u8,
    /// The server counts as the originator: the connection began with its SYN/ACK, and nothing spoke for another
    /// direction yet.
    is_turned: bool,
    /// Somebody may ask for it.
    is_kept: bool,
    more: Option<Box<More>>,
}

/// Sequence numbers of a SYN or RST farther away than this say nothing about what was sent before.
const TRUSTED: u32 = 1 << 20;

impl History {
    /// A history to be kept, since somebody may ask for it.
    pub fn kept() -> History {
        History { is_kept: true, ..History::default() }
    }

    /// Whether what happens is to be noted.
    #[inline]
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// A connection begins with this segment of `side`. `is_service`: whether the sender's port is one of a service.
    pub fn begin(&mut self, side: Side, flags: TcpFlags, is_service: bool) {
        if self.is_kept && side == Side::Server {
            // A SYN/ACK from nowhere may be part of a scan: its sender is the one who began.
            self.is_turned = flags.is_syn_ack() && !is_service;
            if !self.is_turned {
                self.push(b'^');
            }
        }
    }

    /// Client and server were the wrong way round.
    pub fn flip(&mut self) {
        if !self.is_kept {
            return;
        }
        self.ends.swap(0, 1);
        if let Some(more) = &mut self.more {
            more.counts.swap(0, 1);
        }
        if self.is_turned {
            // It was the server's SYN/ACK, and that is now the client.
            self.is_turned = false;
        } else {
            self.push(b'^');
        }
    }

    /// The letters.
    pub fn letters(&self) -> &str {
        let inline = || self.letters.get(..usize::from(self.length)).unwrap_or_default();
        let letters = match &self.more {
            Some(more) if !more.letters.is_empty() => &more.letters,
            _ => inline(),
        };
        // Only ASCII is ever pushed.
        std::str::from_utf8(letters).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, letter: u8) {
        match self.letters.get_mut(usize::from(self.length)) {
            Some(free) => {
                *free = letter;
                self.length += 1;
            }
            None => self.push_more(letter),
        }
    }

    /// Once there is no room in place, all letters are kept elsewhere.
    #[cold]
    fn push_more(&mut self, letter: u8) {
        let letters = &mut self.more.get_or_insert_default().letters;
        if letters.is_empty() {
            letters.extend_from_slice(&self.letters);
        }
        if letters.len() < MOST {
            letters.push(letter);
        }
    }

    fn originator(&self) -> Side {
        if self.is_turned { Side::Server } else { Side::Client }
    }

    fn cased(&self, side: Side, letter: u8) -> u8 {
        if side == self.originator() { letter } else { letter.to_ascii_lowercase() }
    }

    /// Gives a letter, unless the side has it already; returns whether it had.
    #[inline]
    fn give(&mut self, side: Side, letter: Letter) -> bool {
        let (bit, sign) = (1 << letter as u16, LETTERS[letter as usize]);
        if matches!(letter, Letter::Ack | Letter::Data) && self.is_turned && self.letters() == "H" {
            // It is no scan: somebody goes on with the connection, and the SYN/ACK was the responder's.
            self.is_turned = false;
            self.length = 0;
            self.push(b'^');
            self.push(b'h');
        }
        let had = self.ends[side.index()].letters & bit != 0;
        if !had {
            self.ends[side.index()].letters |= bit;
            self.push(self.cased(side, sign));
        }
        had
    }

    fn count(&mut self, side: Side, what: Counted) {
        let count = &mut self.more.get_or_insert_default().counts[side.index()][what as usize];
        *count = count.saturating_add(1);
        let mut power = *count;
        while power.is_multiple_of(10) {
            power /= 10;
        }
        if power == 1 {
            self.push(self.cased(side, COUNTED[what as usize]));
        }
    }

    /// A segment of `side` had a wrong TCP checksum.
    pub fn note_checksum(&mut self, side: Side) {
        self.count(side, Counted::Checksum);
    }

    /// Bytes of `side` were acknowledged that were not seen. Counts only between two ends that were established.
    pub fn note_gap(&mut self, side: Side) {
        if self.ends.iter().all(End::is_clean) {
            self.count(side, Counted::Gap);
        }
    }

    /// A segment of `side` was seen.
    pub fn note(&mut self, side: Side, sight: &Sight) {
        self.note_flags(side, sight);
        if sight.closes_window || sight.length > 0 {
            self.note_counted(side, sight);
        }
        self.advance(side, sight.flags, sight.length);
    }

    /// What is counted of a segment: that it closes the window, and that it repeats data.
    fn note_counted(&mut self, side: Side, sight: &Sight) {
        let (end, other) = (self.ends[side.index()], self.ends[side.other().index()]);
        let is_rst = sight.flags.contains(TcpFlags::RST);
        if sight.closes_window && !is_rst && other.phase != Phase::Closed && end.phase != Phase::Reset {
            self.count(side, Counted::ZeroWindow);
        }
        if sight.length > 0 && end.phase != Phase::Reset && self.repeats(side, sight) {
            self.count(side, Counted::Rexmit);
        }
    }

    /// A segment of `side` was seen that carries nothing but data and acknowledgement, in order, between two ends in the
    /// midst of the connection: it moves neither.
    pub fn note_plain(&mut self, side: Side, length: u32) {
        self.give(side, if length > 0 { Letter::Data } else { Letter::Ack });
    }

    /// The letters of control bits, data and acknowledgements.
    #[inline]
    fn note_flags(&mut self, side: Side, sight: &Sight) {
        let flags = sight.flags;
        let has = |bit: TcpFlags| flags.contains(bit);
        let controls = flags & CONTROLS;
        if controls.0.count_ones() > 1 {
            let is_end = has(TcpFlags::FIN) && has(TcpFlags::RST);
            self.give(side, if is_end { Letter::Inconsistent } else { Letter::Multiple });
        } else if has(TcpFlags::SYN) {
            self.give(side, if has(TcpFlags::ACK) { Letter::SynAck } else { Letter::Syn });
        } else if has(TcpFlags::FIN) {
            // A FIN is where the data end, wherever its segment begins.
            let at = sight.seq.plus(sight.length);
            if self.give(side, Letter::Fin) && self.ends[side.index()].fin != at {
                self.push(self.cased(side, b'F'));
            }
            self.ends[side.index()].fin = at;
        } else if has(TcpFlags::RST) {
            if self.give(side, Letter::Rst) && self.ends[side.index()].rst != sight.seq {
                self.push(self.cased(side, b'R'));
            }
            self.ends[side.index()].rst = sight.seq;
        } else if sight.length > 0 {
            self.give(side, Letter::Data);
        } else if has(TcpFlags::ACK) {
            self.give(side, Letter::Ack);
        }
    }

    /// Whether a segment with payload brings nothing beyond what its sender had sent.
    fn repeats(&self, side: Side, sight: &Sight) -> bool {
        let flags = sight.flags;
        let (is_syn, is_rst) = (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::RST));
        let is_first = self.ends[side.index()].phase == Phase::Inactive;
        let Some(seen) = sight.seen.filter(|_| !is_first) else {
            // A first SYN or RST says itself how far its sender is, data of a SYN included.
            return is_first && (is_syn || is_rst);
        };
        let controls = u32::from(is_syn) + u32::from(flags.contains(TcpFlags::FIN));
        let end = sight.seq.plus(controls).plus(if is_rst { 0 } else { sight.length });
        let ahead = end.since(seen);
        ahead <= 0 && (!(is_syn || is_rst) || ahead.unsigned_abs() <= TRUSTED)
    }

    /// Moves the end that sent this.
    fn advance(&mut self, side: Side, flags: TcpFlags, length: u32) {
        let is_orig = side == self.originator();
        let (is_syn, is_ack) = (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::ACK));
        let (is_fin, is_rst) = (flags.contains(TcpFlags::FIN), flags.contains(TcpFlags::RST));
        let peer_phase = self.ends[side.other().index()].phase;
        let (i, other) = (side.index(), side.other().index());
        match self.ends[i].phase {
            Phase::Inactive => {
                if is_syn && is_orig {
                    self.ends[i].enter(if is_ack { Phase::SynAckSent } else { Phase::SynSent });
                } else if is_syn {
                    if !is_ack && peer_phase == Phase::SynAckSent {
                        // SYN and SYN/ACK were captured in the wrong order.
                        self.is_turned = false;
                        self.push(b'^');
                        self.ends[other].enter(Phase::Established);
                    } else if peer_phase == Phase::SynSent {
                        self.ends[other].enter(Phase::Established);
                    }
                    self.ends[i].enter(Phase::Established);
                }
                if is_fin {
                    self.ends[i].enter(Phase::Closed);
                }
                if is_rst {
                    self.ends[i].enter(Phase::Reset);
                }
                // Some acknowledge a SYN before they answer it.
                let precedes = !is_orig && length == 0 && peer_phase == Phase::SynSent;
                if self.ends[i].phase == Phase::Inactive && !precedes {
                    let answers = is_ack && peer_phase == Phase::Established;
                    self.ends[i].enter(if answers { Phase::Established } else { Phase::Partial });
                }
            }
            Phase::SynSent | Phase::SynAckSent => {
                if is_fin {
                    self.ends[i].enter(Phase::Closed);
                }
                if is_rst {
                    self.ends[i].enter(Phase::Reset);
                }
            }
            Phase::Established | Phase::Partial => {
                let is_partial = self.ends[i].phase == Phase::Partial;
                if is_syn && !is_ack && is_partial && peer_phase == Phase::Inactive {
                    self.ends[i].enter(Phase::SynSent);
                }
                if is_fin && !is_rst {
                    self.ends[i].enter(Phase::Closed);
                    let peer = &mut self.ends[other];
                    if peer.phase == Phase::Reset && peer.before == Phase::Closed {
                        // It had closed in the normal way before its RST.
                        peer.enter(Phase::Closed);
                    }
                }
                if is_rst {
                    self.ends[i].enter(Phase::Reset);
                }
            }
            Phase::Closed => {
                if is_rst && peer_phase != Phase::Closed {
                    self.ends[i].enter(Phase::Reset);
                }
            }
            Phase::Reset => {}
        }
    }

    /// How the connection stands; `had_data` says whether any payload was sent.
    pub fn state(&self, had_data: bool) -> ConnState {
        let side = self.originator();
        let (orig, resp) = (self.ends[side.index()].phase, self.ends[side.other().index()].phase);
        match (orig, resp) {
            (Phase::SynSent | Phase::SynAckSent, Phase::Reset) => ConnState::Rej,
            (Phase::Reset, Phase::Reset) if !had_data => ConnState::Rej,
            (_, Phase::Reset) if orig.is_unopened() => ConnState::Rstrh,
            (_, Phase::Reset) => ConnState::Rstr,
            (Phase::Reset, _) if resp.is_unopened() => {
                if self.is_syn_then_rst() {
                    ConnState::Rstos0
                } else {
                    ConnState::Oth
                }
            }
            (Phase::Reset, _) => ConnState::Rsto,
            (Phase::Closed, Phase::Closed) => ConnState::SF,
            (Phase::Closed, _) if resp.is_unopened() => ConnState::Sh,
            (Phase::Closed, _) => ConnState::S2,
            (_, Phase::Closed) if orig.is_unopened() => ConnState::Shr,
            (_, Phase::Closed) => ConnState::S3,
            (Phase::SynSent, Phase::Inactive) => ConnState::S0,
            (Phase::Established, Phase::Established) => ConnState::S1,
            _ => ConnState::Oth,
        }
    }

    /// Whether the originator's first letter is its SYN, and its RST comes before any other of a few.
    fn is_syn_then_rst(&self) -> bool {
        let letters = self.letters();
        let letters = letters.strip_prefix('^').unwrap_or(letters);
        let Some(rest) = letters.strip_prefix('S') else { return false };
        rest.find(|letter| "HAFGIQR".contains(letter)).is_some_and(|at| rest.as_bytes()[at] == b'R')
    }
}

#[cfg(test)]
mod tests;
