//! Frames that are made from the headers of others.

use crate::inline::rewrite::{Area, Delta, Layout, Target};
use crate::port::{ChecksumState, LinkType};
use crate::tcp::Seq;
use crate::wire::checksum::{checksum, fold, sum};
use crate::wire::{self, Outcome, Segment, TcpFlags, options};

/// Made frames, in their order.
#[derive(Debug, Default)]
pub struct Made {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Made {
    /// The frames.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The smallest Ethernet frame, without its check sequence.
const SMALLEST: usize = 60;

/// The time to live of frames that are made from turned headers (RFC 1700).
const TTL: u8 = 64;

/// The largest IP packet.
const LARGEST: usize = 65_535;

/// The headers that frames are made from.
pub(super) struct Source<'f> {
    frame: &'f [u8],
    segment: &'f Segment,
    layout: Layout,
    /// The frame is whole, and its checksum, right or wrong, is carried over.
    carries: bool,
    /// Bytes that a frame is filled up to.
    least: usize,
}

/// What a made frame has of its own.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    pub(super) seq: Seq,
    pub(super) flags: TcpFlags,
    pub(super) urgent: u16,
    /// Acknowledgment number and window, where they are not the source's.
    pub(super) ack: Option<(Seq, u16)>,
    /// How many frames were made of the same packet before.
    pub(super) step: u16,
}

impl<'f> Source<'f> {
    /// A frame that is at hand, whole.
    pub(super) fn whole(target: &'f Target<'_>, layout: Layout) -> Source<'f> {
        let end = usize::from(target.segment.payload) + target.segment.captured as usize;
        let is_padded = target.link == LinkType::Ethernet && target.frame.len() > end;
        Source {
            frame: target.frame,
            segment: target.segment,
            layout,
            carries: !layout.is_partial(),
            least: if is_padded { SMALLEST } else { 0 },
        }
    }

    /// The most payload that a packet with these headers can have.
    pub(super) fn most(&self) -> usize {
        LARGEST.saturating_sub(usize::from(self.segment.payload.saturating_sub(self.segment.network)))
    }

    /// How many bytes of TCP options the headers have; at most 40.
    pub(super) fn options_length(&self) -> usize {
        usize::from(self.segment.payload - self.segment.transport).saturating_sub(20)
    }

    /// Whether the headers are IPv6's.
    pub(super) fn is_v6(&self) -> bool {
        self.segment.version == 6
    }

    /// The control bits as the frame has them.
    pub(super) fn flags(&self) -> TcpFlags {
        let at = usize::from(self.segment.transport) + 12;
        TcpFlags(u16::from_be_bytes([self.frame[at], self.frame[at + 1]]) & 0x0fff)
    }

    /// The urgent position that its pointer says, an original number.
    pub(super) fn urgent(&self) -> Seq {
        Seq(self.segment.seq).plus(self.segment.urgent(self.frame).into())
    }

    /// How far the application moved the frame's number from the segment's.
    pub(super) fn moved(&self) -> u32 {
        let at = usize::from(self.segment.transport) + 4;
        let field =
            self.frame.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_be_bytes(*bytes));
        if self.carries { field.map_or(0, |seq| seq.wrapping_sub(self.segment.seq)) } else { 0 }
    }

    /// Makes a frame with this payload.
    pub(super) fn make(&self, made: &mut Made, parts: Parts, content: &[u8]) {
        let (network, transport) = (usize::from(self.segment.network), usize::from(self.segment.transport));
        let start = made.bytes.len();
        made.bytes.extend_from_slice(&self.frame[..usize::from(self.segment.payload)]);
        made.bytes.extend_from_slice(content);
        let frame = &mut made.bytes[start..];
        let length = frame.len() - network;
        if self.segment.version == 4 {
            let header = network..network + usize::from(frame[network] & 0x0f) * 4;
            let id = u16::from_be_bytes([frame[network + 4], frame[network + 5]]).wrapping_add(parts.step);
            self.layout.put(frame, Area::Ip, network + 2, &(length as u16).to_be_bytes());
            self.layout.put(frame, Area::Ip, network + 4, &id.to_be_bytes());
            if !self.layout.has_header_sum() {
                put16(frame, network + 10, 0);
                let sum = checksum(&frame[header]);
                put16(frame, network + 10, sum);
            }
        } else {
            put16(frame, network + 4, (length - 40) as u16);
        }
        frame[transport + 4..transport + 8].copy_from_slice(&parts.seq.0.to_be_bytes());
        if let Some((ack, window)) = parts.ack {
            frame[transport + 8..transport + 12].copy_from_slice(&ack.0.to_be_bytes());
            put16(frame, transport + 14, window);
        }
        let offset = u16::from_be_bytes([frame[transport + 12], frame[transport + 13]]) & 0xf000;
        put16(frame, transport + 12, offset | parts.flags.bits());
        put16(frame, transport + 18, parts.urgent);
        let field = self.sum(frame);
        put16(frame, transport + 16, field);
        if frame.len() < self.least {
            made.bytes.resize(start + self.least, 0);
        }
        made.ends.push(made.bytes.len());
    }

    /// The TCP checksum of a made frame: as wrong as the source's was, if that was.
    fn sum(&self, frame: &mut [u8]) -> u16 {
        let transport = usize::from(self.segment.transport);
        let length = (frame.len() - transport) as u32;
        if self.carries {
            let end = usize::from(self.segment.payload) + self.segment.captured as usize;
            let old = &self.frame[transport..end];
            let lengths = Delta::between(&(old.len() as u32).to_be_bytes(), &length.to_be_bytes());
            return Delta::between(old, &frame[transport..])
                .and(lengths)
                .mend(self.segment.checksum(self.frame));
        }
        put16(frame, transport + 16, 0);
        !fold(wire::pseudo_sum(frame, self.segment, length) + sum(&frame[transport..]))
    }
}

fn put16(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A side's latest headers as they left, for frames to be made that no frame at hand is the source of.
pub struct Template {
    frame: Vec<u8>,
    segment: Segment,
    /// One beyond the highest number that left.
    next: Seq,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template(next {})", self.next)
    }
}

impl Template {
    /// Keeps the headers of a frame as it leaves, or left; `end` is one beyond its last number. What is particular to
    /// the segment is left out.
    pub(crate) fn keep(kept: &mut Option<Template>, frame: &[u8], segment: &Segment, end: Seq) {
        let Some(headers) = frame.get(..usize::from(segment.payload)) else { return };
        if segment.is_broken() || segment.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
            return;
        }
        let template = kept.get_or_insert_with(|| Template {
            frame: Vec::with_capacity(128),
            segment: Segment::default(),
            next: end,
        });
        template.frame.clear();
        template.frame.extend_from_slice(headers);
        template.segment = Segment { captured: 0, length: 0, ..*segment };
        if end.after(template.next) {
            template.next = end;
        }
        let start = usize::from(segment.transport) + 20;
        let options = &mut template.frame[start..];
        let sack = |options: &[u8]| {
            let is_sack = |(_, option): &(usize, &[u8])| option[0] == options::SACK;
            options::each(options).find(is_sack).map(|(at, option)| at..at + option.len())
        };
        while let Some(option) = sack(options) {
            options[option].fill(options::NOP);
        }
    }

    /// The headers of a frame of the other side, turned round. None if they cannot be: they have more than addresses that
    /// says where they go.
    pub(super) fn turned(target: &Target<'_>, next: Seq, ack: Seq, window: u16) -> Option<Template> {
        let segment = *target.segment;
        let (network, transport) = (usize::from(segment.network), usize::from(segment.transport));
        let is_plain = transport - network == if segment.version == 4 { 20 } else { 40 };
        let is_flat = matches!(target.link, LinkType::Ethernet | LinkType::Ip);
        if !is_plain || !is_flat || segment.tunnels > 0 {
            return None;
        }
        let mut kept = None;
        Template::keep(&mut kept, target.frame, &segment, next);
        let mut template = kept?;
        let frame = &mut template.frame;
        if target.link == LinkType::Ethernet {
            frame[..12].rotate_left(6);
        }
        if segment.version == 4 {
            frame[network + 12..network + 20].rotate_left(4);
            (frame[network + 1], frame[network + 8]) = (frame[network + 1] & 0xfc, TTL);
        } else {
            frame[network + 8..network + 40].rotate_left(16);
            (frame[network + 1], frame[network + 7]) = (frame[network + 1] & 0xcf, TTL);
        }
        frame[transport..transport + 4].rotate_left(2);
        frame[transport + 8..transport + 12].copy_from_slice(&ack.0.to_be_bytes());
        put16(frame, transport + 14, window);
        let stamps = options::each(&frame[transport + 20..])
            .find(|(_, option)| option[0] == options::TIMESTAMPS && option.len() == 10)
            .map(|(at, _)| transport + 20 + at + 2);
        if let Some(at) = stamps {
            // What was echoed last is what this side's clock said last, as far as the other side knows.
            frame[at..at + 8].rotate_left(4);
        }
        if segment.version == 4 {
            // To be computed anew.
            put16(frame, network + 10, 0);
        }
        Some(template)
    }

    /// Changes the headers.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Target<'_>)) {
        let (link, outcome, checksum) = (LinkType::Ethernet, Outcome::Tcp, ChecksumState::Partial);
        let (frame, segment) = (&mut self.frame[..], &self.segment);
        change(&mut Target { frame, link, outcome, segment, checksum });
    }

    /// Takes down that numbers up to this one left.
    pub(super) fn pass(&mut self, end: Seq) {
        if end.after(self.next) {
            self.next = end;
        }
    }

    /// The headers that frames are made from.
    pub(super) fn source(&self) -> Option<Source<'_>> {
        let state = ChecksumState::Partial;
        let layout = Layout::of(&self.frame, Outcome::Tcp, &self.segment, state)?;
        Some(Source { frame: &self.frame, segment: &self.segment, layout, carries: false, least: 0 })
    }

    /// Makes an acknowledgement of `ack` from this side's headers, with this window field.
    pub(crate) fn acknowledge(&self, made: &mut Made, ack: Seq, window: u16) {
        if let Some(source) = self.source() {
            let flags = TcpFlags::ACK;
            let parts = Parts { seq: self.next, flags, urgent: 0, ack: Some((ack, window)), step: 1 };
            source.make(made, parts, &[]);
        }
    }

    /// The window field that left last.
    pub(crate) fn window(&self) -> u16 {
        let at = usize::from(self.segment.transport) + 14;
        u16::from_be_bytes([self.frame[at], self.frame[at + 1]])
    }
}
