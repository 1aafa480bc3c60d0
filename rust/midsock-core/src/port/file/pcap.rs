//! The classic capture format of libpcap.
//!
//! <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/>: a file header of 24 bytes, then records of a header of
//! 16 bytes and the frame. The first four bytes tell the byte order and the unit of the second half of the time stamps.

use super::super::{BURST, ChecksumState, LinkType, Packet};
use super::walk::{Order, Stop};
use crate::Nanos;

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;

/// The longest frame a record may hold (libpcap's `MAXIMUM_SNAPLEN`). The file header's own snapshot length is not used:
/// many programs write one that is 0 or less than what they captured.
const MAX_CAPTURED: u32 = 262_144;

pub(super) const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
pub(super) const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Alexey Kuznetsov's patch to libpcap: every record header has eight bytes more (interface, protocol, packet type).
pub(super) const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

const RECORD_HEADER: usize = 16;
const MODIFIED_RECORD_HEADER: usize = 24;

type Walk = fn(&[u8], &mut usize, LinkType, &mut Vec<Packet>) -> Stop;

/// Reads the records of one file.
#[derive(Debug)]
pub(super) struct Pcap {
    walk: Walk,
    link: LinkType,
}

impl Pcap {
    /// Whether a file that starts with `head` is of this format.
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.first_chunk().is_some_and(|&magic| byte_order(magic).is_some())
    }

    /// Reads the file header; the error is the reason why these files cannot be read.
    pub(super) fn new(header: &[u8; FILE_HEADER]) -> Result<Self, String> {
        let magic = [header[0], header[1], header[2], header[3]];
        match byte_order(magic) {
            Some((true, magic)) => Self::with_order::<true>(magic, header),
            Some((false, magic)) => Self::with_order::<false>(magic, header),
            None => Err("the file header is not that of a capture".into()),
        }
    }

    fn with_order<const BIG: bool>(magic: u32, header: &[u8; FILE_HEADER]) -> Result<Self, String> {
        let (major, minor) = (Order::<BIG>::half(header, 4), Order::<BIG>::half(header, 6));
        // Before 2.3 the two lengths of a record were the other way round, in 2.3 some programs had them so, and version
        // 543.0 is what a program at Los Alamos wrote. The smaller one is the captured length in all of them.
        let either_order = match (major, minor) {
            (2, 0..=3) | (543, 0) => true,
            (2, _) => false,
            _ => {
                return Err(format!(
                    "pcap version {major}.{minor}, of which nothing is known; versions 2.x are read"
                ));
            }
        };
        let walk: Walk = match (magic, either_order) {
            (MAGIC_NANOS, false) => walk::<BIG, 1, RECORD_HEADER, false>,
            (MAGIC_NANOS, true) => walk::<BIG, 1, RECORD_HEADER, true>,
            (MAGIC_MODIFIED, false) => walk::<BIG, 1000, MODIFIED_RECORD_HEADER, false>,
            (MAGIC_MODIFIED, true) => walk::<BIG, 1000, MODIFIED_RECORD_HEADER, true>,
            (_, false) => walk::<BIG, 1000, RECORD_HEADER, false>,
            (_, true) => walk::<BIG, 1000, RECORD_HEADER, true>,
        };
        // The upper half tells the length of a frame check sequence; the IP length already keeps that out.
        let link = LinkType::from_linktype(Order::<BIG>::word(header, 20) as u16);
        Ok(Self { walk, link })
    }

    /// Puts the packets in `memory`, from `at` on, into `burst` and moves `at` behind them.
    pub(super) fn walk(&self, memory: &[u8], at: &mut usize, burst: &mut Vec<Packet>) -> Stop {
        (self.walk)(memory, at, self.link, burst)
    }
}

/// The byte order (true: big endian) and the magic number in it.
fn byte_order(magic: [u8; 4]) -> Option<(bool, u32)> {
    [(true, u32::from_be_bytes(magic)), (false, u32::from_le_bytes(magic))]
        .into_iter()
        .find(|&(_, magic)| matches!(magic, MAGIC_MICROS | MAGIC_NANOS | MAGIC_MODIFIED))
}

/// The inner loop, one copy for each byte order, nanoseconds per unit of time, length of the record header, and
/// whether the two lengths can be the other way round.
fn walk<const BIG: bool, const UNIT: i64, const HEADER: usize, const EITHER_ORDER: bool>(
    memory: &[u8],
    start: &mut usize,
    link: LinkType,
    burst: &mut Vec<Packet>,
) -> Stop {
    let mut at = *start;
    let stop = loop {
        if burst.len() >= BURST {
            break Stop::Full;
        }
        let Some(header) = memory.get(at..).and_then(|rest| rest.first_chunk::<RECORD_HEADER>()) else {
            break Stop::Incomplete;
        };
        let seconds = Order::<BIG>::word(header, 0);
        let fraction = Order::<BIG>::word(header, 4);
        let mut captured = Order::<BIG>::word(header, 8);
        let mut length = Order::<BIG>::word(header, 12);
        if EITHER_ORDER && captured > length {
            (captured, length) = (length, captured);
        }
        if captured > MAX_CAPTURED {
            break Stop::Damaged(format!("says that it holds {captured} bytes"));
        }
        let offset = at + HEADER;
        let end = offset + captured as usize;
        if end > memory.len() {
            break Stop::Incomplete;
        }
        burst.push(Packet {
            // 32 bits of each stay below TIME_LIMIT.
            time: Nanos::from(seconds) * 1_000_000_000 + Nanos::from(fraction) * UNIT,
            offset,
            captured,
            length: length.max(captured),
            link,
            checksum: ChecksumState::Unknown,
            interface: 0,
        });
        at = end;
    };
    *start = at;
    stop
}
