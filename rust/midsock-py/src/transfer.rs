//! Captures and replays under way, for the command line.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use midsock_core::scope::Scope;
use midsock_core::transfer::{self, CaptureOptions, CaptureStatistics, Pace, ReplayStatistics};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;

use crate::error::{port_error, scope_error};
use crate::port::{Given, path};
use crate::writer::to_format;

fn lock<'m, T>(py: Python<'_>, mutex: &'m Mutex<T>) -> MutexGuard<'m, T> {
    // A panic elsewhere left no half-done Python object behind.
    mutex.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
}

fn stretch(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("a time in seconds is 0 or more, not {seconds}")))
}

fn over() -> PyErr {
    PyRuntimeError::new_err("it is closed")
}

fn counters<'py>(py: Python<'py>, values: &[(&str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let counters = PyDict::new(py);
    for (name, value) in values {
        counters.set_item(name, value)?;
    }
    Ok(counters)
}

/// Packets of a port on their way to a capture file.
///
/// `filter` is a scope filter that says which packets are kept, `snaplen` how many bytes of each at most, `count` how
/// many packets at most. `format` is as for `CaptureWriter`.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Capture {
    work: Mutex<Option<transfer::Capture>>,
    last: Mutex<CaptureStatistics>,
    is_live: bool,
}

#[pymethods]
impl Capture {
    #[new]
    #[pyo3(signature = (port, path, *, filter="", snaplen=None, count=None, format=None))]
    fn new(
        py: Python<'_>,
        port: &Bound<'_, PyAny>,
        path: &Bound<'_, PyAny>,
        filter: &str,
        snaplen: Option<u32>,
        count: Option<u64>,
        format: Option<&str>,
    ) -> PyResult<Capture> {
        let path = self::path(path)?;
        let all = CaptureOptions::default();
        let options = CaptureOptions {
            filter: Scope::parse(filter).map_err(|error| scope_error(&error))?,
            snaplen: snaplen.unwrap_or(all.snaplen),
            count: count.unwrap_or(all.count),
        };
        if options.snaplen == 0 {
            return Err(PyValueError::new_err("snaplen is at least 1"));
        }
        let format = to_format(&path, format)?;
        // The port first: if it cannot be opened, a file that is there already stays as it is.
        let port = Given::extract(port)?.open(py)?;
        let is_live = port.is_live();
        let writer =
            midsock_core::port::file::create(&path, format, None).map_err(|error| port_error(&error))?;
        let capture = transfer::Capture::new(port, writer, options);
        Ok(Capture { work: Mutex::new(Some(capture)), last: Mutex::default(), is_live })
    }

    /// Captures for about so many seconds; returns whether there is more to do.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let time = stretch(seconds)?;
        let goes_on = py.detach(|| {
            let mut capture = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            capture.as_mut().ok_or_else(over)?.advance(time).map_err(|error| port_error(&error))
        })?;
        py.check_signals()?;
        Ok(goes_on)
    }

    /// Counters so far: `received received_bytes written dropped_by_kernel dropped`.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut last = lock(py, &self.last);
        if let Some(capture) = &*lock(py, &self.work) {
            *last = capture.statistics();
        }
        counters(
            py,
            &[
                ("received", last.received),
                ("received_bytes", last.received_bytes),
                ("written", last.written),
                ("dropped_by_kernel", last.dropped_by_kernel),
                ("dropped", last.dropped),
            ],
        )
    }

    /// Completes the file, and closes the port.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.statistics(py)?;
        let capture = lock(py, &self.work).take();
        capture.map_or(Ok(()), |capture| py.detach(|| capture.finish()).map_err(|error| port_error(&error)))
    }

    /// Whether its packets come as they are on the wire.
    #[getter]
    fn live(&self) -> bool {
        self.is_live
    }
}

/// A capture file on its way to a port.
///
/// Packets are sent with the gaps they were recorded with, divided by `speed` (infinite: as fast as the port takes them),
/// or with `rate`, so many a second. The file is sent `rounds` times, or for ever if that is `None`.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Replay {
    work: Mutex<Option<transfer::Replay>>,
    last: Mutex<ReplayStatistics>,
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (path, port, *, speed=1.0, rate=None, rounds=1))]
    fn new(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        port: &Bound<'_, PyAny>,
        speed: f64,
        rate: Option<f64>,
        rounds: Option<u64>,
    ) -> PyResult<Replay> {
        let is_positive = |value: f64| value > 0.0 && !value.is_nan();
        if !is_positive(rate.unwrap_or(speed)) {
            return Err(PyValueError::new_err("speed and rate are more than 0"));
        }
        let pace = match rate {
            Some(rate) if rate.is_finite() => Pace::Rate(rate),
            None if speed.is_finite() => Pace::Original { speed },
            _ => Pace::FlatOut,
        };
        let (path, given) = (self::path(path)?, Given::extract(port)?);
        let (name, is_named) = (given.name().to_owned(), matches!(given, Given::Named(_)));
        if path == "-" && rounds != Some(1) {
            return Err(PyValueError::new_err("standard input can be read once only"));
        }
        let sink = given.open(py)?;
        if is_named && !sink.is_live() {
            let text = format!("{name} is a capture file: packets can be sent to live ports only");
            return Err(PyValueError::new_err(text));
        }
        let replay = py.detach(|| transfer::Replay::open(&path, sink, pace, rounds));
        let replay = replay.map_err(|error| port_error(&error))?;
        Ok(Replay { work: Mutex::new(Some(replay)), last: Mutex::default() })
    }

    /// Sends for about so many seconds; returns whether there is more to do.
    fn advance(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let time = stretch(seconds)?;
        let goes_on = py.detach(|| {
            let mut replay = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            replay.as_mut().ok_or_else(over)?.advance(time).map_err(|error| port_error(&error))
        })?;
        py.check_signals()?;
        Ok(goes_on)
    }

    /// Counters so far: `rounds sent sent_bytes send_failures skipped cut_short`.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut last = lock(py, &self.last);
        if let Some(replay) = &*lock(py, &self.work) {
            *last = replay.statistics();
        }
        counters(
            py,
            &[
                ("rounds", last.rounds),
                ("sent", last.sent),
                ("sent_bytes", last.sent_bytes),
                ("send_failures", last.send_failures),
                ("skipped", last.skipped),
                ("cut_short", last.cut_short),
            ],
        )
    }

    /// How much of the file was sent in this round, and its whole; `None` if that is not known.
    #[getter]
    fn progress(&self, py: Python<'_>) -> Option<(u64, u64)> {
        lock(py, &self.work).as_ref()?.progress()
    }

    /// Something about the file that its user should know, such as a record cut short; `None` if all is well.
    #[getter]
    fn warning(&self, py: Python<'_>) -> Option<String> {
        lock(py, &self.work).as_ref()?.warning().map(str::to_owned)
    }

    /// Closes the file and the port.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.statistics(py)?;
        let replay = lock(py, &self.work).take();
        drop(replay);
        Ok(())
    }
}
