//! What the kernel writes before each frame in a ring (`linux/if_packet.h`), checked before it is used.

use super::offload;
use crate::Nanos;
use crate::port::{ChecksumState, LinkType, Packet, TIME_LIMIT};

/// Bytes that the kernel is told to leave free before each frame: with them the IP header of an Ethernet frame starts at
/// a multiple of 16, and a VLAN tag fits before the MAC addresses.
pub(super) const RESERVE: u32 = 6;

/// Bytes of a tag of IEEE 802.1Q.
const VLAN_TAG: usize = 4;
/// Bytes of both MAC addresses.
const MACS: usize = 12;
/// Bytes of the header of a cooked capture (`LINKTYPE_LINUX_SLL`).
const COOKED: usize = 16;

const STATUS_LOSING_CHECKSUM: u32 = libc::TP_STATUS_CSUMNOTREADY;
const STATUS_CHECKSUM_VALID: u32 = libc::TP_STATUS_CSUM_VALID;

/// The header that a ring's frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `struct tpacket2_hdr`.
    Two,
    /// `struct tpacket3_hdr`.
    Three,
}

impl Version {
    /// Bytes of the header, which the receiving interface's address (`struct sockaddr_ll`) follows.
    pub(super) const fn length(self) -> usize {
        match self {
            Self::Two => 32,
            Self::Three => 48,
        }
    }
}

/// Bytes from a header's start within which a frame's start lies, whatever the version and the link.
pub(super) const ROOM: usize = 48 + 20 + 64;

/// How frames are to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// What the frames start with.
    pub(super) link: LinkType,
    /// Whether a `struct virtio_net_hdr` stands before each frame.
    pub(super) has_offload: bool,
    /// Whether frames that this machine sends are passed over: for kernels that do not do so themselves.
    pub(super) skip_outgoing: bool,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// `TP_STATUS_…`.
    pub(super) status: u32,
    /// Bytes of the frame on the wire.
    pub(super) length: u32,
    /// Bytes of it that are there.
    pub(super) captured: u32,
    /// Where it starts, from the header's start.
    pub(super) mac: u16,
    pub(super) seconds: u32,
    pub(super) nanoseconds: u32,
    pub(super) vlan_tci: u16,
    pub(super) vlan_tpid: u16,
}

impl Header {
    /// The header at the start of `slot`, but for the status of version 2, which is to be read atomically; none if the
    /// slot is too short for one.
    pub(super) fn read(slot: &[u8], version: Version) -> Option<Header> {
        let slot = slot.first_chunk::<48>()?;
        let word = |at: usize| u32::from_ne_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([slot[at], slot[at + 1]]);
        Some(match version {
            Version::Two => Header {
                status: 0,
                length: word(4),
                captured: word(8),
                mac: half(12),
                seconds: word(16),
                nanoseconds: word(20),
                vlan_tci: half(24),
                vlan_tpid: half(26),
            },
            Version::Three => Header {
                status: word(20),
                length: word(16),
                captured: word(12),
                mac: half(24),
                seconds: word(4),
                nanoseconds: word(8),
                vlan_tci: word(32) as u16,
                vlan_tpid: half(36),
            },
        })
    }

    fn time(&self) -> Nanos {
        (Nanos::from(self.seconds) * 1_000_000_000 + Nanos::from(self.nanoseconds)).min(TIME_LIMIT)
    }

    fn checksum(&self) -> ChecksumState {
        if self.status & STATUS_LOSING_CHECKSUM != 0 {
            ChecksumState::Partial
        } else if self.status & STATUS_CHECKSUM_VALID != 0 {
            ChecksumState::Verified
        } else {
            ChecksumState::Unknown
        }
    }

    /// The frame as a packet, if what the kernel says of it can be: it lies within `slot` (which starts `base` bytes into
    /// the port's memory), behind the header. A VLAN tag that was taken off is put back, and a cooked frame gets its
    /// header.
    pub(super) fn packet(
        &self,
        slot: &mut [u8],
        base: usize,
        version: Version,
        shape: Shape,
    ) -> Option<Packet> {
        let before = if shape.has_offload { offload::LENGTH } else { 0 };
        let start = usize::from(self.mac);
        let end = start.checked_add(self.captured as usize)?;
        if start < version.length() + before || end > slot.len() || self.captured > self.length {
            return None;
        }
        let mut packet = self.at(base, start, shape.link);
        match shape.link {
            LinkType::Ethernet => self.restore_vlan(slot, start, before, &mut packet),
            LinkType::LinuxSll => cooked(slot, start, version, &mut packet)?,
            _ => {}
        }
        Some(packet)
    }

    /// The frame as a packet that starts `start` bytes into the stretch at `base` of the port's memory.
    pub(super) fn at(&self, base: usize, start: usize, link: LinkType) -> Packet {
        Packet {
            time: self.time(),
            offset: base + start,
            captured: self.captured,
            length: self.length,
            link,
            checksum: self.checksum(),
            interface: 0,
        }
    }

    /// Puts the tag back behind the MAC addresses, which make room by moving down together with the `before` bytes that
    /// stand before them.
    pub(super) fn restore_vlan(&self, slot: &mut [u8], start: usize, before: usize, packet: &mut Packet) {
        if self.status & libc::TP_STATUS_VLAN_VALID == 0
            || (self.captured as usize) < MACS
            || start < before + VLAN_TAG
        {
            return;
        }
        let has_type = self.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let tag_type = if has_type { self.vlan_tpid } else { 0x8100 };
        slot.copy_within(start - before..start + MACS, start - before - VLAN_TAG);
        let tag = &mut slot[start + MACS - VLAN_TAG..start + MACS];
        tag[..2].copy_from_slice(&tag_type.to_be_bytes());
        tag[2..].copy_from_slice(&self.vlan_tci.to_be_bytes());
        packet.offset -= VLAN_TAG;
        packet.captured = packet.captured.saturating_add(VLAN_TAG as u32);
        packet.length = packet.length.saturating_add(VLAN_TAG as u32);
        if before != 0 {
            offload::shift(&mut slot[start - before - VLAN_TAG..][..offload::LENGTH], VLAN_TAG as u16);
        }
    }
}

/// Whether the frame is one that this machine sends.
pub(super) fn is_outgoing(slot: &[u8], version: Version) -> bool {
    slot.get(version.length() + 10) == Some(&libc::PACKET_OUTGOING)
}

/// Makes the header of a cooked capture from the address that the kernel left behind the frame's header.
fn cooked(slot: &mut [u8], start: usize, version: Version, packet: &mut Packet) -> Option<()> {
    let address = *slot.get(version.length()..)?.first_chunk::<20>()?;
    let start = start.checked_sub(COOKED).filter(|start| *start >= version.length())?;
    let native = |at: usize| u16::from_ne_bytes([address[at], address[at + 1]]).to_be_bytes();
    let header = &mut slot[start..start + COOKED];
    header[..2].copy_from_slice(&[0, address[10]]); // incoming, outgoing, for others …
    header[2..4].copy_from_slice(&native(8)); // kind of interface
    header[4..6].copy_from_slice(&[0, address[11]]); // length of the sender's address
    header[6..14].copy_from_slice(&address[12..20]);
    header[14..].copy_from_slice(&address[2..4]); // protocol, in network order here as there
    packet.offset -= COOKED;
    packet.captured = packet.captured.saturating_add(COOKED as u32);
    packet.length = packet.length.saturating_add(COOKED as u32);
    Some(())
}
