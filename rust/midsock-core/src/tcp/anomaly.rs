//! Named conditions that a well-behaved connection does not show.

/// One named condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Anomaly {
    /// The TCP checksum is wrong, on a side whose checksums are not left to hardware.
    BadChecksum,
    /// The IPv4 header checksum is wrong.
    BadIpChecksum,
    /// The options of the TCP header do not parse.
    BadOptions,
    /// A combination of flags that no stack sends (RFC 9293, section 3.5): SYN with FIN or RST, or none at all.
    BadFlags,
    /// The segment lies outside the window that its receiver advertised (RFC 9293, section 3.10.7.4).
    OutOfWindow,
    /// It acknowledges what its receiver cannot have sent (RFC 5961, section 5.2).
    InvalidAck,
    /// It acknowledges bytes that were never seen here: the capture lacks them.
    AckUnseen,
    /// A segment of a synchronized connection without ACK (RFC 9293, section 3.10.7.4).
    NoAck,
    /// A RST whose sequence number is not exactly the next one (RFC 5961, section 3.2).
    InexactRst,
    /// A SYN inside a live connection (RFC 5961, section 4.2).
    SynOnLive,
    /// A SYN/ACK that acknowledges something else than the SYN.
    SynAckWrongAck,
    /// A SYN/ACK whose sequence number differs from the first one's.
    SynAckDifferentSeq,
    /// A FIN at another sequence number than the first one.
    FinMoved,
    /// Bytes beyond the FIN.
    DataAfterFin,
    /// A retransmission or overlap whose bytes differ from those already seen.
    DifferentContent,
    /// The frame was captured shorter than it was.
    Truncated,
    /// Out-of-order bytes exceeded their cap: a hole was given up.
    HeldFull,
    /// Unread bytes exceeded their cap: the oldest were dropped.
    UnreadFull,
    /// The stream reached the depth up to which it is wanted.
    DepthReached,
    /// The TCP data offset is below 20 bytes or beyond the segment's end (RFC 9293, section 3.1).
    BadHeader,
}

impl Anomaly {
    /// Every anomaly, in the order of its number.
    pub const ALL: [Anomaly; 20] = [
        Anomaly::BadChecksum,
        Anomaly::BadIpChecksum,
        Anomaly::BadOptions,
        Anomaly::BadFlags,
        Anomaly::OutOfWindow,
        Anomaly::InvalidAck,
        Anomaly::AckUnseen,
        Anomaly::NoAck,
        Anomaly::InexactRst,
        Anomaly::SynOnLive,
        Anomaly::SynAckWrongAck,
        Anomaly::SynAckDifferentSeq,
        Anomaly::FinMoved,
        Anomaly::DataAfterFin,
        Anomaly::DifferentContent,
        Anomaly::Truncated,
        Anomaly::HeldFull,
        Anomaly::UnreadFull,
        Anomaly::DepthReached,
        Anomaly::BadHeader,
    ];

    /// Its name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Anomaly::BadChecksum => "bad_checksum",
            Anomaly::BadIpChecksum => "bad_ip_checksum",
            Anomaly::BadOptions => "bad_options",
            Anomaly::BadFlags => "bad_flags",
            Anomaly::OutOfWindow => "out_of_window",
            Anomaly::InvalidAck => "invalid_ack",
            Anomaly::AckUnseen => "ack_unseen",
            Anomaly::NoAck => "no_ack",
            Anomaly::InexactRst => "inexact_rst",
            Anomaly::SynOnLive => "syn_on_live",
            Anomaly::SynAckWrongAck => "synack_wrong_ack",
            Anomaly::SynAckDifferentSeq => "synack_different_seq",
            Anomaly::FinMoved => "fin_moved",
            Anomaly::DataAfterFin => "data_after_fin",
            Anomaly::DifferentContent => "different_content",
            Anomaly::Truncated => "truncated",
            Anomaly::HeldFull => "held_full",
            Anomaly::UnreadFull => "unread_full",
            Anomaly::DepthReached => "depth_reached",
            Anomaly::BadHeader => "bad_header",
        }
    }
}

/// A set of anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies(u32);

impl Anomalies {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, anomaly: Anomaly) {
        self.0 |= 1 << anomaly as u8;
    }

    /// Whether one is in it.
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
        // Nearly always there is none: then it is not worth a look at all of them.
        let all: &[Anomaly] = if self.is_empty() { &[] } else { &Anomaly::ALL };
        all.iter().copied().filter(move |anomaly| self.contains(*anomaly))
    }
}
