//! All that changes the packets of one flow.

use std::net::SocketAddr;

use super::edit::Edits;
use super::nat::Nat;
use crate::Side;
use crate::tcp::Seq;

/// What changes the packets of a flow, from when the application first asked for it.
#[derive(Debug, Default)]
pub struct Translation {
    /// The edits of client and server, if there were any of either.
    pub edits: Option<Box<[Edits; 2]>>,
    /// The addresses that the ends have on the far side.
    pub nat: Nat,
    /// The ports that packets of client and server come to, as far as they were seen.
    pub ports: [Option<u8>; 2],
    /// It is listed among those that wait for acknowledgements.
    pub is_listed: bool,
}

impl Translation {
    /// The number that the other end knows an original one of this side by.
    pub fn to_new(&self, side: Side, original: Seq) -> Seq {
        self.edits.as_ref().map_or(original, |edits| edits[side.index()].to_new(original))
    }

    /// Source and destination of a packet to `side`, given the flow's ends.
    pub fn addresses_to(&self, side: Side, ends: [SocketAddr; 2]) -> [SocketAddr; 2] {
        let outside = |side: Side| self.nat.address(side, ends[side.index()]);
        match side {
            Side::Client => [ends[1], ends[0]],
            Side::Server => [outside(Side::Client), outside(Side::Server)],
        }
    }

    /// The number of the port, of two, that leads to `side`, if any packet was seen.
    pub fn port_to(&self, side: Side) -> Option<usize> {
        let own = self.ports[side.index()].map(usize::from);
        own.or_else(|| self.ports[side.other().index()].map(|port| 1 - usize::from(port).min(1)))
    }

    /// Whether edits wait to be acknowledged.
    pub fn is_waiting(&self) -> bool {
        self.edits.as_ref().is_some_and(|edits| edits.iter().any(Edits::is_waiting))
    }
}
