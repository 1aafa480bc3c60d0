//! Other addresses and ports for the ends of a flow, on the far side of the box.
//!
//! A flow keeps the tuple that its first packet had. What an end is given here is what packets have as they leave
//! towards the other end, and what that one's answers name; those are found by an alias of the flow's key, and get the
//! flow's own tuple back before anything else looks at them.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::rewrite::{Area, Layout, Target, put_address};
use crate::Side;
use crate::flow::{FlowId, Key};

/// Why an end was not given another address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NatError {
    /// The tuple is another flow's.
    #[error("{client} and {server} are in use by another flow; take another port")]
    InUse {
        /// The client as it would be seen.
        client: SocketAddr,
        /// The server as it would be seen.
        server: SocketAddr,
    },
    /// The address is not of the flow's IP version.
    #[error("{address} is not of the flow's IP version; the end is {end}")]
    Version {
        /// The address.
        address: SocketAddr,
        /// The end as it is.
        end: SocketAddr,
    },
    /// The flow goes through a tunnel.
    #[error("the flow is inside a tunnel; only what is not tunnelled is changed")]
    Tunnelled,
}

/// What the ends of a flow are on the far side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// Client and server; none: as they are.
    pub outside: [Option<SocketAddr>; 2],
}

impl Nat {
    /// An end's outside address, given its inside one.
    pub fn address(&self, side: Side, inside: SocketAddr) -> SocketAddr {
        self.outside[side.index()].unwrap_or(inside)
    }

    /// Whether nothing is translated.
    pub fn is_none(&self) -> bool {
        self.outside == [None; 2]
    }

    /// Gives a packet from the client to the server its outside addresses, as it leaves.
    pub(crate) fn leave(&self, target: &mut Target<'_>, layout: &Layout) {
        self.put(target, layout, self.outside);
    }

    /// Gives a packet from the server to the client its inside addresses, as it arrives; `inside` are the flow's ends.
    pub(crate) fn arrive(&self, target: &mut Target<'_>, layout: &Layout, inside: [SocketAddr; 2]) {
        let inside = |side: Side| self.outside[side.index()].map(|_| inside[side.index()]);
        self.put(target, layout, [inside(Side::Server), inside(Side::Client)]);
    }

    /// Sets source and destination.
    #[allow(clippy::unused_self)] // reads as what it does where it is used
    fn put(&self, target: &mut Target<'_>, layout: &Layout, addresses: [Option<SocketAddr>; 2]) {
        let ports = usize::from(target.segment.transport);
        for (i, area) in [Area::IpSource, Area::IpDestination].into_iter().enumerate() {
            if let Some(address) = addresses[i]
                && put_address(layout, target.frame, area, address.ip()).is_some()
            {
                layout.put(target.frame, Area::Tcp, ports + 2 * i, &address.port().to_be_bytes());
            }
        }
    }
}

/// The flows that have aliases, by the key that the far side knows them by.
#[derive(Debug, Default)]
pub struct Aliases {
    flows: HashMap<Key, FlowId>,
}

impl Aliases {
    /// Whether there are none, so that nothing has to be looked up.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// The flow that the far side knows by this key.
    pub fn find(&self, key: &Key) -> Option<FlowId> {
        self.flows.get(key).copied()
    }

    /// Makes `key` an alias of `flow`; says whether it could, that is, was nobody else's.
    pub fn insert(&mut self, key: Key, flow: FlowId) -> bool {
        *self.flows.entry(key).or_insert(flow) == flow
    }

    /// Removes an alias, if it is the flow's.
    pub fn remove(&mut self, key: &Key, flow: FlowId) {
        if self.flows.get(key) == Some(&flow) {
            self.flows.remove(key);
        }
    }
}
