//! From a capture file to a port.

use std::thread;
use std::time::{Duration, Instant};

use crate::Nanos;
use crate::port::{self, BURST, LinkType, Packet, Port, PortError, Received};

/// When packets are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// With the gaps they were recorded with, divided by `speed` (more than 0).
    Original {
        /// How many times as fast; 1 is as recorded.
        speed: f64,
    },
    /// So many packets a second (more than 0), evenly.
    Rate(f64),
    /// As fast as the port takes them.
    FlatOut,
}

/// Counters of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStatistics {
    /// How often the file was sent in full.
    pub rounds: u64,
    /// Packets that were sent.
    pub sent: u64,
    /// Bytes of those packets.
    pub sent_bytes: u64,
    /// Packets that the port had no room for, or that are too long for it.
    pub send_failures: u64,
    /// Packets that are no Ethernet frames, and thus were not sent.
    pub skipped: u64,
    /// Packets that were recorded shorter than they were, and sent so.
    pub cut_short: u64,
}

/// A replay under way.
pub struct Replay {
    /// What to open again for another round.
    name: String,
    source: Box<dyn Port>,
    sink: Box<dyn Port>,
    pace: Pace,
    /// Rounds still to begin; none for ever.
    rounds: Option<u64>,
    burst: Vec<Packet>,
    /// The first packet of the burst that was not sent yet.
    next: usize,
    /// When the first packet of the round was sent, and its own time.
    origin: Option<(Instant, Nanos)>,
    /// Packets of the round that were sent or passed over.
    done: u64,
    statistics: ReplayStatistics,
}

impl Replay {
    /// Opens the capture file `name` to send it through `sink` as often as `rounds` says, or for ever if it is none.
    ///
    /// # Errors
    ///
    /// Those of [`port::open`].
    pub fn open(
        name: &str,
        sink: Box<dyn Port>,
        pace: Pace,
        rounds: Option<u64>,
    ) -> Result<Replay, PortError> {
        Ok(Replay {
            name: name.to_owned(),
            source: port::open(name)?,
            sink,
            pace,
            rounds: rounds.map(|rounds| rounds.saturating_sub(1)),
            burst: Vec::with_capacity(BURST),
            next: 0,
            origin: None,
            done: 0,
            statistics: ReplayStatistics::default(),
        })
    }

    /// Sends for about `time`; returns whether there is more to do.
    ///
    /// What is late, because the port had no room for a while or the caller took its time, is sent at once: neither the
    /// rate nor the timing of the whole suffers.
    ///
    /// # Errors
    ///
    /// Those of the file and the port.
    pub fn advance(&mut self, time: Duration) -> Result<bool, PortError> {
        let start = Instant::now();
        loop {
            if self.next == self.burst.len() && !self.fill()? {
                self.sink.flush()?;
                return Ok(false);
            }
            let now = Instant::now();
            let due = self.due(now);
            let left = time.saturating_sub(now - start);
            if due > self.next {
                self.sink.send(self.source.memory(), &self.burst[self.next..due])?;
                self.sink.flush()?;
                self.done += (due - self.next) as u64;
                self.next = due;
            } else if let Some(packet) = self.burst.get(self.next) {
                let wait = self.deadline(packet, self.done).saturating_duration_since(now);
                thread::sleep(wait.min(left));
            }
            if left.is_zero() {
                return Ok(true);
            }
        }
    }

    /// Reads on; returns whether there is anything to send.
    fn fill(&mut self) -> Result<bool, PortError> {
        self.next = 0;
        loop {
            match self.source.receive(&mut self.burst, Duration::ZERO)? {
                Received::Packets => break,
                Received::Nothing => {}
                Received::End => {
                    self.statistics.rounds += 1;
                    // A file with nothing to send would be read for ever.
                    if self.rounds == Some(0) || self.origin.is_none() {
                        return Ok(false);
                    }
                    self.rounds = self.rounds.map(|rounds| rounds - 1);
                    self.source = port::open(&self.name)?;
                    (self.origin, self.done) = (None, 0);
                }
            }
        }
        let before = self.burst.len();
        self.burst.retain(|packet| packet.link == LinkType::Ethernet);
        self.statistics.skipped += (before - self.burst.len()) as u64;
        for packet in &mut self.burst {
            self.statistics.cut_short += u64::from(packet.captured < packet.length);
            packet.length = packet.captured;
        }
        if let (None, Some(first)) = (self.origin, self.burst.first()) {
            self.origin = Some((Instant::now(), first.time));
        }
        Ok(true)
    }

    /// One beyond the last packet of the burst that is to be sent now.
    fn due(&self, now: Instant) -> usize {
        if self.pace == Pace::FlatOut {
            return self.burst.len();
        }
        let waiting = self.burst[self.next..].iter().zip(self.done..);
        self.next + waiting.take_while(|(packet, number)| self.deadline(packet, *number) <= now).count()
    }

    /// When a packet, the round's `number`th, is to be sent.
    fn deadline(&self, packet: &Packet, number: u64) -> Instant {
        let Some((start, first)) = self.origin else { return Instant::now() };
        let seconds = match self.pace {
            // Ports hand out times that are close enough together for their difference.
            Pace::Original { speed } => (packet.time - first).max(0) as f64 / 1e9 / speed,
            Pace::Rate(rate) => number as f64 / rate,
            Pace::FlatOut => 0.0,
        };
        let after = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        // A time that the clock cannot say is never reached.
        start.checked_add(after).unwrap_or(start + Duration::from_secs(u32::MAX.into()))
    }

    /// Counters so far.
    pub fn statistics(&self) -> ReplayStatistics {
        let sink = self.sink.statistics();
        ReplayStatistics {
            sent: sink.sent,
            sent_bytes: sink.sent_bytes,
            send_failures: sink.send_failures,
            ..self.statistics
        }
    }

    /// How much of the file was sent in this round, and its whole, in one unit; none if that is not known.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.source.progress()
    }

    /// Something about the file that its user should know, such as a record cut short.
    pub fn warning(&self) -> Option<&str> {
        self.source.warning()
    }
}
