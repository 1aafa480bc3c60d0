//! The Python extension module `midsock._midsock`.
//!
//! Everything here is conversion: the stack itself is in `midsock-core`, which knows nothing of Python.

use pyo3::prelude::*;

/// The native half of the package; users import `midsock`.
#[pymodule(gil_used = false)]
mod _midsock {
    /// Version of the package, from the workspace's `Cargo.toml`.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python's name for it
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
