//! Capture files written from Python.

use std::sync::Mutex;

use midsock_core::port::file::{Format, Writer};
use midsock_core::port::{ChecksumState, LinkType, Packet, Port};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::error::port_error;

/// Writes packets to a capture file.
///
/// The format follows from the path: pcapng for `.pcapng`, or else pcap with microseconds, each compressed for `.gz` and
/// `.zst`; `"-"` is standard output. `format` (`"pcap"`, `"pcap-ns"`, `"pcapng"`) says otherwise. As a context manager it
/// is closed at the end. Raises `OSError` if the file cannot be written.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct CaptureWriter {
    writer: Mutex<Option<Writer>>,
    path: String,
}

/// The format by its name, or by that of the file.
pub(crate) fn to_format(path: &str, name: Option<&str>) -> PyResult<Format> {
    match name {
        None => Ok(Format::from_path(path)),
        Some("pcap") => Ok(Format::Pcap),
        Some("pcap-ns") => Ok(Format::PcapNanos),
        Some("pcapng") => Ok(Format::Pcapng),
        Some(other) => {
            Err(PyValueError::new_err(format!("format is one of pcap, pcap-ns, pcapng, not {other:?}")))
        }
    }
}

#[pymethods]
impl CaptureWriter {
    #[new]
    #[pyo3(signature = (path, *, format=None))]
    fn new(path: &Bound<'_, PyAny>, format: Option<&str>) -> PyResult<CaptureWriter> {
        let path = crate::port::path(path)?;
        let format = to_format(&path, format)?;
        let writer =
            midsock_core::port::file::create(&path, format, None).map_err(|error| port_error(&error))?;
        Ok(CaptureWriter { writer: Mutex::new(Some(writer)), path })
    }

    /// Writes one frame: its time in nanoseconds since the Unix epoch, its bytes, and if it was longer on the wire, its
    /// `length` there. `link` is its link type by number, 1 (Ethernet) by default.
    #[pyo3(signature = (time_ns, frame, *, length=None, link=1))]
    fn write(&self, time_ns: i64, frame: &[u8], length: Option<u32>, link: u16) -> PyResult<()> {
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let writer = writer.as_mut().ok_or_else(|| PyRuntimeError::new_err("the capture file is closed"))?;
        let captured =
            u32::try_from(frame.len()).map_err(|_| PyValueError::new_err("the frame is too long"))?;
        let packet = Packet {
            time: time_ns,
            offset: 0,
            captured,
            length: length.unwrap_or(captured).max(captured),
            link: LinkType::from_linktype(link),
            checksum: ChecksumState::Unknown,
            interface: 0,
        };
        writer.send(frame, &[packet]).map_err(|error| port_error(&error))
    }

    /// Completes the file; writing is over then.
    fn close(&self) -> PyResult<()> {
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        writer.map_or(Ok(()), |writer| writer.finish().map_err(|error| port_error(&error)))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close()
    }

    fn __repr__(&self) -> String {
        format!("<midsock.CaptureWriter {:?}>", self.path)
    }
}
