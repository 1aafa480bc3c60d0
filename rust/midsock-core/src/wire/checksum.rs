//! The Internet checksum (RFC 1071): verifying it, and mending it after a change (RFC 1624).

use super::{Segment, ip};

/// What is to be said of a TCP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// The field holds just the sum of the pseudo-header, or nothing: the frame was captured on its way to hardware that
    /// fills the rest in, or was put together from several (offload).
    Partial,
    /// It covers bytes that are not in the frame.
    Unknown,
}

/// The ones' complement sum of `bytes` as big-endian words of 16 bits, an odd last byte padded with zero; at most
/// 65,535, so that sums may be added before they are [folded](fold).
///
/// The sum of two pieces is the sum of the whole only if the first one has an even length.
#[inline]
pub fn sum(bytes: &[u8]) -> u32 {
    // The sum does not care how the bytes are grouped or ordered as long as pairs stay pairs (RFC 1071, 2), so words of
    // 32 bits are taken in the machine's order, and the carries gather in the upper half of 64 bits: 2^32 words fit.
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut total = if blocks.is_empty() { 0 } else { sum_blocks(blocks) };
    let (words, rest) = rest.as_chunks();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        total += u64::from(u32::from_ne_bytes(last));
    }
    let total = fold_once(fold_once(total)) as u32;
    u32::from(u16::from_be(fold(total)))
}

/// The bulk of [`sum`], in lanes that the compiler keeps in vector registers; below 2^37.
fn sum_blocks(blocks: &[[u8; 64]]) -> u64 {
    let mut lanes = [0_u64; 16];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
    }
    lanes.into_iter().map(fold_once).sum()
}

/// Adds the upper half of 64 bits to the lower.
#[inline(always)]
const fn fold_once(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

/// Adds the carries of a sum back in, to 16 bits. The checksum is this one's complement.
#[inline]
pub const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    (once + (once >> 16)) as u16
}

/// The checksum of `bytes`.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// The checksum after a covered word of 16 bits went from `old` to `new` (RFC 1624, equation 3).
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u32 + !old as u32 + new as u32)
}

/// The checksum after covered bytes went from `old` to `new`, which have the same length. They start an even number of
/// bytes into what is covered; if their length is odd, the byte after them stays or is not covered.
#[inline]
pub fn update_bytes(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    let removed = !fold(sum(old));
    !fold(u32::from(!checksum) + u32::from(removed) + sum(new))
}

/// The sum of the pseudo-header of TCP, for a TCP length (header and payload) of `length` bytes: with IPv4 RFC 9293,
/// 3.1, with IPv6 RFC 8200, 8.1. Addresses are in network order, `source` and `destination` of equal length.
#[inline]
pub fn pseudo_header(source: &[u8], destination: &[u8], length: u32) -> u32 {
    sum(source) + sum(destination) + protocol_and_length(length)
}

/// What the pseudo-header has besides addresses.
#[inline]
const fn protocol_and_length(length: u32) -> u32 {
    ip::TCP as u32 + (length & 0xffff) + (length >> 16)
}

/// Whether a segment's TCP checksum is right.
pub fn verify_tcp(frame: &[u8], segment: &Segment) -> Checksum {
    let transport = usize::from(segment.transport);
    let Some(header) = frame.get(transport..).and_then(<[u8]>::first_chunk::<20>) else {
        return Checksum::Unknown;
    };
    let header_length = usize::from(header[12] >> 4) * 4;
    let end = transport + header_length + segment.captured as usize;
    if segment.captured < segment.length || segment.is_broken() {
        return Checksum::Unknown;
    }
    let Some(covered) = frame.get(transport..end) else {
        return Checksum::Unknown;
    };
    let mut addresses = sum(segment.addresses(frame));
    let plain = if segment.version == 4 { 20 } else { 40 };
    if segment.transport.saturating_sub(segment.network) != plain {
        let Some((source, destination)) = ip::covered_addresses(frame, segment) else {
            return Checksum::Unknown;
        };
        addresses = sum(source) + sum(destination);
    }
    let pseudo = addresses + protocol_and_length(covered.len() as u32);
    if fold(pseudo + sum(covered)) == 0xffff {
        return Checksum::Good;
    }
    // Offload to hardware that cuts the segment up may leave the length out, for it changes.
    let field = segment.checksum(frame);
    if field == 0 || field == fold(pseudo) || field == fold(addresses + protocol_and_length(0)) {
        Checksum::Partial
    } else {
        Checksum::Bad
    }
}

/// What is to be said of the checksum of the segment's IPv4 header; IPv6 has none, so there it is right. A field of 0 is
/// left to hardware.
#[inline]
pub fn verify_ipv4_header(frame: &[u8], segment: &Segment) -> Checksum {
    if segment.version != 4 {
        return Checksum::Good;
    }
    let header = frame.get(usize::from(segment.network)..).unwrap_or_default();
    let length = header.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    match header.get(..length) {
        Some(header) if fold(sum(header)) == 0xffff => Checksum::Good,
        Some([_, _, _, _, _, _, _, _, _, _, 0, 0, ..]) => Checksum::Partial,
        _ => Checksum::Bad,
    }
}
