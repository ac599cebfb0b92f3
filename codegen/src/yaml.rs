//! YAML with places: a tree in which every node knows its line and column.
//!
//! Read with budgets (a bomb is refused, not expanded), one document only, duplicate keys refused, UTF-8 only.
//!
//! The same contracts are read by Python programs with YAML 1.1 rules. A plain scalar is a number, true or false only
//! where YAML 1.1 (as PyYAML reads it) and YAML 1.2 agree; where they differ (`yes`, `on`, `0755`, `1_000`, `1e5`,
//! `12:30:00`, `2026-01-31`) it stays the text that the author wrote.

mod compose;
mod fault;
mod scalar;
#[cfg(test)]
mod tests;

use serde_saphyr::granit_parser::{Event, Options, Parser, StrInput};

use crate::diagnostic::{Diagnostic, Place};

pub use scalar::text_scalar;

/// The largest input that is read, in bytes. Real contracts hold up to about 40 KB.
pub const INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How deep lists and mappings may be nested, aliases unfolded: what walks a tree may recurse without fear.
pub const DEPTH_MAX: usize = 100;

/// How many values one document may hold, copies made by aliases included.
pub const NODES_MAX: usize = 250_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value, in the order of the text. Keys are text (a number or bool as a key is kept as it is written).
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    /// The value under `key`, where this is a mapping that has it and it is not null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value).filter(|node| node.value != Value::Null)
    }

    /// The first of several spellings of a key that is there; the first of all where none is.
    pub fn spelled(&self, keys: &[&'static str]) -> &'static str {
        keys.iter().find(|key| self.get(key).is_some()).or(keys.first()).copied().unwrap_or_default()
    }

    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub fn list(&self) -> Option<&[Node]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    pub fn map(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// What it is, for messages: "a mapping", "a list", "text", "a number", "true or false", "nothing".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document. `file` is the name used in diagnostics.
///
/// Aliases are unfolded and `<<` merged; what they bring keeps the place where it was written. Tags never run anything:
/// a core tag (`!!str`, `!!int`) picks the type, the value under any other tag is kept as its text, list or mapping.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Node, Diagnostic> {
    let text = decode(bytes).map_err(|fault| fault.in_file(file))?;
    compose::compose(text).map_err(|fault| fault.in_file(file))
}

/// The text under the top-level key `name`, found without reading further than that. None where there is no such text,
/// or the document is broken before it.
pub fn peek_name(bytes: &[u8]) -> Option<String> {
    let mut depth = 0_usize;
    let mut at_key = false;
    let mut is_name = false;
    for event in parser(decode(bytes).ok()?) {
        match event.ok()?.0 {
            Event::Scalar(text, style, ..) if depth == 1 && !at_key && is_name => {
                return Some(text.into_owned()).filter(|text| !(text.is_empty() || scalar::is_null(text, style)));
            }
            Event::Scalar(text, ..) if depth == 1 => {
                is_name = at_key && text == "name";
                at_key = !at_key;
            }
            // A key that is an alias or a collection is a fault, but not ours to tell.
            Event::Alias(_) if depth == 1 => at_key = !at_key,
            Event::MappingStart(..) => {
                depth += 1;
                at_key = depth == 1;
                is_name = false;
            }
            Event::SequenceStart(..) if depth == 0 => return None,
            Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                at_key = depth == 1;
            }
            Event::DocumentEnd => return None,
            _ => {}
        }
    }
    None
}

/// The bytes as text, without its byte order mark.
fn decode(bytes: &[u8]) -> Result<&str, fault::Fault> {
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(fault::too_large(bytes.len()));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(fault::not_utf8("the file is written in UTF-16 or UTF-32", None));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let message = format!("byte {} of the file is not UTF-8 text", error.valid_up_to() + 1);
        fault::not_utf8(message, Some(Place::after(without_mark(&valid))))
    })?;
    match text.find('\0') {
        Some(at) => Err(fault::nul(Place::after(without_mark(&text[..at])))),
        None => Ok(without_mark(text)),
    }
}

/// A byte order mark takes no column.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn parser(text: &str) -> Parser<'_, StrInput<'_>> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    // As PyYAML reads it: a block text at the very end of a file has a line feed only where the file has one.
    options.block_scalar_eof_without_line_feed = true;
    Parser::new_from_str_with_options(text, options)
}
