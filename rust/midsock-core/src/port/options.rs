//! What follows the `?` in a live port's name: `key=value`, joined by `&`.

use std::io::ErrorKind;
use std::ops::RangeInclusive;

use super::PortError;

/// The options of a port's name. Each is asked for once; [`Options::finish`] then refuses what nobody asked for.
#[derive(Debug)]
pub(super) struct Options<'n> {
    name: &'n str,
    given: Vec<(&'n str, &'n str)>,
    known: Vec<&'static str>,
}

impl<'n> Options<'n> {
    /// Takes a port's name apart: what stands before its options, and the options.
    ///
    /// # Errors
    ///
    /// An option without a key or a value, or given twice.
    pub(super) fn split(name: &'n str) -> Result<(&'n str, Options<'n>), PortError> {
        let (base, text) = name.split_once('?').unwrap_or((name, ""));
        let mut options = Options { name, given: Vec::new(), known: Vec::new() };
        for option in text.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                    if options.given.iter().any(|given| given.0 == key) {
                        return Err(options.error(format!("the option {key} is given twice")));
                    }
                    options.given.push((key, value));
                }
                _ => {
                    return Err(options.error(format!(
                        "`{option}` is no option; write key=value, and & between several of them"
                    )));
                }
            }
        }
        Ok((base, options))
    }

    /// The value of the option `key`, as it was written.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'n str> {
        self.known.push(key);
        let at = self.given.iter().position(|given| given.0 == key)?;
        Some(self.given.swap_remove(at).1)
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// The value is no number, or not within `range`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, PortError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.error(format!(
                "{key}={text}: give a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// A number of bytes, with a suffix of 1024 (`K`), its square (`M`) or cube (`G`) if wanted.
    ///
    /// # Errors
    ///
    /// The value is no such number, or not within `range`.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, PortError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match parse_size(text) {
            Some(size) if range.contains(&size) => Ok(Some(size)),
            _ => Err(self.error(format!(
                "{key}={text}: give a number of bytes such as 64M, from {} to {}",
                show_size(*range.start()),
                show_size(*range.end())
            ))),
        }
    }

    /// A switch: `1` or `0`.
    ///
    /// # Errors
    ///
    /// The value is neither.
    pub(super) fn switch(&mut self, key: &'static str) -> Result<Option<bool>, PortError> {
        match self.text(key) {
            None => Ok(None),
            Some("1") => Ok(Some(true)),
            Some("0") => Ok(Some(false)),
            Some(text) => Err(self.error(format!("{key}={text}: give 1 or 0"))),
        }
    }

    /// One of several words; returns its place among them.
    ///
    /// # Errors
    ///
    /// The value is none of them.
    pub(super) fn choice(&mut self, key: &'static str, words: &[&str]) -> Result<Option<usize>, PortError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match words.iter().position(|word| *word == text) {
            Some(place) => Ok(Some(place)),
            None => Err(self.error(format!("{key}={text}: give one of {}", words.join(", ")))),
        }
    }

    /// Refuses options that nobody has asked for.
    ///
    /// # Errors
    ///
    /// There is one; the message lists those that this port knows.
    pub(super) fn finish(self) -> Result<(), PortError> {
        let Some((key, _)) = self.given.first() else { return Ok(()) };
        let known = match &*self.known {
            [] => "it takes none".to_owned(),
            known => format!("its options are {}", known.join(", ")),
        };
        Err(self.error(format!("this port has no option {key}; {known}")))
    }

    /// An error that the options are the reason of.
    pub(super) fn error(&self, reason: String) -> PortError {
        PortError::Live { name: self.name.to_owned(), kind: ErrorKind::InvalidInput, reason }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn show_size(size: u64) -> String {
    match size {
        0 => "0".to_owned(),
        size if size.is_multiple_of(1 << 30) => format!("{}G", size >> 30),
        size if size.is_multiple_of(1 << 20) => format!("{}M", size >> 20),
        size if size.is_multiple_of(1 << 10) => format!("{}K", size >> 10),
        size => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: std::fmt::Debug>(result: Result<T, PortError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn options_are_taken_by_their_kind() {
        let (base, mut options) =
            Options::split("af_packet:eth0?ring=64M&fanout=7&promisc=0&mode=copy").unwrap();
        assert_eq!(base, "af_packet:eth0");
        assert_eq!(options.size("ring", 0..=1 << 30).unwrap(), Some(64 << 20));
        assert_eq!(options.number("fanout", 0..=65535).unwrap(), Some(7));
        assert_eq!(options.switch("promisc").unwrap(), Some(false));
        assert_eq!(options.choice("mode", &["zero", "copy"]).unwrap(), Some(1));
        assert_eq!(options.number("queue", 0..=1).unwrap(), None);
        options.finish().unwrap();
        for name in ["x", "x?", "x?&"] {
            let (base, options) = Options::split(name).unwrap();
            assert_eq!(base, "x");
            options.finish().unwrap();
        }
    }

    #[test]
    fn what_cannot_be_an_option_is_refused() {
        for (name, message) in [
            ("x?a", "x?a: `a` is no option; write key=value, and & between several of them"),
            ("x?a=", "x?a=: `a=` is no option; write key=value, and & between several of them"),
            ("x?=1", "x?=1: `=1` is no option; write key=value, and & between several of them"),
            ("x?a=1&a=2", "x?a=1&a=2: the option a is given twice"),
        ] {
            assert_eq!(error(Options::split(name)), message);
        }
    }

    #[test]
    fn an_unknown_option_is_told_with_those_that_are_known() {
        let (_, mut options) = Options::split("x?rings=1").unwrap();
        options.text("ring");
        options.text("fanout");
        assert_eq!(
            error(options.finish()),
            "x?rings=1: this port has no option rings; its options are ring, fanout"
        );
        let (_, options) = Options::split("x?a=1").unwrap();
        assert_eq!(error(options.finish()), "x?a=1: this port has no option a; it takes none");
    }

    #[test]
    fn values_out_of_their_range_are_told() {
        for value in ["", "-1", "x", "9", "99999999999999999999", "1K", "é"] {
            let name = format!("x?a={value}");
            if let Ok((_, mut options)) = Options::split(&name) {
                assert!(error(options.number("a", 1..=8)).ends_with("give a whole number from 1 to 8"));
            }
        }
        for value in ["x", "1023", "3M", "18446744073709551615K", "K", "1KK", "é"] {
            let name = format!("x?a={value}");
            let (_, mut options) = Options::split(&name).unwrap();
            assert!(
                error(options.size("a", 1 << 10..=2 << 20))
                    .ends_with("give a number of bytes such as 64M, from 1K to 2M")
            );
        }
        let (_, mut options) = Options::split("x?a=yes").unwrap();
        assert_eq!(error(options.switch("a")), "x?a=yes: a=yes: give 1 or 0");
        let (_, mut options) = Options::split("x?a=yes").unwrap();
        assert_eq!(error(options.choice("a", &["b", "c"])), "x?a=yes: a=yes: give one of b, c");
    }
}
