//! From tokens to a compiled filter: recursive descent over pcap-filter's grammar, with its nesting bounded.

use std::ops::Range;

use super::Node;
use super::error::ScopeError;
use super::lex::{Kind as Lexeme, Token, tokens};
use super::names::{self, Keyword, Kind, Meant, Protocol, SCTP, TCP, UDP};
use super::test::{Direction, Test, Version};
use super::value;

/// The most bytes a filter has; room for any filter of [`MAX_NODES`] written in full.
const MAX_LENGTH: usize = 1 << 20;
/// The most terms and operators a filter has.
const MAX_NODES: usize = 8192;
/// How deep parentheses and `not` nest. The parser calls itself for each level, so this bounds its stack.
const MAX_NESTING: usize = 64;
/// The VLAN tags of a flow that a filter can look at.
const MAX_TAGS: usize = 2;
/// The greatest VLAN identifier: 12 bits (IEEE 802.1Q).
const MAX_VLAN: u32 = 4095;

/// Compiles a filter to its nodes.
pub(super) fn compile(text: &str) -> Result<Vec<Node>, ScopeError> {
    if text.len() > MAX_LENGTH {
        return Err(ScopeError::new(text, 0..0, format!("a filter has at most {MAX_LENGTH} bytes")));
    }
    let mut parser = Parser { text, tokens: tokens(text), next: 0, nodes: Vec::new(), nesting: 0 };
    if parser.tokens.is_empty() {
        return Ok(parser.nodes);
    }
    parser.expression(Context { qualifiers: None, tags: 0 })?;
    match parser.peek() {
        // An expression stops only at a parenthesis that closes nothing, or at the end.
        Some(token) => Err(parser.error(token.span(), "this parenthesis closes nothing")),
        None => Ok(parser.nodes),
    }
}

/// The keywords that say what a value means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qualifiers {
    pub(super) kind: Kind,
    pub(super) direction: Direction,
    pub(super) version: Option<Version>,
    pub(super) transport: Option<u8>,
}

/// What the filter so far means for what follows.
#[derive(Clone, Copy)]
struct Context {
    /// The keywords that a value without any takes over.
    qualifiers: Option<Qualifiers>,
    /// How many VLAN tags the filter has required so far: the next `vlan` looks past them.
    tags: usize,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    nodes: Vec<Node>,
    nesting: usize,
}

/// The tokens and what is said about them.
impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn peek_kind(&self) -> Option<Lexeme> {
        self.peek().map(|token| token.kind)
    }

    fn peek_keyword(&self) -> Option<Keyword> {
        self.peek().and_then(|token| names::keyword(token.text))
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn take(&mut self, kind: Lexeme) -> Option<Token<'a>> {
        let token = self.peek().filter(|token| token.kind == kind)?;
        self.next += 1;
        Some(token)
    }

    /// Takes the next token if it is this word.
    pub(super) fn take_word(&mut self, word: &str) -> Option<Token<'a>> {
        let token = self.peek().filter(|token| token.text == word)?;
        self.next += 1;
        Some(token)
    }

    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> ScopeError {
        ScopeError::new(self.text, span, message)
    }

    /// The text from one token's start to another's end.
    pub(super) fn slice(&self, span: &Range<usize>) -> &'a str {
        &self.text[span.clone()]
    }

    /// That something else should stand where the next token does.
    pub(super) fn expected(&self, what: &str) -> ScopeError {
        match self.peek() {
            Some(token) if token.kind == Lexeme::Arithmetic => self.arithmetic(token.span()),
            Some(token) => {
                self.error(token.span(), format!("expected {what}, not \"{}\"", token.text.escape_debug()))
            }
            None => self
                .error(self.text.len()..self.text.len(), format!("the filter ends where {what} is expected")),
        }
    }

    fn arithmetic(&self, span: Range<usize>) -> ScopeError {
        let message = format!("\"{}\" {}", self.slice(&span), names::PACKETS);
        self.error(span, message)
    }

    /// A word that is no keyword; where a value without keywords may stand, it may have been meant for one.
    fn unknown(&self, token: Token<'_>, qualifiers: Option<Qualifiers>) -> ScopeError {
        let mut hint = names::suggestion(token.text, Meant::Keywords);
        if hint.is_empty()
            && qualifiers.is_some_and(|known| matches!(known.kind, Kind::Port | Kind::PortRange))
        {
            hint = names::suggestion(token.text, Meant::Services);
        }
        self.error(token.span(), format!("unknown word \"{}\" in the filter{hint}", token.text))
    }

    fn push(&mut self, node: Node) -> Result<(), ScopeError> {
        if self.nodes.len() == MAX_NODES {
            let last = self.tokens[self.next.saturating_sub(1)].span();
            return Err(self.error(last, format!("a filter has at most {MAX_NODES} terms and operators")));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Parses what stands inside a parenthesis or behind a `not`, one level deeper.
    fn nested<T>(
        &mut self,
        opener: Token<'_>,
        parse: impl FnOnce(&mut Self) -> Result<T, ScopeError>,
    ) -> Result<T, ScopeError> {
        if self.nesting == MAX_NESTING {
            let message = format!("parentheses and \"not\" nest more than {MAX_NESTING} levels deep");
            return Err(self.error(opener.span(), message));
        }
        self.nesting += 1;
        let inner = parse(self)?;
        self.nesting -= 1;
        Ok(inner)
    }

    fn close(&mut self, opener: Token<'_>) -> Result<(), ScopeError> {
        match self.take(Lexeme::Close) {
            Some(_) => Ok(()),
            None if self.peek().is_none() => {
                Err(self.error(opener.span(), "this parenthesis is never closed"))
            }
            None => Err(self.expected("\")\"")),
        }
    }
}

/// The grammar.
impl Parser<'_> {
    /// Operands joined by `and` and `or`, to the end or to a closing parenthesis.
    fn expression(&mut self, context: Context) -> Result<Context, ScopeError> {
        let start = context.tags;
        let mut left = self.operand(context)?;
        loop {
            let joined_by_and = match self.peek_kind() {
                None | Some(Lexeme::Close) => return Ok(left),
                Some(Lexeme::And) => true,
                Some(Lexeme::Or) => false,
                Some(_) => return Err(self.juxtaposed()),
            };
            self.next += 1;
            let tags = if joined_by_and { left.tags } else { start };
            let right = self.joined(joined_by_and, |parser| parser.operand(Context { tags, ..left }))?;
            // Of two alternatives, both have required only what the lesser has.
            let tags = if joined_by_and { right.tags } else { left.tags.min(right.tags) };
            left = Context { tags, ..right };
        }
    }

    /// Compiles an operator and the operand to its right.
    fn joined<T>(
        &mut self,
        by_and: bool,
        operand: impl FnOnce(&mut Self) -> Result<T, ScopeError>,
    ) -> Result<T, ScopeError> {
        let operator = self.nodes.len();
        // Where it leads is known once the operand is there.
        self.push(Node::And { end: 0 })?;
        let parsed = operand(self)?;
        let end = self.nodes.len();
        self.nodes[operator] = if by_and { Node::And { end } } else { Node::Or { end } };
        Ok(parsed)
    }

    fn operand(&mut self, context: Context) -> Result<Context, ScopeError> {
        if let Some(not) = self.take(Lexeme::Not) {
            let start = self.nodes.len();
            let inner = self.nested(not, |parser| parser.operand(context))?;
            self.push(Node::Not { start })?;
            // What is not there has not been required.
            return Ok(Context { tags: context.tags, ..inner });
        }
        if let Some(open) = self.take(Lexeme::Open) {
            let inner = self.nested(open, |parser| parser.expression(context))?;
            self.close(open)?;
            // As in libpcap, what follows takes over the keywords from before the parenthesis.
            return Ok(Context { qualifiers: context.qualifiers, ..inner });
        }
        self.primitive(context)
    }

    fn primitive(&mut self, context: Context) -> Result<Context, ScopeError> {
        let Some(word) = self.peek().filter(|token| token.kind == Lexeme::Word) else {
            return Err(self.expected("a condition such as \"port 80\""));
        };
        let no_value = Context { qualifiers: None, ..context };
        match names::keyword(word.text) {
            Some(Keyword::Protocol(protocol)) => {
                self.next += 1;
                self.after_protocol(word, protocol, no_value)
            }
            Some(Keyword::Direction(_) | Keyword::Kind(_)) => self.values(word, None, context),
            Some(Keyword::Vlan) => {
                self.next += 1;
                self.vlan(word, no_value)
            }
            Some(Keyword::Foreign(reason)) => {
                Err(self.error(word.span(), format!("\"{}\" {reason}", word.text)))
            }
            Some(Keyword::Mask) => Err(self.error(
                word.span(),
                "\"mask\" belongs behind a network's address: net 10.0.0.0 mask 255.0.0.0",
            )),
            None => match context.qualifiers {
                Some(qualifiers) if value::is_value(word.text, qualifiers.kind) => {
                    self.value(qualifiers)?;
                    Ok(context)
                }
                _ if value::is_numeric(word.text) => Err(self.value_alone(word)),
                qualifiers => Err(self.unknown(word, qualifiers)),
            },
        }
    }

    /// What a protocol's keyword starts: values of that protocol, or the protocol itself.
    fn after_protocol(
        &mut self,
        word: Token<'_>,
        protocol: Protocol,
        context: Context,
    ) -> Result<Context, ScopeError> {
        match self.peek_keyword() {
            Some(Keyword::Direction(_) | Keyword::Kind(_)) => {
                return self.values(word, Some(protocol), context);
            }
            Some(Keyword::Foreign(reason)) => {
                let foreign = self.peek().map_or(word, |token| token);
                return Err(self.error(foreign.span(), format!("\"{}\" {reason}", foreign.text)));
            }
            _ => {}
        }
        if self.peek().is_some_and(|token| token.text == "[") {
            let rest = &self.tokens[self.next..];
            let last =
                rest.iter().find(|token| token.text == "]").or(rest.first()).map_or(word, |token| *token);
            return Err(self.arithmetic(word.start..last.span().end));
        }
        self.push(Node::Test(match protocol {
            Protocol::Version(version) => Test::Version(version),
            Protocol::Number { version, number } => Test::Protocol { version, number },
        }))?;
        Ok(context)
    }

    /// Keywords from the direction on, then the values they say the meaning of.
    fn values(
        &mut self,
        first: Token<'_>,
        protocol: Option<Protocol>,
        context: Context,
    ) -> Result<Context, ScopeError> {
        let direction = self.direction();
        let behind_keywords = self.peek();
        let kind = match self.peek_keyword() {
            Some(Keyword::Kind(kind)) => {
                self.next += 1;
                Some(kind)
            }
            Some(Keyword::Protocol(_)) if direction.is_some() && protocol.is_none() => {
                return Err(self.expected("a protocol to stand before \"src\" and \"dst\""));
            }
            _ => None,
        };
        // The keyword that the value follows; there is one, or this would not have been called.
        let last = self.tokens[self.next - 1];
        let span = first.start..last.span().end;
        let kind_word = behind_keywords.filter(|_| kind.is_some()).unwrap_or(last);

        let (mut version, mut transport) = (None, None);
        let fits = match (protocol, kind.unwrap_or(Kind::Host)) {
            (None, _) => true,
            (Some(Protocol::Version(known)), Kind::Host | Kind::Net | Kind::Proto) => {
                version = Some(known);
                true
            }
            (Some(Protocol::Number { number, .. }), Kind::Port | Kind::PortRange) => {
                transport = Some(number);
                [TCP, UDP, SCTP].contains(&number)
            }
            _ => false,
        };
        if !fits {
            let hint = self.misfit_hint(first, span.clone(), kind);
            let message = format!("\"{}\" does not go with \"{}\"{hint}", kind_word.text, first.text);
            return Err(self.error(kind_word.span(), message));
        }
        if kind == Some(Kind::Proto) && direction.is_some() {
            return Err(
                self.error(kind_word.span(), "\"proto\" has no direction: leave out \"src\" or \"dst\"")
            );
        }

        let qualifiers = Qualifiers {
            kind: kind.unwrap_or(Kind::Host),
            direction: direction.unwrap_or(Direction::Either),
            version,
            transport,
        };
        self.value_operand(qualifiers)?;
        Ok(Context { qualifiers: Some(qualifiers), ..context })
    }

    /// How to write what was meant by keywords that do not go together.
    fn misfit_hint(&self, protocol: Token<'_>, span: Range<usize>, kind: Option<Kind>) -> String {
        let rest = self.slice(&(protocol.span().end..span.end)).trim();
        match kind {
            // `tcp src 80`
            None => format!(": write \"{} {rest} port\"", protocol.text),
            Some(Kind::Proto) => String::new(),
            Some(_) => format!(": write \"{} and {rest} …\"", protocol.text),
        }
    }

    /// `src`, `dst`, `src or dst`, `src and dst`.
    fn direction(&mut self) -> Option<Direction> {
        let is_direction = |token: Option<&Token<'_>>| match names::keyword(token?.text)? {
            Keyword::Direction(direction) => Some(direction),
            _ => None,
        };
        let first = is_direction(self.tokens.get(self.next))?;
        self.next += 1;
        let second = is_direction(self.tokens.get(self.next + 1)).filter(|&second| second != first);
        let both = match self.peek_kind() {
            Some(Lexeme::Or) => Direction::Either,
            Some(Lexeme::And) => Direction::Both,
            _ => return Some(first),
        };
        if second.is_none() {
            return Some(first);
        }
        self.next += 2;
        Some(both)
    }

    /// A value, or values in parentheses, all with the same keywords.
    fn value_operand(&mut self, qualifiers: Qualifiers) -> Result<(), ScopeError> {
        if let Some(not) = self.take(Lexeme::Not) {
            let start = self.nodes.len();
            self.nested(not, |parser| parser.value_operand(qualifiers))?;
            return self.push(Node::Not { start });
        }
        if let Some(open) = self.take(Lexeme::Open) {
            self.nested(open, |parser| parser.value_list(qualifiers))?;
            return self.close(open);
        }
        self.value(qualifiers)
    }

    fn value_list(&mut self, qualifiers: Qualifiers) -> Result<(), ScopeError> {
        self.value_operand(qualifiers)?;
        while let Some(operator) = self.take(Lexeme::And).or_else(|| self.take(Lexeme::Or)) {
            self.joined(operator.kind == Lexeme::And, |parser| parser.value_operand(qualifiers))?;
        }
        Ok(())
    }

    fn value(&mut self, qualifiers: Qualifiers) -> Result<(), ScopeError> {
        let test = value::parse(self, qualifiers)?;
        self.push(Node::Test(test))
    }

    /// `vlan`, with an identifier or without, also in parentheses.
    fn vlan(&mut self, word: Token<'_>, context: Context) -> Result<Context, ScopeError> {
        let tag = context.tags;
        if tag == MAX_TAGS {
            let message = format!("this \"vlan\" looks past {MAX_TAGS} tags, and a flow has no more");
            return Err(self.error(word.span(), message));
        }
        let open = self.take(Lexeme::Open);
        let id = match self.peek().filter(|token| value::is_numeric(token.text)) {
            Some(number) => {
                self.next += 1;
                Some(self.vlan_id(number)?)
            }
            None => None,
        };
        if let Some(open) = open {
            if id.is_none() {
                return Err(self.expected("a VLAN identifier"));
            }
            self.close(open)?;
        }
        self.push(Node::Test(Test::Vlan { tag, id }))?;
        Ok(Context { tags: tag + 1, ..context })
    }

    fn vlan_id(&self, token: Token<'_>) -> Result<u16, ScopeError> {
        match value::number(self, token, "VLAN identifier", MAX_VLAN)? {
            0 => Err(self.error(
                token.span(),
                "identifier 0 means no VLAN: write \"not vlan\" for flows without a tag",
            )),
            id => Ok(id as u16),
        }
    }

    /// Two conditions with nothing between them.
    fn juxtaposed(&self) -> ScopeError {
        let Some(token) = self.peek() else { return self.expected("\"and\" or \"or\"") };
        let before = self.tokens[self.next.saturating_sub(1)];
        match token.kind {
            Lexeme::Slash => {
                self.error(token.span(), "a prefix length belongs behind the address of a \"net\"")
            }
            Lexeme::Unknown if token.text == "," => {
                self.error(token.span(), "a filter has no lists: join the values with \"or\"")
            }
            Lexeme::Word if matches!(before.text, "tcp" | "udp" | "sctp") && value::is_port(token.text) => {
                let meant = format!("{} port {}", before.text, token.text);
                self.error(
                    token.span(),
                    format!("\"{}\" stands alone (did you mean \"{meant}\"?)", token.text),
                )
            }
            Lexeme::Word if names::keyword(token.text).is_none() && !value::is_numeric(token.text) => {
                self.unknown(token, None)
            }
            _ => self.expected("\"and\" or \"or\""),
        }
    }

    /// A value that has no keyword of its own, and none before it to take over.
    fn value_alone(&self, token: Token<'_>) -> ScopeError {
        let meant = if value::is_port(token.text) { "port" } else { "host" };
        self.error(token.span(), format!("\"{0}\" stands alone (did you mean \"{meant} {0}\"?)", token.text))
    }
}
