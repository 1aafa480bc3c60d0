//! From segments in any order to a stream of bytes. Knows offsets and bytes only: no flow, no TCP state.

mod assembler;
mod backlog;
mod overlap;
mod stream;
#[cfg(test)]
mod tests;
mod urgent;

pub use assembler::{Assembler, Conflict, Inserted, Piece, Run};
pub use backlog::Backlog;
pub use overlap::{FragmentOverlap, Geometry, Overlap, ResetRule};
pub use stream::{Digest, Gap, Stream};
pub use urgent::{Announced, Urgent, UrgentBytes};
