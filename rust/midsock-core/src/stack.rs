//! The path of a packet, in code: every stage is called from here, in order.
//!
//! [`Stack::step`] goes on until the application is needed: for a handler or a filter of its own ([`Step::Upcall`]), for
//! a batch of rows ([`Step::Batch`]), or because a burst is over. Between two steps the stack is at rest, wherever in a
//! packet's way it is: the application may ask and change whatever it likes, and go on whenever it likes.

mod ahead;
mod application;
mod dispatch;
mod emergency;
mod end;
mod fragments;
mod history;
mod inline;
mod open;
mod ports;
mod raw;
mod socket;
mod step;
mod storms;
mod straight;
mod stream;
#[cfg(test)]
mod tests;
mod time;

use self::ahead::Ahead;
pub use self::application::Application;
use self::dispatch::Dispatch;
pub use self::dispatch::{Call, Count, Upcall};
use self::emergency::Emergency;
use self::end::Endings;
use self::fragments::Fragments;
pub use self::inline::{InlineError, InlineStatistics, ModifyError, Verdict};
use self::inline::{Marks, Outbox, Task, Translations};
use self::ports::Ports;
pub use self::socket::{NoFlow, TimerHandle};
use self::step::Phase;
pub use self::step::Step;
use self::storms::Inheritance;
use self::straight::Straight;
use self::stream::{Fresh, News};
use self::time::AppTimers;
use crate::config::{ChecksumPolicy, Config};
use crate::defrag::DefragStatistics;
use crate::event::{Event, EventDetail, FlowView, Hook, Kind, KindMask, Registry, Scene};
use crate::flow::{FlowFlags, FlowId, FlowRecord, FlowTable, HashKey, Paths, Trouble};
use crate::port::{BURST, ChecksumState, Packet, Port};
use crate::reassembly::Conflict;
use crate::tcp::{self, Anomaly, Arrival, Changes, Connection, Flags, Probe};
use crate::wire::{self, Checksum, Malformed, Outcome, Segment, TcpFlags};
use crate::{Nanos, Side};

/// Counters of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets that carry TCP.
    pub tcp: u64,
    /// IP packets of another transport.
    pub not_tcp: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Packets that carry no IP.
    pub not_ip: u64,
    /// Packets that could not be decoded, by [`Malformed::index`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// TCP packets that belong to no flow.
    pub orphans: u64,
    /// TCP packets of flows that no monitoring socket watches.
    pub unwatched: u64,
    /// Packets of flows that were ignored because the table is full.
    pub ignored: u64,
    /// Flows that made room for others.
    pub evicted: u64,
    /// Whether the table is nearly full, so that [`Config::emergency`] holds.
    pub is_emergency: bool,
    /// How often it has become so.
    pub emergencies: u64,
    /// Flows that ended because they were idle for longer than is permitted then.
    pub emergency_timeouts: u64,
    /// Bytes of held and unread data now.
    pub reassembly: u64,
    /// What became of the fragments.
    pub defrag: DefragStatistics,
}

/// A packet and its bytes.
#[derive(Clone, Copy)]
struct Feed<'f> {
    packet: &'f Packet,
    frame: &'f [u8],
}

/// How far the packet at hand has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Its flow is looked up.
    Look,
    /// Its sender moves.
    Send,
    /// Its receiver moves.
    Receive,
    /// Its handlers have run.
    Finish,
}

/// The packet at hand.
struct Current {
    /// Its place in the burst.
    packet: usize,
    /// Which port the burst came from.
    port: u8,
    stage: Stage,
    /// Raw monitoring sockets have seen it.
    raw_done: bool,
    /// Its flow's place; none once that flow was freed.
    place: Option<u32>,
    side: Side,
    arrival: Arrival,
    changes: Changes,
    /// What it has of the flow in whose place it begins one.
    inheritance: Inheritance,
    /// Events that the packet alone raises.
    raised: KindMask,
    /// What became of the stream.
    news: Vec<News>,
    fresh: Option<Fresh>,
    /// What of its bytes differs from those that were there.
    conflicts: Vec<Conflict>,
    /// Its flow and sender, if that flow's packets are changed.
    translated: Option<(FlowId, Side)>,
    /// It was changed as packets are that arrive.
    has_arrived: bool,
    /// It was changed as packets are that leave.
    has_left: bool,
}

/// Everything but the ports.
struct Engine<U> {
    config: Config,
    table: FlowTable<U>,
    /// The tunnels that flows come through.
    paths: Paths,
    registry: Registry,
    has_raw: bool,
    dispatch: Dispatch,
    ahead: Ahead,
    fragments: Fragments,
    current: Current,
    now: Nanos,
    timers: AppTimers,
    endings: Endings<U>,
    emergency: Emergency,
    statistics: Statistics,
    /// What goes out of the ports, if anything can.
    outbox: Option<Box<Outbox>>,
    /// Flows whose packets are changed.
    translations: Translations,
}

/// A stack: one port or two, all flows, and who watches them. `U` is what the application keeps with a flow.
pub struct Stack<U> {
    ports: Ports,
    burst: Vec<Packet>,
    phase: Phase,
    is_finishing: bool,
    engine: Engine<U>,
}

impl<U> Stack<U> {
    /// A stack that takes its packets from `port`.
    pub fn new(port: Box<dyn Port>, config: Config) -> Result<Stack<U>, getrandom::Error> {
        Stack::on(vec![port], config)
    }

    /// A stack in the path of packets: what comes from one port goes out of the other, unless the application has it
    /// otherwise ([`Stack::verdict`]). Packets of two recorded ports are taken in the order of their times; live ports
    /// take turns.
    pub fn inline(ports: [Box<dyn Port>; 2], config: Config) -> Result<Stack<U>, getrandom::Error> {
        Stack::on(ports.into(), config)
    }

    fn on(ports: Vec<Box<dyn Port>>, config: Config) -> Result<Stack<U>, getrandom::Error> {
        let is_bridge = ports.len() == 2;
        let can_send = is_bridge || ports.iter().any(|port| port.can_send());
        let marks = can_send.then(Box::<Marks>::default);
        let hash = config.seed.map_or_else(HashKey::random, |seed| Ok(HashKey::from_seed(seed)))?;
        let current = Current {
            packet: 0,
            port: 0,
            stage: Stage::Look,
            raw_done: false,
            place: None,
            side: Side::Client,
            arrival: Arrival::default(),
            changes: Changes::default(),
            inheritance: Inheritance::default(),
            raised: 0,
            news: Vec::new(),
            fresh: None,
            conflicts: Vec::new(),
            translated: None,
            has_arrived: false,
            has_left: false,
        };
        Ok(Stack {
            ports: Ports::new(ports),
            burst: Vec::with_capacity(BURST),
            phase: Phase::Port,
            is_finishing: false,
            engine: Engine {
                ahead: Ahead::new(&config),
                table: FlowTable::new(hash, config.max_flows),
                emergency: Emergency::new(&config),
                config,
                paths: Paths::default(),
                registry: Registry::default(),
                has_raw: false,
                dispatch: Dispatch { marks, ..Dispatch::default() },
                fragments: Fragments::default(),
                current,
                now: Nanos::MIN,
                timers: AppTimers::default(),
                endings: Endings::default(),
                statistics: Statistics::default(),
                outbox: can_send.then(|| Box::new(Outbox::new(is_bridge))),
                translations: Translations::default(),
            },
        })
    }

    /// The packet at hand, if the stack rests within one.
    fn feed(&self) -> Option<Feed<'_>> {
        let packet = self.burst.get(self.engine.current.packet)?;
        let is_at_hand = matches!(self.phase, Phase::Packets);
        if self.engine.fragments.is_whole {
            return self.engine.fragments.feed().filter(|_| is_at_hand);
        }
        is_at_hand.then(|| Feed { packet, frame: packet.frame(self.ports.memory()) })
    }

    /// The port; of two, the first.
    pub fn port(&self) -> &dyn Port {
        &*self.ports.list()[0]
    }

    /// The ports: one, or inline two.
    pub fn ports(&self) -> &[Box<dyn Port>] {
        self.ports.list()
    }

    /// Counters.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            defrag: self.engine.fragments.statistics(),
            is_emergency: self.engine.is_emergency(),
            ..self.engine.statistics
        }
    }

    /// Records of flows that were freed since the last call, in the order in which the flows ended; only if
    /// [`Config::records`] is on.
    pub fn take_records(&mut self) -> Vec<FlowRecord> {
        std::mem::take(&mut self.engine.endings.records)
    }

    /// Whether [`Stack::take_records`] has any.
    pub fn has_records(&self) -> bool {
        !self.engine.endings.records.is_empty()
    }

    /// Keeps records from now on, as [`Config::records`] does.
    pub fn keep_records(&mut self) {
        self.engine.config.records = true;
    }

    /// Whether [`Stack::take_released`] has any.
    pub fn has_released(&self) -> bool {
        !self.engine.endings.released.is_empty()
    }

    /// Frees every flow without telling its end, for a stack that is not to go on. Inline, what becomes of the packets of
    /// a burst under way is as when a stack is dropped: those that were not decided yet are forwarded or dropped by
    /// [`Config::on_failure`]. Returns what the application kept.
    pub fn abandon(&mut self) -> Vec<(FlowRecord, U)> {
        self.leave_burst();
        self.phase = Phase::Done;
        self.engine.abandon();
        self.take_released()
    }

    /// What the application kept with flows that were freed since the last call, and what is known of those flows.
    pub fn take_released(&mut self) -> Vec<(FlowRecord, U)> {
        std::mem::take(&mut self.engine.endings.released)
    }
}

impl<U> Engine<U> {
    /// A burst has come.
    fn begin_burst(&mut self, port: usize, burst: &[Packet]) {
        if self.now == Nanos::MIN
            && let Some(first) = burst.first()
        {
            self.now = first.time;
            self.timers.begin(first.time);
        }
        self.paths.sweep();
        self.ahead.begin_burst();
        self.fragments.begin_burst();
        (self.current.port, self.current.packet) = (port as u8, 0);
        self.begin_packet();
        if let Some(outbox) = &mut self.outbox {
            outbox.begin_burst(port, burst);
        }
    }

    /// Works on until the burst is through or the application is needed; returns whether it is through.
    fn packets(&mut self, memory: &[u8], burst: &[Packet]) -> bool {
        // Only the application gives a verdict, and only while the stack rests: it is looked for when that goes on.
        if self.outbox.as_ref().is_some_and(|outbox| outbox.has_pending()) && !self.last_stages(memory, burst)
        {
            return false;
        }
        if self.fragments.is_whole && !self.go_on_with_whole() {
            return false;
        }
        while let Some(packet) = burst.get(self.current.packet) {
            self.ahead.reach(self.current.packet, &self.table, &mut self.paths, memory, burst);
            let feed = Feed { packet, frame: packet.frame(memory) };
            if !self.packet(feed) {
                return false;
            }
            if self.current.translated.is_some() && !std::mem::replace(&mut self.current.has_left, true) {
                // It is through, and nothing is left to be done of it when the engine goes on.
                (self.current.stage, self.current.place) = (Stage::Finish, None);
                self.translations.task = Some(Task::Leave);
                return false;
            }
            self.current.packet += 1;
            self.begin_packet();
        }
        true
    }

    /// The next packet has its turn.
    #[inline]
    fn begin_packet(&mut self) {
        let current = &mut self.current;
        current.stage = Stage::Look;
        (current.raw_done, current.has_arrived, current.has_left) = (false, false, false);
        current.translated = None;
    }

    /// Takes the packet at hand to the end of its way, where a verdict on its flow is carried out; returns whether the
    /// application need not be called for that.
    #[cold]
    fn last_stages(&mut self, memory: &[u8], burst: &[Packet]) -> bool {
        if let Some(packet) = burst.get(self.current.packet) {
            let is_through = if self.fragments.is_whole {
                self.go_on_with_whole()
            } else {
                self.packet(Feed { packet, frame: packet.frame(memory) })
            };
            if !is_through {
                return false;
            }
            self.carry_out_pending();
        }
        // The packet is through: when the stack goes on, there is nothing left of it to be done.
        if !self.is_quiet() {
            return false;
        }
        // The next packet may be of the same tuple.
        self.sweep();
        true
    }

    /// Takes one packet further along its way; returns whether it has come to the end of it.
    #[inline]
    fn packet(&mut self, feed: Feed<'_>) -> bool {
        if self.current.stage == Stage::Look {
            self.now = self.now.max(feed.packet.time);
            if self.is_due() && !self.run_timers() {
                return false;
            }
            if self.has_raw && !self.current.raw_done && !self.show_raw(feed) {
                return false;
            }
            if self.ahead.at(self.current.packet).outcome != Outcome::Tcp {
                return self.pass_over(feed);
            }
            if self.translations.any() && !self.current.has_arrived && self.begin_translation(feed) {
                return false;
            }
            match self.go_straight(feed) {
                Straight::Done => {
                    if self.current.translated.is_some() {
                        self.current.arrival = Arrival::plain();
                    }
                    return true;
                }
                Straight::Told => {}
                straight @ (Straight::No | Straight::NotPlain) => {
                    if !self.look_up(feed) {
                        return self.is_quiet();
                    }
                    self.judge(feed, matches!(straight, Straight::NotPlain));
                    self.packet_events(feed, Hook::PreTcp);
                }
            }
            if !self.is_quiet() {
                return false;
            }
        }
        if self.current.stage == Stage::Send {
            let Some(place) = self.current.place else { return true };
            self.send(feed, place);
            self.current.stage = Stage::Receive;
            if !self.is_quiet() {
                return false;
            }
        }
        if self.current.stage == Stage::Receive {
            let Some(place) = self.current.place else { return true };
            self.receive(feed, place);
            self.current.stage = Stage::Finish;
            if !self.is_quiet() || self.translations.task.is_some() {
                return false;
            }
        }
        let Some(place) = self.current.place else { return true };
        self.finish(feed, place);
        self.current.place = None;
        self.is_quiet()
    }

    /// Whether no upcall waits.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.dispatch.upcalls.is_empty()
    }

    /// A packet that carries no TCP segment is counted, and a fragment may be the last one that was missing; returns
    /// whether the packet has come to the end of its way.
    fn pass_over(&mut self, feed: Feed<'_>) -> bool {
        match self.ahead.at(self.current.packet).outcome {
            Outcome::Tcp => {}
            Outcome::Fragment => {
                self.statistics.fragments += 1;
                if self.reassemble(feed) {
                    return self.go_on_with_whole();
                }
            }
            Outcome::NotTcp => self.statistics.not_tcp += 1,
            Outcome::NotIp => self.statistics.not_ip += 1,
            Outcome::Malformed(what) => self.statistics.malformed[what.index()] += 1,
        }
        // What is counted is not counted again when the stack goes on after an upcall.
        self.current.place = None;
        self.current.stage = Stage::Finish;
        self.is_quiet()
    }

    /// What the segment is to its flow, before anything moves. It may be known already that it is not plain.
    #[inline]
    fn judge(&mut self, feed: Feed<'_>, is_not_plain: bool) {
        let current = &mut self.current;
        let Some(place) = current.place else { return };
        let segment = &self.ahead.at(current.packet).segment;
        let (flow, extra) = self.table.both_mut(place);
        let side = current.side;
        let idle = feed.packet.time.saturating_sub(flow.last);
        flow.last = feed.packet.time;
        flow.packets[side.index()] += 1;
        flow.bytes[side.index()] += u64::from(segment.length);
        let judge = if is_not_plain { tcp::arrival::judge_irregular } else { tcp::arrival::judge };
        let mut arrival = judge(&flow.ends, &extra.details, side, segment, feed.frame, idle);
        if self.config.checksums != ChecksumPolicy::Ignore {
            check_sum(&mut flow.ends[side.index()].flags, &mut arrival, feed, segment, self.config.checksums);
        }
        if segment.captured < segment.length {
            arrival.anomalies.add(Anomaly::Truncated);
        }
        if self.fragments.is_whole {
            self.fragments.note_anomalies(&mut arrival.anomalies);
        }
        let noted = Flags::noted(segment.length);
        if extra.history.is_kept()
            && (!arrival.plain || segment.window == 0 || !flow.ends[side.index()].flags.any(noted))
        {
            history::note(flow, extra, side, segment, &arrival);
        }
        let mut raised = current.raised | Kind::PktIn.bit();
        if !arrival.plain {
            let inheritance = std::mem::take(&mut current.inheritance);
            arrival.anomalies.add_all(inheritance.anomalies);
            if inheritance.attempts > 0 {
                extra.details[side.index()].attempts = inheritance.attempts;
            }
            storms::note(flow, extra, side, segment, &mut arrival);
        }
        if arrival.rexmit.is_some() || arrival.probe.is_some() || !arrival.anomalies.is_empty() {
            note_trouble(extra.trouble.get_or_insert_default(), side, &arrival, &mut raised);
            if arrival.anomalies.contains(Anomaly::SynOnLive) {
                open::remember_challenger(extra, side, feed, segment);
            }
            if arrival.anomalies.contains(Anomaly::BadHeader) {
                self.statistics.malformed[Malformed::BadTcpDataOffset.index()] += 1;
            }
        }
        current.arrival = arrival;
        current.raised = raised;
        current.stage = Stage::Send;
        if !arrival.plain && self.outbox.is_some() {
            self.note_irregular(feed, place, side);
        }
    }

    /// Raises what the packet itself says.
    #[inline(always)]
    fn packet_events(&mut self, feed: Feed<'_>, hook: Hook) {
        let Some(place) = self.current.place else { return };
        let brief = self.registry.brief(self.table.flow(place).program);
        let wanted = brief.mask(hook) & self.current.raised;
        if wanted != 0 {
            self.raise_packet_events(feed, place, hook, wanted);
        }
    }

    fn raise_packet_events(&mut self, feed: Feed<'_>, place: u32, hook: Hook, wanted: KindMask) {
        let side = self.current.side;
        for kind in [Kind::PktIn, Kind::ConnStart] {
            if wanted & kind.bit() != 0 {
                self.raise(Some(feed), place, kind, hook, side, EventDetail::None);
            }
        }
        if let Some(rexmit) = self.current.arrival.rexmit {
            self.raise(Some(feed), place, Kind::Rexmit, hook, side, EventDetail::Rexmit(rexmit));
        }
        for anomaly in self.current.arrival.anomalies.iter() {
            self.raise(Some(feed), place, Kind::Anomaly, hook, side, EventDetail::Anomaly(anomaly));
        }
    }

    /// The sender's step and what comes of it.
    #[inline]
    fn send(&mut self, feed: Feed<'_>, place: u32) {
        let current = &mut self.current;
        current.changes = Changes::default();
        if !current.arrival.rejected {
            let segment = &self.ahead.at(current.packet).segment;
            let (flow, extra) = self.table.both_mut(place);
            let mut connection = Connection { ends: &mut flow.ends, details: &mut extra.details };
            let (side, arrival) = (current.side, &current.arrival);
            let time = feed.packet.time;
            current.changes = tcp::sender::step(&mut connection, side, segment, feed.frame, arrival, time);
        }
        self.packet_events(feed, Hook::PostSnd);
        self.state_events(feed, place, Hook::PostSnd, self.current.changes);
    }

    #[inline(always)]
    fn state_events(&mut self, feed: Feed<'_>, place: u32, hook: Hook, changes: Changes) {
        let brief = self.registry.brief(self.table.flow(place).program);
        if !changes.is_empty() && brief.mask(hook) & Kind::StateChange.bit() != 0 {
            self.raise_state_events(feed, place, hook, changes);
        }
    }

    fn raise_state_events(&mut self, feed: Feed<'_>, place: u32, hook: Hook, changes: Changes) {
        for change in changes.iter() {
            let detail = EventDetail::StateChange(change.old, change.new);
            self.raise(Some(feed), place, Kind::StateChange, hook, change.side, detail);
        }
    }

    /// The receiver's step, its stream, and what comes of both.
    #[inline]
    fn receive(&mut self, feed: Feed<'_>, place: u32) {
        let (mut changes, mut closing) = (Changes::default(), Changes::default());
        self.current.news.clear();
        self.current.fresh = None;
        self.current.conflicts.clear();
        if !self.current.arrival.rejected {
            let current = &self.current;
            let (side, segment) = (current.side, self.ahead.at(self.current.packet).segment);
            let (flow, extra) = self.table.both_mut(place);
            let mut connection = Connection { ends: &mut flow.ends, details: &mut extra.details };
            let (arrival, time) = (&current.arrival, feed.packet.time);
            changes = tcp::receiver::step(&mut connection, side, &segment, feed.frame, arrival, time);
            let is_plain = arrival.plain;
            self.take_payload(feed, place, side, &segment);
            if !is_plain {
                self.look_for_gaps(place, feed.packet.time);
                if segment.flags.contains(TcpFlags::FIN) {
                    // From here on it may be idle for less long.
                    self.watch_idle(place);
                }
                self.finish_closing(place, &mut closing);
            }
        }
        self.packet_events(feed, Hook::PostTcp);
        if !(self.current.changes.is_empty() && changes.is_empty()) {
            self.state_events(feed, place, Hook::PostTcp, self.current.changes);
            self.state_events(feed, place, Hook::PostTcp, changes);
            self.set_up(feed, place);
        }
        if !self.current.news.is_empty() {
            self.stream_events(Some(feed), place);
        }
        // A FIN comes after the data before it.
        self.state_events(feed, place, Hook::PostTcp, closing);
    }

    /// Moves ends past FINs whose stream is complete.
    fn finish_closing(&mut self, place: u32, changes: &mut Changes) {
        let (flow, extra) = self.table.both_mut(place);
        if !(flow.ends[0].flags | flow.ends[1].flags).any(Flags::FIN) {
            return;
        }
        let mut connection = Connection { ends: &mut flow.ends, details: &mut extra.details };
        for side in Side::BOTH {
            tcp::receiver::finish(&mut connection, side, changes);
        }
    }

    /// Both ends established for the first time: the connection is set up.
    fn set_up(&mut self, feed: Feed<'_>, place: u32) {
        let flow = self.table.flow_mut(place);
        let is_new =
            !flow.flags.any(FlowFlags::SETUP) && flow.ends.iter().all(|end| end.state.is_synchronized());
        if is_new {
            flow.flags.set(FlowFlags::SETUP);
            if flow.ends.iter().all(|end| end.flags.all(Flags::SYN | Flags::ACKED)) {
                flow.flags.set(FlowFlags::HANDSHAKE);
            }
            if self.timeouts().established < self.timeouts().opening {
                // From here on it may be idle for less long.
                self.watch_idle(place);
            }
            let side = self.current.side;
            self.raise(Some(feed), place, Kind::ConnSetup, Hook::PostTcp, side, EventDetail::None);
        }
    }

    /// What is left to do once the packet's handlers have run.
    #[inline]
    fn finish(&mut self, feed: Feed<'_>, place: u32) {
        if !self.current.news.is_empty() {
            self.keep_unread(feed, place);
        }
        if !self.current.arrival.plain {
            self.end_if_over(place);
            // The next packet may be of the same tuple: it must find an ended flow in its place among those.
            if self.is_quiet() {
                self.sweep();
            }
        }
    }

    /// Tells an event of a flow to whoever wants it.
    #[inline]
    fn raise(
        &mut self,
        feed: Option<Feed<'_>>,
        place: u32,
        kind: Kind,
        hook: Hook,
        side: Side,
        detail: EventDetail,
    ) {
        let flow = self.table.flow(place);
        if self.registry.brief(flow.program).mask(hook) & kind.bit() != 0 {
            self.tell(feed, place, kind, hook, side, detail);
        }
    }

    fn tell(
        &mut self,
        feed: Option<Feed<'_>>,
        place: u32,
        kind: Kind,
        hook: Hook,
        side: Side,
        detail: EventDetail,
    ) {
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        if flow.is_ended() && kind != Kind::ConnEnd {
            return;
        }
        let program = self.registry.get(flow.program);
        if program.tally(kind, hook).is_some_and(|counters| self.dispatch.tally(counters)) {
            return;
        }
        let time = feed.map_or(self.now, |feed| feed.packet.time);
        let event = Event { kind, hook, side, time, detail };
        let data = stream::data_of(&event, extra, feed, &self.current);
        let scene = Scene {
            event: &event,
            packet: feed.map(|feed| feed.packet),
            port: self.current.port,
            frame: feed.map_or(&[], |feed| feed.frame),
            segment: feed.map(|_| &self.ahead.at(self.current.packet).segment),
            sender: if feed.is_some() { self.current.side } else { side },
            flow: Some(FlowView::new(flow, extra)),
            data,
            old: stream::old_data_of(&event, &self.current),
        };
        let (flow, monitor) = (Some(self.table.id(place)), None);
        let packet = feed.map(|_| self.current.packet as u16);
        let mut target = dispatch::Target { dispatch: &mut self.dispatch, program, flow, monitor, packet };
        program.fire(&scene, &mut target);
    }
}

/// A wrong checksum rejects the segment, unless the sending hardware had still to put in the right one.
fn check_sum(
    flags: &mut Flags,
    arrival: &mut Arrival,
    feed: Feed<'_>,
    segment: &Segment,
    policy: ChecksumPolicy,
) {
    if feed.packet.checksum == ChecksumState::Verified {
        return;
    }
    if wire::checksum::are_right(feed.frame, segment) {
        return flags.set(Flags::SUMS_GOOD);
    }
    let is_strict = policy == ChecksumPolicy::Verify;
    let is_finished = feed.packet.checksum != ChecksumState::Partial && flags.any(Flags::SUMS_GOOD);
    let is_wrong = |sum| match sum {
        Checksum::Good | Checksum::Unknown => false,
        Checksum::Partial => is_strict,
        Checksum::Bad => is_strict || is_finished,
    };
    let sum = wire::checksum::verify_tcp(feed.frame, segment);
    if sum == Checksum::Good {
        flags.set(Flags::SUMS_GOOD);
    }
    let is_ip_wrong = is_wrong(wire::checksum::verify_ipv4_header(feed.frame, segment));
    for (is_wrong, anomaly) in [(is_wrong(sum), Anomaly::BadChecksum), (is_ip_wrong, Anomaly::BadIpChecksum)]
    {
        if is_wrong {
            // Nothing that it says is to be believed.
            (arrival.rexmit, arrival.probe) = (None, None);
            arrival.reject(anomaly);
        }
    }
}

/// Keeps count of what is not as it should be.
fn note_trouble(trouble: &mut Trouble, side: Side, arrival: &Arrival, raised: &mut KindMask) {
    let i = side.index();
    if let Some(rexmit) = arrival.rexmit {
        trouble.rexmits[i].note(&rexmit);
        *raised |= Kind::Rexmit.bit();
    }
    match arrival.probe {
        Some(Probe::KeepAlive) => trouble.keep_alives[i] = trouble.keep_alives[i].saturating_add(1),
        Some(Probe::Window) => trouble.window_probes[i] = trouble.window_probes[i].saturating_add(1),
        None => {}
    }
    for anomaly in arrival.anomalies.iter() {
        trouble.anomalies.note(anomaly);
        *raised |= Kind::Anomaly.bit();
    }
}
