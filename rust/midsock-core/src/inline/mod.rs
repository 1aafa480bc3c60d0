//! Changing packets on their way through the box: header fields, payload, addresses.
//!
//! Everything here is pure: frames and state in, frames out. Three parts:
//!
//! * [`rewrite`] sets fields of a frame in place and mends its checksums by the difference (RFC 1624), so that a wrong
//!   checksum stays just as wrong.
//! * [`edit`] replaces ranges of a side's stream by data of any length, and translates between the sender's own
//!   sequence numbers and those that the receiver gets to see, for the rest of the flow.
//! * [`nat`] gives the ends of a flow other addresses and ports on the far side of the box.

pub mod edit;
pub mod nat;
pub mod rewrite;
#[cfg(test)]
mod tests;
pub mod translation;

pub use edit::{EditError, Edits, Replaced};
pub use nat::{Aliases, Nat, NatError};
pub use rewrite::{HeaderField, RewriteError};
pub use translation::Translation;
