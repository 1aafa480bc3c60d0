//! The built-in events.

use crate::flow::EndReason;
use crate::tcp::{Anomaly, Rexmit, State};
use crate::{Nanos, Side};

/// A built-in condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A packet came.
    PktIn,
    /// The first packet of a flow: its SYN, or where pick-up is on, any other.
    ConnStart,
    /// The handshake is over: both ends are established.
    ConnSetup,
    /// An endpoint changed its state.
    StateChange,
    /// Bytes became readable.
    NewData,
    /// Bytes were given up: they were never seen.
    Gap,
    /// Something was sent again.
    Rexmit,
    /// The flow ended. No event of the flow comes after it.
    ConnEnd,
    /// A TCP packet that belongs to no flow.
    Orphan,
    /// A named condition.
    Anomaly,
    /// A timer that the application set.
    Timer,
    /// Raised by the application only.
    User,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Kind; 12] = [
        Kind::PktIn,
        Kind::ConnStart,
        Kind::ConnSetup,
        Kind::StateChange,
        Kind::NewData,
        Kind::Gap,
        Kind::Rexmit,
        Kind::ConnEnd,
        Kind::Orphan,
        Kind::Anomaly,
        Kind::Timer,
        Kind::User,
    ];

    /// Its name, as the Python package spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::PktIn => "ON_PKT_IN",
            Kind::ConnStart => "ON_CONN_START",
            Kind::ConnSetup => "ON_CONN_SETUP",
            Kind::StateChange => "ON_TCP_STATE_CHANGE",
            Kind::NewData => "ON_CONN_NEW_DATA",
            Kind::Gap => "ON_GAP",
            Kind::Rexmit => "ON_REXMIT",
            Kind::ConnEnd => "ON_CONN_END",
            Kind::Orphan => "ON_ORPHAN",
            Kind::Anomaly => "ON_ANOMALY",
            Kind::Timer => "ON_TIMER",
            Kind::User => "ON_USER",
        }
    }

    /// The hooks at which it can be handled. What the packet itself says is known before any endpoint moves; what the
    /// endpoints make of it only after.
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Kind::PktIn | Kind::ConnStart | Kind::Rexmit | Kind::Anomaly => {
                &[Hook::PreTcp, Hook::PostSnd, Hook::PostTcp]
            }
            Kind::StateChange => &[Hook::PostSnd, Hook::PostTcp],
            _ => &[Hook::PostTcp],
        }
    }

    /// Its bit.
    #[inline]
    pub const fn bit(self) -> KindMask {
        1 << self as u8
    }
}

/// A set of kinds, a bit each.
pub type KindMask = u16;

/// When a handler runs, relative to the packet's TCP update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Hook {
    /// Before either end moved.
    PreTcp,
    /// After the sender moved, before the receiver did.
    PostSnd,
    /// After both moved; the packet's data is readable.
    #[default]
    PostTcp,
}

impl Hook {
    /// Every hook, in the order in which they come.
    pub const ALL: [Hook; 3] = [Hook::PreTcp, Hook::PostSnd, Hook::PostTcp];

    /// Its name, as the Python package spells it.
    pub fn name(self) -> &'static str {
        match self {
            Hook::PreTcp => "PRE_TCP",
            Hook::PostSnd => "POST_SND",
            Hook::PostTcp => "POST_TCP",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Which condition.
    pub kind: Kind,
    /// When in the packet's way.
    pub hook: Hook,
    /// Whose: the packet's sender, the endpoint that changed, the side whose data it is.
    pub side: Side,
    /// The packet's time, or the time a timer was due.
    pub time: Nanos,
    /// What there is to tell of it.
    pub detail: EventDetail,
}

impl EventDetail {
    /// The named condition, if it is one.
    pub fn anomaly(&self) -> Option<Anomaly> {
        match self {
            EventDetail::Anomaly(anomaly) => Some(*anomaly),
            EventDetail::Conflict { .. } => Some(Anomaly::DifferentContent),
            _ => None,
        }
    }
}

/// What there is to tell of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventDetail {
    /// No more than that it happened.
    None,
    /// [`Kind::StateChange`]: the old state and the new one.
    StateChange(State, State),
    /// [`Kind::NewData`] and [`Kind::Gap`]: where in the stream, and how many bytes.
    Bytes {
        /// Stream offset of the first byte.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// [`Kind::Rexmit`].
    Rexmit(Rexmit),
    /// [`Kind::ConnEnd`].
    End(EndReason),
    /// [`Kind::Anomaly`].
    Anomaly(Anomaly),
    /// [`Kind::Anomaly`], of different content: where in the stream, how many bytes, and which conflict of the packet.
    Conflict {
        /// Stream offset of the first byte.
        offset: u64,
        /// How many.
        length: u64,
        /// Its place among those of the packet.
        number: u32,
    },
    /// [`Kind::Timer`]: what the application gave with it.
    Timer(u64),
}
