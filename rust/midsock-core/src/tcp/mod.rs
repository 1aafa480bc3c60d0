//! TCP as it is seen from the middle: a state machine for each end (RFC 9293).
//!
//! A segment is first judged against both ends as they are ([`arrival::judge`]). Then its sender moves
//! ([`sender::step`]), since it must have been able to send it, and then its receiver ([`receiver::step`] and, once its
//! bytes went into the stream, [`receiver::finish`]).

pub mod arrival;
mod details;
mod endpoint;
pub mod receiver;
mod rtt;
pub mod sender;
mod seq;
mod state;
#[cfg(test)]
mod tests;

pub use crate::anomaly::{Anomalies, Anomaly};
pub use arrival::{Arrival, Probe, Rexmit, RexmitKind};
pub use details::{Details, Marks};
pub use endpoint::{Endpoint, Flags, Scale};
pub use rtt::Rtt;
pub use seq::Seq;
pub use state::State;

use crate::Side;

/// Both ends of a connection.
pub struct Connection<'c> {
    /// Client and server.
    pub ends: &'c mut [Endpoint; 2],
    /// What few packets ask of them.
    pub details: &'c mut [Details; 2],
}

impl Connection<'_> {
    /// Both parts of one end.
    #[inline]
    pub fn end(&mut self, side: Side) -> (&mut Endpoint, &mut Details) {
        (&mut self.ends[side.index()], &mut self.details[side.index()])
    }
}

/// A state that an endpoint left for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which endpoint.
    pub side: Side,
    /// The state it left.
    pub old: State,
    /// The state it is in now.
    pub new: State,
}

/// The state changes of one step: at most two per end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    list: [Option<Change>; 4],
}

impl Changes {
    /// Moves an endpoint to another state and remembers it.
    #[inline]
    fn enter(&mut self, ends: &mut [Endpoint; 2], side: Side, new: State) {
        let old = std::mem::replace(&mut ends[side.index()].state, new);
        if old != new
            && let Some(free) = self.list.iter_mut().find(|change| change.is_none())
        {
            *free = Some(Change { side, old, new });
        }
    }

    /// Whether no state changed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list[0].is_none()
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Change> {
        self.list.into_iter().flatten()
    }
}
