//! From one step of the stack to the next.

use std::collections::VecDeque;

use arrow_array::RecordBatch;

use super::{Stack, Upcall};
use crate::event::BatchId;
use crate::port::{self, PortError, Received};

/// Where the stack came to a rest.
pub enum Step {
    /// The application is needed. It gets [`Upcall::flow`] by the functions that take a [`FlowId`].
    Upcall(Upcall),
    /// Rows of a batch are ready.
    Batch(BatchId, RecordBatch),
    /// A burst is over.
    BurstEnd,
    /// No packet came for a while.
    Idle,
    /// The input is over, and so is every flow.
    End,
}

/// What the stack does next.
pub(super) enum Phase {
    /// It takes a burst from a port.
    Port,
    /// It works through the burst.
    Packets,
    /// It hands over batches.
    BurstEnd(usize),
    /// No packet came, but time has gone on: it hands over batches.
    Idle(usize),
    /// The input is over: it ends these flows.
    Closing(VecDeque<u32>),
    /// It hands over what batches still hold.
    LastBatches(usize),
    /// It is done.
    Done,
}

impl<U> Stack<U> {
    /// Goes on until the application is needed.
    pub fn step(&mut self) -> Result<Step, PortError> {
        loop {
            if let Some(upcall) = self.engine.dispatch.upcalls.pop_front() {
                return Ok(Step::Upcall(upcall));
            }
            self.engine.sweep();
            if let Some(task) = self.engine.translations.task.take() {
                self.translate_packet(task);
            }
            match &mut self.phase {
                Phase::Port if self.is_finishing => {
                    self.phase = Phase::Closing(self.engine.open_flows().into());
                }
                Phase::Port if self.engine.translations.is_due(self.engine.now) => self.resend()?,
                Phase::Port => match self.ports.receive(&mut self.burst, self.engine.patience())? {
                    Received::Packets => {
                        self.engine.begin_burst(self.ports.at(), &self.burst);
                        self.phase = Phase::Packets;
                    }
                    Received::Nothing if self.ports.is_live() => {
                        self.engine.idle(port::now());
                        self.phase = Phase::Idle(0);
                    }
                    Received::Nothing => return Ok(Step::Idle),
                    Received::End => self.phase = Phase::Closing(self.engine.open_flows().into()),
                },
                Phase::Packets => {
                    if self.engine.packets(self.ports.memory(), &self.burst) {
                        self.engine.dispatch.end_burst();
                        self.phase = Phase::BurstEnd(0);
                    }
                }
                Phase::BurstEnd(next) => {
                    if let Some((id, rows)) = self.engine.dispatch.next_batch(next, false) {
                        return Ok(Step::Batch(id, rows));
                    }
                    self.carry_out()?;
                    return Ok(Step::BurstEnd);
                }
                Phase::Idle(next) => {
                    if *next == 0 {
                        self.engine.dispatch.end_burst();
                    }
                    if let Some((id, rows)) = self.engine.dispatch.next_batch(next, false) {
                        return Ok(Step::Batch(id, rows));
                    }
                    self.phase = Phase::Port;
                    return Ok(Step::Idle);
                }
                Phase::Closing(flows) => {
                    if let Some(place) = flows.pop_front() {
                        self.engine.end_of_input(place);
                    } else {
                        self.engine.flush_records();
                        self.engine.dispatch.end_burst();
                        self.phase = Phase::LastBatches(0);
                    }
                }
                Phase::LastBatches(next) => {
                    if let Some((id, rows)) = self.engine.dispatch.next_batch(next, true) {
                        return Ok(Step::Batch(id, rows));
                    }
                    self.phase = Phase::Done;
                    return Ok(Step::BurstEnd);
                }
                Phase::Done => return Ok(Step::End),
            }
        }
    }

    /// Takes no more packets once the burst at hand is over, and ends every flow as at the end of the input.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }
}
