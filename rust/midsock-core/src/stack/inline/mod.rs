//! A stack in the path of packets: what becomes of each of them, and what the stack itself puts on the wire.
//!
//! What nobody touches goes from the port that received it out of the other one, in order and byte for byte. A
//! [`Verdict`] changes that for one packet, or for the rest of a flow. All of it is carried out at the end of a burst.

mod cut;
mod modify;
mod outbox;
mod route;
mod rows;

pub use self::modify::ModifyError;
pub(super) use self::modify::{Task, Translations};
pub(super) use self::outbox::Outbox;
pub(super) use self::rows::Marks;
use super::{Engine, Phase, Stack, Stage, Upcall};
use crate::config::FailurePolicy;
use crate::event::BatchId;
use crate::flow::FlowId;
use crate::port::PortError;
use crate::wire::Outcome;

/// What becomes of a packet. Of several, the strongest holds: the last in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It goes out of the other port.
    #[default]
    Forward = 0,
    /// It is dropped.
    Drop = 1,
    /// It is dropped, and so is everything of its flow that comes later. The flow ends as if stopped.
    DropFlow = 2,
    /// It is dropped, both ends of its flow are sent a RST, and so is whoever of them sends anything later, which is
    /// dropped. The flow ends as reset.
    Reset = 3,
}

impl Verdict {
    /// Every verdict, in the order of its strength.
    pub const ALL: [Verdict; 4] = [Verdict::Forward, Verdict::Drop, Verdict::DropFlow, Verdict::Reset];
}

/// Counters of what an inline stack does with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InlineStatistics {
    /// Packets given to the other port.
    pub forwarded: u64,
    /// Packets dropped: by their own verdict, with their flow, or because a handler failed and the policy is
    /// [`FailurePolicy::Closed`].
    pub dropped_by_verdict: u64,
    /// Flows reset.
    pub resets: u64,
    /// Frames that the application made.
    pub injected: u64,
    /// Packets whose bytes were replaced by those that their receiver's application has.
    pub normalized: u64,
    /// Packets of stopped flows.
    pub bypassed: u64,
    /// Packets that could not be forwarded or sent: captured in part only, or refused by their port.
    pub failures: u64,
}

/// Why something cannot be done to packets.
#[derive(Debug, thiserror::Error)]
pub enum InlineError {
    /// The stack has one port.
    #[error("the stack forwards nothing, so it cannot drop anything: give it two ports")]
    Passive,
    /// No port of the stack can send.
    #[error("nothing can be sent: the stack's port only reads")]
    ReadOnly,
    /// The event is not one of the packet at hand, or there is none.
    #[error("there is no packet at hand that this event is about")]
    NoPacket,
    /// The event is not one of a flow.
    #[error("the event is about a packet without a flow: it can be forwarded or dropped, and nothing more")]
    NoFlow,
    /// The flow was freed.
    #[error(transparent)]
    Freed(#[from] super::NoFlow),
    /// What would be sent would have to go into the tunnel again.
    #[error("the flow comes through a tunnel: only flows outside of tunnels can be reset")]
    Tunnelled,
    /// There are not as many ports.
    #[error("there is no port {0}: the first is port 0")]
    NoPort(usize),
    /// A frame without a byte.
    #[error("an empty frame cannot be sent")]
    EmptyFrame,
    /// The batch was not delivered just now, or not in the burst of its packets.
    #[error(
        "the packets of this batch have gone: verdicts are for batches of size 0, as soon as they are delivered"
    )]
    LateBatch,
    /// There must be a verdict for every row.
    #[error("{given} verdicts for a batch of {rows} rows")]
    RowCount {
        /// How many verdicts.
        given: usize,
        /// How many rows.
        rows: usize,
    },
    /// A port cannot go on.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A verdict on a flow that is carried out once its packet's handlers have run.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    flow: FlowId,
    resets: bool,
}

/// What the application says of packets and puts on the wire.
impl<U> Stack<U> {
    /// Says what becomes of the packet that an upcall is about, while the stack rests in that upcall. Said more than
    /// once, the strongest holds.
    ///
    /// # Errors
    ///
    /// [`InlineError::NoPacket`] if the upcall is not about the packet at hand, as with timers and timeouts;
    /// [`InlineError::Passive`] if the stack has one port, unless the verdict is [`Verdict::Forward`] or
    /// [`Verdict::Reset`]; [`InlineError::NoFlow`], [`InlineError::Tunnelled`], [`InlineError::ReadOnly`] if the verdict
    /// is about the flow and there is none, or it cannot be carried out.
    pub fn verdict(&mut self, upcall: &Upcall, verdict: Verdict) -> Result<(), InlineError> {
        if !self.is_at_hand(upcall) {
            return Err(InlineError::NoPacket);
        }
        if verdict == Verdict::Forward {
            return Ok(());
        }
        let engine = &mut self.engine;
        let Some(outbox) = &mut engine.outbox else {
            return Err(if verdict == Verdict::Reset { InlineError::ReadOnly } else { InlineError::Passive });
        };
        if !outbox.is_bridge && verdict != Verdict::Reset {
            return Err(InlineError::Passive);
        }
        if verdict >= Verdict::DropFlow {
            let flow = upcall.flow.ok_or(InlineError::NoFlow)?;
            let place = engine.table.place(flow).ok_or(super::NoFlow)?;
            let resets = verdict == Verdict::Reset;
            if resets && engine.table.flow(place).key.path().is_some() {
                return Err(InlineError::Tunnelled);
            }
            let resets = resets || outbox.pending.is_some_and(|pending| pending.resets);
            outbox.pending = Some(Pending { flow, resets });
        }
        if outbox.is_bridge {
            outbox.put(engine.current.packet, verdict);
        }
        Ok(())
    }

    /// Says that the application failed to handle an upcall: what becomes of its packet is
    /// [`Config::on_failure`](crate::Config::on_failure).
    pub fn handler_failed(&mut self, upcall: &Upcall) {
        if self.engine.config.on_failure == FailurePolicy::Closed {
            // A packet that is dropped alone would come again as a retransmission, and pass. Where there is nothing to
            // drop, nothing has to be.
            let verdict = if upcall.flow.is_some() { Verdict::DropFlow } else { Verdict::Drop };
            let _ = self.verdict(upcall, verdict);
        }
    }

    /// Gives a verdict on every row of the batch that was delivered just now. That of a row is that of all its packets:
    /// new data of one burst is one row where batches coalesce. [`Verdict::DropFlow`] and [`Verdict::Reset`] also drop
    /// what else of the flow this burst holds from the row's first packet on. What time brought about has no packet:
    /// there [`Verdict::Drop`] does nothing.
    ///
    /// # Errors
    ///
    /// [`InlineError::LateBatch`] if the batch is not the one of the last [`Step::Batch`](crate::Step::Batch), or has
    /// rows of an earlier burst; [`InlineError::RowCount`]; otherwise as with [`Stack::verdict`]. After an error no
    /// verdict holds.
    pub fn batch_verdicts(&mut self, batch: BatchId, verdicts: &[Verdict]) -> Result<(), InlineError> {
        let Some(marks) = &self.engine.dispatch.marks else {
            return Err(InlineError::Passive);
        };
        let marks = marks.of(batch, verdicts.len())?;
        if verdicts.iter().all(|verdict| *verdict == Verdict::Forward) {
            return Ok(());
        }
        let marks = marks.to_vec();
        self.engine.rule_on_rows(self.ports.memory(), &self.burst, &marks, verdicts)?;
        Ok(self.send_made()?)
    }

    /// Says that the application failed to handle the batch that was delivered just now: what becomes of the packets
    /// of its rows is [`Config::on_failure`](crate::Config::on_failure).
    pub fn batch_failed(&mut self, batch: BatchId) {
        if self.engine.config.on_failure != FailurePolicy::Closed {
            return;
        }
        if let Some(marks) = self.engine.dispatch.marks.as_ref().and_then(|marks| marks.delivered(batch)) {
            let marks = marks.to_vec();
            let verdicts = rows::closed(&marks);
            // Where there is nothing to drop, nothing has to be.
            let _ = self.engine.rule_on_rows(self.ports.memory(), &self.burst, &marks, &verdicts);
        }
    }

    /// Drops whatever comes of a flow from now on, the packet at hand included if it is of this flow. The flow ends as
    /// if stopped.
    ///
    /// # Errors
    ///
    /// [`InlineError::Passive`]; [`InlineError::Freed`].
    pub fn drop_flow(&mut self, flow: FlowId) -> Result<(), InlineError> {
        let place = self.engine.table.place(flow).ok_or(super::NoFlow)?;
        if !self.engine.outbox.as_ref().is_some_and(|outbox| outbox.is_bridge) {
            return Err(InlineError::Passive);
        }
        self.cut(place, flow, false);
        Ok(())
    }

    /// Ends a flow by a RST to either end, and answers with a RST whatever comes of it from now on. Inline, all of that
    /// is dropped, the packet at hand included if it is of this flow. A stack with one live port sends the RSTs out of
    /// that.
    ///
    /// # Errors
    ///
    /// [`InlineError::Freed`]; [`InlineError::ReadOnly`]; [`InlineError::Tunnelled`]; [`InlineError::Port`] if no burst is
    /// under way and the RSTs cannot be sent.
    pub fn reset(&mut self, flow: FlowId) -> Result<(), InlineError> {
        let place = self.engine.table.place(flow).ok_or(super::NoFlow)?;
        if self.engine.outbox.is_none() {
            return Err(InlineError::ReadOnly);
        }
        if self.engine.table.flow(place).key.path().is_some() {
            return Err(InlineError::Tunnelled);
        }
        self.cut(place, flow, true);
        Ok(self.send_made()?)
    }

    /// Sends a frame out of the port of this number: behind the packet at hand, if the stack rests in an upcall about
    /// one, and ahead of all that follows.
    ///
    /// # Errors
    ///
    /// [`InlineError::NoPort`]; [`InlineError::EmptyFrame`]; [`InlineError::ReadOnly`]; [`InlineError::Port`] if no burst is
    /// under way and the frame cannot be sent.
    pub fn inject_frame(&mut self, port: usize, frame: &[u8]) -> Result<(), InlineError> {
        let output = self.ports.list().get(port).ok_or(InlineError::NoPort(port))?;
        if frame.is_empty() {
            return Err(InlineError::EmptyFrame);
        }
        if !output.can_send() {
            return Err(InlineError::ReadOnly);
        }
        let (place, now) = (self.outlet_place(), self.engine.now);
        if let Some(outbox) = &mut self.engine.outbox {
            let link = outbox.link_of(port);
            outbox.make(place, port, now, link, |bytes| bytes.extend_from_slice(frame));
            outbox.statistics.injected += 1;
        }
        Ok(self.send_made()?)
    }

    /// The frame of the packet that an upcall is about, to be changed in place; whoever looks at it later sees it
    /// changed. None if the upcall is not about the packet at hand, that came in fragments, or its port's memory is only
    /// read.
    pub fn packet_mut(&mut self, upcall: &Upcall) -> Option<&mut [u8]> {
        if !self.is_at_hand(upcall) || self.engine.fragments.is_whole {
            return None;
        }
        let packet = *self.burst.get(self.engine.current.packet)?;
        self.ports.memory_mut()?.get_mut(packet.offset..)?.get_mut(..packet.captured as usize)
    }

    /// Counters of what became of packets; zeros if the stack can send nothing.
    pub fn inline_statistics(&self) -> InlineStatistics {
        let mut statistics =
            self.engine.outbox.as_ref().map_or_else(InlineStatistics::default, |outbox| outbox.statistics);
        let refused = self.ports.list().iter().map(|port| port.statistics().send_failures);
        statistics.failures = refused.fold(statistics.failures, u64::saturating_add);
        statistics
    }

    /// Whether an upcall is about the packet at hand.
    pub(super) fn is_at_hand(&self, upcall: &Upcall) -> bool {
        let engine = &self.engine;
        if self.feed().is_none() {
            return false;
        }
        match (upcall.flow, upcall.monitor) {
            (None, monitor) => monitor.is_some(),
            // Before the packet's flow was looked up, whatever is told of flows is told of what came before it.
            (Some(flow), _) => {
                engine.current.stage != Stage::Look
                    && upcall.event.kind != crate::event::Kind::Timer
                    && engine.flow_at_hand() == engine.table.place(flow)
            }
        }
    }

    /// Where in the order of the burst's packets a frame goes that is made now: before the packet of this number.
    fn outlet_place(&self) -> usize {
        let current = &self.engine.current;
        match self.phase {
            Phase::Packets if current.stage == Stage::Look && !current.raw_done => current.packet,
            Phase::Packets => current.packet + 1,
            _ => self.burst.len(),
        }
    }

    /// Whether packets of a burst still wait for what becomes of them.
    fn is_in_burst(&self) -> bool {
        matches!(self.phase, Phase::Packets | Phase::BurstEnd(_))
    }

    /// Sends what was made; within a burst that waits for its place in it.
    fn send_made(&mut self) -> Result<(), PortError> {
        if self.is_in_burst() {
            return Ok(());
        }
        match &mut self.engine.outbox {
            Some(outbox) => outbox.send_made(&mut self.ports),
            None => Ok(()),
        }
    }

    /// Cuts a flow in the midst of whatever the stack is at.
    fn cut(&mut self, place: u32, flow: FlowId, resets: bool) {
        let at_hand = (matches!(self.phase, Phase::Packets) && self.engine.current.stage != Stage::Look)
            .then(|| self.engine.flow_at_hand())
            .flatten();
        let is_at_hand = at_hand == Some(place) && self.engine.current.packet < self.burst.len();
        let before = self.outlet_place();
        if !self.engine.table.flow(place).is_ended() {
            self.engine.forget_upcalls(flow);
        }
        let packet = is_at_hand.then_some(self.engine.current.packet);
        self.engine.cut_at(place, packet, before, resets);
        if self.engine.current.place == Some(place) {
            self.engine.current.place = None;
        }
    }

    /// Carries out what was said of the burst's packets, before the stack goes on or stops for good. Of those that were
    /// not decided yet, the policy decides.
    pub(super) fn leave_burst(&mut self) {
        if self.engine.outbox.is_none() || !self.is_in_burst() {
            return;
        }
        let decided = if let Phase::Packets = self.phase {
            self.engine.carry_out_pending();
            self.engine.current.packet
        } else {
            self.burst.len()
        };
        if self.engine.config.on_failure == FailurePolicy::Closed {
            self.engine.drop_rows();
            if let Some(outbox) = self.engine.outbox.as_mut().filter(|outbox| outbox.is_bridge) {
                (decided..self.burst.len()).for_each(|packet| outbox.put(packet, Verdict::Drop));
            }
        }
        // Nobody is left to be told of an error.
        let _ = self.carry_out();
    }

    /// The burst is over: its packets go out.
    pub(super) fn carry_out(&mut self) -> Result<(), PortError> {
        self.phase = Phase::Port;
        if let Some(marks) = &mut self.engine.dispatch.marks {
            marks.end_burst();
        }
        match &mut self.engine.outbox {
            Some(outbox) => outbox.carry_out(&mut self.ports, &self.burst),
            None => Ok(()),
        }
    }
}

impl<U> Drop for Stack<U> {
    /// Of the packets of a burst under way, those that were not decided are forwarded or dropped by
    /// [`Config::on_failure`](crate::Config::on_failure); the others as was said.
    fn drop(&mut self) {
        self.leave_burst();
    }
}

impl<U> Engine<U> {
    /// The place of the flow that the packet at hand is of.
    pub(super) fn flow_at_hand(&self) -> Option<u32> {
        if self.current.place.is_some() {
            return self.current.place;
        }
        // Its handlers are the last to run: the packet itself is through.
        let decoded = self.ahead.at(self.current.packet);
        if decoded.outcome != Outcome::Tcp {
            return None;
        }
        self.table.find_near(decoded.guess, &decoded.key, decoded.hash)
    }

    /// Carries out a verdict on the flow of the packet at hand, whose handlers have all run.
    pub(super) fn carry_out_pending(&mut self) {
        let pending = self.outbox.as_mut().and_then(|outbox| outbox.pending.take());
        if let Some(Pending { flow, resets }) = pending
            && let Some(place) = self.table.place(flow)
        {
            let packet = self.current.packet;
            self.cut_at(place, Some(packet), packet + 1, resets);
        }
    }
}
