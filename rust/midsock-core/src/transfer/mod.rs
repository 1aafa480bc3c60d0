//! Packets from a port to a file, and from a file to a port, in the time that they take.
//!
//! Both work for a stretch of time at a call, so that their caller can look at signals and show counters in between.

mod capture;
mod replay;
#[cfg(test)]
mod tests;

pub use self::capture::{Capture, CaptureOptions, CaptureStatistics};
pub use self::replay::{Pace, Replay, ReplayStatistics};
