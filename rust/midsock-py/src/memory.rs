//! Packets from Python.

use midsock_core::port::{LinkType, MemoryPort as CorePort, Port};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// A port of packets that are given beforehand: pairs of a time in nanoseconds since the Unix epoch and a frame.
///
/// `link` is the frames' link type by its number in the registry of the tcpdump group, 1 (Ethernet) by default.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct MemoryPort {
    port: std::sync::Mutex<Option<Box<dyn Port>>>,
    packets: usize,
}

impl MemoryPort {
    /// The core's port; once.
    pub(crate) fn open(&self) -> PyResult<Box<dyn Port>> {
        let port = self.port.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
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
        Ok(MemoryPort { port: std::sync::Mutex::new(Some(Box::new(port))), packets: count })
    }

    fn __repr__(&self) -> String {
        format!("<midsock.MemoryPort {} packets>", self.packets)
    }
}
