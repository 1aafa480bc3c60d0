//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use std::ops::ControlFlow::{Break, Continue};

use super::tunnel::Tunnel;
use super::{Cursor, Layer, Malformed, Outcome, Segment, Step, be16};

/// Protocol number of TCP.
pub(super) const TCP: u8 = 6;
/// Protocol numbers of what may carry a packet inside it.
const IPV4: u8 = 4;
const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
const GRE: u8 = 47;
/// Protocol numbers of the extension headers.
pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// IPv4's more-fragments bit and fragment offset.
pub(super) const FRAGMENT_BITS_V4: u16 = 0x3fff;
/// The same of IPv6's fragment header: the offset, and the more-fragments bit.
const FRAGMENT_BITS_V6: u16 = 0xfff9;

/// An IP header of either version.
pub(super) fn any(cursor: &mut Cursor) -> Step {
    let [first] = *cursor.peek::<1>(Malformed::TruncatedIpv4)?;
    match first >> 4 {
        4 => Continue(Layer::Ipv4),
        6 => Continue(Layer::Ipv6),
        _ => Break(Outcome::Malformed(Malformed::BadIpVersion)),
    }
}

/// IPv4 with options.
#[inline]
pub(super) fn ipv4(cursor: &mut Cursor) -> Step {
    let header = cursor.peek::<20>(Malformed::TruncatedIpv4)?;
    if header[0] >> 4 != 4 {
        return Break(Outcome::Malformed(Malformed::BadIpVersion));
    }
    cursor.segment.network = cursor.offset()?;
    cursor.segment.version = 4;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header_length < 20 {
        return Break(Outcome::Malformed(Malformed::BadIpv4HeaderLength));
    }
    // Segmentation offload leaves the total length 0: the packet then ends where the frame does.
    match usize::from(be16(header, 2)) {
        0 => {}
        total if total < header_length => return Break(Outcome::Malformed(Malformed::BadIpv4TotalLength)),
        total => cursor.limit(total),
    }
    if header_length > cursor.end - cursor.at {
        return Break(Outcome::Malformed(Malformed::BadIpv4HeaderLength));
    }
    if be16(header, 6) & FRAGMENT_BITS_V4 != 0 {
        return fragment(cursor, header_length);
    }
    cursor.advance(header_length, Malformed::TruncatedIpv4)?;
    Continue(Layer::Protocol(header[9]))
}

/// The fixed header of IPv6.
#[inline]
pub(super) fn ipv6(cursor: &mut Cursor) -> Step {
    let header = cursor.peek::<40>(Malformed::TruncatedIpv6)?;
    if header[0] >> 4 != 6 {
        return Break(Outcome::Malformed(Malformed::BadIpVersion));
    }
    cursor.segment.network = cursor.offset()?;
    cursor.segment.version = 6;
    cursor.advance(40, Malformed::TruncatedIpv6)?;
    // Segmentation offload and jumbograms (RFC 2675) have a payload length of 0: the packet ends where the frame does.
    match usize::from(be16(header, 4)) {
        0 => {}
        length => cursor.limit(length),
    }
    Continue(Layer::Protocol(header[6]))
}

/// What a protocol number announces: TCP, or an extension header that leads to the next one.
#[inline]
pub(super) fn protocol(cursor: &mut Cursor, number: u8) -> Step {
    if number == TCP {
        return Continue(Layer::Tcp);
    }
    match number {
        IPV4 | IPV6 => {
            // RFC 2003, RFC 4213, RFC 2473.
            cursor.enter(Tunnel::Ip, 0)?;
            return Continue(if number == IPV4 { Layer::Ipv4 } else { Layer::Ipv6 });
        }
        UDP => return Continue(Layer::Udp),
        GRE => return Continue(Layer::Gre),
        _ => {}
    }
    // Of the extension headers, IPv4 knows only the authentication header.
    if cursor.segment.version == 4 && number != AUTHENTICATION {
        return Break(Outcome::NotTcp);
    }
    if number == FRAGMENT {
        let header = cursor.peek::<8>(Malformed::TruncatedExtensionHeader)?;
        if be16(header, 2) & FRAGMENT_BITS_V6 != 0 {
            return fragment(cursor, 8);
        }
        // An atomic fragment (RFC 6946) is a whole packet.
        cursor.advance(8, Malformed::TruncatedExtensionHeader)?;
        return Continue(Layer::Protocol(header[0]));
    }
    if extension_length(number, 0).is_none() {
        return Break(Outcome::NotTcp);
    }
    let [next, length] = *cursor.peek::<2>(Malformed::TruncatedExtensionHeader)?;
    let length = extension_length(number, length).unwrap_or_default();
    cursor.advance(length, Malformed::TruncatedExtensionHeader)?;
    Continue(Layer::Protocol(next))
}

/// A fragment: what `header_length` bytes from here on are of its datagram's data.
fn fragment(cursor: &mut Cursor, header_length: usize) -> Step {
    cursor.segment.transport = cursor.offset()?;
    cursor.advance(header_length, Malformed::TruncatedIpv4)?;
    cursor.segment.payload = cursor.offset()?;
    cursor.segment.length = (cursor.end - cursor.at) as u32;
    cursor.segment.captured = (cursor.frame.len().min(cursor.end) - cursor.at) as u32;
    Break(Outcome::Fragment)
}

/// The bytes of an extension header, by its number and its length field; nothing if it is none.
fn extension_length(number: u8, field: u8) -> Option<usize> {
    match number {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => {
            Some((usize::from(field) + 1) * 8)
        }
        FRAGMENT => Some(8),
        AUTHENTICATION => Some((usize::from(field) + 2) * 4),
        _ => None,
    }
}

/// Where the field is that announces the extension header at `header` of the IPv6 packet at `network`; none if no chain
/// of headers leads there.
pub(super) fn announcement(frame: &[u8], network: usize, header: usize) -> Option<usize> {
    let (mut field, mut at) = (network + 6, network + 40);
    while at < header {
        let &[_, length] = frame.get(at..)?.first_chunk()?;
        let length = extension_length(*frame.get(field)?, length)?;
        (field, at) = (at, at + length);
    }
    (at == header).then_some(field)
}

/// Where a chain of extension headers leads.
pub(super) enum Chain {
    /// Beyond the end of the bytes.
    Cut,
    /// To this protocol, whose header starts here.
    Ends(u8, usize),
}

/// Follows the extension headers that `bytes` start with.
pub(super) fn chain(bytes: &[u8], number: u8, version: u8) -> Chain {
    let (mut number, mut at) = (number, 0);
    // IPv4 has none but the authentication header, and no rule that they be in one fragment.
    while version == 6 && extension_length(number, 0).is_some() {
        let Some(&[next, field]) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return Chain::Cut };
        let length = extension_length(number, field).unwrap_or(8);
        if bytes.len() < at + length {
            return Chain::Cut;
        }
        (number, at) = (next, at + length);
    }
    Chain::Ends(number, at)
}

/// The source and destination that the TCP checksum covers, where they may not be the IP header's: a packet on a
/// route covers the route's last address (RFC 1122, 4.1.3.5; RFC 8200, 8.1), one from a mobile node its home address
/// (RFC 6275, 11.3.1). Nothing if they cannot be told.
pub(super) fn covered_addresses<'f>(frame: &'f [u8], segment: &Segment) -> Option<(&'f [u8], &'f [u8])> {
    let packet = frame.get(usize::from(segment.network)..usize::from(segment.transport))?;
    let (source, destination) = (segment.source(frame), segment.destination(frame));
    if segment.version == 4 {
        let header_length = usize::from(packet.first()? & 0x0f) * 4;
        return Some((source, source_route_end(packet.get(20..header_length)?).unwrap_or(destination)));
    }
    let mut covered = (source, destination);
    let mut number = *packet.get(6)?;
    let mut rest = packet.get(40..)?;
    while let Some(&[next, field, kind, left]) = rest.first_chunk() {
        let (header, after) = rest.split_at_checked(extension_length(number, field)?)?;
        match number {
            ROUTING if left > 0 => covered.1 = route_end(header, kind)?,
            DESTINATION_OPTIONS => covered.0 = home_address(&header[2..]).unwrap_or(covered.0),
            _ => {}
        }
        (number, rest) = (next, after);
    }
    Some(covered)
}

/// The protocol that an IP packet carries and where in the frame its header starts, for a packet of which `network` and
/// `version` of the segment hold; none if that header is not in the packet, which may be a fragment.
pub(crate) fn transport_of(frame: &[u8], segment: &Segment) -> Option<(u8, usize)> {
    let network = usize::from(segment.network);
    let packet = frame.get(network..)?;
    if segment.version == 4 {
        let offset = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
        let header_length = usize::from(packet[0] & 0x0f) * 4;
        return (offset == 0).then_some((*packet.get(9)?, network + header_length));
    }
    let (mut number, mut at) = (*packet.get(6)?, 40);
    for _ in 0..super::MAX_LAYERS {
        let Some(&[next, field, high, low]) = packet.get(at..)?.first_chunk() else { break };
        let Some(length) = extension_length(number, field) else { break };
        if number == FRAGMENT && u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
            return None;
        }
        (number, at) = (next, at + length);
    }
    Some((number, network + at))
}

/// The last address of an unfinished source route among IPv4 options (RFC 791, 3.1).
fn source_route_end(mut options: &[u8]) -> Option<&[u8]> {
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    loop {
        match *options {
            [] | [0, ..] => return None,
            [1, ref after @ ..] => options = after,
            [kind, length, ..] if length >= 2 => {
                let (option, after) = options.split_at_checked(usize::from(length))?;
                if let (LOOSE | STRICT, [_, _, pointer, route @ ..]) = (kind, option)
                    && *pointer <= length
                {
                    return route.as_chunks::<4>().0.last().map(<[u8; 4]>::as_slice);
                }
                options = after;
            }
            _ => return None,
        }
    }
}

/// The last address of a routing header that has segments left.
fn route_end(header: &[u8], kind: u8) -> Option<&[u8]> {
    let addresses = header.get(8..)?.as_chunks::<16>().0;
    let end = match kind {
        0 | 2 => addresses.last(),
        // A segment routing header lists its route backwards (RFC 8754, 2).
        4 => addresses.first(),
        _ => None,
    };
    end.map(<[u8; 16]>::as_slice)
}

/// The home address among IPv6 destination options (RFC 6275, 6.3).
fn home_address(mut options: &[u8]) -> Option<&[u8]> {
    const PAD1: u8 = 0;
    const HOME_ADDRESS: u8 = 0xc9;
    loop {
        match *options {
            [PAD1, ref after @ ..] => options = after,
            [kind, length, ref after @ ..] => {
                let (value, after) = after.split_at_checked(usize::from(length))?;
                if kind == HOME_ADDRESS && length == 16 {
                    return Some(value);
                }
                options = after;
            }
            _ => return None,
        }
    }
}
