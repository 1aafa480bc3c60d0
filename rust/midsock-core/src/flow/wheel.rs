//! The timer wheel: what is due next, whatever order it was asked for in.

use crate::Nanos;

/// A timer of a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

#[derive(Clone, Copy)]
struct Timer {
    deadline: Nanos,
    payload: u64,
    next: u32,
    previous: u32,
}

const NONE: u32 = u32::MAX;
/// Set in `previous` of a timer that heads its slot's list; the rest is the slot's number.
const HEAD: u32 = 1 << 31;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 8;
/// A tick is 2^20 ns, about a millisecond; eight levels of 64 slots span all that time can hold.
const TICK_BITS: u32 = 20;

/// A hierarchical timer wheel (Varghese and Lauck, 1987): insertion, removal and expiry in constant time.
///
/// Each level's slot spans 64 slots of the level below; a slot's timers move down a level when its time comes, and
/// fire from the lowest. A timer fires up to a tick late, never early.
pub struct TimerWheel {
    timers: Vec<Timer>,
    free: Vec<u32>,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    /// Every timer due at this tick or before has fired.
    tick: u64,
    /// No slot's time comes before this tick.
    due: u64,
}

/// Times before the epoch are all due at tick 0.
fn tick_of(time: Nanos) -> u64 {
    time.max(0) as u64 >> TICK_BITS
}

impl TimerWheel {
    /// An empty wheel that stands at the beginning of time.
    pub fn new() -> TimerWheel {
        TimerWheel {
            timers: Vec::new(),
            free: Vec::new(),
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            tick: 0,
            due: u64::MAX,
        }
    }

    /// Sets a timer that hands back `payload` once `deadline` is past.
    pub fn insert(&mut self, deadline: Nanos, payload: u64) -> TimerId {
        let timer = Timer { deadline, payload, next: NONE, previous: NONE };
        let id = if let Some(id) = self.free.pop() {
            self.timers[id as usize] = timer;
            id
        } else {
            self.timers.push(timer);
            self.timers.len() as u32 - 1
        };
        self.link(id);
        TimerId(id)
    }

    /// Takes a timer away before it fired.
    pub fn cancel(&mut self, id: TimerId) {
        self.unlink(id.0);
        self.free.push(id.0);
    }

    /// Gives a timer another deadline.
    pub fn reset(&mut self, id: TimerId, deadline: Nanos) {
        self.unlink(id.0);
        self.timers[id.0 as usize].deadline = deadline;
        self.link(id.0);
    }

    /// When a timer that is set is due.
    #[inline]
    pub fn deadline(&self, id: TimerId) -> Nanos {
        self.timers[id.0 as usize].deadline
    }

    /// Whether [`TimerWheel::advance`] to `now` could have anything to do: one comparison in nearly every call.
    #[inline]
    pub fn is_due(&self, now: Nanos) -> bool {
        tick_of(now) >= self.due
    }

    /// No timer is due before this time; none if no timer is set.
    pub fn next_due(&self) -> Option<Nanos> {
        (self.due != u64::MAX).then(|| Nanos::try_from(self.due << TICK_BITS).unwrap_or(Nanos::MAX))
    }

    /// Moves time on to `now` and appends the payloads of all timers whose deadline is past, earliest tick first.
    pub fn advance(&mut self, now: Nanos, fired: &mut Vec<u64>) {
        let target = tick_of(now);
        while let Some((tick, level, slot)) = self.next_slot() {
            if tick > target {
                break;
            }
            self.tick = self.tick.max(tick);
            let mut id = std::mem::replace(&mut self.heads[level][slot], NONE);
            self.occupied[level] &= !(1 << slot);
            while id != NONE {
                let timer = self.timers[id as usize];
                if tick_of(timer.deadline) < self.tick {
                    fired.push(timer.payload);
                    self.free.push(id);
                } else {
                    self.link(id);
                }
                id = timer.next;
            }
        }
        self.tick = self.tick.max(target);
        self.due = self.next_slot().map_or(u64::MAX, |(tick, ..)| tick);
    }

    /// The occupied slot whose time comes first, and the tick at which it comes.
    fn next_slot(&self) -> Option<(u64, usize, usize)> {
        let mut first: Option<(u64, usize, usize)> = None;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let here = (self.tick >> shift) as u32 & (SLOTS as u32 - 1);
            let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
            let slot = (here + ahead) & (SLOTS as u32 - 1);
            let tick = ((self.tick >> shift) + u64::from(ahead)) << shift;
            if first.is_none_or(|(earliest, ..)| tick < earliest) {
                first = Some((tick, level, slot as usize));
            }
        }
        first
    }

    fn link(&mut self, id: u32) {
        // Due once its own tick is over, hence the tick after it; what is overdue waits for the next tick.
        let due = (tick_of(self.timers[id as usize].deadline) + 1).max(self.tick + 1);
        let differing = (due ^ self.tick) | (SLOTS as u64 - 1);
        let level = (differing.ilog2() / SLOT_BITS).min(LEVELS as u32 - 1);
        let shift = SLOT_BITS * level;
        let slot = (due >> shift) as usize & (SLOTS - 1);
        self.due = self.due.min(due >> shift << shift);
        let level = level as usize;
        let next = std::mem::replace(&mut self.heads[level][slot], id);
        let timer = &mut self.timers[id as usize];
        timer.next = next;
        timer.previous = HEAD | (level * SLOTS + slot) as u32;
        if next != NONE {
            self.timers[next as usize].previous = id;
        }
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, id: u32) {
        let Timer { next, previous, .. } = self.timers[id as usize];
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous & HEAD == 0 {
            self.timers[previous as usize].next = next;
        } else {
            let slot = (previous & !HEAD) as usize;
            self.heads[slot / SLOTS][slot % SLOTS] = next;
            if next == NONE {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        }
    }

    /// Timers that are set.
    pub fn len(&self) -> usize {
        self.timers.len() - self.free.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory it takes.
    pub fn memory(&self) -> usize {
        size_of::<TimerWheel>()
            + self.timers.capacity() * size_of::<Timer>()
            + self.free.capacity() * size_of::<u32>()
    }
}

impl Default for TimerWheel {
    fn default() -> TimerWheel {
        TimerWheel::new()
    }
}
