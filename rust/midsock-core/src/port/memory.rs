//! A port whose packets are in memory: for tests, and for programs that make or receive packets themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{BURST, ChecksumState, LinkType, Packet, Port, PortError, PortStatistics, Received, TIME_LIMIT};
use crate::Nanos;

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was, or is to be, received.
    pub time: Nanos,
    /// The bytes that are there.
    pub bytes: Vec<u8>,
    /// Bytes the frame had on the wire; taken as `bytes.len()` if it is less.
    pub length: u32,
    /// What the frame starts with.
    pub link: LinkType,
    /// What is known of its checksum.
    pub checksum: ChecksumState,
    /// Which interface received it.
    pub interface: u16,
}

impl From<(Nanos, Vec<u8>, LinkType)> for Frame {
    fn from((time, bytes, link): (Nanos, Vec<u8>, LinkType)) -> Self {
        let length = bytes.len() as u32;
        Self { time, bytes, length, link, checksum: ChecksumState::Unknown, interface: 0 }
    }
}

/// The frames that were sent through a [`MemoryPort`], readable while a stack owns the port.
#[derive(Clone, Debug, Default)]
pub struct SentFrames(Arc<Mutex<Vec<Frame>>>);

impl SentFrames {
    /// Takes the frames sent since the last call.
    pub fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many frames wait to be taken.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no frame waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Hands out frames from memory and keeps those sent through it.
#[derive(Debug)]
pub struct MemoryPort {
    memory: Vec<u8>,
    packets: Vec<Packet>,
    next: usize,
    burst: usize,
    sent: SentFrames,
    statistics: PortStatistics,
}

impl MemoryPort {
    /// A port that hands out `frames` in their order; `(time, bytes, link type)` is enough of a frame.
    pub fn new<F: Into<Frame>>(frames: impl IntoIterator<Item = F>) -> Self {
        let mut memory = Vec::new();
        let mut packets = Vec::new();
        for frame in frames {
            let frame: Frame = frame.into();
            let captured = frame.bytes.len() as u32;
            packets.push(Packet {
                time: frame.time.clamp(-TIME_LIMIT, TIME_LIMIT),
                offset: memory.len(),
                captured,
                length: frame.length.max(captured),
                link: frame.link,
                checksum: frame.checksum,
                interface: frame.interface,
            });
            memory.extend_from_slice(&frame.bytes);
        }
        Self {
            memory,
            packets,
            next: 0,
            burst: BURST,
            sent: SentFrames::default(),
            statistics: PortStatistics::default(),
        }
    }

    /// Hands out at most `packets` (1 to [`BURST`]) at a time: results must not depend on how bursts fall.
    #[must_use]
    pub fn with_burst(mut self, packets: usize) -> Self {
        self.burst = packets.clamp(1, BURST);
        self
    }

    /// The frames sent through this port.
    pub fn sent(&self) -> SentFrames {
        self.sent.clone()
    }
}

impl Port for MemoryPort {
    fn receive(&mut self, burst: &mut Vec<Packet>, _wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        let rest = &self.packets[self.next..];
        let packets = &rest[..rest.len().min(self.burst)];
        if packets.is_empty() {
            return Ok(Received::End);
        }
        burst.extend_from_slice(packets);
        self.next += packets.len();
        self.statistics.received += packets.len() as u64;
        self.statistics.received_bytes += packets.iter().map(|p| u64::from(p.length)).sum::<u64>();
        Ok(Received::Packets)
    }

    fn memory(&self) -> &[u8] {
        &self.memory
    }

    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.memory)
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        let frames = burst.iter().map(|packet| Frame {
            time: packet.time,
            bytes: packet.frame(memory).to_vec(),
            length: packet.length,
            link: packet.link,
            checksum: packet.checksum,
            interface: packet.interface,
        });
        self.sent.0.lock().unwrap_or_else(PoisonError::into_inner).extend(frames);
        self.statistics.sent += burst.len() as u64;
        self.statistics.sent_bytes += burst.iter().map(|p| u64::from(p.length)).sum::<u64>();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.next as u64, self.packets.len() as u64))
    }
}
