//! The stack as Python sees it, and the loop that runs it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use midsock_core::event::{MonitorKind, StreamSettings};
use midsock_core::port::PortStatistics;
use midsock_core::scope::Scope;
use midsock_core::wire::Malformed;
use midsock_core::{ChecksumPolicy, Config, FailurePolicy, FullPolicy, Step, VlanPolicy};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;

use crate::batch::Batch;
use crate::error::{inline_error, port_error, scope_error};
use crate::monitor::MonitorSocket;
use crate::options::{
    choice, deadline, fragment_counters, port_statistics, to_decoder, to_emergency, to_fragment_overlap,
    to_hosts, to_overlap, to_timeouts, to_urgent,
};
use crate::port::Given;
use crate::record::FlowRecord;
use crate::sock::FlowSocket;
use crate::timer::Timer;
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
    /// The input is over, and all that it led to was told.
    is_over: bool,
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
    /// What its ports are called.
    names: Vec<String>,
    logs_errors: bool,
    is_running: AtomicBool,
    stops: AtomicBool,
    finishes: AtomicBool,
    /// Threads that wait for the state while the stack runs.
    waiting: AtomicUsize,
    errors: AtomicU64,
}

/// How long the stack runs before it looks at signals though no handler ran.
const SIGNAL_CHECK: Duration = Duration::from_millis(5);

/// How long the stack, which runs, lets other threads that wait for its state go first.
const COURTESY: Duration = Duration::from_millis(2);

/// What the detached loop brought back.
enum Progress {
    Step(Step),
    /// A burst is over, and something is left to do for it.
    Chores,
}

impl Stack {
    /// Locks the state.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        match self.state.try_lock() {
            Ok(state) => state,
            Err(error) => self.lock_slowly(py, error),
        }
    }

    /// Waits for the lock detached, so that whoever holds it can attach.
    #[cold]
    fn lock_slowly<'s>(
        &'s self,
        py: Python<'_>,
        error: TryLockError<MutexGuard<'s, State>>,
    ) -> MutexGuard<'s, State> {
        // A panic elsewhere left no half-done Python object behind: the state is as good as before it.
        if let TryLockError::Poisoned(state) = error {
            return state.into_inner();
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let state = self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        state
    }

    /// Runs the core without the interpreter until Python is needed.
    fn run_detached(&self, py: Python<'_>, until: Option<Instant>) -> PyResult<Progress> {
        py.detach(|| {
            let start = Instant::now();
            let check = until.map_or(start + SIGNAL_CHECK, |until| until.min(start + SIGNAL_CHECK));
            // Locks are not fair: a stack that waits for packets would take its own back before anybody else wakes up.
            while self.waiting.load(Ordering::Acquire) > 0 && start.elapsed() < COURTESY {
                std::thread::sleep(Duration::from_micros(20));
            }
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let is_kept = state.wants_records;
                let core = state.core.as_mut().ok_or_else(closed)?;
                if self.finishes.load(Ordering::Relaxed) {
                    core.finish();
                }
                match core.step().map_err(|error| port_error(&error))? {
                    Step::BurstEnd => {
                        let chores = core.has_released() || is_kept && core.has_records();
                        if chores || Instant::now() >= check || self.stops.load(Ordering::Relaxed) {
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

    /// Runs until `is_satisfied`, the stack is to stop, the time has come, or the input is over; returns whether it is.
    pub(crate) fn advance(
        slf: &Bound<'_, Self>,
        until: Option<Instant>,
        is_satisfied: impl Fn(&State) -> bool,
    ) -> PyResult<bool> {
        let (py, stack) = (slf.py(), slf.get());
        crate::rights::at_run(py)?;
        if stack.is_running.swap(true, Ordering::AcqRel) {
            return Err(PyRuntimeError::new_err(
                "the stack is running already: a handler cannot run it, and neither can a second thread",
            ));
        }
        let result = stack.advance_inner(slf, py, until, is_satisfied);
        stack.is_running.store(false, Ordering::Release);
        result
    }

    fn advance_inner(
        &self,
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        until: Option<Instant>,
        is_satisfied: impl Fn(&State) -> bool,
    ) -> PyResult<bool> {
        let mut event = None;
        loop {
            let mut step = match self.run_detached(py, until)? {
                Progress::Chores => Step::BurstEnd,
                Progress::Step(step) => step,
            };
            // From here to the end of the burst the interpreter stays attached.
            loop {
                match step {
                    Step::Upcall(upcall) => crate::upcall::call(slf, upcall, &mut event)?,
                    Step::Batch(id, rows) => {
                        let target = self.lock(py).handlers.batch(py, id);
                        crate::upcall::deliver(slf, id, target, Batch::new(rows))?;
                    }
                    Step::BurstEnd | Step::Idle => break,
                    Step::End => {
                        self.end_burst(py)?;
                        self.lock(py).is_over = true;
                        return Ok(true);
                    }
                }
                if self.stops.swap(false, Ordering::Relaxed) || is_satisfied(&self.lock(py)) {
                    return Ok(false);
                }
                step = self.step_attached(py)?;
            }
            self.end_burst(py)?;
            if self.stops.swap(false, Ordering::Relaxed)
                || is_satisfied(&self.lock(py))
                || until.is_some_and(|until| Instant::now() >= until)
            {
                return Ok(false);
            }
        }
    }

    /// Whether packets go from one port to another, so that handlers decide on them.
    pub(crate) fn is_inline(&self) -> bool {
        self.names.len() > 1
    }

    /// The ports' names, as they are written in Python.
    fn ports(&self) -> String {
        self.names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
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
    #[pyo3(signature = (source, sink=None, *, checksum="auto", midstream=false, max_flows=10_000_000, when_full="evict",
                        max_reassembly=1 << 30, max_fragments=1 << 24, fragment_overlap=None,
                        decapsulate=None, max_layers=32, vlans="separate", timeouts=None, emergency=None, on_error="raise", on_failure="open", seed=None,
                        hosts=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn new(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        sink: Option<&Bound<'_, PyAny>>,
        checksum: &str,
        midstream: bool,
        max_flows: u64,
        when_full: &str,
        max_reassembly: u64,
        max_fragments: u64,
        fragment_overlap: Option<&str>,
        decapsulate: Option<&Bound<'_, PyAny>>,
        max_layers: u8,
        vlans: &str,
        timeouts: Option<&Bound<'_, PyDict>>,
        emergency: Option<&Bound<'_, PyDict>>,
        on_error: &str,
        on_failure: &str,
        seed: Option<u64>,
        hosts: Option<&Bound<'_, PyDict>>,
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
            max_fragments,
            fragment_overlap: fragment_overlap.map(to_fragment_overlap).transpose()?,
            decoder: to_decoder(decapsulate, max_layers)?,
            vlans: choice(
                "vlans",
                vlans,
                &[("separate", VlanPolicy::Separate), ("ignore", VlanPolicy::Ignore)],
            )?,
            timeouts: to_timeouts(timeouts)?,
            emergency: to_emergency(emergency)?,
            records: false,
            seed,
            on_failure: choice(
                "on_failure",
                on_failure,
                &[("open", FailurePolicy::Open), ("closed", FailurePolicy::Closed)],
            )?,
            hosts: to_hosts(hosts)?,
        };
        if max_flows == 0 {
            return Err(PyValueError::new_err("max_flows is at least 1"));
        }
        let logs_errors = choice("on_error", on_error, &[("raise", false), ("log", true)])?;
        let given = Given::extract(source)?;
        let mut names = vec![given.name().to_owned()];
        let core = match sink.map(Given::extract).transpose()? {
            None => Core::new(given.open(py)?, config),
            Some(other) => {
                names.push(other.name().to_owned());
                Core::inline(given.open_pair(other, py)?, config)
            }
        };
        let core = core.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let state = State {
            core: Some(core),
            handlers: Handlers::default(),
            serial: 0,
            records: VecDeque::new(),
            wants_records: false,
            is_over: false,
        };
        Ok(Stack {
            state: Mutex::new(state),
            names,
            logs_errors,
            is_running: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            finishes: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            errors: AtomicU64::new(0),
        })
    }

    /// Opens a monitoring socket.
    #[pyo3(signature = (kind=0, filter="", *, track=(true, true), reassemble=None, depth=None, buffer=1 << 20,
                        overlap="first", urgent="oob", compare=None, normalize=false, digest=false))]
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
        urgent: &str,
        compare: Option<u64>,
        normalize: bool,
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
            urgent: to_urgent(urgent)?,
            compare,
            normalize,
            digest,
        };
        let id = slf.get().lock(py).core_mut()?.open(kind, scope.clone(), settings);
        let monitor = Py::new(py, MonitorSocket::new(slf.clone().unbind(), id, kind, scope.to_string()))?;
        slf.get().lock(py).handlers.add_monitor(monitor.clone_ref(py));
        Ok(monitor)
    }

    /// Runs until the input is over, `stop` is called, or `timeout` seconds of the clock have passed, to about a tenth of
    /// a second. Returns whether the input is over. Called again, it goes on where it stopped.
    #[pyo3(signature = (timeout=None))]
    fn run(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<bool> {
        Stack::advance(slf, deadline(timeout)?, |_| false)
    }

    /// Makes `run` return once the handler at work is done; a later `run` goes on.
    fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// Takes no more packets: ends every flow as at the end of the input, which the stack that runs, or `run` called
    /// next, still tells. It can be called from a signal handler.
    fn finish(&self) {
        self.finishes.store(true, Ordering::Relaxed);
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

    /// Whether the input is over, and all that it led to was told.
    #[getter]
    fn ended(&self, py: Python<'_>) -> bool {
        self.lock(py).is_over
    }

    /// Runs until records are there; an empty list once the input is over or `timeout` seconds have passed.
    #[pyo3(signature = (timeout=None))]
    fn _next_records(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Vec<FlowRecord>> {
        let (py, stack) = (slf.py(), slf.get());
        if stack.lock(py).records.is_empty() {
            Stack::advance(slf, deadline(timeout)?, |state| !state.records.is_empty())?;
        }
        let records = std::mem::take(&mut stack.lock(py).records);
        Ok(records.into_iter().map(FlowRecord::new).collect())
    }

    /// Sends a frame out of a port, the first by default: within a handler, behind the packet at hand and ahead of all
    /// that follows.
    #[pyo3(signature = (frame, port=0))]
    fn inject(&self, py: Python<'_>, frame: &[u8], port: usize) -> PyResult<()> {
        self.lock(py).core_mut()?.inject_frame(port, frame).map_err(|error| inline_error(&error))
    }

    /// Sets a timer that calls `handler(None, event)` once `seconds` of packet time have passed.
    fn timer(slf: &Bound<'_, Self>, seconds: f64, handler: &Bound<'_, PyAny>) -> PyResult<Timer> {
        Timer::set(slf, None, seconds, Some(handler), 0)
    }

    /// Counters of the stack, its flow table and its port, by name.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock(py);
        let core = state.core()?;
        let (stack, flows, inline) = (core.statistics(), core.flow_statistics(), core.inline_statistics());
        let ports: Vec<PortStatistics> = core.ports().iter().map(|port| port.statistics()).collect();
        let memory = core.flow_memory();
        drop(state);
        let sum = |get: fn(&PortStatistics) -> u64| ports.iter().map(get).fold(0, u64::saturating_add);
        let malformed = PyDict::new(py);
        for kind in Malformed::ALL {
            malformed.set_item(kind.name(), stack.malformed[kind.index()])?;
        }
        let counters = PyDict::new(py);
        for (name, value) in [
            ("received", sum(|port| port.received)),
            ("received_bytes", sum(|port| port.received_bytes)),
            ("unreadable", sum(|port| port.malformed)),
            ("tcp", stack.tcp),
            ("not_tcp", stack.not_tcp),
            ("not_ip", stack.not_ip),
            ("fragments", stack.fragments),
            ("orphans", stack.orphans),
            ("unwatched", stack.unwatched),
            ("ignored", stack.ignored),
            ("evicted", stack.evicted),
            ("emergencies", stack.emergencies),
            ("emergency_timeouts", stack.emergency_timeouts),
            ("flows_opened", flows.opened),
            ("flows_open", flows.open),
            ("flows_peak", flows.peak),
            ("flow_memory", memory as u64),
            ("reassembly", stack.reassembly),
            ("handler_errors", self.errors.load(Ordering::Relaxed)),
            ("forwarded", inline.forwarded),
            ("dropped_by_verdict", inline.dropped_by_verdict),
            ("resets", inline.resets),
            ("injected", inline.injected),
            ("normalized", inline.normalized),
            ("bypassed", inline.bypassed),
            ("failures", inline.failures),
        ] {
            counters.set_item(name, value)?;
        }
        for (name, value) in fragment_counters(&stack.defrag) {
            counters.set_item(name, value)?;
        }
        counters.set_item("emergency", stack.is_emergency)?;
        counters.set_item("malformed", malformed)?;
        let ports = self.names.iter().zip(&ports).map(|(name, port)| port_statistics(py, name, port));
        counters.set_item("ports", ports.collect::<PyResult<Vec<_>>>()?)?;
        Ok(counters)
    }

    /// How much of the source has been read: bytes done and bytes in all; `None` if its size is not known.
    #[getter]
    fn progress(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        let state = self.lock(py);
        let parts = state.core()?.ports().iter().map(|port| port.progress());
        Ok(parts.reduce(|one, other| Some((one?.0 + other?.0, one?.1 + other?.1))).flatten())
    }

    /// Something about the source that its user should know, such as a record cut short; `None` if all is well.
    #[getter]
    fn warning(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let state = self.lock(py);
        let warnings: Vec<&str> = state.core()?.ports().iter().filter_map(|port| port.warning()).collect();
        Ok((!warnings.is_empty()).then(|| warnings.join("; ")))
    }

    /// Whether packets come as they are on the wire, from a network interface, rather than recorded.
    #[getter]
    fn live(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py).core()?.ports().iter().any(|port| port.is_live()))
    }

    /// Where the packets come from; of two ports, the first.
    #[getter]
    fn source(&self) -> &str {
        &self.names[0]
    }

    /// The other port, if there are two.
    #[getter]
    fn sink(&self) -> Option<&str> {
        self.names.get(1).map(String::as_str)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = self.lock(py);
        match &state.core {
            None => format!("<midsock.Stack {} closed>", self.ports()),
            Some(core) => format!(
                "<midsock.Stack {} flows={} packets={}>",
                self.ports(),
                core.flow_statistics().open,
                core.ports().iter().map(|port| port.statistics().received).sum::<u64>()
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
