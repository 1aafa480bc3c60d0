//! The TCP header (RFC 9293, 3.1) and its control bits.

use std::fmt;
use std::ops::ControlFlow::Break;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

use super::{Cursor, Malformed, Outcome, Segment, Step, be16, be32};

/// The control bits of a TCP header: the nine that are assigned, and above them the three that are reserved.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset the connection.
    pub const RST: Self = Self(0x004);
    /// Push.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgment number means something.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x020);
    /// Congestion was experienced on the way (RFC 3168); a bit of the ACE counter under accurate ECN.
    pub const ECE: Self = Self(0x040);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN (RFC 9768), formerly the nonce sum (RFC 3540).
    pub const AE: Self = Self(0x100);

    const NAMES: [&'static str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

    /// The twelve bits as a number.
    #[inline]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `flags` are set.
    #[inline]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub const fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// SYN without ACK, whatever else is set.
    #[inline]
    pub const fn is_syn_only(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0) == Self::SYN.0
    }

    /// SYN with ACK, whatever else is set.
    #[inline]
    pub const fn is_syn_ack(self) -> bool {
        self.contains(Self(Self::SYN.0 | Self::ACK.0))
    }
}

impl BitOr for TcpFlags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for TcpFlags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for TcpFlags {
    type Output = Self;
    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for TcpFlags {
    type Output = Self;
    #[inline]
    fn not(self) -> Self {
        Self(!self.0 & 0x0fff)
    }
}

/// The names of the bits from the lowest up, as in `SYN|ACK`; reserved bits as one number; `0` for none.
impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in Self::NAMES.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        let reserved = self.0 & !0x1ff;
        if reserved != 0 || separator.is_empty() {
            write!(f, "{separator}{reserved:#x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpFlags({self})")
    }
}

/// A TCP header.
#[inline]
pub(super) fn tcp(cursor: &mut Cursor) -> Step {
    let header = cursor.peek::<20>(Malformed::TruncatedTcp)?;
    let header_length = usize::from(header[12] >> 4) * 4;
    let transport = cursor.offset()?;
    if header_length < 20 || header_length > cursor.end - cursor.at {
        // The ports still say which flow it belongs to.
        let segment = &mut *cursor.segment;
        (segment.transport, segment.payload) = (transport, transport);
        fill(segment, header);
        segment.flags = TcpFlags::default();
        return Break(Outcome::Malformed(Malformed::BadTcpDataOffset));
    }
    let frame = cursor.frame.len();
    let header_end = cursor.at + header_length;
    let (at, end) = (cursor.at, cursor.end);
    cursor.at = header_end.min(frame);
    let payload = cursor.offset()?;
    let segment = &mut *cursor.segment;
    segment.transport = transport;
    segment.payload = payload;
    segment.length = u32::try_from(end - header_end).unwrap_or(u32::MAX);
    segment.captured = (end.min(frame).saturating_sub(at + header_length) as u32).min(segment.length);
    fill(segment, header);
    Break(Outcome::Tcp)
}

/// Takes the fields that every packet needs.
#[inline(always)]
pub(super) fn fill(segment: &mut Segment, header: &[u8; 20]) {
    segment.seq = be32(header, 4);
    segment.ack = be32(header, 8);
    segment.flags = TcpFlags(be16(header, 12) & 0x0fff);
    segment.window = be16(header, 14);
}
