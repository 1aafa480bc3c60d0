//! The Internet checksum (RFC 1071): verifying it, and mending it after a change (RFC 1624).

use pulp::Arch;

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
    u32::from(u16::from_be(fold(fold_once(sum_words(bytes)))))
}

/// The bytes that vector instructions take at a time; fewer are not worth their set-up.
const BLOCK: usize = 128;

/// A sum of 16-bit words in the machine's order that is congruent to that of `bytes`, the last one padded with zeros;
/// below 2^62, and 0 only if all of them are.
///
/// The checksum does not care how the bytes are grouped or ordered as long as pairs stay pairs (RFC 1071, 2), so all
/// that is left to do is to fold this to 16 bits and to put those into network order.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut total = 0_u64;
    for blocks in blocks.chunks((1 << 18) / BLOCK) {
        // With the widest vectors that this machine has: wheels are built for any.
        total = total.wrapping_add(Arch::new().dispatch(|| sum_blocks(blocks)));
    }
    let (words, rest) = rest.as_chunks::<8>();
    let (mut sum, mut carry) = (0_u64, false);
    for word in words {
        (sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
    }
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let (sum, carry) = sum.carrying_add(u64::from_ne_bytes(last), carry);
    total.wrapping_add((sum & 0xffff_ffff) + (sum >> 32) + u64::from(carry))
}

/// The bulk of [`sum_words`], for at most 2^16 words of 32 bits: a loop that the compiler turns into vector
/// instructions, with nothing left over.
///
/// It keeps the sum of the words modulo 2^32, and the sum of their upper halves, which is exact. The sum of the lower
/// halves is the first less 2^16 times the second, modulo 2^32, which it cannot reach. So a word costs two additions
/// and a shift of its own width, and need not be widened.
#[inline(always)]
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let (mut sum, mut upper) = (0_u32, 0_u32);
    for word in blocks.as_flattened().as_chunks::<4>().0 {
        let word = u32::from_ne_bytes(*word);
        sum = sum.wrapping_add(word);
        upper = upper.wrapping_add(word >> 16);
    }
    let lower = sum.wrapping_sub(upper << 16);
    u64::from(lower) + u64::from(upper)
}

/// A sum of 64 bits, below 2^63, in 32 bits: the upper half is added to the lower, and so is the carry of that.
#[inline(always)]
const fn fold_once(sum: u64) -> u32 {
    let once = (sum & 0xffff_ffff) + (sum >> 32);
    ((once & 0xffff_ffff) + (once >> 32)) as u32
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

/// Whether the checksums of the segment and of its IPv4 header are right, by one pass over headers without IP options
/// or extensions. If not, [`verify_tcp`] and [`verify_ipv4_header`] tell what there is to say.
#[inline]
pub fn are_right(frame: &[u8], segment: &Segment) -> bool {
    let (network, transport) = (usize::from(segment.network), usize::from(segment.transport));
    let (header_length, addresses) = if segment.version == 4 { (20, 12) } else { (40, 8) };
    // A frame that was cut lacks part of what the checksum covers.
    if transport != network + header_length || segment.captured != segment.length || segment.is_broken() {
        return false;
    }
    let end = usize::from(segment.payload) + segment.captured as usize;
    // The addresses, which are all of the pseudo-header but protocol and length, lie right before the segment.
    let Some(covered) = frame.get(network + addresses..end) else { return false };
    if segment.version == 4 {
        let Some(header) = frame[network..].first_chunk::<20>() else { return false };
        let ([first, second], rest) = long_words(header);
        let (sum, carry) = first.carrying_add(second, false);
        if !is_all_ones(sum, u64::from(u32::from_ne_bytes(rest)) + u64::from(carry)) {
            return false;
        }
    }
    // All of it in the machine's order: what a right sum comes to reads the same in any.
    let pseudo = u64::from(protocol_and_length((end - transport) as u32).to_be());
    match covered.split_first_chunk::<40>() {
        Some((start, rest)) => {
            let ([first, words @ ..], []) = long_words::<40, 5, 0>(start);
            let (mut sum, mut carry) = (first, false);
            for word in words {
                (sum, carry) = sum.carrying_add(word, carry);
            }
            let rest = if rest.is_empty() { 0 } else { sum_words(rest) };
            is_all_ones(sum, pseudo + u64::from(carry) + rest)
        }
        None => is_all_ones(sum_words(covered), pseudo),
    }
}

/// `N` bytes as `M` words of 64 bits in the machine's order, and the `R` bytes behind these.
#[inline(always)]
fn long_words<const N: usize, const M: usize, const R: usize>(bytes: &[u8; N]) -> ([u64; M], [u8; R]) {
    const { assert!(N == 8 * M + R) };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; R];
    last.copy_from_slice(rest);
    (std::array::from_fn(|i| u64::from_ne_bytes(words[i])), last)
}

/// Whether a sum, with another one that is below 2^63 added to it, folds to 16 ones.
#[inline(always)]
const fn is_all_ones(sum: u64, more: u64) -> bool {
    let (sum, carry) = sum.overflowing_add(more);
    let sum = sum.wrapping_add(carry as u64);
    // A sum and itself with its halves swapped: the upper half gets both halves and the carry of the lower ones.
    let half = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    half.wrapping_add(half.rotate_left(16)) >> 16 == 0xffff
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

/// Puts the right checksum into the IPv4 header that `packet` starts with; nothing if that is not all there.
pub(crate) fn mend_ipv4_header(packet: &mut [u8]) {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if let Some(header) = packet.get_mut(..length.max(20)) {
        header[10..12].fill(0);
        let right = checksum(header);
        header[10..12].copy_from_slice(&right.to_be_bytes());
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
