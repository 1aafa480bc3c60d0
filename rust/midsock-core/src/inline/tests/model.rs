//! Conversations at random over a bad network, with edits at random, between simple models of both ends.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::inline::edit::{Leaving, Made, Template};
use crate::inline::rewrite::Target;
use crate::inline::{Edits, Replaced};
use crate::tcp::Seq;
use crate::wire::{checksum, options};

const MSS: usize = 200;
const OPTIONS: usize = 12;
/// The receive buffer.
const ROOM: usize = 3000;
const STEP: i64 = 10_000_000;
const RTO: i64 = 300_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        n > 0 && self.below(n) == 0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| b'A' + self.below(26) as u8).collect()
    }
}

/// A network that loses, repeats and reorders.
struct Wire {
    frames: VecDeque<Vec<u8>>,
    badness: usize,
}

impl Wire {
    fn send(&mut self, random: &mut Random, frame: &[u8]) {
        if random.one_in(self.badness) {
            return;
        }
        self.frames.push_back(frame.to_vec());
        if random.one_in(self.badness) {
            self.frames.push_back(frame.to_vec());
        }
        if random.one_in(self.badness) {
            let at = random.below(self.frames.len());
            let last = self.frames.pop_back().unwrap();
            self.frames.insert(at, last);
        }
    }
}

/// A TCP sender with selective retransmission, whose segments are never cut up alike twice.
struct Sender {
    data: Vec<u8>,
    isn: u32,
    una: usize,
    next: usize,
    edge: usize,
    sacked: Vec<(usize, usize)>,
    duplicates: usize,
    last_progress: i64,
}

impl Sender {
    fn segment(&self, at: usize, length: usize, now: i64) -> Vec<u8> {
        let end = (at + length).min(self.data.len());
        let has_fin = at + length > self.data.len();
        let mut flags = TcpFlags::ACK;
        if has_fin {
            flags |= TcpFlags::FIN;
        }
        if end == self.data.len() {
            flags |= TcpFlags::PSH;
        }
        v4().seq(self.isn.wrapping_add(at as u32))
            .ack(77)
            .flags(flags)
            .timestamps((now / STEP) as u32, 9)
            .payload(&self.data[at.min(end)..end])
            .build()
    }

    /// A FIN counts as one more byte.
    fn whole(&self) -> usize {
        self.data.len() + 1
    }

    fn send(&mut self, random: &mut Random, now: i64, wire: &mut Wire) {
        while self.next < self.whole().min(self.edge) && wire.frames.len() < 12 {
            let most = (self.edge - self.next).min(MSS - OPTIONS);
            let length = if random.one_in(2) { most } else { 1 + random.below(most) };
            let length = length.min(self.whole() - self.next);
            wire.send(random, &self.segment(self.next, length, now));
            self.next += length;
        }
        if now - self.last_progress > RTO {
            self.last_progress = now;
            if self.una < self.next {
                self.resend(random, now, wire, self.una);
            } else if self.una < self.whole() {
                // A window probe.
                wire.send(random, &self.segment(self.una, 1, now));
                self.next = self.next.max(self.una + 1);
            }
        }
        if self.una == self.next && self.una > 1 && self.una < self.whole() && random.one_in(20) {
            // A keep-alive with a byte that means nothing.
            let garbage = v4().seq(self.isn.wrapping_add(self.next as u32 - 1)).ack(77).timestamps(1, 9);
            let byte = [b'#'];
            let frame = if random.one_in(2) { garbage.payload(&byte) } else { garbage }.build();
            wire.send(random, &frame);
        }
    }

    fn resend(&self, random: &mut Random, now: i64, wire: &mut Wire, at: usize) {
        let most = (self.next - at).min(MSS - OPTIONS);
        let length = 1 + random.below(most);
        wire.send(random, &self.segment(at, length, now));
    }

    fn receive(&mut self, random: &mut Random, now: i64, frame: &[u8], wire: &mut Wire) {
        let (_, segment) = decoded(frame);
        let offset = |seq: u32| seq.wrapping_sub(self.isn) as i32 as usize;
        let ack = offset(segment.ack);
        assert!(ack as isize >= 0 && ack <= self.next, "acknowledges {ack} of {}", self.next);
        let blocks = options::parse(segment.options(frame));
        for (left, right) in blocks.sack_blocks() {
            let (left, right) = (offset(*left), offset(*right));
            assert!(left < right && right <= self.next, "{left}..{right} of {}", self.next);
            if left > self.una {
                self.sacked.push((left, right));
            }
        }
        if ack > self.una {
            (self.una, self.duplicates, self.last_progress) = (ack, 0, now);
            self.sacked.retain(|(_, right)| *right > ack);
        } else if ack == self.una && self.una < self.next {
            self.duplicates += 1;
        }
        if ack >= self.una {
            self.edge = ack + usize::from(segment.window);
        }
        if self.duplicates >= 3 {
            self.duplicates = 0;
            let highest = self.sacked.iter().map(|(_, right)| *right).max().unwrap_or(0);
            let mut at = self.una;
            let mut sent = 0;
            while at < highest.max(self.una + 1).min(self.next) && sent < 3 {
                let block = self.sacked.iter().find(|(left, right)| (*left..*right).contains(&at));
                if let Some((_, right)) = block {
                    at = *right;
                } else {
                    self.resend(random, now, wire, at);
                    at += MSS;
                    sent += 1;
                }
            }
        }
    }
}

/// A TCP receiver with SACK and duplicate SACK.
struct Receiver {
    isn: u32,
    stream: Vec<u8>,
    unread: usize,
    early: Vec<Option<u8>>,
    fin: Option<usize>,
    closed: bool,
}

impl Receiver {
    fn next(&self) -> usize {
        self.stream.len() + usize::from(self.closed)
    }

    /// Takes a segment in; returns whether it wants an answer, and what it repeats.
    fn receive(&mut self, frame: &[u8], most: usize) -> (bool, Option<(usize, usize)>) {
        let (outcome, segment) = decoded(frame);
        assert_eq!(outcome, Outcome::Tcp);
        assert!(checksum::are_right(frame, &segment), "a wrong checksum");
        assert!(segment.length as usize <= most, "a segment of {} bytes", segment.length);
        assert_eq!(options::parse(segment.options(frame)).timestamps.unwrap().1, 9);
        let at = segment.seq.wrapping_sub(self.isn) as i32 as isize;
        let (next, payload) = (self.next() as isize, segment.payload(frame));
        let end = at + payload.len() as isize;
        if segment.flags.contains(TcpFlags::FIN) {
            if let Some(fin) = self.fin {
                assert_eq!(fin as isize, end, "a FIN that moved");
            }
            self.fin = Some(end as usize);
        }
        for (i, byte) in payload.iter().enumerate() {
            let place = at + i as isize;
            if place < 0 || place >= next + (ROOM - self.unread) as isize {
                continue;
            }
            let place = place as usize;
            if place < self.stream.len() {
                assert!(self.stream[place] == *byte || *byte == b'#', "repeated differently at {place}");
                continue;
            }
            let index = place - self.stream.len();
            if self.early.len() <= index {
                self.early.resize(index + 1, None);
            }
            assert!(self.early[index].is_none_or(|old| old == *byte), "repeated differently at {place}");
            self.early[index] = Some(*byte);
        }
        let ready = self.early.iter().take_while(|byte| byte.is_some()).count();
        self.stream.extend(self.early.drain(..ready).flatten());
        self.unread += ready;
        self.closed = self.fin == Some(self.stream.len());
        let is_old = at < next;
        let repeats = end.min(next) > at.max(0) && is_old;
        let block = repeats.then(|| (at.max(0) as usize, end.min(next) as usize));
        (is_old || !payload.is_empty() || segment.flags.contains(TcpFlags::FIN), block)
    }

    fn acknowledge(&self, repeated: Option<(usize, usize)>, stamp: u32) -> Vec<u8> {
        let mut blocks: Vec<(usize, usize)> = repeated.into_iter().collect();
        let mut at = 0;
        while at < self.early.len() {
            if self.early[at].is_some() {
                let run = self.early[at..].iter().take_while(|byte| byte.is_some()).count();
                blocks.push((self.stream.len() + at, self.stream.len() + at + run));
                at += run;
            }
            at += 1;
        }
        let number = |at: usize| self.isn.wrapping_add(at as u32);
        let blocks: Vec<_> = blocks.iter().take(3).map(|(l, r)| (number(*l), number(*r))).collect();
        let frame = TcpFrame::new(address("198.51.100.7:80"), address("192.0.2.1:40000"));
        let frame = frame.seq(77).ack(number(self.next())).flags(TcpFlags::ACK).timestamps(stamp, 5);
        let frame = frame.window((ROOM - self.unread) as u16);
        if blocks.is_empty() { frame } else { frame.sack(&blocks) }.build()
    }
}

/// What was made of the original stream, in order.
struct Expected {
    edits: Vec<(usize, usize, Vec<u8>)>,
}

impl Expected {
    fn of(mut self, data: &[u8]) -> Vec<u8> {
        // The sort is stable: insertions stay in their order, and before a replacement at the same place.
        self.edits.sort_by_key(|(start, removed, _)| (*start, *removed > 0));
        let (mut stream, mut at) = (Vec::new(), 0);
        for (start, removed, with) in &self.edits {
            stream.extend(&data[at..*start]);
            stream.extend(with);
            at = start + removed;
        }
        stream.extend(&data[at..]);
        stream
    }
}

struct Case {
    seed: u64,
    length: usize,
    badness: usize,
    eagerness: usize,
    in_order: bool,
    answers: bool,
    knows_scale: bool,
}

#[allow(clippy::too_many_lines)] // one conversation, from beginning to end
fn converse(case: &Case) {
    let mut random = Random(case.seed);
    let isn = if random.one_in(2) { u32::MAX - 700 } else { random.next() as u32 };
    let data: Vec<u8> = (0..case.length).map(|i| b'a' + (i % 26) as u8).collect();
    let mut sender = Sender {
        data,
        isn,
        una: 0,
        next: 0,
        edge: ROOM,
        sacked: Vec::new(),
        duplicates: 0,
        last_progress: 0,
    };
    let early = Vec::new();
    let mut receiver = Receiver { isn, stream: Vec::new(), unread: 0, early, fin: None, closed: false };
    let wire = |badness| Wire { frames: VecDeque::new(), badness };
    let mut wires = [(); 4].map(|()| wire(case.badness));
    let mut edits = Edits::new(Seq(isn), Some(30_000_000));
    edits.keep_order(case.in_order);
    let mut expected = Expected { edits: Vec::new() };
    let (mut made, mut content, mut template) = (Made::default(), Vec::new(), None);
    let mut now = 0;
    for step in 0.. {
        now += STEP;
        assert!(
            step < 20_000,
            "stalls: {} of {} are acknowledged, the receiver has {}, unread {}, edits {edits:?}",
            sender.una,
            sender.whole(),
            receiver.next(),
            receiver.unread,
        );
        if sender.una == sender.whole() && receiver.closed {
            break;
        }
        let [to_box, to_receiver, back, to_sender] = &mut wires;
        sender.send(&mut random, now, to_box);
        for _ in 0..random.below(6) {
            let Some(mut frame) = to_box.frames.pop_front() else { break };
            let (_, segment) = decoded(&frame);
            let at = segment.seq.wrapping_sub(isn) as i32;
            let is_garbage = segment.payload(&frame) == b"#";
            if !is_garbage && at >= 0 && segment.length > 0 {
                for _ in 0..2 {
                    if random.one_in(case.eagerness) {
                        let length = segment.length as usize;
                        let (from, to) = (random.below(length + 1), random.below(length + 1));
                        let (from, to) =
                            if random.one_in(4) { (0, length) } else { (from.min(to), from.max(to)) };
                        let with = if random.one_in(3) {
                            Vec::new()
                        } else {
                            let n = random.below(500);
                            random.bytes(n)
                        };
                        let start = Seq(segment.seq).plus(from as u32);
                        let whole = (Seq(segment.seq), Seq(segment.seq).plus(segment.length));
                        let result = edits.replace(whole, start, (to - from) as u32, &with);
                        let overlaps = |edit: &(usize, usize, Vec<u8>)| {
                            let (start, end) = (edit.0, edit.0 + edit.1);
                            let (from, to) = (at as usize + from, at as usize + to);
                            start < to && from < end || start == end && from < start && start < to
                        };
                        if result == Ok(Replaced::Done) && (from < to || !with.is_empty()) {
                            expected.edits.retain(|edit| !overlaps(edit));
                            expected.edits.push((at as usize + from, to - from, with));
                        }
                    }
                }
            }
            let can_answer = case.answers && template.is_some();
            let leaving = Leaving { mss: MSS as u16, accepted: true, can_answer, now };
            let left =
                with_target(&mut frame, |target| edits.leave(target, leaving, &mut content, &mut made));
            if !left.is_replaced {
                to_receiver.send(&mut random, &frame);
            }
            for frame in made.frames() {
                to_receiver.send(&mut random, frame);
            }
            made.clear();
            if let Some(answer) = left.answer {
                edits.answer(answer, Some(0), template.as_ref().unwrap(), &mut made);
                for frame in made.frames() {
                    assert!(checksum::are_right(frame, &decoded(frame).1));
                    to_sender.send(&mut random, frame);
                }
                made.clear();
            }
        }
        if case.eagerness > 0
            && random.one_in(100)
            && edits.template().is_some()
            && edits.held() < ROOM
            && sender.una < sender.data.len()
        {
            let length = 1 + random.below(700);
            let with = random.bytes(length);
            let at = edits.sent().0.wrapping_sub(isn) as usize;
            if edits.insert(edits.sent(), &with) == Ok(()) {
                expected.edits.push((at, 0, with));
                if random.one_in(2) {
                    edits.send_inserted(MSS as u16, now, &mut made);
                }
            }
        }
        if edits.due().is_some_and(|due| due <= now) {
            edits.resend(MSS as u16, now, &mut made);
        }
        for frame in made.frames() {
            to_receiver.send(&mut random, frame);
        }
        made.clear();
        for _ in 0..random.below(6) {
            let Some(frame) = to_receiver.frames.pop_front() else { break };
            let (answers, repeated) = receiver.receive(&frame, MSS - OPTIONS);
            if answers {
                back.send(&mut random, &receiver.acknowledge(repeated, step));
            }
        }
        if random.one_in(3) && receiver.unread > 0 {
            let was_small = ROOM - receiver.unread < MSS;
            receiver.unread -= random.below(receiver.unread) + 1;
            if was_small {
                back.send(&mut random, &receiver.acknowledge(None, step));
            }
        }
        for _ in 0..random.below(6) {
            let Some(mut frame) = back.frames.pop_front() else { break };
            let shift = case.knows_scale.then_some(0);
            with_target(&mut frame, |target: &mut Target<'_>| edits.arrive(target, shift));
            edits.accept(now);
            let (_, segment) = decoded(&frame);
            assert!(checksum::are_right(&frame, &segment), "a wrong checksum");
            Template::keep(&mut template, &frame, &segment, Seq(77));
            to_sender.send(&mut random, &frame);
        }
        for _ in 0..random.below(6) {
            let Some(frame) = to_sender.frames.pop_front() else { break };
            sender.receive(&mut random, now, &frame, to_box);
        }
    }
    let wanted = expected.of(&sender.data);
    assert!(receiver.stream == wanted, "{} bytes instead of {}", receiver.stream.len(), wanted.len());
    edits.accept(now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_receiver_gets_the_edited_stream(
        seed in any::<u64>(),
        length in 0..12_000_usize,
        badness in prop_oneof![Just(0_usize), 4..60_usize],
        eagerness in prop_oneof![Just(1_usize), 1..12_usize, Just(0)],
        flags in any::<[bool; 3]>(),
    ) {
        let [in_order, answers, knows_scale] = flags;
        converse(&Case { seed, length, badness, eagerness, in_order, answers, knows_scale });
    }
}
