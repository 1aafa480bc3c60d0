//! The straight line for most of the world's packets.
//!
//! Ethernet II, at most two VLAN tags, IPv4 without options or IPv6 without extension headers, TCP; all headers
//! captured and all lengths sound. Whatever is not plainly that is left to the layer-by-layer way, which comes to the
//! same result for what is taken here.

use super::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, is_vlan, keep_vlan};
use super::{Segment, be16, ip, tcp};

/// The length of an Ethernet header.
const ETHERNET: usize = 14;

/// Decodes a plain frame; says whether it was one.
#[inline]
pub(super) fn decode(frame: &[u8], wire_length: u32, segment: &mut Segment) -> bool {
    let Some(header) = frame.first_chunk::<ETHERNET>() else {
        return false;
    };
    let ether_type = be16(header, 12);
    if ether_type != ETHERTYPE_IPV4 && is_vlan(ether_type) {
        return decode_tagged(frame, wire_length, segment);
    }
    decode_ip(frame, wire_length, ETHERNET, ether_type, [0; 2], segment)
}

/// Decodes a frame that has a VLAN tag.
fn decode_tagged(frame: &[u8], wire_length: u32, segment: &mut Segment) -> bool {
    let mut vlan = [0; 2];
    let mut network = ETHERNET;
    for _ in 0..2 {
        let Some(tag) = frame.get(network..).and_then(<[u8]>::first_chunk::<4>) else {
            return false;
        };
        keep_vlan(&mut vlan, be16(tag, 0));
        network += 4;
        let ether_type = be16(tag, 2);
        if !is_vlan(ether_type) {
            return decode_ip(frame, wire_length, network, ether_type, vlan, segment);
        }
    }
    false
}

/// Decodes IP and TCP from `network` on. Inlined so that the offsets of an untagged frame are constants.
#[inline(always)]
fn decode_ip(
    frame: &[u8],
    wire_length: u32,
    network: usize,
    ether_type: u16,
    vlan: [u16; 2],
    segment: &mut Segment,
) -> bool {
    let Some(packet) = frame.get(network..) else {
        return false;
    };
    let (version, transport, end) = match ether_type {
        ETHERTYPE_IPV4 => {
            let Some(header) = packet.first_chunk::<40>() else {
                return false;
            };
            if header[0] != 0x45 || be16(header, 6) & ip::FRAGMENT_BITS_V4 != 0 || header[9] != ip::TCP {
                return false;
            }
            (4, network + 20, network + usize::from(be16(header, 2)))
        }
        ETHERTYPE_IPV6 => {
            let Some(header) = packet.first_chunk::<60>() else {
                return false;
            };
            if header[0] >> 4 != 6 || header[6] != ip::TCP {
                return false;
            }
            (6, network + 40, network + 40 + usize::from(be16(header, 4)))
        }
        _ => return false,
    };
    let Some(header) = frame.get(transport..).and_then(<[u8]>::first_chunk::<20>) else {
        return false;
    };
    let header_length = usize::from(header[12] >> 4) * 4;
    let payload = transport + header_length;
    // An IP length of 0 (offload) fails here too: the header would lie beyond the packet.
    let wire = frame.len().max(wire_length as usize);
    if header_length < 20 || payload > end || payload > frame.len() || end > wire {
        return false;
    }
    *segment = Segment {
        network: network as u16,
        transport: transport as u16,
        payload: payload as u16,
        length: (end - payload) as u32,
        captured: (end.min(frame.len()) - payload) as u32,
        version,
        vlan,
        ..Segment::default()
    };
    tcp::fill(segment, header);
    true
}
