//! Where packets come from and go to.
//!
//! A port hands out packets in *bursts*: up to [`BURST`] [`Packet`] records that say where in the port's own memory each
//! frame lies. Nothing is copied on the way to the stack: a capture file's frames stay in its read buffer, a ring's
//! frames in the ring.

#[cfg(target_os = "linux")]
mod af_packet;
#[cfg(target_os = "linux")]
pub mod af_xdp;
pub mod file;
#[cfg(target_os = "linux")]
mod interface;
mod link;
mod memory;
mod name;
#[cfg(target_os = "linux")]
mod netmap;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
pub mod survey;
#[cfg(target_os = "linux")]
pub(crate) mod sys;
#[cfg(test)]
mod tests;
mod wait;

use std::any::Any;
use std::os::fd::BorrowedFd;
use std::time::Duration;

#[cfg(target_os = "linux")]
pub use self::af_packet::{AfPacket, Use};
#[cfg(target_os = "linux")]
pub use self::interface::{Interface, Offloads};
pub use self::link::LinkType;
pub use self::memory::{Frame, MemoryPort, SentFrames};
pub use self::name::{open, open_pair};
pub use self::wait::{now, wait};
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
    /// Packets that the kernel or the hardware dropped before the port got them, for want of room.
    pub dropped_by_kernel: u64,
    /// Packets that the port got and could not hand out.
    pub dropped: u64,
    /// Packets sent.
    pub sent: u64,
    /// Bytes of those packets.
    pub sent_bytes: u64,
    /// Packets that were to be sent and were not: no room for too long, or too long for the port.
    pub send_failures: u64,
    /// Records that could not be read and were passed over.
    pub malformed: u64,
}

/// A source and sink of packets.
///
/// A live port never blocks longer than it is told to, so that timers and signals are looked at.
pub trait Port: Send + Any {
    /// Clears `burst` and fills it with the next packets, waiting at most `wait` for the first one.
    ///
    /// The frames of the previous burst are gone after this call. With a wait of zero it never blocks.
    ///
    /// [`Received::End`] is final. A wait that a signal interrupted ends early with [`Received::Nothing`], so that the
    /// caller can act on the signal.
    fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError>;

    /// The memory that [`Packet::offset`] counts in, for the current burst.
    fn memory(&self) -> &[u8];

    /// The same memory, for packets of the current burst to be changed in place; none if the port is only read.
    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    /// Sends frames that lie in `memory`, in their order, copying them.
    ///
    /// A live port waits for room for at most some milliseconds a call; what it has no room for even then is counted as
    /// [`PortStatistics::send_failures`]. The frames may be on their way only after [`Port::flush`].
    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError>;

    /// Sends the packets at `places` of `burst`, the current burst of the port `from`, in their order.
    ///
    /// Ports that share memory hand the frames over without a copy; `from` gets other buffers in their place, and the
    /// frames are gone. Everything else is as with [`Port::send`].
    fn forward(&mut self, from: &mut dyn Port, burst: &[Packet], places: &[u16]) -> Result<(), PortError> {
        for packets in places.chunk_by(|place, next| place + 1 == *next) {
            let first = usize::from(packets[0]);
            self.send(from.memory(), &burst[first..first + packets.len()])?;
        }
        Ok(())
    }

    /// Whether frames can be sent through it at all.
    fn can_send(&self) -> bool {
        true
    }

    /// Hands everything sent so far to the system.
    fn flush(&mut self) -> Result<(), PortError>;

    /// Counters since the port was opened.
    fn statistics(&self) -> PortStatistics;

    /// What [`wait`] polls for packets to receive; none if the port never has to be waited for.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether its packets come as they are on the wire, with the clock's time; else they were recorded.
    fn is_live(&self) -> bool {
        false
    }

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
    /// A live port cannot be opened, or went away.
    #[error("{name}: {reason}")]
    Live {
        /// The port's name.
        name: String,
        /// What kind of failure it is.
        kind: std::io::ErrorKind,
        /// What is wrong, and what to do about it.
        reason: String,
    },
}
