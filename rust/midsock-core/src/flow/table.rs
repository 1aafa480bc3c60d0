//! The table of all flows.

use prefetch_index::prefetch_index;

use super::history::History;
use super::index::Index;
use super::records::Records;
use super::{Flow, FlowExtra, FlowFlags, FlowId, HashKey, Key, TimerWheel};
use crate::Nanos;

/// Has the cache line brought in where a value begins.
#[inline]
fn prefetch<T>(value: &T) {
    prefetch_index(std::slice::from_ref(value), 0);
}

/// Counters of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStatistics {
    /// Flows opened so far.
    pub opened: u64,
    /// Flows in the table now, those included that ended and linger for late packets.
    pub open: u64,
    /// The most there were at once.
    pub peak: u64,
}

/// All flows, found by their exact tuple.
pub struct FlowTable<U> {
    hash: HashKey,
    index: Index,
    flows: Records<Flow>,
    extras: Records<FlowExtra<U>>,
    free: Vec<u32>,
    /// When idle flows are looked at.
    pub(crate) wheel: TimerWheel,
    statistics: FlowStatistics,
    /// Where the search for a flow to evict goes on.
    hand: u32,
    /// Whose turn it is to be looked at for idleness.
    turn: u32,
}

impl<U> FlowTable<U> {
    /// An empty table whose hash has this secret, with room for `most` flows; it takes in more, but not as quickly.
    pub fn new(hash: HashKey, most: u64) -> FlowTable<U> {
        FlowTable {
            hash,
            index: Index::new(),
            flows: Records::new(most),
            extras: Records::new(most),
            free: Vec::new(),
            wheel: TimerWheel::new(),
            statistics: FlowStatistics::default(),
            hand: 0,
            turn: 0,
        }
    }

    /// The hash of a tuple, for [`FlowTable::find`] and [`FlowTable::insert`].
    #[inline]
    pub fn hash(&self, key: &Key) -> u32 {
        self.hash.hash(key)
    }

    /// Has the slot of a hash brought into the cache ahead of its look-up.
    #[inline]
    pub fn prefetch_slot(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Has all that freeing a flow will touch brought into the cache, but for its slot: its place is told by what comes.
    pub(crate) fn prefetch_all(&self, place: u32) {
        self.prefetch_record(place);
        let extra = &self.extras[place];
        prefetch(&extra.number);
        extra.details.iter().for_each(prefetch);
    }

    /// Has the slot of a flow brought into the cache.
    pub(crate) fn prefetch_slot_of(&self, place: u32) {
        self.prefetch_slot(self.hash.hash(&self.flows[place].key));
    }

    /// The place of a flow whose tuple has this hash: nearly always the one that is meant.
    #[inline]
    pub fn guess(&self, hash: u32) -> Option<u32> {
        self.index.find(hash, |_| true)
    }

    /// Has a record brought into the cache ahead of its use.
    #[inline]
    pub fn prefetch_record(&self, place: u32) {
        let flow = &self.flows[place];
        // One word of each of its two cache lines.
        prefetch(&flow.ends);
        prefetch(&flow.last);
        // A round trip begins or ends in most packets that are not one of many.
        for details in &self.extras[place].details {
            prefetch(&details.rtt);
        }
    }

    /// The place of the flow with this tuple; `guess` is what [`FlowTable::guess`] said of it, however long ago.
    #[inline]
    pub fn find_near(&self, guess: Option<u32>, key: &Key, hash: u32) -> Option<u32> {
        // A tuple has one record at most, so a live one with this tuple is it.
        let is_right = |place: &u32| {
            let flow = &self.flows[*place];
            flow.key == *key && flow.flags.any(FlowFlags::LIVE)
        };
        guess.filter(is_right).or_else(|| self.find(key, hash))
    }

    /// The place of the flow with this tuple.
    pub fn find(&self, key: &Key, hash: u32) -> Option<u32> {
        self.index.find(hash, |place| self.flows[place].key == *key)
    }

    /// Opens a flow, which must not be in the table yet; `deadline` is when it is first looked at for idleness.
    pub fn insert(&mut self, hash: u32, flow: Flow, start: Nanos, deadline: Nanos) -> u32 {
        let number = self.statistics.opened;
        let place = self.free.pop().unwrap_or(self.flows.len() as u32);
        let timer = self.wheel.insert(deadline, u64::from(place));
        if place as usize == self.flows.len() {
            self.flows.push(flow);
            self.extras.push(FlowExtra::default());
        } else {
            self.flows[place] = flow;
        }
        // The rest of it is as by default: freeing a flow sees to that.
        let extra = &mut self.extras[place];
        (extra.number, extra.start, extra.timer) = (number, start, Some(timer));
        self.flows[place].flags.set(FlowFlags::LIVE);
        self.index.insert(hash, place);
        self.statistics.opened += 1;
        self.statistics.open += 1;
        self.statistics.peak = self.statistics.peak.max(self.statistics.open);
        place
    }

    /// Frees a flow; its timers must have fired or been cancelled. Returns what the application kept with it.
    pub fn remove(&mut self, place: u32) -> Option<U> {
        let key = self.flows[place].key;
        self.index.remove(self.hash.hash(&key), place);
        self.flows[place].flags = FlowFlags::default();
        let extra = &mut self.extras[place];
        extra.number = u64::MAX;
        extra.details = Default::default();
        extra.trouble = None;
        extra.history = History::default();
        extra.path = None;
        extra.timers.clear();
        self.free.push(place);
        self.statistics.open -= 1;
        extra.user.take()
    }

    /// The flow at a place.
    #[inline]
    pub fn flow(&self, place: u32) -> &Flow {
        &self.flows[place]
    }

    /// The flow at a place.
    #[inline]
    pub fn flow_mut(&mut self, place: u32) -> &mut Flow {
        &mut self.flows[place]
    }

    /// The rest of a flow.
    #[inline]
    pub fn extra(&self, place: u32) -> &FlowExtra<U> {
        &self.extras[place]
    }

    /// The rest of a flow.
    #[inline]
    pub fn extra_mut(&mut self, place: u32) -> &mut FlowExtra<U> {
        &mut self.extras[place]
    }

    /// Both parts of a flow.
    #[inline]
    pub fn both_mut(&mut self, place: u32) -> (&mut Flow, &mut FlowExtra<U>) {
        (&mut self.flows[place], &mut self.extras[place])
    }

    /// The id of the flow at a place.
    pub fn id(&self, place: u32) -> FlowId {
        FlowId { place, number: self.extras[place].number }
    }

    /// The place of a flow, unless it was freed.
    pub fn place(&self, id: FlowId) -> Option<u32> {
        ((id.place as usize) < self.extras.len() && self.extras[id.place].number == id.number)
            .then_some(id.place)
    }

    /// The places of all flows.
    pub fn places(&self) -> impl Iterator<Item = u32> {
        (0..self.flows.len() as u32).filter(|place| self.flows[*place].flags.any(FlowFlags::LIVE))
    }

    /// Looks at the next `most` records, in turn, for a flow that `suits`.
    pub(crate) fn search(&mut self, most: u32, suits: impl Fn(&Flow) -> bool) -> Option<u32> {
        let places = self.flows.len() as u32;
        for _ in 0..most.min(places) {
            let place = self.hand % places;
            self.hand = place + 1;
            let flow = &self.flows[place];
            if flow.flags.any(FlowFlags::LIVE) && suits(flow) {
                return Some(place);
            }
        }
        None
    }

    /// The next place in turn, if there is a flow in it.
    pub(crate) fn turn(&mut self) -> Option<u32> {
        let place = self.turn.checked_rem(self.flows.len() as u32)?;
        self.turn = place + 1;
        self.flows[place].flags.any(FlowFlags::LIVE).then_some(place)
    }

    /// Counters.
    pub fn statistics(&self) -> FlowStatistics {
        self.statistics
    }

    /// Bytes of memory that the table and its records take, without their streams.
    pub fn memory(&self) -> usize {
        self.index.memory()
            + self.flows.memory()
            + self.extras.memory()
            + self.wheel.memory()
            + self.free.capacity() * size_of::<u32>()
    }
}
