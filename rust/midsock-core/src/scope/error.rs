//! What is wrong with a filter, and where.

use std::fmt;
use std::ops::Range;

/// The characters of the filter that an error message shows at most, around the place it points at.
const EXCERPT: usize = 90;

/// Why a text is not a scope filter.
///
/// It is displayed as the message, then the filter with a line of carets under the words that are meant; of a
/// long filter, the part around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeError {
    /// Where the words that are meant start: a byte offset into the filter, at most its length.
    pub position: usize,
    /// What is wrong and, where there is one, the way to write it.
    pub message: String,
    /// How many bytes are meant; 0 at the end of the filter.
    pub length: usize,
    text: String,
}

impl ScopeError {
    /// An error about the bytes `span` of `text`, which are whole characters of it.
    pub(super) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> ScopeError {
        ScopeError {
            position: span.start,
            message: message.into(),
            length: span.len(),
            text: text.to_owned(),
        }
    }
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line break or a control sequence in the filter would tear the caret from its word.
        let shown: Vec<char> = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let characters = |bytes: usize| self.text.get(..bytes).map_or(0, |before| before.chars().count());
        let start = characters(self.position);
        let end = characters(self.position.saturating_add(self.length)).max(start);

        let from = if shown.len() <= EXCERPT { 0 } else { start.saturating_sub(EXCERPT / 2) };
        let to = shown.len().min(from.saturating_add(EXCERPT));
        let (cut_before, cut_after) = (from > 0, to < shown.len());
        let excerpt: String = shown[from..to].iter().collect();
        let indent = start - from + usize::from(cut_before);
        let carets = end.min(to).saturating_sub(start).max(1);

        writeln!(f, "{}", self.message)?;
        let mark = |cut| if cut { "…" } else { "" };
        writeln!(f, "  {}{}{}", mark(cut_before), excerpt, mark(cut_after))?;
        write!(f, "  {}{}", " ".repeat(indent), "^".repeat(carets))
    }
}

impl std::error::Error for ScopeError {}
