//! Frames whose checksum was left to hardware that there is none of.
//!
//! The other end of a veth hands over packets whose TCP checksum it left out (transmit offload). The kernel remembers
//! that where it has the packet itself; an AF_XDP socket is not told. Sent on, such a packet has a wrong checksum.

/// Kinds of frames, and the number of TCP.
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;

/// Whether the frame is a TCP segment whose checksum field holds the sum of the pseudo-header only (RFC 9293, section
/// 3.1), as the field does that offloading hardware is to finish. VLAN tags and extension headers are not looked behind:
/// it is enough to recognise most frames of such a sender.
pub(super) fn is_partial(frame: &[u8]) -> bool {
    let parts = || -> Option<(&[u8], u16, &[u8])> {
        let packet = frame.get(14..)?;
        match frame.get(12..14)?.try_into().ok()? {
            IPV4 if *packet.get(9)? == TCP => {
                let header = usize::from(packet[0] & 15) * 4;
                let total = u16::from_be_bytes([packet[2], packet[3]]);
                let segment = packet.get(header..)?;
                Some((packet.get(12..20)?, total.checked_sub(header as u16)?, segment))
            }
            IPV6 if *packet.get(6)? == TCP => {
                let length = u16::from_be_bytes([packet[4], packet[5]]);
                Some((packet.get(8..40)?, length, packet.get(40..)?))
            }
            _ => None,
        }
    };
    let Some((addresses, length, segment)) = parts() else { return false };
    let Some(&[high, low]) = segment.get(16..18) else { return false };
    let words = addresses.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    // At most 18 words: the sum cannot overflow.
    let sum = words.sum::<u32>() + u32::from(TCP) + u32::from(length);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    folded == u32::from(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests;
