//! The stateful middlebox stack.

pub mod port;
pub mod scope;
pub mod wire;

/// Nanoseconds since the Unix epoch: the time a packet was received. The core never reads a clock.
pub type Nanos = i64;
