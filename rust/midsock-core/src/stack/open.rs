//! Which flow a segment belongs to, and where new flows begin.

use super::storms::{self, Inheritance};
use super::{Engine, Feed, Stage, check_sum, history};
use crate::config::{ChecksumPolicy, FullPolicy};
use crate::event::{EventDetail, Hook, Kind};
use crate::flow::{Challenger, EndReason, Flow, FlowExtra, FlowFlags, History, Key, Path, is_service};
use crate::reassembly::Stream;
use crate::scope::Tuple;
use crate::tcp::{self, Anomaly, Arrival, Connection, Flags, Seq, State};
use crate::wire::{Segment, TcpFlags};
use crate::{Anomalies, Nanos, Side};

/// Records looked at in search of one to evict: enough to find one soon under a flood, and a bound on the time.
const SEARCH: u32 = 64;

/// After this long without a packet an established flow may have to make room for a new one.
const IDLE: Nanos = 60_000_000_000;

/// A SYN that came into a live flow, to be checked against the next SYN/ACK.
pub(super) fn remember_challenger<U>(
    extra: &mut FlowExtra<U>,
    side: Side,
    feed: Feed<'_>,
    segment: &Segment,
) {
    let header = feed.frame.get(..usize::from(segment.payload)).unwrap_or(feed.frame);
    let challenger = Challenger { side, packet: *feed.packet, segment: *segment, frame: header.into() };
    extra.trouble.get_or_insert_default().challenger = Some(Box::new(challenger));
}

/// What a segment is to the flow that has its tuple.
enum Belongs {
    /// It is the flow's.
    Here,
    /// It is a late packet of a flow that ended.
    Late,
    /// It begins a new flow in the place of this one, which has ended.
    Instead,
    /// The old flow has to end first.
    After(EndReason),
    /// It answers a SYN inside the old flow: the connection is a new one.
    Takeover,
}

impl<U> Engine<U> {
    /// Finds or opens the segment's flow; returns whether there is one to go on with.
    #[inline]
    pub(super) fn look_up(&mut self, feed: Feed<'_>) -> bool {
        let decoded = self.ahead.at(self.current.packet);
        let (hash, forward) = (decoded.hash, decoded.forward);
        self.current.raised = 0;
        self.current.inheritance = Inheritance::default();
        if let Some(place) = self.table.find_near(decoded.guess, &decoded.key, hash) {
            let flow = self.table.flow(place);
            let side = flow.sender(forward);
            let is_usual = !flow.is_ended() && !decoded.segment.flags.contains(TcpFlags::SYN);
            if is_usual {
                return self.enter(place, side);
            }
            match self.belongs(place, side) {
                Belongs::Here => return self.enter(place, side),
                Belongs::Late => {
                    self.count_late(feed, place, side);
                    self.pass_by(place, side);
                    return self.leave();
                }
                Belongs::After(reason) => {
                    if !self.end_first(place, reason) {
                        return false;
                    }
                    self.inherit(place, side);
                    self.vacate(place);
                }
                Belongs::Takeover => return self.take_over(place, side),
                Belongs::Instead => {
                    self.inherit(place, side);
                    self.vacate(place);
                }
            }
        }
        let key = self.ahead.at(self.current.packet).key;
        self.open(feed, &key, hash, forward)
    }

    fn enter(&mut self, place: u32, side: Side) -> bool {
        self.statistics.tcp += 1;
        self.current.place = Some(place);
        self.current.side = side;
        true
    }

    /// The packet goes no further.
    fn leave(&mut self) -> bool {
        self.statistics.tcp += 1;
        self.current.place = None;
        self.current.stage = Stage::Finish;
        false
    }

    fn belongs(&self, place: u32, side: Side) -> Belongs {
        let segment = self.ahead.at(self.current.packet).segment;
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        let (sender, receiver) = (&flow.ends[side.index()], &flow.ends[side.other().index()]);
        let is_same_syn = sender.flags.any(Flags::SYN) && Seq(segment.seq) == extra.details[side.index()].isn;
        let is_new_syn = segment.flags.is_syn_only() && !is_same_syn;
        let is_cut = flow.flags.any(FlowFlags::CUT);
        if segment.flags.is_syn_ack() && !is_cut {
            let challenger = extra.trouble.as_ref().and_then(|trouble| trouble.challenger.as_ref());
            if challenger.is_some_and(|challenger| {
                let syn = &challenger.segment;
                challenger.side == side.other()
                    && (1..=syn.sequence_length() as i32).contains(&Seq(segment.ack).since(Seq(syn.seq)))
            }) {
                return Belongs::Takeover;
            }
        }
        if flow.is_ended() {
            let begins = is_new_syn && (!is_cut || self.may_begin_anew(place, side));
            return if begins { Belongs::Instead } else { Belongs::Late };
        }
        if is_new_syn {
            // An attempt that was never answered has been given up for this one.
            if sender.flags.any(Flags::SYN) && !receiver.flags.any(Flags::SEEN) {
                return Belongs::After(EndReason::Reset);
            }
            // TIME-WAIT can be left early (RFC 9293, section 3.6.1), and the last ACK may be missing here.
            if sender.flags.any(Flags::FIN) && receiver.flags.any(Flags::FIN) {
                return Belongs::After(EndReason::Closed);
            }
        }
        Belongs::Here
    }

    /// A packet of a flow that ended changes its counters only. A FIN that is sent again because its acknowledgement was
    /// lost comes as late as this.
    fn count_late(&mut self, feed: Feed<'_>, place: u32, side: Side) {
        let segment = self.ahead.at(self.current.packet).segment;
        let (flow, extra) = self.table.both_mut(place);
        let idle = feed.packet.time.saturating_sub(flow.last);
        flow.last = feed.packet.time;
        flow.packets[side.index()] += 1;
        flow.bytes[side.index()] += u64::from(segment.length);
        let mut arrival = tcp::arrival::judge(&flow.ends, &extra.details, side, &segment, feed.frame, idle);
        if self.config.checksums != ChecksumPolicy::Ignore {
            let flags = &mut flow.ends[side.index()].flags;
            check_sum(flags, &mut arrival, feed, &segment, self.config.checksums);
        }
        history::note(flow, extra, side, &segment, &arrival);
        let mut anomalies = storms::after_end(flow, extra, side, &segment);
        let mut late = Arrival { anomalies: Anomalies::default(), ..arrival };
        storms::note(flow, extra, side, &segment, &mut late);
        anomalies.add_all(late.anomalies);
        for anomaly in anomalies.iter() {
            extra.trouble.get_or_insert_default().anomalies.note(anomaly);
        }
        if let Some(rexmit) = arrival.rexmit {
            extra.trouble.get_or_insert_default().rexmits[side.index()].note(&rexmit);
        }
    }

    /// A packet of a flow that ended passes, if the flow was not cut.
    #[cold]
    fn pass_by(&mut self, place: u32, side: Side) {
        let flow = self.table.flow(place);
        if flow.flags.any(FlowFlags::CUT) {
            self.refuse(place, side);
        } else if flow.reason == Some(EndReason::Stopped)
            && let Some(outbox) = &mut self.outbox
        {
            outbox.count_bypassed();
        }
    }

    /// Ends a flow whose tuple the packet at hand takes over; returns whether that is done. If its handlers have to run
    /// first, the packet will look for its flow once more.
    fn end_first(&mut self, place: u32, reason: EndReason) -> bool {
        self.end(place, reason);
        if self.is_quiet() {
            self.sweep();
            return true;
        }
        false
    }

    /// A SYN inside the old flow has been answered: that flow is over, and a new one began with that SYN.
    fn take_over(&mut self, place: u32, side: Side) -> bool {
        if !self.end_first(place, EndReason::Reset) {
            return false;
        }
        let (flow, extra) = self.table.both_mut(place);
        let challenger = extra.trouble.as_mut().and_then(|trouble| trouble.challenger.take());
        let Some(challenger) = challenger else { return self.enter(place, side) };
        flow.packets[challenger.side.index()] -= 1;
        flow.bytes[challenger.side.index()] -= u64::from(challenger.segment.length);
        let (key, client_is_high) =
            (flow.key, (challenger.side == Side::Client) == flow.flags.any(FlowFlags::CLIENT_IS_HIGH));
        let hash = self.table.hash(&key);
        let old = place;
        self.vacate(place);
        let time = challenger.packet.time;
        let routes = self.outbox.as_mut().map(|outbox| outbox.routes_of(old, challenger.side));
        let Some(place) = self.insert(&key, hash, client_is_high, time, true) else {
            return self.leave();
        };
        if let (Some(outbox), Some(routes)) = (&mut self.outbox, routes) {
            outbox.set_routes(place, routes);
        }
        let (flow, extra) = self.table.both_mut(place);
        (flow.packets[0], flow.bytes[0], flow.last) = (1, challenger.segment.length.into(), time);
        let (segment, frame, arrival) = (&challenger.segment, &challenger.frame[..], Arrival::default());
        history::note(flow, extra, Side::Client, segment, &arrival);
        let mut connection = Connection { ends: &mut flow.ends, details: &mut extra.details };
        tcp::sender::step(&mut connection, Side::Client, segment, frame, &arrival, time);
        tcp::receiver::step(&mut connection, Side::Client, segment, frame, &arrival, time);
        self.current.raised = Kind::ConnStart.bit();
        self.current.inheritance.anomalies.add(Anomaly::LivePortReuse);
        self.enter(place, Side::Server)
    }

    /// Opens a flow if the segment begins one, or may be one of a flow under way.
    fn open(&mut self, feed: Feed<'_>, key: &Key, hash: u32, forward: bool) -> bool {
        let segment = self.ahead.at(self.current.packet).segment;
        let starts = segment.flags.is_syn_only();
        if !starts && !self.config.midstream {
            self.statistics.orphans += 1;
            self.leave();
            let tuple = self.tuple_of(feed);
            let detail = without_flow(segment.flags).map_or(EventDetail::None, EventDetail::Anomaly);
            self.show_packet(feed, &tuple, Kind::Orphan, detail);
            return false;
        }
        // The SYN tells the client. Without it, a SYN/ACK tells the server.
        let (source, destination) = (segment.source_port(feed.frame), segment.destination_port(feed.frame));
        let sender_is_client =
            starts || !segment.flags.contains(TcpFlags::SYN) && is_likely_client(source, destination);
        let client_is_high = sender_is_client != forward;
        let Some(place) = self.insert(key, hash, client_is_high, feed.packet.time, starts) else {
            return self.leave();
        };
        let (flow, extra) = self.table.both_mut(place);
        let sender = if sender_is_client { Side::Client } else { Side::Server };
        extra.history.begin(sender, segment.flags, is_service(source));
        if !starts {
            flow.flags.set(FlowFlags::MIDSTREAM);
            let states = if segment.flags.contains(TcpFlags::SYN) {
                [State::SynSent, State::Listen]
            } else {
                flow.flags.set(FlowFlags::SETUP);
                [State::Established; 2]
            };
            (flow.ends[0].state, flow.ends[1].state) = (states[0], states[1]);
        }
        self.current.raised = Kind::ConnStart.bit();
        if let Some(anomaly) = without_flow(segment.flags) {
            self.current.inheritance.anomalies.add(anomaly);
        }
        self.enter(place, sender)
    }

    /// Puts a new flow in the table, if anybody watches it and there is room.
    fn insert(
        &mut self,
        key: &Key,
        hash: u32,
        client_is_high: bool,
        start: Nanos,
        is_opening: bool,
    ) -> Option<u32> {
        let mut flow = Flow { key: *key, ..Flow::default() };
        if client_is_high {
            flow.flags.set(FlowFlags::CLIENT_IS_HIGH);
        }
        let path = key.path().and_then(|number| self.paths.get(number)).cloned();
        let (source, destination) = (flow.address(Side::Client), flow.address(Side::Server));
        let tuple = Tuple {
            source: source.ip(),
            source_port: source.port(),
            destination: destination.ip(),
            destination_port: destination.port(),
            vlan: path.as_ref().map_or_else(|| key.vlan(), Path::vlan),
            protocol: TCP,
        };
        let Some(program) = self.registry.program_for(&tuple) else {
            self.statistics.unwatched += 1;
            return None;
        };
        self.note_pressure();
        if self.table.statistics().open >= self.config.max_flows && !self.make_room() {
            self.registry.leave(program);
            self.statistics.ignored += 1;
            return None;
        }
        flow.program = program;
        flow.ends[1].state = State::Listen;
        let wanted = self.registry.get(program);
        let (settings, keeps_history) = (wanted.settings, wanted.shows_history || self.config.records);
        for side in Side::BOTH {
            // Without a history there is nothing left to be noted in it.
            flow.ends[side.index()].flags.put(Flags::DATA_NOTED | Flags::ACK_NOTED, !keeps_history);
            flow.ends[side.index()].flags.put(Flags::UNTRACKED, !settings.track[side.index()]);
        }
        let timeouts = self.timeouts();
        let idle = if is_opening { timeouts.opening } else { timeouts.established };
        let place = self.table.insert(hash, flow, start, self.now.saturating_add(idle));
        let extra = self.table.extra_mut(place);
        extra.path = path;
        for (side, receiver) in [(Side::Client, destination), (Side::Server, source)] {
            let policy = self.config.hosts.policy(receiver.ip());
            extra.details[side.index()].overlap = policy.unwrap_or(settings.overlap);
            extra.details[side.index()].urgent = settings.urgent;
        }
        if keeps_history {
            extra.history = History::kept();
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.begin_flow(place);
        }
        if settings.digest {
            let (flow, extra) = self.table.both_mut(place);
            for side in Side::BOTH {
                flow.ends[side.index()].flags.set(Flags::STREAM);
                extra.details[side.index()].stream = Some(Box::new(Stream::hashed()));
            }
        }
        Some(place)
    }

    /// Makes room for one flow, if the policy and the flows allow.
    fn make_room(&mut self) -> bool {
        if self.config.full == FullPolicy::Ignore {
            return false;
        }
        if self.is_making_room() {
            return true;
        }
        let now = self.now;
        let over = self.table.search(SEARCH, Flow::lingers);
        let victim = over
            .or_else(|| self.table.search(SEARCH, |flow| !flow.flags.any(FlowFlags::SETUP)))
            .or_else(|| self.table.search(SEARCH, |flow| now.saturating_sub(flow.last) > IDLE));
        let Some(place) = victim else { return false };
        self.statistics.evicted += 1;
        if self.table.flow(place).is_ended() {
            self.vacate(place);
        } else {
            self.end(place, EndReason::Evicted);
            // With handlers of this end to run first, its record stays a little longer.
            if self.is_quiet() {
                self.sweep();
            }
        }
        true
    }

    /// An event that concerns no packet: its detail says all.
    pub(super) fn raise_alone(&mut self, place: u32, kind: Kind, side: Side, detail: EventDetail) {
        self.raise(None, place, kind, Hook::PostTcp, side, detail);
    }
}

/// Whether the sender of a packet that tells nothing else is the client: the other end has the port of a service, or else
/// the lower port, since services have those. Of two equal ports, whoever is seen first has the client's.
fn is_likely_client(source: u16, destination: u16) -> bool {
    match (is_service(source), is_service(destination)) {
        (true, false) => false,
        (false, true) => true,
        _ => source >= destination,
    }
}

/// What it means that a segment with these control bits is of no known flow, if that is remarkable.
fn without_flow(flags: TcpFlags) -> Option<Anomaly> {
    if flags.is_syn_ack() {
        Some(Anomaly::SynAckWithoutFlow)
    } else if flags.contains(TcpFlags::RST) {
        Some(Anomaly::RstWithoutFlow)
    } else if flags.contains(TcpFlags::FIN) && !flags.contains(TcpFlags::SYN) {
        Some(Anomaly::FinWithoutFlow)
    } else {
        None
    }
}

/// IP protocol number of TCP.
const TCP: u8 = 6;
