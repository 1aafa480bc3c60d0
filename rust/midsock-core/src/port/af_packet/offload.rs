//! What is left undone in a frame, as `struct virtio_net_hdr` says it: a checksum, and cutting it into segments.

use crate::port::LinkType;
use crate::wire::checksum;

/// Bytes of the header.
pub(super) const LENGTH: usize = 10;
/// The header of a frame that is complete.
pub(super) const COMPLETE: [u8; LENGTH] = [0; LENGTH];

/// Of `flags`: the checksum is to be made.
const NEEDS_CHECKSUM: u8 = 1;
/// Of `gso_type`: the kinds of segments, without `ECN` (0x80).
const TCP4: u8 = 1;
const TCP6: u8 = 4;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// `struct virtio_net_hdr`, whose fields are in the machine's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offload {
    flags: u8,
    segments: u8,
    header: u16,
    segment: u16,
    checksum_from: u16,
    checksum_at: u16,
}

impl Offload {
    fn read(bytes: [u8; LENGTH]) -> Offload {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Offload {
            flags: bytes[0],
            segments: bytes[1],
            header: half(2),
            segment: half(4),
            checksum_from: half(6),
            checksum_at: half(8),
        }
    }

    fn bytes(self) -> [u8; LENGTH] {
        let mut bytes = [self.flags, self.segments, 0, 0, 0, 0, 0, 0, 0, 0];
        let fields = [self.header, self.segment, self.checksum_from, self.checksum_at];
        for (to, field) in bytes[2..].chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }
}

/// The frame has grown by `bytes` before what its header counts to.
pub(super) fn shift(header: &mut [u8], bytes: u16) {
    let Some(header) = header.first_chunk_mut::<LENGTH>() else { return };
    let mut offload = Offload::read(*header);
    if offload.flags & NEEDS_CHECKSUM != 0 {
        offload.checksum_from = offload.checksum_from.saturating_add(bytes);
    }
    if offload.header != 0 {
        offload.header = offload.header.saturating_add(bytes);
    }
    *header = offload.bytes();
}

/// Makes the header that a frame was received with one that it can be sent with. `is_partial`: its checksum still is to
/// be made.
pub(super) fn pass_on(header: &mut [u8; LENGTH], frame: &[u8], is_partial: bool) {
    if *header == COMPLETE {
        return;
    }
    let mut offload = Offload::read(*header);
    if offload.segments == 0 {
        // What else the header says is about its reception.
        if offload.flags & NEEDS_CHECKSUM == 0 || !is_partial {
            *header = COMPLETE;
        }
        return;
    }
    // The kernel copies so many bytes into memory that has to be in one piece: the headers, and not the whole frame.
    let transport = usize::from(offload.checksum_from);
    let length = match (offload.segments & 0x7f, frame.get(transport + 12)) {
        (TCP4 | TCP6, Some(offset)) => usize::from(offset >> 4) * 4,
        _ => 8,
    };
    if offload.flags & NEEDS_CHECKSUM != 0 {
        offload.header = (transport + length).min(frame.len()) as u16;
        *header = offload.bytes();
    }
}

/// Makes ready to be sent a frame whose checksum was left out, or that is too long for the interface: sets the sum of
/// its pseudo-header where its checksum belongs. Returns the header to send it with.
///
/// None if that cannot be: it is no TCP or UDP by IP, or UDP longer than `longest` bytes.
pub(super) fn prepare(frame: &mut [u8], link: LinkType, longest: usize) -> Option<[u8; LENGTH]> {
    let place = locate(frame, link)?;
    let transport = frame.get_mut(place.transport..place.end)?;
    let checksum_at = if place.protocol == TCP { 16 } else { 6 };
    let sum = place.pseudo + sum(&(transport.len() as u32).to_be_bytes());
    let field = transport.get_mut(checksum_at..checksum_at + 2)?;
    field.copy_from_slice(&checksum::fold(sum).to_be_bytes());
    let mut offload = Offload {
        flags: NEEDS_CHECKSUM,
        checksum_from: u16::try_from(place.transport).ok()?,
        checksum_at: checksum_at as u16,
        ..Offload::default()
    };
    if frame.len() > longest {
        let header = place.transport + usize::from(*frame.get(place.transport + 12)? >> 4) * 4;
        if place.protocol != TCP || header >= longest {
            return None;
        }
        offload.segments = if place.is_ipv6 { TCP6 } else { TCP4 };
        offload.segment = (longest - header) as u16;
        offload.header = header as u16;
    }
    Some(offload.bytes())
}

/// Where a frame's transport is.
struct Place {
    transport: usize,
    /// Where the IP packet ends.
    end: usize,
    protocol: u8,
    is_ipv6: bool,
    /// The sum of the pseudo-header but for the length.
    pseudo: u32,
}

fn locate(frame: &[u8], link: LinkType) -> Option<Place> {
    let network = if link == LinkType::Ethernet { ethernet(frame)? } else { 0 };
    let packet = frame.get(network..)?;
    match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 0xf) * 4;
            let fixed = packet.first_chunk::<20>()?;
            let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
            let is_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0;
            if header < 20 || is_fragment || !matches!(fixed[9], TCP | UDP) {
                return None;
            }
            // Zero: too long for the field.
            let end = if total == 0 { packet.len() } else { total };
            (end <= packet.len()).then_some(Place {
                transport: network + header,
                end: network + end,
                protocol: fixed[9],
                is_ipv6: false,
                pseudo: sum(&fixed[12..20]) + u32::from(fixed[9]),
            })
        }
        6 => {
            let fixed = packet.first_chunk::<40>()?;
            let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
            let (mut next, mut at) = (fixed[6], 40);
            // Hop-by-hop, routing and destination options; a fragment is none that a checksum could be made of.
            while matches!(next, 0 | 43 | 60) {
                let extension = packet.get(at..)?.first_chunk::<2>()?;
                next = extension[0];
                at += usize::from(extension[1]) * 8 + 8;
            }
            if !matches!(next, TCP | UDP) {
                return None;
            }
            let end = if length == 0 { packet.len() } else { 40 + length };
            (end <= packet.len()).then_some(Place {
                transport: network + at,
                end: network + end,
                protocol: next,
                is_ipv6: true,
                pseudo: sum(&fixed[8..40]) + u32::from(next),
            })
        }
        _ => None,
    }
}

/// The sum of `bytes` in 16 bits, so that some of them can be added.
fn sum(bytes: &[u8]) -> u32 {
    u32::from(checksum::fold(checksum::sum(bytes)))
}

/// Where IP starts in an Ethernet frame, behind its tags.
fn ethernet(frame: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        at += 2;
        match kind {
            0x0800 | 0x86dd => return Some(at),
            0x8100 | 0x88a8 | 0x9100 => at += 2,
            _ => return None,
        }
    }
}
