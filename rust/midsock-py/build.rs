//! Lets the binding's own tests find libpython wherever the interpreter keeps it.

fn main() {
    pyo3_build_config::add_libpython_rpath_link_args();
}
