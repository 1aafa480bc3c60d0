//! Which flows a monitoring socket watches: filters in tcpdump's syntax.
//!
//! A [`Scope`] is a filter of pcap-filter(7) over what a flow keeps for its whole life: addresses, ports,
//! protocol and VLAN tags. It is asked once per flow, for the direction in which the client sends: `src` is
//! the client, `dst` the server. What else pcap-filter knows selects single packets (`len`, `tcp[13]`,
//! `ether`…); here it is an error that says where such a condition belongs.
//!
//! As in pcap-filter, `and` and `or` have the **same** precedence and group from the left, `not` binds
//! tightest, and a value without a keyword takes that of the value before it: `tcp dst port ftp or domain` is
//! `tcp dst port ftp or tcp dst port domain`.
//!
//! It differs from tcpdump where that serves flows better:
//!
//! - **VLAN tags hide nothing.** `tcp port 80` is true of a flow whatever its tags, as in tcpdump on a live
//!   Linux interface, where the kernel has taken the tag off. (In a capture file, tcpdump overlooks the
//!   tagged packets unless the filter says `vlan`.)
//! - **`vlan` looks past the tags that the filter has required so far**, and past no others. In `vlan 10 and
//!   vlan 20` the second looks at the inner tag; in `vlan 10 or vlan 20` and in `not vlan 10 and vlan 20` at
//!   the outer one. (In tcpdump, every earlier `vlan` of the text shifts all that follows it, also in the
//!   other branch of an `or`.)
//! - Names of hosts and networks are not looked up. Names of services and protocols are built in, so that a
//!   filter means the same on every machine.
//! - A protocol's name needs no backslash after `proto`; `net 10/8` needs no dot; keywords may follow a
//!   parenthesis also where tcpdump takes values only (`host 10.0.0.1 and (10.0.0.2 or port 80)`).
//! - `host 10.1` and `host 80`, which tcpdump takes for `net 10.1` and for 0.0.0.80, are errors; so are `vlan
//!   0` and `proto 256`. `net 0` is 0.0.0.0/8, as pcap-filter(7) says of single numbers.

mod error;
mod lex;
mod names;
mod packet;
mod parse;
mod test;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;
use std::net::IpAddr;

pub use error::ScopeError;

use test::Test;

/// What a scope looks at: one direction of a flow, that in which the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The client's address.
    pub source: IpAddr,
    /// The client's port.
    pub source_port: u16,
    /// The server's address; of the same IP version.
    pub destination: IpAddr,
    /// The server's port.
    pub destination_port: u16,
    /// VLAN identifiers, 1 to 4095, the outermost first; 0 is no tag.
    pub vlan: [u16; 2],
    /// IP protocol number; 6 is TCP.
    pub protocol: u8,
}

/// A compiled filter: which flows a monitoring socket watches.
///
/// Two scopes are equal if they make the same tests in the same order. [`Display`](fmt::Display) writes the
/// filter out in full, every value with its keywords and only the parentheses it needs; it parses back to an
/// equal scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    nodes: Box<[Node]>,
}

/// One step of a compiled filter.
///
/// The expression lies flat, in the order of its text, and its steps work on one truth value. An operand
/// leaves its own there; `and` and `or` stand between their operands and jump over the right one where the
/// left one has settled it; `not` stands behind its operand. So neither a long chain nor a deep nesting costs
/// stack.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Test(Test),
    /// Negates the operand that starts at node `start`.
    Not {
        start: usize,
    },
    /// The right operand ends before node `end`.
    And {
        end: usize,
    },
    /// The right operand ends before node `end`.
    Or {
        end: usize,
    },
}

impl Scope {
    /// Compiles a filter; an empty one is [`Scope::any`].
    ///
    /// # Errors
    /// The text is not in the syntax, names what does not select flows, or has more than 8,192 terms and
    /// operators or 64 levels of parentheses and `not`. The error points at the words.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        Ok(Scope { nodes: parse::compile(text)?.into_boxed_slice() })
    }

    /// The empty filter, which every flow matches.
    pub fn any() -> Scope {
        Scope { nodes: Box::default() }
    }

    /// Whether a flow is in the scope.
    pub fn matches(&self, tuple: &Tuple) -> bool {
        let mut truth = true;
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            at += 1;
            match *node {
                Node::Test(ref test) => truth = test.matches(tuple),
                Node::Not { .. } => truth = !truth,
                Node::And { end } if !truth => at = end,
                Node::Or { end } if truth => at = end,
                Node::And { .. } | Node::Or { .. } => {}
            }
        }
        truth
    }

    /// Whether the nodes `start..end`, one operand, need parentheses where they are not the first operand of
    /// a chain: all but a single test and what `not` leads.
    fn is_chain(&self, start: usize, end: usize) -> bool {
        match self.nodes[start..end] {
            [] | [Node::Test(_)] => false,
            [.., Node::Not { start: negated }] => negated != start,
            _ => true,
        }
    }
}

impl Default for Scope {
    fn default() -> Scope {
        Scope::any()
    }
}

impl std::str::FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Scope, ScopeError> {
        Scope::parse(text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `not` stands behind its operand in the nodes and before it in the text: note first what goes where.
        let mut before = vec![String::new(); self.nodes.len()];
        let mut closing = vec![0; self.nodes.len()];
        let mut enclose = |start: usize, end: usize, operator: &str| {
            let chain = self.is_chain(start, end);
            // Operands come innermost first, so each goes outside what is there.
            before[start].insert_str(0, if chain { "(" } else { "" });
            before[start].insert_str(0, operator);
            closing[end - 1] += usize::from(chain);
        };
        for (at, node) in self.nodes.iter().enumerate() {
            if let Node::Not { start } = *node {
                enclose(start, at, "not ");
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            match *node {
                Node::And { end } => enclose(at + 1, end, " and "),
                Node::Or { end } => enclose(at + 1, end, " or "),
                Node::Test(_) | Node::Not { .. } => {}
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            f.write_str(&before[at])?;
            if let Node::Test(test) = node {
                write!(f, "{test}")?;
            }
            f.write_str(&")".repeat(closing[at]))?;
        }
        Ok(())
    }
}
