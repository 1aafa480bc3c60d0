//! From bytes to layers: one pass over a frame that finds where each layer starts.
//!
//! [`decode`] looks at every header of a frame once and leaves a [`Segment`]: offsets into the frame and the few TCP
//! fields that every packet needs. Nothing is copied or allocated; all that is asked for less often is read from the
//! frame through the segment's accessors.
//!
//! A frame of Ethernet with at most two VLAN tags, IP without options or extension headers and TCP takes a straight
//! line. Everything else goes through a loop in which each layer names the next one, so that a layer added to it is
//! decoded wherever it may occur.
//!
//! Tunnels lead on to the segment inside them. What they are is told apart by [`path`], which only those who need it ask
//! for.

pub mod checksum;
pub mod emit;
mod fragment;
mod ip;
mod link;
pub mod options;
mod outcome;
mod plain;
mod segment;
mod tcp;
#[cfg(test)]
mod tests;
mod tunnel;
mod udp;

use std::ops::ControlFlow;

use crate::port::LinkType;

pub use checksum::Checksum;
pub use emit::TcpFrame;
pub use fragment::Fragment;
pub(crate) use ip::transport_of;
pub(crate) use link::vlan_tag;
pub use options::Options;
pub use outcome::{Malformed, Outcome};
pub use segment::Segment;
pub use tcp::TcpFlags;
pub use tunnel::{Tunnel, Tunnels};

/// The most layers one frame is decoded through, if nothing else is said. VLAN tags and IPv6 extension headers count as
/// one each; no sound network comes near it, and it bounds the work that a hostile frame can cause.
const MAX_LAYERS: usize = 32;

/// A layer still to be decoded.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Ethernet,
    LinuxSll,
    LinuxSll2,
    Loopback,
    Ppp,
    Fddi,
    Wlan,
    /// What an Ethernet type field announces; up to 1,500 it is a length and LLC follows.
    EtherType(u16),
    Llc,
    Mpls,
    Pppoe,
    Backbone,
    /// IPv4 or IPv6, by its version field.
    Ip,
    Ipv4,
    Ipv6,
    /// What an IPv4 protocol or IPv6 next header field announces.
    Protocol(u8),
    Gre,
    Udp,
    Vxlan,
    VxlanGpe,
    Geneve,
    Gtp,
    Teredo,
    L2tp,
    Ayiya,
    Nsh,
    Tcp,
}

/// What a layer leads to: the next layer, or the end of decoding.
type Step = ControlFlow<Outcome, Layer>;

/// The way through one frame.
struct Cursor<'f, 's> {
    frame: &'f [u8],
    /// Where the layer at hand starts; at most the frame's length.
    at: usize,
    /// Where the layer at hand ends on the wire, by the lengths of the layers around it; may lie beyond the frame's
    /// end if the capture cut it.
    end: usize,
    segment: &'s mut Segment,
    /// Place and version of the outermost IP header, once a tunnel was entered from it.
    outer: Option<(u16, u8)>,
    /// What tells the tunnels apart, if that is asked for.
    path: Option<&'s mut Vec<u8>>,
    /// The tunnels that are entered.
    into: Tunnels,
}

impl<'f> Cursor<'f, '_> {
    /// The next `N` bytes, or the end of decoding because they are not there.
    #[inline]
    fn peek<const N: usize>(&self, truncated: Malformed) -> ControlFlow<Outcome, &'f [u8; N]> {
        let present = self.frame.len().min(self.end);
        match self.frame.get(self.at..present).and_then(<[u8]>::first_chunk) {
            Some(bytes) => ControlFlow::Continue(bytes),
            None => ControlFlow::Break(Outcome::Malformed(truncated)),
        }
    }

    /// Moves past `length` bytes, or ends decoding because they are not there.
    #[inline]
    fn advance(&mut self, length: usize, truncated: Malformed) -> ControlFlow<Outcome> {
        let at = self.at.saturating_add(length);
        if at > self.frame.len().min(self.end) {
            return ControlFlow::Break(Outcome::Malformed(truncated));
        }
        self.at = at;
        ControlFlow::Continue(())
    }

    /// Reads the next `N` bytes and moves past them.
    #[inline]
    fn take<const N: usize>(&mut self, truncated: Malformed) -> ControlFlow<Outcome, &'f [u8; N]> {
        let bytes = self.peek(truncated)?;
        self.at += N;
        ControlFlow::Continue(bytes)
    }

    /// Ends the layer at hand `length` bytes from here, if it does not end earlier.
    #[inline]
    fn limit(&mut self, length: usize) {
        self.end = self.end.min(self.at.saturating_add(length));
    }

    /// This place as an offset of a [`Segment`].
    #[inline]
    fn offset(&self) -> ControlFlow<Outcome, u16> {
        match u16::try_from(self.at) {
            Ok(at) => ControlFlow::Continue(at),
            Err(_) => ControlFlow::Break(Outcome::Malformed(Malformed::TooManyLayers)),
        }
    }
}

/// How far into a frame is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// The tunnels that are entered. A packet of any other is one of its outer transport, or of none.
    pub tunnels: Tunnels,
    /// The most layers; a frame of more is [malformed](Malformed::TooManyLayers). VLAN tags and IPv6 extension headers
    /// count as one each, and a plain TCP segment over Ethernet takes four.
    pub max_layers: u8,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { tunnels: Tunnels::ALL, max_layers: MAX_LAYERS as u8 }
    }
}

/// Decodes `frame` through tunnels of all kinds: [`Decoder::decode`] of the default decoder.
#[inline]
pub fn decode(frame: &[u8], link: LinkType, wire_length: u32, segment: &mut Segment) -> Outcome {
    Decoder::default().decode(frame, link, wire_length, segment)
}

impl Decoder {
    /// Decodes `frame`, which starts with a header of `link` and had `wire_length` bytes on the wire.
    ///
    /// `segment` holds everything after [`Outcome::Tcp`]. After any other outcome its `version` says whether an IP
    /// header was found (4 or 6; 0: none); if one was, `network`, `version` and `vlan` hold, and nothing else does,
    /// except for a [broken](Segment::is_broken) segment and for a fragment, of which [`Fragment::of`] knows more. With
    /// tunnels, the IP header is the innermost one of a TCP segment or a fragment, and the outermost one otherwise.
    ///
    /// A `wire_length` smaller than the frame counts as the frame's length.
    #[inline]
    pub fn decode(self, frame: &[u8], link: LinkType, wire_length: u32, segment: &mut Segment) -> Outcome {
        if link == LinkType::Ethernet && plain::decode(frame, wire_length, segment) {
            return Outcome::Tcp;
        }
        self.decode_layers(frame, link, wire_length, segment)
    }

    /// [`Decoder::decode`], layer by layer.
    fn decode_layers(self, frame: &[u8], link: LinkType, wire_length: u32, segment: &mut Segment) -> Outcome {
        let Some(first) = first_layer(link) else {
            *segment = Segment::default();
            return Outcome::NotIp;
        };
        *segment = Segment::default();
        let end = frame.len().max(wire_length as usize);
        let mut cursor = Cursor { frame, at: 0, end, segment, outer: None, path: None, into: self.tunnels };
        let outcome = self.walk(&mut cursor, first);
        match (cursor.outer, outcome) {
            (None, _)
            | (_, Outcome::Tcp | Outcome::Fragment | Outcome::Malformed(Malformed::BadTcpDataOffset)) => {
                outcome
            }
            (Some((network, version)), _) => {
                (segment.network, segment.version) = (network, version);
                if outcome == Outcome::NotIp { Outcome::NotTcp } else { outcome }
            }
        }
    }

    /// Decodes a reassembled datagram that ends with `frame` and starts at the IP header of `fragment`, which is what
    /// decoding its first fragment has left: the layers before it are that one's.
    pub(crate) fn decode_datagram(self, frame: &[u8], fragment: &Segment, segment: &mut Segment) -> Outcome {
        *segment = Segment { vlan: fragment.vlan, tunnels: fragment.tunnels, ..Segment::default() };
        let (at, end) = (usize::from(fragment.network), frame.len());
        self.walk(
            &mut Cursor { frame, at, end, segment, outer: None, path: None, into: self.tunnels },
            Layer::Ip,
        )
    }

    /// Appends what tells the path of a [tunnelled](Segment::tunnels) segment from others: the tunnels' kinds, ends and
    /// ids, outermost first, the same for both directions.
    pub fn path(self, frame: &[u8], link: LinkType, wire_length: u32, path: &mut Vec<u8>) {
        let Some(first) = first_layer(link) else { return };
        let end = frame.len().max(wire_length as usize);
        let (segment, path, into) = (&mut Segment::default(), Some(path), self.tunnels);
        self.walk(&mut Cursor { frame, at: 0, end, segment, outer: None, path, into }, first);
    }

    /// Appends what tells apart the tunnels inside a reassembled datagram, as [`Decoder::decode_datagram`] decodes it.
    pub(crate) fn path_of_datagram(self, frame: &[u8], fragment: &Segment, path: &mut Vec<u8>) {
        let (at, end) = (usize::from(fragment.network), frame.len());
        let (segment, path, into) = (&mut Segment::default(), Some(path), self.tunnels);
        self.walk(&mut Cursor { frame, at, end, segment, outer: None, path, into }, Layer::Ip);
    }

    /// Goes from layer to layer.
    fn walk(self, cursor: &mut Cursor, first: Layer) -> Outcome {
        let mut layer = first;
        for _ in 0..self.max_layers {
            let step = match layer {
                Layer::Ethernet => link::ethernet(cursor),
                Layer::LinuxSll => link::linux_sll(cursor),
                Layer::LinuxSll2 => link::linux_sll2(cursor),
                Layer::Loopback => link::loopback(cursor),
                Layer::Ppp => link::ppp(cursor),
                Layer::Fddi => link::fddi(cursor),
                Layer::Wlan => tunnel::wlan(cursor),
                Layer::EtherType(number) => link::ether_type(cursor, number),
                Layer::Llc => link::llc(cursor),
                Layer::Mpls => tunnel::mpls(cursor),
                Layer::Pppoe => tunnel::pppoe(cursor),
                Layer::Backbone => tunnel::backbone(cursor),
                Layer::Ip => ip::any(cursor),
                Layer::Ipv4 => ip::ipv4(cursor),
                Layer::Ipv6 => ip::ipv6(cursor),
                Layer::Protocol(number) => ip::protocol(cursor, number),
                Layer::Gre => tunnel::gre(cursor),
                Layer::Nsh => tunnel::nsh(cursor),
                Layer::Udp => udp::udp(cursor),
                Layer::Vxlan => udp::vxlan(cursor),
                Layer::VxlanGpe => udp::vxlan_gpe(cursor),
                Layer::Geneve => udp::geneve(cursor),
                Layer::Gtp => udp::gtp(cursor),
                Layer::Teredo => udp::teredo(cursor),
                Layer::L2tp => udp::l2tp(cursor),
                Layer::Ayiya => udp::ayiya(cursor),
                Layer::Tcp => tcp::tcp(cursor),
            };
            match step {
                ControlFlow::Continue(next) => layer = next,
                ControlFlow::Break(outcome) => return outcome,
            }
        }
        Outcome::Malformed(Malformed::TooManyLayers)
    }
}

/// What a frame starts with; nothing if this stack does not decode it.
fn first_layer(link: LinkType) -> Option<Layer> {
    Some(match link {
        LinkType::Ethernet => Layer::Ethernet,
        LinkType::Ip => Layer::Ip,
        LinkType::LinuxSll => Layer::LinuxSll,
        LinkType::LinuxSll2 => Layer::LinuxSll2,
        LinkType::Loopback => Layer::Loopback,
        LinkType::Ppp | LinkType::CiscoHdlc => Layer::Ppp,
        LinkType::Fddi => Layer::Fddi,
        LinkType::Other(_) => return None,
    })
}

/// Whether the TCP checksum covers the source and the destination address that the IP header has; a route or a home
/// address puts others in their place.
pub(crate) fn covered_addresses(frame: &[u8], segment: &Segment) -> [bool; 2] {
    let plain = if segment.version == 4 { 20 } else { 40 };
    if segment.transport.saturating_sub(segment.network) == plain {
        return [true; 2];
    }
    let (source, destination) = (segment.source(frame), segment.destination(frame));
    let covered = ip::covered_addresses(frame, segment).unwrap_or((source, destination));
    [std::ptr::eq(covered.0, source), std::ptr::eq(covered.1, destination)]
}

/// The sum of the segment's pseudo-header for a TCP length (header and payload) of `length` bytes, of the addresses that
/// the checksum covers.
pub(crate) fn pseudo_sum(frame: &[u8], segment: &Segment, length: u32) -> u32 {
    let header = (segment.source(frame), segment.destination(frame));
    let (source, destination) = ip::covered_addresses(frame, segment).unwrap_or(header);
    checksum::pseudo_header(source, destination, length)
}

/// The 16-bit field at `at` of a header.
#[inline(always)]
fn be16<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The 32-bit field at `at` of a header.
#[inline(always)]
fn be32<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
