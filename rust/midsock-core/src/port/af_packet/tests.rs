//! What the kernel writes is taken apart here from bytes made by hand; the tests in Python have real traffic.

use super::header::{Header, Shape, Version, is_outgoing};
use super::offload::{COMPLETE, LENGTH, pass_on, prepare, shift};
use crate::port::{ChecksumState, LinkType};
use crate::wire::{Checksum, Outcome, Segment, TcpFlags, TcpFrame, checksum, decode};

const USER: u32 = libc::TP_STATUS_USER;
const SHAPE: Shape = Shape { link: LinkType::Ethernet, has_offload: true, skip_outgoing: false };

fn put(slot: &mut [u8], at: usize, bytes: &[u8]) {
    slot[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A slot of 2048 bytes as the kernel fills it, with `frame` at `mac`.
fn slot(version: Version, status: u32, mac: u16, frame: &[u8]) -> Vec<u8> {
    let mut slot = vec![0; 2048];
    let length = (frame.len() as u32).to_ne_bytes();
    let fields: [(usize, &[u8]); 9] = match version {
        Version::Two => [
            (0, &status.to_ne_bytes()),
            (4, &length),
            (8, &length),
            (12, &mac.to_ne_bytes()),
            (16, &7_u32.to_ne_bytes()),
            (20, &9_u32.to_ne_bytes()),
            (24, &0x2064_u16.to_ne_bytes()),
            (26, &0x88a8_u16.to_ne_bytes()),
            (32 + 10, &[libc::PACKET_OTHERHOST]),
        ],
        Version::Three => [
            (20, &status.to_ne_bytes()),
            (16, &length),
            (12, &length),
            (24, &mac.to_ne_bytes()),
            (4, &7_u32.to_ne_bytes()),
            (8, &9_u32.to_ne_bytes()),
            (32, &0x2064_u32.to_ne_bytes()),
            (36, &0x88a8_u16.to_ne_bytes()),
            (48 + 10, &[libc::PACKET_OTHERHOST]),
        ],
    };
    for (at, bytes) in fields {
        put(&mut slot, at, bytes);
    }
    put(&mut slot, usize::from(mac), frame);
    slot
}

fn read(slot: &[u8], version: Version, status: u32) -> Header {
    Header { status, ..Header::read(slot, version).unwrap() }
}

#[test]
fn a_frame_is_handed_out_where_the_kernel_put_it() {
    let frame: Vec<u8> = (0..100).collect();
    for version in [Version::Two, Version::Three] {
        for (bit, checksum) in [
            (0, ChecksumState::Unknown),
            (libc::TP_STATUS_CSUMNOTREADY, ChecksumState::Partial),
            (libc::TP_STATUS_CSUM_VALID, ChecksumState::Verified),
        ] {
            let mut slot = slot(version, USER | bit, 96, &frame);
            let header = read(&slot, version, USER | bit);
            let packet = header.packet(&mut slot, 4096, version, SHAPE).unwrap();
            assert_eq!((packet.offset, packet.captured, packet.length), (4096 + 96, 100, 100));
            assert_eq!((packet.time, packet.checksum), (7_000_000_009, checksum));
            assert_eq!(&slot[96..196], frame);
        }
    }
}

#[test]
fn a_tag_that_was_taken_off_is_put_back_behind_the_addresses() {
    let frame: Vec<u8> = (0..100).collect();
    for version in [Version::Two, Version::Three] {
        for (bits, tag) in [
            (libc::TP_STATUS_VLAN_VALID, [0x81, 0, 0x20, 0x64]),
            (libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID, [0x88, 0xa8, 0x20, 0x64]),
        ] {
            let mut slot = slot(version, USER | bits, 96, &frame);
            let mut offload = COMPLETE;
            offload[0] = 1;
            put(&mut offload, 6, &34_u16.to_ne_bytes());
            put(&mut slot, 96 - LENGTH, &offload);
            let packet = read(&slot, version, USER | bits).packet(&mut slot, 0, version, SHAPE).unwrap();
            assert_eq!((packet.offset, packet.captured, packet.length), (92, 104, 104));
            assert_eq!(slot[92..104], frame[..12]);
            assert_eq!(slot[104..108], tag);
            assert_eq!(slot[108..196], frame[12..]);
            // Its offload header has moved along, and counts from the frame's new start.
            assert_eq!(slot[92 - LENGTH], 1);
            assert_eq!(slot[92 - LENGTH + 6..][..2], 38_u16.to_ne_bytes());
        }
    }
}

#[test]
fn what_does_not_fit_its_slot_is_not_handed_out() {
    let frame: Vec<u8> = (0..100).collect();
    for version in [Version::Two, Version::Three] {
        let good = slot(version, USER, 96, &frame);
        let header = read(&good, version, USER);
        for bad in [
            Header { mac: 0, ..header },
            Header { mac: version.length() as u16 + LENGTH as u16 - 1, ..header },
            Header { mac: 1949, ..header },
            Header { mac: u16::MAX, ..header },
            Header { captured: 1953, length: 1953, ..header },
            Header { captured: u32::MAX, length: u32::MAX, ..header },
            Header { length: 99, ..header },
        ] {
            assert_eq!(bad.packet(&mut good.clone(), 0, version, SHAPE).map(|packet| packet.offset), None);
        }
        assert!(Header { mac: 1948, ..header }.packet(&mut good.clone(), 0, version, SHAPE).is_some());
        assert_eq!(Header::read(&good[..47], version), None);
        // A tag cannot be put behind addresses that are not there.
        let status = libc::TP_STATUS_VLAN_VALID;
        let runt = Header { captured: 11, length: 11, status, ..header };
        assert_eq!(runt.packet(&mut good.clone(), 0, version, SHAPE).unwrap().captured, 11);
    }
}

#[test]
fn a_frame_of_an_unknown_kind_gets_the_header_of_a_cooked_capture() {
    for version in [Version::Two, Version::Three] {
        let mut slot = slot(version, USER, 96, &[0x45; 60]);
        let address = version.length();
        put(&mut slot, address + 2, &[0x08, 0x00]);
        put(&mut slot, address + 8, &512_u16.to_ne_bytes());
        put(&mut slot, address + 10, &[libc::PACKET_OUTGOING, 6, 1, 2, 3, 4, 5, 6, 0, 0]);
        assert!(is_outgoing(&slot, version));
        let shape = Shape { link: LinkType::LinuxSll, has_offload: false, skip_outgoing: false };
        let packet = read(&slot, version, USER).packet(&mut slot, 0, version, shape).unwrap();
        assert_eq!((packet.offset, packet.captured, packet.length), (80, 76, 76));
        assert_eq!(slot[80..97], [0, 4, 2, 0, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0, 0x45]);
    }
}

fn partial(is_ipv6: bool, payload: &[u8]) -> Vec<u8> {
    let (source, destination) =
        if is_ipv6 { ("[fd00::1]:80", "[fd00::2]:4000") } else { ("10.0.0.1:80", "10.0.0.2:4000") };
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    TcpFrame::new(source, destination)
        .vlan(&[5])
        .flags(TcpFlags::ACK)
        .timestamps(1, 2)
        .payload(payload)
        .partial_checksum()
        .build()
}

/// Does what the kernel does with a frame that says its checksum is to be made.
fn finish(frame: &mut [u8], header: [u8; LENGTH]) {
    let half = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    let (from, at) = (half(6), half(8));
    let sum = !checksum::fold(checksum::sum(&frame[from..]));
    frame[from + at..from + at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn a_checksum_that_was_left_out_can_be_made_by_the_kernel() {
    for is_ipv6 in [false, true] {
        let mut frame = partial(is_ipv6, b"hello");
        // Whatever an edit has left in the field.
        let mut segment = Segment::default();
        let length = frame.len() as u32;
        assert_eq!(decode(&frame, LinkType::Ethernet, length, &mut segment), Outcome::Tcp);
        put(&mut frame, usize::from(segment.transport) + 16, &[0xab, 0xcd]);
        let header = prepare(&mut frame, LinkType::Ethernet, 1514).unwrap();
        assert_eq!((header[0], header[1]), (1, 0));
        finish(&mut frame, header);
        assert_eq!(checksum::verify_tcp(&frame, &segment), Checksum::Good);
    }
}

#[test]
fn a_frame_too_long_for_the_interface_is_cut_by_the_kernel() {
    for (is_ipv6, kind) in [(false, 1), (true, 4)] {
        let mut frame = partial(is_ipv6, &[7; 9000]);
        let headers = frame.len() - 9000;
        let header = prepare(&mut frame, LinkType::Ethernet, 1514).unwrap();
        assert_eq!((header[0], header[1]), (1, kind));
        let half = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        assert_eq!((half(2), half(4)), (headers, 1514 - headers));
    }
}

#[test]
fn what_has_no_checksum_to_make_is_not_sent_as_if_it_had() {
    let good = partial(false, b"hello");
    let change = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        prepare(&mut frame, LinkType::Ethernet, 1514)
    };
    assert!(change(0, 0).is_some());
    for (at, value) in [(17, 0xdd), (18, 0x55), (18, 0x41), (25, 1), (24, 0x20), (27, 1), (20, 0xff)] {
        assert_eq!(change(at, value), None, "{at}");
    }
    for length in 0..good.len() {
        assert_eq!(prepare(&mut good[..length].to_vec(), LinkType::Ethernet, 1514), None, "{length}");
    }
    let good = partial(true, b"hello");
    for length in 0..good.len() {
        assert_eq!(prepare(&mut good[..length].to_vec(), LinkType::Ethernet, 1514), None, "{length}");
    }
}

#[test]
fn a_received_offload_header_is_made_one_to_send() {
    let frame = partial(false, &[7; 9000]);
    let header = |flags: u8, kind: u8, length: u16, from: u16| {
        let mut header = [flags, kind, 0, 0, 0, 0, 0, 0, 16, 0];
        put(&mut header, 2, &length.to_ne_bytes());
        put(&mut header, 4, &1448_u16.to_ne_bytes());
        put(&mut header, 6, &from.to_ne_bytes());
        header
    };
    let passed = |mut header: [u8; LENGTH], is_partial| {
        pass_on(&mut header, &frame, is_partial);
        header
    };
    assert_eq!(passed(COMPLETE, false), COMPLETE);
    // What was verified on reception, or finished since, is complete.
    assert_eq!(passed(header(2, 0, 0, 0), false), COMPLETE);
    assert_eq!(passed(header(1, 0, 0, 38), false), COMPLETE);
    assert_eq!(passed(header(1, 0, 0, 38), true), header(1, 0, 0, 38));
    // Of segments to be cut, only the headers have to be in one piece.
    assert_eq!(passed(header(1, 1, 9070, 38), true), header(1, 1, 38 + 32, 38));
    for from in [u16::MAX, 9070, 9065] {
        let length = passed(header(1, 1, 9070, from), true);
        assert!(usize::from(u16::from_ne_bytes([length[2], length[3]])) <= frame.len());
    }
    let mut moved = header(1, 1, u16::MAX, u16::MAX);
    shift(&mut moved, 4);
    assert_eq!(moved, header(1, 1, u16::MAX, u16::MAX));
}

#[test]
fn names_that_cannot_be_opened_tell_why() {
    let error = |name: &str| super::super::open(name).err().unwrap().to_string();
    assert!(error("af_packet:no-such").starts_with("af_packet:no-such: no interface no-such; there are: "));
    assert!(error("af_packet:").starts_with("af_packet:: no interface ; there are: "));
    assert_eq!(
        error("af_packet:lo?rings=1"),
        "af_packet:lo?rings=1: this port has no option rings; its options are ring, fanout, promisc, \
         outgoing, tpacket, offloads"
    );
    assert!(error("af_packet:lo?tpacket=1").ends_with("tpacket=1: give one of 2, 3"));
}
