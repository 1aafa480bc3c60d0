use super::*;

/// Where IP starts in an Ethernet frame.
const IP: usize = 14;

fn set16(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[test]
fn ipv4_options_are_passed_over() {
    for length in [1, 4, 11, 40] {
        let options = vec![1; length];
        let frame = v4().ip_options(&options).payload(b"data").build();
        let segment = tcp_of(&frame);
        assert_eq!(usize::from(segment.transport), IP + 20 + length.next_multiple_of(4));
        assert_eq!(segment.payload(&frame), b"data");
    }
}

#[test]
fn padding_is_no_payload() {
    let segment = tcp_of(&v4().padding(6).build());
    assert_eq!((segment.length, segment.captured), (0, 0));
    let segment = tcp_of(&v6().payload(b"a").padding(6).build());
    assert_eq!((segment.length, segment.captured), (1, 1));
}

#[test]
fn a_length_of_zero_means_to_the_frames_end() {
    let mut frame = v4().payload(b"offload").build();
    set16(&mut frame, IP + 2, 0);
    assert_eq!(tcp_of(&frame).payload(&frame), b"offload");
    let mut frame = v6().payload(b"offload").build();
    set16(&mut frame, IP + 4, 0);
    assert_eq!(tcp_of(&frame).payload(&frame), b"offload");
    // By the length on the wire, not the captured one.
    let mut segment = Segment::default();
    assert_eq!(decode(&frame, LinkType::Ethernet, 1000, &mut segment), Outcome::Tcp);
    assert_eq!((segment.length, segment.captured), (1000 - 74, 7));
}

#[test]
fn packets_too_long_for_a_length_field() {
    let payload = vec![7; 70_000];
    for frame in [v4().payload(&payload).build(), v6().payload(&payload).build()] {
        let segment = tcp_of(&frame);
        assert_eq!((segment.length, segment.captured), (70_000, 70_000));
    }
}

#[test]
fn a_packet_longer_than_its_frame_ends_with_it() {
    let mut frame = v4().payload(b"0123456789").build();
    set16(&mut frame, IP + 2, 1500);
    let segment = tcp_of(&frame);
    assert_eq!((segment.length, segment.captured), (10, 10));
    let mut frame = v6().payload(b"0123456789").build();
    set16(&mut frame, IP + 4, 1500);
    assert_eq!(tcp_of(&frame).length, 10);
}

#[test]
fn a_snap_length_cuts_the_captured_part_only() {
    for (frame, headers) in [(v4(), 54), (v6(), 74)] {
        let frame = frame.payload(&[7; 100]).build();
        for cut in headers..=frame.len() {
            let mut segment = Segment::default();
            let outcome = decode(&frame[..cut], LinkType::Ethernet, frame.len() as u32, &mut segment);
            assert_eq!(outcome, Outcome::Tcp);
            assert_eq!((segment.length, segment.captured as usize), (100, cut - headers));
            assert_eq!(segment.payload(&frame[..cut]).len(), cut - headers);
        }
    }
}

#[test]
fn a_wire_length_below_the_captured_one_is_not_believed() {
    let frame = v4().payload(b"data").build();
    for wire in [0, 1, 40, 57] {
        let mut segment = Segment::default();
        assert_eq!(decode(&frame, LinkType::Ethernet, wire, &mut segment), Outcome::Tcp);
        assert_eq!(segment.length, 4);
    }
}

#[test]
fn bad_ipv4_headers() {
    let good = v4().payload(b"data").build();
    for version in [0, 5, 6, 15] {
        let mut frame = good.clone();
        frame[IP] = version << 4 | 5;
        assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpVersion));
    }
    for words in 0..5 {
        let mut frame = good.clone();
        frame[IP] = 0x40 | words;
        assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpv4HeaderLength));
    }
    // 60 bytes of header in a packet of 44.
    let mut frame = good.clone();
    frame[IP] = 0x4f;
    assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpv4TotalLength));
    set16(&mut frame, IP + 2, 0);
    assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpv4HeaderLength));
    for total in 1..20 {
        let mut frame = good.clone();
        set16(&mut frame, IP + 2, total);
        assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpv4TotalLength));
    }
    for total in 20..40 {
        let mut frame = good.clone();
        set16(&mut frame, IP + 2, total);
        assert_eq!(outcome_of(&frame), malformed(Malformed::TruncatedTcp));
    }
    for length in 14..34 {
        assert_eq!(outcome_of(&good[..length]), malformed(Malformed::TruncatedIpv4));
    }
}

#[test]
fn what_was_found_of_ip_is_told_without_tcp_too() {
    let mut frame = v4().vlan(&[9]).build();
    frame[18 + 9] = 17;
    let (outcome, segment) = decoded(&frame, LinkType::Ethernet);
    assert_eq!(outcome, Outcome::NotTcp);
    assert_eq!((segment.version, segment.network, segment.vlan), (4, 18, [9, 0]));
    assert_eq!(segment.source(&frame), [192, 0, 2, 1]);
    let frame = v6().build();
    let (outcome, segment) = decoded(&frame[..60], LinkType::Ethernet);
    assert_eq!(outcome, malformed(Malformed::TruncatedTcp));
    assert_eq!((segment.version, segment.network), (6, 14));
}

#[test]
fn ipv4_fragments() {
    let mut frame = v4().payload(b"data").build();
    for (field, outcome) in [
        (0x0000, Outcome::Tcp),
        (0x4000, Outcome::Tcp),
        (0x8000, Outcome::Tcp),
        (0x2000, Outcome::Fragment),
        (0x0001, Outcome::Fragment),
        (0x3fff, Outcome::Fragment),
    ] {
        set16(&mut frame, IP + 6, field);
        assert_eq!(outcome_of(&frame), outcome, "{field:#x}");
    }
}

#[test]
fn ipv6_extension_headers_are_passed_over() {
    let chains: [&[(u8, &[u8])]; 8] = [
        &[(0, &[])],
        &[(60, &[1; 6])],
        &[(43, &[0; 22])],
        &[(135, &[0; 9])],
        &[(51, &[0; 22])],
        &[(0, &[0; 6]), (43, &[0; 6]), (44, &[0; 6]), (51, &[0; 10]), (60, &[0; 30])],
        &[(139, &[0; 38]), (140, &[0; 6])],
        &[(60, &[0; 2046])],
    ];
    for chain in chains {
        let frame = v6().extensions(chain).payload(b"data").build();
        let segment = tcp_of(&frame);
        assert_eq!(segment.payload(&frame), b"data", "{chain:?}");
        assert_eq!(segment.network, 14);
        assert_eq!(segment.source_port(&frame), 40000);
    }
}

#[test]
fn the_authentication_header_also_follows_ipv4() {
    let frame = v4().extensions(&[(51, &[0; 22])]).payload(b"data").build();
    assert_eq!(tcp_of(&frame).payload(&frame), b"data");
    let frame = v4().extensions(&[(60, &[0; 6])]).build();
    assert_eq!(outcome_of(&frame), Outcome::NotTcp);
}

#[test]
fn ipv6_fragments() {
    for (field, outcome) in [
        (0x0000, Outcome::Tcp),
        (0x0006, Outcome::Tcp),
        (0x0001, Outcome::Fragment),
        (0x0008, Outcome::Fragment),
        (0xfff9, Outcome::Fragment),
    ] {
        let mut frame = v6().extensions(&[(44, &[0; 6])]).payload(b"data").build();
        set16(&mut frame, IP + 40 + 2, field);
        assert_eq!(outcome_of(&frame), outcome, "{field:#x}");
    }
}

#[test]
fn ipv6_without_tcp() {
    for number in [59, 50, 17, 58, 253] {
        let mut frame = v6().payload(b"data").build();
        frame[IP + 6] = number;
        assert_eq!(outcome_of(&frame), Outcome::NotTcp);
    }
}

#[test]
fn bad_ipv6_headers() {
    let good = v6().extensions(&[(60, &[0; 6])]).build();
    let mut frame = good.clone();
    frame[IP] = 0x45;
    assert_eq!(outcome_of(&frame), malformed(Malformed::BadIpVersion));
    for length in 14..54 {
        assert_eq!(outcome_of(&good[..length]), malformed(Malformed::TruncatedIpv6));
    }
    for length in 54..62 {
        assert_eq!(outcome_of(&good[..length]), malformed(Malformed::TruncatedExtensionHeader));
    }
    // An extension header longer than the packet.
    let mut frame = good.clone();
    frame[IP + 41] = 255;
    assert_eq!(outcome_of(&frame), malformed(Malformed::TruncatedExtensionHeader));
    // Padding is no part of the packet either.
    let mut frame = v6().extensions(&[(60, &[0; 6])]).padding(100).build();
    set16(&mut frame, IP + 4, 7);
    assert_eq!(outcome_of(&frame), malformed(Malformed::TruncatedExtensionHeader));
}

#[test]
fn extension_headers_without_end() {
    let chain = vec![(60_u8, &[0_u8; 6][..]); 100];
    assert_eq!(outcome_of(&v6().extensions(&chain).build()), malformed(Malformed::TooManyLayers));
}

#[test]
fn the_longest_chain_of_the_longest_headers() {
    let body = [0; 2046];
    let chain = vec![(60_u8, &body[..]); 28];
    let frame = v6().extensions(&chain[1..]).payload(b"data").build();
    assert_eq!(tcp_of(&frame).payload(&frame), b"data");
    assert_eq!(outcome_of(&frame[..30_000]), malformed(Malformed::TruncatedExtensionHeader));
    let frame = v6().extensions(&chain).build();
    assert_eq!(outcome_of(&frame), malformed(Malformed::TooManyLayers));
}

#[test]
fn raw_ip_is_told_apart_by_its_version() {
    for version in [0, 1, 5, 7, 15] {
        let mut frame = v4().link(LinkType::Ip).build();
        frame[0] = version << 4 | 5;
        assert_eq!(decoded(&frame, LinkType::Ip).0, malformed(Malformed::BadIpVersion));
    }
    assert_eq!(decoded(&[], LinkType::Ip).0, malformed(Malformed::TruncatedIpv4));
}
