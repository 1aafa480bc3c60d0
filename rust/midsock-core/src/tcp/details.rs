//! The part of an endpoint that few packets touch.

use super::{Rtt, Seq};
use crate::reassembly::Stream;

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
    /// Round trips from here to the other end and back.
    pub rtt: Rtt,
    /// Its bytes, where they cannot be handed on straight from the packet.
    pub stream: Option<Box<Stream>>,
    /// A sequence number of its stream and that byte's offset.
    anchor: (Seq, u64),
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

    /// Moves the anchor up to where the stream's head is now, so that offsets stay right across wrap-around; has to
    /// happen at least once in 4 GiB.
    #[inline]
    pub fn anchor(&mut self, head: Seq) {
        self.anchor = (head, self.offset(head));
    }
}
