use super::*;

/// The frame of `recipe` without its first 14 bytes, after another link header.
fn behind(header: &[u8], frame: TcpFrame) -> Vec<u8> {
    let packet = frame.link(LinkType::Ip).build();
    [header, &packet].concat()
}

fn mac(ethertype: u16) -> Vec<u8> {
    let mut header = vec![2; 12];
    header.extend(ethertype.to_be_bytes());
    header
}

#[test]
fn every_link_type_leads_to_both_ip_versions() {
    for link in LINKS {
        for (frame, version) in [(v4(), 4), (v6(), 6)] {
            let frame = frame.link(link).payload(b"hello").build();
            let (outcome, segment) = decoded(&frame, link);
            assert_eq!(outcome, Outcome::Tcp, "{link:?}");
            assert_eq!(segment.version, version);
            assert_eq!(segment.payload(&frame), b"hello");
            assert_eq!(segment.vlan, [0, 0]);
        }
    }
}

#[test]
fn unknown_link_types_are_not_ip() {
    let frame = v4().link(LinkType::Ip).build();
    assert_eq!(decoded(&frame, LinkType::Other(147)).0, Outcome::NotIp);
}

#[test]
fn arp_is_not_ip() {
    let frame = [mac(0x0806), vec![0; 46]].concat();
    let (outcome, segment) = decoded(&frame, LinkType::Ethernet);
    assert_eq!(outcome, Outcome::NotIp);
    assert_eq!(segment, Segment::default());
}

#[test]
fn a_short_ethernet_header_is_malformed() {
    for length in 0..14 {
        assert_eq!(outcome_of(&mac(0x0800)[..length]), malformed(Malformed::TruncatedLink));
    }
}

#[test]
fn vlan_tags_are_kept_outermost_first() {
    for link in [LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2] {
        for (tags, kept) in [
            (&[10][..], [10, 0]),
            (&[10, 20], [10, 20]),
            (&[0xf00a, 20, 30], [0x00a, 20]),
            (&[1, 2, 3, 4, 5, 6], [1, 2]),
            // Priority tags name no VLAN.
            (&[0xe000], [0, 0]),
            (&[0, 20], [20, 0]),
            (&[10, 0, 30], [10, 30]),
        ] {
            let frame = v6().link(link).vlan(tags).build();
            let (outcome, segment) = decoded(&frame, link);
            assert_eq!((outcome, segment.vlan), (Outcome::Tcp, kept), "{link:?} {tags:?}");
        }
    }
}

#[test]
fn the_old_service_tag_is_a_tag() {
    let mut frame = v4().vlan(&[7]).build();
    frame[12..14].copy_from_slice(&[0x91, 0x00]);
    assert_eq!(tcp_of(&frame).vlan, [7, 0]);
}

#[test]
fn a_frame_of_nothing_but_tags_ends() {
    let tags = [1; 100];
    assert_eq!(outcome_of(&v4().vlan(&tags).build()), malformed(Malformed::TooManyLayers));
}

#[test]
fn a_cut_tag_is_malformed() {
    let frame = v4().vlan(&[1, 2]).build();
    for length in (14..18).chain(18..22) {
        assert_eq!(outcome_of(&frame[..length]), malformed(Malformed::TruncatedVlan), "{length}");
    }
}

#[test]
fn llc_and_snap_carry_ip() {
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00];
    let bridge_tunnel = [0xaa, 0xaa, 3, 0, 0, 0xf8, 0x08, 0x00];
    for llc in [&snap[..], &bridge_tunnel, &[6, 6, 3]] {
        let packet = behind(llc, v4().payload(b"x"));
        let frame = [mac(packet.len() as u16), packet.clone(), vec![0; 9]].concat();
        let segment = tcp_of(&frame);
        assert_eq!(segment.payload(&frame), b"x");
        assert_eq!(usize::from(segment.network), 14 + llc.len());

        // A tag may come before the length, and the length is then the type of the tag.
        let tag = [&[0, 5][..], &(packet.len() as u16).to_be_bytes()].concat();
        let tagged = [mac(0x8100), tag, packet].concat();
        assert_eq!(tcp_of(&tagged).vlan, [5, 0]);
    }
}

#[test]
fn other_llc_is_not_ip() {
    for llc in [
        &[0x42, 0x42, 3, 0, 0, 0, 0, 0][..],         // spanning tree
        &[0xff, 0xff, 0, 0, 0, 0, 0, 0],             // IPX
        &[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0x00],    // Cisco discovery
        &[0xaa, 0xaa, 3, 0, 0, 0, 0x00, 0x40, 0, 0], // SNAP with a length
    ] {
        assert_eq!(outcome_of(&[mac(llc.len() as u16), llc.to_vec()].concat()), Outcome::NotIp);
    }
    // Neither a length nor a type.
    assert_eq!(outcome_of(&[mac(1501), vec![0xaa; 50]].concat()), Outcome::NotIp);
    assert_eq!(outcome_of(&[mac(2), vec![0xaa; 50]].concat()), malformed(Malformed::TruncatedLink));
}

#[test]
fn the_8023_length_bounds_the_packet() {
    let mut packet = behind(&[6, 6, 3], v4().payload(b"0123456789"));
    // With no total length of its own, IP ends where LLC does.
    packet[3 + 2..3 + 4].fill(0);
    let frame = [mac(packet.len() as u16 - 4), packet].concat();
    let segment = tcp_of(&frame);
    assert_eq!(segment.payload(&frame), b"012345");
    assert_eq!(segment.length, 6);
}

#[test]
fn cooked_captures_of_other_protocols_are_not_ip() {
    for protocol in [0x0001_u16, 0x0003, 0x000c, 0x0806, 0x05ff] {
        let mut frame = v4().link(LinkType::LinuxSll).build();
        frame[14..16].copy_from_slice(&protocol.to_be_bytes());
        assert_eq!(decoded(&frame, LinkType::LinuxSll).0, Outcome::NotIp);
        let mut frame = v4().link(LinkType::LinuxSll2).build();
        frame[..2].copy_from_slice(&protocol.to_be_bytes());
        assert_eq!(decoded(&frame, LinkType::LinuxSll2).0, Outcome::NotIp);
    }
    // Netlink's protocol field only looks like an Ethernet type.
    let mut frame = v4().link(LinkType::LinuxSll).build();
    frame[2..4].copy_from_slice(&824_u16.to_be_bytes());
    assert_eq!(decoded(&frame, LinkType::LinuxSll).0, Outcome::NotIp);
}

#[test]
fn cooked_captures_carry_llc() {
    let mut header = v4().link(LinkType::LinuxSll).build()[..16].to_vec();
    header[14..].copy_from_slice(&[0, 4]);
    header.extend([0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd]);
    assert_eq!(decoded(&behind(&header, v6()), LinkType::LinuxSll).0, Outcome::Tcp);
}

#[test]
fn loopback_families_in_either_byte_order() {
    for (family, frame) in [(2_u32, v4()), (10, v6()), (24, v6()), (28, v6()), (30, v6()), (0x0800, v4())] {
        for header in [family.to_be_bytes(), family.to_le_bytes()] {
            let frame = behind(&header, frame.clone());
            assert_eq!(decoded(&frame, LinkType::Loopback).0, Outcome::Tcp, "{family} {header:?}");
        }
    }
    for header in [[0, 0, 0, 7], [7, 0, 0, 0], [0; 4], [1, 2, 3, 4], [255; 4], [0, 1, 0, 0]] {
        assert_eq!(decoded(&behind(&header, v4()), LinkType::Loopback).0, Outcome::NotIp);
    }
}

#[test]
fn ppp_with_and_without_framing_and_compression() {
    for (frame, number) in [(v4(), 0x21), (v6(), 0x57)] {
        for header in [&[0xff, 0x03, 0, number][..], &[0xff, 0x03, number], &[0, number], &[number]] {
            let frame = behind(header, frame.clone());
            assert_eq!(decoded(&frame, LinkType::Ppp).0, Outcome::Tcp, "{header:?}");
        }
    }
    assert_eq!(decoded(&behind(&[0x0f, 0, 0x08, 0x00], v4()), LinkType::Ppp).0, Outcome::Tcp);
    assert_eq!(decoded(&behind(&[0x8f, 0, 0x86, 0xdd], v6()), LinkType::Ppp).0, Outcome::Tcp);
    for header in [&[0xc0, 0x21][..], &[0xff, 0x03, 0xc0, 0x21], &[0x0f, 0, 0x80, 0x35], &[0x0f, 0, 0, 9]] {
        assert_eq!(decoded(&behind(header, v4()), LinkType::Ppp).0, Outcome::NotIp);
    }
    assert_eq!(decoded(&[0xff, 0x03], LinkType::Ppp).0, malformed(Malformed::TruncatedLink));
    assert_eq!(decoded(&[0xff, 0x03, 0], LinkType::Ppp).0, malformed(Malformed::TruncatedLink));
}

#[test]
fn every_condition_has_its_own_name_and_place() {
    for (index, condition) in Malformed::ALL.into_iter().enumerate() {
        assert_eq!(condition.index(), index);
        assert!(condition.name().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
        assert_eq!(Malformed::ALL.iter().filter(|other| other.name() == condition.name()).count(), 1);
    }
}
