//! The flow table: which flow a segment belongs to, and what is known of that flow.

mod hash;
mod history;
mod index;
mod key;
mod path;
mod record;
mod records;
mod services;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod wheel;

pub use hash::HashKey;
pub use history::{ConnState, History, Sight};
pub use key::Key;
pub use path::{Path, Paths};
pub use record::{Challenger, EndReason, Flow, FlowExtra, FlowFlags, FlowId, Rexmits, Trouble};
pub use services::is_service;
pub use summary::{FlowRecord, SideRecord};
pub use table::{FlowStatistics, FlowTable};
pub use wheel::{TimerId, TimerWheel};
