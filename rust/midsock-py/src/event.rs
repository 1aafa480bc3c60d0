//! The event object that handlers get.

use midsock_core::Upcall;
use midsock_core::event::{EventDetail, Field, Kind, Type, Value};
use midsock_core::inline::Replaced;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::edit::{Wanted, to_header_field};
use crate::error::modify_error;
use crate::expr::to_field;
use crate::stack::Stack;
use crate::{enums, sock};

/// What a handler is told: the event, its packet and its flow.
///
/// What the event itself says can be asked at any time; its packet only while the handler runs.
#[pyclass(module = "midsock")]
pub(crate) struct Event {
    pub(crate) stack: Py<Stack>,
    pub(crate) upcall: Upcall,
    /// The upcall it belongs to: when the stack has gone on, its packet is gone.
    pub(crate) serial: u64,
}

/// A value of a field as a Python object.
pub(crate) fn to_python(py: Python<'_>, field: Field, value: Option<Value<'_>>) -> PyResult<Py<PyAny>> {
    Ok(match value {
        None => py.None(),
        Some(Value::Int(value)) if field.ty() == Type::Bool => {
            (value != 0).into_pyobject(py)?.to_owned().into_any().unbind()
        }
        Some(Value::Int(value)) => match sock::as_enum(py, field, value)? {
            Some(member) => member,
            None => value.into_pyobject(py)?.into_any().unbind(),
        },
        Some(Value::Time(value)) => value.into_pyobject(py)?.into_any().unbind(),
        Some(Value::Ip(ip)) => PyString::new(py, &ip.to_string()).into_any().unbind(),
        Some(Value::Bytes(bytes)) if field.ty() == Type::Mac => {
            let text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            PyString::new(py, &text.join(":")).into_any().unbind()
        }
        Some(Value::Text(text)) => PyString::new(py, text).into_any().unbind(),
        Some(Value::Bytes(bytes)) => PyBytes::new(py, bytes).into_any().unbind(),
    })
}

impl Event {
    fn no_such(&self, what: &str) -> PyErr {
        PyAttributeError::new_err(format!("{} has no {what}", self.upcall.event.kind.name()))
    }

    fn is_conflict(&self) -> bool {
        matches!(self.upcall.event.detail, EventDetail::Conflict { .. })
    }

    fn check(&self, serial: u64) -> PyResult<()> {
        if self.serial == serial {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("the packet is gone: keep what you need of it while the handler runs"))
    }

    fn ask(&self, py: Python<'_>, field: Field) -> PyResult<Py<PyAny>> {
        let state = self.stack.get().lock(py);
        self.check(state.serial)?;
        state.core()?.field(&self.upcall, field, |value| to_python(py, field, value))
    }
}

#[pymethods]
impl Event {
    /// Name of the built-in event at its root, such as `ON_REXMIT`.
    #[getter]
    fn kind(&self) -> &'static str {
        self.upcall.event.kind.name()
    }

    /// The hook at which it is told.
    #[getter]
    fn hook(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enums::hook(py, self.upcall.event.hook)
    }

    /// Whose event: the packet's sender, the endpoint that changed, the side whose data it is.
    #[getter]
    fn side(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enums::side(py, self.upcall.event.side)
    }

    /// The packet's time, or when the timer was due, in seconds since the Unix epoch.
    #[getter]
    fn time(&self) -> f64 {
        self.upcall.event.time as f64 / 1e9
    }

    /// The same in nanoseconds.
    #[getter]
    fn time_ns(&self) -> i64 {
        self.upcall.event.time
    }

    /// `ON_CONN_NEW_DATA`, `ON_GAP`, `ON_ANOMALY` of different content: stream offset of the first byte.
    #[getter]
    fn offset(&self) -> PyResult<u64> {
        match self.upcall.event.detail {
            EventDetail::Bytes { offset, .. } | EventDetail::Conflict { offset, .. } => Ok(offset),
            _ => Err(self.no_such("offset")),
        }
    }

    /// `ON_CONN_NEW_DATA`, `ON_GAP`, `ON_ANOMALY` of different content: how many bytes. `ON_REXMIT`: how many bytes were seen before.
    #[getter]
    fn length(&self) -> PyResult<u64> {
        match self.upcall.event.detail {
            EventDetail::Bytes { length, .. } | EventDetail::Conflict { length, .. } => Ok(length),
            EventDetail::Rexmit(rexmit) => Ok(rexmit.repeated.into()),
            _ => Err(self.no_such("length")),
        }
    }

    /// `ON_CONN_NEW_DATA`: the bytes. Other than `read`, this takes nothing from the stream. `ON_ANOMALY` of different
    /// content: the bytes that came now.
    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        if self.upcall.event.kind != Kind::NewData && !self.is_conflict() {
            return Err(self.no_such("data"));
        }
        let state = self.stack.get().lock(py);
        self.check(state.serial)?;
        Ok(PyBytes::new(py, state.core()?.data(&self.upcall)).unbind())
    }

    /// `ON_ANOMALY` of different content: the bytes that were there before, as many as `data` has.
    #[getter]
    fn old_data(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if !self.is_conflict() {
            return Err(self.no_such("old data"));
        }
        self.ask(py, Field::OldData)
    }

    /// `ON_TCP_STATE_CHANGE`: the state before.
    #[getter]
    fn old(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.upcall.event.detail {
            EventDetail::StateChange(old, _) => enums::state(py, old),
            _ => Err(self.no_such("old state")),
        }
    }

    /// `ON_TCP_STATE_CHANGE`: the state after.
    #[getter]
    fn new(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.upcall.event.detail {
            EventDetail::StateChange(_, new) => enums::state(py, new),
            _ => Err(self.no_such("new state")),
        }
    }

    /// `ON_CONN_END`: why.
    #[getter]
    fn reason(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.upcall.event.detail {
            EventDetail::End(reason) => enums::reason(py, reason),
            _ => Err(self.no_such("reason")),
        }
    }

    /// `ON_REXMIT`: what was sent again.
    #[getter]
    fn rexmit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.upcall.event.detail {
            EventDetail::Rexmit(rexmit) => enums::rexmit(py, rexmit.kind),
            _ => Err(self.no_such("retransmission")),
        }
    }

    /// `ON_REXMIT`: whether the segment also holds bytes that were not seen before.
    #[getter]
    fn partial(&self) -> PyResult<bool> {
        match self.upcall.event.detail {
            EventDetail::Rexmit(rexmit) => Ok(rexmit.partial),
            _ => Err(self.no_such("retransmission")),
        }
    }

    /// `ON_ANOMALY`: which condition. `ON_ORPHAN`: what it means that the packet is of no flow, where
    /// that is remarkable.
    #[getter]
    fn anomaly(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.upcall.event.detail.anomaly() {
            Some(anomaly) => enums::anomaly(py, anomaly),
            None => Err(self.no_such("anomaly")),
        }
    }

    /// The packet's whole frame, as far as it was captured; empty for an event that no packet brought about.
    #[getter]
    fn frame(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let state = self.stack.get().lock(py);
        self.check(state.serial)?;
        Ok(PyBytes::new(py, state.core()?.frame()).unbind())
    }

    /// The packet's TCP payload, as far as it was captured; `None` for an event that no packet brought about.
    #[getter]
    fn payload(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.ask(py, Field::Payload)
    }

    /// Any field, given as such or by its name; `None` where it does not apply.
    fn __getitem__(&self, py: Python<'_>, field: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.ask(py, to_field(field)?)
    }

    /// Between two ports: sets a header field of the packet at hand, in place, with checksums mended by the difference.
    fn set(&self, py: Python<'_>, field: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (field, wanted) = (to_header_field(field)?, Wanted::extract(value)?);
        let mut state = self.stack.get().lock(py);
        self.check(state.serial)?;
        let done = state.core_mut()?.set_field(&self.upcall, field, wanted.value());
        done.map_err(|error| modify_error(&error))
    }

    /// Between two ports: replaces `payload[start:stop]` of the packet at hand by data of any length. Returns false if the
    /// packet repeats bytes that went out before: then they go out as they did.
    #[pyo3(signature = (data, start=0, stop=None))]
    fn replace(&self, py: Python<'_>, data: &[u8], start: isize, stop: Option<isize>) -> PyResult<bool> {
        let mut state = self.stack.get().lock(py);
        self.check(state.serial)?;
        let length = state.core()?.field(&self.upcall, Field::TcpLength, |value| match value {
            Some(Value::Int(length)) => length as usize,
            _ => 0,
        });
        // As a slice does.
        let place = |at: isize| match usize::try_from(at) {
            Ok(at) => at.min(length),
            Err(_) => length.saturating_sub(at.unsigned_abs()),
        };
        let (start, stop) = (place(start), stop.map_or(length, place));
        let done = state.core_mut()?.replace(&self.upcall, start..stop.max(start), data);
        Ok(done.map_err(|error| modify_error(&error))? != Replaced::Repeated)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)
    }

    fn __repr__(&self) -> String {
        let event = &self.upcall.event;
        let detail = match event.detail {
            EventDetail::None => String::new(),
            EventDetail::StateChange(old, new) => format!(" {old} -> {new}"),
            EventDetail::Bytes { offset, length } => format!(" offset={offset} length={length}"),
            EventDetail::Rexmit(rexmit) => format!(" {} repeated={}", rexmit.kind.name(), rexmit.repeated),
            EventDetail::End(reason) => format!(" {}", reason.name()),
            EventDetail::Anomaly(anomaly) => format!(" {}", anomaly.name()),
            EventDetail::Conflict { offset, length, .. } => {
                format!(" different_content offset={offset} length={length}")
            }
            EventDetail::Timer(token) => format!(" {token}"),
        };
        format!("<midsock.Event {} {} at {}{detail}>", event.kind.name(), event.side, event.time)
    }
}
