//! Frames whose checksum was left to hardware that there is none of.
//!
//! The other end of a veth hands over packets whose checksum of TCP or UDP it left out (transmit offload). The kernel remembers
//! that where it has the packet itself; an AF_XDP socket is not told. Sent on, such a packet has a wrong checksum.

use crate::wire::checksum;

/// Kinds of frames, and numbers of protocols with where their checksum is.
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: (u8, usize) = (6, 16);
const UDP: (u8, usize) = (17, 6);

/// Whether the frame is a packet of TCP or UDP whose checksum field holds the sum of the pseudo-header only (RFC 9293,
/// section 3.1), as the field does that offloading hardware is to finish, and not by chance the right checksum. VLAN
/// tags and extension headers are not looked behind, nor into fragments: it is enough to recognise most frames of such a
/// sender.
pub(super) fn is_partial(frame: &[u8]) -> bool {
    partial(frame).unwrap_or(false)
}

fn partial(frame: &[u8]) -> Option<bool> {
    let packet = frame.get(14..)?;
    let (addresses, protocol, segment) = match frame.get(12..14)?.try_into().ok()? {
        IPV4 => {
            let header = usize::from(packet.first()? & 15) * 4;
            let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
            if u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0 {
                return None;
            }
            (packet.get(12..20)?, *packet.get(9)?, packet.get(header..usize::from(total))?)
        }
        IPV6 => {
            let length = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
            (packet.get(8..40)?, *packet.get(6)?, packet.get(40..40 + usize::from(length))?)
        }
        _ => return None,
    };
    let (_, at) = [TCP, UDP].into_iter().find(|(number, _)| *number == protocol)?;
    let field = segment.get(at..at + 2)?;
    let pseudo = checksum::sum(addresses) + u32::from(protocol) + segment.len() as u32;
    let is_unfinished = field == checksum::fold(pseudo).to_be_bytes();
    Some(is_unfinished && checksum::fold(pseudo + checksum::sum(segment)) != 0xffff)
}

#[cfg(test)]
mod tests;
