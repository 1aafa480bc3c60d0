//! From the core's errors to Python exceptions.

use midsock_core::event::{ExprError, RegistryError};
use midsock_core::scope::ScopeError;
use midsock_core::{NoFlow, port};
use pyo3::create_exception;
use pyo3::exceptions::{
    PyFileNotFoundError, PyOSError, PyPermissionError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;

create_exception!(
    midsock,
    PortError,
    PyOSError,
    "A port cannot be opened or cannot go on; the message says what to do."
);
create_exception!(
    midsock,
    FilterError,
    PyValueError,
    "A scope filter, an expression or a pattern is wrong; the message points at what."
);
create_exception!(
    midsock,
    FlowEndedError,
    PyRuntimeError,
    "The flow has ended: its stream can be neither read nor steered any more."
);

pub(crate) fn port_error(error: &port::PortError) -> PyErr {
    let text = error.to_string();
    match error {
        port::PortError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
            std::io::ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
            _ => PortError::new_err(text),
        },
        port::PortError::Format { .. } => PortError::new_err(text),
    }
}

pub(crate) fn no_flow(error: NoFlow) -> PyErr {
    FlowEndedError::new_err(error.to_string())
}

pub(crate) fn registry_error(error: &RegistryError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub(crate) fn scope_error(error: &ScopeError) -> PyErr {
    FilterError::new_err(error.to_string())
}

pub(crate) fn expr_error(error: &ExprError) -> PyErr {
    match error {
        ExprError::Type { .. } => PyTypeError::new_err(error.to_string()),
        ExprError::Pattern(_) | ExprError::Depth => FilterError::new_err(error.to_string()),
    }
}
