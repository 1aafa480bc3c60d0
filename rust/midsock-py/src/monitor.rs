//! Monitoring sockets: which flows an application watches, and what it wants of them.

use midsock_core::event::{
    Action, BatchId, BatchSpec, CountId, EventId, Field as CoreField, MonitorId, MonitorKind, Registration,
    RegistrationId,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use crate::enums;
use crate::error::registry_error;
use crate::event_type::{Definition, EventType};
use crate::expr::to_field;
use crate::stack::{Stack, State};
use crate::upcall::{Pull, Target};

/// What an application opens to say which flows (or packets) it watches.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct MonitorSocket {
    stack: Py<Stack>,
    id: MonitorId,
    kind: MonitorKind,
    filter: String,
    registered: std::sync::Mutex<Vec<Registered>>,
}

/// What was registered for a handler, so that it can be taken back.
struct Registered {
    handler: Py<PyAny>,
    id: RegistrationId,
    batch: Option<BatchId>,
}

/// The core's event of a definition.
pub(crate) fn define(state: &mut State, py: Python<'_>, definition: &Definition) -> PyResult<EventId> {
    state.with_handlers(|handlers, core| handlers.define(py, core, definition))
}

/// The definition of an event with one more filter, if there is one.
fn refined(event: &EventType, filter: Option<&Bound<'_, PyAny>>) -> PyResult<std::sync::Arc<Definition>> {
    match filter {
        None => Ok(event.definition.clone()),
        Some(filter) => Ok(event.filtered(filter)?.definition),
    }
}

fn callable<'a, 'py>(handler: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyAny>> {
    if handler.is_callable() {
        Ok(handler)
    } else {
        Err(PyTypeError::new_err("a handler is a callable (sock, event)"))
    }
}

/// Registers a handler, or makes a decorator that does.
pub(crate) fn decorate(
    py: Python<'_>,
    handler: Option<&Bound<'_, PyAny>>,
    register: impl Fn(&Bound<'_, PyAny>) -> PyResult<()> + Send + Sync + 'static,
) -> PyResult<Py<PyAny>> {
    if let Some(handler) = handler {
        register(handler)?;
        return Ok(handler.clone().unbind());
    }
    let decorator = PyCFunction::new_closure(py, None, None, move |args, _kwargs| {
        let [handler] = &args.iter().collect::<Vec<_>>()[..] else {
            return Err(PyTypeError::new_err("a decorator takes one argument: the handler"));
        };
        register(handler)?;
        Ok::<Py<PyAny>, PyErr>(handler.clone().unbind())
    })?;
    Ok(decorator.into_any().unbind())
}

/// A wish to have `handler` called.
pub(crate) fn to_registration(
    stack: &Py<Stack>,
    py: Python<'_>,
    event: &EventType,
    filter: Option<&Bound<'_, PyAny>>,
    hook: u8,
    side: Option<u8>,
    handler: &Bound<'_, PyAny>,
) -> PyResult<Registration> {
    let (hook, side) = (enums::to_hook(hook)?, side.map(enums::to_side).transpose()?);
    let definition = refined(event, filter)?;
    let handler = callable(handler)?;
    let mut state = stack.get().lock(py);
    let event = define(&mut state, py, &definition)?;
    let action = Action::Call(state.handlers.add(handler));
    Ok(Registration { event, hook, side, action })
}

/// Columns of a batch if none are named.
const DEFAULT_COLUMNS: [CoreField; 5] = [
    CoreField::FlowNumber,
    CoreField::EventSide,
    CoreField::EventTime,
    CoreField::EventOffset,
    CoreField::EventLength,
];

impl MonitorSocket {
    pub(crate) fn new(stack: Py<Stack>, id: MonitorId, kind: MonitorKind, filter: String) -> MonitorSocket {
        MonitorSocket { stack, id, kind, filter, registered: std::sync::Mutex::new(Vec::new()) }
    }

    fn register(&self, py: Python<'_>, wish: Registration) -> PyResult<RegistrationId> {
        let mut state = self.stack.get().lock(py);
        state.core_mut()?.register(self.id, wish).map_err(|error| registry_error(&error))
    }

    /// What was registered; never locked while Python code can run.
    fn registered(&self) -> std::sync::MutexGuard<'_, Vec<Registered>> {
        self.registered.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn note(&self, handler: &Bound<'_, PyAny>, id: RegistrationId, batch: Option<BatchId>) {
        self.registered().push(Registered { handler: handler.clone().unbind(), id, batch });
    }

    /// Forgets the handlers; the stack is closed.
    pub(crate) fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.registered());
        drop(forgotten);
    }

    /// Registers a batch of an event's rows for a target.
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn add_batch(
        &self,
        py: Python<'_>,
        event: &EventType,
        columns: Option<Vec<Bound<'_, PyAny>>>,
        size: usize,
        side: Option<u8>,
        hook: u8,
        filter: Option<&Bound<'_, PyAny>>,
        target: impl FnOnce(&mut State) -> Target,
    ) -> PyResult<(RegistrationId, BatchId)> {
        let columns = match columns {
            None => DEFAULT_COLUMNS.to_vec(),
            Some(columns) if columns.is_empty() => {
                return Err(PyValueError::new_err("a batch has at least one column"));
            }
            Some(columns) => columns.iter().map(to_field).collect::<PyResult<_>>()?,
        };
        let (hook, side) = (enums::to_hook(hook)?, side.map(enums::to_side).transpose()?);
        let definition = refined(event, filter)?;
        let coalesces = definition.root() == midsock_core::event::Kind::NewData;
        let mut state = self.stack.get().lock(py);
        let event = define(&mut state, py, &definition)?;
        let batch = state.core_mut()?.add_batch(BatchSpec { columns, size }, coalesces);
        let target = target(&mut state);
        state.handlers.add_batch(batch, target);
        let wish = Registration { event, hook, side, action: Action::Batch(batch) };
        match state.core_mut()?.register(self.id, wish) {
            Ok(id) => Ok((id, batch)),
            Err(error) => {
                let target = state.handlers.remove_batch(batch);
                drop(state);
                drop(target);
                Err(registry_error(&error))
            }
        }
    }
}

#[pymethods]
impl MonitorSocket {
    /// Registers `handler(sock, event)`; without a handler, returns a decorator.
    #[pyo3(signature = (event, handler=None, *, hook=2, side=None, filter=None))]
    fn on(
        slf: Py<Self>,
        py: Python<'_>,
        event: Py<EventType>,
        handler: Option<&Bound<'_, PyAny>>,
        hook: u8,
        side: Option<u8>,
        filter: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        decorate(py, handler, move |handler| {
            let (py, socket) = (handler.py(), slf.get());
            let filter = filter.as_ref().map(|filter| filter.bind(py));
            let wish = to_registration(&socket.stack, py, event.get(), filter, hook, side, handler)?;
            let id = socket.register(py, wish)?;
            socket.note(handler, id, None);
            Ok(())
        })
    }

    /// Takes back all registrations of a handler on this socket; returns how many there were.
    fn off(&self, py: Python<'_>, handler: &Bound<'_, PyAny>) -> PyResult<usize> {
        // Methods are bound anew each time they are asked for, so that equality counts. It may run any Python code.
        let known: Vec<(RegistrationId, Py<PyAny>)> =
            self.registered().iter().map(|entry| (entry.id, entry.handler.clone_ref(py))).collect();
        let mut ids = Vec::new();
        for (id, other) in &known {
            if other.is(handler) || handler.eq(other)? {
                ids.push(*id);
            }
        }
        let taken: Vec<Registered> =
            self.registered().extract_if(.., |entry| ids.contains(&entry.id)).collect();
        let mut state = self.stack.get().lock(py);
        let mut targets = Vec::new();
        for entry in &taken {
            state.core_mut()?.unregister(self.id, entry.id);
            targets.extend(entry.batch.and_then(|batch| state.handlers.remove_batch(batch)));
        }
        drop(state);
        Ok(taken.len())
    }

    /// Registers `handler(batch)` for columns of rows, one row per event; new data is one row per flow, side and burst.
    /// It is called at the end of every burst with rows, or with `size`, when there are as many. Without a handler,
    /// returns a decorator.
    #[pyo3(signature = (event, handler=None, *, columns=None, size=0, side=None, hook=2, filter=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn on_batch(
        slf: Py<Self>,
        py: Python<'_>,
        event: Py<EventType>,
        handler: Option<&Bound<'_, PyAny>>,
        columns: Option<Vec<Py<PyAny>>>,
        size: usize,
        side: Option<u8>,
        hook: u8,
        filter: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        decorate(py, handler, move |handler| {
            let (py, socket) = (handler.py(), slf.get());
            let filter = filter.as_ref().map(|filter| filter.bind(py));
            let columns =
                columns.as_ref().map(|columns| columns.iter().map(|it| it.bind(py).clone()).collect());
            let target = Target::Call(callable(handler)?.clone().unbind());
            let (id, batch) =
                socket.add_batch(py, event.get(), columns, size, side, hook, filter, |_| target)?;
            socket.note(handler, id, Some(batch));
            Ok(())
        })
    }

    /// An iterator over batches, which runs the stack as far as it needs to.
    #[pyo3(signature = (event, *, columns=None, size=4096, side=None, hook=2, filter=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn batches(
        &self,
        py: Python<'_>,
        event: &EventType,
        columns: Option<Vec<Bound<'_, PyAny>>>,
        size: usize,
        side: Option<u8>,
        hook: u8,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pull> {
        let mut pull = 0;
        let (id, _) = self.add_batch(py, event, columns, size, side, hook, filter, |state| {
            pull = state.handlers.add_pull().0;
            Target::Pull(pull)
        })?;
        Ok(Pull::new(self.stack.clone_ref(py), pull, self.id, id))
    }

    /// An iterator over pairs of socket and event, which runs the stack as far as it needs to.
    #[pyo3(signature = (event, *, hook=2, side=None, filter=None))]
    fn events(
        &self,
        py: Python<'_>,
        event: &EventType,
        hook: u8,
        side: Option<u8>,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pull> {
        let (hook, side) = (enums::to_hook(hook)?, side.map(enums::to_side).transpose()?);
        let definition = refined(event, filter)?;
        let (pull, wish) = {
            let mut state = self.stack.get().lock(py);
            let event = define(&mut state, py, &definition)?;
            let (pull, handler) = state.handlers.add_pull();
            (pull, Registration { event, hook, side, action: Action::Call(handler) })
        };
        let id = self.register(py, wish)?;
        Ok(Pull::new(self.stack.clone_ref(py), pull, self.id, id))
    }

    /// Counts an event natively, without any upcall; with `sum`, also sums a field over its events.
    #[pyo3(signature = (event, *, sum=None, hook=2, side=None, filter=None))]
    fn count(
        &self,
        py: Python<'_>,
        event: &EventType,
        sum: Option<&Bound<'_, PyAny>>,
        hook: u8,
        side: Option<u8>,
        filter: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Counter> {
        let (hook, side) = (enums::to_hook(hook)?, side.map(enums::to_side).transpose()?);
        let field = sum.map(to_field).transpose()?;
        let definition = refined(event, filter)?;
        let mut state = self.stack.get().lock(py);
        let event = define(&mut state, py, &definition)?;
        let count = state.core_mut()?.add_count(field);
        drop(state);
        self.register(py, Registration { event, hook, side, action: Action::Count(count) })?;
        Ok(Counter { stack: self.stack.clone_ref(py), count })
    }

    /// Gives every flow a protocol object of its own, made by `factory`; see `midsock.Protocol`.
    fn protocol(slf: &Bound<'_, Self>, factory: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.py().import("midsock.protocol")?.call_method1("attach", (slf, factory)).map(drop)
    }

    /// Closes it: nothing of it fires any more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.stack.get().lock(py).core_mut()?.close(self.id);
        Ok(())
    }

    /// The scope filter, in canonical form.
    #[getter]
    fn filter(&self) -> &str {
        &self.filter
    }

    /// The stack it belongs to.
    #[getter]
    fn stack(&self, py: Python<'_>) -> Py<Stack> {
        self.stack.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        let kind = match self.kind {
            MonitorKind::Stream => "stream",
            MonitorKind::Raw => "raw",
        };
        format!("<midsock.MonitorSocket {kind} {:?}>", self.filter)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)?;
        if let Ok(registered) = self.registered.try_lock() {
            for entry in &*registered {
                visit.call(&entry.handler)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.forget();
    }
}

/// A native counter.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Counter {
    stack: Py<Stack>,
    count: CountId,
}

#[pymethods]
impl Counter {
    /// How often its event fired.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.stack.get().lock(py).core()?.count(self.count).events)
    }

    /// The sum of its field over those events; 0 without a field.
    #[getter]
    fn sum(&self, py: Python<'_>) -> PyResult<u128> {
        Ok(self.stack.get().lock(py).core()?.count(self.count).sum)
    }

    fn __int__(&self, py: Python<'_>) -> PyResult<u64> {
        self.value(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let count = self.stack.get().lock(py).core()?.count(self.count);
        Ok(format!("<midsock.Counter {} sum={}>", count.events, count.sum))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stack)
    }
}
