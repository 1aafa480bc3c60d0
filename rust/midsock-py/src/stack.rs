//! The stack as Python sees it, and the loop that runs it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use midsock_core::event::{MonitorKind, StreamSettings};
use midsock_core::port::{self, Port};
use midsock_core::reassembly::Overlap;
use midsock_core::scope::Scope;
use midsock_core::wire::Malformed;
use midsock_core::{ChecksumPolicy, Config, FullPolicy, Nanos, Step, Timeouts};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;

use crate::batch::Batch;
use crate::error::{port_error, scope_error};
use crate::memory::MemoryPort;
use crate::monitor::MonitorSocket;
use crate::record::FlowRecord;
use crate::sock::{FlowSocket, Timer};
use crate::upcall::Handlers;

/// The core's stack, which keeps a flow's socket with the flow.
pub(crate) type Core = midsock_core::Stack<Py<FlowSocket>>;

/// What the lock guards. It is never held while Python code can run.
pub(crate) struct State {
    core: Option<Core>,
    pub(crate) handlers: Handlers,
    /// Counts the steps: an event of an earlier one has lost its packet.
    pub(crate) serial: u64,
    /// Records of freed flows, if anybody takes them.
    records: VecDeque<midsock_core::flow::FlowRecord>,
    wants_records: bool,
}

impl State {
    pub(crate) fn core(&self) -> PyResult<&Core> {
        self.core.as_ref().ok_or_else(closed)
    }

    pub(crate) fn core_mut(&mut self) -> PyResult<&mut Core> {
        self.core.as_mut().ok_or_else(closed)
    }

    /// Works with both the Python objects and the core.
    pub(crate) fn with_handlers<T>(
        &mut self,
        act: impl FnOnce(&mut Handlers, &mut Core) -> T,
    ) -> PyResult<T> {
        Ok(act(&mut self.handlers, self.core.as_mut().ok_or_else(closed)?))
    }
}

fn closed() -> PyErr {
    PyRuntimeError::new_err("the stack is closed")
}

/// One port, all flows, and who watches them.
#[pyclass(frozen, subclass, module = "midsock")]
pub(crate) struct Stack {
    state: Mutex<State>,
    source: String,
    logs_errors: bool,
    is_running: AtomicBool,
    stops: AtomicBool,
    errors: std::sync::atomic::AtomicU64,
}

/// Bursts after which signals are looked at though no handler ran: a few milliseconds' work.
const BURSTS_PER_SIGNAL_CHECK: u32 = 64;

/// What the detached loop brought back.
enum Progress {
    Step(Step),
    /// A burst is over, and something is left to do for it.
    Chores,
}

fn seconds(name: &str, value: f64) -> PyResult<Nanos> {
    if value.is_finite() && value >= 0.0 {
        Ok((value * 1e9) as Nanos)
    } else {
        Err(PyValueError::new_err(format!("{name} is a time in seconds, 0 or more, not {value}")))
    }
}

fn to_timeouts(given: Option<&Bound<'_, PyDict>>) -> PyResult<Timeouts> {
    let mut timeouts = Timeouts::default();
    for (name, value) in given.into_iter().flatten() {
        let (name, value): (String, f64) = (name.extract()?, value.extract()?);
        let place = match name.as_str() {
            "opening" => &mut timeouts.opening,
            "established" => &mut timeouts.established,
            "closing" => &mut timeouts.closing,
            "linger" => &mut timeouts.linger,
            "gap" => &mut timeouts.gap,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "there is no timeout {name:?}: choose opening, established, closing, linger or gap"
                )));
            }
        };
        *place = seconds(&name, value)?;
    }
    Ok(timeouts)
}

fn choice<T>(what: &str, given: &str, choices: &[(&str, T)]) -> PyResult<T>
where
    T: Copy,
{
    let known = choices.iter().find(|(name, _)| *name == given);
    known.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        PyValueError::new_err(format!("{what} is one of {}, not {given:?}", names.join(", ")))
    })
}

pub(crate) fn to_overlap(name: &str) -> PyResult<Overlap> {
    Overlap::from_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("overlap is one of first, last, not {name:?}")))
}

impl Stack {
    /// Locks the state; waits detached, so that whoever holds it can attach.
    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        // A panic elsewhere left no half-done Python object behind: the state is as good as before it.
        self.state.lock_py_attached(py).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs the core without the interpreter until Python is needed.
    fn run_detached(&self, py: Python<'_>) -> PyResult<Progress> {
        py.detach(|| {
            let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut bursts = 0;
            loop {
                let is_kept = state.wants_records;
                let core = state.core.as_mut().ok_or_else(closed)?;
                match core.step().map_err(|error| port_error(&error))? {
                    Step::BurstEnd => {
                        bursts += 1;
                        let chores = core.has_released() || is_kept && core.has_records();
                        if chores || bursts >= BURSTS_PER_SIGNAL_CHECK || self.stops.load(Ordering::Relaxed) {
                            return Ok(Progress::Chores);
                        }
                    }
                    step => {
                        state.serial += 1;
                        return Ok(Progress::Step(step));
                    }
                }
            }
        })
    }

    /// The next step with the interpreter attached.
    fn step_attached(&self, py: Python<'_>) -> PyResult<Step> {
        let mut state = self.lock(py);
        state.serial += 1;
        state.core_mut()?.step().map_err(|error| port_error(&error))
    }

    /// What is left to do at the end of a burst.
    fn end_burst(&self, py: Python<'_>) -> PyResult<()> {
        let (released, dropped) = {
            let mut state = self.lock(py);
            let core = state.core_mut()?;
            let (released, handlers) = (core.take_released(), core.take_released_handlers());
            let records = core.take_records();
            state.records.extend(records);
            (released, state.handlers.release(&handlers))
        };
        for (record, sock) in released {
            sock.get().keep_record(py, record);
        }
        drop(dropped);
        py.check_signals()
    }

    /// Runs until the pull has something, the stack is to stop, or the input is over; returns whether it is.
    pub(crate) fn advance(slf: &Bound<'_, Self>, is_satisfied: impl Fn(&State) -> bool) -> PyResult<bool> {
        let (py, stack) = (slf.py(), slf.get());
        if stack.is_running.swap(true, Ordering::AcqRel) {
            return Err(PyRuntimeError::new_err(
                "the stack is running already: a handler cannot run it, and neither can a second thread",
            ));
        }
        let result = stack.advance_inner(slf, py, is_satisfied);
        stack.is_running.store(false, Ordering::Release);
        result
    }

    fn advance_inner(
        &self,
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        is_satisfied: impl Fn(&State) -> bool,
    ) -> PyResult<bool> {
        let mut event = None;
        loop {
            let mut step = match self.run_detached(py)? {
                Progress::Chores => Step::BurstEnd,
                Progress::Step(step) => step,
            };
            // From here to the end of the burst the interpreter stays attached.
            loop {
                match step {
                    Step::Upcall(upcall) => crate::upcall::call(slf, upcall, &mut event)?,
                    Step::Batch(id, rows) => {
                        let target = self.lock(py).handlers.batch(py, id);
                        crate::upcall::deliver(slf, target, Batch::new(rows))?;
                    }
                    Step::BurstEnd | Step::Idle => break,
                    Step::End => {
                        self.end_burst(py)?;
                        return Ok(true);
                    }
                }
                if self.stops.swap(false, Ordering::Relaxed) || is_satisfied(&self.lock(py)) {
                    return Ok(false);
                }
                step = self.step_attached(py)?;
            }
            self.end_burst(py)?;
            if self.stops.swap(false, Ordering::Relaxed) || is_satisfied(&self.lock(py)) {
                return Ok(false);
            }
        }
    }

    /// An exception of a handler: it stops the stack, or is logged.
    pub(crate) fn handler_error(&self, py: Python<'_>, error: PyErr, about: &str) -> PyResult<()> {
        let is_exception = error.is_instance_of::<pyo3::exceptions::PyException>(py);
        if !self.logs_errors || !is_exception {
            error.value(py).call_method1("add_note", (format!("while handling {about}"),))?;
            return Err(error);
        }
        self.errors.fetch_add(1, Ordering::Relaxed);
        let logger = py.import("logging")?.call_method1("getLogger", ("midsock",))?;
        let kwargs = PyDict::new(py);
        kwargs.set_item("exc_info", error.into_value(py))?;
        logger.call_method("error", ("error while handling %s", about), Some(&kwargs))?;
        Ok(())
    }
}

#[pymethods]
impl Stack {
    #[new]
    #[pyo3(signature = (source, *, checksum="auto", midstream=false, max_flows=10_000_000, when_full="evict",
                        max_reassembly=1 << 30, timeouts=None, on_error="raise", seed=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn new(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        checksum: &str,
        midstream: bool,
        max_flows: u64,
        when_full: &str,
        max_reassembly: u64,
        timeouts: Option<&Bound<'_, PyDict>>,
        on_error: &str,
        seed: Option<u64>,
    ) -> PyResult<Stack> {
        let checksums = [
            ("verify", ChecksumPolicy::Verify),
            ("ignore", ChecksumPolicy::Ignore),
            ("auto", ChecksumPolicy::Auto),
        ];
        let config = Config {
            checksums: choice("checksum", checksum, &checksums)?,
            midstream,
            max_flows,
            full: choice(
                "when_full",
                when_full,
                &[("evict", FullPolicy::Evict), ("ignore", FullPolicy::Ignore)],
            )?,
            max_reassembly,
            timeouts: to_timeouts(timeouts)?,
            records: false,
            seed,
        };
        if max_flows == 0 {
            return Err(PyValueError::new_err("max_flows is at least 1"));
        }
        let logs_errors = choice("on_error", on_error, &[("raise", false), ("log", true)])?;
        let (port, source): (Box<dyn Port>, String) = if let Ok(memory) = source.cast::<MemoryPort>() {
            (memory.get().open()?, "memory".to_owned())
        } else {
            let name: String = py.import("os")?.call_method1("fspath", (source,))?.extract()?;
            let port = py.detach(|| port::open(&name)).map_err(|error| port_error(&error))?;
            (port, name)
        };
        let core = Core::new(port, config).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let state = State {
            core: Some(core),
            handlers: Handlers::default(),
            serial: 0,
            records: VecDeque::new(),
            wants_records: false,
        };
        Ok(Stack {
            state: Mutex::new(state),
            source,
            logs_errors,
            is_running: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            errors: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// Opens a monitoring socket.
    #[pyo3(signature = (kind=0, filter="", *, track=(true, true), reassemble=None, depth=None, buffer=1 << 20,
                        overlap="first", digest=false))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn socket(
        slf: &Bound<'_, Self>,
        kind: u8,
        filter: &str,
        track: (bool, bool),
        reassemble: Option<bool>,
        depth: Option<u64>,
        buffer: u64,
        overlap: &str,
        digest: bool,
    ) -> PyResult<Py<MonitorSocket>> {
        let py = slf.py();
        let kind = match kind {
            0 => MonitorKind::Stream,
            1 => MonitorKind::Raw,
            _ => return Err(PyValueError::new_err("a socket is MONITOR_STREAM or MONITOR_RAW")),
        };
        let scope = Scope::parse(filter).map_err(|error| scope_error(&error))?;
        let settings = StreamSettings {
            track: [track.0, track.1],
            reassemble,
            depth: depth.unwrap_or(u64::MAX),
            buffer,
            overlap: to_overlap(overlap)?,
            digest,
        };
        let id = slf.get().lock(py).core_mut()?.open(kind, scope.clone(), settings);
        let monitor = Py::new(py, MonitorSocket::new(slf.clone().unbind(), id, kind, scope.to_string()))?;
        slf.get().lock(py).handlers.add_monitor(monitor.clone_ref(py));
        Ok(monitor)
    }

    /// Runs until the input is over or `stop` is called. Called again, it goes on where it stopped.
    fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        Stack::advance(slf, |_| false).map(drop)
    }

    /// Makes `run` return once the handler at work is done; a later `run` goes on.
    fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// Closes the port and frees everything. A closed stack can do nothing more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_running.load(Ordering::Acquire) {
            return Err(PyRuntimeError::new_err("the stack is running: stop it first"));
        }
        let core = self.lock(py).core.take();
        if let Some(mut core) = core {
            for (record, sock) in core.abandon() {
                sock.get().keep_record(py, record);
            }
        }
        let handlers = std::mem::take(&mut self.lock(py).handlers);
        for monitor in handlers.monitors() {
            monitor.get().forget();
        }
        drop(handlers);
        Ok(())
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.lock(py).core.is_none()
    }

    /// From now on, keeps a record of every flow that is freed, for `_next_records`.
    fn _keep_records(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py);
        state.wants_records = true;
        state.core_mut()?.keep_records();
        Ok(())
    }

    /// Runs until records are there; an empty list once the input is over.
    fn _next_records(slf: &Bound<'_, Self>) -> PyResult<Vec<FlowRecord>> {
        let (py, stack) = (slf.py(), slf.get());
        if stack.lock(py).records.is_empty() {
            Stack::advance(slf, |state| !state.records.is_empty())?;
        }
        let records = std::mem::take(&mut stack.lock(py).records);
        Ok(records.into_iter().map(FlowRecord::new).collect())
    }

    /// Sets a timer that calls `handler(None, event)` once `seconds` of packet time have passed.
    fn timer(slf: &Bound<'_, Self>, seconds: f64, handler: &Bound<'_, PyAny>) -> PyResult<Timer> {
        Timer::set(slf, None, seconds, Some(handler), 0)
    }

    /// Counters of the stack, its flow table and its port, by name.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py);
        let core = state.core()?;
        let (stack, flows, port) = (core.statistics(), core.flow_statistics(), core.port().statistics());
        let memory = core.flow_memory();
        drop(state);
        let malformed = PyDict::new(py);
        for kind in Malformed::ALL {
            malformed.set_item(kind.name(), stack.malformed[kind.index()])?;
        }
        let counters = PyDict::new(py);
        for (name, value) in [
            ("received", port.received),
            ("received_bytes", port.received_bytes),
            ("unreadable", port.malformed),
            ("tcp", stack.tcp),
            ("not_tcp", stack.not_tcp),
            ("not_ip", stack.not_ip),
            ("fragments", stack.fragments),
            ("orphans", stack.orphans),
            ("unwatched", stack.unwatched),
            ("ignored", stack.ignored),
            ("evicted", stack.evicted),
            ("flows_opened", flows.opened),
            ("flows_open", flows.open),
            ("flows_peak", flows.peak),
            ("flow_memory", memory as u64),
            ("reassembly", stack.reassembly),
            ("handler_errors", self.errors.load(Ordering::Relaxed)),
        ] {
            counters.set_item(name, value)?;
        }
        counters.set_item("malformed", malformed)?;
        Ok(counters)
    }

    /// How much of the source has been read: bytes done and bytes in all; `None` if its size is not known.
    #[getter]
    fn progress(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        Ok(self.lock(py).core()?.port().progress())
    }

    /// Something about the source that its user should know, such as a record cut short; `None` if all is well.
    #[getter]
    fn warning(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.lock(py).core()?.port().warning().map(str::to_owned))
    }

    /// Where the packets come from.
    #[getter]
    fn source(&self) -> &str {
        &self.source
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = self.lock(py);
        match &state.core {
            None => format!("<midsock.Stack {:?} closed>", self.source),
            Some(core) => format!(
                "<midsock.Stack {:?} flows={} packets={}>",
                self.source,
                core.flow_statistics().open,
                core.port().statistics().received
            ),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While somebody else holds the lock the stack is in use, so there is nothing to collect.
        if let Ok(state) = self.state.try_lock() {
            state.handlers.traverse(&visit)?;
            for sock in state.core.iter().flat_map(Core::users) {
                visit.call(sock)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let taken =
            self.state.try_lock().map(|mut state| (state.core.take(), std::mem::take(&mut state.handlers)));
        drop(taken);
    }
}
