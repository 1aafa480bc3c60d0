//! Link layers: Ethernet II, IEEE 802.3 with LLC and SNAP, FDDI, VLAN tags, Linux cooked captures, BSD loopback, PPP.

use std::ops::ControlFlow::{Break, Continue};

use super::tunnel::{
    ETHERTYPE_BACKBONE, ETHERTYPE_BRIDGED, ETHERTYPE_MPLS, ETHERTYPE_MPLS_MULTICAST, ETHERTYPE_NSH,
    ETHERTYPE_PPPOE,
};
use super::{Cursor, Layer, Malformed, Outcome, Step, be16};

/// `ETHERTYPE` of IPv4.
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
/// `ETHERTYPE` of IPv6.
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
/// `ETHERTYPE` of an IEEE 802.1Q tag.
pub(super) const ETHERTYPE_VLAN: u16 = 0x8100;
/// `ETHERTYPE` of an IEEE 802.1ad service tag.
pub(super) const ETHERTYPE_QINQ: u16 = 0x88a8;
/// `ETHERTYPE` of a service tag before IEEE 802.1ad.
const ETHERTYPE_QINQ_OLD: u16 = 0x9100;
/// `ETHERTYPE` of a VN-tag, which a network interface of many virtual ones puts on.
const ETHERTYPE_VN_TAG: u16 = 0x8926;

/// The largest value of an Ethernet type field that is a length (IEEE 802.3, 3.2.6).
const MAX_8023_LENGTH: u16 = 1500;
/// The smallest that is a type.
const MIN_ETHERTYPE: u16 = 1536;

/// The 802.2 LLC protocol among the protocols of `AF_PACKET` (`ETH_P_802_2`).
const ETH_P_802_2: u16 = 4;
/// The hardware type of netlink in cooked captures: their protocol field is then no Ethernet type.
const ARPHRD_NETLINK: u16 = 824;

/// Ethernet II or IEEE 802.3: two addresses and a type.
pub(super) fn ethernet(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<14>(Malformed::TruncatedLink)?;
    Continue(Layer::EtherType(be16(header, 12)))
}

/// What an Ethernet type announces.
#[inline]
pub(super) fn ether_type(cursor: &mut Cursor, number: u16) -> Step {
    match number {
        ETHERTYPE_IPV4 => Continue(Layer::Ipv4),
        ETHERTYPE_IPV6 => Continue(Layer::Ipv6),
        tag if is_vlan(tag) => vlan(cursor),
        length @ 0..=MAX_8023_LENGTH => {
            cursor.limit(usize::from(length));
            Continue(Layer::Llc)
        }
        ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => Continue(Layer::Mpls),
        ETHERTYPE_PPPOE => Continue(Layer::Pppoe),
        ETHERTYPE_BACKBONE => Continue(Layer::Backbone),
        ETHERTYPE_BRIDGED => Continue(Layer::Ethernet),
        ETHERTYPE_NSH => Continue(Layer::Nsh),
        ETHERTYPE_VN_TAG => vn_tag(cursor),
        _ => Break(Outcome::NotIp),
    }
}

/// FDDI: frame control and two addresses; then LLC, if it is a frame of data.
pub(super) fn fddi(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<13>(Malformed::TruncatedLink)?;
    if header[0] & 0xf0 == 0x50 { Continue(Layer::Llc) } else { Break(Outcome::NotIp) }
}

/// A VLAN tag: three bits of priority, one of drop eligibility, twelve of id; then the type of what follows.
fn vlan(cursor: &mut Cursor) -> Step {
    let tag = cursor.take::<4>(Malformed::TruncatedVlan)?;
    keep_vlan(&mut cursor.segment.vlan, be16(tag, 0));
    Continue(Layer::EtherType(be16(tag, 2)))
}

/// A VN-tag (IEEE 802.1BR's predecessor): direction, pointer, destination interface, loop, version, source interface;
/// then the type of what follows. The two directions have other interfaces: they are no part of a path.
fn vn_tag(cursor: &mut Cursor) -> Step {
    let tag = cursor.take::<6>(Malformed::TruncatedLink)?;
    Continue(Layer::EtherType(be16(tag, 4)))
}

/// Whether an Ethernet type announces a VLAN tag.
#[inline(always)]
pub(super) const fn is_vlan(ether_type: u16) -> bool {
    matches!(ether_type, ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_QINQ_OLD)
}

/// Keeps the id of a tag where there is room; 0 is none.
#[inline]
pub(super) fn keep_vlan(kept: &mut [u16; 2], tag: u16) {
    let id = tag & 0x0fff;
    if kept[0] == 0 {
        kept[0] = id;
    } else if kept[1] == 0 {
        kept[1] = id;
    }
}

/// Where in an Ethernet frame the VLAN tag with the outermost id is, or (`index` 1) the second one. Tags with id 0 only
/// count where there is no other.
pub(crate) fn vlan_tag(frame: &[u8], index: usize) -> Option<usize> {
    let word = |at: usize| frame.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| be16::<2>(bytes, 0));
    let tags = || {
        (0..super::MAX_LAYERS)
            .map(|tag| 12 + 4 * tag)
            .take_while(|at| word(*at).is_some_and(is_vlan))
            .map(|at| at + 2)
    };
    let has_id = |at: &usize| word(*at).is_some_and(|tag| tag & 0x0fff != 0);
    tags().filter(has_id).nth(index).or_else(|| tags().nth(index))
}

/// IEEE 802.2 LLC: IP itself, or SNAP (RFC 1042) and an Ethernet type.
pub(super) fn llc(cursor: &mut Cursor) -> Step {
    match cursor.peek::<3>(Malformed::TruncatedLink)? {
        [0xaa, 0xaa, 0x03] => {
            let header = cursor.take::<8>(Malformed::TruncatedLink)?;
            match header[3..6] {
                // RFC 1042, and the bridge tunnel of IEEE 802.1H.
                [0, 0, 0 | 0xf8] if be16(header, 6) >= MIN_ETHERTYPE => {
                    Continue(Layer::EtherType(be16(header, 6)))
                }
                _ => Break(Outcome::NotIp),
            }
        }
        [0x06, 0x06, 0x03] => {
            cursor.advance(3, Malformed::TruncatedLink)?;
            Continue(Layer::Ipv4)
        }
        _ => Break(Outcome::NotIp),
    }
}

/// Linux cooked capture, version 1: packet type, hardware type, address length, address (8 bytes), protocol.
pub(super) fn linux_sll(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<16>(Malformed::TruncatedLink)?;
    cooked(be16(header, 2), be16(header, 14))
}

/// Linux cooked capture, version 2: protocol, reserved, interface, hardware type, packet type, address length, address.
pub(super) fn linux_sll2(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<20>(Malformed::TruncatedLink)?;
    cooked(be16(header, 8), be16(header, 0))
}

/// What the protocol field of a cooked capture announces: an Ethernet type, or one of the numbers that Linux has for
/// what has none; it is never a length.
fn cooked(hardware: u16, protocol: u16) -> Step {
    match protocol {
        _ if hardware == ARPHRD_NETLINK => Break(Outcome::NotIp),
        ETH_P_802_2 => Continue(Layer::Llc),
        MIN_ETHERTYPE.. => Continue(Layer::EtherType(protocol)),
        _ => Break(Outcome::NotIp),
    }
}

/// BSD loopback: an address family of four bytes in the byte order of the machine that captured (`LINKTYPE_NULL`) or
/// in network order (`LINKTYPE_LOOP`).
pub(super) fn loopback(cursor: &mut Cursor) -> Step {
    let bytes = *cursor.take::<4>(Malformed::TruncatedLink)?;
    let family = match u32::from_be_bytes(bytes) {
        // A family is a small number: if its upper half is in use, the bytes come in the other order.
        swapped @ 0x1_0000.. => swapped.swap_bytes(),
        family => family,
    };
    match family {
        2 => Continue(Layer::Ipv4),
        // AF_INET6 of Linux, of NetBSD, OpenBSD and BSD/OS, of FreeBSD, and of macOS.
        10 | 24 | 28 | 30 => Continue(Layer::Ipv6),
        // Some systems write an Ethernet type instead.
        0x600..=0xffff => Continue(Layer::EtherType(family as u16)),
        _ => Break(Outcome::NotIp),
    }
}

/// PPP (RFC 1661): a protocol of two bytes, or of one if compressed; before it, HDLC-like framing (RFC 1662) may put
/// an address and a control byte. `LINKTYPE_PPP_HDLC` also stands for Cisco's framing (RFC 1547, 4.3.1): address,
/// control, Ethernet type.
pub(super) fn ppp(cursor: &mut Cursor) -> Step {
    match *cursor.peek::<2>(Malformed::TruncatedLink)? {
        [0xff, 0x03] => cursor.advance(2, Malformed::TruncatedLink)?,
        [0x0f | 0x8f, 0x00] => {
            let header = cursor.take::<4>(Malformed::TruncatedLink)?;
            return match be16(header, 2) {
                number @ MIN_ETHERTYPE.. => Continue(Layer::EtherType(number)),
                _ => Break(Outcome::NotIp),
            };
        }
        _ => {}
    }
    // The last byte of a protocol number is odd and any other even: an odd first byte stands alone.
    let [first] = *cursor.peek::<1>(Malformed::TruncatedLink)?;
    let protocol = if first & 1 == 1 {
        cursor.advance(1, Malformed::TruncatedLink)?;
        u16::from(first)
    } else {
        u16::from_be_bytes(*cursor.take::<2>(Malformed::TruncatedLink)?)
    };
    match protocol {
        0x0021 => Continue(Layer::Ipv4),
        0x0057 => Continue(Layer::Ipv6),
        // RFC 3032, 4.1.
        0x0281 | 0x0283 => Continue(Layer::Mpls),
        _ => Break(Outcome::NotIp),
    }
}
