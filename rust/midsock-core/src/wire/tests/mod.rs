mod checksum;
mod emit;
mod ip;
mod link;
mod options;
mod robust;
mod tcp;
mod tunnel;

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{Malformed, Outcome, Segment, TcpFlags, TcpFrame, decode};
use crate::port::LinkType;

const LINKS: [LinkType; 8] = [
    LinkType::Ethernet,
    LinkType::Ip,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Loopback,
    LinkType::Ppp,
    LinkType::CiscoHdlc,
    LinkType::Fddi,
];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A frame from 192.0.2.1:40000 to 198.51.100.7:80.
fn v4<'a>() -> TcpFrame<'a> {
    TcpFrame::new(address("192.0.2.1:40000"), address("198.51.100.7:80")).flags(TcpFlags::ACK)
}

/// A frame from port 40000 of `2001:db8::1` to port 80 of `2001:db8::7`.
fn v6<'a>() -> TcpFrame<'a> {
    TcpFrame::new(address("[2001:db8::1]:40000"), address("[2001:db8::7]:80")).flags(TcpFlags::ACK)
}

/// Decodes a frame that was captured whole.
fn decoded(frame: &[u8], link: LinkType) -> (Outcome, Segment) {
    let mut segment = Segment::default();
    let outcome = decode(frame, link, frame.len() as u32, &mut segment);
    (outcome, segment)
}

/// Decodes an Ethernet frame that was captured whole and holds TCP.
fn tcp_of(frame: &[u8]) -> Segment {
    let (outcome, segment) = decoded(frame, LinkType::Ethernet);
    assert_eq!(outcome, Outcome::Tcp);
    segment
}

fn outcome_of(frame: &[u8]) -> Outcome {
    decoded(frame, LinkType::Ethernet).0
}

fn malformed(condition: Malformed) -> Outcome {
    Outcome::Malformed(condition)
}

/// Everything a frame is built of.
#[derive(Clone, Debug)]
struct Recipe {
    v6: bool,
    link: LinkType,
    vlan: Vec<u16>,
    ip_options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    options: Vec<u8>,
    payload: Vec<u8>,
    padding: usize,
    seq: u32,
    ack: u32,
    window: u16,
    flags: u16,
}

impl Recipe {
    fn build(&self) -> Vec<u8> {
        let extensions: Vec<_> = self.extensions.iter().map(|(number, body)| (*number, &body[..])).collect();
        if self.v6 { v6().extensions(&extensions) } else { v4().ip_options(&self.ip_options) }
            .link(self.link)
            .vlan(&self.vlan)
            .options(&self.options)
            .payload(&self.payload)
            .padding(self.padding)
            .seq(self.seq)
            .ack(self.ack)
            .window(self.window)
            .flags(TcpFlags(self.flags))
            .build()
    }

    fn has_vlan(&self) -> bool {
        !matches!(self.link, LinkType::Ip | LinkType::Loopback | LinkType::Ppp)
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..=most)
}

/// Bytes that are neither a source route nor a home address, which would change what the TCP checksum covers.
fn plain_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..0x80_u8, 0..=most)
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let extension =
        (prop_oneof![Just(0_u8), Just(60), Just(135), Just(139), Just(140), Just(51)], plain_bytes(20));
    let network = (
        any::<bool>(),
        proptest::sample::select(&LINKS[..]),
        proptest::collection::vec(any::<u16>(), 0..4),
        plain_bytes(40),
        proptest::collection::vec(extension, 0..3),
    );
    let transport = (bytes(40), bytes(99), 0..20_usize);
    let fields = (any::<u32>(), any::<u32>(), any::<u16>(), 0..0x1000_u16);
    (network, transport, fields).prop_map(|(network, transport, fields)| Recipe {
        v6: network.0,
        link: network.1,
        vlan: network.2,
        ip_options: network.3,
        extensions: network.4,
        options: transport.0,
        payload: transport.1,
        padding: transport.2,
        seq: fields.0,
        ack: fields.1,
        window: fields.2,
        flags: fields.3,
    })
}
