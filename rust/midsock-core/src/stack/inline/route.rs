//! How to reach the two ends of a flow.

use std::net::SocketAddr;

use crate::Side;
use crate::port::{LinkType, Packet};
use crate::wire::{Segment, TcpFlags, TcpFrame};

/// The most bytes of link headers that are remembered: Ethernet, six VLAN tags and SNAP.
const MAX_HEADER: usize = 46;

/// The shortest Ethernet frame without its check sequence (IEEE 802.3, 3.2.8).
const MIN_ETHERNET: usize = 60;

/// What precedes IP in the packets of one side, and the port they came to.
#[derive(Clone, Copy)]
pub(in crate::stack) struct Route {
    /// None while no packet of this side was seen.
    link: Option<LinkType>,
    port: u8,
    length: u8,
    header: [u8; MAX_HEADER],
}

impl Default for Route {
    fn default() -> Route {
        Route { link: None, port: 0, length: 0, header: [0; MAX_HEADER] }
    }
}

impl Route {
    /// A packet came to `port`.
    pub(super) fn learn(&mut self, port: usize, packet: &Packet, frame: &[u8], segment: &Segment) {
        let Some(header) = frame.get(..usize::from(segment.network)) else { return };
        let Some(kept) = self.header.get_mut(..header.len()) else { return };
        kept.copy_from_slice(header);
        (self.length, self.port, self.link) = (header.len() as u8, port as u8, Some(packet.link));
    }

    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.length)]
    }
}

/// How to reach the ends of a flow.
#[derive(Clone, Copy, Default)]
pub(super) struct Reach {
    pub(super) routes: [Route; 2],
    /// Whatever comes of the flow is answered with a RST.
    pub(super) answers: bool,
}

/// A frame to the end of a flow: what it starts with, out of which port it goes, and its link header.
pub(super) struct Path {
    pub(super) link: LinkType,
    pub(super) port: usize,
    header: [u8; MAX_HEADER],
    length: usize,
}

impl Path {
    /// The way to `side`, if any packet of the flow was seen: the header that the other end's packets have, or that of
    /// its own with the addresses swapped. `ports` is how many the stack has.
    pub(super) fn to(side: Side, routes: &[Route; 2], ports: usize) -> Option<Path> {
        let (own, other) = (&routes[side.index()], &routes[side.other().index()]);
        // What comes from there goes back there; what came from the other end went out of the other port.
        let port = match (own.link, other.link) {
            (Some(_), _) => usize::from(own.port),
            (None, Some(_)) if ports == 2 => 1 - usize::from(other.port),
            _ => usize::from(other.port),
        };
        let route = if other.link.is_some() { other } else { own };
        let link = route.link?;
        let (mut header, length) = (route.header, route.header().len());
        if other.link.is_none() {
            match link {
                LinkType::Ethernet => header[..12].rotate_left(6),
                LinkType::Fddi => header[1..13].rotate_left(6),
                // The others have no address, or just one.
                _ => {}
            }
        }
        Some(Path { link, port, header, length })
    }

    /// Appends a frame with one RST from the first of these ends to the second.
    pub(super) fn write_rst(&self, ends: [SocketAddr; 2], seq: u32, ack: Option<u32>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.header[..self.length]);
        let flags = if ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST };
        TcpFrame::new(ends[0], ends[1])
            .link(LinkType::Ip)
            .seq(seq)
            .ack(ack.unwrap_or(0))
            .flags(flags)
            .window(0)
            .write(out);
        if self.link == LinkType::Ethernet {
            set_length(&mut out[start..]);
            if out.len() - start < MIN_ETHERNET {
                out.resize(start + MIN_ETHERNET, 0);
            }
        }
    }
}

/// Puts the right length into the header of an IEEE 802.3 frame, which has that in place of a type.
fn set_length(frame: &mut [u8]) {
    let mut at = 12;
    while let Some(&[high, low]) = frame.get(at..at + 2) {
        match u16::from_be_bytes([high, low]) {
            // VLAN tags.
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            0..=1500 => {
                let length = (frame.len() - at - 2) as u16;
                frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
                return;
            }
            _ => return,
        }
    }
}
