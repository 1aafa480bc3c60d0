//! Names of netmap ports.
//!
//! ```text
//! netmap:IF RINGS /FLAGS @REGION          an interface
//! netmap:X{ID  netmap:X}ID  …             the two ends of a pipe
//! vale[SWITCH]:PORT …                     a port of a VALE switch
//! ```
//!
//! `RINGS` is nothing for all of the NIC's rings, `-K` for its ring K, `^` for the host's rings, `^K` for the host's ring
//! K, and `*` for all of both. `FLAGS` are letters; `REGION` is the number of the memory region to use.

use std::io::ErrorKind;

use crate::port::PortError;
use crate::port::options::Options;
use crate::port::sys::netmap::{NAME_SIZE, Register, flag, mode};

/// The characters that end an interface's name, if no interface has them in its name.
const ENDS: [char; 5] = ['-', '*', '^', '/', '@'];

/// The flags: their letter and what they ask the kernel for.
const FLAGS: [(char, u64); 6] = [
    ('x', flag::EXCLUSIVE),
    ('z', flag::MONITOR_ZERO_COPY),
    ('t', flag::MONITOR_TX),
    ('r', flag::MONITOR_RX),
    ('R', flag::RX_ONLY),
    ('T', flag::TX_ONLY),
];

/// What a port is, which decides what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An interface's rings.
    Interface,
    /// One end of a pipe.
    Pipe,
    /// A port of a VALE switch.
    Vale,
}

/// A port's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As it was written.
    pub(super) text: String,
    /// What the kernel calls the port.
    pub(super) port: String,
    pub(super) kind: Kind,
    /// One of [`mode`].
    pub(super) mode: u32,
    /// Which ring, if the mode is of one ring.
    pub(super) ring: u16,
    /// Of [`flag`].
    pub(super) flags: u64,
    /// The region asked for; 0 for none.
    pub(super) mem_id: u16,
    /// Whether the interface's offloads are left as they are.
    pub(super) keep_offloads: bool,
}

impl Name {
    /// Takes `text` apart, where `interfaces` are the names that exist: one with a dash in it is told from a ring's number
    /// by that.
    ///
    /// # Errors
    ///
    /// Which character is wrong, and what is wanted there.
    pub(super) fn parse(text: &str, interfaces: &[String]) -> Result<Name, PortError> {
        Parser { text, interfaces }.name()
    }

    /// Whether it watches another port.
    pub(super) fn is_monitor(&self) -> bool {
        self.flags & (flag::MONITOR_TX | flag::MONITOR_RX) != 0
    }

    pub(super) fn can_send(&self) -> bool {
        !self.is_monitor() && self.flags & flag::RX_ONLY == 0
    }

    /// Whether it has rings of the NIC's.
    pub(super) fn has_nic_rings(&self) -> bool {
        !matches!(self.mode, mode::HOST | mode::ONE_HOST)
    }

    /// Whether it has both the NIC's rings and the host's, and passes packets between them.
    pub(super) fn is_tap(&self) -> bool {
        self.mode == mode::NIC_AND_HOST && self.can_send() && self.flags & flag::TX_ONLY == 0
    }

    /// The request for this port, without extra buffers.
    pub(super) fn registration(&self) -> Register {
        Register {
            mode: self.mode,
            ring: self.ring,
            flags: self.flags | flag::NO_TX_POLL,
            mem_id: self.mem_id,
            ..Register::default()
        }
    }
}

/// Whether `name` is the name of a netmap port at all.
pub(in crate::port) fn is_netmap(name: &str) -> bool {
    name.starts_with("netmap:") || is_vale(name)
}

fn is_vale(name: &str) -> bool {
    let switch = name.strip_prefix("vale").and_then(|rest| rest.split_once(':'));
    switch.is_some_and(|(switch, _)| switch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

struct Parser<'t> {
    text: &'t str,
    interfaces: &'t [String],
}

impl Parser<'_> {
    fn name(&self) -> Result<Name, PortError> {
        let (port, mut options) = Options::split(self.text)?;
        let keep_offloads = options.choice("offloads", &["check", "keep"])? == Some(1);
        options.finish()?;
        let start = if is_vale(port) { 0 } else { "netmap:".len() };
        // A switch's name holds no character that ends a port's.
        let rest = &port[start..];
        let known = self.longest(rest);
        let cut = known.unwrap_or_else(|| rest.find(ENDS).unwrap_or(rest.len()));
        // A pipe's identifier comes after its parent's name, which may be that of an interface.
        let cut = if rest[cut..].starts_with(['{', '}']) {
            rest[cut..].find(ENDS).map_or(rest.len(), |more| cut + more)
        } else {
            cut
        };
        let kind = self.kind(start, &rest[..cut])?;
        let mut name = Name {
            text: self.text.to_owned(),
            port: rest[..cut].to_owned(),
            kind,
            mode: mode::ALL_NIC,
            ring: 0,
            flags: 0,
            mem_id: 0,
            keep_offloads,
        };
        let may_be_dashed = known.is_none() && kind == Kind::Interface && rest[cut..].starts_with('-');
        match self.suffix(start + cut, port, &mut name) {
            Err(PortError::Live { name, reason, .. }) if may_be_dashed => {
                let (whole, short) = (rest.split(['*', '^', '/', '@']).next().unwrap_or(rest), &rest[..cut]);
                let there = self.interfaces.join(", ");
                let reason = format!(
                    "there is no interface {whole}; there are {there} (if {short} is meant: {reason})"
                );
                Err(PortError::Live { name, kind: ErrorKind::NotFound, reason })
            }
            other => other.map(|()| name),
        }
    }

    /// The length of the longest interface's name that `rest` starts with, where a name may end.
    fn longest(&self, rest: &str) -> Option<usize> {
        let ends = |name: &&String| {
            rest.strip_prefix(name.as_str()).is_some_and(|after| {
                after.is_empty() || after.starts_with(ENDS) || after.starts_with(['{', '}'])
            })
        };
        self.interfaces.iter().filter(ends).map(String::len).max()
    }

    fn kind(&self, start: usize, port: &str) -> Result<Kind, PortError> {
        let end = start + port.len();
        if port.len() >= NAME_SIZE {
            return self.wrong(end, &format!("a port's name has at most {} bytes", NAME_SIZE - 1));
        }
        if let Some(at) = port.find(|c: char| c.is_whitespace() || c.is_control()) {
            return self.wrong(start + at, "a port's name has no such character");
        }
        let vale = start == 0;
        let after_switch = if vale { port.find(':').map_or(0, |colon| colon + 1) } else { 0 };
        let own = &port[after_switch..];
        if own.is_empty() || own.starts_with(['{', '}']) {
            let wanted = if vale { "the name of a switch's port" } else { "the name of an interface" };
            return self.wrong(start + after_switch, &format!("{wanted} is wanted"));
        }
        if own.ends_with(['{', '}']) {
            return self.wrong(end, "a pipe's identifier is wanted, such as 1");
        }
        if own.contains(['{', '}']) {
            return Ok(Kind::Pipe);
        }
        if !vale && own.len() > 15 {
            return self.wrong(start + 15, "an interface's name has at most 15 bytes");
        }
        Ok(if vale { Kind::Vale } else { Kind::Interface })
    }

    /// What follows the port's own name, from byte `at` of `text` on.
    fn suffix(&self, mut at: usize, text: &str, name: &mut Name) -> Result<(), PortError> {
        match text[at..].chars().next() {
            Some('-') => {
                (name.mode, (name.ring, at)) = (mode::ONE_NIC, self.number(at + 1, text, "of a ring")?);
            }
            Some(host @ ('^' | '*')) => {
                if name.kind != Kind::Interface {
                    return self.wrong(at, "only an interface has host rings");
                }
                at += 1;
                name.mode = if host == '*' { mode::NIC_AND_HOST } else { mode::HOST };
                if host == '^' && text[at..].starts_with(|c: char| c.is_ascii_digit()) {
                    (name.mode, (name.ring, at)) = (mode::ONE_HOST, self.number(at, text, "of a host ring")?);
                }
            }
            _ => {}
        }
        if text[at..].starts_with('/') {
            at = self.flags(at + 1, text, name)?;
        }
        if text[at..].starts_with('@') {
            (name.mem_id, at) = self.number(at + 1, text, "of a memory region")?;
            if name.mem_id == 0 {
                return self.wrong(at - 1, "memory regions are numbered from 1 on");
            }
        }
        if at < text.len() {
            return self.wrong(at, "a name ends here, or goes on with - ^ * (rings), / (flags), @ (region)");
        }
        Ok(())
    }

    fn flags(&self, start: usize, text: &str, name: &mut Name) -> Result<usize, PortError> {
        let letters = text[start..].split('@').next().unwrap_or_default();
        if letters.is_empty() {
            return self.wrong(start, "flags are wanted: letters of xztrRT");
        }
        for (at, letter) in letters.char_indices() {
            let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == letter) else {
                let reason = "no such flag; there are x (exclusive), t and r (monitor what is sent, received), \
                    z (monitor without copies), R and T (only receive, transmit)";
                return self.wrong(start + at, reason);
            };
            name.flags |= flag;
        }
        let has = |flags| name.flags & flags == flags;
        let reason = if has(flag::RX_ONLY | flag::TX_ONLY) {
            "R and T exclude each other"
        } else if has(flag::MONITOR_ZERO_COPY) && !name.is_monitor() {
            "z is a manner of monitoring: add t, r or both"
        } else if name.is_monitor() && has(flag::TX_ONLY) {
            "a monitor only receives"
        } else {
            return Ok(start + letters.len());
        };
        self.wrong(start, reason)
    }

    fn number(&self, start: usize, text: &str, what: &str) -> Result<(u16, usize), PortError> {
        let digits = text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - start);
        match text[start..start + digits].parse() {
            Ok(number) => Ok((number, start + digits)),
            Err(_) => self.wrong(start, &format!("the number {what} is wanted, 0 to {}", u16::MAX)),
        }
    }

    fn wrong<T>(&self, at: usize, reason: &str) -> Result<T, PortError> {
        let before = self.text.get(..at).map_or(0, |before| before.chars().count());
        let place = match self.text.get(at..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("character {} ({character:?})", before + 1),
            None => "the end".to_owned(),
        };
        Err(PortError::Live {
            name: self.text.to_owned(),
            kind: ErrorKind::InvalidInput,
            reason: format!("at {place}: {reason}"),
        })
    }
}
