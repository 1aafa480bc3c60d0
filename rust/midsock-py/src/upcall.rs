//! From the core's upcalls to Python's handlers.

use std::collections::{HashMap, VecDeque};

use midsock_core::event::{BatchId, EventId, Filter, HandlerId, MonitorId, RegistrationId};
use midsock_core::{Call, Upcall};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::error::inline_error;
use crate::event::Event;
use crate::event_type::{Definition, EventFilter};
use crate::monitor::MonitorSocket;
use crate::sock::FlowSocket;
use crate::stack::{Core, Stack};
use crate::verdicts;

/// Who gets an event or a batch.
pub(crate) enum Target {
    /// A callable.
    Call(Py<PyAny>),
    /// A callable for one call.
    Once(Py<PyAny>),
    /// An iterator, by its number.
    Pull(usize),
}

impl Target {
    fn clone_ref(&self, py: Python<'_>) -> Target {
        match self {
            Target::Call(callable) => Target::Call(callable.clone_ref(py)),
            Target::Once(callable) => Target::Once(callable.clone_ref(py)),
            Target::Pull(number) => Target::Pull(*number),
        }
    }
}

/// All Python objects that upcalls lead to. The same callable is kept once, whatever it is registered for.
#[derive(Default)]
pub(crate) struct Handlers {
    targets: Vec<Option<Target>>,
    free: Vec<u32>,
    known: HashMap<usize, HandlerId>,
    filters: Vec<Py<PyAny>>,
    known_filters: HashMap<usize, u32>,
    batches: HashMap<BatchId, Target>,
    monitors: Vec<Py<MonitorSocket>>,
    /// The core's events for those that only the application raises.
    users: HashMap<u64, EventId>,
    /// What waits for iterators; none for one that was closed.
    queues: Vec<Option<VecDeque<Py<PyAny>>>>,
}

impl Handlers {
    /// The number of a callable.
    pub(crate) fn add(&mut self, callable: &Bound<'_, PyAny>) -> HandlerId {
        let address = callable.as_ptr() as usize;
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        let id = self.place(Target::Call(callable.clone().unbind()));
        self.known.insert(address, id);
        id
    }

    /// The number of a callable that is called once.
    pub(crate) fn add_once(&mut self, callable: &Bound<'_, PyAny>) -> HandlerId {
        self.place(Target::Once(callable.clone().unbind()))
    }

    fn place(&mut self, target: Target) -> HandlerId {
        if let Some(free) = self.free.pop() {
            self.targets[free as usize] = Some(target);
            return HandlerId(free);
        }
        self.targets.push(Some(target));
        HandlerId(self.targets.len() as u32 - 1)
    }

    /// Whom a handler's number stands for; one that is called once is forgotten.
    fn target(&mut self, py: Python<'_>, handler: HandlerId) -> Option<Target> {
        let place = self.targets.get_mut(handler.0 as usize)?;
        if let Some(Target::Once(_)) = place {
            self.free.push(handler.0);
            return place.take();
        }
        place.as_ref().map(|target| target.clone_ref(py))
    }

    /// A new iterator: its number, and the handler that feeds it.
    pub(crate) fn add_pull(&mut self) -> (usize, HandlerId) {
        self.queues.push(Some(VecDeque::new()));
        let pull = self.queues.len() - 1;
        (pull, self.place(Target::Pull(pull)))
    }

    pub(crate) fn add_batch(&mut self, id: BatchId, target: Target) {
        self.batches.insert(id, target);
    }

    /// Forgets who gets a batch; the caller drops it without the lock.
    pub(crate) fn remove_batch(&mut self, id: BatchId) -> Option<Target> {
        self.batches.remove(&id)
    }

    /// The monitoring sockets.
    pub(crate) fn monitors(&self) -> &[Py<MonitorSocket>] {
        &self.monitors
    }

    pub(crate) fn add_monitor(&mut self, monitor: Py<MonitorSocket>) {
        self.monitors.push(monitor);
    }

    pub(crate) fn batch(&self, py: Python<'_>, id: BatchId) -> Option<Target> {
        self.batches.get(&id).map(|target| target.clone_ref(py))
    }

    pub(crate) fn queue(&mut self, pull: usize) -> Option<&mut VecDeque<Py<PyAny>>> {
        self.queues.get_mut(pull).and_then(Option::as_mut)
    }

    pub(crate) fn has_queued(&self, pull: usize) -> bool {
        self.queues.get(pull).is_some_and(|queue| queue.as_ref().is_some_and(|queue| !queue.is_empty()))
    }

    pub(crate) fn close_pull(&mut self, pull: usize) -> Option<VecDeque<Py<PyAny>>> {
        self.queues.get_mut(pull).and_then(Option::take)
    }

    /// Forgets handlers that nothing is registered with any more; the caller drops them without the lock.
    pub(crate) fn release(&mut self, handlers: &[HandlerId]) -> Vec<Target> {
        let mut released = Vec::new();
        for handler in handlers {
            if let Some(target) = self.targets.get_mut(handler.0 as usize).and_then(Option::take) {
                if let Target::Call(callable) = &target {
                    self.known.remove(&(callable.as_ptr() as usize));
                }
                self.free.push(handler.0);
                released.push(target);
            }
        }
        released
    }

    /// The core's event of a definition, defined there now if it was not yet.
    pub(crate) fn define(&mut self, py: Python<'_>, core: &mut Core, definition: &Definition) -> EventId {
        let (mut at, mut path) = (definition, Vec::new());
        let root = loop {
            match at {
                Definition::BuiltIn(kind) => break (*kind).into(),
                Definition::User(_, number) => {
                    break *self.users.entry(*number).or_insert_with(|| core.define(None, Filter::Never));
                }
                Definition::Derived { parent, filter, .. } => {
                    path.push(filter);
                    at = parent;
                }
            }
        };
        path.into_iter().rev().fold(root, |parent, filter| {
            let filter = match filter {
                EventFilter::Expr(expr) => Filter::Expr(expr.clone()),
                EventFilter::Callable(callable) => Filter::External(self.add_filter(py, callable)),
            };
            core.define(Some(parent), filter)
        })
    }

    fn add_filter(&mut self, py: Python<'_>, callable: &Py<PyAny>) -> u32 {
        *self.known_filters.entry(callable.as_ptr() as usize).or_insert_with(|| {
            self.filters.push(callable.clone_ref(py));
            self.filters.len() as u32 - 1
        })
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for target in self.targets.iter().flatten().chain(self.batches.values()) {
            if let Target::Call(callable) | Target::Once(callable) = target {
                visit.call(callable)?;
            }
        }
        for filter in &self.filters {
            visit.call(filter)?;
        }
        for monitor in &self.monitors {
            visit.call(monitor)?;
        }
        for object in self.queues.iter().flatten().flatten() {
            visit.call(object)?;
        }
        Ok(())
    }
}

/// Does what the core asks for.
pub(crate) fn call(slf: &Bound<'_, Stack>, upcall: Upcall, cached: &mut Option<Py<Event>>) -> PyResult<()> {
    let (py, stack) = (slf.py(), slf.get());
    let (target, serial) = {
        let mut state = stack.lock(py);
        let target = match &upcall.call {
            Call::Handler(handler) | Call::Once(handler) => state.handlers.target(py, *handler),
            Call::Filter { number, .. } => {
                let filter = state.handlers.filters.get(*number as usize);
                filter.map(|filter| Target::Call(filter.clone_ref(py)))
            }
        };
        (target, state.serial)
    };
    let Some(target) = target else { return Ok(()) };
    let Some(sock) = socket_of(slf, &upcall)? else { return Ok(()) };
    let is_filter = matches!(upcall.call, Call::Filter { .. });
    let asked = is_filter.then(|| upcall.clone());
    let event = event_object(slf, upcall, serial, cached)?;
    match target {
        Target::Call(callable) | Target::Once(callable) => {
            let result = match asked {
                Some(upcall) => filter(stack, py, &callable, &sock, &event, &upcall),
                None => handle(stack, py, &callable, &sock, &event),
            };
            if let Err(error) = result {
                stack.lock(py).core_mut()?.handler_failed(&event.borrow(py).upcall);
                let about = format!("{} of {}", event.bind(py).repr()?, sock.bind(py).repr()?);
                stack.handler_error(py, error, &about)?;
            } else {
                *cached = Some(event);
            }
        }
        Target::Pull(pull) => {
            let pair = (sock, event).into_pyobject(py)?.into_any().unbind();
            if let Some(queue) = stack.lock(py).handlers.queue(pull) {
                queue.push_back(pair);
            }
        }
    }
    Ok(())
}

/// Calls a handler, and carries its verdict on.
fn handle(
    stack: &Stack,
    py: Python<'_>,
    callable: &Py<PyAny>,
    sock: &Py<PyAny>,
    event: &Py<Event>,
) -> PyResult<()> {
    let answer = callable.call1(py, (sock, event))?;
    if answer.is_none(py) || !stack.is_inline() {
        return Ok(());
    }
    let verdict = verdicts::of_packet(answer.bind(py))?;
    let mut state = stack.lock(py);
    let ruled = state.core_mut()?.verdict(&event.borrow(py).upcall, verdict);
    ruled.map_err(|error| inline_error(&error))
}

/// Calls a filter, and has the event go on if it says yes.
fn filter(
    stack: &Stack,
    py: Python<'_>,
    callable: &Py<PyAny>,
    sock: &Py<PyAny>,
    event: &Py<Event>,
    upcall: &Upcall,
) -> PyResult<()> {
    if callable.call1(py, (sock, event))?.is_truthy(py)? {
        stack.lock(py).core_mut()?.pass(upcall);
    }
    Ok(())
}

/// The event object for an upcall: the last one again, unless somebody kept that.
fn event_object(
    slf: &Bound<'_, Stack>,
    upcall: Upcall,
    serial: u64,
    cached: &mut Option<Py<Event>>,
) -> PyResult<Py<Event>> {
    let py = slf.py();
    if let Some(event) = cached.take()
        && crate::buffer::is_unshared(&event, py)
    {
        let mut inner = event.borrow_mut(py);
        (inner.upcall, inner.serial) = (upcall, serial);
        drop(inner);
        return Ok(event);
    }
    Py::new(py, Event { stack: slf.clone().unbind(), upcall, serial })
}

/// What the handler gets as its socket: the flow's, or where there is no flow, the monitoring socket; nothing if the
/// flow is gone, and with it whoever wanted to know.
fn socket_of(slf: &Bound<'_, Stack>, upcall: &Upcall) -> PyResult<Option<Py<PyAny>>> {
    let (py, stack) = (slf.py(), slf.get());
    match (upcall.flow, upcall.monitor) {
        (Some(flow), _) => {
            if let Ok(Some(sock)) = stack.lock(py).core()?.user(flow) {
                return Ok(Some(sock.clone_ref(py).into_any()));
            }
            // Made without the lock: making an object may run the garbage collector, and that anything.
            let sock = Py::new(py, FlowSocket::new(slf.clone().unbind(), flow))?;
            let kept = stack.lock(py).core_mut()?.set_user(flow, Some(sock.clone_ref(py)));
            Ok(kept.is_ok().then(|| sock.into_any()))
        }
        (None, Some(monitor)) => {
            let state = stack.lock(py);
            Ok(state
                .handlers
                .monitors
                .get(monitor.0 as usize)
                .map(|monitor| monitor.clone_ref(py).into_any()))
        }
        (None, None) => Ok(Some(py.None())),
    }
}

/// Hands a batch to whoever collects it.
pub(crate) fn deliver(
    slf: &Bound<'_, Stack>,
    id: BatchId,
    target: Option<Target>,
    batch: Batch,
) -> PyResult<()> {
    let (py, stack) = (slf.py(), slf.get());
    let batch = Py::new(py, batch)?;
    match target {
        Some(Target::Call(callable) | Target::Once(callable)) => {
            if let Err(error) = handle_batch(stack, py, id, &callable, &batch) {
                stack.lock(py).core_mut()?.batch_failed(id);
                let about = batch.bind(py).repr()?.to_string();
                stack.handler_error(py, error, &about)?;
            }
        }
        Some(Target::Pull(pull)) => {
            if let Some(queue) = stack.lock(py).handlers.queue(pull) {
                queue.push_back(batch.into_any());
            }
        }
        None => {}
    }
    Ok(())
}

/// Calls the handler of a batch, and carries its verdicts on.
fn handle_batch(
    stack: &Stack,
    py: Python<'_>,
    id: BatchId,
    callable: &Py<PyAny>,
    batch: &Py<Batch>,
) -> PyResult<()> {
    let answer = callable.call1(py, (batch,))?;
    if answer.is_none(py) || !stack.is_inline() {
        return Ok(());
    }
    let verdicts = verdicts::of_rows(answer.bind(py), batch.get().rows())?;
    let mut state = stack.lock(py);
    state.core_mut()?.batch_verdicts(id, &verdicts).map_err(|error| inline_error(&error))
}

/// An iterator that runs the stack as far as it needs to.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Pull {
    stack: Py<Stack>,
    number: usize,
    monitor: MonitorId,
    registration: RegistrationId,
}

impl Pull {
    pub(crate) fn new(
        stack: Py<Stack>,
        number: usize,
        monitor: MonitorId,
        registration: RegistrationId,
    ) -> Pull {
        Pull { stack, number, monitor, registration }
    }
}

#[pymethods]
impl Pull {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let stack = self.stack.bind(py);
        loop {
            if let Some(queue) = stack.get().lock(py).handlers.queue(self.number) {
                if let Some(object) = queue.pop_front() {
                    return Ok(Some(object));
                }
            } else {
                return Ok(None);
            }
            Stack::advance(stack, None, |state| state.handlers.has_queued(self.number))?;
            if !stack.get().lock(py).handlers.has_queued(self.number) {
                // At the end of the input, or stopped by a handler: there is no next one now.
                return Ok(None);
            }
        }
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The next item without blocking the event loop: the stack runs in a thread of its own.
    fn __anext__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.py().import("midsock._aio")?.call_method1("next_of", (slf,)).map(Bound::unbind)
    }

    /// The stack that it runs.
    #[getter]
    fn stack(&self, py: Python<'_>) -> Py<Stack> {
        self.stack.clone_ref(py)
    }

    /// Takes no more: what is still to come is not collected.
    fn close(&self, py: Python<'_>) {
        let queue = {
            let mut state = self.stack.get().lock(py);
            let queue = state.handlers.close_pull(self.number);
            // A closed stack has dropped the registration already.
            if queue.is_some()
                && let Ok(core) = state.core_mut()
            {
                core.unregister(self.monitor, self.registration);
            }
            queue
        };
        drop(queue);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)
    }
}
