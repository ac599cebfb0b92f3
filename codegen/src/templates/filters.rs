//! The filters that templates have beside minijinja's own.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, escape_formatter};

use crate::{python, yaml};

/// The deepest indentation of a docstring, in columns.
const INDENT_MAX: usize = 80;

/// How many bytes one unit of fuel pays for; minijinja's own rate.
const FUEL_BYTES: usize = 64;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("py_str", |value: &Value| Ok::<_, Error>(python::string_literal(text(value)?)));
    environment.add_filter("docstring", docstring);
    environment.add_filter("comment", |value: &Value| Ok::<_, Error>(python::comment(text(value)?)));
    environment.add_filter("literal", python::literal);
    environment.add_filter("yaml_str", |value: &Value| Ok::<_, Error>(yaml::text_scalar(text(value)?)));
    environment.add_filter("markdown", |value: &Value| Ok::<_, Error>(markdown(text(value)?)));
}

/// What `{{ }}` writes.
pub(super) fn print(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let help = match value.kind() {
        ValueKind::None => "there is nothing to print here: use `| literal`, or ask `{% if … is not none %}`",
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain | ValueKind::Bytes => {
            "only text, numbers, true and false can be printed: use `| literal`, `| join`, or a loop"
        }
        _ => return escape_formatter(output, state, value),
    };
    Err(Error::new(ErrorKind::InvalidOperation, help))
}

/// The value as text. Nothing else is taken for text: `None` in a generated file is a fault that nobody would see.
fn text(value: &Value) -> Result<&str, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text);
    }
    Err(match value.kind() {
        ValueKind::Undefined => Error::from(ErrorKind::UndefinedError),
        kind => Error::new(ErrorKind::InvalidOperation, format!("text is expected here, this is of type {kind}")),
    })
}

fn docstring(state: &State, value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let text = text(value)?;
    let indent = indent.unwrap_or(0);
    if indent > INDENT_MAX {
        let message = format!("an indentation of {indent} columns; at most {INDENT_MAX} are possible");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    // Every line grows by the indentation: paid before it is made.
    state.consume_fuel((text.matches('\n').count() * indent / FUEL_BYTES) as u64)?;
    Ok(python::docstring(text, indent))
}

/// Text that Markdown shows as it is written.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            escaped.push('\n');
        }
        markdown_line(line.trim(), &mut escaped);
    }
    escaped
}

fn markdown_line(line: &str, escaped: &mut String) {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, next)| *next);
        let escape = match char {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '&' => true,
            // `node_x` is shown as it is.
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            '#' | '+' | '-' | '=' => at == 0,
            '.' | ')' => at > 0 && at == digits,
            _ => false,
        };
        if escape {
            escaped.push('\\');
        }
        match char {
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
        before = char;
    }
}
