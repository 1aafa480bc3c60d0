//! What raw monitoring sockets see: packets, whatever flow they belong to.

use std::net::{IpAddr, Ipv4Addr};

use super::{Engine, Feed, dispatch};
use crate::Side;
use crate::event::{Event, EventDetail, Hook, Kind, MonitorId, MonitorKind, Scene};
use crate::scope::Tuple;
use crate::wire::{Outcome, Segment};

impl<U> Engine<U> {
    /// Shows the packet at hand to raw monitoring sockets; returns whether the application need not be called.
    pub(super) fn show_raw(&mut self, feed: Feed<'_>) -> bool {
        self.current.raw_done = true;
        let tuple = self.tuple_of(feed);
        self.show_packet(feed, &tuple, Kind::PktIn);
        self.is_quiet()
    }

    /// Raises an event of a packet without a flow on the monitoring sockets whose scope takes it.
    pub(super) fn show_packet(&mut self, feed: Feed<'_>, tuple: &Tuple, kind: Kind) {
        let mut watching: Vec<MonitorId> = self.registry.watching(MonitorKind::Raw, tuple).collect();
        if kind == Kind::Orphan {
            watching.extend(self.registry.watching(MonitorKind::Stream, tuple));
        }
        for monitor in watching {
            let program = self.registry.program_of(monitor);
            if program.mask(Hook::PostTcp) & kind.bit() == 0 {
                continue;
            }
            let event = Event {
                kind,
                hook: Hook::PostTcp,
                side: Side::Client,
                time: feed.packet.time,
                detail: EventDetail::None,
            };
            let decoded = self.ahead.at(self.current.packet);
            let scene = Scene {
                event: &event,
                packet: Some(feed.packet),
                frame: feed.frame,
                segment: (decoded.outcome == Outcome::Tcp).then_some(&decoded.segment),
                sender: Side::Client,
                flow: None,
                data: &[],
            };
            let (flow, monitor) = (None, Some(monitor));
            let mut target =
                dispatch::Target { dispatch: &mut self.dispatch, program: &program, flow, monitor };
            program.fire(&scene, &mut target);
        }
    }

    /// What a scope looks at, in any packet; unknown addresses are 0.0.0.0.
    pub(super) fn tuple_of(&self, feed: Feed<'_>) -> Tuple {
        let decoded = self.ahead.at(self.current.packet);
        let segment = &decoded.segment;
        let (protocol, ports) = match decoded.outcome {
            Outcome::Tcp => (6, Some(segment.ports(feed.frame))),
            _ => transport_of(feed.frame, segment),
        };
        let [a, b, c, d] = ports.unwrap_or_default();
        Tuple {
            source: address(segment.source(feed.frame)),
            source_port: u16::from_be_bytes([a, b]),
            destination: address(segment.destination(feed.frame)),
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
