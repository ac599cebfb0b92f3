//! The configuration file: its values by serde_yaml, the places of its keys by the contracts' parser.

use std::path::Path;

use codegen::yaml::{self, INPUT_BYTES_MAX, Node};
use codegen::{Diagnostic, Place};
use serde_yaml::Value;

#[derive(Debug, Default)]
pub(super) struct Document {
    /// As the user named it; empty where there is no file.
    pub(super) file: String,
    /// The text, for messages that show a line of it.
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The path of keys, with dots between them.
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) place: Place,
    pub(super) value: Value,
    /// The last key of the path. One with a dot in it writes flat what belongs into a section.
    pub(super) name: String,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, or is no YAML mapping; with what could be read of its text.
    pub(super) fn open(path: &Path) -> Result<Self, Box<(Self, Diagnostic)>> {
        let file = path.display().to_string();
        let unreadable = |message: String, help: &str| {
            Box::new((Self::default(), Diagnostic::new(file.clone(), None, message).help(help)))
        };
        let large = std::fs::metadata(path).is_ok_and(|kind| kind.len() > INPUT_BYTES_MAX as u64);
        if large {
            return Err(unreadable("larger than 4 MiB".to_owned(), "check that this is the file you meant"));
        }
        let bytes = std::fs::read(path).map_err(|error| {
            unreadable(format!("cannot read the configuration: {error}"), "name another file with --config F")
        })?;
        Self::parse(&file, &bytes)
    }

    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Self, Box<(Self, Diagnostic)>> {
        let mut made =
            Self { file: file.to_owned(), text: String::from_utf8_lossy(bytes).into_owned(), entries: Vec::new() };
        // A file of comments says nothing, which is fine.
        let nothing = made.text.lines().all(|line| matches!(line.trim().chars().next(), None | Some('#')));
        if nothing {
            return Ok(made);
        }
        match Self::read(file, bytes) {
            Ok(entries) => {
                made.entries = entries;
                Ok(made)
            }
            Err(fault) => Err(Box::new((made, fault))),
        }
    }

    fn read(file: &str, bytes: &[u8]) -> Result<Vec<Entry>, Diagnostic> {
        // First the parser with places: its budgets keep a bomb away from the other one, and it tells faults better.
        let root = yaml::parse(file, bytes)?;
        // Not in the library's words: they repeat the value, which may be a secret.
        let unreadable = |error: serde_yaml::Error| {
            let place = error.location().map(|at| Place::new(at.line(), at.column()));
            let help = "put quotes around it, and check the line above";
            Diagnostic::new(file, place, "a value that cannot be read").help(help)
        };
        let mut values: Value = serde_yaml::from_slice(bytes).map_err(unreadable)?;
        values.apply_merge().map_err(unreadable)?;
        if root.map().is_none() {
            let message = format!("the file holds {}", root.kind());
            let help = "write sections such as `logging:`, and their keys below them, indented";
            return Err(Diagnostic::new(file, Some(root.place), message).expected("a mapping of sections").help(help));
        }
        let mut entries = Vec::new();
        flatten("", &root, &values, &mut entries);
        Ok(entries)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.is_flat())
    }
}

impl Entry {
    pub(super) fn is_flat(&self) -> bool {
        self.name.contains('.')
    }
}

fn flatten(above: &str, node: &Node, values: &Value, entries: &mut Vec<Entry>) {
    for entry in node.map().unwrap_or_default() {
        let key = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        let value = values.get(entry.key.as_str()).cloned().unwrap_or_default();
        let at = entries.len();
        entries.push(Entry {
            key: key.clone(),
            key_place: entry.key_place,
            place: entry.value.place,
            value: Value::Null,
            name: entry.key.clone(),
        });
        flatten(&key, &entry.value, &value, entries);
        entries[at].value = value;
    }
}

/// What it is, for messages.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) | Value::Tagged(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_value_and_its_place() {
        let text = "base: &b {x: 1}\nlogging:\n  <<: *b\n  level: INFO # DEBUG\n  rotation:\n    max_bytes: 0x10\n";
        let document = Document::parse("c.yaml", text.as_bytes()).unwrap();
        let level = document.get("logging.level").unwrap();
        assert_eq!((&level.value, level.key_place, level.place), (&"INFO".into(), Place::new(4, 3), Place::new(4, 10)));
        assert_eq!(document.get("logging.rotation.max_bytes").unwrap().value, Value::from(16));
        assert_eq!(document.get("logging.x").unwrap().value, Value::from(1));
        assert!(document.get("logging.rotation").unwrap().value.is_mapping());
    }

    #[test]
    fn what_is_no_mapping_is_told_with_its_place_and_comments_alone_are_fine() {
        let fault = |text: &str| Document::parse("c.yaml", text.as_bytes()).unwrap_err().1.to_string();
        assert!(fault("- a\n").starts_with("c.yaml:1:1: the file holds a list"));
        assert!(fault("a: 1\nb: 2\na: 3\n").starts_with("c.yaml:3:1: the key `a` is written twice"));
        assert!(fault("a: [1\n").starts_with("c.yaml:1:"));
        assert!(fault("a: 1\n---\nb: 2\n").starts_with("c.yaml:2:"));
        let large = fault("a: 1\npassword: 99999999999999999999\n");
        assert!(large.starts_with("c.yaml:2") && !large.contains("999"), "{large}");
        assert!(Document::parse("c.yaml", b"# nothing\n\n  # here\n").unwrap().entries.is_empty());
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        (1..12).for_each(|level| {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        });
        assert!(Document::parse("c.yaml", bomb.as_bytes()).is_err());
    }
}
