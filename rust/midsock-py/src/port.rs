//! From what Python gives as a port to the core's.

use midsock_core::port::{self, Port};
use pyo3::prelude::*;

use crate::error::port_error;
use crate::memory::MemoryPort;

/// A port that was given by name, by path or as an object, and how to call it.
pub(crate) enum Given {
    Memory(Box<dyn Port>),
    Named(String),
}

impl Given {
    pub(crate) fn extract(given: &Bound<'_, PyAny>) -> PyResult<Given> {
        if let Ok(memory) = given.cast::<MemoryPort>() {
            return Ok(Given::Memory(memory.get().open()?));
        }
        Ok(Given::Named(path(given)?))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Given::Memory(_) => "memory",
            Given::Named(name) => name,
        }
    }

    /// Opens it, without the interpreter as that may take a while.
    pub(crate) fn open(self, py: Python<'_>) -> PyResult<Box<dyn Port>> {
        match self {
            Given::Memory(port) => Ok(port),
            Given::Named(name) => py.detach(|| port::open(&name)).map_err(|error| port_error(&error)),
        }
    }

    /// Opens two between which packets are forwarded.
    pub(crate) fn open_pair(self, other: Given, py: Python<'_>) -> PyResult<[Box<dyn Port>; 2]> {
        match (self, other) {
            (Given::Named(first), Given::Named(second)) => {
                py.detach(|| port::open_pair(&first, &second)).map_err(|error| port_error(&error))
            }
            (first, second) => Ok([first.open(py)?, second.open(py)?]),
        }
    }
}

/// A path or a name as text.
pub(crate) fn path(given: &Bound<'_, PyAny>) -> PyResult<String> {
    given.py().import("os")?.call_method1("fspath", (given,))?.extract()
}
