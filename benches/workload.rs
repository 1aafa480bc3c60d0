//! What the benchmarks work on: web-like connections, made in memory with right checksums.

use std::net::SocketAddr;

use midsock_core::port::{Frame, LinkType};
use midsock_core::wire::{TcpFlags, TcpFrame};
use midsock_core::{Nanos, Side};

/// Bytes of one request.
const REQUEST: usize = 120;

/// Bytes of one segment of a response.
const SEGMENT: usize = 1448;

/// Connections under way at a time.
const TOGETHER: usize = 256;

/// Who sends the segments of one connection, and what.
struct Writer<'w> {
    ends: [SocketAddr; 2],
    next: [u32; 2],
    frames: &'w mut Vec<Vec<u8>>,
}

impl Writer<'_> {
    fn send(&mut self, side: Side, flags: TcpFlags, payload: &[u8]) {
        let (from, to) = (side.index(), side.other().index());
        let ack = if flags.contains(TcpFlags::ACK) { self.next[to] } else { 0 };
        let frame = TcpFrame::new(self.ends[from], self.ends[to])
            .seq(self.next[from])
            .ack(ack)
            .flags(flags)
            .window(u16::MAX)
            .timestamps(1_000, 1_000)
            .payload(payload);
        self.frames.push(frame.build());
        let controls = flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN);
        self.next[from] = self.next[from].wrapping_add(payload.len() as u32 + u32::from(controls));
    }
}

/// The frames of connection `number`: handshake, a request, a response of `segments` full segments with an
/// acknowledgement after every second one, and both FINs.
pub fn connection(number: u32, segments: usize) -> Vec<Vec<u8>> {
    let bytes = [b'x'; SEGMENT];
    let [_, a, b, c] = number.to_be_bytes();
    let ends = [SocketAddr::from(([10, a, b, c], 40_000)), SocketAddr::from(([192, 0, 2, 1], 80))];
    let mut frames = Vec::new();
    let mut writer = Writer { ends, next: [number.wrapping_mul(7919), number], frames: &mut frames };
    let (ack, push) = (TcpFlags::ACK, TcpFlags::ACK | TcpFlags::PSH);
    writer.send(Side::Client, TcpFlags::SYN, &[]);
    writer.send(Side::Server, TcpFlags::SYN | ack, &[]);
    writer.send(Side::Client, ack, &[]);
    writer.send(Side::Client, push, &bytes[..REQUEST]);
    writer.send(Side::Server, ack, &[]);
    for segment in 0..segments {
        writer.send(Side::Server, ack, &bytes);
        if segment % 2 == 1 {
            writer.send(Side::Client, ack, &[]);
        }
    }
    writer.send(Side::Server, TcpFlags::FIN | ack, &[]);
    writer.send(Side::Client, TcpFlags::FIN | ack, &[]);
    writer.send(Side::Server, ack, &[]);
    frames
}

/// `count` such connections, interleaved packet by packet, a microsecond apart.
pub fn connections(count: u32, segments: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    let numbers: Vec<u32> = (0..count).collect();
    for together in numbers.chunks(TOGETHER) {
        let mut waiting: Vec<_> =
            together.iter().map(|number| connection(*number, segments).into_iter()).collect();
        while !waiting.is_empty() {
            waiting.retain_mut(|rest| {
                let Some(bytes) = rest.next() else { return false };
                let time: Nanos = frames.len() as Nanos * 1_000;
                frames.push(Frame::from((time, bytes, LinkType::Ethernet)));
                true
            });
        }
    }
    frames
}
