//! Giving up root's rights.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use midsock_core::rights::{self, RightsError};
use pyo3::exceptions::{PyOSError, PyPermissionError, PyValueError};
use pyo3::prelude::*;

/// Goes on as `user` for good, with no capability and no way to regain any; ports that are open stay so.
///
/// The process leaves its supplementary groups, takes on the user's group and number, empties all sets of capabilities
/// (bounding and ambient included) and sets `PR_SET_NO_NEW_PRIVS`, then looks whether nothing is left. Raises `ValueError`
/// for a user that does not exist or is root, `PermissionError` if this process is not root, `OSError` if anything is left;
/// after the last, the process should end.
#[pyfunction]
pub(crate) fn drop_rights(py: Python<'_>, user: &str) -> PyResult<()> {
    py.detach(|| rights::drop(user)).map_err(|error| {
        let text = error.to_string();
        match error {
            RightsError::UnknownUser(_) | RightsError::Root(_) => PyValueError::new_err(text),
            RightsError::Refused { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                PyPermissionError::new_err(text)
            }
            RightsError::Refused { .. } | RightsError::Kept(_) => PyOSError::new_err(text),
        }
    })
}

/// The user to go on as once a stack runs.
static AT_RUN: Mutex<Option<String>> = Mutex::new(None);
static IS_AT_RUN: AtomicBool = AtomicBool::new(false);

/// Drops rights when a stack starts to run, for programs that know nothing of it.
#[pyfunction]
pub(crate) fn drop_rights_at_run(user: String) {
    *AT_RUN.lock().unwrap_or_else(PoisonError::into_inner) = Some(user);
    IS_AT_RUN.store(true, Ordering::Release);
}

/// A stack starts to run.
pub(crate) fn at_run(py: Python<'_>) -> PyResult<()> {
    if !IS_AT_RUN.load(Ordering::Relaxed) || !IS_AT_RUN.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let user = AT_RUN.lock().unwrap_or_else(PoisonError::into_inner).take();
    user.map_or(Ok(()), |user| drop_rights(py, &user))
}
