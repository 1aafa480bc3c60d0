use super::super::super::LinkType;
use super::super::read_from;
use super::build::*;

#[test]
fn every_byte_order_and_resolution() {
    for order in BOTH {
        for (magic, fraction, nanos) in [(0xa1b2_c3d4, 123_456, 123_456_000), (0xa1b2_3c4d, 123_456, 123_456)]
        {
            let mut file = order.pcap(magic, 1);
            file.extend(order.record(1_700_000_000, fraction, 60, &[1, 2, 3]));
            file.extend(order.record(u32::MAX, 0, 0, &[]));
            let packets = read(&file);
            assert_eq!(packets.len(), 2);
            assert_eq!(packets[0].time, 1_700_000_000_000_000_000 + nanos);
            assert_eq!((packets[0].length, &packets[0].bytes[..]), (60, &[1, 2, 3][..]));
            assert_eq!((packets[0].link, packets[0].interface), (LinkType::Ethernet, 0));
            assert_eq!(packets[1].time, 4_294_967_295_000_000_000);
            assert!(packets[1].bytes.is_empty());
        }
    }
}

#[test]
fn modified_record_headers_are_longer() {
    for order in BOTH {
        let mut file = order.pcap(0xa1b2_cd34, 1);
        for n in 0..3u8 {
            file.extend(order.words(&[u32::from(n), 1, 4, 4, 2, 0x0008_0000]));
            file.extend([n; 4]);
        }
        let packets = read(&file);
        assert_eq!(packets.len(), 3);
        assert_eq!((packets[2].time, &packets[2].bytes[..]), (2_000_001_000, &[2; 4][..]));
    }
}

#[test]
fn upper_bits_of_the_link_type_tell_of_the_check_sequence() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 0x2400_0071);
    file.extend(LITTLE.record(0, 0, 1, &[1]));
    assert_eq!(read(&file)[0].link, LinkType::LinuxSll);
}

#[test]
fn old_versions_have_lengths_the_other_way_round() {
    for (major, minor) in [(2, 2), (2, 3), (543, 0)] {
        let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
        file[4..6].copy_from_slice(&LITTLE.u16(major));
        file[6..8].copy_from_slice(&LITTLE.u16(minor));
        file.extend(LITTLE.words(&[1, 2, 60, 3]));
        file.extend([1, 2, 3]);
        file.extend(LITTLE.words(&[1, 2, 3, 60]));
        file.extend([4, 5, 6]);
        let packets = read(&file);
        assert_eq!((packets[0].length, &packets[0].bytes[..]), (60, &[1, 2, 3][..]));
        assert_eq!((packets[1].length, &packets[1].bytes[..]), (60, &[4, 5, 6][..]));
    }
}

#[test]
fn a_frame_is_as_long_as_what_is_there_of_it() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
    file.extend(LITTLE.record(0, 0, 1, &[1, 2, 3]));
    assert_eq!(read(&file)[0].length, 3);
}

#[test]
fn versions_nobody_knows_are_refused() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
    file[4] = 7;
    let error = try_read(&file).unwrap_err();
    assert_eq!(error, "t.pcap: pcap version 7.4, of which nothing is known; versions 2.x are read");
}

#[test]
fn a_file_header_alone_is_a_capture_without_packets() {
    assert!(read(&LITTLE.pcap(0xa1b2_c3d4, 1)).is_empty());
}

#[test]
fn the_longest_record_is_read_and_a_longer_one_is_damage() {
    let mut file = LITTLE.pcap(0xa1b2_c3d4, 1);
    for n in 0..4 {
        file.extend(LITTLE.record(n, 0, 300_000, &vec![n as u8; 262_144]));
    }
    assert_eq!(read(&file).len(), 4);
    let at = file.len();
    file.extend(LITTLE.record(9, 0, 300_000, &vec![9; 262_145]));
    let read = try_read(&file).unwrap();
    assert_eq!(read.packets.len(), 4);
    assert_eq!(read.statistics.malformed, 1);
    assert_eq!(
        read.warning.unwrap(),
        format!(
            "t.pcap: damaged: the record at byte {at} says that it holds 262145 bytes; only what is before it was read"
        )
    );
}

/// Records of all sizes over many refills, whole and in pieces of any size.
#[test]
fn records_are_joined_where_reads_cut_them() {
    for order in BOTH {
        let mut file = order.pcap(0xa1b2_3c4d, 1);
        let mut frames = Vec::new();
        for n in 0..6000u32 {
            let frame = vec![n as u8; (n.wrapping_mul(2_654_435_761) >> 21) as usize];
            file.extend(order.record(n, n, 5000, &frame));
            frames.push(frame);
        }
        file.extend(order.record(0, 0, 262_144, &vec![7; 262_144]));
        frames.push(vec![7; 262_144]);
        assert!(file.len() > 5 << 20);
        for piece in [usize::MAX, 65_536, 4096, 997] {
            let drip = Drip::new(file.clone(), piece);
            let read = drain(&mut *read_from(drip, "drip").unwrap());
            assert_eq!(read.packets.len(), frames.len());
            assert!(read.warning.is_none() && read.error.is_none());
            for (packet, frame) in read.packets.iter().zip(&frames) {
                assert!(packet.bytes == *frame);
            }
        }
    }
}
