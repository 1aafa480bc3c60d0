//! Where flows end.
//!
//! A flow's end is told once. If it closed or was reset, its record then lingers for late packets of the connection,
//! which would otherwise look like another one's; all other ends free it as soon as their handlers have run.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::Engine;
use crate::event::{EventDetail, Kind};
use crate::flow::{EndReason, FlowExtra, FlowFlags, FlowRecord};
use crate::tcp::{Flags, State};
use crate::{Nanos, Side};

/// How many flows ahead of its turn an ended flow's slot is brought into the cache; its record still earlier, which
/// tells where that is.
const SOON: usize = 8;

/// A flow that ended.
enum Ended {
    /// Its record is still in the table.
    Lingering(u32, Nanos),
    /// It has been freed; what is known of it waits for those that ended before.
    Freed(Box<FlowRecord>),
    /// It has been freed, and nobody asks for records.
    Gone,
}

/// Flows that ended, and what remains of them.
pub(super) struct Endings<U> {
    /// Flows whose end is being told.
    told: VecDeque<u32>,
    /// Flows in the order in which they ended.
    order: VecDeque<Ended>,
    /// The number of the first one of them, counted over the stack's life.
    first: u64,
    /// When the first lingering flow is freed.
    pub(super) due: Nanos,
    /// For those who asked for records.
    pub(super) records: Vec<FlowRecord>,
    /// What the application kept with freed flows.
    pub(super) released: Vec<(FlowRecord, U)>,
}

impl<U> Default for Endings<U> {
    fn default() -> Endings<U> {
        Endings {
            told: VecDeque::new(),
            order: VecDeque::new(),
            first: 0,
            due: Nanos::MAX,
            records: Vec::new(),
            released: Vec::new(),
        }
    }
}

/// Drops all that a flow's streams hold; returns how many bytes that were.
fn drop_streams<U>(extra: &mut FlowExtra<U>) -> u64 {
    let streams = extra.details.iter_mut().filter_map(|details| details.stream.as_mut());
    let mut dropped = 0;
    for stream in streams {
        dropped += stream.cost();
        stream.held.clear();
        stream.past.clear();
        stream.backlog.clear();
    }
    dropped
}

impl<U> Engine<U> {
    /// Ends a flow if its ends have come to an end.
    pub(super) fn end_if_over(&mut self, place: u32) {
        let flow = self.table.flow(place);
        if flow.is_ended() || !flow.ends.iter().all(|end| end.state.is_done()) {
            return;
        }
        let was_reset = flow.ends.iter().all(|end| end.state == State::Closed)
            && !flow.ends.iter().all(|end| end.flags.any(Flags::FIN));
        self.end(place, if was_reset { EndReason::Reset } else { EndReason::Closed });
    }

    /// Ends a flow: what its streams still hold is handed on, and its end is told.
    pub(super) fn end(&mut self, place: u32, reason: EndReason) {
        if self.table.flow(place).is_ended() {
            return;
        }
        if reason != EndReason::Stopped {
            self.flush_streams(place, reason);
        }
        let (flow, extra) = self.table.both_mut(place);
        flow.reason = Some(reason);
        if let Some(timer) = extra.timer.take() {
            self.table.wheel.cancel(timer);
        }
        self.cancel_timers(place);
        self.raise_alone(place, Kind::ConnEnd, Side::Client, EventDetail::End(reason));
        self.endings.told.push_back(place);
    }

    /// Goes on with flows whose end has been told.
    pub(super) fn sweep(&mut self) {
        while let Some(place) = self.endings.told.pop_front() {
            let dropped = drop_streams(self.table.extra_mut(place));
            self.statistics.reassembly -= dropped;
            match self.table.flow(place).reason {
                _ if self.table.flow(place).flags.any(FlowFlags::CUT) => self.watch_idle(place),
                Some(EndReason::Closed | EndReason::Reset) => {
                    self.table.extra_mut(place).ended = self.endings.first + self.endings.order.len() as u64;
                    self.endings.order.push_back(Ended::Lingering(place, self.now));
                    self.release_first();
                }
                Some(EndReason::Stopped) => self.watch_idle(place),
                _ => self.free(place),
            }
        }
    }

    /// Whether a flow whose end is being told goes as soon as its handlers have run.
    pub(super) fn is_making_room(&self) -> bool {
        let is_kept = |place: &u32| self.table.flow(*place).flags.any(FlowFlags::CUT);
        self.endings.told.iter().any(|place| !is_kept(place))
    }

    /// Frees a flow of no further use; its record goes behind those of flows that ended before.
    pub(super) fn free(&mut self, place: u32) {
        if let Some(record) = self.remove(place) {
            self.endings.order.push_back(Ended::Freed(Box::new(record)));
            self.release_first();
        }
    }

    /// Frees an ended flow whose tuple begins anew.
    pub(super) fn vacate(&mut self, place: u32) {
        let (flow, extra) = self.table.both_mut(place);
        let lingers = flow.lingers();
        if let Some(timer) = extra.timer.take() {
            self.table.wheel.cancel(timer);
        }
        if !lingers {
            return self.free(place);
        }
        let entry = (self.table.extra(place).ended - self.endings.first) as usize;
        let record = self.remove(place);
        self.endings.order[entry] = record.map_or(Ended::Gone, |record| Ended::Freed(Box::new(record)));
        self.release_first();
    }

    /// Cuts a flow that has ended: late packets of its own are to be kept back for longer than others linger.
    pub(super) fn hold_back(&mut self, place: u32) {
        let flow = self.table.flow_mut(place);
        let lingered = flow.lingers() && !self.endings.told.contains(&place);
        flow.flags.set(FlowFlags::CUT);
        if lingered {
            let entry = (self.table.extra(place).ended - self.endings.first) as usize;
            self.endings.order[entry] = Ended::Gone;
            self.release_first();
            self.watch_idle(place);
        }
    }

    /// Takes a flow out of the table; returns its record if anybody asks for those.
    fn remove(&mut self, place: u32) -> Option<FlowRecord> {
        if self.current.place == Some(place) {
            self.current.place = None;
        }
        if self.table.flow(place).flags.any(FlowFlags::TRANSLATED) {
            self.forget_translation(place);
        }
        let (flow, extra) = self.table.both_mut(place);
        let user = extra.user.take();
        let wanted = self.config.records || user.is_some();
        let record = wanted.then(|| FlowRecord::new(flow, extra));
        self.registry.leave(flow.program);
        self.table.remove(place);
        match (user, record) {
            (Some(user), Some(record)) if self.config.records => {
                self.endings.released.push((record.clone(), user));
                Some(record)
            }
            (Some(user), Some(record)) => {
                self.endings.released.push((record, user));
                None
            }
            (_, record) => record,
        }
    }

    /// Hands over records in the order in which the flows ended, up to the first flow that still lingers.
    pub(super) fn release_first(&mut self) {
        let linger = self.timeouts().linger;
        loop {
            match self.endings.order.front() {
                Some(Ended::Lingering(_, since)) => {
                    self.endings.due = since.saturating_add(linger);
                    return;
                }
                Some(_) => {
                    self.endings.first += 1;
                    if let Some(Ended::Freed(record)) = self.endings.order.pop_front() {
                        self.endings.records.push(*record);
                    }
                }
                None => {
                    self.endings.due = Nanos::MAX;
                    return;
                }
            }
        }
    }

    /// Frees flows that have lingered for long enough.
    pub(super) fn end_lingering(&mut self) {
        while self.now >= self.endings.due {
            let Some(Ended::Lingering(place, _)) = self.endings.order.front() else { return };
            // Nobody has touched those for a while: by their turn they are in the cache.
            if let Some(Ended::Lingering(later, _)) = self.endings.order.get(2 * SOON) {
                self.table.prefetch_all(*later);
            }
            if let Some(Ended::Lingering(later, _)) = self.endings.order.get(SOON) {
                self.table.prefetch_slot_of(*later);
            }
            self.vacate(*place);
        }
    }

    /// The places of the flows that have not ended, in the order of their last packet.
    pub(super) fn open_flows(&self) -> Vec<u32> {
        let mut open: Vec<u32> =
            self.table.places().filter(|place| !self.table.flow(*place).is_ended()).collect();
        open.sort_by_key(|place| (self.table.flow(*place).last, self.table.extra(*place).number));
        open
    }

    /// The input is over, and the flow with it.
    pub(super) fn end_of_input(&mut self, place: u32) {
        self.current.place = None;
        if self.table.flow(place).flags.any(FlowFlags::LIVE) {
            self.end(place, EndReason::End);
        }
    }

    /// Frees every flow and forgets what was still to be told.
    pub(super) fn abandon(&mut self) {
        self.dispatch.upcalls.clear();
        let all: Vec<u32> = self.table.places().collect();
        for place in all {
            self.remove(place);
        }
    }

    /// Frees whatever is left.
    pub(super) fn flush_records(&mut self) {
        self.sweep();
        while let Some(Ended::Lingering(place, _)) = self.endings.order.front() {
            self.vacate(*place);
        }
        let stopped: Vec<u32> = self.table.places().collect();
        for place in stopped {
            self.vacate(place);
        }
    }
}
