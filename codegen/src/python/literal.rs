//! Python literals: text that Python reads back as exactly the value it was made of.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// The widest line of a docstring, in characters, as Black and Ruff have it.
const COLUMNS_MAX: usize = 88;

/// How deep lists and dicts may be nested in a literal; Python's own parser gives up at about 200.
const DEPTH_MAX: usize = 100;

/// The longest literal, in bytes: a list that holds the same list many times over is written out each time.
const LITERAL_BYTES_MAX: usize = 1024 * 1024;

/// A string literal: in double quotes, or in single quotes where that needs fewer backslashes. Control characters and
/// those that change how a line is shown (bidirectional marks, line separators, zero-width space) are escaped.
pub fn string_literal(text: &str) -> String {
    let quote = if text.matches('"').count() > text.matches('\'').count() { '\'' } else { '"' };
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push(quote);
    for char in text.chars() {
        match char {
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            char if char == quote => literal.extend(['\\', quote]),
            char => push_visible(&mut literal, char),
        }
    }
    literal.push(quote);
    literal
}

/// The inner text of a docstring: what stands between its `"""`, whose first column is `indent`.
///
/// Lines are wrapped to 88 columns, blank lines and the indentation of lines kept, no line ends in a space. A text of
/// several lines ends in a line break and the indentation, so that the closing `"""` stands alone.
pub fn docstring(text: &str, indent: usize) -> String {
    let escaped = escape_docstring(text);
    let text = escaped.trim();
    let margin = " ".repeat(indent);
    // The first line stands behind the opening quotes, and one alone before the closing ones too.
    let mut quotes = if text.contains('\n') { 3 } else { 6 };
    let mut lines = Vec::new();
    for line in text.lines() {
        wrap(line, COLUMNS_MAX.saturating_sub(indent), quotes, &mut lines);
        quotes = 0;
    }
    if let [line] = lines.as_slice() {
        return with_safe_end(with_safe_start(line));
    }
    let mut inner = String::with_capacity(text.len() + lines.len() * indent);
    for line in &lines {
        match line.as_str() {
            line if inner.is_empty() => inner = with_safe_start(line),
            "" => inner.push('\n'),
            line => inner.extend(["\n", &margin, line]),
        }
    }
    inner.extend(["\n", &margin]);
    inner
}

/// A quote at either end would run into the three of the docstring.
fn with_safe_start(text: &str) -> String {
    if text.starts_with('"') { format!("\\{text}") } else { text.to_owned() }
}

fn with_safe_end(mut text: String) -> String {
    let escaped = |body: &str| (body.len() - body.trim_end_matches('\\').len()) % 2 == 1;
    if text.strip_suffix('"').is_some_and(|body| !escaped(body)) {
        text.insert(text.len() - 1, '\\');
    }
    text
}

/// The text of a comment, without its `#`: one line.
pub fn comment(text: &str) -> String {
    let mut comment = String::with_capacity(text.len());
    for word in text.split(|char: char| char.is_whitespace() || char.is_control()).filter(|word| !word.is_empty()) {
        if !comment.is_empty() {
            comment.push(' ');
        }
        word.chars().for_each(|char| push_visible(&mut comment, char));
    }
    comment
}

/// The literal of a value: `None`, `True`, numbers, strings, lists and dicts. Keys of a dict stay in their order.
///
/// Fails on what has no literal: an undefined value, a function, nesting deeper than 100, more than 1 MiB.
pub fn literal(value: &Value) -> Result<String, Error> {
    let mut literal = String::new();
    write_literal(&mut literal, value, 0)?;
    Ok(literal)
}

/// The literal of a float: always read back as a float, `float("inf")` where there is no other.
pub fn float_literal(number: f64) -> String {
    match number {
        number if number.is_nan() => "float(\"nan\")".to_owned(),
        f64::INFINITY => "float(\"inf\")".to_owned(),
        f64::NEG_INFINITY => "float(\"-inf\")".to_owned(),
        // Rust's debug form is the shortest that reads back as the same number: `1.0`, `1e-7`, `1e16`.
        number => format!("{number:?}"),
    }
}

fn write_literal(literal: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX || literal.len() > LITERAL_BYTES_MAX {
        let message = "the value is too large, or nested too deep, for a Python literal";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    match value.kind() {
        ValueKind::None => literal.push_str("None"),
        ValueKind::Bool => literal.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => write_or_never(literal, value),
        ValueKind::Number => literal.push_str(&float_literal(f64::try_from(value.clone())?)),
        ValueKind::String => literal.push_str(&string_literal(value.as_str().unwrap_or_default())),
        ValueKind::Map => {
            literal.push('{');
            for (number, key) in value.try_iter()?.enumerate() {
                literal.push_str(if number > 0 { ", " } else { "" });
                write_literal(literal, &key, depth + 1)?;
                literal.push_str(": ");
                write_literal(literal, &value.get_item(&key)?, depth + 1)?;
            }
            literal.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            literal.push('[');
            for (number, item) in value.try_iter()?.enumerate() {
                literal.push_str(if number > 0 { ", " } else { "" });
                write_literal(literal, &item, depth + 1)?;
            }
            literal.push(']');
        }
        kind => {
            let error =
                if kind == ValueKind::Undefined { ErrorKind::UndefinedError } else { ErrorKind::InvalidOperation };
            return Err(Error::new(error, format!("a value that is {kind} has no Python literal")));
        }
    }
    Ok(())
}

/// Writing to a string cannot fail.
fn write_or_never(text: &mut String, value: impl std::fmt::Display) {
    let _ = write!(text, "{value}");
}

fn escape_docstring(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut escaped = String::with_capacity(text.len());
    let mut quotes = 0;
    for char in text.chars() {
        quotes = if char == '"' { quotes + 1 } else { 0 };
        match char {
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("    "),
            '\n' => {
                escaped.truncate(escaped.trim_end_matches([' ', '\u{a0}', '\u{3000}']).len());
                escaped.push('\n');
            }
            '"' if quotes == 3 => {
                quotes = 0;
                escaped.push_str("\\\"");
            }
            char => push_visible(&mut escaped, char),
        }
    }
    escaped
}

/// Breaks `line` at spaces into lines of at most `width` characters; what it begins with stands before each of them.
/// `behind` columns of the first are taken. A word that is wider stands alone.
fn wrap(line: &str, width: usize, behind: usize, lines: &mut Vec<String>) {
    if behind + line.chars().count() <= width {
        return lines.push(line.to_owned());
    }
    let margin = &line[..line.len() - line.trim_start_matches(' ').len()];
    let mut current = margin.to_owned();
    let mut column = behind + margin.len();
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let word_width = word.chars().count();
        let begins_line = current.len() == margin.len();
        if !begins_line && column + 1 + word_width > width {
            lines.push(std::mem::replace(&mut current, format!("{margin}{word}")));
            column = margin.len() + word_width;
        } else {
            let space = if begins_line { "" } else { " " };
            current.extend([space, word]);
            column += space.len() + word_width;
        }
    }
    lines.push(current);
}

/// Pushes `char`, or its escape where it would be invisible or change how the line is shown.
fn push_visible(text: &mut String, char: char) {
    match char {
        // ZWNJ and ZWJ (U+200C, U+200D) stay: ordinary writing and emoji need them.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => write_or_never(text, format_args!("\\x{:02x}", char as u32)),
        '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{fffe}'
        | '\u{ffff}' => {
            write_or_never(text, format_args!("\\u{:04x}", char as u32));
        }
        '\u{e0000}'..='\u{e007f}' => write_or_never(text, format_args!("\\U{:08x}", char as u32)),
        char => text.push(char),
    }
}
