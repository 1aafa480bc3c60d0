mod edits;
mod model;
mod rewrite;

use std::net::SocketAddr;

use crate::port::{ChecksumState, LinkType};
use crate::wire::{Outcome, Segment, TcpFlags, TcpFrame, decode};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An acknowledgement from 192.0.2.1:40000 to 198.51.100.7:80.
fn v4<'a>() -> TcpFrame<'a> {
    TcpFrame::new(address("192.0.2.1:40000"), address("198.51.100.7:80")).flags(TcpFlags::ACK)
}

/// An acknowledgement from port 40000 of `2001:db8::1` to port 80 of `2001:db8::7`.
fn v6<'a>() -> TcpFrame<'a> {
    TcpFrame::new(address("[2001:db8::1]:40000"), address("[2001:db8::7]:80")).flags(TcpFlags::ACK)
}

/// Decodes an Ethernet frame.
fn decoded(frame: &[u8]) -> (Outcome, Segment) {
    let mut segment = Segment::default();
    let outcome = decode(frame, LinkType::Ethernet, frame.len() as u32, &mut segment);
    (outcome, segment)
}

/// Calls with a frame as a target.
fn with_target<T>(frame: &mut [u8], call: impl FnOnce(&mut super::rewrite::Target<'_>) -> T) -> T {
    let (outcome, segment) = decoded(frame);
    let (link, checksum) = (LinkType::Ethernet, ChecksumState::Unknown);
    call(&mut super::rewrite::Target { frame, link, outcome, segment: &segment, checksum })
}
