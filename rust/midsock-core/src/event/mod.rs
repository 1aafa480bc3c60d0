//! Events: what they are, who wants them, and what is told of them.
//!
//! A [`Kind`] is a built-in condition; a user-defined event adds a filter ([`Expr`]) to a parent. What the monitoring
//! sockets of a flow want is compiled into a [`Program`], whose masks decide for nearly every packet that nobody does.

mod columns;
mod expr;
mod field;
mod kind;
mod program;
mod registry;
mod scene;
#[cfg(test)]
mod tests;

pub use columns::{Batch, BatchSpec};
pub use expr::{Comparison, Expr, ExprError};
pub use field::{End, EndField, Field, Type, Value};
pub use kind::{Event, EventDetail, Hook, Kind, KindMask};
pub use program::{Action, Brief, Outlet, Program};
pub use registry::{
    BatchId, CountId, EventId, Filter, HandlerId, Monitor, MonitorId, MonitorKind, Registration,
    RegistrationId, Registry, RegistryError, StreamSettings,
};
pub use scene::{FlowView, Scene};
