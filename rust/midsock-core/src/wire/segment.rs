//! A TCP segment within a frame.

use super::TcpFlags;

/// A TCP segment found in a frame; all offsets count from the frame's first byte.
///
/// The accessors take the frame that the segment was decoded from. Given another, shorter one they return what is
/// there: an empty slice, or zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where the IP header that carries TCP starts.
    pub network: u16,
    /// Where the TCP header starts.
    pub transport: u16,
    /// Where the TCP payload starts: the end of the header, also if there is no payload. If the capture cut the
    /// header's options, the frame's end.
    pub payload: u16,
    /// TCP payload bytes on the wire, by the IP length (padding does not count). Where the IP length is 0, as
    /// segmentation offload leaves it, or beyond the frame's length on the wire, by that length.
    pub length: u32,
    /// TCP payload bytes present in the frame; at most `length`.
    pub captured: u32,
    /// The sequence number of the segment's first octet: its SYN, if it has one.
    pub seq: u32,
    /// The acknowledgment number; means something only with ACK.
    pub ack: u32,
    /// The window field, unscaled.
    pub window: u16,
    /// The control bits.
    pub flags: TcpFlags,
    /// The IP version, 4 or 6.
    pub version: u8,
    /// How many tunnels it came through; what tells them apart is to be had from [`path`](super::path).
    pub tunnels: u8,
    /// VLAN ids, outermost first; 0: none. A tag with id 0 (a priority tag, IEEE 802.1Q) counts as none.
    pub vlan: [u16; 2],
}

impl Segment {
    /// Whether its header is no sound one ([`BadTcpDataOffset`](super::Malformed::BadTcpDataOffset)): it then has ports,
    /// but neither control bits nor payload.
    #[inline]
    pub fn is_broken(&self) -> bool {
        self.payload <= self.transport
    }

    /// The source address in network order: 4 or 16 bytes.
    #[inline]
    pub fn source<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let addresses = self.addresses(frame);
        &addresses[..addresses.len() / 2]
    }

    /// The destination address in network order: 4 or 16 bytes. This is the IP header's, also where an IPv6 routing
    /// header names a later one.
    #[inline]
    pub fn destination<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let addresses = self.addresses(frame);
        &addresses[addresses.len() / 2..]
    }

    /// The source and then the destination address in network order, as they lie in the header: 8 or 32 bytes.
    #[inline]
    pub fn addresses<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let network = usize::from(self.network);
        let range = if self.version == 4 { network + 12..network + 20 } else { network + 8..network + 40 };
        frame.get(range).unwrap_or_default()
    }

    /// The source and then the destination port in network order, as they lie in the header.
    #[inline]
    pub fn ports(&self, frame: &[u8]) -> [u8; 4] {
        self.header_field(frame, 0)
    }

    /// The source port.
    #[inline]
    pub fn source_port(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes(self.header_field(frame, 0))
    }

    /// The destination port.
    #[inline]
    pub fn destination_port(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes(self.header_field(frame, 2))
    }

    /// The payload, as far as it was captured.
    #[inline]
    pub fn payload<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let start = usize::from(self.payload);
        frame.get(start..start.saturating_add(self.captured as usize)).unwrap_or_default()
    }

    /// The TCP options, padding included, as far as they were captured; for [`options::parse`](super::options::parse).
    #[inline]
    pub fn options<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(usize::from(self.transport) + 20..usize::from(self.payload)).unwrap_or_default()
    }

    /// The TCP checksum field.
    #[inline]
    pub fn checksum(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes(self.header_field(frame, 16))
    }

    /// The urgent pointer; means something only with URG.
    #[inline]
    pub fn urgent(&self, frame: &[u8]) -> u16 {
        u16::from_be_bytes(self.header_field(frame, 18))
    }

    /// The IPv4 time to live or IPv6 hop limit.
    #[inline]
    pub fn ttl(&self, frame: &[u8]) -> u8 {
        let at = if self.version == 4 { 8 } else { 7 };
        frame.get(usize::from(self.network) + at).copied().unwrap_or_default()
    }

    /// The IPv4 type of service or IPv6 traffic class: six bits of DSCP (RFC 2474) and two of ECN (RFC 3168).
    #[inline]
    pub fn tos(&self, frame: &[u8]) -> u8 {
        let Some(&[first, second]) = frame.get(usize::from(self.network)..).and_then(<[u8]>::first_chunk)
        else {
            return 0;
        };
        if self.version == 4 { second } else { first << 4 | second >> 4 }
    }

    /// What the segment takes of the sequence space: its payload, and one each for SYN and FIN (RFC 9293, 3.4).
    #[inline]
    pub fn sequence_length(&self) -> u32 {
        let controls =
            u32::from(self.flags.contains(TcpFlags::SYN)) + u32::from(self.flags.contains(TcpFlags::FIN));
        self.length.wrapping_add(controls)
    }

    /// `N` bytes of the TCP header, `at` bytes into it.
    #[inline]
    fn header_field<const N: usize>(&self, frame: &[u8], at: usize) -> [u8; N] {
        let start = usize::from(self.transport) + at;
        frame.get(start..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }
}
