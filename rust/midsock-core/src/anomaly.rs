//! Named conditions that a well-behaved peer does not show.
//!
//! All of them are in one table: TCP's, those of flows as a whole, and those of IP. How they compare with the events of
//! other engines is told in the documentation.

#[cfg(test)]
mod tests;

/// How much there is to worry about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// Permitted and usual, but good to know: also what the capture lacks, or what a setting asked for.
    Info,
    /// Permitted but unusual, or faulty without harm.
    Notice,
    /// Against a standard: a fault, or an attempt to be misunderstood.
    Warning,
    /// What one sends who injects, hides from sensors or exhausts them; faults may look the same.
    Attack,
}

impl Severity {
    /// Every severity, the least first, in the order of its number.
    pub const ALL: [Severity; 4] = [Severity::Info, Severity::Notice, Severity::Warning, Severity::Attack];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Attack => "attack",
        }
    }
}

/// Makes the enumeration out of its table: the order gives the numbers, which columns hold, so that new conditions go to
/// the end.
macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $severity:ident;)+) => {
        /// One named condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Anomaly {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Anomaly {
            /// Every anomaly, in the order of its number.
            pub const ALL: [Anomaly; [$($name),+].len()] = [$(Anomaly::$variant),+];

            /// Its name, in snake case.
            pub fn name(self) -> &'static str {
                match self {
                    $(Anomaly::$variant => $name,)+
                }
            }

            /// How much there is to worry about.
            pub fn severity(self) -> Severity {
                match self {
                    $(Anomaly::$variant => Severity::$severity,)+
                }
            }

            /// What it is, in one or two sentences, with the RFC's section or the attack.
            pub fn description(self) -> &'static str {
                match self {
                    $(Anomaly::$variant => concat!($($doc),+).trim_ascii_start(),)+
                }
            }
        }
    };
}

anomalies! {
    /// The TCP checksum is wrong, on a side whose checksums are not left to hardware (RFC 9293, section 3.1).
    BadChecksum = "bad_checksum", Warning;
    /// The IPv4 header checksum is wrong (RFC 791, section 3.1).
    BadIpChecksum = "bad_ip_checksum", Warning;
    /// The options of the TCP header do not parse: a length that is impossible for its kind, or beyond the
    /// header's end (RFC 9293, section 3.2).
    BadOptions = "bad_options", Warning;
    /// A combination of control bits that no stack sends (RFC 9293, section 3.5): SYN with FIN or RST.
    BadFlags = "bad_flags", Attack;
    /// The segment lies outside the window that its receiver advertised (RFC 9293, section 3.10.7.4).
    OutOfWindow = "out_of_window", Warning;
    /// It acknowledges what its receiver cannot have sent, or what lies further back than any window (RFC 5961,
    /// section 5.2).
    InvalidAck = "invalid_ack", Attack;
    /// It acknowledges bytes that were never seen here: the capture lacks them.
    AckUnseen = "ack_unseen", Info;
    /// A segment of a synchronized connection without ACK (RFC 9293, section 3.10.7.4).
    NoAck = "no_ack", Attack;
    /// A RST that its receiver does not take: its sequence number is not the one expected, and is answered by a
    /// challenge at most (RFC 5961, section 3.2).
    InexactRst = "inexact_rst", Attack;
    /// A SYN inside a live connection (RFC 5961, section 4.2).
    SynOnLive = "syn_on_live", Attack;
    /// A SYN/ACK that acknowledges something else than the SYN (RFC 9293, section 3.10.7.3).
    SynAckWrongAck = "synack_wrong_ack", Attack;
    /// A SYN/ACK whose sequence number differs from that of the first one, or of the SYN that its sender sent
    /// before.
    SynAckDifferentSeq = "synack_different_seq", Attack;
    /// A FIN at another sequence number than the first one, or before data that was sent.
    FinMoved = "fin_moved", Attack;
    /// Bytes beyond the FIN (RFC 9293, section 3.6).
    DataAfterFin = "data_after_fin", Attack;
    /// A retransmission or overlap whose bytes differ from those already seen.
    DifferentContent = "different_content", Attack;
    /// The frame was captured shorter than it was.
    Truncated = "truncated", Info;
    /// Out-of-order bytes exceeded their cap: a hole was given up.
    HeldFull = "held_full", Notice;
    /// Unread bytes exceeded their cap: the oldest were dropped.
    UnreadFull = "unread_full", Notice;
    /// The stream reached the depth up to which it is wanted.
    DepthReached = "depth_reached", Info;
    /// The TCP data offset is below 20 bytes or beyond the segment's end (RFC 9293, section 3.1).
    BadHeader = "bad_header", Warning;
    /// A SYN with another sequence number than the one before it, while the handshake is under way.
    SynDifferentSeq = "syn_different_seq", Notice;
    /// A SYN of the end that has answered the other end's SYN with a SYN/ACK already.
    SynWrongDirection = "syn_wrong_direction", Attack;
    /// A SYN/ACK of the end that opened the connection, which the other end's SYN did not ask for.
    SynAckWrongDirection = "synack_wrong_direction", Attack;
    /// A SYN/ACK that is sent again with another acknowledgment number.
    SynAckDifferentAck = "synack_different_ack", Attack;
    /// A SYN with data, but without a Fast Open cookie (RFC 9293, section 3.4; RFC 7413).
    SynWithData = "syn_with_data", Notice;
    /// A SYN/ACK that does not acknowledge the data in the SYN: it has to be sent again (RFC 7413, section 3).
    FastOpenDataIgnored = "fast_open_data_ignored", Info;
    /// Both ends sent a SYN before they received the other's (RFC 9293, section 3.5).
    SimultaneousOpen = "simultaneous_open", Info;
    /// A SYN was answered by a SYN, not a SYN/ACK: the handshake of four or five steps, by which a server can
    /// make sensors take it for the client (Beardsley and Qian, 2010).
    SplitHandshake = "split_handshake", Warning;
    /// The segment that should end the handshake does not follow its sender's SYN.
    HandshakeWrongSeq = "handshake_wrong_seq", Attack;
    /// The segment that should end the handshake does not acknowledge the other end's SYN (RFC 9293, section
    /// 3.10.7.4): its sender has perhaps never seen that.
    HandshakeWrongAck = "handshake_wrong_ack", Attack;
    /// The end that sent the SYN/ACK goes on before anything acknowledged that.
    AckWrongDirection = "ack_wrong_direction", Notice;
    /// Data of an end that has not received the other's SYN yet, or before its own was acknowledged: injected,
    /// or meant for sensors only.
    DataBeforeEstablished = "data_before_established", Attack;
    /// A FIN while the handshake is under way (RFC 9293, section 3.10.4).
    FinBeforeEstablished = "fin_before_established", Notice;
    /// Many SYNs with differing sequence numbers for one connection.
    SynFlood = "syn_flood", Attack;
    /// Many SYN/ACKs that nothing answers: the SYN's source was perhaps forged.
    SynAckFlood = "synack_flood", Notice;
    /// Many FINs from one side.
    FinStorm = "fin_storm", Attack;
    /// Many RSTs from one side.
    RstStorm = "rst_storm", Attack;
    /// Many acknowledgements in a row that bring nothing new, each an answer to one of the other end: the ends
    /// no longer agree on sequence numbers (Joncheray, 1995; RFC 5961, section 5.3).
    AckStorm = "ack_storm", Attack;
    /// A RST with data (RFC 9293, section 3.10.7.4, permits it; no common stack sends it).
    RstWithData = "rst_with_data", Notice;
    /// A RST in the window but not exactly where it is expected, as one who guesses sends it (RFC 5961, section
    /// 3.2), or one after which its sender went on as if it had sent none.
    SuspectedRstInjection = "suspected_rst_injection", Attack;
    /// Data, SYN/ACK or FIN of a side that has sent a RST.
    AfterReset = "after_reset", Attack;
    /// The connection begins soon after another one of the same addresses and ports ended (RFC 9293, section
    /// 3.6.1; RFC 6191).
    PortReuse = "port_reuse", Info;
    /// The connection took the place of another one of the same addresses and ports that had not ended.
    LivePortReuse = "live_port_reuse", Notice;
    /// A segment whose timestamp is older than one already received (PAWS: RFC 7323, section 5).
    OldTimestamp = "old_timestamp", Attack;
    /// A segment without timestamp on a connection that agreed on them (RFC 7323, section 3.2).
    MissingTimestamp = "missing_timestamp", Notice;
    /// An acknowledgment number without ACK (RFC 9293, section 3.1).
    AckWithoutFlag = "ack_without_flag", Info;
    /// An end took back part of the window that it had offered (RFC 9293, section 3.8.6).
    WindowShrunk = "window_shrunk", Notice;
    /// A window scale above 14, which counts as 14 (RFC 7323, section 2.3).
    BadWindowScale = "bad_window_scale", Notice;
    /// Urgent data (RFC 6093): whether it is part of the stream is the receiver's choice.
    UrgentData = "urgent_data", Info;
    /// More urgent bytes were taken out of the stream than any program sends.
    UrgentLimit = "urgent_limit", Attack;
    /// Data before the first byte of the stream, which its SYN tells.
    DataBeforeStart = "data_before_start", Attack;
    /// Bytes that were never seen were given up though nothing acknowledged them.
    GapWithoutAck = "gap_without_ack", Notice;
    /// The connection closed while bytes of its streams were still missing.
    ClosedIncomplete = "closed_incomplete", Notice;
    /// One end acknowledges another of which nothing was seen: the packets of the two directions take different
    /// ways.
    OneSided = "one_sided", Info;
    /// A SYN/ACK of no known flow.
    SynAckWithoutFlow = "synack_without_flow", Notice;
    /// A FIN of no known flow.
    FinWithoutFlow = "fin_without_flow", Info;
    /// A RST of no known flow.
    RstWithoutFlow = "rst_without_flow", Info;
    /// IP fragments of a datagram overlap (RFC 5722, section 4; RFC 8200, section 4.5).
    FragmentOverlap = "fragment_overlap", Attack;
    /// IP fragments of a datagram overlap, and the bytes differ.
    FragmentDifferentContent = "fragment_different_content", Attack;
    /// IP fragments reach beyond the 65,535th byte of a datagram (RFC 791; the "ping of death").
    FragmentTooLong = "fragment_too_long", Attack;
    /// An IP fragment too short to hold the transport header, though others follow (RFC 1858, section 3; RFC
    /// 3128; RFC 7112).
    FragmentTiny = "fragment_tiny", Attack;
    /// An IP fragment lies wholly inside an earlier one, or ends before it begins ("teardrop").
    FragmentTeardrop = "fragment_teardrop", Attack;
    /// Fragments of a datagram were dropped because the others did not come in time (RFC 1122, section 3.3.2;
    /// RFC 8200, section 4.5).
    FragmentTimeout = "fragment_timeout", Notice;
    /// More layers in a frame than a sound one has.
    TooManyLayers = "too_many_layers", Attack;
}

// A bit each.
const _: () = assert!(Anomaly::ALL.len() <= 128);

/// A set of anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies(u128);

impl Anomalies {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, anomaly: Anomaly) {
        self.0 |= 1 << anomaly as u8;
    }

    /// Adds those of another set.
    #[inline]
    pub fn add_all(&mut self, others: Anomalies) {
        self.0 |= others.0;
    }

    /// Takes one out.
    #[inline]
    pub fn remove(&mut self, anomaly: Anomaly) {
        self.0 &= !(1 << anomaly as u8);
    }

    /// Whether one is in it.
    #[inline]
    pub fn contains(self, anomaly: Anomaly) -> bool {
        self.0 & 1 << anomaly as u8 != 0
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order of [`Anomaly::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let anomaly = *Anomaly::ALL.get(rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(anomaly)
        })
    }
}

impl FromIterator<Anomaly> for Anomalies {
    fn from_iter<I: IntoIterator<Item = Anomaly>>(list: I) -> Anomalies {
        let mut all = Anomalies::default();
        list.into_iter().for_each(|anomaly| all.add(anomaly));
        all
    }
}

/// How often each anomaly occurred: an entry for each that did, since in nearly every flow those are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnomalyCounts(Vec<(Anomaly, u32)>);

impl AnomalyCounts {
    /// One more; beyond `u32::MAX`, no more are counted.
    pub fn note(&mut self, anomaly: Anomaly) {
        match self.0.binary_search_by_key(&anomaly, |entry| entry.0) {
            Ok(place) => self.0[place].1 = self.0[place].1.saturating_add(1),
            Err(place) => self.0.insert(place, (anomaly, 1)),
        }
    }

    /// How often this one occurred.
    pub fn count(&self, anomaly: Anomaly) -> u32 {
        let place = self.0.binary_search_by_key(&anomaly, |entry| entry.0);
        place.map_or(0, |place| self.0[place].1)
    }

    /// Those that occurred and how often, in the order of [`Anomaly::ALL`].
    pub fn as_slice(&self) -> &[(Anomaly, u32)] {
        &self.0
    }
}
