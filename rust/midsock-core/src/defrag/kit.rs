//! Fragments, for tests.

use crate::wire::checksum;

/// A fragment over Ethernet, from 192.0.2.1 to 198.51.100.1 or the like of IPv6, of a datagram of `protocol`.
pub(crate) fn fragment(
    version: u8,
    protocol: u8,
    id: u32,
    offset: usize,
    more: bool,
    data: &[u8],
) -> Vec<u8> {
    let bits = (offset as u16).to_be_bytes();
    let mut frame = vec![2; 12];
    if version == 4 {
        let total = (20 + data.len() as u16).to_be_bytes();
        let bits = ((offset as u16 / 8) | (u16::from(more) << 13)).to_be_bytes();
        let id = (id as u16).to_be_bytes();
        frame.extend([8, 0, 0x45, 0, total[0], total[1], id[0], id[1], bits[0], bits[1], 64, protocol, 0, 0]);
        frame.extend([192, 0, 2, 1, 198, 51, 100, 1]);
        checksum::mend_ipv4_header(&mut frame[14..]);
    } else {
        let length = (8 + data.len() as u16).to_be_bytes();
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], 44, 64]);
        for last in [1, 2] {
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        frame.extend([protocol, 0, bits[0], bits[1] | u8::from(more)]);
        frame.extend(id.to_be_bytes());
    }
    frame.extend(data);
    frame
}

/// The part of a frame's datagram that holds the bytes of its data from `start` to `end`, as a router would have cut it.
pub(crate) fn cut(frame: &[u8], id: u32, start: usize, end: usize) -> Vec<u8> {
    cut_as(frame, id, start, end, None)
}

/// The same, but told to have more fragments behind it or not.
pub(crate) fn cut_as(frame: &[u8], id: u32, start: usize, end: usize, more: Option<bool>) -> Vec<u8> {
    let (network, head) = headers(frame);
    let is_v4 = frame[network] >> 4 == 4;
    let data = &frame[head..];
    let more = more.unwrap_or(end < data.len());
    let mut fragment = frame[..head].to_vec();
    if is_v4 {
        fragment[network + 2..network + 4]
            .copy_from_slice(&((head - network + end - start) as u16).to_be_bytes());
        fragment[network + 4..network + 6].copy_from_slice(&(id as u16).to_be_bytes());
        let bits = (start / 8) as u16 | u16::from(more) << 13;
        fragment[network + 6..network + 8].copy_from_slice(&bits.to_be_bytes());
        checksum::mend_ipv4_header(&mut fragment[network..]);
    } else {
        let next = std::mem::replace(&mut fragment[network + 6], 44);
        fragment[network + 4..network + 6].copy_from_slice(&((8 + end - start) as u16).to_be_bytes());
        let bits = start as u16 | u16::from(more);
        fragment.extend([next, 0, (bits >> 8) as u8, bits as u8]);
        fragment.extend(id.to_be_bytes());
    }
    fragment.extend(&data[start..end]);
    fragment
}

/// Where a frame's outermost IP header starts, and where it ends.
fn headers(frame: &[u8]) -> (usize, usize) {
    let mut network = 14;
    while frame[network - 2..network] == [0x81, 0] || frame[network - 2..network] == [0x88, 0xa8] {
        network += 4;
    }
    let length = if frame[network] >> 4 == 4 { usize::from(frame[network] & 15) * 4 } else { 40 };
    (network, network + length)
}

/// A frame's datagram in fragments with so many bytes of data each.
pub(crate) fn pieces(frame: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    let length = frame.len() - headers(frame).1;
    (0..length).step_by(size).map(|start| cut(frame, id, start, length.min(start + size))).collect()
}
