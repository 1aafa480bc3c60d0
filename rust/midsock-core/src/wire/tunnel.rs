//! What carries whole packets or frames inside it: IP in IP, GRE, `PPPoE`, provider backbone bridges, service function
//! chains; and MPLS. What does so over UDP is [`super::udp`]'s.

use std::ops::ControlFlow::{self, Break, Continue};

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
/// `ETHERTYPE` of a network service header (RFC 8300, 9.1).
pub(super) const ETHERTYPE_NSH: u16 = 0x894f;

/// The most source routes of a GRE header that are passed.
const MAX_ROUTES: usize = 16;

/// A kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tunnel {
    /// IPv4 or IPv6 in either (RFC 2003, RFC 4213, RFC 2473).
    Ip = 1,
    /// GRE (RFC 2784), PPTP's included (RFC 2637).
    Gre,
    /// Mirrored frames over GRE, types I, II and III.
    Erspan,
    /// VXLAN (RFC 7348) and its generic protocol extension.
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GTP-U (3GPP TS 29.281).
    Gtp,
    /// `PPPoE` sessions (RFC 2516).
    Pppoe,
    /// Provider backbone bridges (IEEE 802.1ah).
    Backbone,
    /// Teredo (RFC 4380).
    Teredo,
    /// Network service headers (RFC 8300).
    Nsh,
    /// L2TP version 2 (RFC 2661).
    L2tp,
    /// AYIYA.
    Ayiya,
}

impl Tunnel {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Ip,
        Self::Gre,
        Self::Erspan,
        Self::Vxlan,
        Self::Geneve,
        Self::Gtp,
        Self::Pppoe,
        Self::Backbone,
        Self::Teredo,
        Self::Nsh,
        Self::L2tp,
        Self::Ayiya,
    ];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gtp => "gtp",
            Self::Pppoe => "pppoe",
            Self::Backbone => "pbb",
            Self::Teredo => "teredo",
            Self::Nsh => "nsh",
            Self::L2tp => "l2tp",
            Self::Ayiya => "ayiya",
        }
    }
}

/// A set of kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels(u32);

impl Tunnels {
    /// None of them.
    pub const NONE: Tunnels = Tunnels(0);
    /// All of them.
    pub const ALL: Tunnels = Tunnels(u32::MAX);

    /// The set with this kind, too.
    #[must_use]
    pub const fn with(self, kind: Tunnel) -> Tunnels {
        Tunnels(self.0 | 1 << kind as u32)
    }

    /// Whether this kind is in it.
    #[inline]
    pub const fn contains(self, kind: Tunnel) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

impl FromIterator<Tunnel> for Tunnels {
    fn from_iter<I: IntoIterator<Item = Tunnel>>(kinds: I) -> Tunnels {
        kinds.into_iter().fold(Tunnels::NONE, Tunnels::with)
    }
}

impl Cursor<'_, '_> {
    /// Goes into a tunnel between the ends of the last IP header, if there was one. Of several tunnels between the same
    /// ends, `id` is which; it must be the same in both directions. Ends decoding at a tunnel that is not to be entered.
    pub(super) fn enter(&mut self, kind: Tunnel, id: u32) -> ControlFlow<Outcome> {
        let segment = &mut *self.segment;
        if !self.into.contains(kind) {
            return Break(if segment.version == 0 { Outcome::NotIp } else { Outcome::NotTcp });
        }
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
        Continue(())
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
    cursor.enter(Tunnel::Pppoe, be16(header, 2).into())?;
    Continue(Layer::Ppp)
}

/// The service instance tag of a provider backbone bridge (IEEE 802.1ah); then the customer's frame.
pub(super) fn backbone(cursor: &mut Cursor) -> Step {
    let tag = cursor.take::<4>(Malformed::TruncatedVlan)?;
    cursor.enter(Tunnel::Backbone, be32(tag, 0) & 0xff_ffff)?;
    Continue(Layer::Ethernet)
}

/// GRE (RFC 2784, RFC 2890) with source routes (RFC 1701), and its version 1, which PPTP has (RFC 2637).
pub(super) fn gre(cursor: &mut Cursor) -> Step {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGMENT: u16 = 0x0080;
    let header = cursor.take::<4>(Malformed::TruncatedTunnel)?;
    let (flags, protocol) = (be16(header, 0), be16(header, 2));
    let version = flags & 7;
    if version > 1 || version == 1 && flags & ROUTING != 0 {
        return Break(Outcome::NotTcp);
    }
    // Either of them has both fields there (RFC 1701): a checksum and an offset.
    if flags & (CHECKSUM | ROUTING) != 0 {
        cursor.advance(4, Malformed::TruncatedTunnel)?;
    }
    let key = if flags & KEY == 0 { 0 } else { be32(cursor.take::<4>(Malformed::TruncatedTunnel)?, 0) };
    if flags & SEQUENCE != 0 {
        cursor.advance(4, Malformed::TruncatedTunnel)?;
    }
    if flags & ROUTING != 0 {
        pass_routes(cursor)?;
    }
    if version == 1 {
        if flags & ACKNOWLEDGMENT != 0 {
            cursor.advance(4, Malformed::TruncatedTunnel)?;
        }
        if protocol != GRE_PPP || flags & SEQUENCE == 0 {
            return Break(Outcome::NotTcp);
        }
        // The key holds a length and a call id, which is another one in each direction.
        cursor.enter(Tunnel::Gre, 0)?;
        return Continue(Layer::Ppp);
    }
    match protocol {
        GRE_ERSPAN => {
            // Type II, unlike type I, has a sequence number and eight bytes of its own.
            if flags & SEQUENCE != 0 {
                cursor.advance(8, Malformed::TruncatedTunnel)?;
            }
            cursor.enter(Tunnel::Erspan, 0)?;
            Continue(Layer::Ethernet)
        }
        GRE_ERSPAN_3 => {
            let header = cursor.take::<12>(Malformed::TruncatedTunnel)?;
            if header[11] & 1 != 0 {
                cursor.advance(8, Malformed::TruncatedTunnel)?;
            }
            cursor.enter(Tunnel::Erspan, 0)?;
            Continue(Layer::Ethernet)
        }
        // The low byte is the access point's radio and queue.
        wlan if wlan & 0xff00 == GRE_WLAN => {
            cursor.enter(Tunnel::Gre, key)?;
            Continue(Layer::Wlan)
        }
        number => {
            cursor.enter(Tunnel::Gre, key)?;
            payload(number)
        }
    }
}

/// Passes the source routes of a GRE header (RFC 1701): address family, offset, length, addresses; the last has neither
/// family nor length.
fn pass_routes(cursor: &mut Cursor) -> ControlFlow<Outcome> {
    for _ in 0..MAX_ROUTES {
        let route = cursor.take::<4>(Malformed::TruncatedTunnel)?;
        if *route == [0, 0, route[2], 0] {
            return Continue(());
        }
        cursor.advance(route[3].into(), Malformed::TruncatedTunnel)?;
    }
    Break(Outcome::Malformed(Malformed::TooManyLayers))
}

/// A network service header (RFC 8300, 2): version, flags, time to live, length in words of four bytes, type of metadata,
/// next protocol; service path and index; metadata.
///
/// The service path is no part of a path: it goes one way, the other direction has another one (RFC 7665, 2.2), and the
/// service index changes at every hop.
pub(super) fn nsh(cursor: &mut Cursor) -> Step {
    let header = cursor.peek::<8>(Malformed::TruncatedTunnel)?;
    let words = usize::from(be16(header, 0) & 0x3f);
    // Version 0; a packet of operations and maintenance carries no user's packet.
    if header[0] >> 6 != 0 || words < 2 || header[0] & 0x20 != 0 {
        return Break(if cursor.segment.version == 0 { Outcome::NotIp } else { Outcome::NotTcp });
    }
    let next = header[3];
    cursor.advance(words * 4, Malformed::TruncatedTunnel)?;
    cursor.enter(Tunnel::Nsh, 0)?;
    match next {
        1 => Continue(Layer::Ipv4),
        2 => Continue(Layer::Ipv6),
        3 => Continue(Layer::Ethernet),
        4 => Continue(Layer::Nsh),
        5 => Continue(Layer::Mpls),
        _ => Break(Outcome::NotTcp),
    }
}

/// What an Ethernet type inside a tunnel announces; it is never a length.
pub(super) fn payload(number: u16) -> Step {
    match number {
        0x0600.. => Continue(Layer::EtherType(number)),
        _ => Break(Outcome::NotTcp),
    }
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
