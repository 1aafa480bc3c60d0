//! Changing packets: fields in place, streams by edits, addresses for the far side.
//!
//! A flow whose packets are changed has a [`Translation`]. Its packets are changed twice: as they arrive, back to what
//! their sender's peer knows, before anything else looks at them; and as they leave, once their handlers have run. The
//! engine rests for either, since it only reads frames itself.

use std::net::SocketAddr;
use std::ops::Range;

use super::InlineError;
use crate::event::Value;
use crate::flow::{FlowFlags, FlowId};
use crate::inline::edit::{EditError, Edits, Leaving, Made, Replaced};
use crate::inline::rewrite::{Area, HeaderField, Layout, RewriteError, Target};
use crate::inline::{Aliases, NatError, Translation};
use crate::port::{LinkType, Packet, PortError};
use crate::stack::{Engine, Feed, NoFlow, Stack, Stage, Upcall};
use crate::tcp::{Flags, Seq};
use crate::wire::{Outcome, Segment, TcpFlags};
use crate::{Nanos, Side};

/// Why a packet or a stream was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ModifyError {
    /// Nothing can be done to packets at all, or not to this one.
    #[error(transparent)]
    Inline(#[from] InlineError),
    /// The field cannot be set so.
    #[error(transparent)]
    Field(#[from] RewriteError),
    /// The stream cannot be edited so.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The end cannot be given this address.
    #[error(transparent)]
    Nat(#[from] NatError),
    /// It came in fragments, and those pass as they are.
    #[error("the packet came in fragments, which pass as they came: it can be dropped, and not be changed")]
    Fragmented,
    /// Frames of the port cannot be changed in place.
    #[error("the packets of {0} cannot be changed: its memory is only read")]
    Memory(&'static str),
}

impl From<NoFlow> for ModifyError {
    fn from(error: NoFlow) -> ModifyError {
        ModifyError::Inline(error.into())
    }
}

/// What is to be done to the packet at hand before the engine goes on.
#[derive(Clone, Copy)]
pub(in crate::stack) enum Task {
    /// It has arrived: it is changed to what the flow at this place knows.
    Arrive {
        place: u32,
        side: Side,
        /// It was found by an alias: its addresses are the outside ones.
        is_outside: bool,
    },
    /// It leaves: it is changed to what the other end knows.
    Leave,
    /// Bytes of its payload are replaced by those of the stream.
    Normalize {
        /// Where in the stream the payload starts, urgent bytes counted.
        start: u64,
    },
}

/// The flows whose packets are changed.
pub(in crate::stack) struct Translations {
    /// By the flow's place.
    list: Vec<Option<Box<Translation>>>,
    count: usize,
    aliases: Aliases,
    pub(in crate::stack) task: Option<Task>,
    /// Flows with edits that wait to be acknowledged.
    waiting: Vec<FlowId>,
    /// When some of those are to be sent again.
    due: Nanos,
    made: Made,
    content: Vec<u8>,
}

impl Default for Translations {
    fn default() -> Translations {
        Translations {
            list: Vec::new(),
            count: 0,
            aliases: Aliases::default(),
            task: None,
            waiting: Vec::new(),
            due: Nanos::MAX,
            made: Made::default(),
            content: Vec::new(),
        }
    }
}

impl Translations {
    /// Whether there are any.
    #[inline]
    pub(in crate::stack) fn any(&self) -> bool {
        self.count > 0
    }

    /// When edits are to be sent again.
    pub(in crate::stack) fn due(&self) -> Nanos {
        self.due
    }

    /// Whether edits are to be sent again.
    #[inline]
    pub(in crate::stack) fn is_due(&self, now: Nanos) -> bool {
        now >= self.due
    }

    /// What changes the packets of the flow at a place.
    pub(in crate::stack) fn get(&self, place: u32) -> Option<&Translation> {
        self.list.get(place as usize)?.as_deref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Translation> {
        self.list.get_mut(place as usize)?.as_deref_mut()
    }

    fn get_or_begin(&mut self, place: u32) -> &mut Translation {
        let place = place as usize;
        if place >= self.list.len() {
            self.list.resize_with(place + 1, || None);
        }
        self.count += usize::from(self.list[place].is_none());
        self.list[place].get_or_insert_default()
    }

    /// Lists a flow among those that wait, if it does.
    fn list_waiting(&mut self, place: u32, id: FlowId) {
        let Some(translation) = self.get_mut(place) else { return };
        let due = earliest(translation);
        let is_new = due.is_some() && !std::mem::replace(&mut translation.is_listed, true);
        if is_new {
            self.waiting.push(id);
        }
        if let Some(due) = due {
            self.due = self.due.min(due);
        }
    }
}

/// When edits of a flow are to be sent again.
fn earliest(translation: &Translation) -> Option<Nanos> {
    translation.edits.as_ref()?.iter().filter_map(Edits::due).min()
}

/// Changes of packets.
impl<U> Stack<U> {
    /// Sets a header field of the packet that an upcall is about, in place, while the stack rests in that upcall.
    /// Checksums are mended by the difference: a wrong one stays wrong. The stack itself goes on by what the packet said
    /// when it came; handlers that run later may see either.
    ///
    /// # Errors
    ///
    /// [`InlineError::NoPacket`], [`InlineError::Passive`], [`ModifyError::Memory`], [`RewriteError`]; the packet stays as
    /// it is.
    pub fn set_field(
        &mut self,
        upcall: &Upcall,
        field: HeaderField,
        value: Value<'_>,
    ) -> Result<(), ModifyError> {
        if !self.is_at_hand(upcall) {
            return Err(InlineError::NoPacket.into());
        }
        self.check_bridge()?;
        self.check_unfragmented()?;
        let at = self.engine.current.packet;
        let decoded = *self.engine.ahead.at(at);
        let packet = self.burst[at];
        let frame = frame_mut(self.ports.memory_mut(), &packet).ok_or(ModifyError::Memory("the port"))?;
        let (link, outcome, segment) = (packet.link, decoded.outcome, &decoded.segment);
        let mut target = Target { frame, link, outcome, segment, checksum: packet.checksum };
        Ok(target.set(field, value)?)
    }

    /// Replaces a range of the payload of the packet that an upcall is about by data of any length, while the stack rests
    /// in that upcall. It is done when the packet leaves: the stack's own stream, and later handlers, see what the
    /// sender sent. From then on, the numbers of the flow are translated for its ends; what is sent again is edited alike.
    ///
    /// [`Replaced::Repeated`] says that the packet repeats bytes that went out before; they go out as they did then.
    ///
    /// # Errors
    ///
    /// As with [`Stack::set_field`]; [`InlineError::NoFlow`]; [`EditError`]. Nothing is changed then.
    pub fn replace(
        &mut self,
        upcall: &Upcall,
        range: Range<usize>,
        data: &[u8],
    ) -> Result<Replaced, ModifyError> {
        if !self.is_at_hand(upcall) {
            return Err(InlineError::NoPacket.into());
        }
        let flow = upcall.flow.ok_or(InlineError::NoFlow)?;
        let place = self.check_flow(flow)?;
        self.check_unfragmented()?;
        let at = self.engine.current.packet;
        let decoded = *self.engine.ahead.at(at);
        let (segment, packet) = (&decoded.segment, &self.burst[at]);
        check_editable(segment, packet, packet.frame(self.ports.memory()))?;
        if self.engine.current.arrival.rejected {
            return Err(EditError::Packet("it was rejected, and changes nothing at its receiver").into());
        }
        if range.start > range.end || range.end > segment.length as usize {
            return Err(EditError::Range.into());
        }
        let side = self.engine.table.flow(place).sender(decoded.forward);
        let (seq, removed) = (Seq(segment.seq), (range.end - range.start) as u32);
        let edits = self.engine.edits_of(place)?;
        let whole = (seq, seq.plus(segment.length));
        let replaced = edits[side.index()].replace(whole, seq.plus(range.start as u32), removed, data)?;
        self.engine.mark_translated(place);
        Ok(replaced)
    }

    /// Inserts data at the current position of a side's stream, for the other end to receive: behind all that the side has
    /// sent, the packet at hand included once its sender has moved. It goes out with the packet at hand, or at once, or,
    /// where no packet of the flow was at hand since its packets are changed, with the flow's next one. It is sent again
    /// until the other end acknowledges it; the side itself never learns of it.
    ///
    /// # Errors
    ///
    /// [`InlineError::Passive`], [`InlineError::Freed`], [`ModifyError::Memory`]; [`EditError`]: `NotSetUp`, `Unknown`,
    /// `Closed`, `Full`; [`InlineError::Port`] if no burst is under way and the data cannot be sent.
    pub fn inject(&mut self, flow: FlowId, side: Side, data: &[u8]) -> Result<(), ModifyError> {
        let place = self.check_flow(flow)?;
        let record = self.engine.table.flow(place);
        if record.is_ended() {
            return Err(EditError::Closed.into());
        }
        if !record.ends.iter().all(|end| end.state.is_synchronized()) {
            return Err(EditError::NotSetUp.into());
        }
        let end = record.ends[side.index()];
        if !end.flags.any(Flags::SEEN) || end.flags.any(Flags::UNTRACKED) {
            return Err(EditError::Unknown.into());
        }
        let details = &self.engine.table.extra(place).details[side.index()];
        let position = if end.flags.any(Flags::FIN) { details.fin } else { end.next };
        self.engine.edits_of(place)?[side.index()].insert(position, data)?;
        self.engine.mark_translated(place);
        if self.engine.current.translated.is_none_or(|(at_hand, _)| at_hand != flow) {
            let before = self.outlet_place();
            self.engine.send_inserted(place, side, before);
            self.send_made().map_err(InlineError::from)?;
        }
        Ok(())
    }

    /// Lets nothing of a side's stream pass any more that would leave a hole behind, so that whatever is in it can be
    /// [replaced](Stack::replace) by data of another length. What comes early is withheld until its sender sends it
    /// again, for which the receiver is made to ask.
    ///
    /// # Errors
    ///
    /// [`InlineError::Passive`], [`InlineError::Freed`], [`ModifyError::Memory`].
    pub fn keep_order(&mut self, flow: FlowId, side: Side, on: bool) -> Result<(), ModifyError> {
        let place = self.check_flow(flow)?;
        self.engine.edits_of(place)?[side.index()].keep_order(on);
        self.engine.mark_translated(place);
        Ok(())
    }

    /// Gives an end of a flow another address and port on the far side of the box, from the packet at hand on: packets
    /// from client to server leave with it, and packets of the server that name it are the flow's. So a client's address
    /// is what the server sees (source NAT), and a server's is where packets go that the client sends to the flow's own
    /// (destination NAT). The flow itself keeps its tuple, and whoever looks at its packets sees that.
    ///
    /// # Errors
    ///
    /// [`InlineError::Passive`], [`InlineError::Freed`], [`ModifyError::Memory`]; [`NatError`]: another flow has that
    /// tuple, or the address is of the wrong IP version.
    pub fn translate(&mut self, flow: FlowId, side: Side, address: SocketAddr) -> Result<(), ModifyError> {
        let place = self.check_flow(flow)?;
        self.engine.give_address(place, flow, side, address)?;
        self.engine.mark_translated(place);
        Ok(())
    }

    fn check_bridge(&self) -> Result<(), InlineError> {
        let is_bridge = self.engine.outbox.as_ref().is_some_and(|outbox| outbox.is_bridge);
        if is_bridge { Ok(()) } else { Err(InlineError::Passive) }
    }

    fn check_unfragmented(&self) -> Result<(), ModifyError> {
        if self.engine.fragments.is_whole { Err(ModifyError::Fragmented) } else { Ok(()) }
    }

    /// Where a flow is whose packets can be changed.
    fn check_flow(&mut self, flow: FlowId) -> Result<u32, ModifyError> {
        let place = self.engine.table.place(flow).ok_or(NoFlow)?;
        self.check_bridge()?;
        if self.engine.table.flow(place).key.path().is_some() {
            return Err(RewriteError::Tunnelled.into());
        }
        for (port, name) in self.ports.list_mut().iter_mut().zip(["the first port", "the second port"]) {
            if port.memory_mut().is_none() {
                return Err(ModifyError::Memory(name));
            }
        }
        Ok(place)
    }

    /// Changes the packet at hand.
    #[cold]
    pub(in crate::stack) fn translate_packet(&mut self, task: Task) {
        let Some(packet) = self.burst.get(self.engine.current.packet).copied() else { return };
        let port = self.ports.at();
        let Some(frame) = frame_mut(self.ports.memory_mut(), &packet) else { return };
        match task {
            Task::Arrive { place, side, is_outside } => {
                self.engine.arrive(&packet, frame, port, place, side, is_outside);
            }
            Task::Leave => self.engine.leave_translated(&packet, frame, port),
            Task::Normalize { start } => self.engine.normalize_packet(&packet, frame, start),
        }
    }

    /// Sends edits again that were not acknowledged in time.
    #[cold]
    pub(in crate::stack) fn resend(&mut self) -> Result<(), PortError> {
        self.engine.resend_waiting();
        self.send_made()
    }
}

fn frame_mut<'m>(memory: Option<&'m mut [u8]>, packet: &Packet) -> Option<&'m mut [u8]> {
    memory?.get_mut(packet.offset..)?.get_mut(..packet.captured as usize)
}

/// Whether the payload of a packet can be replaced.
fn check_editable(segment: &Segment, packet: &Packet, frame: &[u8]) -> Result<(), EditError> {
    let network = usize::from(segment.network);
    let announces_type = |at: usize| frame.get(at..at + 2).is_some_and(|field| field[0] >= 6);
    if segment.is_broken() || segment.captured < segment.length {
        Err(EditError::Packet("it is not whole"))
    } else if segment.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
        Err(EditError::Packet("a SYN or RST holds no data of the stream"))
    } else if packet.link == LinkType::Ethernet && !announces_type(network.saturating_sub(2)) {
        Err(EditError::Packet("its link layer has a length of its own"))
    } else {
        Ok(())
    }
}

impl<U> Engine<U> {
    /// Whether the packet at hand is to be changed before its flow is looked up.
    pub(in crate::stack) fn begin_translation(&mut self, _: Feed<'_>) -> bool {
        self.current.has_arrived = true;
        if self.fragments.is_whole {
            return self.refuse_whole();
        }
        let decoded = self.ahead.at(self.current.packet);
        let (place, side, is_outside) = match self.table.find_near(decoded.guess, &decoded.key, decoded.hash)
        {
            Some(place) => (place, self.table.flow(place).sender(decoded.forward), false),
            None if self.translations.aliases.is_empty() => return false,
            None => {
                let flow = self.translations.aliases.find(&decoded.key);
                let Some(place) = flow.and_then(|flow| self.table.place(flow)) else { return false };
                let server = self.table.flow(place).address(Side::Server);
                let outside = self.translations.get(place).map(|it| it.nat.address(Side::Server, server));
                let source = if decoded.forward { decoded.key.low() } else { decoded.key.high() };
                if outside != Some(source) {
                    return false;
                }
                (place, Side::Server, true)
            }
        };
        if !self.table.flow(place).flags.any(FlowFlags::TRANSLATED) {
            return false;
        }
        self.current.translated = Some((self.table.id(place), side));
        self.translations.task = Some(Task::Arrive { place, side, is_outside });
        true
    }

    /// Replaces what differs in the packet at hand from the bytes that its receiver's application has, by those.
    #[cold]
    fn normalize_packet(&mut self, packet: &Packet, frame: &mut [u8], start: u64) {
        let decoded = self.ahead.at(self.current.packet);
        let Some(layout) = Layout::of(frame, decoded.outcome, &decoded.segment, packet.checksum) else {
            return;
        };
        let payload = usize::from(decoded.segment.payload);
        for conflict in self.current.conflicts.iter().filter(|conflict| conflict.old_stands) {
            let at = payload + conflict.offset.wrapping_sub(start) as usize;
            layout.put(frame, Area::Tcp, at, &conflict.old);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.statistics.normalized += 1;
        }
    }

    /// Drops the datagram at hand if its flow's packets are changed: what its fragments say cannot be. It is as if lost
    /// before it came here.
    #[cold]
    fn refuse_whole(&mut self) -> bool {
        let decoded = self.ahead.at(self.current.packet);
        let alias = || self.translations.aliases.find(&decoded.key).and_then(|flow| self.table.place(flow));
        let place = self.table.find_near(None, &decoded.key, decoded.hash).or_else(alias);
        let is_translated =
            place.is_some_and(|place| self.table.flow(place).flags.any(FlowFlags::TRANSLATED));
        if is_translated {
            self.drop_whole();
            (self.current.stage, self.current.place) = (Stage::Finish, None);
        }
        is_translated
    }

    /// Drops the fragment that completed the datagram at hand, so that its receiver never has it whole.
    fn drop_whole(&mut self) {
        let packet = self.current.packet;
        if let Some(outbox) = &mut self.outbox {
            outbox.put(packet, super::Verdict::Drop);
        }
    }

    fn arrive(
        &mut self,
        packet: &Packet,
        frame: &mut [u8],
        port: usize,
        place: u32,
        side: Side,
        is_outside: bool,
    ) {
        let flow = self.table.flow(place);
        let scale = self.scale_of(place, side);
        let Some(translation) = self.translations.get_mut(place) else { return };
        let decoded = self.ahead.at_mut(self.current.packet);
        let segment = decoded.segment;
        let (link, outcome, checksum) = (packet.link, Outcome::Tcp, packet.checksum);
        let mut target = Target { frame, link, outcome, segment: &segment, checksum };
        if is_outside && let Some(layout) = Layout::of(target.frame, outcome, &segment, checksum) {
            translation.nat.arrive(&mut target, &layout, Side::BOTH.map(|side| flow.address(side)));
            decoded.key = flow.key;
            decoded.hash = self.table.hash(&flow.key);
            decoded.forward = flow.flags.any(FlowFlags::CLIENT_IS_HIGH);
            decoded.guess = Some(place);
        }
        if let Some(edits) = &mut translation.edits {
            let arrived = edits[side.other().index()].arrive(&mut target, scale);
            (decoded.segment.ack, decoded.segment.window) = (arrived.ack, arrived.window);
        }
        translation.ports[side.index()] = Some(port as u8);
    }

    /// Changes the packet at hand to what its receiver is to see.
    fn leave_translated(&mut self, packet: &Packet, frame: &mut [u8], port: usize) {
        let Some((id, side)) = self.current.translated else { return };
        let (at, now) = (self.current.packet, self.now);
        let Some(place) = self.table.place(id) else { return };
        let is_forwarded = self.outbox.as_ref().is_some_and(|outbox| outbox.is_forwarded(at));
        if !is_forwarded {
            return;
        }
        let flow = self.table.flow(place);
        let accepted = flow.is_ended() || !self.current.arrival.rejected;
        let ends = Side::BOTH.map(|side| flow.address(side));
        let (mss, scales) = (self.mss_of(place), Side::BOTH.map(|side| self.scale_of(place, side)));
        let (own, other) = (side.index(), side.other().index());
        let segment = self.ahead.at(at).segment;
        let (link, outcome, checksum) = (packet.link, Outcome::Tcp, packet.checksum);
        let mut target = Target { frame, link, outcome, segment: &segment, checksum };
        let Translations { list, made, content, .. } = &mut self.translations;
        let Some(translation) = list.get_mut(place as usize).and_then(Option::as_deref_mut) else { return };
        let Some(outbox) = &mut self.outbox else { return };
        translation.ports[own] = Some(port as u8);
        if side == Side::Client
            && !translation.nat.is_none()
            && let Some(layout) = Layout::of(target.frame, outcome, &segment, checksum)
        {
            translation.nat.leave(&mut target, &layout);
        }
        let nat = translation.nat;
        let Some(edits) = &mut translation.edits else { return };
        if accepted {
            edits[other].accept(now);
        }
        let can_answer = edits[other].template().is_some();
        let leaving = Leaving { mss: mss[other], accepted, can_answer, now };
        let left = edits[own].leave(&mut target, leaving, content, made);
        if left.is_replaced {
            outbox.replace(at, 1 - port, packet.time, link, made.frames());
            made.clear();
        }
        if let Some(answer) = left.answer
            && let Some(template) = edits[other].template()
        {
            let edge = edits[own].answer(answer, scales[other], template, made);
            let end = &mut self.table.flow_mut(place).ends[own];
            // As if the other end had said so.
            if end.flags.any(Flags::ACKED) && answer.after(end.acked) {
                (end.acked, end.edge) = (answer, edge);
            }
            outbox.make_all(at + 1, port, now, link, made);
        }
        if edits[other].has_inserted() {
            let flow = self.table.flow(place);
            let end = flow.ends[own];
            let window = (end.allowance() >> scales[other].unwrap_or(0)).min(0xffff) as u16;
            let inside = Layout::of(target.frame, outcome, &segment, checksum);
            edits[other].turn_template(&target, end.acked, window, |turned| {
                if let Some(layout) = inside {
                    // What leaves towards the server is outside, what leaves towards the client is not.
                    match side {
                        Side::Client => nat.arrive(turned, &layout, ends),
                        Side::Server => nat.leave(turned, &layout),
                    }
                }
            });
            edits[other].send_inserted(mss[own], now, made);
            outbox.make_all(at + 1, port, now, link, made);
        }
        if edits[own].has_inserted() {
            edits[own].send_inserted(mss[other], now, made);
            outbox.make_all(at + 1, 1 - port, now, link, made);
        }
        if edits[other].due().is_some_and(|due| due <= now) {
            edits[other].resend(mss[own], now, made);
            outbox.make_all(at + 1, port, now, link, made);
        }
        self.translations.list_waiting(place, id);
    }

    /// Sends what was inserted into a side's stream, if its headers are known; else the flow's next packet will show them.
    fn send_inserted(&mut self, place: u32, side: Side, before: usize) {
        let (mss, now, id) = (self.mss_of(place), self.now, self.table.id(place));
        let Translations { list, made, .. } = &mut self.translations;
        let translation = list.get_mut(place as usize).and_then(Option::as_deref_mut);
        let (Some(translation), Some(outbox)) = (translation, &mut self.outbox) else { return };
        let port = translation.port_to(side.other());
        if let (Some(port), Some(edits)) = (port, &mut translation.edits)
            && edits[side.index()].has_inserted()
        {
            edits[side.index()].send_inserted(mss[side.other().index()], now, made);
            let link = outbox.link_of(port);
            outbox.make_all(before, port, now, link, made);
            self.translations.list_waiting(place, id);
        }
    }

    /// Sends again what is due, and finds out when to do so next.
    fn resend_waiting(&mut self) {
        let now = self.now;
        let waiting = std::mem::take(&mut self.translations.waiting);
        self.translations.due = Nanos::MAX;
        for id in waiting {
            let Some(place) = self.table.place(id) else { continue };
            let mss = self.mss_of(place);
            let Translations { list, made, .. } = &mut self.translations;
            let translation = list.get_mut(place as usize).and_then(Option::as_deref_mut);
            let (Some(translation), Some(outbox)) = (translation, &mut self.outbox) else { continue };
            translation.is_listed = false;
            for side in Side::BOTH {
                let port = translation.port_to(side.other());
                if let (Some(port), Some(edits)) = (port, &mut translation.edits)
                    && edits[side.index()].due().is_some_and(|due| due <= now)
                {
                    edits[side.index()].resend(mss[side.other().index()], now, made);
                    let link = outbox.link_of(port);
                    outbox.make_all(0, port, now, link, made);
                }
            }
            self.translations.list_waiting(place, id);
        }
        // Whatever happens, time goes on.
        self.translations.due = self.translations.due.max(now.saturating_add(1));
    }

    /// What changes the streams of a flow.
    fn edits_of(&mut self, place: u32) -> Result<&mut [Edits; 2], EditError> {
        let has_some = self.translations.get(place).is_some_and(|translation| translation.edits.is_some());
        if !has_some {
            let edits = Side::BOTH.map(|side| self.begin_edits(place, side));
            self.translations.get_or_begin(place).edits = Some(Box::new(edits));
        }
        let translation = self.translations.get_mut(place);
        translation.and_then(|translation| translation.edits.as_deref_mut()).ok_or(EditError::Unknown)
    }

    /// No edits yet of a side, which has sent what it has sent; the packet at hand has not left.
    fn begin_edits(&self, place: u32, side: Side) -> Edits {
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        let (end, details) = (&flow.ends[side.index()], &extra.details[side.index()]);
        if !end.flags.any(Flags::SEEN) {
            return Edits::unknown();
        }
        let round_trip = details.rtt.smoothed();
        let has_fin = end.flags.any(Flags::FIN);
        let next = if has_fin { details.fin } else { end.next };
        let current = &self.current;
        let decoded = self.ahead.at(current.packet);
        let is_at_hand = current.stage != Stage::Look
            && decoded.outcome == Outcome::Tcp
            && decoded.key == flow.key
            && flow.sender(decoded.forward) == side
            && !current.arrival.rejected
            && current.arrival.probe.is_none();
        let segment = &decoded.segment;
        let (start, last) = (Seq(segment.seq), Seq(segment.seq).plus(segment.length));
        let brings_fin = is_at_hand && segment.flags.contains(TcpFlags::FIN);
        let repeated = current.arrival.rexmit.map(|rexmit| rexmit.repeated);
        let mut edits = match repeated {
            _ if !is_at_hand || segment.length == 0 => Edits::new(next, round_trip),
            None if last.since(next) >= 0 => {
                Edits::new(if start.before(next) { start } else { next }, round_trip)
            }
            // It brings what overtook it.
            None => {
                let mut edits = Edits::new(next, round_trip);
                edits.leave_gap(start, last);
                edits
            }
            Some(repeated) if last.since(next) >= 0 => Edits::new(start.plus(repeated), round_trip),
            Some(_) => Edits::new(next, round_trip),
        };
        let is_repeated_fin = brings_fin && repeated.is_some();
        if has_fin && (!brings_fin || is_repeated_fin) {
            edits.close();
        }
        edits
    }

    /// The packets of a flow are changed from now on, the packet at hand included.
    fn mark_translated(&mut self, place: u32) {
        self.table.flow_mut(place).flags.set(FlowFlags::TRANSLATED);
        let current = &mut self.current;
        let decoded = self.ahead.at(current.packet);
        let flow = self.table.flow(place);
        if current.stage != Stage::Look && decoded.outcome == Outcome::Tcp && decoded.key == flow.key {
            if self.fragments.is_whole {
                return self.drop_whole();
            }
            current.translated = Some((self.table.id(place), flow.sender(decoded.forward)));
        }
    }

    /// Gives an end its outside address.
    fn give_address(
        &mut self,
        place: u32,
        id: FlowId,
        side: Side,
        address: SocketAddr,
    ) -> Result<(), NatError> {
        let flow = self.table.flow(place);
        let end = flow.address(side);
        if end.is_ipv4() != address.is_ipv4() {
            return Err(NatError::Version { address, end });
        }
        let old = self.translations.get(place).map(|translation| translation.nat).unwrap_or_default();
        let mut nat = old;
        nat.outside[side.index()] = Some(address).filter(|address| *address != end);
        let [client, server] = Side::BOTH.map(|side| nat.address(side, flow.address(side)));
        let own = flow.key;
        let (key, _) = own.between_others(client, server);
        if key != own {
            let is_taken = self.table.find(&key, self.table.hash(&key)).is_some();
            if is_taken || !self.translations.aliases.insert(key, id) {
                return Err(NatError::InUse { client, server });
            }
        }
        let [client, server] = Side::BOTH.map(|side| old.address(side, self.table.flow(place).address(side)));
        let (before, _) = own.between_others(client, server);
        if before != key {
            self.translations.aliases.remove(&before, id);
        }
        self.translations.get_or_begin(place).nat = nat;
        Ok(())
    }

    /// A flow is freed, and what changed its packets.
    pub(in crate::stack) fn forget_translation(&mut self, place: u32) {
        let (flow, id) = (self.table.flow(place), self.table.id(place));
        let slot = self.translations.list.get_mut(place as usize);
        if let Some(translation) = slot.and_then(Option::take) {
            self.translations.count -= 1;
            let [client, server] = Side::BOTH.map(|side| translation.nat.address(side, flow.address(side)));
            self.translations.aliases.remove(&flow.key.between_others(client, server).0, id);
        }
    }

    /// The number that the other end knows an original one of a side by.
    pub(super) fn as_seen(&self, place: u32, side: Side, original: Seq) -> Seq {
        self.translations.get(place).map_or(original, |translation| translation.to_new(side, original))
    }

    /// Source and destination of a packet to an end of a flow.
    pub(super) fn ends_to(&self, place: u32, to: Side) -> [SocketAddr; 2] {
        let flow = self.table.flow(place);
        match self.translations.get(place) {
            Some(translation) => translation.addresses_to(to, Side::BOTH.map(|side| flow.address(side))),
            None => [flow.address(to.other()), flow.address(to)],
        }
    }

    /// The maximum segment sizes that client and server announced; 0 where not known.
    fn mss_of(&self, place: u32) -> [u16; 2] {
        let details = &self.table.extra(place).details;
        [details[0].mss, details[1].mss]
    }

    /// The scale of the windows that a side advertises, if both handshakes showed it.
    fn scale_of(&self, place: u32, side: Side) -> Option<u8> {
        let ends = &self.table.flow(place).ends;
        let is_known = ends.iter().all(|end| end.flags.any(Flags::SYN));
        is_known.then_some(ends[side.index()].scale.shift())
    }
}
