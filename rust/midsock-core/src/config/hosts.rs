//! Which operating system the hosts of a network run.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::reassembly::Overlap;

/// Policies by the receiver's network: the longest prefix that holds its address decides.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// By whether it is of IPv6, the prefix length, and the prefix, filled up with zeros.
    rules: HashMap<(bool, u8, u128), Overlap>,
    /// The prefix lengths there are, the longest first: of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
}

/// Why something is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It does not parse.
    #[error(
        "{0:?} is no network: write an address, or one with a prefix length, as 10.0.0.0/8 or 2001:db8::/32"
    )]
    Malformed(String),
    /// The prefix is longer than the address.
    #[error("the prefix length of {network:?} is at most {most}")]
    TooLong {
        /// What was given.
        network: String,
        /// The address's length in bits.
        most: u8,
    },
    /// There are bits behind the prefix.
    #[error("{network:?} has bits behind its prefix: did you mean {meant}?")]
    HostBits {
        /// What was given.
        network: String,
        /// The network that the address is in.
        meant: String,
    },
}

impl Hosts {
    /// Whether there are no rules.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Says what the hosts of a network are: an address, or one with a prefix length. Said twice of one network, the
    /// later counts.
    pub fn add(&mut self, network: &str, policy: Overlap) -> Result<(), NetworkError> {
        let malformed = || NetworkError::Malformed(network.to_owned());
        let (address, length) = match network.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (network, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let (is_v6, bits) = parts(address);
        let most = if is_v6 { 128 } else { 32 };
        let length = match length {
            // Only digits: `parse` would take a sign, too.
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let length: u32 = text.parse().map_err(|_| malformed())?;
                let too_long = || NetworkError::TooLong { network: network.to_owned(), most };
                u8::try_from(length).ok().filter(|length| *length <= most).ok_or_else(too_long)?
            }
            Some(_) => return Err(malformed()),
            None => most,
        };
        let prefix = bits & mask(length);
        if prefix != bits {
            let meant = format!("{}/{length}", address_of(is_v6, prefix));
            return Err(NetworkError::HostBits { network: network.to_owned(), meant });
        }
        self.rules.insert((is_v6, length, prefix), policy);
        let lengths = &mut self.lengths[usize::from(is_v6)];
        if let Err(place) = lengths.binary_search_by(|known| length.cmp(known)) {
            lengths.insert(place, length);
        }
        Ok(())
    }

    /// What the receiver at this address is; `None` where no rule says so. An IPv4 address mapped into IPv6 goes by the
    /// rules of IPv4.
    pub fn policy(&self, address: IpAddr) -> Option<Overlap> {
        if self.is_empty() {
            return None;
        }
        let (is_v6, bits) = parts(address.to_canonical());
        let rule = |length: &u8| self.rules.get(&(is_v6, *length, bits & mask(*length)));
        self.lengths[usize::from(is_v6)].iter().find_map(rule).copied()
    }
}

/// Whether it is of IPv6, and its bits, from the highest one on.
fn parts(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (true, address.to_bits()),
    }
}

fn address_of(is_v6: bool, bits: u128) -> IpAddr {
    if is_v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits((bits >> 96) as u32).into() }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
