//! How deep Python code is nested, counted before it is parsed: a syntax tree is walked and dropped by recursion, and a
//! template can write `1 + 1 + 1 …` as long as it likes.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// The deepest nesting that is parsed; a thread's 2 MiB stack holds twice as much in a debug build.
pub(super) const NESTING_MAX: usize = 500;

/// What one pair of brackets, or the line around them, has nested so far.
#[derive(Default, Clone, Copy)]
struct Level {
    /// Operators, attributes and calls: each makes an expression of the one before it. A comma ends them.
    chain: usize,
    /// `lambda`s, whose parameters have commas of their own.
    lambdas: usize,
}

impl Level {
    fn depth(self) -> usize {
        self.chain + self.lambdas
    }
}

/// Whether the tree of `source` may be deeper than [`NESTING_MAX`]; never false where it is.
pub(super) fn is_too_deep(source: &str) -> bool {
    if source.len() <= NESTING_MAX {
        return false;
    }
    let mut lexer = lexer::lex(source, Mode::Module);
    let mut levels = vec![Level::default()];
    let mut depth = 0_usize;
    let mut blocks = 0_usize;
    loop {
        let Some(last) = levels.last_mut() else { return false };
        // Newlines inside brackets are tokens of another kind.
        match lexer.next_token() {
            TokenKind::EndOfFile => return false,
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Comma => depth -= std::mem::take(&mut last.chain),
            TokenKind::Newline | TokenKind::Semi => depth -= std::mem::take(last).depth(),
            TokenKind::Lambda => {
                last.lambdas += 1;
                depth += 1;
            }
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => {
                last.chain += 1;
                depth += 1;
                levels.push(Level::default());
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                depth -= std::mem::take(last).depth();
                // One that closes nothing is for the parser to tell.
                levels.truncate(levels.len().saturating_sub(1).max(1));
            }
            kind if nests(kind) => {
                last.chain += 1;
                depth += 1;
            }
            _ => {}
        }
        if depth + blocks > NESTING_MAX {
            return true;
        }
    }
}

fn nests(kind: TokenKind) -> bool {
    use TokenKind as T;
    let operator = matches!(
        kind,
        T::Plus
            | T::Minus
            | T::Star
            | T::Slash
            | T::Vbar
            | T::Amper
            | T::Percent
            | T::Tilde
            | T::CircumFlex
            | T::LeftShift
            | T::RightShift
            | T::DoubleStar
            | T::DoubleSlash
            | T::At
    );
    operator || matches!(kind, T::Dot | T::Not | T::Await | T::If | T::Else | T::For | T::ColonEqual | T::Yield)
}
