use super::super::checksum::{
    Checksum, checksum, fold, sum, update, update_bytes, verify_ipv4_header, verify_tcp,
};
use super::*;

/// RFC 1071 to the letter.
fn naive(bytes: &[u8]) -> u16 {
    let mut total = 0_u64;
    for pair in bytes.chunks(2) {
        total += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[test]
fn the_example_of_rfc_1071() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(fold(sum(&bytes)), 0xddf2);
    assert_eq!(checksum(&bytes), !0xddf2);
}

#[test]
fn every_length_and_the_largest_words() {
    let bytes: Vec<u8> = (0..400_u32).map(|index| (index * 167 + 13) as u8).collect();
    for length in 0..bytes.len() {
        assert_eq!(fold(sum(&bytes[..length])), naive(&bytes[..length]), "{length}");
        assert_eq!(sum(&vec![0xff; length]), u32::from(naive(&vec![0xff; length])), "{length}");
    }
    assert_eq!(sum(&vec![0xff; 9_000_000]), 0xffff);
}

#[test]
fn built_frames_are_good_and_bad_ones_bad() {
    let payload = vec![0x5a; 1461];
    for length in [0, 1, 2, 3, 536, 1460, 1461] {
        for frame in [v4(), v6(), v6().extensions(&[(60, &[0; 6])]), v4().ip_options(&[1; 8])] {
            let frame = frame.payload(&payload[..length]).timestamps(1, 2);
            let good = frame.build();
            let segment = tcp_of(&good);
            assert_eq!(verify_tcp(&good, &segment), Checksum::Good);
            assert_eq!(verify_ipv4_header(&good, &segment), Checksum::Good);
            let bad = frame.clone().bad_checksum().build();
            assert_eq!(verify_tcp(&bad, &tcp_of(&bad)), Checksum::Bad);
            let partial = frame.clone().partial_checksum().build();
            assert_eq!(verify_tcp(&partial, &tcp_of(&partial)), Checksum::Partial);
            // Padding is not covered.
            let mut padded = good.clone();
            padded.extend([1, 2, 3]);
            assert_eq!(verify_tcp(&padded, &tcp_of(&padded)), Checksum::Good);
        }
    }
}

#[test]
fn a_packet_without_a_length_of_its_own() {
    let payload = vec![3; 70_001];
    for frame in [v4(), v6()] {
        let frame = frame.payload(&payload).build();
        assert_eq!(verify_tcp(&frame, &tcp_of(&frame)), Checksum::Good);
    }
}

#[test]
fn cut_frames_are_unknown() {
    let whole = v4().options(&[1; 12]).payload(b"data").build();
    let empty = v6().options(&[1; 12]).build();
    for (whole, headers) in [(whole, 54), (empty, 74)] {
        for cut in headers..whole.len() {
            let mut segment = Segment::default();
            assert_eq!(
                decode(&whole[..cut], LinkType::Ethernet, whole.len() as u32, &mut segment),
                Outcome::Tcp
            );
            assert_eq!(verify_tcp(&whole[..cut], &segment), Checksum::Unknown);
        }
    }
}

#[test]
fn any_changed_bit_is_seen() {
    let good = v6().payload(b"0123456").build();
    let segment = tcp_of(&good);
    // Everything but the fields of IPv6 that change on the way, or are not covered; and the data offset.
    for at in (14 + 8..good.len()).filter(|at| *at != 54 + 12) {
        let mut frame = good.clone();
        frame[at] ^= 0x10;
        assert_eq!(verify_tcp(&frame, &segment), Checksum::Bad, "{at}");
    }
}

#[test]
fn ipv4_headers() {
    let mut frame = v4().ip_options(&[1; 12]).build();
    let segment = tcp_of(&frame);
    assert_eq!(verify_ipv4_header(&frame, &segment), Checksum::Good);
    frame[14 + 30] ^= 1;
    assert_eq!(verify_ipv4_header(&frame, &segment), Checksum::Bad);
    assert_eq!(verify_ipv4_header(&[], &segment), Checksum::Bad);
    frame[14 + 10..14 + 12].fill(0);
    assert_eq!(verify_ipv4_header(&frame, &segment), Checksum::Partial);
}

#[test]
fn an_empty_field_is_left_to_hardware() {
    let mut frame = v4().payload(b"abc").build();
    let segment = tcp_of(&frame);
    frame[14 + 20 + 16..14 + 20 + 18].fill(0);
    assert_eq!(verify_tcp(&frame, &segment), Checksum::Partial);
}

#[test]
fn routing_headers_name_the_destination_that_is_covered() {
    let last: SocketAddr = address("[2001:db8::99]:80");
    let std::net::IpAddr::V6(last_ip) = last.ip() else { unreachable!() };
    let other = [0x77; 16];
    for (kind, list) in [
        (0, [&other[..], &last_ip.octets()].concat()),
        (2, last_ip.octets().to_vec()),
        (4, [&last_ip.octets(), &other[..]].concat()),
    ] {
        // Made with the final destination in the IPv6 header, then sent to the first hop.
        let body = [&[kind, 1, 0, 0, 0, 0][..], &list].concat();
        let chain = [(60, &[0; 6][..]), (43, &body[..])];
        let mut frame =
            TcpFrame::new(address("[2001:db8::1]:40000"), last).extensions(&chain).payload(b"data").build();
        let segment = tcp_of(&frame);
        frame[14 + 24..14 + 40].fill(0x66);
        assert_eq!(verify_tcp(&frame, &segment), Checksum::Good, "{kind}");
        // Once no segments are left, the IPv6 header's destination is the final one.
        frame[14 + 40 + 8 + 3] = 0;
        assert_eq!(verify_tcp(&frame, &segment), Checksum::Bad, "{kind}");
    }
    let frame = v6().extensions(&[(43, &[3, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])]).build();
    assert_eq!(verify_tcp(&frame, &tcp_of(&frame)), Checksum::Unknown);
}

#[test]
fn source_routes_name_the_destination_that_is_covered() {
    for kind in [131, 137] {
        let route = [1, kind, 11, 4, 203, 0, 113, 1, 198, 51, 100, 7];
        let mut frame = v4().ip_options(&route).payload(b"data").build();
        let segment = tcp_of(&frame);
        frame[14 + 16..14 + 20].fill(9);
        assert_eq!(verify_tcp(&frame, &segment), Checksum::Good);
        // A route that was gone to its end.
        frame[14 + 20 + 3] = 12;
        assert_eq!(verify_tcp(&frame, &segment), Checksum::Bad);
    }
    // Other options, an empty route and broken ones change nothing.
    for options in
        [&[7, 7, 4, 1, 2, 3, 4][..], &[131, 3, 3], &[131, 2], &[131, 99, 4], &[131, 1], &[0, 131], &[1]]
    {
        let frame = v4().ip_options(options).payload(b"data").build();
        let outcome = verify_tcp(&frame, &tcp_of(&frame));
        assert!(matches!(outcome, Checksum::Good | Checksum::Unknown), "{options:?}");
    }
}

#[test]
fn home_addresses_are_covered_as_the_source() {
    let body = [&[1, 2, 0, 0, 0xc9, 16][..], &[0x20; 16]].concat();
    let chain = [(60, &body[..])];
    let home = address("[2020:2020:2020:2020:2020:2020:2020:2020]:40000");
    let mut frame = TcpFrame::new(home, address("[2001:db8::7]:80")).extensions(&chain).build();
    let segment = tcp_of(&frame);
    frame[14 + 8..14 + 24].fill(0x66);
    assert_eq!(verify_tcp(&frame, &segment), Checksum::Good);
    frame[14 + 44 + 2] = 0xc8;
    assert_eq!(verify_tcp(&frame, &segment), Checksum::Bad);
}

proptest! {
    #[test]
    fn like_the_naive_sum(bytes in bytes(300)) {
        prop_assert_eq!(fold(sum(&bytes)), naive(&bytes));
    }

    #[test]
    fn pieces_add_up(bytes in bytes(300), cut in 0..150_usize) {
        let (first, second) = bytes.split_at((cut * 2).min(bytes.len() / 2 * 2));
        prop_assert_eq!(fold(sum(first) + sum(second)), naive(&bytes));
    }

    #[test]
    fn updates_give_what_summing_again_would(
        mut bytes in proptest::collection::vec(any::<u8>(), 20..60), at in 0..8_usize, new in bytes(4),
    ) {
        // A covered header is never all zero, where ones' complement has two names for one sum.
        bytes[18] |= 1;
        let at = at * 2;
        let before = checksum(&bytes);
        let old = bytes[at..at + new.len()].to_vec();
        // The word that an odd last byte is in does not change otherwise.
        let after = {
            bytes[at..at + new.len()].copy_from_slice(&new);
            checksum(&bytes)
        };
        prop_assert_eq!(update_bytes(before, &old, &new), after);
        if let (&[a, b], &[c, d]) = (&old[..], &new[..]) {
            prop_assert_eq!(update(before, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), after);
        }
    }
}
