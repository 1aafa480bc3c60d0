//! From a filter's text to its tokens.

use std::ops::Range;

use winnow::LocatingSlice;
use winnow::Result;
use winnow::combinator::{alt, preceded};
use winnow::prelude::*;
use winnow::token::{any, one_of, take_while};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a name, a number, an address or a range of ports: what stands between blanks and symbols.
    Word,
    And,
    Or,
    Not,
    Open,
    Close,
    Slash,
    /// A symbol of pcap-filter's expressions over the bytes of a packet.
    Arithmetic,
    /// A character that no filter has.
    Unknown,
}

/// A token and where it stands in the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl Token<'_> {
    /// The bytes of the filter that it covers.
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Splits a filter into tokens. Every text has some: what is not in the syntax becomes [`Kind::Unknown`], for
/// the parser to point at in its context.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    // A token is refused only where no character is left.
    while let Ok(token) = token.parse_next(&mut input) {
        tokens.push(token);
    }
    tokens
}

fn token<'a>(input: &mut LocatingSlice<&'a str>) -> Result<Token<'a>> {
    preceded(take_while(0.., [' ', '\t', '\r', '\n']), kind.with_taken().with_span())
        .map(|((kind, text), span)| Token { kind, text, start: span.start })
        .parse_next(input)
}

fn kind(input: &mut LocatingSlice<&str>) -> Result<Kind> {
    let word = take_while(1.., is_word).map(|word| match word {
        "and" => Kind::And,
        "or" => Kind::Or,
        "not" => Kind::Not,
        _ => Kind::Word,
    });
    let symbol = alt((
        "&&".value(Kind::And),
        "||".value(Kind::Or),
        "!=".value(Kind::Arithmetic),
        "!".value(Kind::Not),
        "(".value(Kind::Open),
        ")".value(Kind::Close),
        "/".value(Kind::Slash),
        one_of(['[', ']', '<', '>', '=', '+', '*', '%', '^', '&', '|']).value(Kind::Arithmetic),
    ));
    alt((word, symbol, any.value(Kind::Unknown))).parse_next(input)
}

/// `:` is of IPv6 addresses, `-` of ranges and service names, `\` escapes a protocol name that is a keyword
/// too.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '\\')
}
