//! The enumerations of the package: defined in Python, so that they are real `enum.IntEnum`s, with the core's numbers.

use midsock_core::event::Hook;
use midsock_core::flow::EndReason;
use midsock_core::tcp::{Anomaly, RexmitKind, State};
use midsock_core::{Side, Verdict};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Members by number, for each enumeration.
struct Members {
    side: Vec<Py<PyAny>>,
    state: Vec<Py<PyAny>>,
    reason: Vec<Py<PyAny>>,
    rexmit: Vec<Py<PyAny>>,
    anomaly: Vec<Py<PyAny>>,
    hook: Vec<Py<PyAny>>,
    verdict: Vec<Py<PyAny>>,
}

static MEMBERS: PyOnceLock<Members> = PyOnceLock::new();

fn members(py: Python<'_>) -> PyResult<&'static Members> {
    MEMBERS.get_or_try_init(py, || {
        let module = py.import("midsock._enums")?;
        let list = |name: &str, count: usize| -> PyResult<Vec<Py<PyAny>>> {
            let class = module.getattr(name)?;
            (0..count).map(|number| Ok(class.call1((number,))?.unbind())).collect()
        };
        Ok(Members {
            side: list("Side", Side::BOTH.len())?,
            state: list("State", State::ALL.len())?,
            reason: list("EndReason", EndReason::ALL.len())?,
            rexmit: list("RexmitKind", RexmitKind::ALL.len())?,
            anomaly: list("Anomaly", Anomaly::ALL.len())?,
            hook: list("Hook", Hook::ALL.len())?,
            verdict: list("Verdict", Verdict::ALL.len())?,
        })
    })
}

pub(crate) fn side(py: Python<'_>, side: Side) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.side[side.index()].clone_ref(py))
}

pub(crate) fn state(py: Python<'_>, state: State) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.state[state as usize].clone_ref(py))
}

pub(crate) fn reason(py: Python<'_>, reason: EndReason) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.reason[reason as usize].clone_ref(py))
}

pub(crate) fn rexmit(py: Python<'_>, kind: RexmitKind) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.rexmit[kind as usize].clone_ref(py))
}

pub(crate) fn anomaly(py: Python<'_>, anomaly: Anomaly) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.anomaly[anomaly as usize].clone_ref(py))
}

pub(crate) fn hook(py: Python<'_>, hook: Hook) -> PyResult<Py<PyAny>> {
    Ok(members(py)?.hook[hook as usize].clone_ref(py))
}

/// Name, severity and description of each anomaly, in the order of its number: what [`anomaly`]'s class must say, too.
#[pyfunction]
pub(crate) fn anomalies() -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |anomaly: Anomaly| (anomaly.name(), anomaly.severity().name(), anomaly.description());
    Anomaly::ALL.into_iter().map(row).collect()
}

/// A verdict, if the object is one; its members are the same objects always.
pub(crate) fn to_verdict(object: &Bound<'_, PyAny>) -> PyResult<Option<Verdict>> {
    let known = members(object.py())?.verdict.iter().position(|member| member.is(object));
    Ok(known.map(|place| Verdict::ALL[place]))
}

/// A side, given by its number.
pub(crate) fn to_side(number: u8) -> PyResult<Side> {
    Side::BOTH
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| PyValueError::new_err("a side is midsock.CLIENT or midsock.SERVER"))
}

/// A hook, given by its number.
pub(crate) fn to_hook(number: u8) -> PyResult<Hook> {
    Hook::ALL.get(usize::from(number)).copied().ok_or_else(|| {
        PyValueError::new_err("a hook is midsock.PRE_TCP, midsock.POST_SND or midsock.POST_TCP")
    })
}
