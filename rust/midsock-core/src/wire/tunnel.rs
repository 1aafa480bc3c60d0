//! What carries whole packets or frames inside it: IP in IP, GRE, VXLAN, Geneve, GTP-U, `PPPoE`, provider backbone
//! bridges; and MPLS.

use std::ops::ControlFlow::{Break, Continue};

use super::{Cursor, Layer, Malformed, Outcome, Step, be16, be32};

/// `ETHERTYPE`s of MPLS with unicast and with multicast labels.
pub(super) const ETHERTYPE_MPLS: u16 = 0x8847;
pub(super) const ETHERTYPE_MPLS_MULTICAST: u16 = 0x8848;
/// `ETHERTYPE` of an Ethernet frame inside something else.
pub(super) const ETHERTYPE_BRIDGED: u16 = 0x6558;
/// `ETHERTYPE` of a `PPPoE` session.
pub(super) const ETHERTYPE_PPPOE: u16 = 0x8864;
/// `ETHERTYPE` of the service instance tag of IEEE 802.1ah.
pub(super) const ETHERTYPE_BACKBONE: u16 = 0x88e7;
/// The same number space of GRE: PPP, ERSPAN types I and II, ERSPAN type III, IEEE 802.11 from Aruba access points.
const GRE_PPP: u16 = 0x880b;
const GRE_ERSPAN: u16 = 0x88be;
const GRE_ERSPAN_3: u16 = 0x22eb;
const GRE_WLAN: u16 = 0x8200;

/// UDP ports of GTP-U (3GPP TS 29.281, 4.4.2), VXLAN (RFC 7348, 5) and Geneve (RFC 8926, 3.3).
const PORT_GTP: u16 = 2152;
const PORT_VXLAN: u16 = 4789;
const PORT_GENEVE: u16 = 6081;

/// The most extension headers of GTP-U that are passed; there are about ten kinds.
const MAX_EXTENSIONS: usize = 16;

/// Kinds of tunnels, as they are told apart in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tunnel {
    Ip = 1,
    Gre,
    Erspan,
    Vxlan,
    Geneve,
    Gtp,
    Pppoe,
    Backbone,
}

impl Cursor<'_, '_> {
    /// Goes into a tunnel between the ends of the last IP header, if there was one. Of several tunnels between the same
    /// ends, `id` is which; it must be the same in both directions.
    pub(super) fn enter(&mut self, kind: Tunnel, id: u32) {
        let segment = &mut *self.segment;
        if segment.version != 0 {
            self.outer.get_or_insert((segment.network, segment.version));
        }
        segment.tunnels = segment.tunnels.saturating_add(1);
        if let Some(path) = &mut self.path {
            path.push(kind as u8);
            path.extend(id.to_be_bytes());
            path.push(segment.version);
            let addresses = if segment.version == 0 { &[] } else { segment.addresses(self.frame) };
            let (source, destination) = addresses.split_at(addresses.len() / 2);
            if kind == Tunnel::Erspan {
                // Copies go one way only, and those of the two directions may come from different switches.
                path.extend(destination);
            } else {
                path.extend(source.min(destination));
                path.extend(source.max(destination));
            }
        }
    }
}

/// An MPLS label (RFC 3032). Labels are no part of a path: a label-switched path goes one way, and the other direction
/// has other labels.
pub(super) fn mpls(cursor: &mut Cursor) -> Step {
    let label = cursor.take::<4>(Malformed::TruncatedLink)?;
    if label[2] & 1 == 0 {
        return Continue(Layer::Mpls);
    }
    // Nothing says what follows the last label but what follows: for this, the control word of a pseudowire begins
    // with 0 (RFC 4385).
    match cursor.peek::<1>(Malformed::TruncatedLink)?[0] >> 4 {
        4 => Continue(Layer::Ipv4),
        6 => Continue(Layer::Ipv6),
        0 => {
            cursor.advance(4, Malformed::TruncatedLink)?;
            Continue(Layer::Ethernet)
        }
        _ => Break(Outcome::NotIp),
    }
}

/// A `PPPoE` session (RFC 2516): version and type, code, session id, length; then PPP without framing.
pub(super) fn pppoe(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<6>(Malformed::TruncatedLink)?;
    if header[..2] != [0x11, 0] {
        return Break(Outcome::NotIp);
    }
    cursor.limit(usize::from(be16(header, 4)));
    cursor.enter(Tunnel::Pppoe, be16(header, 2).into());
    Continue(Layer::Ppp)
}

/// The service instance tag of a provider backbone bridge (IEEE 802.1ah); then the customer's frame.
pub(super) fn backbone(cursor: &mut Cursor) -> Step {
    let tag = cursor.take::<4>(Malformed::TruncatedVlan)?;
    cursor.enter(Tunnel::Backbone, be32(tag, 0) & 0xff_ffff);
    Continue(Layer::Ethernet)
}

/// GRE (RFC 2784, RFC 2890), and its version 1, which PPTP has (RFC 2637).
pub(super) fn gre(cursor: &mut Cursor) -> Step {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;
    let header = cursor.take::<4>(Malformed::TruncatedTunnel)?;
    let (flags, protocol) = (be16(header, 0), be16(header, 2));
    let version = flags & 7;
    if version > 1 || flags & ROUTING != 0 {
        return Break(Outcome::NotTcp);
    }
    if flags & CHECKSUM != 0 {
        cursor.advance(4, Malformed::TruncatedTunnel)?;
    }
    let key = if flags & KEY == 0 { 0 } else { be32(cursor.take::<4>(Malformed::TruncatedTunnel)?, 0) };
    if flags & SEQUENCE != 0 {
        cursor.advance(4, Malformed::TruncatedTunnel)?;
    }
    if version == 1 {
        if flags & ACKNOWLEDGMENT != 0 {
            cursor.advance(4, Malformed::TruncatedTunnel)?;
        }
        if protocol != GRE_PPP || flags & SEQUENCE == 0 {
            return Break(Outcome::NotTcp);
        }
        // The key holds a length and a call id, which is another one in each direction.
        cursor.enter(Tunnel::Gre, 0);
        return Continue(Layer::Ppp);
    }
    match protocol {
        GRE_ERSPAN => {
            // Type II, unlike type I, has a sequence number and eight bytes of its own.
            if flags & SEQUENCE != 0 {
                cursor.advance(8, Malformed::TruncatedTunnel)?;
            }
            cursor.enter(Tunnel::Erspan, 0);
            Continue(Layer::Ethernet)
        }
        GRE_ERSPAN_3 => {
            let header = cursor.take::<12>(Malformed::TruncatedTunnel)?;
            if header[11] & 1 != 0 {
                cursor.advance(8, Malformed::TruncatedTunnel)?;
            }
            cursor.enter(Tunnel::Erspan, 0);
            Continue(Layer::Ethernet)
        }
        // The low byte is the access point's radio and queue.
        wlan if wlan & 0xff00 == GRE_WLAN => {
            cursor.enter(Tunnel::Gre, key);
            Continue(Layer::Wlan)
        }
        number => {
            cursor.enter(Tunnel::Gre, key);
            payload(number)
        }
    }
}

/// What an Ethernet type inside a tunnel announces; it is never a length.
fn payload(number: u16) -> Step {
    match number {
        0x0600.. => Continue(Layer::EtherType(number)),
        _ => Break(Outcome::NotTcp),
    }
}

/// UDP, which matters only for the tunnels that go over its ports.
pub(super) fn udp(cursor: &mut Cursor) -> Step {
    let Continue(header) = cursor.peek::<8>(Malformed::TruncatedTunnel) else {
        return Break(Outcome::NotTcp);
    };
    let layer = match be16(header, 2) {
        PORT_VXLAN => Layer::Vxlan,
        PORT_GENEVE => Layer::Geneve,
        PORT_GTP => Layer::Gtp,
        _ => return Break(Outcome::NotTcp),
    };
    cursor.limit(usize::from(be16(header, 4)).max(8));
    cursor.advance(8, Malformed::TruncatedTunnel)?;
    Continue(layer)
}

/// VXLAN (RFC 7348): flags, of which one says that there is a network id; the id; a frame.
pub(super) fn vxlan(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    if header[0] & 0x08 == 0 {
        return Break(Outcome::NotTcp);
    }
    cursor.enter(Tunnel::Vxlan, be32(header, 4) >> 8);
    Continue(Layer::Ethernet)
}

/// Geneve (RFC 8926): version and length of options, flags, protocol, network id, options.
pub(super) fn geneve(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    if header[0] >> 6 != 0 {
        return Break(Outcome::NotTcp);
    }
    cursor.advance(usize::from(header[0] & 0x3f) * 4, Malformed::TruncatedTunnel)?;
    cursor.enter(Tunnel::Geneve, be32(header, 4) >> 8);
    payload(be16(header, 2))
}

/// GTP-U (3GPP TS 29.281, 5): a user's packet. Its tunnel id is another one in each direction, so that tunnels between
/// the same ends cannot be told apart by packets alone.
pub(super) fn gtp(cursor: &mut Cursor) -> Step {
    const VERSION: u8 = 0xf0;
    const OPTIONAL: u8 = 0x07;
    const EXTENDED: u8 = 0x04;
    const USER_PACKET: u8 = 255;
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    // Version 1, and GTP rather than GTP'.
    if header[0] & VERSION != 0x30 || header[1] != USER_PACKET {
        return Break(Outcome::NotTcp);
    }
    cursor.limit(usize::from(be16(header, 2)));
    if header[0] & OPTIONAL != 0 {
        let mut next = cursor.take::<4>(Malformed::TruncatedTunnel)?[3];
        for _ in 0..MAX_EXTENSIONS {
            if header[0] & EXTENDED == 0 || next == 0 {
                break;
            }
            // A length in words of four bytes comes first, the type of the next extension last.
            let [words] = *cursor.peek::<1>(Malformed::TruncatedTunnel)?;
            let length = usize::from(words.max(1)) * 4;
            cursor.advance(length - 1, Malformed::TruncatedTunnel)?;
            [next] = *cursor.take::<1>(Malformed::TruncatedTunnel)?;
        }
    }
    cursor.enter(Tunnel::Gtp, 0);
    Continue(Layer::Ip)
}

/// IEEE 802.11: an unencrypted data frame that holds one LLC packet.
pub(super) fn wlan(cursor: &mut Cursor) -> Step {
    const QOS: u8 = 0x80;
    const BOTH_DS: u8 = 0x03;
    const MORE_FRAGMENTS: u8 = 0x04;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const AGGREGATE: u8 = 0x80;
    let header = cursor.take::<24>(Malformed::TruncatedLink)?;
    // Version 0 and type 2; the subtypes with this bit hold no data.
    let is_data = header[0] & 0x0f == 0x08 && header[0] & 0x40 == 0;
    if !is_data || header[1] & (MORE_FRAGMENTS | PROTECTED) != 0 || header[22] & 0x0f != 0 {
        return Break(Outcome::NotIp);
    }
    if header[1] & BOTH_DS == BOTH_DS {
        cursor.advance(6, Malformed::TruncatedLink)?;
    }
    if header[0] & QOS != 0 {
        let control = cursor.take::<2>(Malformed::TruncatedLink)?;
        if control[0] & AGGREGATE != 0 {
            return Break(Outcome::NotIp);
        }
        if header[1] & ORDER != 0 {
            cursor.advance(4, Malformed::TruncatedLink)?;
        }
    }
    Continue(Layer::Llc)
}
