//! Sending: many frames a call, straight from where they lie.
//!
//! Frames of usual length go through a transmit ring, which saves the kernel a tenth to a fifth of its work; longer
//! ones are sent from where they lie. `PACKET_QDISC_BYPASS` is not asked for: it saves nothing on interfaces without a
//! queue, and drops what has still to be cut into segments.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::offload::{self, COMPLETE, LENGTH};
use super::transmit::Transmit;
use crate::port::sys::packet::PacketSocket;
use crate::port::sys::packet_send::{MOST, Outbox, Parts};
use crate::port::sys::poll;
use crate::port::{ChecksumState, LinkType, Packet, PortStatistics};

/// How long a call waits for room, all in all.
const PATIENCE: Duration = Duration::from_millis(5);
/// How long the interface gets to work off its queue before it is asked again.
const PAUSE: Duration = Duration::from_micros(50);

/// The sending half of the port.
pub(super) struct Sender {
    way: Way,
    link: LinkType,
    has_offload: bool,
    /// Bytes of the longest frame that the interface takes in one piece, without tags.
    longest: usize,
    /// Where the frames lie that are to be passed on.
    stretches: Vec<(usize, usize)>,
    /// A frame that has to be changed before it is sent.
    scratch: Vec<u8>,
}

/// Bytes of VLAN tags that a frame may have beyond the longest.
const TAGS: usize = 8;

impl Sender {
    /// Bytes of the one VLAN tag that every interface allows beyond its longest frame.
    pub(super) const TAG: usize = 4;

    pub(super) fn new(
        link: LinkType,
        has_offload: bool,
        longest: usize,
        transmit: Option<Transmit>,
    ) -> Sender {
        Sender {
            way: Way { outbox: Outbox::new(), transmit, room: longest + Sender::TAG + LENGTH },
            link,
            has_offload,
            longest,
            stretches: Vec::with_capacity(MOST),
            scratch: Vec::new(),
        }
    }

    /// Whether frames are sent and received with their offload header.
    pub(super) fn has_offload(&self) -> bool {
        self.has_offload
    }

    /// Sends frames that are not known to have an offload header before them.
    pub(super) fn send(
        &mut self,
        socket: &PacketSocket,
        memory: &[u8],
        mut burst: &[Packet],
        statistics: &mut PortStatistics,
    ) -> io::Result<()> {
        if !self.has_offload {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let patience = &mut Patience::default();
        while let Some(first) = burst.first() {
            let plain = burst.iter().position(|packet| !self.is_plain(packet)).unwrap_or(burst.len());
            if plain > 0 {
                let (packets, rest) = burst.split_at(plain);
                let frame = |at: usize| [&COMPLETE[..], packets[at].frame(memory)];
                self.way.send_all(socket, packets.len(), frame, patience, statistics)?;
                burst = rest;
                continue;
            }
            burst = &burst[1..];
            let header = if first.captured == first.length && first.link == self.link {
                self.scratch.clear();
                self.scratch.extend_from_slice(first.frame(memory));
                offload::prepare(&mut self.scratch, self.link, self.longest)
            } else {
                None
            };
            match header {
                Some(header) => {
                    let frame = |_| [&header[..], &self.scratch[..]];
                    self.way.send_all(socket, 1, frame, patience, statistics)?;
                }
                None => statistics.send_failures += 1,
            }
        }
        Ok(())
    }

    /// Whether a frame can be sent as it is.
    fn is_plain(&self, packet: &Packet) -> bool {
        packet.captured == packet.length
            && packet.link == self.link
            && packet.checksum != ChecksumState::Partial
            && packet.captured as usize <= self.longest + TAGS
    }

    /// Sends frames that another such port received, which have their offload header right before them.
    pub(super) fn pass_on<'p>(
        &mut self,
        socket: &PacketSocket,
        memory: &mut [u8],
        packets: impl Iterator<Item = &'p Packet>,
        statistics: &mut PortStatistics,
    ) -> io::Result<()> {
        self.stretches.clear();
        for packet in packets {
            let (start, length) = (packet.offset, packet.captured as usize);
            let stretch = start.checked_sub(LENGTH).and_then(|from| memory.get_mut(from..start + length));
            let split = stretch.and_then(|stretch| stretch.split_first_chunk_mut::<LENGTH>());
            match split {
                // Part of a frame is not the frame.
                Some((header, frame)) if packet.captured == packet.length && packet.link == self.link => {
                    offload::pass_on(header, frame, packet.checksum == ChecksumState::Partial);
                    self.stretches.push((start - LENGTH, start + length));
                }
                _ => statistics.send_failures += 1,
            }
        }
        let memory = &*memory;
        let stretches = &self.stretches;
        let frame = |at: usize| [&memory[stretches[at].0..stretches[at].1], &[][..]];
        self.way.send_all(socket, stretches.len(), frame, &mut Patience::default(), statistics)
    }
}

/// How frames leave.
struct Way {
    outbox: Outbox,
    transmit: Option<Transmit>,
    /// Bytes of the longest frame that goes through the transmit ring, its offload header included.
    room: usize,
}

impl Way {
    /// Sends frames in their order, and waits for room where there is none.
    fn send_all<'m>(
        &mut self,
        socket: &PacketSocket,
        count: usize,
        frame: impl Fn(usize) -> Parts<'m>,
        patience: &mut Patience,
        statistics: &mut PortStatistics,
    ) -> io::Result<()> {
        let Way { outbox, transmit: Some(ring), room } = self else {
            return directly(&mut self.outbox, socket, 0..count, &frame, patience, statistics);
        };
        let fits = |at: usize| frame(at).iter().map(|part| part.len()).sum::<usize>() <= *room;
        let mut next = 0;
        while next < count {
            let is_short = fits(next);
            let end = (next + 1..count).find(|at| fits(*at) != is_short).unwrap_or(count);
            if is_short {
                by_ring(ring, next..end, &frame, patience, statistics)?;
            } else {
                directly(outbox, socket, next..end, &frame, patience, statistics)?;
            }
            next = end;
        }
        Ok(())
    }
}

/// Sends frames through the ring.
fn by_ring<'m>(
    ring: &mut Transmit,
    frames: Range<usize>,
    frame: &impl Fn(usize) -> Parts<'m>,
    patience: &mut Patience,
    statistics: &mut PortStatistics,
) -> io::Result<()> {
    let mut next = frames.start;
    while next < frames.end {
        let first = next;
        while next < frames.end && ring.put(frame(next)) {
            statistics.sent_bytes += bytes(frame(next));
            next += 1;
        }
        statistics.sent += (next - first) as u64;
        let result = kick(ring, patience);
        if let Err(stopped) = result {
            let back = ring.withdraw();
            statistics.sent = statistics.sent.saturating_sub(back.frames);
            statistics.sent_bytes = statistics.sent_bytes.saturating_sub(back.bytes);
            statistics.send_failures += back.frames;
            if let Some(error) = stopped {
                return Err(error);
            }
        }
        if next == first && next < frames.end {
            // All slots are on their way.
            if patience.rest() == Duration::ZERO {
                statistics.send_failures += (frames.end - next) as u64;
                return Ok(());
            }
            poll::writable(ring.descriptor(), patience.rest())?;
        }
    }
    Ok(())
}

/// Lets the kernel take all that is in the ring. If it does not: none, or why the interface cannot be used any longer.
fn kick(ring: &Transmit, patience: &mut Patience) -> Result<(), Option<io::Error>> {
    loop {
        let result = ring.kick();
        if !ring.is_pending() {
            return Ok(());
        }
        let number = result.as_ref().err().and_then(io::Error::raw_os_error);
        match (number, result) {
            (Some(libc::EINTR), _) => {}
            (Some(libc::ENXIO | libc::ENODEV), Err(error)) => return Err(Some(error)),
            // It takes as much as the socket's buffer allows.
            (None | Some(libc::EAGAIN), _) if patience.rest() > Duration::ZERO => {
                poll::writable(ring.descriptor(), patience.rest()).map_err(Some)?;
            }
            (Some(libc::ENOBUFS), _) if patience.rest() > Duration::ZERO => std::thread::sleep(PAUSE),
            _ => return Err(None),
        }
    }
}

/// Sends frames from where they lie.
fn directly<'m>(
    outbox: &mut Outbox,
    socket: &PacketSocket,
    frames: Range<usize>,
    frame: &impl Fn(usize) -> Parts<'m>,
    patience: &mut Patience,
    statistics: &mut PortStatistics,
) -> io::Result<()> {
    let mut next = frames.start;
    while next < frames.end {
        match outbox.send(socket.as_fd(), (next..frames.end).map(frame)) {
            Ok(sent) => {
                statistics.sent_bytes += (next..next + sent).map(|at| bytes(frame(at))).sum::<u64>();
                statistics.sent += sent as u64;
                next += sent;
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) if patience.rest() > Duration::ZERO => {
                    poll::writable(socket.as_fd(), patience.rest())?;
                }
                Some(libc::ENOBUFS) if patience.rest() > Duration::ZERO => std::thread::sleep(PAUSE),
                Some(libc::ENXIO | libc::ENODEV) => return Err(error),
                // This one frame cannot be sent: no room, too long, the interface is down; `receive` tells of the last.
                _ => {
                    statistics.send_failures += 1;
                    next += 1;
                }
            },
        }
    }
    Ok(())
}

/// Bytes of a frame without its offload header.
fn bytes(parts: Parts<'_>) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum::<u64>().saturating_sub(LENGTH as u64)
}

/// What is left of the time that a call may wait.
#[derive(Default)]
struct Patience(Option<Instant>);

impl Patience {
    fn rest(&mut self) -> Duration {
        PATIENCE.saturating_sub(self.0.get_or_insert_with(Instant::now).elapsed())
    }
}
