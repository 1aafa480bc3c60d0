//! The part of an endpoint that few packets touch.

use super::{Rtt, Seq};
use crate::reassembly::{Overlap, Stream, Urgent};

/// What is known of one end beyond its [`Endpoint`](super::Endpoint).
#[derive(Default)]
pub struct Details {
    /// The initial sequence number, if its SYN was seen.
    pub isn: Seq,
    /// The sequence number of its FIN, if that was seen.
    pub fin: Seq,
    /// The maximum segment size that it announced; 0 if it announced none.
    pub mss: u16,
    /// The window scale that it offered in its SYN.
    pub scale: Option<u8>,
    /// It permitted selective acknowledgements in its SYN.
    pub sack_permitted: bool,
    /// It sends timestamps (RFC 7323).
    pub timestamps: bool,
    /// How the receiver of its segments settles overlap among them, and where it accepts a RST.
    pub overlap: Overlap,
    /// What the receiver of its segments makes of urgent data.
    pub urgent: Urgent,
    /// How it took part in the handshake.
    pub marks: Marks,
    /// Its RSTs, at most `u16::MAX`.
    pub resets: u16,
    /// Its acknowledgements in a row that were of no use, and its packets (as far as they fit) at the last of them.
    pub(crate) idle_acks: (u16, u16),
    /// Connections of this tuple in a row that did not come beyond its SYN.
    pub(crate) attempts: u8,
    /// The latest of its timestamps that came in order (RFC 7323's `TS.Recent`, as far as packets showed it).
    pub recent: u32,
    /// Round trips from here to the other end and back.
    pub rtt: Rtt,
    /// Its bytes, where they cannot be handed on straight from the packet.
    pub stream: Option<Box<Stream>>,
    /// A sequence number of its stream and that byte's offset.
    anchor: (Seq, u64),
}

/// How an endpoint took part in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// It sent a SYN without ACK.
    pub const SYN: Marks = Marks(1 << 0);
    /// It sent a SYN/ACK.
    pub const SYN_ACK: Marks = Marks(1 << 1);
    /// Its SYN had a Fast Open cookie (RFC 7413).
    pub const COOKIE: Marks = Marks(1 << 2);
    /// Its SYN had data.
    pub const SYN_DATA: Marks = Marks(1 << 3);
    /// Its SYN asked for a Fast Open cookie, or its SYN/ACK brought one.
    pub const FAST_OPEN: Marks = Marks(1 << 4);

    /// Whether any of these bits is set.
    pub fn any(self, bits: Marks) -> bool {
        self.0 & bits.0 != 0
    }

    /// Whether all of these bits are set.
    pub fn all(self, bits: Marks) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Sets these bits.
    pub fn set(&mut self, bits: Marks) {
        self.0 |= bits.0;
    }

    /// Clears these bits.
    pub fn clear(&mut self, bits: Marks) {
        self.0 &= !bits.0;
    }
}

impl std::ops::BitOr for Marks {
    type Output = Marks;

    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}

impl Details {
    /// Says that the stream begins, or goes on, at this sequence number with this offset.
    pub fn start(&mut self, seq: Seq, offset: u64) {
        self.anchor = (seq, offset);
    }

    /// The sequence number of the stream's first byte.
    pub fn first(&self) -> Seq {
        // Offsets and sequence numbers wrap together.
        self.anchor.0.minus(self.anchor.1 as u32)
    }

    /// The stream offset of a sequence number at or beyond the last anchor, and less than 4 GiB from it.
    #[inline]
    pub fn offset(&self, seq: Seq) -> u64 {
        self.anchor.1 + u64::from(seq.0.wrapping_sub(self.anchor.0.0))
    }

    /// The same in the stream as it is told: without the urgent bytes that were taken out.
    pub fn told_offset(&self, seq: Seq) -> u64 {
        self.offset(seq) - self.stream.as_ref().map_or(0, |stream| stream.urgent.taken())
    }

    /// Moves the anchor up to where the stream's head is now, so that offsets stay right across wrap-around; has to
    /// happen at least once in 4 GiB.
    #[inline]
    pub fn anchor(&mut self, head: Seq) {
        self.anchor = (head, self.offset(head));
    }
}
