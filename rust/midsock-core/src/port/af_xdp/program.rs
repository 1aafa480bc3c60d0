//! The XDP program that hands an interface's packets to the sockets of their queues.
//!
//! It is so short that it is written down as instructions (RFC 9669): no compiler and no loader are needed.

use crate::port::sys::bpf::Instruction;

/// `linux/bpf.h`, `XDP_PASS`: the packet goes on to the kernel.
const XDP_PASS: i32 = 2;
/// `linux/bpf.h`: where `struct xdp_md` has the queue that received the packet.
const RX_QUEUE_INDEX: i16 = 16;
/// `linux/bpf.h`: the number of the helper `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;
/// `linux/bpf.h`: a 64-bit constant of this source is a map's descriptor.
const PSEUDO_MAP_FD: u8 = 1;

// Operation codes, RFC 9669, appendix A.
const LOAD_WORD: u8 = 0x61;
const LOAD_CONSTANT_64: u8 = 0x18;
const MOVE_CONSTANT: u8 = 0xb7;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Redirects a packet to the socket that `map` has for its queue; packets of queues without one pass to the kernel.
///
/// ```c
/// return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS);
/// ```
pub(super) fn redirect(map: i32) -> [Instruction; 6] {
    [
        // r1 is the context on entry; r1 to r3 are the helper's arguments; r0 is what it returns, and the verdict.
        instruction(LOAD_WORD, 2, 1, RX_QUEUE_INDEX, 0),
        instruction(LOAD_CONSTANT_64, 1, PSEUDO_MAP_FD, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE_CONSTANT, 3, 0, 0, XDP_PASS),
        instruction(CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// RFC 9669, section 3: eight bytes, of which the second holds both registers, in the machine's own order.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, constant: i32) -> Instruction {
    let registers =
        if cfg!(target_endian = "big") { destination << 4 | source } else { source << 4 | destination };
    let [o0, o1] = offset.to_ne_bytes();
    let [c0, c1, c2, c3] = constant.to_ne_bytes();
    u64::from_ne_bytes([code, registers, o0, o1, c0, c1, c2, c3])
}

#[cfg(test)]
mod tests;
