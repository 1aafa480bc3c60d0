//! What an application asks of a flow, and tells it.

use super::stream::Fresh;
use super::time::AppTimer;
use super::{Call, Stack, Upcall};
use crate::event::{
    Batch, BatchId, BatchSpec, CountId, Event, EventDetail, EventId, Field, Filter, FlowView, HandlerId,
    Hook, Kind, MonitorId, MonitorKind, Registration, RegistrationId, RegistryError, Scene, StreamSettings,
    Value,
};
use crate::flow::{EndReason, FlowId, FlowRecord, FlowStatistics};
use crate::reassembly::{Gap, Overlap, Stream, Urgent};
use crate::scope::Scope;
use crate::stack::{Count, dispatch};
use crate::tcp::Flags;
use crate::{Nanos, Side};

/// The flow was freed: its id names nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flow has ended and its state was freed")]
pub struct NoFlow;

/// A timer that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerHandle {
    entry: u32,
    serial: u64,
}

/// Monitoring sockets, events and registrations.
impl<U> Stack<U> {
    /// Opens a monitoring socket.
    pub fn open(&mut self, kind: MonitorKind, scope: Scope, settings: StreamSettings) -> MonitorId {
        let id = self.engine.registry.open(kind, scope, settings);
        self.engine.has_raw = self.engine.registry.has_raw();
        id
    }

    /// Closes a monitoring socket: nothing of it fires any more.
    pub fn close(&mut self, id: MonitorId) {
        self.engine.registry.close(id);
        self.engine.has_raw = self.engine.registry.has_raw();
    }

    /// Defines an event: a parent and a filter. The same definition twice is the same event.
    pub fn define(&mut self, parent: Option<EventId>, filter: Filter) -> EventId {
        self.engine.registry.define(parent, filter)
    }

    /// The built-in event at the root of an event's ancestors.
    pub fn root(&self, event: EventId) -> Kind {
        self.engine.registry.root(event)
    }

    /// Registers a wish for all flows of a monitoring socket.
    pub fn register(&mut self, id: MonitorId, wish: Registration) -> Result<RegistrationId, RegistryError> {
        self.engine.registry.register(id, wish)
    }

    /// Takes a wish back.
    pub fn unregister(&mut self, id: MonitorId, registration: RegistrationId) {
        self.engine.registry.unregister(id, registration);
    }

    /// Handlers that no registration and no timer names any more since the last call.
    pub fn take_released_handlers(&mut self) -> Vec<HandlerId> {
        let mut released = self.engine.registry.take_released();
        released.append(&mut self.engine.timers.dropped);
        released
    }

    /// A new native counter; with a field, it also sums that.
    pub fn add_count(&mut self, field: Option<Field>) -> CountId {
        self.engine.dispatch.add_count(field)
    }

    /// A native counter.
    pub fn count(&self, id: CountId) -> Count {
        self.engine.dispatch.counts[id.0 as usize]
    }

    /// A new collector of rows; if it `coalesces`, new data of one flow's side becomes one row per burst.
    pub fn add_batch(&mut self, spec: BatchSpec, coalesces: bool) -> BatchId {
        let id = self.engine.dispatch.add_batch(spec, coalesces);
        if self.engine.dispatch.batches.last().is_some_and(Batch::wants_data) {
            self.engine.registry.note_data_batch(id);
        }
        id
    }

    /// Counters of the flow table.
    pub fn flow_statistics(&self) -> FlowStatistics {
        self.engine.table.statistics()
    }

    /// Bytes of memory that flows take, their streams not counted.
    pub fn flow_memory(&self) -> usize {
        let reaches = self.engine.outbox.as_ref().map_or(0, |outbox| outbox.memory());
        self.engine.table.memory() + reaches
    }
}

/// Upcalls.
impl<U> Stack<U> {
    /// The application's filter said yes to an upcall: what hangs on the filter's event fires.
    pub fn pass(&mut self, upcall: &Upcall) {
        let Call::Filter { node, program, .. } = &upcall.call else { return };
        // What it queues comes before what already waits: the order is that of a walk without a break.
        let waiting = std::mem::take(&mut self.engine.dispatch.upcalls);
        self.with_target(upcall, program, |scene, target| program.resume(*node, scene, target));
        self.engine.dispatch.upcalls.extend(waiting);
    }

    /// What a field is in the scene of an upcall, seen by `use_it`.
    pub fn field<T>(&self, upcall: &Upcall, field: Field, use_it: impl FnOnce(Option<Value<'_>>) -> T) -> T {
        use_it(field.get(&self.scene(upcall)))
    }

    /// The frame of the packet at hand; empty if there is none.
    pub fn frame(&self) -> &[u8] {
        self.feed().map_or(&[], |feed| feed.frame)
    }

    /// The bytes that an upcall's [`Kind::NewData`] is about.
    pub fn data<'s>(&'s self, upcall: &'s Upcall) -> &'s [u8] {
        self.scene(upcall).data
    }

    /// What a filter and a column can look at.
    fn scene<'s>(&'s self, upcall: &'s Upcall) -> Scene<'s> {
        let engine = &self.engine;
        let place = upcall.flow.and_then(|flow| engine.table.place(flow));
        // What time or another flow's packet brought about is not about the packet at hand.
        let is_of_packet = upcall.monitor.is_some() || place.is_some() && place == engine.current.place;
        let feed = self.feed().filter(|_| is_of_packet);
        let extra = place.map(|place| engine.table.extra(place));
        let decoded = feed.map(|_| engine.ahead.at(engine.current.packet));
        Scene {
            event: &upcall.event,
            packet: feed.map(|feed| feed.packet),
            port: engine.current.port,
            frame: feed.map_or(&[], |feed| feed.frame),
            segment: decoded
                .filter(|decoded| decoded.outcome == crate::wire::Outcome::Tcp)
                .map(|decoded| &decoded.segment),
            sender: if feed.is_some() && upcall.flow.is_some() {
                engine.current.side
            } else {
                upcall.event.side
            },
            flow: place.zip(extra).map(|(place, extra)| FlowView::new(engine.table.flow(place), extra)),
            data: extra
                .map_or(&[], |extra| super::stream::data_of(&upcall.event, extra, feed, &engine.current)),
            old: super::stream::old_data_of(&upcall.event, &engine.current),
        }
    }

    fn with_target(
        &mut self,
        upcall: &Upcall,
        program: &std::sync::Arc<crate::event::Program>,
        act: impl FnOnce(&Scene<'_>, &mut dispatch::Target<'_>),
    ) {
        let mut dispatch = std::mem::take(&mut self.engine.dispatch);
        let (flow, monitor) = (upcall.flow, upcall.monitor);
        let scene = self.scene(upcall);
        let packet = scene.packet.map(|_| self.engine.current.packet as u16);
        let mut target = dispatch::Target { dispatch: &mut dispatch, program, flow, monitor, packet };
        act(&scene, &mut target);
        self.engine.dispatch = dispatch;
    }
}

/// Flow sockets.
impl<U> Stack<U> {
    fn place(&self, flow: FlowId) -> Result<u32, NoFlow> {
        self.engine.table.place(flow).ok_or(NoFlow)
    }

    /// Whether a flow has not ended.
    pub fn is_open(&self, flow: FlowId) -> bool {
        self.place(flow).is_ok_and(|place| !self.engine.table.flow(place).is_ended())
    }

    /// All that is known of a flow now.
    pub fn record(&self, flow: FlowId) -> Result<FlowRecord, NoFlow> {
        let place = self.place(flow)?;
        Ok(FlowRecord::new(self.engine.table.flow(place), self.engine.table.extra(place)))
    }

    /// What a field of a flow or its endpoints is now.
    pub fn flow_field<T>(
        &self,
        flow: FlowId,
        field: Field,
        use_it: impl FnOnce(Option<Value<'_>>) -> T,
    ) -> Result<T, NoFlow> {
        self.place(flow)?;
        Ok(self.field(&self.alone(flow), field, use_it))
    }

    /// An upcall that is about a flow and nothing else.
    fn alone(&self, flow: FlowId) -> Upcall {
        let event = Event {
            kind: Kind::User,
            hook: Hook::PostTcp,
            side: Side::Client,
            time: self.engine.now,
            detail: EventDetail::None,
        };
        // The number stands for no handler: nobody is called.
        Upcall { call: Call::Handler(HandlerId(u32::MAX)), event, flow: Some(flow), monitor: None }
    }

    /// What the application keeps with a flow.
    pub fn user(&self, flow: FlowId) -> Result<Option<&U>, NoFlow> {
        Ok(self.engine.table.extra(self.place(flow)?).user.as_ref())
    }

    /// Lets the application keep something with a flow; returns what it kept before.
    pub fn set_user(&mut self, flow: FlowId, user: Option<U>) -> Result<Option<U>, NoFlow> {
        let place = self.place(flow)?;
        Ok(std::mem::replace(&mut self.engine.table.extra_mut(place).user, user))
    }

    /// Says that a side's stream is read: what stays unread is kept from now on.
    pub fn begin_reading(&mut self, flow: FlowId, side: Side) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        let flags = &mut self.engine.table.flow_mut(place).ends[side.index()].flags;
        flags.put(Flags::COLLECT, !flags.any(Flags::DISCARD));
        Ok(())
    }

    /// Takes up to `limit` bytes of a side's stream as read, up to the next gap; nothing to read is an empty slice.
    pub fn read<T>(
        &mut self,
        flow: FlowId,
        side: Side,
        limit: usize,
        use_it: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, NoFlow> {
        self.begin_reading(flow, side)?;
        let place = self.place(flow)?;
        let (result, count) = {
            let unread = self.unread(flow, side)?;
            let bytes = &unread[..unread.len().min(limit)];
            (use_it(bytes), bytes.len())
        };
        let engine = &mut self.engine;
        if let Some(fresh) = fresh_of(&mut engine.current, place, side) {
            fresh.offset += count as u64;
            fresh.start += count as u32;
            fresh.length -= count as u32;
        } else if let Some(stream) = &mut engine.table.extra_mut(place).details[side.index()].stream {
            stream.backlog.consume(count as u64);
            engine.statistics.reassembly = engine.statistics.reassembly.saturating_sub(count as u64);
        }
        Ok(result)
    }

    /// The bytes straight from the frame, if they are of this flow's side.
    fn fresh(&self, place: u32, side: Side) -> Option<&Fresh> {
        let current = &self.engine.current;
        current.fresh.as_ref().filter(|fresh| fresh.side == side && current.place == Some(place))
    }

    /// The unread bytes of a side's stream, up to the next gap.
    pub fn unread(&self, flow: FlowId, side: Side) -> Result<&[u8], NoFlow> {
        let place = self.place(flow)?;
        if let (Some(fresh), Some(feed)) = (self.fresh(place, side), self.feed()) {
            return Ok(fresh.bytes(feed.frame));
        }
        let stream = self.engine.table.extra(place).details[side.index()].stream.as_deref();
        Ok(stream.map_or(&[], |stream| stream.backlog.front(usize::MAX)))
    }

    /// Up to `limit` unread bytes from this stream offset on.
    pub fn peek_at(&self, flow: FlowId, side: Side, offset: u64, limit: usize) -> Result<&[u8], NoFlow> {
        let place = self.place(flow)?;
        if let (Some(fresh), Some(feed)) = (self.fresh(place, side), self.feed()) {
            let bytes = fresh.bytes(feed.frame);
            let skip = offset.checked_sub(fresh.offset).map_or(usize::MAX, |skip| skip as usize);
            let rest = bytes.get(skip..).unwrap_or_default();
            return Ok(&rest[..rest.len().min(limit)]);
        }
        let stream = self.engine.table.extra(place).details[side.index()].stream.as_deref();
        Ok(stream.map_or(&[], |stream| stream.backlog.at(offset, limit)))
    }

    /// Offset of the first unread byte of a side's stream.
    pub fn unread_offset(&self, flow: FlowId, side: Side) -> Result<u64, NoFlow> {
        let place = self.place(flow)?;
        if let Some(fresh) = self.fresh(place, side) {
            return Ok(fresh.offset);
        }
        let (flow, extra) = (self.engine.table.flow(place), self.engine.table.extra(place));
        let details = &extra.details[side.index()];
        let backlog = details.stream.as_ref().and_then(|stream| stream.backlog.offset());
        Ok(backlog.unwrap_or_else(|| {
            let endpoint = &flow.ends[side.index()];
            if endpoint.flags.any(Flags::SEEN) { details.told_offset(endpoint.head) } else { 0 }
        }))
    }

    /// Bytes of a side's stream that were never seen.
    pub fn gaps(&self, flow: FlowId, side: Side) -> Result<Vec<Gap>, NoFlow> {
        let place = self.place(flow)?;
        let stream = self.engine.table.extra(place).details[side.index()].stream.as_deref();
        Ok(stream.map(|stream| stream.gaps().collect()).unwrap_or_default())
    }

    /// What is set for a side of a flow: its own settings, or those of the monitoring sockets.
    pub fn settings(&self, flow: FlowId, side: Side) -> Result<StreamSettings, NoFlow> {
        let place = self.place(flow)?;
        let (flow, extra) = (self.engine.table.flow(place), self.engine.table.extra(place));
        let program = self.engine.registry.get(flow.program);
        let mut settings = program.settings;
        let flags = flow.ends[side.index()].flags;
        settings.track[side.index()] = !flags.any(Flags::UNTRACKED);
        settings.reassemble = Some(
            flags.any(Flags::COLLECT)
                || !flags.any(Flags::DISCARD) && settings.reassemble.unwrap_or(program.collects),
        );
        settings.overlap = extra.details[side.index()].overlap;
        settings.urgent = extra.details[side.index()].urgent;
        if let Some(stream) = &extra.details[side.index()].stream {
            settings.depth = stream.depth.unwrap_or(settings.depth);
            settings.buffer = stream.buffer.unwrap_or(settings.buffer);
        }
        Ok(settings)
    }

    /// Tracks the state of a side or lets it be. While it is let be, its segments are counted and no more; tracked
    /// again, its stream goes on with its next segment.
    pub fn set_track(&mut self, flow: FlowId, side: Side, on: bool) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        let flags = &mut self.engine.table.flow_mut(place).ends[side.index()].flags;
        let resumes = on && flags.any(Flags::UNTRACKED);
        flags.put(Flags::UNTRACKED, !on);
        if !on || resumes {
            // Where the stream goes on is for the next segment to say.
            flags.clear(Flags::SEEN | Flags::ACKED | Flags::HELD | Flags::LACKING | Flags::TIMING);
            self.drop_bytes(place, side);
        }
        Ok(())
    }

    /// Puts a side's stream together, or not, whatever the monitoring sockets say.
    pub fn set_reassemble(&mut self, flow: FlowId, side: Side, on: bool) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        let flags = &mut self.engine.table.flow_mut(place).ends[side.index()].flags;
        flags.put(Flags::COLLECT, on);
        flags.put(Flags::DISCARD, !on);
        if !on {
            self.drop_bytes(place, side);
        }
        Ok(())
    }

    fn drop_bytes(&mut self, place: u32, side: Side) {
        if let Some(stream) = &mut self.engine.table.extra_mut(place).details[side.index()].stream {
            self.engine.statistics.reassembly =
                self.engine.statistics.reassembly.saturating_sub(stream.cost());
            stream.held.clear();
            stream.past.clear();
            stream.backlog.clear();
            stream.urgent.clear();
        }
        self.engine.table.flow_mut(place).ends[side.index()].flags.clear(Flags::HELD);
    }

    /// Sets how many bytes of a side's stream are wanted.
    pub fn set_depth(&mut self, flow: FlowId, side: Side, depth: u64) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        self.stream_mut(place, side).depth = Some(depth);
        let extra = self.engine.table.extra(place);
        let head = self.engine.table.flow(place).ends[side.index()].head;
        let is_deep = extra.details[side.index()].told_offset(head) >= depth;
        self.engine.table.flow_mut(place).ends[side.index()].flags.put(Flags::DEEP, is_deep);
        Ok(())
    }

    /// Sets the cap on a side's held and on its unread bytes.
    pub fn set_buffer(&mut self, flow: FlowId, side: Side, bytes: u64) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        self.stream_mut(place, side).buffer = Some(bytes);
        Ok(())
    }

    /// Sets how overlap in a side's stream is settled, and where its receiver accepts a RST.
    pub fn set_overlap(&mut self, flow: FlowId, side: Side, overlap: Overlap) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        self.engine.table.extra_mut(place).details[side.index()].overlap = overlap;
        Ok(())
    }

    /// Sets what the receiver of a side's segments makes of urgent data from now on.
    pub fn set_urgent(&mut self, flow: FlowId, side: Side, urgent: Urgent) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        self.engine.table.extra_mut(place).details[side.index()].urgent = urgent;
        Ok(())
    }

    fn stream_mut(&mut self, place: u32, side: Side) -> &mut Stream {
        let (flow, extra) = self.engine.table.both_mut(place);
        flow.ends[side.index()].flags.set(Flags::STREAM);
        extra.details[side.index()].stream.get_or_insert_default()
    }

    /// Stops watching a flow: its state is freed, its end is told, and later packets of it only pass.
    pub fn stop(&mut self, flow: FlowId) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        if self.engine.table.flow(place).is_ended() {
            // Its end is told, or about to be.
            return Ok(());
        }
        self.engine.forget_upcalls(flow);
        self.engine.end(place, EndReason::Stopped);
        if self.engine.current.place == Some(place) {
            self.engine.current.place = None;
        }
        Ok(())
    }

    /// Registers a wish for one flow alone.
    pub fn register_flow(
        &mut self,
        flow: FlowId,
        wish: Registration,
    ) -> Result<Result<(), RegistryError>, NoFlow> {
        let place = self.place(flow)?;
        let program = self.engine.table.flow(place).program;
        Ok(self.engine.registry.extend(program, wish).map(|program| {
            self.engine.table.flow_mut(place).program = program;
        }))
    }

    /// What the application keeps with flows.
    pub fn users(&self) -> impl Iterator<Item = &U> {
        let table = &self.engine.table;
        table.places().filter_map(|place| table.extra(place).user.as_ref())
    }

    /// Raises a user-defined event on a flow, whatever its filter says.
    pub fn raise(&mut self, flow: FlowId, event: EventId) -> Result<(), NoFlow> {
        let place = self.place(flow)?;
        let program = self.engine.registry.get(self.engine.table.flow(place).program).clone();
        let upcall = self.alone(flow);
        self.with_target(&upcall, &program, |scene, target| program.raise(event, scene, target));
        Ok(())
    }

    /// Sets a timer that fires once this many nanoseconds of packet time have passed: it raises [`Kind::Timer`] on the
    /// flow, if one is given, and calls the handler, if one is given. The flow's end takes it back.
    pub fn set_timer(
        &mut self,
        flow: Option<FlowId>,
        delay: Nanos,
        handler: Option<HandlerId>,
        token: u64,
    ) -> Result<TimerHandle, NoFlow> {
        let place = flow.map(|flow| self.place(flow)).transpose()?;
        let timers = &mut self.engine.timers;
        let entry = timers.free.pop().unwrap_or(timers.entries.len() as u32);
        let deadline = self.engine.now.saturating_add(delay);
        let id = Some(timers.wheel.insert(deadline, u64::from(entry)));
        timers.serials += 1;
        let serial = timers.serials;
        let timer = AppTimer { flow, handler, token, delay, deadline, id, serial };
        if entry as usize == timers.entries.len() {
            timers.entries.push(timer);
        } else {
            timers.entries[entry as usize] = timer;
        }
        if let Some(place) = place {
            self.engine.table.extra_mut(place).timers.push(entry);
        }
        Ok(TimerHandle { entry, serial })
    }

    /// Takes a timer back; returns whether it had still to fire.
    pub fn cancel_timer(&mut self, handle: TimerHandle) -> bool {
        let timer = self.engine.timers.entries[handle.entry as usize];
        if timer.serial != handle.serial || !self.engine.take_back_timer(handle.entry) {
            return false;
        }
        if let Some(place) = timer.flow.and_then(|flow| self.engine.table.place(flow)) {
            self.engine.table.extra_mut(place).timers.retain(|entry| *entry != handle.entry);
        }
        true
    }
}

/// The bytes straight from the frame, if they are of this flow's side.
fn fresh_of(current: &mut super::Current, place: u32, side: Side) -> Option<&mut Fresh> {
    let is_here = current.place == Some(place);
    current.fresh.as_mut().filter(|fresh| is_here && fresh.side == side)
}
