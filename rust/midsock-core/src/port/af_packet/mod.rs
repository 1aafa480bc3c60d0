//! Network interfaces by Linux's packet sockets (packet(7)): the live port that works wherever root does.

mod blocks;
mod frames;
mod header;
mod offload;
mod open;
mod send;
#[cfg(test)]
mod tests;
mod transmit;

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use self::blocks::Blocks;
use self::frames::Frames;
pub use self::open::Use;
use self::send::Sender;
use super::sys::packet::PacketSocket;
use super::sys::poll;
use super::{Packet, Port, PortError, PortStatistics, Received};

/// A network interface, by a packet socket.
///
/// Its name is `af_packet:` and the interface's name, and these options, if wanted, behind a `?` and joined by `&`:
///
/// | option | means | if not given |
/// |---|---|---|
/// | `ring=64M` | bytes of the receive ring, 64K to 2G | 32M to watch, 8M to bridge |
/// | `fanout=7` | ports of one group (0 to 65535) share an interface's packets, each flow's going to one of them | all go to this port |
/// | `promisc=0` | takes only what is addressed to this machine | takes all |
/// | `outgoing=1` | takes also what this machine itself sends by the interface | 1 to watch, 0 to bridge |
/// | `tpacket=3` | how packets are handed over: 2 each at once, 3 in blocks, which costs less and takes up to 8 ms | 3 to watch, 2 to bridge |
/// | `offloads=keep` | passes its packets on by a port of another kind although offloads are on | that is refused |
///
/// A port that was opened to watch joins the fragments of IPv4 packets if it is one of a fanout group, so that they
/// reach their flow. One that bridges does not: what passes through has to stay as it is.
///
/// Frames are as the kernel has them. With offloads on they are up to 64 KiB long, and the checksums of those that
/// another interface of the same machine sent are [`Partial`](super::ChecksumState::Partial); forwarded to another such
/// port, they keep what the kernel knows of them, and it cuts and completes them where that is needed.
///
/// While the interface is down the port is silent, for up to two seconds: changing an interface often takes it down for
/// a moment. After that, and when the interface is removed, it ends with an error.
pub struct AfPacket {
    name: String,
    interface: String,
    socket: PacketSocket,
    ring: Ring,
    sender: Sender,
    statistics: PortStatistics,
    /// What the kernel has counted so far; it forgets what it tells.
    dropped_by_kernel: Cell<u64>,
    /// Calls of `receive` since the last that got packets.
    silent: u32,
    bursts: u32,
    down: Option<Instant>,
}

/// How packets are handed over.
enum Ring {
    Frames(Box<Frames>),
    Blocks(Box<Blocks>),
}

/// How long an interface may be down.
const DOWN: Duration = Duration::from_secs(2);
/// After so many bursts the kernel's counters are read, before they can overflow.
const BURSTS: u32 = 1 << 16;

impl AfPacket {
    /// What such a port's name starts with.
    pub const PREFIX: &str = "af_packet:";

    fn fill(&mut self, burst: &mut Vec<Packet>) -> bool {
        self.statistics.dropped += match &mut self.ring {
            Ring::Frames(frames) => frames.fill(&self.socket, burst),
            Ring::Blocks(blocks) => blocks.fill(burst),
        };
        !burst.is_empty()
    }

    fn release(&mut self) {
        match &mut self.ring {
            Ring::Frames(frames) => frames.release(),
            Ring::Blocks(blocks) => blocks.release(),
        }
    }

    fn error(&self, kind: ErrorKind, reason: String) -> PortError {
        PortError::Live { name: self.name.clone(), kind, reason }
    }

    fn io(&self, source: io::Error) -> PortError {
        PortError::Io { name: self.name.clone(), source }
    }

    /// No packet has come: looks whether the interface is still there and up.
    fn look(&mut self) -> Result<(), PortError> {
        let pending = self.socket.take_error().map_err(|error| self.io(error))?;
        match pending {
            None if self.down.is_none() => return Ok(()),
            None => {}
            Some(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Some(error) => return Err(self.io(error)),
        }
        let interface = &self.interface;
        if self.socket.bound().map_err(|error| self.io(error))?.is_none() {
            return Err(self.error(ErrorKind::NotFound, format!("the interface {interface} was removed")));
        }
        if super::Interface::named(interface).is_ok_and(|interface| interface.is_up) {
            self.down = None;
            return Ok(());
        }
        let down = *self.down.get_or_insert_with(Instant::now);
        if down.elapsed() < DOWN {
            return Ok(());
        }
        Err(self.error(
            ErrorKind::NetworkDown,
            format!("the interface {interface} went down; switch it on with: ip link set {interface} up"),
        ))
    }

    fn count_drops(&self) {
        if let Ok((_, drops)) = self.socket.statistics() {
            self.dropped_by_kernel.set(self.dropped_by_kernel.get() + u64::from(drops));
        }
    }
}

impl Port for AfPacket {
    fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        self.release();
        if !self.fill(burst) {
            self.silent = self.silent.wrapping_add(1);
            if !wait.is_zero() && self.down.is_none() {
                poll::readable(&[self.socket.as_fd()], wait).map_err(|error| self.io(error))?;
                self.release();
                self.fill(burst);
            }
            if burst.is_empty() {
                // A caller that does not let this port wait asks often, and a socket in error ends every wait of its own.
                if !wait.is_zero() || self.silent.is_multiple_of(16) {
                    self.look()?;
                    if self.down.is_some() && !wait.is_zero() {
                        // An interface that is down is waited for in vain.
                        std::thread::sleep(wait.min(Duration::from_millis(10)));
                    }
                }
                return Ok(Received::Nothing);
            }
        }
        self.silent = 0;
        self.down = None;
        self.bursts += 1;
        if self.bursts == BURSTS {
            self.bursts = 0;
            self.count_drops();
        }
        self.statistics.received += burst.len() as u64;
        self.statistics.received_bytes += burst.iter().map(|packet| u64::from(packet.length)).sum::<u64>();
        Ok(Received::Packets)
    }

    fn memory(&self) -> &[u8] {
        match &self.ring {
            Ring::Frames(frames) => frames.mapping().bytes(),
            Ring::Blocks(blocks) => blocks.mapping().bytes(),
        }
    }

    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        Some(match &mut self.ring {
            Ring::Frames(frames) => frames.mapping_mut().bytes_mut(),
            Ring::Blocks(blocks) => blocks.mapping_mut().bytes_mut(),
        })
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> Result<(), PortError> {
        let AfPacket { sender, socket, statistics, .. } = self;
        sender.send(socket, memory, burst, statistics).map_err(|error| self.send_error(error))
    }

    fn forward(&mut self, from: &mut dyn Port, burst: &[Packet], places: &[u16]) -> Result<(), PortError> {
        let port: &mut dyn std::any::Any = from;
        let AfPacket { sender, socket, statistics, .. } = self;
        let sent = match port.downcast_mut::<AfPacket>() {
            Some(from) if from.sender.has_offload() && sender.has_offload() => {
                let packets = places.iter().filter_map(|place| burst.get(usize::from(*place)));
                match from.memory_mut() {
                    Some(memory) => sender.pass_on(socket, memory, packets, statistics),
                    None => Ok(()),
                }
            }
            _ => {
                for places in places.chunk_by(|place, next| place.wrapping_add(1) == *next) {
                    let first = usize::from(places[0]);
                    self.send(from.memory(), &burst[first..first + places.len()])?;
                }
                return Ok(());
            }
        };
        sent.map_err(|error| self.send_error(error))
    }

    fn flush(&mut self) -> Result<(), PortError> {
        // Every call of `send` hands over what it was given.
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        self.count_drops();
        PortStatistics { dropped_by_kernel: self.dropped_by_kernel.get(), ..self.statistics }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl AfPacket {
    fn send_error(&self, error: io::Error) -> PortError {
        let interface = &self.interface;
        match error.raw_os_error() {
            Some(libc::ENXIO | libc::ENODEV) => {
                self.error(ErrorKind::NotFound, format!("the interface {interface} was removed"))
            }
            _ if error.kind() == ErrorKind::Unsupported => self.error(
                ErrorKind::Unsupported,
                format!(
                    "nothing can be sent by {interface}: only its kernel knows what its frames look like"
                ),
            ),
            _ => self.io(error),
        }
    }
}
