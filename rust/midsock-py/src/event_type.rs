//! Built-in and user-defined events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use midsock_core::event::{Expr, Kind};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::expr::to_expr;

/// What makes an event fire, given that its parent did.
pub(crate) enum EventFilter {
    Expr(Arc<Expr>),
    Callable(Py<PyAny>),
}

/// How an event is defined; shared by all that descend from it.
pub(crate) enum Definition {
    BuiltIn(Kind),
    /// Raised by the application only; a number tells such events apart.
    User(String, u64),
    Derived {
        parent: Arc<Definition>,
        filter: EventFilter,
        depth: u32,
    },
}

/// Events below one another: far beyond what anybody writes, and far from what exhausts a stack.
const MOST_DEPTH: u32 = 5_000;

impl Definition {
    fn depth(&self) -> u32 {
        match self {
            Definition::Derived { depth, .. } => *depth,
            _ => 0,
        }
    }

    /// The built-in event at the root.
    pub(crate) fn root(&self) -> Kind {
        let mut at = self;
        loop {
            match at {
                Definition::BuiltIn(kind) => return *kind,
                Definition::User(..) => return Kind::User,
                Definition::Derived { parent, .. } => at = parent,
            }
        }
    }

    /// Its canonical text: events of one text are the same event.
    fn text(&self) -> String {
        let (mut at, mut filters) = (self, Vec::new());
        let root = loop {
            match at {
                Definition::BuiltIn(kind) => break kind.name().to_owned(),
                Definition::User(name, number) => break format!("user_event({name:?})#{number}"),
                Definition::Derived { parent, filter, .. } => {
                    filters.push(match filter {
                        EventFilter::Expr(expr) => format!(".where({expr})"),
                        EventFilter::Callable(callable) => format!(".where({:p})", callable.as_ptr()),
                    });
                    at = parent;
                }
            }
        };
        filters.iter().rev().fold(root, |text, filter| text + filter)
    }
}

/// An event that handlers can be registered for: a built-in condition, or a user-defined one made by `where`.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct EventType {
    pub(crate) definition: Arc<Definition>,
}

static USER_EVENTS: AtomicU64 = AtomicU64::new(0);

/// An event that never fires by itself: the application raises it with `FlowSocket.emit`.
#[pyfunction]
pub(crate) fn user_event(name: String) -> EventType {
    let number = USER_EVENTS.fetch_add(1, Ordering::Relaxed);
    EventType { definition: Arc::new(Definition::User(name, number)) }
}

#[pymethods]
impl EventType {
    /// The built-in event of this name, such as `ON_PKT_IN`; `ValueError` if there is none.
    #[new]
    fn new(name: &str) -> PyResult<EventType> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| PyValueError::new_err(format!("there is no event {name:?}")))?;
        Ok(EventType { definition: Arc::new(Definition::BuiltIn(kind)) })
    }

    /// The user-defined event that fires where this one does and `filter` holds.
    ///
    /// `filter` is an expression of fields, which runs without Python, or a callable `(sock, event) -> bool`.
    #[pyo3(name = "where")]
    pub(crate) fn filtered(&self, filter: &Bound<'_, PyAny>) -> PyResult<EventType> {
        let filter = match to_expr(filter)? {
            Some(expr) => EventFilter::Expr(Arc::new(expr)),
            None if filter.is_callable() => EventFilter::Callable(filter.clone().unbind()),
            None => {
                return Err(PyTypeError::new_err(
                    "an event's filter is an expression of fields or a callable (sock, event) -> bool",
                ));
            }
        };
        let depth = self.definition.depth() + 1;
        if depth > MOST_DEPTH {
            return Err(PyValueError::new_err(format!("at most {MOST_DEPTH} events below one another")));
        }
        let parent = self.definition.clone();
        Ok(EventType { definition: Arc::new(Definition::Derived { parent, filter, depth }) })
    }

    /// The event that this one refines; `None` for one that refines nothing.
    #[getter]
    fn parent(&self) -> Option<EventType> {
        match &*self.definition {
            Definition::Derived { parent, .. } => Some(EventType { definition: parent.clone() }),
            _ => None,
        }
    }

    /// The built-in event at its root; `ON_USER` if only the application raises it.
    #[getter]
    fn root(&self) -> &'static str {
        self.definition.root().name()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<EventType>().is_ok_and(|other| {
            Arc::ptr_eq(&self.definition, &other.get().definition)
                || self.definition.text() == other.get().definition.text()
        })
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self.definition.text())
    }

    fn __repr__(&self) -> String {
        self.definition.text()
    }
}
