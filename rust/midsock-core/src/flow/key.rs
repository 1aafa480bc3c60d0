//! What identifies a flow: its exact tuple, the same for both directions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::wire::Segment;

/// Addresses, ports and VLAN path of a flow, with the lower end first, so that both directions have the same key.
///
/// Held as five words, to be compared and hashed without looking inside: the lower end's address (two words), the
/// higher end's (two), and ports, VLAN ids and IP version (one). The number of a path takes the place of the VLAN ids
/// where there are tunnels.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Key {
    words: [u64; 5],
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Key) -> bool {
        // One branch for all five words: a key that is looked up is nearly always the one that was found.
        self.words.iter().zip(&other.words).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

const VERSION_6: u64 = 1 << 24;
/// The VLAN ids are a path's number.
const TUNNELLED: u64 = 1 << 25;
/// The bits of VLAN ids, or of a path's number.
const PATH: u64 = 0xff_ffff;

impl Key {
    /// How many paths there can be.
    pub(super) const MAX_PATHS: usize = 1 << 24;

    /// The key of a segment's flow, and whether the segment goes from the lower end to the higher one.
    #[inline]
    pub fn of(frame: &[u8], segment: &Segment) -> (Key, bool) {
        let (source_port, destination_port) = ports(frame, segment.transport);
        let path = u64::from(segment.vlan[0]) | u64::from(segment.vlan[1]) << 12;
        if segment.version == 4 {
            let addresses: [u8; 8] = array(frame, usize::from(segment.network) + 12);
            let both = u64::from_be_bytes(addresses);
            // Address and port in one word, which are in order as the pair is.
            let source = both >> 32 << 16 | u64::from(source_port);
            let destination = (both & 0xffff_ffff) << 16 | u64::from(destination_port);
            let forward = source <= destination;
            let (low, high) = if forward { (source, destination) } else { (destination, source) };
            let last = low << 48 | (high & 0xffff) << 32 | path;
            (Key { words: [low >> 16, 0, high >> 16, 0, last] }, forward)
        } else {
            let at = usize::from(segment.network) + 8;
            let word = |i: usize| u64::from_be_bytes(array(frame, at + 8 * i));
            let source = (word(0), word(1), source_port);
            let destination = (word(2), word(3), destination_port);
            Key::order(source, destination, path | VERSION_6)
        }
    }

    /// The key of the flow between two ends, and whether the first one is the lower.
    ///
    /// The two addresses must be of one IP version.
    pub fn between(source: SocketAddr, destination: SocketAddr, vlan: [u16; 2]) -> (Key, bool) {
        let end = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => (u64::from(ip.to_bits()), 0, address.port()),
            IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, ip.to_bits() as u64, address.port()),
        };
        let version = if source.is_ipv6() { VERSION_6 } else { 0 };
        let path = u64::from(vlan[0]) | u64::from(vlan[1]) << 12 | version;
        Key::order(end(source), end(destination), path)
    }

    #[inline]
    fn order(source: (u64, u64, u16), destination: (u64, u64, u16), path: u64) -> (Key, bool) {
        let forward = source <= destination;
        let (low, high) = if forward { (source, destination) } else { (destination, source) };
        let last = u64::from(low.2) << 48 | u64::from(high.2) << 32 | path;
        (Key { words: [low.0, low.1, high.0, high.1, last] }, forward)
    }

    /// What of a key [`Key::mask`] is to keep: its VLANs, or not.
    pub const fn mask_of(keeps_vlans: bool) -> u64 {
        if keeps_vlans { u64::MAX } else { !PATH }
    }

    /// Forgets the VLANs, if the mask is one that does.
    #[inline]
    pub fn mask(&mut self, mask: u64) {
        self.words[4] &= mask;
    }

    /// The bits that stand for the path of this number in a key.
    pub fn path_word(path: u32) -> u64 {
        TUNNELLED | u64::from(path) & PATH
    }

    /// The same tuple, but come through tunnels: by the [path](super::Path) of this number, which includes its VLANs.
    #[inline]
    #[must_use]
    pub fn through(mut self, path: u32) -> Key {
        self.words[4] = self.words[4] & !PATH | Key::path_word(path);
        self
    }

    /// The key of the same path between two other ends, and whether the first one is the lower. They must be of the same IP
    /// version.
    #[must_use]
    pub fn between_others(&self, source: SocketAddr, destination: SocketAddr) -> (Key, bool) {
        let (mut key, forward) = Key::between(source, destination, [0; 2]);
        key.words[4] = key.words[4] & !(PATH | TUNNELLED) | self.words[4] & (PATH | TUNNELLED);
        (key, forward)
    }

    /// The number of the path, if there are tunnels.
    pub fn path(&self) -> Option<u32> {
        (self.words[4] & TUNNELLED != 0).then_some((self.words[4] & PATH) as u32)
    }

    /// The five words.
    #[inline]
    pub(super) fn words(&self) -> &[u64; 5] {
        &self.words
    }

    /// The lower end.
    pub fn low(&self) -> SocketAddr {
        self.end(0, 48)
    }

    /// The higher end.
    pub fn high(&self) -> SocketAddr {
        self.end(2, 32)
    }

    fn end(&self, word: usize, port_shift: u32) -> SocketAddr {
        let (first, second) = (self.words[word], self.words[word + 1]);
        let ip = if self.words[4] & VERSION_6 == 0 {
            IpAddr::V4(Ipv4Addr::from_bits(first as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(first) << 64 | u128::from(second)))
        };
        SocketAddr::new(ip, (self.words[4] >> port_shift) as u16)
    }

    /// VLAN ids, outermost first; 0 is none. With tunnels, the path has them.
    pub fn vlan(&self) -> [u16; 2] {
        if self.words[4] & TUNNELLED != 0 {
            return [0, 0];
        }
        [self.words[4] as u16 & 0xfff, (self.words[4] >> 12) as u16 & 0xfff]
    }
}

#[inline]
fn ports(frame: &[u8], transport: u16) -> (u16, u16) {
    let both = u32::from_be_bytes(array(frame, usize::from(transport)));
    ((both >> 16) as u16, both as u16)
}

/// `N` bytes of the frame; zeros beyond its end, which decoding has ruled out.
#[inline]
fn array<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    frame.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
