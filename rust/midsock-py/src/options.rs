//! From a stack's arguments in Python to its configuration, and from a port's counters to Python.

use std::time::{Duration, Instant};

use midsock_core::defrag::{DefragStatistics, FragmentPolicy};
use midsock_core::port::PortStatistics;
use midsock_core::reassembly::{Overlap, Urgent};
use midsock_core::wire::{Decoder, Tunnel, Tunnels};
use midsock_core::{Emergency, Hosts, Nanos, Timeouts};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

fn seconds(name: &str, value: f64) -> PyResult<Nanos> {
    if value.is_finite() && value >= 0.0 {
        Ok((value * 1e9) as Nanos)
    } else {
        Err(PyValueError::new_err(format!("{name} is a time in seconds, 0 or more, not {value}")))
    }
}

/// When so many seconds will have passed; never, if none are given or they are too many to count.
pub(crate) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(timeout) = timeout else { return Ok(None) };
    if timeout.is_nan() || timeout < 0.0 {
        return Err(PyValueError::new_err(format!("timeout is a time in seconds, 0 or more, not {timeout}")));
    }
    Ok(Duration::try_from_secs_f64(timeout).ok().and_then(|wait| Instant::now().checked_add(wait)))
}

pub(crate) fn port_statistics<'py>(
    py: Python<'py>,
    name: &str,
    port: &PortStatistics,
) -> PyResult<Bound<'py, PyDict>> {
    let counters = PyDict::new(py);
    counters.set_item("name", name)?;
    for (name, value) in [
        ("received", port.received),
        ("received_bytes", port.received_bytes),
        ("dropped_by_kernel", port.dropped_by_kernel),
        ("dropped", port.dropped),
        ("unreadable", port.malformed),
        ("sent", port.sent),
        ("sent_bytes", port.sent_bytes),
        ("send_failures", port.send_failures),
    ] {
        counters.set_item(name, value)?;
    }
    Ok(counters)
}

/// Policies by network, as `{"10.0.0.0/8": "windows"}`; a network may also be one of the module `ipaddress`.
pub(crate) fn to_hosts(given: Option<&Bound<'_, PyDict>>) -> PyResult<Hosts> {
    let mut hosts = Hosts::default();
    for (network, policy) in given.into_iter().flatten() {
        let (network, policy): (String, String) = (network.str()?.extract()?, policy.extract()?);
        let policy = Overlap::from_name(&policy).ok_or_else(|| {
            let names = Overlap::names();
            PyValueError::new_err(format!("hosts[{network:?}] is one of {names}, not {policy:?}"))
        })?;
        hosts.add(&network, policy).map_err(|error| PyValueError::new_err(format!("hosts: {error}")))?;
    }
    Ok(hosts)
}

pub(crate) fn to_timeouts(given: Option<&Bound<'_, PyDict>>) -> PyResult<Timeouts> {
    let mut timeouts = Timeouts::default();
    for (name, value) in given.into_iter().flatten() {
        let (name, value): (String, f64) = (name.extract()?, value.extract()?);
        let place = match name.as_str() {
            "opening" => &mut timeouts.opening,
            "established" => &mut timeouts.established,
            "closing" => &mut timeouts.closing,
            "linger" => &mut timeouts.linger,
            "gap" => &mut timeouts.gap,
            "hole" => &mut timeouts.hole,
            "fragments" => &mut timeouts.fragments,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "there is no timeout {name:?}: choose opening, established, closing, linger, gap, hole or fragments"
                )));
            }
        };
        *place = seconds(&name, value)?;
    }
    Ok(timeouts)
}

pub(crate) fn to_emergency(given: Option<&Bound<'_, PyDict>>) -> PyResult<Emergency> {
    let mut emergency = Emergency::default();
    for (name, value) in given.into_iter().flatten() {
        let (name, value): (String, f64) = (name.extract()?, value.extract()?);
        let place = match name.as_str() {
            "begin" => {
                emergency.begin = percent(&name, value)?;
                continue;
            }
            "end" => {
                emergency.end = percent(&name, value)?;
                continue;
            }
            "opening" => &mut emergency.opening,
            "established" => &mut emergency.established,
            "closing" => &mut emergency.closing,
            "linger" => &mut emergency.linger,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "emergency has no {name:?}: choose begin, end, opening, established, closing or linger"
                )));
            }
        };
        *place = seconds(&name, value)?;
    }
    if emergency.end >= emergency.begin {
        return Err(PyValueError::new_err("an emergency ends with fewer flows than it begins with"));
    }
    Ok(emergency)
}

fn percent(name: &str, value: f64) -> PyResult<u8> {
    if (0.0..=100.0).contains(&value) && value.fract() == 0.0 {
        Ok(value as u8)
    } else {
        Err(PyValueError::new_err(format!("{name} is a whole number of percent, 0 to 100, not {value}")))
    }
}

pub(crate) fn choice<T>(what: &str, given: &str, choices: &[(&str, T)]) -> PyResult<T>
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
        .ok_or_else(|| PyValueError::new_err(format!("overlap is one of {}, not {name:?}", Overlap::names())))
}

pub(crate) fn to_urgent(name: &str) -> PyResult<Urgent> {
    Urgent::from_name(name).ok_or_else(|| {
        let names = Urgent::ALL.map(Urgent::name).join(", ");
        PyValueError::new_err(format!("urgent is one of {names}, not {name:?}"))
    })
}

pub(crate) fn to_fragment_overlap(name: &str) -> PyResult<FragmentPolicy> {
    FragmentPolicy::from_name(name).ok_or_else(|| {
        let names = FragmentPolicy::ALL.map(FragmentPolicy::name).join(", ");
        PyValueError::new_err(format!("fragment_overlap is one of {names}, not {name:?}"))
    })
}

/// How far frames are decoded: `tunnels` is `True`, `False` or the names of those that are entered.
pub(crate) fn to_decoder(tunnels: Option<&Bound<'_, PyAny>>, max_layers: u8) -> PyResult<Decoder> {
    if max_layers < 4 {
        return Err(PyValueError::new_err("max_layers is 4 or more: a plain packet has so many"));
    }
    let tunnels = match tunnels {
        None => Tunnels::ALL,
        Some(given) => match given.extract::<bool>() {
            Ok(true) => Tunnels::ALL,
            Ok(false) => Tunnels::NONE,
            Err(_) => given
                .try_iter()?
                .map(|name| to_tunnel(&name?.extract::<String>()?))
                .collect::<PyResult<_>>()?,
        },
    };
    Ok(Decoder { tunnels, max_layers })
}

fn to_tunnel(name: &str) -> PyResult<Tunnel> {
    Tunnel::ALL.into_iter().find(|tunnel| tunnel.name() == name).ok_or_else(|| {
        let names = Tunnel::ALL.map(Tunnel::name).join(", ");
        PyValueError::new_err(format!(
            "there is no tunnel {name:?}: decapsulate is True, False or some of {names}"
        ))
    })
}

/// What became of fragments, by name.
pub(crate) fn fragment_counters(defrag: &DefragStatistics) -> [(&'static str, u64); 12] {
    [
        ("reassembled", defrag.reassembled),
        ("fragments_timed_out", defrag.timed_out),
        ("fragments_shed", defrag.shed),
        ("fragments_discarded", defrag.discarded),
        ("fragments_refused", defrag.refused),
        ("fragments_waiting", defrag.waiting),
        ("fragment_memory", defrag.bytes),
        ("fragment_overlap", defrag.overlaps),
        ("fragment_different_content", defrag.different),
        ("fragment_teardrop", defrag.teardrops),
        ("fragment_too_long", defrag.too_long),
        ("fragment_tiny", defrag.tiny),
    ]
}
