//! The stateful middlebox stack: packets in, events of TCP flows out.
//!
//! This is the path of a packet, and the map of this crate:
//!
//! 1. [`port`] hands out a burst of packets, each with its time and its place in the port's memory.
//! 2. [`wire`] finds the layers in one pass: a TCP segment, or why there is none.
//! 3. [`flow`] finds the segment's flow by its exact tuple. The segment of a flow not yet known opens one if a
//!    monitoring socket's [`scope`] takes it.
//! 4. [`tcp`] judges the segment by both ends as they are; then the sender moves; then the receiver does.
//! 5. [`reassembly`] puts the sender's bytes in order.
//! 6. [`event`] decides by masks whether anybody wants to know, counts, collects rows, and queues upcalls.
//!
//! [`Stack`] calls all of these, in this order. It never calls the application: [`Stack::step`] returns when the
//! application is needed.

pub mod config;
pub mod event;
pub mod flow;
pub mod port;
pub mod reassembly;
pub mod scope;
mod side;
mod stack;
pub mod tcp;
pub mod wire;

pub use config::{ChecksumPolicy, Config, FullPolicy, Timeouts};
pub use side::Side;
pub use stack::{Application, Call, Count, NoFlow, Stack, Statistics, Step, TimerHandle, Upcall};

/// Nanoseconds since the Unix epoch: the time a packet was received. The core never reads a clock.
pub type Nanos = i64;
