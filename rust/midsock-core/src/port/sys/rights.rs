//! Giving up the rights of root.
//!
//! User and group are the whole process's: the C library changes them in every thread. Capabilities and flags are the
//! calling thread's alone, and those of threads that it starts later.

use std::ffi::CStr;
use std::io;
use std::ptr;

/// A user, as the system's user database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The version of the kernel's interface that has 64 capabilities (`_LINUX_CAPABILITY_VERSION_3`).
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// More room than any entry of a user database takes.
const ENTRY_ROOM: usize = 64 << 10;

/// Looks a user up by name.
pub(crate) fn user(name: &CStr) -> io::Result<Option<User>> {
    let mut room = vec![0; ENTRY_ROOM];
    // SAFETY: all-zero bytes are a valid `passwd`: it holds numbers and pointers, which may be null.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: the name ends in a zero; entry, room and `found` outlive the call, and the room is as long as it says.
    let error = unsafe {
        libc::getpwnam_r(name.as_ptr(), &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found)
    };
    match (error, found.is_null()) {
        (0, false) => Ok(Some(User { uid: entry.pw_uid, gid: entry.pw_gid })),
        // The manual lists these, too, for a name that is not found.
        (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => Ok(None),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Takes every capability out of the bounding and the ambient set of this thread.
pub(crate) fn bound_capabilities() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            // The kernel has no further capabilities.
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    // SAFETY: numbers only.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })
}

/// Leaves all supplementary groups, in every thread.
pub(crate) fn leave_groups() -> io::Result<()> {
    // SAFETY: no group is read from the null pointer, for there are none.
    check(unsafe { libc::setgroups(0, ptr::null()) })
}

/// Takes on a group for good, in every thread.
pub(crate) fn become_group(gid: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::setresgid(gid, gid, gid) })
}

/// Takes on a user for good, in every thread.
pub(crate) fn become_user(uid: u32) -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Empties the effective, permitted and inheritable capabilities of this thread.
pub(crate) fn clear_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        /// 0 is this thread.
        pid: i32,
    }
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    // Effective, permitted, inheritable; first of the lower 32 capabilities, then of the upper ones.
    let none = [0_u32; 6];
    // SAFETY: the kernel reads both, which have the layout that this version of the interface says. The C library
    // declares no function for it.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } as i32)
}

/// Lets this thread gain nothing by running another program.
pub(crate) fn gain_nothing() -> io::Result<()> {
    // SAFETY: numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Lets no other thread gain anything by running another program either, once this one cannot.
///
/// Linux has one way to set that flag in other threads: a seccomp filter for all of them. This one allows everything.
pub(crate) fn gain_nothing_anywhere() -> io::Result<()> {
    const RETURN: u16 = 0x06;
    let mut allow = libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let program = libc::sock_fprog { len: 1, filter: &raw mut allow };
    // SAFETY: the kernel copies the program, which has one instruction. The C library declares no function for it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        // The number of a thread that has filters of its own.
        1.. => Err(io::Error::other(format!("thread {result} has a seccomp filter of its own"))),
        _ => Err(io::Error::last_os_error()),
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
