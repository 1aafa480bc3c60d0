//! From the core's errors to Python exceptions.

use std::io::ErrorKind;

use midsock_core::event::{ExprError, RegistryError};
use midsock_core::inline::{EditError, NatError, RewriteError};
use midsock_core::scope::ScopeError;
use midsock_core::{InlineError, ModifyError, NoFlow, port};
use pyo3::create_exception;
use pyo3::exceptions::{
    PyBrokenPipeError, PyFileNotFoundError, PyOSError, PyPermissionError, PyRuntimeError, PyTypeError,
    PyValueError,
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
    let kind = match error {
        port::PortError::Io { source, .. } => Some(source.kind()),
        port::PortError::Live { kind, .. } => Some(*kind),
        port::PortError::Format { .. } => None,
    };
    match kind {
        Some(ErrorKind::NotFound) => PyFileNotFoundError::new_err(text),
        Some(ErrorKind::PermissionDenied) => PyPermissionError::new_err(text),
        // Whoever reads standard output went away.
        Some(ErrorKind::BrokenPipe) => PyBrokenPipeError::new_err(text),
        _ => PortError::new_err(text),
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

pub(crate) fn inline_error(error: &InlineError) -> PyErr {
    match error {
        InlineError::Freed(gone) => no_flow(*gone),
        InlineError::Port(error) => port_error(error),
        InlineError::NoPort(_) | InlineError::EmptyFrame | InlineError::RowCount { .. } => {
            PyValueError::new_err(error.to_string())
        }
        InlineError::Passive
        | InlineError::ReadOnly
        | InlineError::NoPacket
        | InlineError::NoFlow
        | InlineError::Tunnelled
        | InlineError::LateBatch => PyRuntimeError::new_err(error.to_string()),
    }
}

pub(crate) fn modify_error(error: &ModifyError) -> PyErr {
    match error {
        ModifyError::Inline(error) => inline_error(error),
        ModifyError::Field(RewriteError::Type { .. }) => PyTypeError::new_err(error.to_string()),
        ModifyError::Field(
            RewriteError::ReadOnly(..)
            | RewriteError::Range { .. }
            | RewriteError::Version { .. }
            | RewriteError::Absent(_),
        )
        | ModifyError::Edit(EditError::Range)
        | ModifyError::Nat(NatError::InUse { .. } | NatError::Version { .. }) => {
            PyValueError::new_err(error.to_string())
        }
        ModifyError::Field(RewriteError::Tunnelled)
        | ModifyError::Edit(_)
        | ModifyError::Nat(NatError::Tunnelled)
        | ModifyError::Fragmented
        | ModifyError::Memory(_) => PyRuntimeError::new_err(error.to_string()),
    }
}
