//! From events to whoever wants them: counters and batches at once, the application by a queue.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;

use super::inline::Marks;
use crate::Side;
use crate::event::{
    Action, Batch, BatchId, BatchSpec, CountId, Event, Field, HandlerId, MonitorId, Outlet, Program, Scene,
    Value,
};
use crate::flow::FlowId;

/// A native counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often its event fired.
    pub events: u64,
    /// The sum of its field over those events.
    pub sum: u128,
    field: Option<Field>,
}

/// Something that only the application can do.
#[derive(Clone)]
pub struct Upcall {
    /// What.
    pub call: Call,
    /// The event it is about.
    pub event: Event,
    /// The flow, if there is one.
    pub flow: Option<FlowId>,
    /// The monitoring socket, where there is no flow.
    pub monitor: Option<MonitorId>,
}

/// What the application is asked to do.
#[derive(Clone)]
pub enum Call {
    /// Handle the event.
    Handler(HandlerId),
    /// Handle the timer's event; the handler is of no further use after that.
    Once(HandlerId),
    /// Say whether its own filter passes; [`Stack::pass`](crate::Stack::pass) goes on if so.
    Filter {
        /// The application's number for the filter.
        number: u32,
        /// Where the walk goes on.
        node: u32,
        /// In which program.
        program: Arc<Program>,
    },
}

/// Counters, batches and the queue of upcalls.
#[derive(Default)]
pub(super) struct Dispatch {
    pub(super) counts: Vec<Count>,
    pub(super) batches: Vec<Batch>,
    pub(super) upcalls: VecDeque<Upcall>,
    /// Which packets rows stand for, where verdicts can be given on them.
    pub(super) marks: Option<Box<Marks>>,
}

/// One event on its way out.
pub(super) struct Target<'d> {
    pub(super) dispatch: &'d mut Dispatch,
    pub(super) program: &'d Arc<Program>,
    pub(super) flow: Option<FlowId>,
    pub(super) monitor: Option<MonitorId>,
    /// The place in the burst of the packet that the event is about.
    pub(super) packet: Option<u16>,
}

impl Dispatch {
    pub(super) fn add_count(&mut self, field: Option<Field>) -> CountId {
        self.counts.push(Count { field, ..Count::default() });
        CountId(self.counts.len() as u32 - 1)
    }

    pub(super) fn add_batch(&mut self, spec: BatchSpec, coalesces: bool) -> BatchId {
        self.batches.push(Batch::new(spec, coalesces));
        BatchId(self.batches.len() as u32 - 1)
    }

    /// Counts an event for these counters; returns whether that was all, which it is unless one sums a field.
    #[inline]
    pub(super) fn tally(&mut self, actions: &[(Option<Side>, Action)]) -> bool {
        let counter = |(_, action): &(Option<Side>, Action)| match action {
            Action::Count(id) => id.0 as usize,
            Action::Batch(_) | Action::Call(_) => usize::MAX,
        };
        let is_plain = |place: usize| self.counts.get(place).is_some_and(|count| count.field.is_none());
        if !actions.iter().map(counter).all(is_plain) {
            return false;
        }
        for place in actions.iter().map(counter) {
            self.counts[place].events += 1;
        }
        true
    }

    /// A burst is over.
    pub(super) fn end_burst(&mut self) {
        for batch in &mut self.batches {
            batch.end_burst();
        }
    }

    /// The next batch from `*next` on that is to be handed over, whether or not it has its `size` if it is the `last`.
    pub(super) fn next_batch(&mut self, next: &mut usize, last: bool) -> Option<(BatchId, RecordBatch)> {
        while let Some(batch) = self.batches.get_mut(*next) {
            let id = BatchId(*next as u32);
            *next += 1;
            if (last || batch.is_full())
                && let Some(rows) = batch.take()
            {
                if let Some(marks) = &mut self.marks {
                    marks.deliver(id, rows.num_rows());
                }
                return Some((id, rows));
            }
        }
        None
    }
}

impl Outlet for Target<'_> {
    #[inline]
    fn act(&mut self, action: Action, scene: &Scene<'_>) {
        match action {
            Action::Count(id) => {
                let count = &mut self.dispatch.counts[id.0 as usize];
                count.events += 1;
                if let Some(Value::Int(value)) = count.field.and_then(|field| field.get(scene)) {
                    count.sum += u128::from(value);
                }
            }
            Action::Batch(id) => {
                let row = self.dispatch.batches[id.0 as usize].push(scene);
                if let Some(marks) = &mut self.dispatch.marks {
                    marks.note(id, row, self.packet, self.flow);
                }
            }
            Action::Call(handler) => self.queue(Call::Handler(handler), scene),
        }
    }

    fn ask(&mut self, number: u32, node: u32, scene: &Scene<'_>) {
        self.queue(Call::Filter { number, node, program: self.program.clone() }, scene);
    }
}

impl Target<'_> {
    fn queue(&mut self, call: Call, scene: &Scene<'_>) {
        let (event, flow, monitor) = (*scene.event, self.flow, self.monitor);
        self.dispatch.upcalls.push_back(Upcall { call, event, flow, monitor });
    }
}
