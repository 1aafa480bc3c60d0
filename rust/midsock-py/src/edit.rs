//! From Python's values to those of headers and addresses.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use midsock_core::event::Value;
use midsock_core::inline::HeaderField;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::expr::{Field, mac};

/// A field that can be set, given as a field or by its name, which not all of those that can be asked have.
pub(crate) fn to_header_field(object: &Bound<'_, PyAny>) -> PyResult<HeaderField> {
    let name = match object.cast::<Field>() {
        Ok(field) => field.get().field.name(),
        Err(_) => object.extract::<String>()?,
    };
    HeaderField::from_name(&name).ok_or_else(|| {
        let names: Vec<&str> = HeaderField::all().map(HeaderField::name).collect();
        PyKeyError::new_err(format!("{name} cannot be set; these can: {}", names.join(", ")))
    })
}

/// What a header field is set to: a number, a flag, an address of IP or Ethernet.
pub(crate) enum Wanted {
    Int(u64),
    Ip(IpAddr),
    Bytes(Vec<u8>),
}

impl Wanted {
    pub(crate) fn extract(object: &Bound<'_, PyAny>) -> PyResult<Wanted> {
        if object.is_instance_of::<PyString>() {
            let text: String = object.extract()?;
            return IpAddr::from_str(&text).map(Wanted::Ip).or_else(|_| {
                mac(&text).map(Wanted::Bytes).map_err(|_| {
                    PyValueError::new_err(format!("{text:?} is an address of neither IP nor Ethernet"))
                })
            });
        }
        if let Ok(number) = object.extract::<i128>() {
            let number = u64::try_from(number);
            return number
                .map(Wanted::Int)
                .map_err(|_| PyValueError::new_err("a header holds no such number"));
        }
        if let Ok(bytes) = object.extract::<Vec<u8>>() {
            return Ok(Wanted::Bytes(bytes));
        }
        // An object of `ipaddress`.
        let text: String = object.str()?.extract()?;
        IpAddr::from_str(&text).map(Wanted::Ip).map_err(|_| {
            PyTypeError::new_err(format!(
                "a header field is a number, a flag or an address, not {}",
                object.get_type()
            ))
        })
    }

    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Wanted::Int(number) => Value::Int(*number),
            Wanted::Ip(ip) => Value::Ip(*ip),
            Wanted::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

/// An end's address and port: `("10.0.0.1", 4000)`.
pub(crate) fn to_address(object: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let (ip, port): (Bound<'_, PyAny>, u16) = object.extract().map_err(|_| {
        PyTypeError::new_err(format!(
            "an end is a pair of IP address and port, such as (\"10.0.0.1\", 4000), not {object}"
        ))
    })?;
    let text: String = ip.str()?.extract()?;
    let ip =
        IpAddr::from_str(&text).map_err(|_| PyValueError::new_err(format!("{text:?} is no IP address")))?;
    Ok(SocketAddr::new(ip, port))
}
