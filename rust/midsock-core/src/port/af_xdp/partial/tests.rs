use proptest::prelude::*;

use super::is_partial;

/// An Ethernet frame with an IP header up to its addresses, and a TCP header with `checksum`.
fn frame(ip: &[u8], kind: [u8; 2], checksum: u16) -> Vec<u8> {
    let mut tcp = [0; 20];
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    [&[2; 12], &kind[..], ip, &tcp].concat()
}

#[test]
fn only_the_sum_of_the_pseudo_header_is_partial() {
    let ipv4 = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    // 0a00 + 0001 + 0a00 + 0002 + 6 + 20
    assert!(is_partial(&frame(&ipv4, [8, 0], 0x141d)));
    assert!(!is_partial(&frame(&ipv4, [8, 0], 0x141e)));
    assert!(!is_partial(&frame(&ipv4, [8, 0], !0x141d)));
    // It may also be the right checksum, if the rest of the segment is so.
    let mut right = frame(&ipv4, [8, 0], 0x141d);
    right[38..40].copy_from_slice(&(0xffff - 2 * 0x141d_u16).to_be_bytes());
    assert!(!is_partial(&right));
    let mut icmp = ipv4;
    icmp[9] = 1;
    assert!(!is_partial(&frame(&icmp, [8, 0], 0x141d)));
    let mut udp = ipv4;
    udp[9] = 17;
    let mut udp = frame(&udp, [8, 0], 0);
    assert!(!is_partial(&udp));
    udp[40..42].copy_from_slice(&(0x141d_u16 + 11).to_be_bytes());
    assert!(is_partial(&udp));
    // A fragment's checksum covers more than the fragment.
    udp[20] = 0x20;
    assert!(!is_partial(&udp));
    let mut ipv6 = [0; 40];
    (ipv6[0], ipv6[5], ipv6[6]) = (0x60, 20, 6);
    ipv6[8..40].fill(0xff);
    // Sixteen times ffff, which is 0, or ffff; 6 + 20
    assert!(is_partial(&frame(&ipv6, [0x86, 0xdd], 26)));
}

proptest! {
    #[test]
    fn no_frame_is_too_odd(frame in prop::collection::vec(any::<u8>(), 0..80), ip in any::<bool>()) {
        let mut frame = frame;
        if let Some(kind) = frame.get_mut(12..14) {
            kind.copy_from_slice(if ip { &[8, 0] } else { &[0x86, 0xdd] });
        }
        is_partial(&frame);
        for at in [20, 23] {
            if let Some(protocol) = frame.get_mut(at) {
                *protocol = 6;
            }
        }
        is_partial(&frame);
    }
}
