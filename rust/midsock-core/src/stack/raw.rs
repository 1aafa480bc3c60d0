//! What raw monitoring sockets see: packets, whatever flow they belong to.

use super::{Engine, Feed, dispatch};
use crate::Side;
use crate::event::{Event, EventDetail, Hook, Kind, MonitorId, MonitorKind, Scene};
use crate::scope::Tuple;
use crate::wire::Outcome;

impl<U> Engine<U> {
    /// Shows the packet at hand to raw monitoring sockets; returns whether the application need not be called.
    pub(super) fn show_raw(&mut self, feed: Feed<'_>) -> bool {
        self.current.raw_done = true;
        let tuple = self.tuple_of(feed);
        self.show_packet(feed, &tuple, Kind::PktIn, EventDetail::None);
        self.is_quiet()
    }

    /// Raises an event of a packet without a flow on the monitoring sockets whose scope takes it.
    pub(super) fn show_packet(&mut self, feed: Feed<'_>, tuple: &Tuple, kind: Kind, detail: EventDetail) {
        let mut watching: Vec<MonitorId> = self.registry.watching(MonitorKind::Raw, tuple).collect();
        if kind == Kind::Orphan {
            watching.extend(self.registry.watching(MonitorKind::Stream, tuple));
        }
        for monitor in watching {
            let program = self.registry.program_of(monitor);
            if program.mask(Hook::PostTcp) & kind.bit() == 0 {
                continue;
            }
            let event =
                Event { kind, hook: Hook::PostTcp, side: Side::Client, time: feed.packet.time, detail };
            let decoded = self.ahead.at(self.current.packet);
            let scene = Scene {
                event: &event,
                packet: Some(feed.packet),
                port: self.current.port,
                frame: feed.frame,
                segment: (decoded.outcome == Outcome::Tcp).then_some(&decoded.segment),
                sender: Side::Client,
                flow: None,
                data: &[],
                old: &[],
            };
            let (flow, monitor) = (None, Some(monitor));
            let packet = Some(self.current.packet as u16);
            let mut target =
                dispatch::Target { dispatch: &mut self.dispatch, program: &program, flow, monitor, packet };
            program.fire(&scene, &mut target);
        }
    }

    /// What a scope looks at, in any packet; unknown addresses are 0.0.0.0.
    pub(super) fn tuple_of(&self, feed: Feed<'_>) -> Tuple {
        let decoded = self.ahead.at(self.current.packet);
        Tuple::of_packet(feed.frame, &decoded.segment, decoded.outcome)
    }
}
