//! All of this crate's unsafe code: what live ports and big tables ask of the operating system, behind safe functions.
#![allow(unsafe_code)]

pub(super) mod bpf;
pub(super) mod interface;
pub(super) mod mapping;
pub(super) mod netmap;
pub(super) mod netmap_link;
pub(super) mod packet;
pub(super) mod packet_send;
pub(crate) mod pages;
pub(super) mod poll;
pub(super) mod probe;
pub(crate) mod rights;
#[cfg(test)]
mod tests;
pub(super) mod xdp;
pub(super) mod xdp_interface;
pub(super) mod xdp_ring;
