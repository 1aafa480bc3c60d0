//! Packets from Python.

use std::sync::{Mutex, PoisonError};

use midsock_core::port::{LinkType, MemoryPort as CorePort, Port, SentFrames};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList};

/// A port of packets that are given beforehand: pairs of a time in nanoseconds since the Unix epoch and a frame.
///
/// A stack that has it as one of two ports sends frames through it, which `sent` lists.
/// `link` is the frames' link type by its number in the registry of the tcpdump group, 1 (Ethernet) by default.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct MemoryPort {
    port: Mutex<Option<Box<dyn Port>>>,
    packets: usize,
    unseen: SentFrames,
    /// Frames that were sent and looked at.
    sent: Mutex<Vec<Py<PyBytes>>>,
}

impl MemoryPort {
    /// The core's port; once.
    pub(crate) fn open(&self) -> PyResult<Box<dyn Port>> {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner).take();
        port.ok_or_else(|| PyRuntimeError::new_err("a MemoryPort serves one stack: make another one"))
    }
}

#[pymethods]
impl MemoryPort {
    #[new]
    #[pyo3(signature = (packets, *, link=1, burst=256))]
    fn new(packets: Vec<(i64, Vec<u8>)>, link: u16, burst: usize) -> PyResult<MemoryPort> {
        if !(1..=midsock_core::port::BURST).contains(&burst) {
            return Err(PyValueError::new_err(format!(
                "a burst is 1 to {} packets",
                midsock_core::port::BURST
            )));
        }
        let link = LinkType::from_linktype(link);
        let count = packets.len();
        let port =
            CorePort::new(packets.into_iter().map(|(time, frame)| (time, frame, link))).with_burst(burst);
        let unseen = port.sent();
        Ok(MemoryPort {
            port: Mutex::new(Some(Box::new(port))),
            packets: count,
            unseen,
            sent: Mutex::default(),
        })
    }

    /// The frames that were sent through the port so far, in order.
    #[getter]
    fn sent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut sent = self.sent.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        sent.extend(self.unseen.take().into_iter().map(|frame| PyBytes::new(py, &frame.bytes).unbind()));
        let frames: Vec<Py<PyBytes>> = sent.iter().map(|frame| frame.clone_ref(py)).collect();
        drop(sent);
        PyList::new(py, frames)
    }

    fn __repr__(&self) -> String {
        format!("<midsock.MemoryPort {} packets>", self.packets)
    }
}
