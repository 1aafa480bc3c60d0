//! The tests a filter makes of a flow: what a primitive compiles to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv6Net;

use super::Tuple;
use super::names::{SCTP, TCP, UDP};

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    /// Its keyword.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V4 => "ip",
            Version::V6 => "ip6",
        }
    }
}

/// Which end of a flow a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Source,
    Destination,
    Either,
    Both,
}

impl Direction {
    fn matches(self, source: bool, destination: bool) -> bool {
        match self {
            Direction::Source => source,
            Direction::Destination => destination,
            Direction::Either => source || destination,
            Direction::Both => source && destination,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Source => "src ",
            Direction::Destination => "dst ",
            Direction::Either => "",
            Direction::Both => "src and dst ",
        })
    }
}

/// The addresses of a `host` or `net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// A mask of IPv4 may have holes (`mask 255.0.255.0`); no bit of the address lies outside it.
    V4 {
        address: u32,
        mask: u32,
    },
    V6(Ipv6Net),
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Network::V4 { address, mask }, IpAddr::V4(other)) => u32::from(other) & mask == address,
            (Network::V6(network), IpAddr::V6(other)) => network.contains(&other),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Network::V4 { address, mask } => {
                let (address, length) = (Ipv4Addr::from(address), mask.leading_ones());
                if length == 32 {
                    write!(f, "host {address}")
                } else if length == mask.count_ones() {
                    write!(f, "net {address}/{length}")
                } else {
                    write!(f, "net {address} mask {}", Ipv4Addr::from(mask))
                }
            }
            Network::V6(network) if network.prefix_len() == 128 => write!(f, "host {}", network.addr()),
            Network::V6(network) => write!(f, "net {network}"),
        }
    }
}

/// A test of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Version(Version),
    Protocol {
        version: Option<Version>,
        number: u8,
    },
    Network {
        direction: Direction,
        network: Network,
    },
    /// Ports `first` to `last`, of TCP, UDP and SCTP unless `transport` names one.
    Ports {
        transport: Option<u8>,
        direction: Direction,
        first: u16,
        last: u16,
    },
    /// The tag at index `tag` of [`Tuple::vlan`] is there, and is `id` if one is given.
    Vlan {
        tag: usize,
        id: Option<u16>,
    },
}

impl Test {
    /// Whether a flow passes.
    pub(super) fn matches(&self, tuple: &Tuple) -> bool {
        let is_version = |version| tuple.source.is_ipv4() == (version == Version::V4);
        match *self {
            Test::Version(version) => is_version(version),
            Test::Protocol { version, number } => tuple.protocol == number && version.is_none_or(is_version),
            Test::Network { direction, network } => {
                direction.matches(network.contains(tuple.source), network.contains(tuple.destination))
            }
            Test::Ports { transport, direction, first, last } => {
                let carried = match transport {
                    Some(number) => tuple.protocol == number,
                    None => [TCP, UDP, SCTP].contains(&tuple.protocol),
                };
                let ports = first..=last;
                carried
                    && direction
                        .matches(ports.contains(&tuple.source_port), ports.contains(&tuple.destination_port))
            }
            Test::Vlan { tag, id } => match (tuple.vlan[tag], id) {
                (found, Some(id)) => found == id,
                (found, None) => found != 0,
            },
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Test::Version(version) => f.write_str(version.name()),
            Test::Protocol { version, number } => match super::names::abbreviation(version, number) {
                Some(name) => f.write_str(name),
                None => match version {
                    Some(version) => write!(f, "{} proto {number}", version.name()),
                    None => write!(f, "proto {number}"),
                },
            },
            Test::Network { direction, network } => write!(f, "{direction}{network}"),
            Test::Ports { transport, direction, first, last } => {
                if let Some(name) = transport.and_then(|number| super::names::abbreviation(None, number)) {
                    write!(f, "{name} ")?;
                }
                if first == last {
                    write!(f, "{direction}port {first}")
                } else {
                    write!(f, "{direction}portrange {first}-{last}")
                }
            }
            Test::Vlan { id: Some(id), .. } => write!(f, "vlan {id}"),
            Test::Vlan { id: None, .. } => f.write_str("vlan"),
        }
    }
}
