//! The values of a filter: addresses, networks, ports, protocols.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::Ipv6Net;

use super::error::ScopeError;
use super::lex::{Kind as Lexeme, Token};
use super::names::{self, Keyword, Kind, Meant};
use super::parse::{Parser, Qualifiers};
use super::test::{Network, Test, Version};

/// Whether a word is a number or an address, well written or not.
pub(super) fn is_numeric(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(':')
}

/// Whether a word is a port by number or name.
pub(super) fn is_port(word: &str) -> bool {
    word.bytes().all(|c| c.is_ascii_digit()) || names::service(word).is_some()
}

/// Whether a word that no keyword precedes can be a value of this kind.
pub(super) fn is_value(word: &str, kind: Kind) -> bool {
    let named = match kind {
        Kind::Host | Kind::Net => false,
        Kind::Port => names::service(word).is_some(),
        Kind::PortRange => split_range(word).is_some(),
        Kind::Proto => word.starts_with('\\') || names::protocol_number(word).is_some(),
    };
    named || is_numeric(word)
}

/// Parses the value that comes next.
pub(super) fn parse(parser: &mut Parser<'_>, qualifiers: Qualifiers) -> Result<Test, ScopeError> {
    let what = match qualifiers.kind {
        Kind::Host => "an address",
        Kind::Net => "a network",
        Kind::Port => "a port number or service name",
        Kind::PortRange => "a range of ports such as \"1-1024\"",
        Kind::Proto => "a protocol's number or name",
    };
    let Some(word) = parser.take(Lexeme::Word) else { return Err(parser.expected(what)) };
    if qualifiers.kind != Kind::Proto && names::keyword(word.text).is_some() {
        let message = format!("expected {what}, not \"{}\"", word.text);
        return Err(parser.error(word.span(), message));
    }
    match qualifiers.kind {
        Kind::Host => host(parser, word, qualifiers),
        Kind::Net => net(parser, word, qualifiers),
        Kind::Port => {
            let (port, service) = port(parser, word, word.text)?;
            ports(parser, word, qualifiers, (port, port), service)
        }
        Kind::PortRange => portrange(parser, word, qualifiers),
        Kind::Proto => protocol(parser, word, qualifiers),
    }
}

/// An unsigned number as in C: decimal, 0x… hexadecimal, 0… octal.
pub(super) fn number(
    parser: &Parser<'_>,
    token: Token<'_>,
    what: &str,
    greatest: u32,
) -> Result<u32, ScopeError> {
    c_number(token.text, what, greatest).map_err(|message| parser.error(token.span(), message))
}

fn c_number(text: &str, what: &str, greatest: u32) -> Result<u32, String> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        let octal = radix == 8 && digits.bytes().all(|c| c.is_ascii_digit());
        let reason =
            if octal { "a leading 0 means octal, which has no digit 8 or 9" } else { "it is not a number" };
        return Err(format!("\"{text}\" is no {what}: {reason}"));
    }
    match u32::from_str_radix(digits, radix) {
        Ok(number) if number <= greatest => Ok(number),
        _ => Err(format!("{what} {text} is greater than {greatest}")),
    }
}

fn host(parser: &Parser<'_>, word: Token<'_>, qualifiers: Qualifiers) -> Result<Test, ScopeError> {
    let text = word.text;
    if parser.peek().is_some_and(|token| matches!(token.text, "/" | "mask")) {
        return Err(
            parser.error(word.span(), format!("a network: write \"net {text}…\", not \"host {text}…\""))
        );
    }
    let found = if text.contains(':') {
        ipv6(parser, word)?.into()
    } else {
        match dotted(text) {
            Some((address, 4)) => Network::V4 { address, mask: u32::MAX },
            Some((_, 1)) => {
                let message = format!("\"{text}\" is no address (did you mean \"port {text}\"?)");
                return Err(parser.error(word.span(), message));
            }
            Some(_) => {
                let message =
                    format!("\"{text}\" is part of an address: for the network write \"net {text}\"");
                return Err(parser.error(word.span(), message));
            }
            None => return Err(no_address(parser, word)),
        }
    };
    network_test(parser, word.span(), qualifiers, found)
}

/// `ADDRESS`, `ADDRESS/LENGTH` or `ADDRESS mask MASK`.
fn net(parser: &mut Parser<'_>, word: Token<'_>, qualifiers: Qualifiers) -> Result<Test, ScopeError> {
    let text = word.text;
    if text.contains(':') {
        let address = ipv6(parser, word)?;
        let Some((length, span)) = prefix_length(parser, word, 128)? else {
            if let Some(mask) = parser.take_word("mask") {
                let message = "an IPv6 network has no mask: write a prefix length, such as /64";
                return Err(parser.error(mask.span(), message));
            }
            return network_test(parser, word.span(), qualifiers, address.into());
        };
        // The length is at most 128, the only thing that makes a network fail.
        let network = Ipv6Net::new_assert(address, length);
        if network.network() != address {
            return Err(host_bits(parser, span, &network.trunc().to_string()));
        }
        return network_test(parser, span, qualifiers, Network::V6(network));
    }

    let Some((address, parts)) = dotted(text) else { return Err(no_address(parser, word)) };
    let (mask, span) = if let Some((length, span)) = prefix_length(parser, word, 32)? {
        (leading(u32::from(length)), span)
    } else if parser.take_word("mask").is_some() {
        let Some(given) = parser.take(Lexeme::Word) else { return Err(parser.expected("a netmask")) };
        let Some((mask, _)) = dotted(given.text) else {
            return Err(parser.error(given.span(), format!("\"{}\" is no IPv4 netmask", given.text)));
        };
        (mask, word.start..given.span().end)
    } else {
        // A network in its short form is as wide as it is written.
        (leading(8 * parts), word.span())
    };
    let network = Network::V4 { address: address & mask, mask };
    if address & !mask != 0 {
        let meant = network.to_string();
        return Err(host_bits(parser, span, meant.trim_start_matches("net ")));
    }
    network_test(parser, span, qualifiers, network)
}

/// A mask of this many one bits.
fn leading(ones: u32) -> u32 {
    u32::MAX.checked_shl(32 - ones).unwrap_or(0)
}

/// `/LENGTH` behind an address, and the span of both.
fn prefix_length(
    parser: &mut Parser<'_>,
    address: Token<'_>,
    greatest: u32,
) -> Result<Option<(u8, Range<usize>)>, ScopeError> {
    if parser.take(Lexeme::Slash).is_none() {
        return Ok(None);
    }
    let Some(token) = parser.take(Lexeme::Word) else { return Err(parser.expected("a prefix length")) };
    let length = number(parser, token, "prefix length", greatest)?;
    Ok(Some((length as u8, address.start..token.span().end)))
}

fn host_bits(parser: &Parser<'_>, span: Range<usize>, meant: &str) -> ScopeError {
    let message = format!(
        "non-network bits set in \"{}\" (did you mean \"{meant}\"?)",
        parser.slice(&span).split_whitespace().collect::<Vec<_>>().join(" ")
    );
    parser.error(span, message)
}

fn network_test(
    parser: &Parser<'_>,
    span: Range<usize>,
    qualifiers: Qualifiers,
    network: Network,
) -> Result<Test, ScopeError> {
    let version = match network {
        Network::V4 { .. } => Version::V4,
        Network::V6(_) => Version::V6,
    };
    match qualifiers.version {
        Some(wanted) if wanted != version => {
            let message = format!("\"{}\" is no address of {}", parser.slice(&span), wanted.name());
            Err(parser.error(span, message))
        }
        // The address itself says the version.
        _ => Ok(Test::Network { direction: qualifiers.direction, network }),
    }
}

impl From<Ipv6Addr> for Network {
    fn from(address: Ipv6Addr) -> Network {
        Network::V6(address.into())
    }
}

fn ipv6(parser: &Parser<'_>, word: Token<'_>) -> Result<Ipv6Addr, ScopeError> {
    word.text.parse().map_err(|_| parser.error(word.span(), format!("\"{}\" is no IPv6 address", word.text)))
}

/// One to four decimal parts of an IPv4 address, as the address they begin, and how many there are. As in
/// tcpdump, leading zeros do not matter.
fn dotted(text: &str) -> Option<(u32, u32)> {
    let mut octets = [0; 4];
    let mut parts = 0;
    for part in text.split('.') {
        // `parse` alone would take a sign.
        if !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *octets.get_mut(parts)? = part.parse::<u8>().ok()?;
        parts += 1;
    }
    Some((Ipv4Addr::from(octets).into(), parts as u32))
}

fn no_address(parser: &Parser<'_>, word: Token<'_>) -> ScopeError {
    let text = word.text;
    let message = if is_numeric(text) {
        format!("\"{text}\" is no IPv4 or IPv6 address")
    } else {
        format!("\"{text}\" is a name, and a scope looks up no names: give the address")
    };
    parser.error(word.span(), message)
}

/// A port by number or by service name, with the protocol of a service that has only one.
fn port(parser: &Parser<'_>, word: Token<'_>, text: &str) -> Result<(u16, Option<u8>), ScopeError> {
    if let Some(known) = names::service(text) {
        return Ok(known);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        let hint = names::suggestion(text, Meant::Services);
        let message = format!("unknown service \"{text}\"{hint}; a port can always be given by its number");
        return Err(parser.error(word.span(), message));
    }
    match c_number(text, "port", u32::from(u16::MAX)) {
        Ok(port) => Ok((port as u16, None)),
        Err(_) if split_range(text).is_some() => {
            let message = format!("\"{text}\" is a range: write \"portrange {text}\"");
            Err(parser.error(word.span(), message))
        }
        Err(message) => Err(parser.error(word.span(), message)),
    }
}

/// The two ends of a range of ports. Names have dashes too, so the dash is the one with a port on both sides.
fn split_range(text: &str) -> Option<(&str, &str)> {
    let is_end = |end: &str| {
        names::service(end).is_some() || end.starts_with(|c: char| c.is_ascii_digit()) && !end.contains('-')
    };
    text.match_indices('-')
        .map(|(at, dash)| (&text[..at], &text[at + dash.len()..]))
        .find(|(first, last)| is_end(first) && is_end(last))
}

fn portrange(parser: &Parser<'_>, word: Token<'_>, qualifiers: Qualifiers) -> Result<Test, ScopeError> {
    // As in tcpdump, one port is a range of one.
    if names::service(word.text).is_some() || !word.text.contains('-') {
        let (only, service) = port(parser, word, word.text)?;
        return ports(parser, word, qualifiers, (only, only), service);
    }
    let Some((first, last)) = split_range(word.text) else {
        let message = format!("\"{}\" is no range of ports, such as \"1-1024\"", word.text);
        return Err(parser.error(word.span(), message));
    };
    let (first, first_service) = port(parser, word, first)?;
    let (last, last_service) = port(parser, word, last)?;
    let service = first_service.filter(|_| first_service == last_service);
    ports(parser, word, qualifiers, (first.min(last), first.max(last)), service)
}

fn ports(
    parser: &Parser<'_>,
    word: Token<'_>,
    qualifiers: Qualifiers,
    (first, last): (u16, u16),
    service: Option<u8>,
) -> Result<Test, ScopeError> {
    if let (Some(wanted), Some(known)) = (qualifiers.transport, service)
        && wanted != known
    {
        let name = names::abbreviation(None, known).unwrap_or("another protocol");
        return Err(parser.error(word.span(), format!("service \"{}\" runs over {name}", word.text)));
    }
    let transport = qualifiers.transport.or(service);
    Ok(Test::Ports { transport, direction: qualifiers.direction, first, last })
}

fn protocol(parser: &Parser<'_>, word: Token<'_>, qualifiers: Qualifiers) -> Result<Test, ScopeError> {
    // tcpdump wants the backslash before names that are keywords; here it may be left out.
    let name = word.text.strip_prefix('\\').unwrap_or(word.text);
    let number = if let Some(number) = names::protocol_number(name) {
        number
    } else if is_numeric(name) {
        number_of_protocol(parser, word, name)?
    } else {
        let kind = if matches!(names::keyword(name), Some(Keyword::Foreign(_))) {
            "IP protocol"
        } else {
            "protocol"
        };
        let hint = names::suggestion(name, Meant::Protocols);
        let message =
            format!("unknown {kind} \"{name}\"{hint}; a protocol can always be given by its number");
        return Err(parser.error(word.span(), message));
    };
    Ok(Test::Protocol { version: qualifiers.version, number })
}

fn number_of_protocol(parser: &Parser<'_>, word: Token<'_>, text: &str) -> Result<u8, ScopeError> {
    c_number(text, "protocol", u32::from(u8::MAX))
        .map(|number| number as u8)
        .map_err(|message| parser.error(word.span(), message))
}
