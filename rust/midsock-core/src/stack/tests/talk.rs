//! The packets of a conversation.

use std::net::SocketAddr;

use crate::port::{Frame, LinkType};
use crate::wire::{TcpFlags, TcpFrame};
use crate::{Nanos, Side};

pub(super) const SYN: TcpFlags = TcpFlags::SYN;
pub(super) const ACK: TcpFlags = TcpFlags::ACK;
pub(super) const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
pub(super) const RST: TcpFlags = TcpFlags::RST;
pub(super) const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);
pub(super) const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);

/// What else a frame gets.
pub(super) type Build = fn(TcpFrame<'_>) -> TcpFrame<'_>;

pub(super) fn bad_checksum(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    frame.bad_checksum()
}

pub(super) fn partial_checksum(frame: TcpFrame<'_>) -> TcpFrame<'_> {
    frame.partial_checksum()
}

/// Packets, and where the conversation at hand is.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) frames: Vec<Frame>,
    /// The time of the next packet.
    pub(super) now: Nanos,
    pub(super) ends: [SocketAddr; 2],
    /// The next sequence number of each side.
    pub(super) next: [u32; 2],
    pub(super) window: u16,
    pub(super) vlan: Vec<u16>,
}

/// Time between two packets.
const STEP: Nanos = 1_000_000;

impl Talk {
    /// No packet yet, between `192.0.2.1:4000` and `198.51.100.1:80`.
    pub(super) fn new() -> Talk {
        let ends = ["192.0.2.1:4000".parse().unwrap(), "198.51.100.1:80".parse().unwrap()];
        let now = 1_700_000_000_000_000_000;
        Talk { frames: Vec::new(), now, ends, next: [1000, 5000], window: u16::MAX, vlan: Vec::new() }
    }

    /// A handshake.
    pub(super) fn opened() -> Talk {
        let mut talk = Talk::new();
        talk.open();
        talk
    }

    /// From here on, the client is another port of the same address.
    pub(super) fn port(&mut self, port: u16) -> &mut Talk {
        self.ends[0].set_port(port);
        self.next = [1000, 5000];
        self
    }

    pub(super) fn wait(&mut self, time: Nanos) -> &mut Talk {
        self.now += time;
        self
    }

    /// A packet with everything given.
    pub(super) fn send(
        &mut self,
        side: Side,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        payload: &[u8],
    ) -> &mut Talk {
        self.send_with(side, flags, seq, ack, payload, |frame| frame)
    }

    pub(super) fn send_with(
        &mut self,
        side: Side,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        payload: &[u8],
        build: Build,
    ) -> &mut Talk {
        let frame = TcpFrame::new(self.ends[side.index()], self.ends[side.other().index()])
            .vlan(&self.vlan)
            .window(self.window)
            .seq(seq)
            .ack(ack)
            .flags(flags)
            .payload(payload);
        let bytes = build(frame).build();
        self.frames.push(Frame::from((self.now, bytes, LinkType::Ethernet)));
        self.now += STEP;
        self
    }

    pub(super) fn open(&mut self) -> &mut Talk {
        let [c, s] = self.next;
        self.send(Side::Client, SYN, c, 0, b"");
        self.send(Side::Server, SYN_ACK, s, c.wrapping_add(1), b"");
        self.next = [c.wrapping_add(1), s.wrapping_add(1)];
        self.ack(Side::Client)
    }

    /// The side's next bytes.
    pub(super) fn say(&mut self, side: Side, payload: &[u8]) -> &mut Talk {
        let (seq, ack) = (self.next[side.index()], self.next[side.other().index()]);
        self.send(side, ACK, seq, ack, payload);
        self.skip(side, payload.len() as u32)
    }

    /// Bytes that the capture lacks.
    pub(super) fn skip(&mut self, side: Side, length: u32) -> &mut Talk {
        self.next[side.index()] = self.next[side.index()].wrapping_add(length);
        self
    }

    /// Bytes relative to the side's next ones; nothing moves on.
    pub(super) fn again(&mut self, side: Side, back: i32, payload: &[u8]) -> &mut Talk {
        let (seq, ack) = (self.next[side.index()], self.next[side.other().index()]);
        self.send(side, ACK, seq.wrapping_add_signed(back), ack, payload)
    }

    /// Acknowledges all that the other side said.
    pub(super) fn ack(&mut self, side: Side) -> &mut Talk {
        self.say(side, b"")
    }

    pub(super) fn fin(&mut self, side: Side) -> &mut Talk {
        let (seq, ack) = (self.next[side.index()], self.next[side.other().index()]);
        self.send(side, FIN_ACK, seq, ack, b"").skip(side, 1)
    }

    /// Both sides close, the client first.
    pub(super) fn close(&mut self) -> &mut Talk {
        self.fin(Side::Client).fin(Side::Server).ack(Side::Client)
    }

    pub(super) fn reset(&mut self, side: Side) -> &mut Talk {
        let (seq, ack) = (self.next[side.index()], self.next[side.other().index()]);
        self.send(side, RST_ACK, seq, ack, b"")
    }

    /// The last packet was captured without its last bytes.
    pub(super) fn cut(&mut self, bytes: usize) -> &mut Talk {
        let frame = self.frames.last_mut().unwrap();
        frame.length = frame.bytes.len() as u32;
        frame.bytes.truncate(frame.bytes.len() - bytes);
        self
    }
}
