//! The stateful middlebox stack: packets in, events of TCP flows out.
//!
//! This is the path of a packet, and the map of this crate:
//!
//! 1. [`port`] hands out a burst of packets, each with its time and its place in the port's memory.
//! 2. [`wire`] finds the layers in one pass: a TCP segment, or why there is none. Of IP fragments, [`defrag`] makes the
//!    datagram, which goes on in place of the last one to come.
//! 3. [`flow`] finds the segment's flow by its exact tuple. The segment of a flow not yet known opens one if a
//!    monitoring socket's [`scope`] takes it.
//! 4. [`tcp`] judges the segment by both ends as they are; then the sender moves; then the receiver does.
//! 5. [`reassembly`] puts the sender's bytes in order.
//! 6. [`event`] decides by masks whether anybody wants to know, counts, collects rows, and queues upcalls.
//! 7. Inline, packets go out of the other port at the end of their burst, unless a [`Verdict`] has it otherwise.
//!
//! [`Stack`] calls all of these, in this order. It never calls the application: [`Stack::step`] returns when the
//! application is needed.
//!
//! Beside the stack, [`transfer`] moves packets between files and ports, and [`rights`] gives up those of root.

mod anomaly;
pub mod config;
pub mod defrag;
pub mod event;
pub mod flow;
pub mod inline;
pub mod port;
pub mod reassembly;
#[cfg(target_os = "linux")]
pub mod rights;
pub mod scope;
mod side;
mod stack;
pub mod tcp;
pub mod transfer;
pub mod wire;

pub use anomaly::{Anomalies, Anomaly, AnomalyCounts, Severity};
pub use config::{
    ChecksumPolicy, Config, Emergency, FailurePolicy, FullPolicy, Hosts, NetworkError, Timeouts, VlanPolicy,
};
pub use side::Side;
pub use stack::{
    Application, Call, Count, InlineError, InlineStatistics, ModifyError, NoFlow, Stack, Statistics, Step,
    TimerHandle, Upcall, Verdict,
};

/// Nanoseconds since the Unix epoch: the time a packet was received. The core never reads a clock.
pub type Nanos = i64;
