use super::super::path;
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
    path(frame, ETHERNET, frame.len() as u32, &mut bytes);
    bytes
}

#[test]
fn tunnels_lead_to_the_segment_inside() {
    for (number, (frame, tunnels)) in frames().into_iter().enumerate() {
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
    for (frame, _) in frames() {
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
    ] {
        let (outcome, segment) = decoded(&packet, ETHERNET);
        assert_eq!(outcome, Outcome::NotTcp, "{packet:?}");
        // Filters of raw sockets look at what is on the wire.
        assert_eq!(segment.network, 14);
        assert_eq!(segment.source(&packet), [10, 0, 0, 1]);
    }
}
