//! Giving up root's rights for good, once the ports are open.

#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::fs;
use std::io;

use crate::port::sys::rights as sys;

/// Why rights were not given up. All but the first two may leave the process with some of them gone: it should end.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The system knows no such user.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
    /// The user has root's number.
    #[error("{0:?} has the rights of root: name a user who has not")]
    Root(String),
    /// The system refused a step.
    #[error("rights cannot be dropped: {step}: {source}{}", advice(source))]
    Refused {
        /// What was refused.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something is left of them.
    #[error("rights were dropped, but {0}")]
    Kept(String),
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied { " (only root can do this)" } else { "" }
}

/// Goes on as `user` for good, with no capability and no way to regain any.
///
/// Supplementary groups, group and user change in the whole process. Capabilities are taken out of all five sets of the
/// calling thread, bounding and ambient included, so that threads and programs it starts have none; the kernel takes them
/// from the other threads with root's user number. No thread can gain anything by running another program
/// (`PR_SET_NO_NEW_PRIVS`). All of this is looked up again at the end. Open ports stay open.
///
/// # Errors
///
/// [`RightsError`]; its message says what to do.
pub fn drop(user: &str) -> Result<(), RightsError> {
    let refused = |step| move |source| RightsError::Refused { step, source };
    let unknown = || RightsError::UnknownUser(user.to_owned());
    let name = CString::new(user).map_err(|_| unknown())?;
    let found = sys::user(&name).map_err(refused("looking the user up"))?.ok_or_else(unknown)?;
    if found.uid == 0 {
        return Err(RightsError::Root(user.to_owned()));
    }
    // First what takes a capability that the later steps take away.
    sys::bound_capabilities().map_err(refused("emptying the set of capabilities that can be gained"))?;
    sys::leave_groups().map_err(refused("leaving the supplementary groups"))?;
    sys::become_group(found.gid).map_err(refused("changing the group"))?;
    sys::become_user(found.uid).map_err(refused("changing the user"))?;
    sys::clear_capabilities().map_err(refused("giving up capabilities"))?;
    sys::gain_nothing().map_err(refused("setting PR_SET_NO_NEW_PRIVS"))?;
    let threads = threads().map_err(refused("looking up the threads in /proc/self/task"))?;
    if threads.len() > 1 {
        sys::gain_nothing_anywhere().map_err(refused(
            "setting PR_SET_NO_NEW_PRIVS in the other threads (drop rights before they are started)",
        ))?;
    }
    verify(found).map_err(RightsError::Kept)
}

fn threads() -> io::Result<Vec<String>> {
    let entries = fs::read_dir("/proc/self/task")?;
    entries.map(|entry| Ok(format!("/proc/self/task/{}/status", entry?.file_name().display()))).collect()
}

/// Whether nothing is left, by what the kernel says of every thread.
fn verify(user: sys::User) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(path);
    let unread = |error: io::Error| format!("what is left cannot be looked up in /proc: {error}");
    for path in threads().map_err(unread)? {
        match read(&path) {
            Ok(status) => find_left(&status, user, false).map_or(Ok(()), Err)?,
            // It ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(unread(error)),
        }
    }
    let own = read("/proc/thread-self/status").map_err(unread)?;
    find_left(&own, user, true).map_or(Ok(()), Err)
}

/// What a thread's status says is left of its rights; of the thread that gave them up (`is_own`), all sets of
/// capabilities count, of others those that can be used.
fn find_left(status: &str, user: sys::User, is_own: bool) -> Option<String> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let same = |id: u32| format!("{id} {id} {id} {id}");
    let own_sets = ["CapInh", "CapBnd"].map(|set| (set, "0".repeat(16)));
    let expected = [
        ("Uid", same(user.uid)),
        ("Gid", same(user.gid)),
        ("Groups", String::new()),
        ("CapPrm", "0".repeat(16)),
        ("CapEff", "0".repeat(16)),
        ("CapAmb", "0".repeat(16)),
        ("NoNewPrivs", "1".to_owned()),
    ];
    let own_sets = own_sets.into_iter().filter(|_| is_own);
    expected.into_iter().chain(own_sets).find_map(|(name, expected)| match field(name) {
        Some(value) if value == expected => None,
        value => Some(format!("{name} is {:?}, not {expected:?}", value.unwrap_or_default())),
    })
}
