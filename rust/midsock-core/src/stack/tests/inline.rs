//! A stack between two ports.

mod failure;
mod fragments;
mod live;
mod modify;
mod pass;
mod reset;
mod rows;
mod verdict;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::talk::Talk;
use super::*;
use crate::config::FailurePolicy;
use crate::flow::EndReason;
use crate::port::{LinkType, PortError, PortStatistics, Received, SentFrames};

/// What came out of the ports: out of port 0, where the client is, and out of port 1.
type Out = [Vec<Frame>; 2];

/// Frames by the port that they come to: the client's to port 0, the server's to port 1.
fn split(talk: &Talk) -> [Vec<Frame>; 2] {
    let mut ports = [Vec::new(), Vec::new()];
    for frame in &talk.frames {
        let segment = segment(&frame.bytes);
        let is_client = segment.source_port(&frame.bytes) != talk.ends[1].port();
        ports[usize::from(!is_client)].push(frame.clone());
    }
    ports
}

fn segment(frame: &[u8]) -> Segment {
    let mut segment = Segment::default();
    let outcome = wire::decode(frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
    assert_eq!(outcome, Outcome::Tcp);
    segment
}

fn bytes(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &frame.bytes[..]).collect()
}

/// A stack between two memories, and what comes out of them.
fn between(frames: &[Vec<Frame>; 2], burst: usize, config: Config) -> (Stack<u32>, [SentFrames; 2]) {
    let ports = [0, 1].map(|port| MemoryPort::new(frames[port].iter().cloned()).with_burst(burst));
    let sent = [ports[0].sent(), ports[1].sent()];
    let stack = Stack::inline(ports.map(|port| Box::new(port) as Box<dyn Port>), config).unwrap();
    (stack, sent)
}

/// What a test watches, and what it does then.
struct Inline<'a> {
    config: Config,
    wishes: &'a [Registration],
    act: Act<'a>,
}

impl Default for Inline<'_> {
    fn default() -> Self {
        Inline {
            config: Config { seed: Some(1), records: true, ..Config::default() },
            wishes: &[],
            act: &|_, _, _| {},
        }
    }
}

/// What became of the packets.
#[derive(Debug, PartialEq)]
struct Passed {
    lines: Vec<String>,
    out: Out,
    statistics: InlineStatistics,
    records: Vec<(Option<EndReason>, u64)>,
}

impl Inline<'_> {
    /// Runs the packets in bursts of several sizes: what becomes of them must not depend on that.
    fn run(&self, talk: &Talk) -> Passed {
        self.run_split(&split(talk))
    }

    fn run_split(&self, frames: &[Vec<Frame>; 2]) -> Passed {
        let mut all = [256, 1, 2, 7].map(|burst| {
            let (mut stack, sent) = between(frames, burst, self.config.clone());
            let monitor = stack.open(MonitorKind::Stream, Scope::any(), StreamSettings::default());
            for wish in self.wishes {
                stack.register(monitor, *wish).unwrap();
            }
            let mut log = Log { lines: Vec::new(), act: self.act };
            stack.run(&mut log).unwrap();
            assert_eq!(stack.statistics().reassembly, 0);
            assert_eq!(stack.flow_statistics().open, 0);
            let record =
                |record: FlowRecord| (record.reason, record.sides.iter().map(|side| side.packets).sum());
            let records = stack.take_records().into_iter().map(record).collect();
            let statistics = stack.inline_statistics();
            Passed { lines: log.lines, out: sent.map(|sent| sent.take()), statistics, records }
        });
        for other in &all[1..] {
            assert_eq!(all[0], *other);
        }
        let [first, ..] = &mut all;
        let nothing = Passed {
            lines: vec![],
            out: Out::default(),
            statistics: InlineStatistics::default(),
            records: vec![],
        };
        std::mem::replace(first, nothing)
    }
}

/// The payload of the packet at hand.
fn payload_at_hand(stack: &Stack<u32>) -> Vec<u8> {
    segment(stack.frame()).payload(stack.frame()).to_vec()
}

/// Calls handler 0 at `POST_TCP`.
fn on(kind: Kind) -> Registration {
    wish(kind, Hook::PostTcp, 0)
}

/// Frames that a test hands over while the stack runs, and what it sent.
#[derive(Clone, Default)]
struct Wire {
    frames: Arc<Mutex<VecDeque<Frame>>>,
    out: Arc<Mutex<Vec<Frame>>>,
}

impl Wire {
    fn push(&self, frames: impl IntoIterator<Item = Frame>) {
        self.frames.lock().unwrap().extend(frames);
    }

    fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut *self.out.lock().unwrap())
    }

    fn port(&self) -> Box<dyn Port> {
        Box::new(LivePort { wire: self.clone(), memory: Vec::new() })
    }
}

/// A live port without descriptor whose wire is a test.
struct LivePort {
    wire: Wire,
    memory: Vec<u8>,
}

impl Port for LivePort {
    fn receive(
        &mut self,
        burst: &mut Vec<Packet>,
        wait: Duration,
    ) -> std::result::Result<Received, PortError> {
        burst.clear();
        self.memory.clear();
        let mut frames = self.wire.frames.lock().unwrap();
        while let Some(frame) = frames.pop_front() {
            let offset = self.memory.len();
            self.memory.extend_from_slice(&frame.bytes);
            let captured = frame.bytes.len() as u32;
            burst.push(Packet {
                time: frame.time,
                offset,
                captured,
                length: captured,
                link: frame.link,
                checksum: frame.checksum,
                interface: 0,
            });
        }
        if burst.is_empty() {
            std::thread::sleep(wait);
            return Ok(Received::Nothing);
        }
        Ok(Received::Packets)
    }

    fn memory(&self) -> &[u8] {
        &self.memory
    }

    fn memory_mut(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.memory)
    }

    fn send(&mut self, memory: &[u8], burst: &[Packet]) -> std::result::Result<(), PortError> {
        let frames =
            burst.iter().map(|packet| Frame::from((packet.time, packet.frame(memory).to_vec(), packet.link)));
        self.wire.out.lock().unwrap().extend(frames);
        Ok(())
    }

    fn flush(&mut self) -> std::result::Result<(), PortError> {
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        PortStatistics::default()
    }

    fn is_live(&self) -> bool {
        true
    }
}
