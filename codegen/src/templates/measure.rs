//! What a source of the template language amounts to, token by token, before it is compiled: what it will hold in memory,
//! and whether compiling it is safe.
//!
//! minijinja's compiler limits how deep brackets and blocks nest, but not to what an Arbiter's stack holds in a debug
//! build; and it does not limit chains (`a ~ a ~ a …`, `x.b.b.b`, `not not …`, `… else … if … else …`, `elif` after
//! `elif`), over which it recurses just the same. An overflow of the stack ends the whole process. minijinja's own lexer
//! reads the source, so that no string, comment or raw block hides a chain from us.

#[cfg(test)]
mod tests;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::diagnostic::Place;

/// Names and operators in one tag. These three limits together are what a thread's 2 MiB stack holds in a debug build.
pub const TAG_WORDS_MAX: usize = 300;

/// `elif`s in one template: each is one level deeper.
pub const ELIFS_MAX: usize = 100;

/// Brackets open at once in a tag, and blocks open at once in a template.
pub const NESTING_MAX: usize = 40;

/// Statements that hold others until their `end…`; `set` does where it has no `=`.
const OPENERS: [&str; 8] = ["if", "for", "with", "filter", "call", "macro", "block", "autoescape"];

/// Bytes of a text that the compiler may make of `*` between constants: minijinja's own limit.
const FOLDED_MAX: usize = 1_024;

/// A chain that is too long to be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Where it passes its limit.
    pub(crate) place: Place,
    pub(crate) message: &'static str,
    pub(crate) expected: String,
    pub(crate) help: &'static str,
}

/// What is in the tags of a source.
#[derive(Debug, Default)]
pub(super) struct Measure {
    pub(super) tags: usize,
    /// Names, literals and operators.
    pub(super) words: usize,
    /// Commas: each parts two values.
    pub(super) commas: usize,
    pub(super) mappings: usize,
    /// Each has instructions of its own.
    pub(super) blocks: usize,
    /// Bytes of its strings, and of those that the compiler may make of constants.
    pub(super) strings: usize,
}

/// The first chain of a template, or of an expression alone, that is too long.
pub(crate) fn too_long(source: &str, is_expression: bool, syntax: SyntaxConfig) -> Option<Chain> {
    let mut depth = Depth::default();
    // Behind a fault of the lexer the compiler reads no further either.
    for (token, span) in tokenize(source, is_expression, syntax).map_while(Result::ok) {
        depth.take(&token);
        let (message, expected, help) = if depth.words > TAG_WORDS_MAX {
            let expected = format!("at most {TAG_WORDS_MAX} names and operators between the braces");
            let message = if is_expression { "the expression is too long" } else { "the tag is too long" };
            (message, expected, "compute a part of it with `{% set %}` first, or put it into the plan")
        } else if depth.elifs > ELIFS_MAX {
            let expected = format!("at most {ELIFS_MAX} in a template");
            ("too many `elif`s", expected, "look the value up in a mapping, or split the template")
        } else if depth.brackets > NESTING_MAX || depth.blocks > NESTING_MAX {
            let expected = format!("at most {NESTING_MAX} brackets or blocks inside each other");
            ("too many levels", expected, "compute the inner part first, or move it into a macro")
        } else {
            continue;
        };
        let before = source.get(..span.start_offset as usize).unwrap_or(source);
        return Some(Chain { place: Place::after(before), message, expected, help });
    }
    None
}

/// How deep the compiler would recurse.
#[derive(Debug, Default)]
struct Depth {
    /// Names and operators of the tag so far.
    words: usize,
    brackets: usize,
    blocks: usize,
    elifs: usize,
    /// The token before began a block tag.
    begins: bool,
    /// This is a `set` without `=` so far.
    sets: bool,
}

impl Depth {
    fn take(&mut self, token: &Token<'_>) {
        match token {
            Token::VariableStart | Token::BlockStart => (self.words, self.brackets, self.sets) = (0, 0, false),
            _ => self.words += usize::from(links(token)),
        }
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => self.brackets += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                self.brackets = self.brackets.saturating_sub(1);
            }
            Token::Ident("elif") if self.begins => self.elifs += 1,
            Token::Ident("set") if self.begins => self.sets = true,
            Token::Ident(word) if self.begins && OPENERS.contains(word) => self.blocks += 1,
            Token::Ident(word) if self.begins && word.starts_with("end") => {
                self.blocks = self.blocks.saturating_sub(1);
            }
            Token::Assign => self.sets = false,
            Token::BlockEnd if self.sets => self.blocks += 1,
            _ => {}
        }
        self.begins = matches!(token, Token::BlockStart);
    }
}

/// Whether a token can make its expression deeper. A literal, a comma or a closing bracket alone cannot.
fn links(token: &Token<'_>) -> bool {
    !matches!(
        token,
        Token::TemplateData(_)
            | Token::VariableEnd
            | Token::BlockEnd
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
            | Token::Comma
            | Token::Colon
            | Token::BracketClose
            | Token::ParenClose
            | Token::BraceClose
    )
}

impl Measure {
    pub(super) fn of(source: &str, syntax: SyntaxConfig) -> Self {
        let mut measure = Self::default();
        // The token before is no name, so that it may be the end of a constant; and the one before this was a `*`
        // behind such a one.
        let (mut constant, mut factor, mut opens) = (false, false, false);
        for (token, _) in tokenize(source, false, syntax).map_while(Result::ok) {
            let is_name = matches!(token, Token::Ident(_));
            match &token {
                Token::VariableStart | Token::BlockStart => measure.tags += 1,
                Token::Comma => measure.commas += 1,
                Token::BraceOpen => measure.mappings += 1,
                Token::Ident("block") if opens => measure.blocks += 1,
                Token::Str(text) => measure.strings += text.len(),
                Token::String(text) => measure.strings += text.len(),
                _ => {}
            }
            let is_literal =
                matches!(token, Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_));
            let is_dot = matches!(token, Token::Dot | Token::VariableStart | Token::BlockStart);
            measure.words += usize::from(is_literal || links(&token) && !is_dot);
            measure.strings += if factor && !is_name { FOLDED_MAX } else { 0 };
            factor = constant && matches!(token, Token::Mul);
            constant = !is_name;
            opens = matches!(token, Token::BlockStart);
        }
        measure
    }
}
