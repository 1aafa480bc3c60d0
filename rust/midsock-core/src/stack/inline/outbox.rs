//! What is to be sent at the end of a burst.

use std::net::SocketAddr;

use super::route::{Path, Reach, Route};
use super::{InlineStatistics, Pending, Verdict};
use crate::port::{BURST, ChecksumState, LinkType, Packet, PortError};
use crate::stack::ports::Ports;
use crate::tcp::Seq;
use crate::wire::Segment;
use crate::{Nanos, Side};

/// A frame that the stack made.
struct Made {
    /// It goes before the packet at this place in the burst.
    before: usize,
    /// The packet in whose place it goes: it goes if that one would have.
    of: Option<usize>,
    port: usize,
    /// Its record; the offset counts in the outbox's own memory.
    packet: Packet,
}

/// What becomes of the packets of the burst at hand, and what goes out besides them.
pub(in crate::stack) struct Outbox {
    /// Packets go from one port to the other; else nothing is forwarded.
    pub(in crate::stack) is_bridge: bool,
    /// By the packet's place in the burst.
    verdicts: [Verdict; BURST],
    /// Whether any of those says anything but to forward.
    is_touched: bool,
    made: Vec<Made>,
    /// Packets in whose place made frames go, in their order.
    replaced: Vec<u16>,
    /// What made frames lie in.
    bytes: Vec<u8>,
    /// Packets to be forwarded in one go.
    places: Vec<u16>,
    pub(super) pending: Option<Pending>,
    /// Of packets that were not plain: what their flow's other end expected of their sender before them, if they could
    /// have changed that.
    expected: Vec<(usize, Option<Seq>)>,
    /// By the flow's place.
    reaches: Vec<Reach>,
    /// The port that the burst at hand came from.
    at: usize,
    /// What frames of each port start with, as the last burst from there showed.
    links: [LinkType; 2],
    pub(super) statistics: InlineStatistics,
}

/// Every place of a burst.
const ALL: [u16; BURST] = {
    let mut all = [0; BURST];
    let mut place = 0;
    while place < BURST {
        all[place] = place as u16;
        place += 1;
    }
    all
};

impl Outbox {
    pub(in crate::stack) fn new(is_bridge: bool) -> Outbox {
        Outbox {
            is_bridge,
            verdicts: [Verdict::Forward; BURST],
            is_touched: false,
            made: Vec::new(),
            replaced: Vec::new(),
            bytes: Vec::new(),
            places: Vec::with_capacity(BURST),
            pending: None,
            expected: Vec::with_capacity(BURST),
            reaches: Vec::new(),
            at: 0,
            links: [LinkType::Ethernet; 2],
            statistics: InlineStatistics::default(),
        }
    }

    /// Whether a verdict on the flow of the packet at hand waits for the end of that packet's way.
    pub(in crate::stack) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// A burst has come from this port.
    pub(in crate::stack) fn begin_burst(&mut self, port: usize, burst: &[Packet]) {
        self.expected.clear();
        self.at = port;
        if let Some(packet) = burst.first() {
            self.links[port] = packet.link;
        }
    }

    /// What frames of a port start with.
    pub(super) fn link_of(&self, port: usize) -> LinkType {
        self.links[port]
    }

    /// Gives a verdict on a packet of the burst; a stronger one stays.
    pub(in crate::stack) fn put(&mut self, packet: usize, verdict: Verdict) {
        if let Some(kept) = self.verdicts.get_mut(packet) {
            *kept = verdict.max(*kept);
            self.is_touched = true;
        }
    }

    /// Keeps what the other end expected before a packet that is not plain.
    pub(in crate::stack) fn note_expected(&mut self, packet: usize, expected: Option<Seq>) {
        self.expected.push((packet, expected));
    }

    /// What the other end expected before a packet, if the packet could have changed that; `seq` is the number of its
    /// first byte.
    pub(super) fn expected_before(&self, packet: usize, seq: u32) -> Option<Seq> {
        match self.expected.binary_search_by_key(&packet, |(noted, _)| *noted) {
            Ok(at) => self.expected[at].1,
            // A plain one is just what was expected.
            Err(_) => Some(Seq(seq)),
        }
    }

    /// How to reach the ends of the flow at a place.
    pub(super) fn reach_mut(&mut self, place: u32) -> &mut Reach {
        let place = place as usize;
        if place >= self.reaches.len() {
            self.reaches.resize(place + 1, Reach::default());
        }
        &mut self.reaches[place]
    }

    /// Whether packets of the flow at a place are answered with RSTs.
    pub(super) fn answers(&self, place: u32) -> bool {
        self.reaches.get(place as usize).is_some_and(|reach| reach.answers)
    }

    /// Bytes of memory that it takes for what it remembers of flows.
    pub(in crate::stack) fn memory(&self) -> usize {
        self.reaches.capacity() * size_of::<Reach>()
    }

    /// Another flow begins at a place.
    pub(in crate::stack) fn begin_flow(&mut self, place: u32) {
        *self.reach_mut(place) = Reach::default();
    }

    /// How to reach the ends of the flow at a place, this side first.
    pub(in crate::stack) fn routes_of(&mut self, place: u32, first: Side) -> [Route; 2] {
        let routes = &self.reach_mut(place).routes;
        [routes[first.index()], routes[first.other().index()]]
    }

    /// Says how to reach the ends of the flow at a place.
    pub(in crate::stack) fn set_routes(&mut self, place: u32, routes: [Route; 2]) {
        self.reach_mut(place).routes = routes;
    }

    /// A packet of a stopped flow has come.
    pub(in crate::stack) fn count_bypassed(&mut self) {
        self.statistics.bypassed += 1;
    }

    /// A packet of the burst at hand shows how to reach its sender.
    pub(super) fn learn(&mut self, place: u32, side: Side, packet: &Packet, frame: &[u8], segment: &Segment) {
        let at = self.at;
        self.reach_mut(place).routes[side.index()].learn(at, packet, frame, segment);
    }

    /// Sends a RST to an end of a flow, from the first of `ends` to the second, before the packet at the place `before`.
    #[allow(clippy::too_many_arguments)] // it is the segment's fields that are many
    pub(super) fn send_rst(
        &mut self,
        before: usize,
        now: Nanos,
        place: u32,
        to: Side,
        ends: [SocketAddr; 2],
        seq: u32,
        ack: Option<u32>,
    ) {
        let ports = if self.is_bridge { 2 } else { 1 };
        let Some(path) = Path::to(to, &self.reach_mut(place).routes, ports) else {
            // All that was seen of the flow was rejected: there is nowhere to send it.
            self.statistics.failures += 1;
            return;
        };
        self.make(before, path.port, now, path.link, |bytes| path.write_rst(ends, seq, ack, bytes));
    }

    /// Makes a frame that goes out of `port` before the packet at the place `before`; `write` appends its bytes.
    pub(super) fn make(
        &mut self,
        before: usize,
        port: usize,
        time: Nanos,
        link: LinkType,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let offset = self.bytes.len();
        write(&mut self.bytes);
        let length = (self.bytes.len() - offset) as u32;
        let checksum = ChecksumState::Unknown;
        let packet = Packet { time, offset, captured: length, length, link, checksum, interface: 0 };
        let at = self.made.partition_point(|made| made.before <= before);
        self.made.insert(at, Made { before, of: None, port, packet });
    }

    /// Sends made frames out of `port` before the packet at the place `before`, and forgets them.
    pub(super) fn make_all(
        &mut self,
        before: usize,
        port: usize,
        time: Nanos,
        link: LinkType,
        frames: &mut crate::inline::edit::Made,
    ) {
        for frame in frames.frames() {
            self.make(before, port, time, link, |bytes| bytes.extend_from_slice(frame));
        }
        frames.clear();
    }

    /// Sends frames out of `port` in place of a packet of the burst.
    pub(super) fn replace<'f>(
        &mut self,
        packet: usize,
        port: usize,
        time: Nanos,
        link: LinkType,
        frames: impl Iterator<Item = &'f [u8]>,
    ) {
        for frame in frames {
            let at = self.made.partition_point(|made| made.before <= packet);
            self.make(packet, port, time, link, |bytes| bytes.extend_from_slice(frame));
            self.made[at].of = Some(packet);
        }
        self.replaced.push(packet as u16);
    }

    /// Whether a packet is to be forwarded, as far as was said.
    pub(super) fn is_forwarded(&self, packet: usize) -> bool {
        self.is_bridge && self.verdicts.get(packet) == Some(&Verdict::Forward)
    }

    /// Sends the frames that were made between bursts.
    pub(super) fn send_made(&mut self, ports: &mut Ports) -> Result<(), PortError> {
        let mut sent = self.send_made_before(usize::MAX, &mut 0, ports);
        for port in 0..ports.list().len() {
            if sent.is_ok() && self.made.iter().any(|made| made.port == port) {
                let flushed = ports.list_mut()[port].flush();
                sent = flushed.map_err(|error| ports.fail(port, error));
            }
        }
        self.made.clear();
        self.bytes.clear();
        sent
    }

    /// Sends the frames from `*next` on that go before this place.
    fn send_made_before(&self, place: usize, next: &mut usize, ports: &mut Ports) -> Result<(), PortError> {
        while let Some(made) = self.made.get(*next).filter(|made| made.before <= place) {
            *next += 1;
            if made.of.is_some_and(|packet| self.verdicts[packet] != Verdict::Forward) {
                continue;
            }
            let port = &mut ports.list_mut()[made.port];
            if let Err(error) = port.send(&self.bytes, std::slice::from_ref(&made.packet)) {
                return Err(ports.fail(made.port, error));
            }
        }
        Ok(())
    }

    /// The burst is over: what is to go out goes out.
    pub(in crate::stack) fn carry_out(
        &mut self,
        ports: &mut Ports,
        burst: &[Packet],
    ) -> Result<(), PortError> {
        if !self.is_bridge {
            return if self.made.is_empty() { Ok(()) } else { self.send_made(ports) };
        }
        let is_whole = |packet: &Packet| packet.captured == packet.length;
        let result = if !self.is_touched
            && self.made.is_empty()
            && self.replaced.is_empty()
            && burst.iter().all(is_whole)
        {
            self.statistics.forwarded += burst.len() as u64;
            forward(ports, burst, &ALL[..burst.len().min(BURST)])
        } else {
            self.carry_out_each(ports, burst)
        };
        if self.is_touched {
            self.verdicts.fill(Verdict::Forward);
            self.is_touched = false;
        }
        let (at, other) = (ports.at(), 1 - ports.at());
        let is_answered = self.made.iter().any(|made| made.port == at);
        self.made.clear();
        self.replaced.clear();
        self.bytes.clear();
        result?;
        let flushed = ports.list_mut()[other].flush();
        flushed.map_err(|error| ports.fail(other, error))?;
        if is_answered {
            let flushed = ports.list_mut()[at].flush();
            flushed.map_err(|error| ports.fail(at, error))?;
        }
        Ok(())
    }

    /// Packet for packet, with made frames between them.
    fn carry_out_each(&mut self, ports: &mut Ports, burst: &[Packet]) -> Result<(), PortError> {
        let mut next = 0;
        self.places.clear();
        for (place, packet) in burst.iter().enumerate() {
            if self.made.get(next).is_some_and(|made| made.before <= place) {
                self.forward_places(ports, burst)?;
                self.send_made_before(place, &mut next, ports)?;
            }
            if self.verdicts[place] != Verdict::Forward {
                self.statistics.dropped_by_verdict += 1;
            } else if self.replaced.binary_search(&(place as u16)).is_ok() {
                self.statistics.forwarded += 1;
            } else if packet.captured < packet.length {
                // The rest of it is nowhere to be had.
                self.statistics.failures += 1;
            } else {
                self.places.push(place as u16);
            }
        }
        self.forward_places(ports, burst)?;
        self.send_made_before(usize::MAX, &mut next, ports)
    }

    fn forward_places(&mut self, ports: &mut Ports, burst: &[Packet]) -> Result<(), PortError> {
        if self.places.is_empty() {
            return Ok(());
        }
        self.statistics.forwarded += self.places.len() as u64;
        let forwarded = forward(ports, burst, &self.places);
        self.places.clear();
        forwarded
    }
}

/// Forwards packets of the burst at hand to the other port.
fn forward(ports: &mut Ports, burst: &[Packet], places: &[u16]) -> Result<(), PortError> {
    let at = ports.at();
    let [first, second] = ports.list_mut() else { return Ok(()) };
    let (from, to) = if at == 0 { (first, second) } else { (second, first) };
    to.forward(&mut **from, burst, places).map_err(|error| ports.fail(1 - at, error))
}
