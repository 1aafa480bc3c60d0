//! Where packets come from and go to.
//!
//! A port hands out packets in *bursts*: up to [`BURST`] [`Packet`] records that say where in the port's own memory each
//! frame lies. Nothing is copied on the way to the stack: a capture file's frames stay in its read buffer, a ring's
//! frames in the ring.

pub mod file;
mod link;
mod memory;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::link::LinkType;
pub use self::memory::{Frame, MemoryPort, SentFrames};
use crate::Nanos;

/// The most packets one burst holds.
pub const BURST: usize = 256;

/// The latest time, and negated the earliest, that a port hands out: the years 2116 and 1823.
///
/// Any difference of two such times fits [`Nanos`], and so does such a time plus any time-out. A capture can claim
/// other times; they become the nearest of these.
pub const TIME_LIMIT: Nanos = (1 << 62) - 1;

/// What the port knows of a frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumState {
    /// Nothing: the stack's checksum policy decides.
    #[default]
    Unknown,
    /// The hardware or kernel verified it.
    Verified,
    /// Left to be filled in by the sending hardware (offload); it cannot be verified.
    Partial,
}

/// One packet of a burst.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// When it was received, within [`TIME_LIMIT`] of the epoch.
    pub time: Nanos,
    /// Where its frame starts in [`Port::memory`].
    pub offset: usize,
    /// Bytes of the frame that are there.
    pub captured: u32,
    /// Bytes the frame had on the wire; at least `captured`.
    pub length: u32,
    /// What the frame starts with.
    pub link: LinkType,
    /// What the port knows of its checksum.
    pub checksum: ChecksumState,
    /// Which of the port's interfaces received it (a pcapng interface, a ring).
    pub interface: u16,
}

impl Packet {
    /// The packet's frame, in the memory of the port that received it.
    ///
    /// # Panics
    ///
    /// If `memory` is not the memory that the packet lies in.
    #[inline]
    pub fn frame<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        &memory[self.offset..][..self.captured as usize]
    }
}

/// How [`Port::receive`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The burst holds at least one packet.
    Packets,
    /// No packet came within the wait.
    Nothing,
    /// No packet will ever come again.
    End,
}

/// Counters of a port since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatistics {
    /// Packets handed to the stack.
    pub received: u64,
    /// Bytes of those packets on the wire.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent: u64,
    /// Records that could not be read and were passed over.
    pub malformed: u64,
}

/// A source and sink of packets.
pub trait Port: Send {
    /// Clears `burst` and fills it with the next packets, waiting at most `wait` for the first one.
    ///
    /// The frames of the previous burst are gone after this call.
    ///
    /// [`Received::End`] is final. A wait that a signal interrupted ends early with [`Received::Nothing`], so that the
    /// caller can act on the signal.
    fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError>;

    /// The memory that [`Packet::offset`] counts in, for the current burst.
    fn memory(&self) -> &[u8];

    /// Sends frames that lie in `memory` (this port's or another's).
    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError>;

    /// Hands everything sent so far to the system.
    fn flush(&mut self) -> Result<(), PortError>;

    /// Counters since the port was opened.
    fn statistics(&self) -> PortStatistics;

    /// How far a source of known size has been read: the part done and the whole, in one unit (a file's bytes as they
    /// lie on disk, compressed or not).
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// Something about the source that its user should know once it ended, such as a record cut short.
    fn warning(&self) -> Option<&str> {
        None
    }
}

/// Why a port cannot go on; the message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The operating system refused.
    #[error("{name}: {source}")]
    Io {
        /// The port's name.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The source is not what this port reads.
    #[error("{name}: {reason}")]
    Format {
        /// The port's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Opens the port called `name` to receive from it.
///
/// | name | port |
/// |---|---|
/// | `pcap:PATH` | the capture file PATH, even if PATH looks like another port's name |
/// | `-` | a capture on standard input |
/// | anything else | the capture file of that name |
///
/// # Errors
///
/// Those of [`file::open`].
pub fn open(name: &str) -> Result<Box<dyn Port>, PortError> {
    file::open(name.strip_prefix("pcap:").unwrap_or(name))
}
