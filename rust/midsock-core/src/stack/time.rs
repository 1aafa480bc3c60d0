//! What time brings about.

use std::time::Duration;

use super::{Engine, Upcall, emergency, fragments};
use crate::config::Timeouts;
use crate::event::{Event, EventDetail, HandlerId, Hook, Kind};
use crate::flow::{EndReason, FlowFlags, FlowId, TimerId, TimerWheel};
use crate::stack::Call;
use crate::tcp::Flags;
use crate::{Nanos, Side};

/// The longest time that is waited for packets.
const WAIT: Duration = Duration::from_millis(100);

/// A timer that the application set.
#[derive(Clone, Copy)]
pub(super) struct AppTimer {
    pub(super) flow: Option<FlowId>,
    pub(super) handler: Option<HandlerId>,
    /// What the application gave with it.
    pub(super) token: u64,
    /// How long after it was set it is due.
    pub(super) delay: Nanos,
    /// When it is due.
    pub(super) deadline: Nanos,
    /// Its timer in the wheel; none for an unused entry.
    pub(super) id: Option<TimerId>,
    /// Told apart from earlier timers of the same entry.
    pub(super) serial: u64,
}

/// The timers that the application set.
#[derive(Default)]
pub(super) struct AppTimers {
    pub(super) wheel: TimerWheel,
    pub(super) entries: Vec<AppTimer>,
    pub(super) free: Vec<u32>,
    pub(super) serials: u64,
    /// Handlers of timers that were taken back before they fired.
    pub(super) dropped: Vec<HandlerId>,
    fired: Vec<u64>,
}

impl AppTimers {
    /// The first packet says what time it is: timers that were set before count from then.
    pub(super) fn begin(&mut self, now: Nanos) {
        for timer in &mut self.entries {
            if let Some(id) = timer.id {
                timer.deadline = now.saturating_add(timer.delay);
                self.wheel.reset(id, timer.deadline);
            }
        }
    }
}

impl<U> Engine<U> {
    /// How long to wait for packets before timers are looked at again.
    pub(super) fn patience(&self) -> Duration {
        let due = [self.table.wheel.next_due(), self.timers.wheel.next_due(), Some(self.endings.due)];
        let due = due.into_iter().flatten().min().unwrap_or(Nanos::MAX).min(self.translations.due());
        let until = due.saturating_sub(self.now).max(0) as u64;
        Duration::from_nanos(until).min(WAIT)
    }

    /// No packet came, and the clock of a live port says what time it is.
    pub(super) fn idle(&mut self, now: Nanos) {
        if self.now == Nanos::MIN {
            self.timers.begin(now);
        }
        self.now = self.now.max(now);
        // No packet is at hand.
        self.current.place = None;
        if self.is_due() {
            self.run_timers();
        }
    }

    /// Whether anything is due.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        let now = self.now;
        self.table.wheel.is_due(now) || self.timers.wheel.is_due(now) || now >= self.endings.due
    }

    /// Does all that is due; returns whether the application need not be called for it.
    pub(super) fn run_timers(&mut self) -> bool {
        self.end_lingering();
        let mut fired = std::mem::take(&mut self.timers.fired);
        self.table.wheel.advance(self.now, &mut fired);
        // What one timer does may end other flows: none may take a timer of its own for set that has fired.
        for place in fired.iter().filter(|place| **place < emergency::TIMER) {
            self.table.extra_mut(*place as u32).timer = None;
        }
        for place in fired.drain(..) {
            match place {
                fragments::TIMER => self.expire_fragments(),
                emergency::TIMER => self.tick_emergency(),
                _ => self.look_after(place as u32),
            }
        }
        self.timers.wheel.advance(self.now, &mut fired);
        let entries = &self.timers.entries;
        // The wheel tells timers apart by its ticks only.
        fired.sort_by_key(|entry| (entries[*entry as usize].deadline, entries[*entry as usize].serial));
        for entry in fired.drain(..) {
            self.fire_timer(entry as u32);
        }
        self.timers.fired = fired;
        if self.is_quiet() {
            self.sweep();
            return true;
        }
        false
    }

    /// The timer of a flow fired: gives up missing bytes, ends the flow if it has been idle for too long, and sets the
    /// timer anew.
    fn look_after(&mut self, place: u32) {
        let flow = self.table.flow(place);
        if !flow.flags.any(FlowFlags::LIVE) || self.table.extra(place).timer.is_some() {
            // What another timer did has settled it.
            return;
        }
        if flow.reason == Some(EndReason::Stopped) || flow.flags.any(FlowFlags::CUT) {
            if self.idle_deadline(place) <= self.now {
                return self.free(place);
            }
            return self.watch_idle(place);
        }
        let flow = self.table.flow_mut(place);
        if flow.flags.any(FlowFlags::GAP_TIMER) {
            flow.flags.clear(FlowFlags::GAP_TIMER);
            self.settle_overdue(place, self.now);
        }
        if self.table.flow(place).is_ended() {
            return;
        }
        if self.idle_deadline(place) <= self.now {
            return self.end(place, EndReason::Timeout);
        }
        self.watch_idle(place);
    }

    /// When the flow ends if no further packet comes.
    pub(super) fn idle_deadline(&self, place: u32) -> Nanos {
        let flow = self.table.flow(place);
        let timeouts = self.timeouts();
        let idle = if !flow.flags.any(FlowFlags::SETUP) {
            timeouts.opening
        } else if flow.flags.any(FlowFlags::CUT) || flow.ends.iter().any(|end| end.flags.any(Flags::FIN)) {
            timeouts.closing
        } else {
            timeouts.established
        };
        flow.last.saturating_add(idle)
    }

    /// Sets the flow's timer to when it is idle for too long, or its missing bytes are given up.
    pub(super) fn watch_idle(&mut self, place: u32) {
        let mut deadline = self.idle_deadline(place);
        self.table.flow_mut(place).flags.clear(FlowFlags::GAP_TIMER);
        if let Some(overdue) = self.gap_deadline(place) {
            deadline = deadline.min(overdue);
            self.table.flow_mut(place).flags.set(FlowFlags::GAP_TIMER);
        }
        self.set_timer(place, deadline);
    }

    /// Sets the flow's timer to give up bytes that have begun to be missing, if it is set to later.
    pub(super) fn watch_gap(&mut self, place: u32) {
        if let Some(deadline) = self.gap_deadline(place) {
            self.table.flow_mut(place).flags.set(FlowFlags::GAP_TIMER);
            self.set_timer(place, deadline);
        }
    }

    fn set_timer(&mut self, place: u32, deadline: Nanos) {
        match self.table.extra(place).timer {
            // A timer that fires too early sets itself anew, which costs less than to move it with every packet.
            Some(timer) if self.table.wheel.deadline(timer) <= deadline => {}
            Some(timer) => self.table.wheel.reset(timer, deadline),
            None => {
                let timer = self.table.wheel.insert(deadline, u64::from(place));
                self.table.extra_mut(place).timer = Some(timer);
            }
        }
    }

    fn gap_deadline(&self, place: u32) -> Option<Nanos> {
        let (flow, extra) = (self.table.flow(place), self.table.extra(place));
        let Timeouts { gap, hole, .. } = self.config.timeouts;
        let deadline = |side: Side| {
            let flags = flow.ends[side.index()].flags;
            let stream = extra.details[side.index()].stream.as_deref()?;
            let acked = flags.any(Flags::LACKING).then(|| stream.lacking_since.saturating_add(gap));
            let held = stream.held.since().map(|since| since.saturating_add(hole));
            acked.into_iter().chain(held).min()
        };
        Side::BOTH.into_iter().filter_map(deadline).min()
    }

    /// A timer of the application fired.
    fn fire_timer(&mut self, entry: u32) {
        let timer = self.timers.entries[entry as usize];
        self.drop_timer(entry);
        let (side, detail) = (Side::Client, EventDetail::Timer(timer.token));
        let place = timer.flow.map(|flow| self.table.place(flow));
        if let Some(Some(place)) = place {
            self.table.extra_mut(place).timers.retain(|set| *set != entry);
            self.raise_alone(place, Kind::Timer, side, detail);
        }
        if let Some(handler) = timer.handler
            && place != Some(None)
        {
            let event = Event { kind: Kind::Timer, hook: Hook::PostTcp, side, time: self.now, detail };
            let call = Call::Once(handler);
            self.dispatch.upcalls.push_back(Upcall { call, event, flow: timer.flow, monitor: None });
        }
    }

    pub(super) fn drop_timer(&mut self, entry: u32) {
        self.timers.entries[entry as usize].id = None;
        self.timers.free.push(entry);
    }

    /// Takes a timer back; returns whether it had still to fire.
    pub(super) fn take_back_timer(&mut self, entry: u32) -> bool {
        let timer = self.timers.entries[entry as usize];
        let Some(id) = timer.id else { return false };
        self.timers.wheel.cancel(id);
        self.timers.dropped.extend(timer.handler);
        self.drop_timer(entry);
        true
    }

    /// Takes back all timers that the application set for a flow.
    pub(super) fn cancel_timers(&mut self, place: u32) {
        for entry in std::mem::take(&mut self.table.extra_mut(place).timers) {
            self.take_back_timer(entry);
        }
    }
}
