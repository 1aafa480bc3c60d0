//! Where bursts come from: one port, or two in turn.

use std::time::Duration;

use crate::port::{self, BURST, Packet, Port, PortError, Received};

/// The ports of a stack.
pub(super) struct Ports {
    /// One or two.
    list: Vec<Box<dyn Port>>,
    /// The one that the burst at hand came from.
    at: usize,
    /// The one whose turn is next.
    turn: usize,
    /// Which have come to their end.
    ended: [bool; 2],
    is_live: bool,
    /// What is left of the bursts of two recorded ports.
    recorded: Option<Box<Recorded>>,
}

/// Bursts of two ports that recorded packets: those are taken in the order of their times, since a conversation of
/// which each port has one direction would make no sense otherwise.
struct Recorded {
    bursts: [Vec<Packet>; 2],
    /// How many of each burst have been taken.
    taken: [usize; 2],
}

impl Ports {
    pub(super) fn new(list: Vec<Box<dyn Port>>) -> Ports {
        let is_live = list.iter().any(|port| port.is_live());
        let merges = list.len() == 2 && !is_live;
        let recorded = merges.then(|| {
            let bursts = [(); 2].map(|()| Vec::with_capacity(BURST));
            Box::new(Recorded { bursts, taken: [0; 2] })
        });
        Ports { list, at: 0, turn: 0, ended: [false; 2], is_live, recorded }
    }

    pub(super) fn list(&self) -> &[Box<dyn Port>] {
        &self.list
    }

    pub(super) fn list_mut(&mut self) -> &mut [Box<dyn Port>] {
        &mut self.list
    }

    /// Whether time goes on by the clock when no packet comes.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// The port that the burst at hand came from.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What the packets of the burst at hand lie in.
    #[inline]
    pub(super) fn memory(&self) -> &[u8] {
        self.list[self.at].memory()
    }

    /// The same, to be changed.
    pub(super) fn memory_mut(&mut self) -> Option<&mut [u8]> {
        self.list[self.at].memory_mut()
    }

    /// The next burst, waited for no longer than this.
    pub(super) fn receive(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError> {
        if let [port] = &mut *self.list {
            return port.receive(burst, wait);
        }
        if self.recorded.is_some() {
            return self.receive_recorded(burst, wait);
        }
        match self.take_turns(burst)? {
            Received::Nothing => {}
            received => return Ok(received),
        }
        match self.ended {
            [false, false] => {
                let waiting = port::wait(&self.list, wait);
                waiting.map_err(|source| PortError::Io { name: "waiting for packets".into(), source })?;
                self.take_turns(burst)
            }
            // One that has ended would end the wait at once. Nor is it asked for packets any more, when it would try
            // again what found no room in it.
            ended => {
                let other = usize::from(ended[0]);
                if let Err(error) = self.list[1 - other].flush() {
                    return Err(self.fail(1 - other, error));
                }
                self.receive_from(other, burst, wait)
            }
        }
    }

    /// Asks both ports, without waiting, beginning with the one whose turn it is.
    fn take_turns(&mut self, burst: &mut Vec<Packet>) -> Result<Received, PortError> {
        for _ in 0..2 {
            let port = self.turn;
            self.turn = 1 - port;
            if !self.ended[port] && self.receive_from(port, burst, Duration::ZERO)? == Received::Packets {
                return Ok(Received::Packets);
            }
        }
        Ok(if self.ended == [true; 2] { Received::End } else { Received::Nothing })
    }

    /// Asks one port. The end of one is not the end of both.
    fn receive_from(
        &mut self,
        port: usize,
        burst: &mut Vec<Packet>,
        wait: Duration,
    ) -> Result<Received, PortError> {
        let received = match self.list[port].receive(burst, wait) {
            Ok(received) => received,
            Err(error) => return Err(self.fail(port, error)),
        };
        match received {
            Received::Packets => self.at = port,
            Received::Nothing => {}
            Received::End => {
                self.ended[port] = true;
                if self.ended != [true; 2] {
                    return Ok(Received::Nothing);
                }
            }
        }
        Ok(received)
    }

    /// The next packets of recorded ports: those of one that come before the next one of the other.
    fn receive_recorded(&mut self, burst: &mut Vec<Packet>, wait: Duration) -> Result<Received, PortError> {
        burst.clear();
        let Some(mut recorded) = self.recorded.take() else { return Ok(Received::End) };
        let received = self.merge(&mut recorded, burst, wait);
        self.recorded = Some(recorded);
        received
    }

    fn merge(
        &mut self,
        recorded: &mut Recorded,
        burst: &mut Vec<Packet>,
        wait: Duration,
    ) -> Result<Received, PortError> {
        for port in 0..2 {
            if recorded.taken[port] == recorded.bursts[port].len() && !self.ended[port] {
                recorded.taken[port] = 0;
                let received = self.list[port].receive(&mut recorded.bursts[port], wait);
                match received.map_err(|error| self.fail(port, error))? {
                    Received::Packets => {}
                    // It may still have packets that come before those of the other.
                    Received::Nothing => return Ok(Received::Nothing),
                    Received::End => {
                        recorded.bursts[port].clear();
                        self.ended[port] = true;
                    }
                }
            }
        }
        let [first, second] = [0, 1].map(|port| &recorded.bursts[port][recorded.taken[port]..]);
        let (port, run) = match (first.first(), second.first()) {
            (None, None) => return Ok(Received::End),
            (Some(_), None) => (0, first),
            (None, Some(_)) => (1, second),
            (Some(one), Some(other)) if one.time <= other.time => {
                let later = first.iter().position(|packet| packet.time > other.time);
                (0, &first[..later.unwrap_or(first.len())])
            }
            (Some(one), Some(_)) => {
                let later = second.iter().position(|packet| packet.time >= one.time);
                (1, &second[..later.unwrap_or(second.len())])
            }
        };
        burst.extend_from_slice(run);
        self.at = port;
        recorded.taken[port] += burst.len();
        Ok(Received::Packets)
    }

    /// A port cannot go on: what the other one was given goes out first.
    pub(super) fn fail(&mut self, culprit: usize, error: PortError) -> PortError {
        for (place, port) in self.list.iter_mut().enumerate() {
            if place != culprit {
                // Two errors at once: the first one is told.
                let _ = port.flush();
            }
        }
        error
    }
}
