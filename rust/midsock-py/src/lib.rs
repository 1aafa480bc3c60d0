//! The Python extension module `midsock._midsock`.
//!
//! Everything here is conversion: the stack itself is in `midsock-core`, which knows nothing of Python. [`stack`] holds
//! the loop that runs the core detached from the interpreter and attaches once per burst, if anything fires.

// Signatures are those that Python's protocols and PyO3 ask for.
#![allow(
    clippy::needless_pass_by_value,
    clippy::new_ret_no_self,
    clippy::unused_self,
    clippy::wrong_self_convention
)]

mod batch;
mod buffer;
mod edit;
mod enums;
mod error;
mod event;
mod event_type;
mod expr;
mod interfaces;
mod memory;
mod monitor;
mod options;
mod port;
mod record;
mod rights;
mod sock;
mod stack;
mod timer;
mod transfer;
mod upcall;
mod verdicts;
mod writer;

use pyo3::prelude::*;

/// The native half of the package; users import `midsock`.
#[pymodule(gil_used = false)]
mod _midsock {
    #[pymodule_export]
    use super::batch::{Batch, Column};
    #[pymodule_export]
    use super::enums::anomalies;
    #[pymodule_export]
    use super::error::{FilterError, FlowEndedError, PortError};
    #[pymodule_export]
    use super::event::Event;
    #[pymodule_export]
    use super::event_type::{EventType, user_event};
    #[pymodule_export]
    use super::expr::{Expr, Field};
    #[pymodule_export]
    use super::interfaces::interfaces;
    #[pymodule_export]
    use super::memory::MemoryPort;
    #[pymodule_export]
    use super::monitor::{Counter, MonitorSocket};
    #[pymodule_export]
    use super::record::FlowRecord;
    #[pymodule_export]
    use super::rights::{drop_rights, drop_rights_at_run};
    #[pymodule_export]
    use super::sock::{Endpoint, FlowSocket};
    #[pymodule_export]
    use super::stack::Stack;
    #[pymodule_export]
    use super::timer::Timer;
    #[pymodule_export]
    use super::transfer::{Capture, Replay};
    #[pymodule_export]
    use super::upcall::Pull;
    #[pymodule_export]
    use super::writer::CaptureWriter;

    /// Version of the package, from the workspace's `Cargo.toml`.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
