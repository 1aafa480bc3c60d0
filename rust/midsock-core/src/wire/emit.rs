//! Building frames: for tests, and for segments that the stack itself sends.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::link::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN};
use super::{TcpFlags, checksum, ip, options};
use crate::port::LinkType;

/// What the TCP checksum field shall hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Good,
    Bad,
    Partial,
}

/// A frame that carries one TCP segment, to be [built](TcpFrame::build).
///
/// What is not set: Ethernet, no VLAN tags, TTL 64, a window of 65,535 and everything else 0 or empty. Ethernet
/// addresses are made of the IP addresses, so that both directions of a flow match.
///
/// ```
/// use midsock_core::wire::{TcpFlags, TcpFrame};
///
/// let client = "192.0.2.1:40000".parse().unwrap();
/// let server = "198.51.100.1:80".parse().unwrap();
/// let syn = TcpFrame::new(client, server).seq(1).flags(TcpFlags::SYN).mss(1460).build();
/// assert_eq!(syn.len(), 14 + 20 + 24);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a frame is only made by `build` or `write`"]
pub struct TcpFrame<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    link: LinkType,
    ethernet: Option<([u8; 6], [u8; 6])>,
    vlan: &'a [u16],
    ttl: u8,
    tos: u8,
    identification: u16,
    ip_options: &'a [u8],
    extensions: &'a [(u8, &'a [u8])],
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    urgent: u16,
    options: [u8; MAX_OPTIONS],
    options_length: usize,
    payload: &'a [u8],
    padding: usize,
    field: Field,
}

/// The most bytes of options that an IPv4 header and a TCP header can hold.
const MAX_OPTIONS: usize = 40;

impl<'a> TcpFrame<'a> {
    /// A segment from `source` to `destination`. If only one of them is IPv4, it goes as an IPv4-mapped IPv6 address.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            link: LinkType::Ethernet,
            ethernet: None,
            vlan: &[],
            ttl: 64,
            tos: 0,
            identification: 0,
            ip_options: &[],
            extensions: &[],
            seq: 0,
            ack: 0,
            flags: TcpFlags::default(),
            window: u16::MAX,
            urgent: 0,
            options: [options::END; MAX_OPTIONS],
            options_length: 0,
            payload: &[],
            padding: 0,
            field: Field::Good,
        }
    }

    /// What the frame starts with; [`LinkType::Other`] counts as [`LinkType::Ip`].
    pub fn link(mut self, link: LinkType) -> Self {
        self.link = link;
        self
    }

    /// The Ethernet addresses.
    pub fn ethernet(mut self, source: [u8; 6], destination: [u8; 6]) -> Self {
        self.ethernet = Some((source, destination));
        self
    }

    /// VLAN tags, outermost first, of 16 bits each (priority, drop eligibility, id): the last is an IEEE 802.1Q tag, those
    /// before it 802.1ad. Link types other than Ethernet and Linux cooked have none.
    pub fn vlan(mut self, tags: &'a [u16]) -> Self {
        self.vlan = tags;
        self
    }

    /// The IPv4 time to live or IPv6 hop limit.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// The IPv4 type of service or IPv6 traffic class.
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// The IPv4 identification.
    pub fn identification(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// Raw IPv4 options, padded with zeros to a multiple of 4; cut to 40 bytes.
    pub fn ip_options(mut self, options: &'a [u8]) -> Self {
        self.ip_options = &options[..options.len().min(MAX_OPTIONS)];
        self
    }

    /// Extension headers between IP and TCP: protocol number and what follows the header's first two bytes (the next
    /// header and the length), padded with zeros to a length that the header can say, at most 255 units.
    pub fn extensions(mut self, extensions: &'a [(u8, &'a [u8])]) -> Self {
        self.extensions = extensions;
        self
    }

    /// The sequence number.
    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    /// The acknowledgment number; does not set ACK.
    pub fn ack(mut self, ack: u32) -> Self {
        self.ack = ack;
        self
    }

    /// The control bits, all twelve.
    pub fn flags(mut self, flags: TcpFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The window field.
    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// The urgent pointer; does not set URG.
    pub fn urgent(mut self, urgent: u16) -> Self {
        self.urgent = urgent;
        self
    }

    /// Adds raw options as they are. Options beyond 40 bytes in all are left out; the end is padded with zeros.
    pub fn options(mut self, bytes: &[u8]) -> Self {
        for (place, byte) in self.options.iter_mut().skip(self.options_length).zip(bytes) {
            *place = *byte;
        }
        self.options_length = (self.options_length + bytes.len()).min(MAX_OPTIONS);
        self
    }

    /// Adds an option so that its value is aligned as other stacks align it: `phase` is the place of the option's first
    /// byte within 4 bytes.
    fn aligned(mut self, phase: usize, option: &[u8]) -> Self {
        while self.options_length % 4 != phase && self.options_length < MAX_OPTIONS {
            self = self.options(&[options::NOP]);
        }
        self.options(option)
    }

    /// Adds the maximum segment size option.
    pub fn mss(self, mss: u16) -> Self {
        let [high, low] = mss.to_be_bytes();
        self.aligned(0, &[options::MSS, 4, high, low])
    }

    /// Adds the window scale option.
    pub fn window_scale(self, shift: u8) -> Self {
        self.aligned(1, &[options::WINDOW_SCALE, 3, shift])
    }

    /// Adds the SACK-permitted option.
    pub fn sack_permitted(self) -> Self {
        self.options(&[options::SACK_PERMITTED, 2])
    }

    /// Adds the timestamps option.
    pub fn timestamps(self, value: u32, echo: u32) -> Self {
        let this = self.aligned(2, &[options::TIMESTAMPS, 10]);
        this.options(&value.to_be_bytes()).options(&echo.to_be_bytes())
    }

    /// Adds a SACK option of these blocks (left edge, right edge), at most four.
    pub fn sack(self, blocks: &[(u32, u32)]) -> Self {
        let blocks = &blocks[..blocks.len().min(4)];
        let this = self.aligned(2, &[options::SACK, 2 + 8 * blocks.len() as u8]);
        blocks
            .iter()
            .fold(this, |this, (left, right)| this.options(&left.to_be_bytes()).options(&right.to_be_bytes()))
    }

    /// The payload. If the packet gets longer than an IP length can say, that is 0, as segmentation offload leaves it.
    pub fn payload(mut self, payload: &'a [u8]) -> Self {
        self.payload = payload;
        self
    }

    /// Adds this many zeros after the packet, as Ethernet does to reach 60 bytes.
    pub fn padding(mut self, length: usize) -> Self {
        self.padding = length;
        self
    }

    /// Makes the TCP checksum wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.field = Field::Bad;
        self
    }

    /// Leaves just the sum of the pseudo-header in the TCP checksum field, as checksum offload does.
    pub fn partial_checksum(mut self) -> Self {
        self.field = Field::Partial;
        self
    }

    /// Makes the frame.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(128 + self.payload.len());
        self.write(&mut frame);
        frame
    }

    /// Makes the frame at the end of `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (source, destination) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.write_link(out, ETHERTYPE_IPV4, &source.octets(), &destination.octets());
                return self.write_ipv4(out, source.octets(), destination.octets());
            }
            (source, destination) => (to_v6(source).octets(), to_v6(destination).octets()),
        };
        self.write_link(out, ETHERTYPE_IPV6, &source, &destination);
        self.write_ipv6(out, source, destination);
    }

    fn write_link(&self, out: &mut Vec<u8>, ethertype: u16, source: &[u8], destination: &[u8]) {
        let first = match self.vlan.len() {
            0 => ethertype,
            1 => ETHERTYPE_VLAN,
            _ => ETHERTYPE_QINQ,
        };
        match self.link {
            LinkType::Ethernet => {
                let (from, to) = self.ethernet.unwrap_or((hardware(source), hardware(destination)));
                out.extend(to);
                out.extend(from);
                out.extend(first.to_be_bytes());
            }
            LinkType::LinuxSll => {
                // To this machine, Ethernet, an address of six bytes.
                out.extend([0, 0, 0, 1, 0, 6]);
                out.extend(hardware(source));
                out.extend([0, 0]);
                out.extend(first.to_be_bytes());
            }
            LinkType::LinuxSll2 => {
                out.extend(first.to_be_bytes());
                // Reserved; interface 1; Ethernet; to this machine; an address of six bytes.
                out.extend([0, 0, 0, 0, 0, 1, 0, 1, 0, 6]);
                out.extend(hardware(source));
                out.extend([0, 0]);
            }
            LinkType::Loopback => {
                let family: u32 = if ethertype == ETHERTYPE_IPV4 { 2 } else { 30 };
                return out.extend(family.to_le_bytes());
            }
            LinkType::Ppp => {
                let protocol = if ethertype == ETHERTYPE_IPV4 { 0x21 } else { 0x57 };
                return out.extend([0xff, 0x03, 0x00, protocol]);
            }
            LinkType::CiscoHdlc => {
                out.extend([0x0f, 0]);
                out.extend(first.to_be_bytes());
            }
            LinkType::Fddi => {
                let (from, to) = self.ethernet.unwrap_or((hardware(source), hardware(destination)));
                out.push(0x50);
                out.extend(to);
                out.extend(from);
                out.extend([0xaa, 0xaa, 0x03, 0, 0, 0]);
                out.extend(first.to_be_bytes());
            }
            LinkType::Ip | LinkType::Other(_) => return,
        }
        for (index, tag) in self.vlan.iter().enumerate() {
            let next = match self.vlan.len() - index {
                1 => ethertype,
                2 => ETHERTYPE_VLAN,
                _ => ETHERTYPE_QINQ,
            };
            out.extend(tag.to_be_bytes());
            out.extend(next.to_be_bytes());
        }
    }

    fn write_ipv4(&self, out: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4]) {
        let network = out.len();
        let header_length = 20 + self.ip_options.len().next_multiple_of(4);
        out.extend([0x40 | (header_length / 4) as u8, self.tos, 0, 0]);
        out.extend(self.identification.to_be_bytes());
        // No fragments, please; the checksum comes later.
        out.extend([0x40, 0, self.ttl, self.first_protocol(), 0, 0]);
        out.extend(source);
        out.extend(destination);
        out.extend(self.ip_options);
        out.resize(network + header_length, 0);
        self.write_extensions(out);
        self.write_tcp(out, &source, &destination);
        let total = u16::try_from(out.len() - network).unwrap_or(0);
        set(out, network + 2, total);
        let sum = checksum::checksum(&out[network..network + header_length]);
        set(out, network + 10, sum);
        out.resize(out.len() + self.padding, 0);
    }

    fn write_ipv6(&self, out: &mut Vec<u8>, source: [u8; 16], destination: [u8; 16]) {
        let network = out.len();
        out.extend([0x60 | self.tos >> 4, self.tos << 4, 0, 0, 0, 0, self.first_protocol(), self.ttl]);
        out.extend(source);
        out.extend(destination);
        self.write_extensions(out);
        self.write_tcp(out, &source, &destination);
        let length = u16::try_from(out.len() - network - 40).unwrap_or(0);
        set(out, network + 4, length);
        out.resize(out.len() + self.padding, 0);
    }

    fn first_protocol(&self) -> u8 {
        self.extensions.first().map_or(ip::TCP, |(number, _)| *number)
    }

    fn write_extensions(&self, out: &mut Vec<u8>) {
        for (index, (number, body)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(index + 1).map_or(ip::TCP, |(number, _)| *number);
            let (length, field) = match *number {
                ip::FRAGMENT => (8, 0),
                ip::AUTHENTICATION => {
                    let units = (body.len() + 2).div_ceil(4).clamp(2, 255);
                    (units * 4, units - 2)
                }
                _ => {
                    let units = (body.len() + 2).div_ceil(8).min(256);
                    (units * 8, units - 1)
                }
            };
            let start = out.len();
            out.extend([next, field as u8]);
            out.extend(*body);
            out.resize(start + length, 0);
        }
    }

    fn write_tcp(&self, out: &mut Vec<u8>, source: &[u8], destination: &[u8]) {
        let transport = out.len();
        let options = &self.options[..self.options_length.next_multiple_of(4)];
        let offset = ((20 + options.len()) / 4) as u16;
        out.extend(self.source.port().to_be_bytes());
        out.extend(self.destination.port().to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend((offset << 12 | self.flags.bits() & 0x0fff).to_be_bytes());
        out.extend(self.window.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(options);
        out.extend(self.payload);
        let segment = &out[transport..];
        let pseudo = checksum::pseudo_header(source, destination, segment.len() as u32);
        let good = !checksum::fold(pseudo + checksum::sum(segment));
        let field = match self.field {
            Field::Good => good,
            Field::Bad => good ^ 0x5555,
            Field::Partial => checksum::fold(pseudo),
        };
        set(out, transport + 16, field);
    }
}

/// Sets a field of 16 bits that was written before.
fn set(out: &mut [u8], at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A locally administered Ethernet address that ends like the IP address.
fn hardware(address: &[u8]) -> [u8; 6] {
    let mut made = [2, 0, 0, 0, 0, 0];
    for (place, byte) in made[2..].iter_mut().rev().zip(address.iter().rev()) {
        *place = *byte;
    }
    made
}
