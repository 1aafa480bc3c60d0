//! The network interfaces, for the command line.

use midsock_core::port::survey::{self, Surveyed};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The network interfaces, each a dictionary that says what it is and what each kind of live port could do with it.
#[pyfunction]
pub(crate) fn interfaces(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let all = py.detach(survey::survey).map_err(|error| PyOSError::new_err(error.to_string()))?;
    all.iter().map(|surveyed| to_dict(py, surveyed)).collect()
}

fn to_dict<'py>(py: Python<'py>, surveyed: &Surveyed) -> PyResult<Bound<'py, PyDict>> {
    let interface = &surveyed.interface;
    let mac = interface.mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
    let offloads = interface.offloads.named().into_iter().filter(|(_, on)| *on).map(|(name, _)| name);
    let ports = PyDict::new(py);
    for ability in &surveyed.abilities {
        let port = PyDict::new(py);
        port.set_item("port", &ability.port)?;
        port.set_item("possible", ability.obstacle.is_none())?;
        port.set_item("obstacle", &ability.obstacle)?;
        port.set_item("note", &ability.note)?;
        ports.set_item(ability.backend, port)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("name", &interface.name)?;
    dict.set_item("index", interface.index)?;
    dict.set_item("up", interface.is_up)?;
    dict.set_item("running", interface.is_running)?;
    dict.set_item("mtu", interface.mtu)?;
    dict.set_item("mac", mac)?;
    dict.set_item("driver", &interface.driver)?;
    dict.set_item("queues", interface.queues)?;
    dict.set_item("offloads", offloads.collect::<Vec<_>>())?;
    dict.set_item("ports", ports)?;
    Ok(dict)
}
