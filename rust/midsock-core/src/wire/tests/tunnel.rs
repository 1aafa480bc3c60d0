use super::super::Decoder;
use super::robust::check;
use super::*;

const ETHERNET: LinkType = LinkType::Ethernet;

/// An Ethernet frame that holds `body` as this type.
fn ethernet(number: u16, body: &[u8]) -> Vec<u8> {
    [&[2; 12], &number.to_be_bytes()[..], body].concat()
}

/// An Ethernet frame with an IPv4 packet from 10.0.0.`from` to 10.0.0.`to`.
fn ipv4(protocol: u8, from: u8, to: u8, body: &[u8]) -> Vec<u8> {
    let length = (20 + body.len() as u16).to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 9, protocol, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    ethernet(0x0800, &[&header, body].concat())
}

/// The same with IPv6.
fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    let header = [&[0x60, 0, 0, 0, length[0], length[1], next, 9][..], &[3; 16], &[4; 16]].concat();
    ethernet(0x86dd, &[&header, body].concat())
}

fn udp(port: u16, from: u8, to: u8, body: &[u8]) -> Vec<u8> {
    let (port, length) = (port.to_be_bytes(), (8 + body.len() as u16).to_be_bytes());
    let header = [0x80, from, port[0], port[1], length[0], length[1], 0, 0];
    ipv4(17, from, to, &[&header, body].concat())
}

fn inner(link: LinkType) -> Vec<u8> {
    v4().link(link).payload(b"hello").build()
}

/// UDP over IPv4 from one port to another.
fn udp_between(ports: [u16; 2], from: u8, to: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = udp(ports[1], from, to, body);
    frame[34..36].copy_from_slice(&ports[0].to_be_bytes());
    frame
}

/// An IPv6 packet of a Teredo client.
fn teredo_packet(from: &str, to: &str) -> Vec<u8> {
    let ends = [from, to].map(|end| std::net::SocketAddr::new(end.parse().unwrap(), 80));
    TcpFrame::new(ends[0], ends[1]).link(LinkType::Ip).payload(b"hello").build()
}

const TEREDO: &str = "2001:0:4136:e378:8000:63bf:3fff:fdd2";
const NATIVE: &str = "2a00:1450::5";

/// Frames through tunnels that are told by their ports alone, or lie in others, with how many tunnels there are.
fn later_frames() -> Vec<(Vec<u8>, u8)> {
    let (packet, frame) = (inner(LinkType::Ip), inner(ETHERNET));
    let packet6 = v6().link(LinkType::Ip).payload(b"hello").build();
    let teredo = teredo_packet(TEREDO, NATIVE);
    let nsh = |next: u8, metadata: &[u8], body: &[u8]| {
        let words = 2 + metadata.len() as u8 / 4;
        [&[0x0f, 0xc0 | words, 2, next, 0, 0, 42, 255], metadata, body].concat()
    };
    let l2tp = [&[0x02, 2, 0, 5, 0, 6, 0, 0, 0xff, 3, 0, 0x21][..], &packet].concat();
    let length = (packet.len() as u16 + 12).to_be_bytes();
    vec![
        (udp_between([50000, 3544], 1, 2, &teredo), 1),
        (udp_between([3544, 50000], 1, 2, &teredo_packet(NATIVE, TEREDO)), 1),
        (udp_between([50000, 3544], 1, 2, &[&[0, 0, 1, 2, 3, 4, 5, 6], &teredo[..]].concat()), 1),
        (udp_between([50000, 3544], 1, 2, &[&[0, 1, 2, 3][..], &[9; 5 + 9], &teredo].concat()), 1),
        (udp_between([50000, 3544], 1, 2, &[&[0, 1, 0, 0][..], &[9; 9], &[0; 8], &teredo].concat()), 1),
        // A header of service functions, with metadata of either type, right on Ethernet.
        (ethernet(0x894f, &nsh(1, &[1; 16], &packet)), 1),
        (ethernet(0x894f, &nsh(2, &[], &packet6)), 1),
        (ethernet(0x894f, &nsh(3, &[1; 4], &frame)), 1),
        (ethernet(0x894f, &nsh(4, &[], &nsh(1, &[], &packet))), 2),
        (udp(4790, 1, 2, &[&[0x0c, 0, 0, 4, 0, 0, 42, 0], &nsh(3, &[1; 16], &frame)[..]].concat()), 2),
        (udp(4790, 1, 2, &[&[0x0c, 0, 0, 1, 0, 0, 42, 0], &packet[..]].concat()), 1),
        (udp(4790, 1, 2, &[&[0x0c, 0, 0, 2, 0, 0, 42, 0], &packet6[..]].concat()), 1),
        (udp(4790, 1, 2, &[&[0x0c, 0, 0, 3, 0, 0, 42, 0], &frame[..]].concat()), 1),
        (udp(4790, 1, 2, &[&[0x08, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()), 1),
        (udp(8472, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()), 1),
        (ipv4(4, 1, 2, &udp(8472, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat())[14..]), 2),
        (udp_between([1701, 1701], 1, 2, &l2tp), 1),
        (
            udp_between(
                [1701, 1701],
                1,
                2,
                &[
                    &[0x4a, 2, length[0], length[1] + 6, 0, 5, 0, 6, 0, 0, 0, 0, 0, 2, 9, 9, 0, 0x21],
                    &packet[..],
                ]
                .concat(),
            ),
            1,
        ),
        (
            udp_between(
                [5072, 5072],
                1,
                2,
                &[&[0x40, 0x52, 0x11, 41, 0, 0, 0, 0][..], &[0; 36], &packet6].concat(),
            ),
            1,
        ),
        // A VN-tag, before a VLAN's.
        (ethernet(0x8926, &[&[0x80, 1, 0, 2, 0x81, 0, 0, 5, 8, 0], &packet[..]].concat()), 0),
        // GRE with a source route, and with a key behind its checksum.
        (
            ipv4(
                47,
                1,
                2,
                &[&[0x40, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0], &packet[..]].concat(),
            ),
            1,
        ),
        (ipv4(47, 1, 2, &[&[0xe0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0], &packet[..]].concat()), 1),
    ]
}

/// One frame through each kind of tunnel, with how many tunnels there are.
fn frames() -> Vec<(Vec<u8>, u8)> {
    let (packet, frame) = (inner(LinkType::Ip), inner(ETHERNET));
    let packet6 = v6().link(LinkType::Ip).payload(b"hello").build();
    let gre = |header: &[u8], body: &[u8]| ipv4(47, 1, 2, &[header, body].concat());
    let wlan = |control: [u8; 2], more: &[u8]| {
        [&control[..], &[0; 20], &[0x10, 0], more, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &packet].concat()
    };
    let length = (packet.len() as u16).to_be_bytes();
    let pppoe = |packet: &[u8], protocol: u8| {
        let length = (packet.len() as u16 + 2).to_be_bytes();
        ethernet(0x8864, &[&[0x11, 0, 0, 9, length[0], length[1], 0, protocol], packet].concat())
    };
    let gtp_length = (packet.len() as u16 + 8).to_be_bytes();
    vec![
        (ipv4(4, 1, 2, &packet), 1),
        (ipv4(41, 1, 2, &packet6), 1),
        (ipv6(4, &packet), 1),
        (ipv6(41, &packet6), 1),
        (gre(&[0, 0, 0x08, 0], &packet), 1),
        (gre(&[0, 0, 0x86, 0xdd], &packet6), 1),
        (gre(&[0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &frame), 1),
        (gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 5, 0, 0, 0, 1], &frame), 1),
        (gre(&[0, 0, 0x88, 0xbe], &frame), 1),
        (gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0], &frame), 1),
        (
            gre(
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9,
                    9,
                ],
                &frame,
            ),
            1,
        ),
        (gre(&[0x30, 0x81, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21], &packet), 1),
        (gre(&[0, 0, 0x88, 0x47, 0, 1, 1, 64], &packet), 1),
        (gre(&[0, 0, 0x82, 0x10], &wlan([0x88, 0x01], &[0, 0])), 1),
        (gre(&[0, 0, 0x82, 0], &wlan([0x08, 0x03], &[0; 6])), 1),
        (gre(&[0, 0, 0x82, 0], &wlan([0x88, 0x83], &[0; 12])), 1),
        (udp(4789, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()), 1),
        (udp(6081, 1, 2, &[&[1, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 4], &frame[..]].concat()), 1),
        (udp(6081, 1, 2, &[&[0, 0, 0x08, 0, 0, 0, 42, 0], &packet[..]].concat()), 1),
        (udp(2152, 1, 2, &[&[0x30, 255, length[0], length[1], 1, 2, 3, 4], &packet[..]].concat()), 1),
        (
            udp(
                2152,
                1,
                2,
                &[
                    &[0x34, 255, gtp_length[0], gtp_length[1], 1, 2, 3, 4, 0, 0, 0, 0x85, 1, 0, 9, 0],
                    &packet[..],
                ]
                .concat(),
            ),
            1,
        ),
        (pppoe(&packet, 0x21), 1),
        (pppoe(&packet6, 0x57), 1),
        (ethernet(0x88e7, &[&[0, 0, 0x30, 5], &frame[..]].concat()), 1),
        (ethernet(0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64], &packet[..]].concat()), 0),
        (ethernet(0x8848, &[&[0, 2, 1, 64, 0, 0, 0, 0], &frame[..]].concat()), 0),
        (
            ipv4(
                47,
                1,
                2,
                &[
                    &[0, 0, 0x65, 0x58],
                    &udp(4789, 3, 4, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat())[..],
                ]
                .concat(),
            ),
            2,
        ),
    ]
}

fn path_of(frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Decoder::default().path(frame, ETHERNET, frame.len() as u32, &mut bytes);
    bytes
}

#[test]
fn tunnels_lead_to_the_segment_inside() {
    for (number, (frame, tunnels)) in frames().into_iter().chain(later_frames()).enumerate() {
        let (outcome, segment) = decoded(&frame, ETHERNET);
        assert_eq!(outcome, Outcome::Tcp, "{number}");
        assert_eq!((segment.tunnels, segment.length), (tunnels, 5), "{number}");
        assert_eq!(segment.payload(&frame), b"hello");
        assert_eq!(path_of(&frame).is_empty(), tunnels == 0);
        check(&frame, ETHERNET, frame.len() as u32);
    }
}

#[test]
fn tunnelled_frames_cut_or_changed_anywhere() {
    for (frame, _) in frames().into_iter().chain(later_frames()) {
        for at in 0..frame.len() {
            check(&frame[..at], ETHERNET, at as u32);
            check(&frame[..at], ETHERNET, frame.len() as u32);
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = value;
                check(&changed, ETHERNET, frame.len() as u32);
                path_of(&changed);
            }
        }
    }
}

#[test]
fn a_path_is_the_same_both_ways() {
    let frame = inner(ETHERNET);
    let vxlan = |from, to, id| udp(4789, from, to, &[&[8, 0, 0, 0, 0, 0, id, 0], &frame[..]].concat());
    let there = path_of(&vxlan(1, 2, 42));
    assert_eq!(there, path_of(&vxlan(2, 1, 42)));
    assert_ne!(there, path_of(&vxlan(1, 3, 42)));
    assert_ne!(there, path_of(&vxlan(1, 2, 43)));
    // Whichever switch a copy comes from.
    let erspan = |from, to| ipv4(47, from, to, &[&[0, 0, 0x88, 0xbe], &frame[..]].concat());
    assert_eq!(path_of(&erspan(1, 3)), path_of(&erspan(2, 3)));
    assert_ne!(path_of(&erspan(1, 3)), path_of(&erspan(1, 4)));
}

#[test]
fn what_is_no_tunnel_is_the_packet_it_is() {
    let frame = inner(ETHERNET);
    let vxlan = [&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat();
    let arp = ethernet(0x0806, &[0; 28]);
    let teredo = teredo_packet(TEREDO, NATIVE);
    for packet in [
        udp(53, 1, 2, &vxlan),
        udp(4789, 1, 2, &[&[0, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()),
        udp(4789, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &arp[..]].concat()),
        udp(4789, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &ipv4(1, 8, 9, &[0; 8])[..]].concat()),
        udp(6081, 1, 2, &[&[0x40, 0, 0x65, 0x58, 0, 0, 42, 0], &frame[..]].concat()),
        udp(2152, 1, 2, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
        ipv4(47, 1, 2, &[0, 0, 0, 0]),
        ipv4(47, 1, 2, &[0, 2, 8, 0]),
        ipv4(47, 1, 2, &[0x20, 1, 0x88, 0x0b, 0, 0, 0, 7]),
        ipv4(17, 1, 2, &[0; 7]),
        // Teredo's port, and packets that are not its own: no address of it, another length, a header cut short.
        udp_between([50000, 3544], 1, 2, &teredo_packet("2001:db8::1", NATIVE)),
        udp_between([50000, 3544], 1, 2, &teredo[..teredo.len() - 1]),
        udp_between([50000, 3544], 1, 2, &[&teredo[..], b"more"].concat()),
        udp_between([50000, 3544], 1, 2, &[0, 1, 200, 200, 0, 0]),
        udp_between([50000, 3544], 1, 2, b"hello"),
        udp_between([50000, 53], 1, 2, &teredo),
        // VXLAN where anything else may be as well.
        udp(8472, 1, 2, &[&[8, 0, 0, 1, 0, 0, 42, 0], &frame[..]].concat()),
        udp(4790, 1, 2, &[&[0x1c, 0, 0, 3, 0, 0, 42, 0], &frame[..]].concat()),
        udp(4790, 1, 2, &[&[0x0c, 0, 0, 9, 0, 0, 42, 0], &frame[..]].concat()),
        // A control message of L2TP, one of version 3, and a heartbeat of AYIYA.
        udp_between([1701, 1701], 1, 2, &[0xc8, 2, 0, 12, 0, 5, 0, 0, 0, 1, 0, 1]),
        udp_between([1701, 1701], 1, 2, &[0, 3, 0, 0, 0, 0, 0, 0]),
        udp_between([5072, 5072], 1, 2, &[0x40, 0x52, 0x10, 59, 0, 0, 0, 0]),
    ] {
        let (outcome, segment) = decoded(&packet, ETHERNET);
        assert_eq!(outcome, Outcome::NotTcp, "{packet:?}");
        // Filters of raw sockets look at what is on the wire.
        assert_eq!(segment.network, 14);
        assert_eq!(segment.source(&packet), [10, 0, 0, 1]);
    }
}

#[test]
fn tunnels_that_are_not_entered_are_their_outer_packets() {
    use super::super::{Tunnel, Tunnels};
    let decode = |tunnels, frame: &[u8]| {
        let mut segment = Segment::default();
        let decoder = Decoder { tunnels, ..Decoder::default() };
        (decoder.decode(frame, ETHERNET, frame.len() as u32, &mut segment), segment)
    };
    let mut kinds = 0;
    for (frame, tunnels) in frames().into_iter().chain(later_frames()) {
        let (outcome, segment) = decode(Tunnels::NONE, &frame);
        if tunnels == 0 {
            assert_eq!(outcome, Outcome::Tcp);
            continue;
        }
        let expected = if frame[12] == 8 || frame[12] == 0x86 { Outcome::NotTcp } else { Outcome::NotIp };
        assert_eq!((outcome, segment.tunnels), (expected, 0), "{frame:?}");
        assert_eq!(expected == Outcome::NotTcp, segment.network == 14, "{frame:?}");
        // Of those with one tunnel, just that kind is what it takes.
        if tunnels == 1 {
            let alone = |kind: &&Tunnel| decode(Tunnels::NONE.with(**kind), &frame).0 == Outcome::Tcp;
            let kind: Vec<&Tunnel> = Tunnel::ALL.iter().filter(alone).collect();
            assert_eq!(kind.len(), 1, "{kind:?}");
            kinds |= 1 << *kind[0] as u32;
        }
    }
    assert_eq!(kinds, 0x1ffe, "each kind is in it");
    let two: Tunnels = [Tunnel::Ip, Tunnel::Vxlan].into_iter().collect();
    let frame = inner(ETHERNET);
    let both = ipv4(4, 1, 2, &udp(4789, 1, 2, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat())[14..]);
    assert_eq!(decode(two, &both).0, Outcome::Tcp);
    let (outcome, segment) = decode(Tunnels::NONE.with(Tunnel::Ip), &both);
    assert_eq!((outcome, segment.network), (Outcome::NotTcp, 14));
}

#[test]
fn layers_are_limited() {
    let (frame, mut segment) = (inner(LinkType::Ip), Segment::default());
    let nested = (0..8).fold(frame, |packet, _| ipv4(4, 1, 2, &packet)[14..].to_vec());
    let frame = ethernet(0x0800, &nested);
    let mut decode = |max_layers| {
        let decoder = Decoder { max_layers, ..Decoder::default() };
        decoder.decode(&frame, ETHERNET, frame.len() as u32, &mut segment)
    };
    // Ethernet, its type, nine headers and what each announces, TCP's being one more.
    assert_eq!(decode(32), Outcome::Tcp);
    assert_eq!(decode(21), Outcome::Tcp);
    assert_eq!(decode(20), Outcome::Malformed(Malformed::TooManyLayers));
}

#[test]
fn equal_segments_of_two_tunnels_of_any_kind_have_two_paths() {
    // Between other ends, or of another id where the kind has one that is the same both ways.
    for (frame, tunnels) in frames().into_iter().chain(later_frames()) {
        if tunnels == 0 || frame[12] != 8 {
            continue;
        }
        let mut other = frame.clone();
        other[14 + 12..14 + 20].fill(77);
        assert_ne!(path_of(&frame), path_of(&other));
    }
    let (packet, frame) = (inner(LinkType::Ip), inner(ETHERNET));
    let ids: [&dyn Fn(u8) -> Vec<u8>; 6] = [
        &|id| udp(4789, 1, 2, &[&[8, 0, 0, 0, 0, 0, id, 0], &frame[..]].concat()),
        &|id| udp(4790, 1, 2, &[&[0x0c, 0, 0, 3, 0, 0, id, 0], &frame[..]].concat()),
        &|id| udp(6081, 1, 2, &[&[0, 0, 0x65, 0x58, 0, 0, id, 0], &frame[..]].concat()),
        &|id| ipv4(47, 1, 2, &[&[0x20, 0, 8, 0, 0, 0, 0, id], &packet[..]].concat()),
        &|id| ethernet(0x88e7, &[&[0, 0, 0, id], &frame[..]].concat()),
        &|id| {
            let length = (packet.len() as u16 + 2).to_be_bytes();
            ethernet(0x8864, &[&[0x11, 0, 0, id, length[0], length[1], 0, 0x21], &packet[..]].concat())
        },
    ];
    for make in ids {
        assert_eq!(decoded(&make(1), ETHERNET).0, Outcome::Tcp);
        assert_ne!(path_of(&make(1)), path_of(&make(2)));
    }
}
