//! Files made by hand, byte by byte, and what becomes of them.

mod build;
mod damage;
mod pcap;
mod pcapng;
mod source;
mod writer;
