//! What a scope looks at, in any packet.

use std::net::{IpAddr, Ipv4Addr};

use super::Tuple;
use crate::wire::{Outcome, Segment};

impl Tuple {
    /// The tuple of a packet, from its sender to its receiver; addresses that it does not have are 0.0.0.0, and ports 0.
    pub fn of_packet(frame: &[u8], segment: &Segment, outcome: Outcome) -> Tuple {
        let (protocol, ports) = match outcome {
            Outcome::Tcp => (6, Some(segment.ports(frame))),
            _ => transport_of(frame, segment),
        };
        let [a, b, c, d] = ports.unwrap_or_default();
        Tuple {
            source: address(segment.source(frame)),
            source_port: u16::from_be_bytes([a, b]),
            destination: address(segment.destination(frame)),
            destination_port: u16::from_be_bytes([c, d]),
            vlan: segment.vlan,
            protocol,
        }
    }
}

fn address(bytes: &[u8]) -> IpAddr {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let any = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    any.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Protocol number and ports of a packet that is not TCP; the ports are those of UDP, UDP-Lite, DCCP and SCTP.
fn transport_of(frame: &[u8], segment: &Segment) -> (u8, Option<[u8; 4]>) {
    let network = usize::from(segment.network);
    let header = frame.get(network..).unwrap_or_default();
    let (protocol, transport) = match segment.version {
        4 => {
            let length = usize::from(header.first().copied().unwrap_or(0) & 0x0f) * 4;
            // Fragments beyond the first hold no ports.
            let is_first =
                header.get(6..8).is_some_and(|field| field[0].trailing_zeros() >= 5 && field[1] == 0);
            (header.get(9).copied().unwrap_or(0), header.get(length..).filter(|_| is_first))
        }
        6 => (header.get(6).copied().unwrap_or(0), header.get(40..)),
        _ => (0, None),
    };
    let has_ports = matches!(protocol, 17 | 33 | 132 | 136);
    let ports = transport.filter(|_| has_ports).and_then(|bytes| bytes.first_chunk()).copied();
    (protocol, ports)
}
