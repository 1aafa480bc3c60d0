//! Shorter timeouts while the flow table is nearly full.
//!
//! Timers that were set before are not moved: as long as the emergency lasts, every new flow and every tick of the time
//! looks at some flows, each in its turn, and ends those that have been idle for too long.

use super::Engine;
use crate::Nanos;
use crate::config::{Config, Timeouts};
use crate::flow::EndReason;

/// What its timer is called among those of flows, which are called by their places.
pub(super) const TIMER: u64 = u64::MAX - 1;

/// Time between two ticks.
const TICK: Nanos = 10_000_000;

/// Flows that are looked at with each tick: a hundred thousand a second.
const PER_TICK: u32 = 1024;

/// Flows that are looked at with each new one: more than one, so that they are found faster than the table fills.
const PER_FLOW: u32 = 8;

/// Whether there is an emergency.
pub(super) struct Emergency {
    is_on: bool,
    /// With so many flows it begins.
    begin: u64,
    /// With so few it is over.
    end: u64,
    /// Timeouts while it lasts: none is longer than usual.
    timeouts: Timeouts,
}

impl Emergency {
    pub(super) fn new(config: &Config) -> Emergency {
        let (usual, wanted) = (&config.timeouts, &config.emergency);
        let part = |percent: u8| u128::from(config.max_flows) * u128::from(percent) / 100;
        let begin = part(wanted.begin).max(1) as u64;
        Emergency {
            is_on: false,
            begin,
            end: (part(wanted.end) as u64).min(begin - 1),
            timeouts: Timeouts {
                opening: usual.opening.min(wanted.opening),
                established: usual.established.min(wanted.established),
                closing: usual.closing.min(wanted.closing),
                linger: usual.linger.min(wanted.linger),
                ..*usual
            },
        }
    }
}

impl<U> Engine<U> {
    /// The timeouts that hold now.
    #[inline]
    pub(super) fn timeouts(&self) -> &Timeouts {
        if self.emergency.is_on { &self.emergency.timeouts } else { &self.config.timeouts }
    }

    /// Whether there is an emergency.
    pub(super) fn is_emergency(&self) -> bool {
        self.emergency.is_on
    }

    /// A flow is about to be opened.
    pub(super) fn note_pressure(&mut self) {
        if !self.emergency.is_on {
            if self.table.statistics().open < self.emergency.begin {
                return;
            }
            self.emergency.is_on = true;
            self.statistics.emergencies += 1;
            self.release_first();
            self.table.wheel.insert(self.now.saturating_add(TICK), TIMER);
        }
        self.prune(PER_FLOW);
    }

    /// Some time of the emergency has passed.
    pub(super) fn tick_emergency(&mut self) {
        self.prune(PER_TICK);
        if self.table.statistics().open > self.emergency.end {
            self.table.wheel.insert(self.now.saturating_add(TICK), TIMER);
            return;
        }
        self.emergency.is_on = false;
        self.release_first();
    }

    /// Looks at the next flows in turn, and ends those that are idle for too long.
    fn prune(&mut self, count: u32) {
        for _ in 0..count {
            let Some(place) = self.table.turn() else { continue };
            if !self.table.flow(place).is_ended() && self.idle_deadline(place) <= self.now {
                self.statistics.emergency_timeouts += 1;
                self.end(place, EndReason::Timeout);
            }
        }
        if self.is_quiet() {
            self.sweep();
        }
    }
}
