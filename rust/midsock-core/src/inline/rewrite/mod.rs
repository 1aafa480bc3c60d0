//! Setting fields of a frame in place.
//!
//! Checksums are mended by the difference (RFC 1624, equation 3), never computed anew: a segment that was damaged on
//! its way stays damaged for its receiver to see.

mod delta;
mod layout;

pub(crate) use self::delta::Delta;
pub(crate) use self::layout::{Area, Layout};
use crate::event::{Field, Value};
use crate::port::{ChecksumState, LinkType};
use crate::wire::{self, Outcome, Segment, TcpFlags, options};

/// A header field that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderField {
    /// Source MAC address: six bytes.
    EthSource,
    /// Destination MAC address: six bytes.
    EthDestination,
    /// Outermost VLAN id, 0 to 4,095; only of a frame that has a tag.
    Vlan,
    /// Second VLAN id.
    VlanInner,
    /// Priority of the outermost VLAN tag, 0 to 7 (IEEE 802.1Q).
    VlanPriority,
    /// Source address, of the packet's IP version.
    IpSource,
    /// Destination address, of the packet's IP version.
    IpDestination,
    /// IPv4 time to live or IPv6 hop limit.
    IpTtl,
    /// IPv4 type of service or IPv6 traffic class: DSCP and ECN.
    IpTos,
    /// Its upper six bits (RFC 2474).
    IpDscp,
    /// Its lower two bits (RFC 3168).
    IpEcn,
    /// IPv4 identification.
    IpId,
    /// Source port.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// Sequence number.
    Seq,
    /// Acknowledgment number.
    AckSeq,
    /// Window field, unscaled.
    Window,
    /// The nine assigned control bits; the reserved ones stay.
    TcpFlags,
    /// One control bit.
    Flag(TcpFlags),
    /// Urgent pointer.
    Urgent,
    /// Maximum segment size; only of a segment that has the option.
    Mss,
    /// Window scale, 0 to 14; only of a segment that has the option.
    WindowScale,
    /// Timestamp: the sender's clock; only of a segment that has the option.
    TsVal,
    /// Timestamp: the echo; only of a segment that has the option.
    TsEcr,
}

/// Every settable field and its name; names that [`Field`] has, too, are the same.
const NAMED: [(HeaderField, &str); 31] = [
    (HeaderField::EthSource, "eth.src"),
    (HeaderField::EthDestination, "eth.dst"),
    (HeaderField::Vlan, "eth.vlan"),
    (HeaderField::VlanInner, "eth.vlan_inner"),
    (HeaderField::VlanPriority, "eth.vlan_priority"),
    (HeaderField::IpSource, "ip.src"),
    (HeaderField::IpDestination, "ip.dst"),
    (HeaderField::IpTtl, "ip.ttl"),
    (HeaderField::IpTos, "ip.tos"),
    (HeaderField::IpDscp, "ip.dscp"),
    (HeaderField::IpEcn, "ip.ecn"),
    (HeaderField::IpId, "ip.id"),
    (HeaderField::SourcePort, "tcp.sport"),
    (HeaderField::DestinationPort, "tcp.dport"),
    (HeaderField::Seq, "tcp.seq"),
    (HeaderField::AckSeq, "tcp.ack_seq"),
    (HeaderField::Window, "tcp.window"),
    (HeaderField::TcpFlags, "tcp.flags"),
    (HeaderField::Flag(TcpFlags::FIN), "tcp.fin"),
    (HeaderField::Flag(TcpFlags::SYN), "tcp.syn"),
    (HeaderField::Flag(TcpFlags::RST), "tcp.rst"),
    (HeaderField::Flag(TcpFlags::PSH), "tcp.psh"),
    (HeaderField::Flag(TcpFlags::ACK), "tcp.ack"),
    (HeaderField::Flag(TcpFlags::URG), "tcp.urg"),
    (HeaderField::Flag(TcpFlags::ECE), "tcp.ece"),
    (HeaderField::Flag(TcpFlags::CWR), "tcp.cwr"),
    (HeaderField::Urgent, "tcp.urgent"),
    (HeaderField::Mss, "tcp.mss"),
    (HeaderField::WindowScale, "tcp.window_scale"),
    (HeaderField::TsVal, "tcp.tsval"),
    (HeaderField::TsEcr, "tcp.tsecr"),
];

/// Why a field was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is nothing that a frame says in a field of its own.
    #[error("{0} cannot be set; these can: {1}")]
    ReadOnly(String, String),
    /// The value is of another type.
    #[error("{field} is set to {wanted}")]
    Type {
        /// The field's name.
        field: &'static str,
        /// What it takes.
        wanted: &'static str,
    },
    /// The value is too large.
    #[error("{field} is at most {most}")]
    Range {
        /// The field's name.
        field: &'static str,
        /// Its largest value.
        most: u64,
    },
    /// The address is not of the packet's IP version.
    #[error("{field} of an IPv{version} packet is an IPv{version} address")]
    Version {
        /// The field's name.
        field: &'static str,
        /// The packet's version.
        version: u8,
    },
    /// The packet does not have the field.
    #[error("the packet has no {0}")]
    Absent(&'static str),
    /// The segment came through a tunnel.
    #[error("the packet is inside a tunnel; only what is not tunnelled is changed")]
    Tunnelled,
}

impl HeaderField {
    /// Every field that can be set.
    pub fn all() -> impl Iterator<Item = HeaderField> {
        NAMED.into_iter().map(|(field, _)| field)
    }

    /// The field of this name, such as `ip.ttl`.
    pub fn from_name(name: &str) -> Option<HeaderField> {
        NAMED.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(field, _)| *field == self).map_or("tcp.flags", |(_, name)| name)
    }
}

impl TryFrom<Field> for HeaderField {
    type Error = RewriteError;

    fn try_from(field: Field) -> Result<HeaderField, RewriteError> {
        let name = field.name();
        HeaderField::from_name(&name).ok_or(RewriteError::ReadOnly(name, settable()))
    }
}

fn settable() -> String {
    let names: Vec<&str> = NAMED.iter().map(|(_, name)| *name).collect();
    names.join(", ")
}

/// A packet whose fields are to be set: its frame and what is known of it.
pub struct Target<'f> {
    /// The frame.
    pub frame: &'f mut [u8],
    /// What it starts with.
    pub link: LinkType,
    /// What it was decoded to.
    pub outcome: Outcome,
    /// Where its parts are.
    pub segment: &'f Segment,
    /// What its port knows of its checksum.
    pub checksum: ChecksumState,
}

impl Target<'_> {
    /// Sets a field. Nothing is changed if that is an error.
    pub fn set(&mut self, field: HeaderField, value: Value<'_>) -> Result<(), RewriteError> {
        match field {
            HeaderField::EthDestination => self.set_mac(field, 0, value),
            HeaderField::EthSource => self.set_mac(field, 6, value),
            HeaderField::Vlan | HeaderField::VlanInner | HeaderField::VlanPriority => {
                self.set_tag(field, value)
            }
            HeaderField::IpSource
            | HeaderField::IpDestination
            | HeaderField::IpTtl
            | HeaderField::IpTos
            | HeaderField::IpDscp
            | HeaderField::IpEcn
            | HeaderField::IpId => self.set_ip(field, value),
            _ => self.set_tcp(field, value),
        }
    }

    fn layout(&self, field: HeaderField) -> Result<Layout, RewriteError> {
        if self.segment.tunnels > 0 {
            return Err(RewriteError::Tunnelled);
        }
        let layout = Layout::of(self.frame, self.outcome, self.segment, self.checksum);
        layout.ok_or(RewriteError::Absent(field.name()))
    }

    fn set_mac(&mut self, field: HeaderField, at: usize, value: Value<'_>) -> Result<(), RewriteError> {
        let wrong = RewriteError::Type { field: field.name(), wanted: "a MAC address of six bytes" };
        let Value::Bytes(bytes) = value else { return Err(wrong) };
        let address = <[u8; 6]>::try_from(bytes).map_err(|_| wrong)?;
        let place = self.frame.get_mut(at..at + 6).filter(|_| self.link == LinkType::Ethernet);
        place.ok_or(RewriteError::Absent(field.name()))?.copy_from_slice(&address);
        Ok(())
    }

    fn set_tag(&mut self, field: HeaderField, value: Value<'_>) -> Result<(), RewriteError> {
        let (most, shift) = if field == HeaderField::VlanPriority { (7, 13) } else { (4095, 0) };
        let value = number(field, value, most)? as u16;
        let absent = RewriteError::Absent(field.name());
        if self.link != LinkType::Ethernet {
            return Err(absent);
        }
        let at = wire::vlan_tag(self.frame, usize::from(field == HeaderField::VlanInner));
        let tag = at.and_then(|at| self.frame.get_mut(at..)).and_then(<[u8]>::first_chunk_mut::<2>);
        let tag = tag.ok_or(absent)?;
        *tag = (u16::from_be_bytes(*tag) & !((most as u16) << shift) | value << shift).to_be_bytes();
        Ok(())
    }

    fn set_ip(&mut self, field: HeaderField, value: Value<'_>) -> Result<(), RewriteError> {
        let layout = self.layout(field)?;
        let (network, is_v4) = (layout.network, layout.version == 4);
        match field {
            HeaderField::IpSource => self.set_address(&layout, field, Area::IpSource, value),
            HeaderField::IpDestination => self.set_address(&layout, field, Area::IpDestination, value),
            HeaderField::IpTtl => {
                let ttl = number(field, value, 255)? as u8;
                layout.put(self.frame, Area::Ip, network + if is_v4 { 8 } else { 7 }, &[ttl]);
                Ok(())
            }
            HeaderField::IpId => {
                let id = number(field, value, 0xffff)? as u16;
                if !is_v4 {
                    return Err(RewriteError::Absent(field.name()));
                }
                layout.put(self.frame, Area::Ip, network + 4, &id.to_be_bytes());
                Ok(())
            }
            _ => {
                let (most, shift) = match field {
                    HeaderField::IpDscp => (0x3f, 2),
                    HeaderField::IpEcn => (0x03, 0),
                    _ => (0xff, 0),
                };
                let part = number(field, value, most)? as u8;
                let tos = self.segment.tos(self.frame) & !((most as u8) << shift) | part << shift;
                if is_v4 {
                    layout.put(self.frame, Area::Ip, network + 1, &[tos]);
                } else {
                    let [first, second] = [self.frame[network], self.frame[network + 1]];
                    let both = [first & 0xf0 | tos >> 4, second & 0x0f | tos << 4];
                    layout.put(self.frame, Area::Ip, network, &both);
                }
                Ok(())
            }
        }
    }

    fn set_address(
        &mut self,
        layout: &Layout,
        field: HeaderField,
        area: Area,
        value: Value<'_>,
    ) -> Result<(), RewriteError> {
        let Value::Ip(address) = value else {
            return Err(RewriteError::Type { field: field.name(), wanted: "an IP address" });
        };
        put_address(layout, self.frame, area, address)
            .ok_or(RewriteError::Version { field: field.name(), version: layout.version })
    }

    fn set_tcp(&mut self, field: HeaderField, value: Value<'_>) -> Result<(), RewriteError> {
        let layout = self.layout(field)?;
        let absent = RewriteError::Absent(field.name());
        let Some(at) = layout.tcp.filter(|at| self.frame.len() >= at + 20) else { return Err(absent) };
        let (place, most) = match field {
            HeaderField::SourcePort => (Some(at), 0xffff),
            HeaderField::DestinationPort => (Some(at + 2), 0xffff),
            HeaderField::Seq => (Some(at + 4), 0xffff_ffff),
            HeaderField::AckSeq => (Some(at + 8), 0xffff_ffff),
            HeaderField::TcpFlags => (Some(at + 12), 0x1ff),
            HeaderField::Flag(_) => (Some(at + 12), 1),
            HeaderField::Window => (Some(at + 14), 0xffff),
            HeaderField::Urgent => (Some(at + 18), 0xffff),
            HeaderField::Mss => (self.option(options::MSS, 4, 0), 0xffff),
            HeaderField::WindowScale => (self.option(options::WINDOW_SCALE, 3, 0), 14),
            HeaderField::TsVal => (self.option(options::TIMESTAMPS, 10, 0), 0xffff_ffff),
            HeaderField::TsEcr => (self.option(options::TIMESTAMPS, 10, 4), 0xffff_ffff),
            _ => (None, 0),
        };
        let value = number(field, value, most)?;
        let place = place.ok_or(absent)?;
        let flags = u16::from_be_bytes([self.frame[at + 12], self.frame[at + 13]]);
        let bytes = match field {
            HeaderField::TcpFlags => flags & !0x1ff | value as u16,
            HeaderField::Flag(flag) if value == 0 => flags & !flag.bits(),
            HeaderField::Flag(flag) => flags | flag.bits(),
            _ => value as u16,
        };
        match (field, most) {
            (HeaderField::WindowScale, _) => layout.put(self.frame, Area::Tcp, place, &[value as u8]),
            (_, 0xffff_ffff) => layout.put(self.frame, Area::Tcp, place, &(value as u32).to_be_bytes()),
            _ => layout.put(self.frame, Area::Tcp, place, &bytes.to_be_bytes()),
        }
        Ok(())
    }

    /// Where in the frame `offset` bytes into the value of an option are, if the segment has it with this length. Of an
    /// option that occurs twice the last one holds.
    fn option(&self, kind: u8, length: usize, offset: usize) -> Option<usize> {
        let start = usize::from(self.segment.transport) + 20;
        let (at, option) =
            options::each(self.segment.options(self.frame)).filter(|(_, option)| option[0] == kind).last()?;
        (option.len() == length).then_some(start + at + 2 + offset)
    }
}

/// Sets an address, if it is of the packet's IP version.
pub(crate) fn put_address(
    layout: &Layout,
    frame: &mut [u8],
    area: Area,
    address: std::net::IpAddr,
) -> Option<()> {
    let is_source = usize::from(area == Area::IpSource);
    match (address, layout.version) {
        (std::net::IpAddr::V4(address), 4) => {
            layout.put(frame, area, layout.network + 16 - 4 * is_source, &address.octets());
        }
        (std::net::IpAddr::V6(address), 6) => {
            layout.put(frame, area, layout.network + 24 - 16 * is_source, &address.octets());
        }
        _ => return None,
    }
    Some(())
}

fn number(field: HeaderField, value: Value<'_>, most: u64) -> Result<u64, RewriteError> {
    match value {
        Value::Int(value) if value <= most => Ok(value),
        Value::Int(_) => Err(RewriteError::Range { field: field.name(), most }),
        _ => Err(RewriteError::Type { field: field.name(), wanted: "a number" }),
    }
}
