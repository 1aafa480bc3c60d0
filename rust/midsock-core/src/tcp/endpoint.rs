//! What is known of one end of a connection.

use super::{Seq, State};
use crate::wire::options::MAX_WINDOW_SCALE;

/// The part of an endpoint that every packet touches; the rest is in [`Details`](super::Details).
#[derive(Clone, Copy, Debug, Default)]
pub struct Endpoint {
    /// One beyond the highest sequence number it sent (RFC 9293's SND.NXT, as far as packets showed it).
    pub next: Seq,
    /// The first sequence number of its stream that was not seen; beyond it there may be held ranges. Never counts
    /// the FIN.
    pub head: Seq,
    /// The highest sequence number that the other end acknowledged (SND.UNA).
    pub acked: Seq,
    /// One beyond the highest sequence number that the other end is ready to receive.
    pub edge: Seq,
    /// Its state.
    pub state: State,
    /// What the ends agreed on of windows and timestamps.
    pub scale: Scale,
    /// What else every packet asks.
    pub flags: Flags,
}

/// How far the windows that an endpoint advertises are shifted, and whether its segments bear timestamps (RFC 7323).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale(u8);

impl Scale {
    /// Beside the shift, which is less than 16: its segments have to bear timestamps.
    const STAMPED: u8 = 1 << 7;

    /// Windows shifted by at most 14, and whether segments bear timestamps.
    pub fn new(shift: u8, is_stamped: bool) -> Scale {
        Scale(shift.min(MAX_WINDOW_SCALE) | if is_stamped { Scale::STAMPED } else { 0 })
    }

    /// The shift: 0 to 14.
    pub fn shift(self) -> u8 {
        self.0 & !Scale::STAMPED
    }

    /// Whether both ends agreed on timestamps.
    #[inline]
    pub fn is_stamped(self) -> bool {
        self.0 & Scale::STAMPED != 0
    }

    /// The window that a window field stands for, in bytes.
    #[inline]
    pub fn window(self, field: u16) -> u32 {
        // Shifts of 32 bits look at the lowest five bits only: the bit beside the shift does not matter.
        u32::from(field).wrapping_shl(self.0.into())
    }
}

/// Bits of an [`Endpoint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// It has sent at least one segment: `next` and `head` hold.
    pub const SEEN: Flags = Flags(1 << 0);
    /// Its SYN was seen: `isn` holds.
    pub const SYN: Flags = Flags(1 << 1);
    /// Its FIN was seen: `fin` holds.
    pub const FIN: Flags = Flags(1 << 2);
    /// The other end has received its FIN in order.
    pub const FIN_RECEIVED: Flags = Flags(1 << 3);
    /// The other end has acknowledged something: `acked` and `edge` hold.
    pub const ACKED: Flags = Flags(1 << 4);
    /// Ranges beyond `head` were seen.
    pub const HELD: Flags = Flags(1 << 5);
    /// The other end acknowledged bytes that were never seen; they are given some time to turn up.
    pub const LACKING: Flags = Flags(1 << 6);
    /// A round trip is being measured.
    pub const TIMING: Flags = Flags(1 << 7);
    /// The application does not want this side's state.
    pub const UNTRACKED: Flags = Flags(1 << 8);
    /// The application wants this side's stream, whatever the monitoring sockets say.
    pub const COLLECT: Flags = Flags(1 << 9);
    /// The application does not want this side's stream, whatever the monitoring sockets say.
    pub const DISCARD: Flags = Flags(1 << 10);
    /// Its segments have had right checksums: a wrong one is an error, not checksum offload.
    pub const SUMS_GOOD: Flags = Flags(1 << 11);
    /// There is a [`Stream`](crate::reassembly::Stream) that its bytes go through.
    pub const STREAM: Flags = Flags(1 << 12);
    /// Its stream has reached the depth up to which it is wanted.
    pub const DEEP: Flags = Flags(1 << 13);
    /// It has sent data: the letter for that is in the flow's history.
    pub const DATA_NOTED: Flags = Flags(1 << 14);
    /// It has sent a segment that only acknowledges: the letter for that is in the flow's history.
    pub const ACK_NOTED: Flags = Flags(1 << 15);

    /// The bit that says that the letter of a segment without SYN, FIN and RST, of this length, is in the flow's history.
    #[inline]
    pub const fn noted(length: u32) -> Flags {
        if length > 0 { Flags::DATA_NOTED } else { Flags::ACK_NOTED }
    }

    /// Whether any of these bits is set.
    #[inline]
    pub fn any(self, bits: Flags) -> bool {
        self.0 & bits.0 != 0
    }

    /// Whether all of these bits are set.
    #[inline]
    pub fn all(self, bits: Flags) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// These bits and those.
    #[must_use]
    pub const fn or(self, bits: Flags) -> Flags {
        Flags(self.0 | bits.0)
    }

    /// Sets these bits.
    #[inline]
    pub fn set(&mut self, bits: Flags) {
        self.0 |= bits.0;
    }

    /// Clears these bits.
    #[inline]
    pub fn clear(&mut self, bits: Flags) {
        self.0 &= !bits.0;
    }

    /// Sets or clears these bits.
    #[inline]
    pub fn put(&mut self, bits: Flags, on: bool) {
        if on { self.set(bits) } else { self.clear(bits) }
    }
}

impl std::ops::BitAnd for Flags {
    type Output = Flags;

    #[inline]
    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    #[inline]
    fn bitor(self, other: Flags) -> Flags {
        self.or(other)
    }
}

impl Endpoint {
    /// Whether its FIN was acknowledged.
    #[inline]
    pub fn is_fin_acked(&self, fin: Seq) -> bool {
        self.flags.all(Flags::FIN | Flags::ACKED) && self.acked.after(fin)
    }

    /// The receive window that `other` advertised last, in bytes: how much more this endpoint may send.
    #[inline]
    pub fn allowance(&self) -> u32 {
        if self.flags.any(Flags::ACKED) { self.edge.since(self.acked).max(0) as u32 } else { 0 }
    }
}
