//! From a port to a capture file.

use std::time::{Duration, Instant};

use crate::port::file::Writer;
use crate::port::{BURST, Packet, Port, PortError, Received};
use crate::scope::{Scope, Tuple};
use crate::wire::{self, Segment};

/// The longest wait for a packet before what was written is handed to the system.
const WAIT: Duration = Duration::from_millis(100);

/// What is captured.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Which packets are kept: `src` and `dst` are the packet's sender and receiver.
    pub filter: Scope,
    /// The most bytes of a frame that are kept; at least 1.
    pub snaplen: u32,
    /// The most packets that are kept.
    pub count: u64,
}

impl Default for CaptureOptions {
    fn default() -> CaptureOptions {
        CaptureOptions { filter: Scope::any(), snaplen: u32::MAX, count: u64::MAX }
    }
}

/// Counters of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStatistics {
    /// Packets that the port handed out.
    pub received: u64,
    /// Bytes of those packets on the wire.
    pub received_bytes: u64,
    /// Packets that were written.
    pub written: u64,
    /// Packets that the kernel or the hardware dropped for want of room.
    pub dropped_by_kernel: u64,
    /// Packets that the port got and could not hand out.
    pub dropped: u64,
}

/// A capture under way.
pub struct Capture {
    port: Box<dyn Port>,
    writer: Writer,
    options: CaptureOptions,
    burst: Vec<Packet>,
    kept: Vec<Packet>,
    segment: Segment,
    written: u64,
    /// Something was written since the writer was flushed.
    is_dirty: bool,
}

impl Capture {
    /// Begins with nothing captured.
    pub fn new(port: Box<dyn Port>, writer: Writer, options: CaptureOptions) -> Capture {
        Capture {
            port,
            writer,
            options,
            burst: Vec::with_capacity(BURST),
            kept: Vec::with_capacity(BURST),
            segment: Segment::default(),
            written: 0,
            is_dirty: false,
        }
    }

    /// Captures for about `time`; returns whether there is more to do: not at the end of the input or of what was asked
    /// for. A signal ends a wait early.
    ///
    /// # Errors
    ///
    /// Those of the port and the writer. What was captured before can still be completed by [`Capture::finish`].
    pub fn advance(&mut self, time: Duration) -> Result<bool, PortError> {
        let start = Instant::now();
        loop {
            if self.written >= self.options.count {
                return Ok(false);
            }
            let rest = time.saturating_sub(start.elapsed());
            match self.port.receive(&mut self.burst, rest.min(WAIT))? {
                Received::Packets => self.keep()?,
                Received::Nothing => {
                    // Whoever reads the file meanwhile is to see what is there.
                    if std::mem::take(&mut self.is_dirty) {
                        self.writer.flush()?;
                    }
                    return Ok(true);
                }
                Received::End => return Ok(false),
            }
            if start.elapsed() >= time {
                return Ok(true);
            }
        }
    }

    /// Writes the packets of the burst that are wanted.
    fn keep(&mut self) -> Result<(), PortError> {
        let memory = self.port.memory();
        let left = usize::try_from(self.options.count - self.written).unwrap_or(usize::MAX);
        let (filter, segment) = (&self.options.filter, &mut self.segment);
        let takes_all = *filter == Scope::any();
        let mut is_wanted = |packet: &Packet| {
            if takes_all {
                return true;
            }
            let frame = packet.frame(memory);
            let outcome = wire::decode(frame, packet.link, packet.length, segment);
            filter.matches(&Tuple::of_packet(frame, segment, outcome))
        };
        self.kept.clear();
        self.kept.extend(self.burst.iter().filter(|packet| is_wanted(packet)).take(left));
        for packet in &mut self.kept {
            packet.captured = packet.captured.min(self.options.snaplen);
        }
        let sent = self.writer.send(memory, &self.kept);
        self.is_dirty |= !self.kept.is_empty();
        self.written = self.writer.statistics().sent;
        sent
    }

    /// Counters so far.
    pub fn statistics(&self) -> CaptureStatistics {
        let port = self.port.statistics();
        CaptureStatistics {
            received: port.received,
            received_bytes: port.received_bytes,
            written: self.written,
            dropped_by_kernel: port.dropped_by_kernel,
            dropped: port.dropped,
        }
    }

    /// The port.
    pub fn port(&self) -> &dyn Port {
        &*self.port
    }

    /// Completes the file.
    ///
    /// # Errors
    ///
    /// [`PortError::Io`] if not everything could be written; the file is then incomplete.
    pub fn finish(self) -> Result<(), PortError> {
        self.writer.finish()
    }
}
