//! Timers that an application set.

use midsock_core::flow::FlowId;
use midsock_core::{Nanos, TimerHandle};
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::error::no_flow;
use crate::stack::Stack;

/// A timer that was set.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Timer {
    stack: Py<Stack>,
    handle: TimerHandle,
}

impl Timer {
    pub(crate) fn set(
        stack: &Bound<'_, Stack>,
        flow: Option<FlowId>,
        seconds: f64,
        handler: Option<&Bound<'_, PyAny>>,
        token: u64,
    ) -> PyResult<Timer> {
        if !(seconds.is_finite() && seconds >= 0.0) {
            return Err(PyValueError::new_err("a timer's delay is 0 seconds or more"));
        }
        let mut state = stack.get().lock(stack.py());
        let handler = handler.map(|handler| state.handlers.add_once(handler));
        let delay = (seconds * 1e9) as Nanos;
        let handle = state.core_mut()?.set_timer(flow, delay, handler, token).map_err(no_flow)?;
        Ok(Timer { stack: stack.clone().unbind(), handle })
    }
}

#[pymethods]
impl Timer {
    /// Takes it back; returns whether it had still to fire.
    fn cancel(&self, py: Python<'_>) -> PyResult<bool> {
        let mut state = self.stack.get().lock(py);
        Ok(state.core_mut()?.cancel_timer(self.handle))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)
    }
}
