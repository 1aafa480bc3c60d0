//! Where the checksums of a frame are, and what they cover.

use super::delta::Delta;
use crate::port::ChecksumState;
use crate::wire::checksum::{self, fold, pseudo_header};
use crate::wire::{self, Checksum, Outcome, Segment};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Where the headers of a frame and its checksums are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Where the IP header starts.
    pub(super) network: usize,
    /// 4 or 6.
    pub(super) version: u8,
    /// Where the TCP header starts, if the frame carries a TCP segment.
    pub(super) tcp: Option<usize>,
    /// Whether there is an IPv4 header checksum to be kept as right as it is.
    has_header_sum: bool,
    transport: Transport,
    /// Whether the transport's checksum covers the IP header's source and destination.
    covers: [bool; 2],
}

/// The checksum of what IP carries.
#[derive(Clone, Copy, Debug)]
enum Transport {
    /// There is none that a change would make wrong.
    None,
    /// At this place, over pseudo-header, header and payload.
    Whole(usize),
    /// The same, of UDP: 0 says that there is none.
    Udp(usize),
    /// At this place, of the pseudo-header only: hardware will do the rest.
    Pseudo(usize),
}

/// What a changed byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// The IP header, but for the addresses.
    Ip,
    /// The source address.
    IpSource,
    /// The destination address.
    IpDestination,
    /// TCP's header and payload.
    Tcp,
}

impl Layout {
    /// The layout of a frame that was decoded to `outcome` and `segment`; `state` is what its port knows. None if it
    /// holds no IP header.
    pub(crate) fn of(
        frame: &[u8],
        outcome: Outcome,
        segment: &Segment,
        state: ChecksumState,
    ) -> Option<Layout> {
        let network = usize::from(segment.network);
        let header = frame.get(network..)?;
        if header.len() < if segment.version == 4 { 20 } else { 40 } || !matches!(segment.version, 4 | 6) {
            return None;
        }
        let mut layout = Layout {
            network,
            version: segment.version,
            tcp: None,
            has_header_sum: segment.version == 4
                && (header[10..12] != [0, 0]
                    || checksum::verify_ipv4_header(frame, segment) == Checksum::Good),
            transport: Transport::None,
            covers: [true; 2],
        };
        if outcome == Outcome::Tcp && !segment.is_broken() {
            let at = usize::from(segment.transport);
            layout.tcp = Some(at);
            layout.covers = wire::covered_addresses(frame, segment);
            layout.transport = tcp_sum(frame, segment, state).map_or(Transport::None, |is_whole| {
                if is_whole { Transport::Whole(at + 16) } else { Transport::Pseudo(at + 16) }
            });
        } else if let Some((protocol, at)) = wire::transport_of(frame, segment) {
            layout.transport = match protocol {
                TCP => Transport::Whole(at + 16),
                UDP if state == ChecksumState::Partial => Transport::Pseudo(at + 6),
                UDP => Transport::Udp(at + 6),
                ICMPV6 if segment.version == 6 => Transport::Whole(at + 2),
                _ => Transport::None,
            };
        }
        Some(layout)
    }

    /// Writes `bytes` at `at`, which is within `area`, and mends the checksums that cover them. What lies beyond the
    /// frame's end is left out.
    pub(crate) fn put(&self, frame: &mut [u8], area: Area, at: usize, bytes: &[u8]) {
        let delta = match area {
            Area::Tcp => Delta::of(frame, self.tcp.unwrap_or(at), at, bytes),
            Area::Ip | Area::IpSource | Area::IpDestination => Delta::of(frame, self.network, at, bytes),
        };
        if let Some(place) = frame.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.mend(frame, area, delta);
        }
    }

    /// Mends the checksums that cover `area` after a change of its bytes.
    pub(crate) fn mend(&self, frame: &mut [u8], area: Area, delta: Delta) {
        let is_covered = match area {
            Area::Ip => false,
            Area::IpSource => self.covers[0],
            Area::IpDestination => self.covers[1],
            Area::Tcp => true,
        };
        if area != Area::Tcp && self.has_header_sum {
            change(frame, self.network + 10, |sum| delta.mend(sum));
        }
        if !is_covered {
            return;
        }
        match self.transport {
            Transport::Whole(at) => change(frame, at, |sum| delta.mend(sum)),
            Transport::Udp(at) => change(frame, at, |sum| match sum {
                0 => 0,
                sum => Some(delta.mend(sum)).filter(|sum| *sum != 0).unwrap_or(0xffff),
            }),
            Transport::Pseudo(at) if area != Area::Tcp => change(frame, at, |sum| delta.add(sum)),
            Transport::None | Transport::Pseudo(_) => {}
        }
    }

    /// Whether there is an IPv4 header checksum to be kept as right as it is.
    pub(crate) fn has_header_sum(&self) -> bool {
        self.has_header_sum
    }

    /// Whether hardware has still to put in the TCP checksum.
    pub(crate) fn is_partial(&self) -> bool {
        self.tcp.is_some() && matches!(self.transport, Transport::Pseudo(_) | Transport::None)
    }
}

/// Whether the TCP checksum field holds the whole checksum, right or wrong, or else the pseudo-header's sum; none if the
/// field was left empty.
fn tcp_sum(frame: &[u8], segment: &Segment, state: ChecksumState) -> Option<bool> {
    let field = segment.checksum(frame);
    let is_whole = match state {
        ChecksumState::Verified => true,
        ChecksumState::Partial => false,
        ChecksumState::Unknown => {
            let (source, destination) = (segment.source(frame), segment.destination(frame));
            let header = u32::from(segment.payload - segment.transport);
            let pseudo = |length| fold(pseudo_header(source, destination, length));
            let looks_partial = field == 0 || field == pseudo(header + segment.length) || field == pseudo(0);
            // A whole checksum can look like that by chance.
            !looks_partial || checksum::verify_tcp(frame, segment) != Checksum::Partial
        }
    };
    if !is_whole && field == 0 { None } else { Some(is_whole) }
}

fn change(frame: &mut [u8], at: usize, mend: impl Fn(u16) -> u16) {
    if let Some(field) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
        *field = mend(u16::from_be_bytes(*field)).to_be_bytes();
    }
}
