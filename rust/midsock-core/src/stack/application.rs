//! The stack for applications in Rust.

use arrow_array::RecordBatch;

use super::{Call, Stack, Step, Upcall};
use crate::event::{BatchId, HandlerId};
use crate::port::PortError;

/// What an application in Rust does when it is called.
pub trait Application {
    /// What it keeps with a flow.
    type User;

    /// An event that it registered a handler for.
    fn on_event(&mut self, stack: &mut Stack<Self::User>, handler: HandlerId, upcall: &Upcall);

    /// Rows of a batch.
    fn on_batch(&mut self, _stack: &mut Stack<Self::User>, _batch: BatchId, _rows: RecordBatch) {}

    /// Whether a filter of its own, known by its number, passes.
    fn filter(&mut self, _stack: &mut Stack<Self::User>, _number: u32, _upcall: &Upcall) -> bool {
        false
    }
}

impl<U> Stack<U> {
    /// Runs until the input is over, calling the application where it is needed.
    pub fn run<A: Application<User = U>>(&mut self, application: &mut A) -> Result<(), PortError> {
        loop {
            match self.step()? {
                Step::Upcall(upcall) => match upcall.call {
                    Call::Handler(handler) | Call::Once(handler) => {
                        application.on_event(self, handler, &upcall);
                    }
                    Call::Filter { number, .. } => {
                        if application.filter(self, number, &upcall) {
                            self.pass(&upcall);
                        }
                    }
                },
                Step::Batch(id, rows) => application.on_batch(self, id, rows),
                // What flows leave behind is of no further use here.
                Step::BurstEnd | Step::Idle => drop(self.take_released()),
                Step::End => return Ok(()),
            }
        }
    }
}
