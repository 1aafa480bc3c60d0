//! Tunnels over UDP: VXLAN, its generic protocol extension, Geneve, GTP-U, Teredo, L2TP, AYIYA.

use std::ops::ControlFlow::{Break, Continue};

use super::ip::IPV6;
use super::tunnel::{Tunnel, payload};
use super::{Cursor, Layer, Malformed, Outcome, Step, be16, be32};

/// UDP ports: L2TP (RFC 2661, 8.1), GTP-U (3GPP TS 29.281, 4.4.2), Teredo (RFC 4380, 2.7), VXLAN (RFC 7348, 5), its
/// generic protocol extension, AYIYA, Geneve (RFC 8926, 3.3), and VXLAN as Linux has it if it isn't told otherwise.
const PORT_L2TP: u16 = 1701;
const PORT_GTP: u16 = 2152;
const PORT_TEREDO: u16 = 3544;
const PORT_VXLAN: u16 = 4789;
const PORT_VXLAN_GPE: u16 = 4790;
const PORT_AYIYA: u16 = 5072;
const PORT_GENEVE: u16 = 6081;
const PORT_VXLAN_LINUX: u16 = 8472;

/// The most extension headers of GTP-U that are passed; there are about ten kinds.
const MAX_EXTENSIONS: usize = 16;

/// UDP, which matters only for the tunnels that go over its ports.
pub(super) fn udp(cursor: &mut Cursor) -> Step {
    let Continue(header) = cursor.peek::<8>(Malformed::TruncatedTunnel) else {
        return Break(Outcome::NotTcp);
    };
    let layer = match (be16(header, 0), be16(header, 2)) {
        (_, PORT_VXLAN) => Layer::Vxlan,
        (_, PORT_VXLAN_LINUX) if is_vxlan(cursor) => Layer::Vxlan,
        (_, PORT_VXLAN_GPE) => Layer::VxlanGpe,
        (_, PORT_GENEVE) => Layer::Geneve,
        (_, PORT_GTP) => Layer::Gtp,
        // These go from any port to the server's, and back.
        (PORT_TEREDO, _) | (_, PORT_TEREDO) => Layer::Teredo,
        (PORT_L2TP, _) | (_, PORT_L2TP) => Layer::L2tp,
        (PORT_AYIYA, _) | (_, PORT_AYIYA) => Layer::Ayiya,
        _ => return Break(Outcome::NotTcp),
    };
    cursor.limit(usize::from(be16(header, 4)).max(8));
    cursor.advance(8, Malformed::TruncatedTunnel)?;
    Continue(layer)
}

/// Whether a UDP payload is VXLAN beyond doubt: its flag is set, and whatever is reserved is zero.
fn is_vxlan(cursor: &Cursor) -> bool {
    matches!(
        cursor.peek::<16>(Malformed::TruncatedTunnel),
        Continue([_, _, _, _, _, _, _, _, 8, 0, 0, 0, _, _, _, 0])
    )
}

/// VXLAN (RFC 7348): flags, of which one says that there is a network id; the id; a frame.
pub(super) fn vxlan(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    if header[0] & 0x08 == 0 {
        return Break(Outcome::NotTcp);
    }
    cursor.enter(Tunnel::Vxlan, be32(header, 4) >> 8)?;
    Continue(Layer::Ethernet)
}

/// VXLAN's generic protocol extension (draft-ietf-nvo3-vxlan-gpe, 3): as VXLAN, with a version, a flag that says that
/// there is a next protocol, and that.
pub(super) fn vxlan_gpe(cursor: &mut Cursor) -> Step {
    const VERSION: u8 = 0x30;
    const INSTANCE: u8 = 0x08;
    const NEXT: u8 = 0x04;
    const MAINTENANCE: u8 = 0x01;
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    if header[0] & (VERSION | MAINTENANCE) != 0 {
        return Break(Outcome::NotTcp);
    }
    let id = if header[0] & INSTANCE == 0 { 0 } else { be32(header, 4) >> 8 };
    let layer = match header[3] {
        _ if header[0] & NEXT == 0 => Layer::Ethernet,
        1 => Layer::Ipv4,
        2 => Layer::Ipv6,
        3 => Layer::Ethernet,
        4 => Layer::Nsh,
        5 => Layer::Mpls,
        _ => return Break(Outcome::NotTcp),
    };
    cursor.enter(Tunnel::Vxlan, id)?;
    Continue(layer)
}

/// Geneve (RFC 8926): version and length of options, flags, protocol, network id, options.
pub(super) fn geneve(cursor: &mut Cursor) -> Step {
    let header = cursor.take::<8>(Malformed::TruncatedTunnel)?;
    if header[0] >> 6 != 0 {
        return Break(Outcome::NotTcp);
    }
    cursor.advance(usize::from(header[0] & 0x3f) * 4, Malformed::TruncatedTunnel)?;
    cursor.enter(Tunnel::Geneve, be32(header, 4) >> 8)?;
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
    cursor.enter(Tunnel::Gtp, 0)?;
    Continue(Layer::Ip)
}

/// Teredo (RFC 4380, 5.1.1): an IPv6 packet, before which there may be an authentication header and an origin.
///
/// Nothing announces it but the port, so that it is only believed if all lengths are right and one of the packet's
/// addresses is one of Teredo (`2001::/32`) or a link-local one, as any packet of the protocol has (RFC 4380, 5.2.1,
/// 5.4.1).
pub(super) fn teredo(cursor: &mut Cursor) -> Step {
    let no_tunnel = Break(Outcome::NotTcp);
    if let Continue([0, 1, id, value]) = cursor.peek::<4>(Malformed::TruncatedTunnel) {
        // A nonce and a confirmation byte end it.
        let length = 4 + usize::from(*id) + usize::from(*value) + 9;
        if cursor.advance(length, Malformed::TruncatedTunnel).is_break() {
            return no_tunnel;
        }
    }
    if let Continue([0, 0]) = cursor.peek::<2>(Malformed::TruncatedTunnel)
        && cursor.advance(8, Malformed::TruncatedTunnel).is_break()
    {
        return no_tunnel;
    }
    let Continue(header) = cursor.peek::<40>(Malformed::TruncatedTunnel) else { return no_tunnel };
    let is_own = |at: usize| {
        header[at..].starts_with(&[0x20, 1, 0, 0]) || header[at] == 0xfe && header[at + 1] & 0xc0 == 0x80
    };
    let is_whole = cursor.at + 40 + usize::from(be16(header, 4)) == cursor.end;
    if header[0] >> 4 != 6 || !is_whole || !(is_own(8) || is_own(24)) {
        return no_tunnel;
    }
    cursor.enter(Tunnel::Teredo, 0)?;
    Continue(Layer::Ipv6)
}

/// L2TP version 2 (RFC 2661, 3.1): flags and version, length, tunnel and session id, sequence numbers, offset; then PPP.
/// The ids are other ones in each direction.
pub(super) fn l2tp(cursor: &mut Cursor) -> Step {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    const RESERVED: u16 = 0x34f0;
    let Continue(header) = cursor.peek::<8>(Malformed::TruncatedTunnel) else {
        return Break(Outcome::NotTcp);
    };
    let flags = be16(header, 0);
    if flags & (CONTROL | RESERVED) != 0 || flags & 0x0f != 2 {
        return Break(Outcome::NotTcp);
    }
    let mut length = 6;
    if flags & LENGTH != 0 {
        cursor.limit(be16(header, 2).into());
        length += 2;
    }
    if flags & SEQUENCE != 0 {
        length += 4;
    }
    cursor.advance(length, Malformed::TruncatedTunnel)?;
    if flags & OFFSET != 0 {
        let pad = be16(cursor.take::<2>(Malformed::TruncatedTunnel)?, 0);
        cursor.advance(pad.into(), Malformed::TruncatedTunnel)?;
    }
    cursor.enter(Tunnel::L2tp, 0)?;
    Continue(Layer::Ppp)
}

/// AYIYA (draft-massar-v6ops-ayiya, 3): lengths and types of identity and signature, authentication and operation, next
/// header, time; identity; signature; a packet.
pub(super) fn ayiya(cursor: &mut Cursor) -> Step {
    const FORWARD: u8 = 1;
    let Continue(header) = cursor.peek::<8>(Malformed::TruncatedTunnel) else {
        return Break(Outcome::NotTcp);
    };
    let (identity, signature) = (1_usize << (header[0] >> 4), usize::from(header[1] >> 4) * 4);
    // Anything else to the port of a tunnel broker is not a user's packet.
    if header[2] & 0x0f != FORWARD || header[3] != IPV6 {
        return Break(Outcome::NotTcp);
    }
    cursor.advance(8 + identity + signature, Malformed::TruncatedTunnel)?;
    cursor.enter(Tunnel::Ayiya, 0)?;
    Continue(Layer::Ipv6)
}
