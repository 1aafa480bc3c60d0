//! The bpf(2) system call: maps, programs and the links that attach them.
//!
//! Every object is a descriptor, closed on exec and gone with its process, however that ends: a program attached by a
//! link leaves its interface when the link's last descriptor is closed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

// linux/bpf.h
const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_XSKMAP: u32 = 17;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// Bytes of an object's name, its closing zero included.
const NAME: usize = 16;

/// One instruction as the kernel reads it.
pub(in crate::port) type Instruction = u64;

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; NAME],
}

#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; NAME],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// The attributes of one command.
///
/// # Safety
///
/// A `repr(C)` struct without padding that is the start of the kernel's `union bpf_attr` for `COMMAND`.
unsafe trait Attributes {
    const COMMAND: libc::c_int;
}

// SAFETY: laid out as linux/bpf.h has it, all fields at multiples of their size.
unsafe impl Attributes for MapCreate {
    const COMMAND: libc::c_int = BPF_MAP_CREATE;
}
// SAFETY: as above.
unsafe impl Attributes for MapUpdate {
    const COMMAND: libc::c_int = BPF_MAP_UPDATE_ELEM;
}
// SAFETY: as above.
unsafe impl Attributes for ProgramLoad {
    const COMMAND: libc::c_int = BPF_PROG_LOAD;
}
// SAFETY: as above.
unsafe impl Attributes for LinkCreate {
    const COMMAND: libc::c_int = BPF_LINK_CREATE;
}

/// Makes an XSKMAP with room for the sockets of `entries` queues.
pub(in crate::port) fn create_socket_map(entries: u32) -> io::Result<OwnedFd> {
    object(&MapCreate {
        map_type: BPF_MAP_TYPE_XSKMAP,
        key_size: 4,
        value_size: 4,
        max_entries: entries,
        map_flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: *b"midsock_sockets\0",
    })
}

/// Puts the socket of a queue into an XSKMAP.
pub(in crate::port) fn put_socket(map: BorrowedFd<'_>, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    let socket = number(socket);
    let attributes = MapUpdate {
        map_fd: number(map),
        padding: 0,
        key: (&raw const queue) as u64,
        value: (&raw const socket) as u64,
        flags: 0,
    };
    bpf(&attributes).map(drop)
}

/// Loads an XDP program; with `takes_fragments` one that is also given frames larger than a page.
pub(in crate::port) fn load_xdp(program: &[Instruction], takes_fragments: bool) -> io::Result<OwnedFd> {
    object(&ProgramLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"MIT OR Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: if takes_fragments { BPF_F_XDP_HAS_FRAGS } else { 0 },
        prog_name: *b"midsock_redirec\0",
        prog_ifindex: 0,
        expected_attach_type: BPF_XDP,
    })
}

/// Attaches an XDP program to an interface for as long as the link that is returned exists; `flags` is
/// `XDP_FLAGS_DRV_MODE` or `XDP_FLAGS_SKB_MODE` of `linux/if_link.h`.
pub(in crate::port) fn link_xdp(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    object(&LinkCreate { prog_fd: number(program), target_ifindex: interface, attach_type: BPF_XDP, flags })
}

fn object(attributes: &impl Attributes) -> io::Result<OwnedFd> {
    let descriptor = bpf(attributes)?;
    // SAFETY: these commands return a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf<A: Attributes>(attributes: &A) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are those of the command, as `Attributes` promises, and what they point to is alive: the
    // callers' values, programs and names outlive this call. The kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, A::COMMAND, &raw const *attributes, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// A descriptor as the kernel's structs have it. It is never negative.
fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd() as u32
}
