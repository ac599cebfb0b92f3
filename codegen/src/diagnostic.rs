//! A fault with its place: where it is, what was found, what was expected, and what to do about it.

use std::fmt;

/// A place in a text. Lines and columns count from 1; columns count characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// From counts that begin at 1. A count that is too large becomes the largest there is.
    pub fn new(line: usize, column: usize) -> Self {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: count(line), column: count(column) }
    }

    /// The place of the character that follows `before`, the whole text up to it.
    pub fn after(before: &str) -> Self {
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::new(before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// One fault in an input, a template or an output.
///
/// `Display` prints one line, `file:line:column: message (expected: ...; help: ...)`; the application draws the long
/// form with the source line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// The file as the user named it, `<stdin>`, `templates/onex/node.py.j2`, or a path inside the package.
    pub file: String,
    /// Absent where the fault is that of the whole file (empty, too large, not readable).
    pub place: Option<Place>,
    /// What was found, without a full stop: ``unknown node type `WIDGET` ``.
    pub message: String,
    /// What was expected there; empty where the message says it all.
    pub expected: String,
    /// What to do about it; never empty.
    pub help: String,
}

impl Diagnostic {
    pub fn new(file: impl Into<String>, place: Option<Place>, message: impl Into<String>) -> Self {
        Self { file: file.into(), place, message: message.into(), expected: String::new(), help: String::new() }
    }

    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        if !self.help.is_empty() {
            write!(f, "; help: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
