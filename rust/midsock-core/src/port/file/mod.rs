//! Capture files, read and written.
//!
//! [`open`] and [`read_from`] read pcap and pcapng of every byte order and clock, plain or compressed with gzip or zstd; the file's own
//! first bytes tell, never its name. [`create`] writes them.

mod clock;
mod pcap;
mod pcapng;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod walk;
mod window;
mod writer;

pub use self::reader::{Reader, open, read_from};
pub use self::writer::{Format, Writer, create};
