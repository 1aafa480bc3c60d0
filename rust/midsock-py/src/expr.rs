//! Fields and the filters made of them.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use midsock_core::event::{self as core, Comparison, ExprError, Type};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::{FilterError, expr_error};

/// Something that can be asked of a packet, a flow or an event, such as `tcp.seq` or `client.state`.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Field {
    pub(crate) field: core::Field,
}

/// A filter, compiled: it runs without Python.
#[pyclass(frozen, module = "midsock")]
pub(crate) struct Expr {
    pub(crate) expr: Arc<core::Expr>,
}

/// A field, given as such or by its name.
pub(crate) fn to_field(object: &Bound<'_, PyAny>) -> PyResult<core::Field> {
    if let Ok(field) = object.cast::<Field>() {
        return Ok(field.get().field);
    }
    let name: String = object
        .extract()
        .map_err(|_| PyTypeError::new_err("a field is given as such (midsock.tcp.seq) or by its name"))?;
    core::Field::from_name(&name)
        .ok_or_else(|| PyKeyError::new_err(format!("there is no field {name:?}; midsock.FIELDS lists all")))
}

/// A filter, given as such or as a flag.
pub(crate) fn to_expr(object: &Bound<'_, PyAny>) -> PyResult<Option<core::Expr>> {
    if let Ok(expr) = object.cast::<Expr>() {
        return Ok(Some((*expr.get().expr).clone()));
    }
    if let Ok(field) = object.cast::<Field>() {
        return made(core::Expr::flag(field.get().field)).map(Some);
    }
    Ok(None)
}

fn made(expr: Result<core::Expr, ExprError>) -> PyResult<core::Expr> {
    expr.map_err(|error| expr_error(&error))
}

fn operand(object: &Bound<'_, PyAny>) -> PyResult<core::Expr> {
    to_expr(object)?.ok_or_else(|| {
        PyTypeError::new_err("& and | join filters: compare a field with something first, in parentheses")
    })
}

fn comparison(op: CompareOp) -> Comparison {
    match op {
        CompareOp::Eq => Comparison::Eq,
        CompareOp::Ne => Comparison::Ne,
        CompareOp::Lt => Comparison::Lt,
        CompareOp::Le => Comparison::Le,
        CompareOp::Gt => Comparison::Gt,
        CompareOp::Ge => Comparison::Ge,
    }
}

fn network(text: &str) -> PyResult<IpNet> {
    let host = IpAddr::from_str(text).map(IpNet::from);
    host.or_else(|_| IpNet::from_str(text).map(|net| net.trunc())).map_err(|_| {
        FilterError::new_err(format!("{text:?} is neither an IP address nor a network such as 10.0.0.0/8"))
    })
}

pub(crate) fn mac(text: &str) -> PyResult<Vec<u8>> {
    let parts: Result<Vec<u8>, _> = text.split([':', '-']).map(|part| u8::from_str_radix(part, 16)).collect();
    parts
        .ok()
        .filter(|bytes| bytes.len() == 6)
        .ok_or_else(|| FilterError::new_err(format!("{text:?} is no MAC address such as 02:00:00:00:00:01")))
}

/// Text of an address, given as such or as an object of `ipaddress`.
fn address_text(object: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(object.str()?.to_str()?.to_owned())
}

/// Bytes, given as such or, if they are text, as that.
fn bytes_of(object: &Bound<'_, PyAny>, is_text: bool) -> PyResult<Vec<u8>> {
    if is_text { Ok(object.extract::<String>()?.into_bytes()) } else { object.extract() }
}

fn negated(expr: core::Expr, is_negated: bool) -> PyResult<core::Expr> {
    if is_negated { made(expr.negate()) } else { Ok(expr) }
}

impl Field {
    fn compare(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<core::Expr> {
        if let Ok(other) = other.cast::<Field>() {
            return made(core::Expr::fields(self.field, comparison(op), other.get().field));
        }
        let is_equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let is_ne = matches!(op, CompareOp::Ne);
        match self.field.ty() {
            Type::Ip if is_equality => {
                let net = network(&address_text(other)?)?;
                negated(made(core::Expr::networks(self.field, vec![net]))?, is_ne)
            }
            Type::Mac if is_equality => {
                let bytes = if other.is_instance_of::<PyString>() {
                    mac(other.extract()?)?
                } else {
                    other.extract()?
                };
                negated(made(core::Expr::equals(self.field, bytes))?, is_ne)
            }
            Type::Bytes | Type::Text if is_equality => negated(
                made(core::Expr::equals(self.field, bytes_of(other, self.field.ty() == Type::Text)?))?,
                is_ne,
            ),
            _ => {
                let number: i128 = other.extract().map_err(|_| {
                    PyTypeError::new_err(format!("{} cannot be compared with {other:?}", self.field.name()))
                })?;
                made(core::Expr::number(self.field, comparison(op), number))
            }
        }
    }
}

const NO_TRUTH: &str = "a filter has no truth of its own: join filters with & | ~ (in parentheses, instead of and, or, not), \
     ask for one of several values with .isin([...]) instead of in, and split a < b < c into two comparisons";

#[pymethods]
impl Field {
    /// The field of this name; `KeyError` if there is none.
    #[new]
    fn new(name: &str) -> PyResult<Field> {
        let field = core::Field::from_name(name)
            .ok_or_else(|| PyKeyError::new_err(format!("there is no field {name:?}")))?;
        Ok(Field { field })
    }

    /// Names of all fields.
    #[staticmethod]
    fn names() -> Vec<String> {
        core::Field::all().map(|(_, name, _)| name).collect()
    }

    /// Its name, such as `tcp.seq`.
    #[getter]
    fn name(&self) -> String {
        self.field.name()
    }

    /// Its type: `bool u8 u16 u32 u64 time ip mac bytes`.
    #[getter]
    fn r#type(&self) -> String {
        format!("{:?}", self.field.ty()).to_lowercase()
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Expr> {
        Ok(Expr { expr: Arc::new(self.compare(other, op)?) })
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self.field)
    }

    fn __and__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        Expr { expr: Arc::new(made(core::Expr::flag(self.field))?) }.__and__(other)
    }

    fn __or__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        Expr { expr: Arc::new(made(core::Expr::flag(self.field))?) }.__or__(other)
    }

    fn __invert__(&self) -> PyResult<Expr> {
        Expr { expr: Arc::new(made(core::Expr::flag(self.field))?) }.__invert__()
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(NO_TRUTH))
    }

    /// It is one of these values; for an address, it lies in one of these networks.
    fn isin(&self, values: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let values: Vec<Bound<'_, PyAny>> = values.try_iter()?.collect::<PyResult<_>>()?;
        let expr = if self.field.ty() == Type::Ip {
            let networks: PyResult<Vec<IpNet>> =
                values.iter().map(|value| network(&address_text(value)?)).collect();
            core::Expr::networks(self.field, networks?)
        } else {
            let numbers: PyResult<Vec<i128>> = values.iter().map(PyAnyMethods::extract).collect();
            core::Expr::numbers(self.field, numbers?)
        };
        Ok(Expr { expr: Arc::new(made(expr)?) })
    }

    /// These bytes occur in it.
    fn contains(&self, bytes: &Bound<'_, PyAny>) -> PyResult<Expr> {
        Ok(Expr {
            expr: Arc::new(made(core::Expr::contains(
                self.field,
                &bytes_of(bytes, self.field.ty() == Type::Text)?,
            ))?),
        })
    }

    /// It starts with these bytes.
    fn startswith(&self, bytes: &Bound<'_, PyAny>) -> PyResult<Expr> {
        Ok(Expr {
            expr: Arc::new(made(core::Expr::starts_with(
                self.field,
                bytes_of(bytes, self.field.ty() == Type::Text)?,
            ))?),
        })
    }

    /// A regular expression over bytes, in the syntax of Rust's `regex` crate, matches somewhere in it. The search
    /// takes time linear in the bytes, whatever the pattern.
    fn matches(&self, pattern: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let text = match pattern.cast::<PyBytes>() {
            Ok(bytes) => String::from_utf8(bytes.as_bytes().to_vec())
                .map_err(|_| FilterError::new_err("write bytes beyond ASCII as \\xff in the pattern"))?,
            Err(_) => pattern.extract()?,
        };
        Ok(Expr { expr: Arc::new(made(core::Expr::matches(self.field, &text))?) })
    }

    fn __repr__(&self) -> String {
        format!("midsock.Field({:?})", self.field.name())
    }
}

#[pymethods]
impl Expr {
    fn __and__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let both = (*self.expr).clone().and(operand(other)?);
        Ok(Expr { expr: Arc::new(made(both)?) })
    }

    fn __rand__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let both = operand(other)?.and((*self.expr).clone());
        Ok(Expr { expr: Arc::new(made(both)?) })
    }

    fn __or__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let either = (*self.expr).clone().or(operand(other)?);
        Ok(Expr { expr: Arc::new(made(either)?) })
    }

    fn __ror__(&self, other: &Bound<'_, PyAny>) -> PyResult<Expr> {
        let either = operand(other)?.or((*self.expr).clone());
        Ok(Expr { expr: Arc::new(made(either)?) })
    }

    fn __invert__(&self) -> PyResult<Expr> {
        Ok(Expr { expr: Arc::new(made((*self.expr).clone().negate())?) })
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(NO_TRUTH))
    }

    fn __str__(&self) -> String {
        self.expr.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<midsock.Expr {}>", self.expr)
    }
}
