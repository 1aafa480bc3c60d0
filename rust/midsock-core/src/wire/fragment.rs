//! A fragment of an IP datagram (RFC 791, 3.2; RFC 8200, 4.5).

use std::ops::Range;

use super::ip::{self, Chain};
use super::{Segment, be16, be32};

/// A fragment found in a frame; all places count from the frame's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Which datagram it is of, among those of its ends: 16 bits of IPv4, 32 of IPv6.
    pub id: u32,
    /// The protocol of what was cut in pieces; of IPv6, the header that its first fragment starts with.
    pub protocol: u8,
    /// Where in its datagram's data it starts, in bytes: a multiple of 8.
    pub offset: u32,
    /// More fragments come after it.
    pub more: bool,
    /// Its data, as far as it was captured.
    pub data: Range<usize>,
    /// Bytes of data on the wire.
    pub length: u32,
    /// Where the headers end that its datagram has: IPv6's fragment header is none of them.
    pub(crate) head: usize,
    /// Where the field is that announces IPv6's fragment header.
    pub(crate) announced: usize,
}

impl Fragment {
    /// The fragment in a frame that was decoded as [one](super::Outcome::Fragment); none if the frame is another one.
    pub fn of(frame: &[u8], segment: &Segment) -> Option<Fragment> {
        let (network, header) = (usize::from(segment.network), usize::from(segment.transport));
        let start = usize::from(segment.payload);
        let data = start..start.checked_add(segment.captured as usize)?;
        frame.get(data.clone())?;
        let length = segment.length;
        if segment.version == 4 {
            let fields = frame.get(network..)?.first_chunk::<20>()?;
            let bits = be16(fields, 6);
            return Some(Fragment {
                id: be16(fields, 4).into(),
                protocol: fields[9],
                offset: u32::from(bits & 0x1fff) * 8,
                more: bits & 0x2000 != 0,
                data,
                length,
                head: start,
                announced: network + 9,
            });
        }
        let fields = frame.get(header..)?.first_chunk::<8>()?;
        let bits = be16(fields, 2);
        Some(Fragment {
            id: be32(fields, 4),
            protocol: fields[0],
            offset: u32::from(bits & 0xfff8),
            more: bits & 1 != 0,
            data,
            length,
            head: header,
            announced: ip::announcement(frame, network, header)?,
        })
    }

    /// Whether the first fragment holds whole what comes before the data of its transport: extension headers and the
    /// transport's own (RFC 7112 for IPv6, RFC 1858 for TCP over IPv4). True of any other fragment, and of what was not
    /// captured whole.
    pub fn has_headers(&self, frame: &[u8], segment: &Segment) -> bool {
        let is_cut = (self.data.len() as u32) < self.length;
        if self.offset > 0 || is_cut {
            return true;
        }
        let data = frame.get(self.data.clone()).unwrap_or_default();
        match ip::chain(data, self.protocol, segment.version) {
            Chain::Cut => false,
            Chain::Ends(transport, at) => data.len() - at >= least_header(transport),
        }
    }
}

/// The fewest bytes that the header of a transport has.
const fn least_header(transport: u8) -> usize {
    const ICMP: u8 = 1;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const ICMP_V6: u8 = 58;
    const SCTP: u8 = 132;
    match transport {
        TCP => 20,
        SCTP => 12,
        UDP => 8,
        ICMP | ICMP_V6 => 4,
        _ => 0,
    }
}
