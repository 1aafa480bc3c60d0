//! Filters compiled to a tree: what a user-defined event adds to its parent.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::{Field, Scene, Type, Value};

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the symbols say it all
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Comparison::Eq => a == b,
            Comparison::Ne => a != b,
            Comparison::Lt => a < b,
            Comparison::Le => a <= b,
            Comparison::Gt => a > b,
            Comparison::Ge => a >= b,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Comparison::Eq => "==",
            Comparison::Ne => "!=",
            Comparison::Lt => "<",
            Comparison::Le => "<=",
            Comparison::Gt => ">",
            Comparison::Ge => ">=",
        }
    }
}

/// A filter. A comparison with a field that does not apply (no timestamps, no such packet) is false.
#[derive(Clone, Debug)]
pub struct Expr {
    node: Node,
    depth: u16,
}

#[derive(Clone, Debug)]
enum Node {
    Flag(Field),
    Number(Field, Comparison, i128),
    Fields(Field, Comparison, Field),
    Numbers(Field, Vec<i128>),
    Networks(Field, Vec<IpNet>),
    Equals(Field, Vec<u8>),
    StartsWith(Field, Vec<u8>),
    Contains(Field, Box<Finder<'static>>),
    Matches(Field, Regex),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
}

/// Why a filter cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// The operation does not suit the field's type.
    #[error("{field} is {ty}: {advice}")]
    Type {
        /// The field's name.
        field: String,
        /// What it is, in words.
        ty: &'static str,
        /// What can be asked of it.
        advice: &'static str,
    },
    /// The pattern is no regular expression.
    #[error("{0}")]
    Pattern(String),
    /// The operators are nested too deeply.
    #[error("a filter can nest {MOST_DEPTH} operators at most")]
    Depth,
}

/// Operators nested in one filter: far beyond what anybody writes, and far from what exhausts a stack.
const MOST_DEPTH: u16 = 500;

impl Type {
    /// What it is, in words.
    fn words(self) -> &'static str {
        match self {
            Type::Bool => "a flag",
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::Time => "a number",
            Type::Ip => "an IP address",
            Type::Mac => "a MAC address",
            Type::Bytes => "bytes",
            Type::Text => "text",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Type::Bool => "use it as it is, negate it with ~, or compare it with True or False",
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::Time => {
                "compare it with a number by == != < <= > >=, or with several by .isin([…])"
            }
            Type::Ip => "compare it with an address by == or !=, or with networks by .isin([…])",
            Type::Mac => "compare it with an address by == or !=",
            Type::Bytes | Type::Text => "use .contains(…), .matches(…), .startswith(…), == or !=",
        }
    }

    fn is_string(self) -> bool {
        matches!(self, Type::Bytes | Type::Text)
    }

    fn is_number(self) -> bool {
        matches!(self, Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::Time)
    }
}

fn unsuited(field: Field) -> ExprError {
    ExprError::Type { field: field.name(), ty: field.ty().words(), advice: field.ty().advice() }
}

fn check(field: Field, suits: bool) -> Result<(), ExprError> {
    if suits { Ok(()) } else { Err(unsuited(field)) }
}

impl Expr {
    fn leaf(node: Node) -> Expr {
        Expr { node, depth: 1 }
    }

    /// A flag is set.
    pub fn flag(field: Field) -> Result<Expr, ExprError> {
        check(field, field.ty() == Type::Bool)?;
        Ok(Expr::leaf(Node::Flag(field)))
    }

    /// A number compares so with another.
    pub fn number(field: Field, comparison: Comparison, number: i128) -> Result<Expr, ExprError> {
        check(field, field.ty().is_number())?;
        Ok(Expr::leaf(Node::Number(field, comparison, number)))
    }

    /// Two fields compare so.
    pub fn fields(a: Field, comparison: Comparison, b: Field) -> Result<Expr, ExprError> {
        let is_order = !matches!(comparison, Comparison::Eq | Comparison::Ne);
        check(b, a.ty() == b.ty() || a.ty().is_number() && b.ty().is_number())?;
        check(a, !is_order || a.ty().is_number())?;
        Ok(Expr::leaf(Node::Fields(a, comparison, b)))
    }

    /// A number is one of these.
    pub fn numbers(field: Field, mut numbers: Vec<i128>) -> Result<Expr, ExprError> {
        check(field, field.ty().is_number())?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Expr::leaf(Node::Numbers(field, numbers)))
    }

    /// An address lies in one of these networks.
    pub fn networks(field: Field, mut networks: Vec<IpNet>) -> Result<Expr, ExprError> {
        check(field, field.ty() == Type::Ip)?;
        for network in &mut networks {
            *network = network.trunc();
        }
        networks.sort_unstable();
        networks.dedup();
        Ok(Expr::leaf(Node::Networks(field, networks)))
    }

    /// Bytes, or a MAC address, are just these.
    pub fn equals(field: Field, bytes: Vec<u8>) -> Result<Expr, ExprError> {
        check(field, field.ty().is_string() || field.ty() == Type::Mac && bytes.len() == 6)?;
        Ok(Expr::leaf(Node::Equals(field, bytes)))
    }

    /// Bytes start with these.
    pub fn starts_with(field: Field, bytes: Vec<u8>) -> Result<Expr, ExprError> {
        check(field, field.ty().is_string())?;
        Ok(Expr::leaf(Node::StartsWith(field, bytes)))
    }

    /// These occur among the bytes.
    pub fn contains(field: Field, bytes: &[u8]) -> Result<Expr, ExprError> {
        check(field, field.ty().is_string())?;
        Ok(Expr::leaf(Node::Contains(field, Box::new(Finder::new(bytes).into_owned()))))
    }

    /// A regular expression of the `regex` crate, over bytes, matches somewhere among them.
    pub fn matches(field: Field, pattern: &str) -> Result<Expr, ExprError> {
        check(field, field.ty().is_string())?;
        let regex = RegexBuilder::new(pattern)
            .unicode(false)
            .build()
            .map_err(|error| ExprError::Pattern(error.to_string()))?;
        Ok(Expr::leaf(Node::Matches(field, regex)))
    }

    /// Both hold.
    pub fn and(self, other: Expr) -> Result<Expr, ExprError> {
        let depth = self.depth.max(other.depth);
        Expr::nest(depth, Node::And(Box::new(self), Box::new(other)))
    }

    /// At least one holds.
    pub fn or(self, other: Expr) -> Result<Expr, ExprError> {
        let depth = self.depth.max(other.depth);
        Expr::nest(depth, Node::Or(Box::new(self), Box::new(other)))
    }

    /// It does not hold.
    pub fn negate(self) -> Result<Expr, ExprError> {
        Expr::nest(self.depth, Node::Not(Box::new(self)))
    }

    fn nest(depth: u16, node: Node) -> Result<Expr, ExprError> {
        if depth < MOST_DEPTH { Ok(Expr { node, depth: depth + 1 }) } else { Err(ExprError::Depth) }
    }

    /// Whether it holds in this scene.
    pub fn holds(&self, scene: &Scene<'_>) -> bool {
        match &self.node {
            Node::Flag(field) => number(*field, scene).is_some_and(|value| value != 0),
            Node::Number(field, comparison, other) => {
                number(*field, scene).is_some_and(|value| comparison.holds(&value, other))
            }
            Node::Fields(a, comparison, b) => match (a.get(scene), b.get(scene)) {
                (Some(Value::Ip(a)), Some(Value::Ip(b))) => comparison.holds(&a, &b),
                (Some(Value::Bytes(a)), Some(Value::Bytes(b))) => comparison.holds(&a, &b),
                (Some(Value::Text(a)), Some(Value::Text(b))) => comparison.holds(&a, &b),
                (Some(a), Some(b)) => comparison.holds(&as_number(a), &as_number(b)),
                _ => false,
            },
            Node::Numbers(field, numbers) => {
                number(*field, scene).is_some_and(|value| numbers.binary_search(&value).is_ok())
            }
            Node::Networks(field, networks) => {
                address(*field, scene).is_some_and(|ip| networks.iter().any(|network| network.contains(&ip)))
            }
            Node::Equals(field, other) => bytes(*field, scene).is_some_and(|bytes| bytes == other),
            Node::StartsWith(field, start) => {
                bytes(*field, scene).is_some_and(|bytes| bytes.starts_with(start))
            }
            Node::Contains(field, finder) => {
                bytes(*field, scene).is_some_and(|bytes| finder.find(bytes).is_some())
            }
            Node::Matches(field, regex) => bytes(*field, scene).is_some_and(|bytes| regex.is_match(bytes)),
            Node::And(a, b) => a.holds(scene) && b.holds(scene),
            Node::Or(a, b) => a.holds(scene) || b.holds(scene),
            Node::Not(a) => !a.holds(scene),
        }
    }

    /// Whether it looks at bytes of the stream.
    pub fn wants_data(&self) -> bool {
        self.asks(Field::wants_data)
    }

    /// Whether it looks at a flow's history.
    pub fn wants_history(&self) -> bool {
        self.asks(|field| matches!(field, Field::FlowConnState | Field::FlowHistory))
    }

    /// Whether any of its fields is one of these.
    fn asks(&self, which: fn(Field) -> bool) -> bool {
        match &self.node {
            Node::Flag(field)
            | Node::Number(field, ..)
            | Node::Numbers(field, _)
            | Node::Networks(field, _)
            | Node::Equals(field, _)
            | Node::StartsWith(field, _)
            | Node::Contains(field, _)
            | Node::Matches(field, _) => which(*field),
            Node::Fields(a, _, b) => which(*a) || which(*b),
            Node::And(a, b) | Node::Or(a, b) => a.asks(which) || b.asks(which),
            Node::Not(a) => a.asks(which),
        }
    }
}

fn as_number(value: Value<'_>) -> i128 {
    match value {
        Value::Int(value) => value.into(),
        Value::Time(value) => value.into(),
        Value::Ip(_) | Value::Bytes(_) | Value::Text(_) => 0,
    }
}

fn number(field: Field, scene: &Scene<'_>) -> Option<i128> {
    field.get(scene).map(as_number)
}

fn address(field: Field, scene: &Scene<'_>) -> Option<IpAddr> {
    match field.get(scene)? {
        Value::Ip(ip) => Some(ip),
        _ => None,
    }
}

fn bytes<'s>(field: Field, scene: &Scene<'s>) -> Option<&'s [u8]> {
    match field.get(scene)? {
        Value::Bytes(bytes) => Some(bytes),
        Value::Text(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// Its canonical text; two filters of one text are the same filter.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = |bytes: &[u8]| bytes.escape_ascii().to_string();
        match &self.node {
            Node::Flag(field) => f.write_str(&field.name()),
            Node::Number(field, comparison, number) => {
                write!(f, "({} {} {number})", field.name(), comparison.symbol())
            }
            Node::Fields(a, comparison, b) => {
                write!(f, "({} {} {})", a.name(), comparison.symbol(), b.name())
            }
            Node::Numbers(field, numbers) => write!(f, "{}.isin({numbers:?})", field.name()),
            Node::Networks(field, networks) => {
                let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
                write!(f, "{}.isin({networks:?})", field.name())
            }
            Node::Equals(field, bytes) => write!(f, "({} == b\"{}\")", field.name(), literal(bytes)),
            Node::StartsWith(field, bytes) => {
                write!(f, "{}.startswith(b\"{}\")", field.name(), literal(bytes))
            }
            Node::Contains(field, finder) => {
                write!(f, "{}.contains(b\"{}\")", field.name(), literal(finder.needle()))
            }
            Node::Matches(field, regex) => write!(f, "{}.matches({:?})", field.name(), regex.as_str()),
            Node::And(a, b) => write!(f, "({a} & {b})"),
            Node::Or(a, b) => write!(f, "({a} | {b})"),
            Node::Not(a) => write!(f, "~{a}"),
        }
    }
}
