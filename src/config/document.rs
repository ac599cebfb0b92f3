//! The configuration file: its keys, each with its value and its place.
//!
//! Read by the contracts' parser, which has places, budgets and plain words for faults. Values are `serde_yaml::Value`.

use codegen::yaml::{self, Node};
use codegen::{Diagnostic, Place};
use serde_yaml::Value;

use super::keys;

#[derive(Debug, Default)]
pub(super) struct Document {
    /// As the user named it; empty where there is no file.
    pub(super) file: String,
    text: String,
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
    /// # Errors
    /// Where the text is no YAML mapping. A file of comments says nothing, which is fine.
    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        let says_nothing = |line: &str| matches!(line.trim(), "" | "---" | "...") || line.trim().starts_with('#');
        let mut entries = Vec::new();
        if !text.lines().all(says_nothing) {
            let root = yaml::parse(file, bytes)?;
            if !matches!(root.value, yaml::Value::Map(_) | yaml::Value::Null) {
                let message = format!("the file holds {}", root.kind());
                let help = "write sections such as `logging:`, and their keys below them, indented";
                let fault = Diagnostic::new(file, Some(root.place), message);
                return Err(fault.expected("a mapping of sections").help(help));
            }
            flatten("", &root, &mut entries);
        }
        Ok(Self { file: file.to_owned(), text, entries })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.is_flat())
    }

    /// The text for messages: only keys, and the values of the `open` keys, can be read. Every character keeps its line
    /// and column. None where nothing is known of the text, and so not where a secret stands in it.
    pub(super) fn masked(&self, open: &[&str]) -> Option<String> {
        let mut marks = Vec::new();
        for entry in &self.entries {
            marks.push((entry.key_place, !keys::is_section(entry.above())));
            let is_open = if entry.value.is_mapping() {
                keys::is_section(&entry.key)
            } else {
                open.contains(&entry.key.as_str())
            };
            marks.push((entry.place, entry.is_flat() || !is_open));
        }
        // Where an alias gives one place two meanings, it is hidden.
        marks.sort();
        let mut marks = marks.into_iter().peekable();
        let (mut line, mut column, mut hidden) = (1, 1, false);
        let mut shown = String::with_capacity(self.text.len());
        let mut chars = self.text.chars().peekable();
        while let Some(char) = chars.next() {
            while let Some((_, hides)) = marks.next_if(|(place, _)| *place <= Place::new(line, column)) {
                hidden = hides;
            }
            shown.push(if hidden && !char.is_whitespace() { '*' } else { char });
            column += 1;
            if char == '\n' || char == '\r' && chars.peek() != Some(&'\n') {
                (line, column) = (line + 1, 1);
            }
        }
        (!self.entries.is_empty()).then_some(shown)
    }
}

impl Entry {
    /// The path of the section in which it stands.
    pub(super) fn above(&self) -> &str {
        &self.key[..self.key.len().saturating_sub(self.name.len() + 1)]
    }

    pub(super) fn is_flat(&self) -> bool {
        self.name.contains('.')
    }
}

fn flatten(above: &str, node: &Node, entries: &mut Vec<Entry>) {
    for entry in node.map().unwrap_or_default() {
        let key = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
        entries.push(Entry {
            key: key.clone(),
            key_place: entry.key_place,
            place: entry.value.place,
            value: value_of(&entry.value),
            name: entry.key.clone(),
        });
        flatten(&key, &entry.value, entries);
    }
}

/// The value without places. What lists and mappings hold is left out: of lists nothing is read, and of mappings each
/// key has an entry of its own.
fn value_of(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(value) => Value::from(*value),
        yaml::Value::Int(number) => match (u64::try_from(*number), i64::try_from(*number)) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            // Beyond what any setting can be.
            _ => Value::from(*number as f64),
        },
        yaml::Value::Float(number) => Value::from(*number),
        yaml::Value::Text(text) => Value::from(text.as_str()),
        yaml::Value::List(_) => Value::Sequence(Vec::new()),
        yaml::Value::Map(_) => Value::Mapping(serde_yaml::Mapping::new()),
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
    fn what_is_no_mapping_is_told_with_its_place_and_a_file_that_says_nothing_is_fine() {
        let fault = |text: &str| Document::parse("c.yaml", text.as_bytes()).unwrap_err().to_string();
        assert!(fault("- a\n").starts_with("c.yaml:1:1: the file holds a list"));
        assert!(fault("a: 1\nb: 2\na: 3\n").starts_with("c.yaml:3:1: the key `a` is written twice"));
        assert!(fault("a: [1\n").starts_with("c.yaml:1:"));
        assert!(fault("a: 1\n---\nb: 2\n").starts_with("c.yaml:2:"));
        let tagged = fault("a: 1\npassword: !!int hunter2\n");
        assert!(tagged.starts_with("c.yaml:2") && !tagged.contains("hunter2"), "{tagged}");
        for nothing in ["", "# nothing\n\n  # here\n", "--- # c\n", "---\n...\n", "null\n", "~", "\u{feff}# x\n"] {
            assert!(Document::parse("c.yaml", nothing.as_bytes()).unwrap().entries.is_empty(), "{nothing:?}");
        }
    }

    #[test]
    fn a_number_of_any_size_and_an_unknown_tag_are_values_like_others() {
        let text = "a: 99999999999999999999\nb: -7\nc: !include x\nd: 1.5\n";
        let document = Document::parse("c.yaml", text.as_bytes()).unwrap();
        let values = ["a", "b", "c", "d"].map(|key| &document.get(key).unwrap().value);
        assert_eq!(values, [&Value::from(1e20), &Value::from(-7), &"x".into(), &Value::from(1.5)]);
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        (1..12).for_each(|level| {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        });
        assert!(Document::parse("c.yaml", bomb.as_bytes()).is_err());
    }

    #[test]
    fn of_a_line_only_keys_and_open_values_can_be_read_and_columns_stay() {
        for (text, shown) in [
            ("logging: {level: LOUD, x: hunter2}", "logging: {level: LOUD, x: ********"),
            ("database: {password: \"hun\n  ter2\", port: 0} # c", "database: {password: ****\n  ****** port: 0} # c"),
            ("database:\n  password:\n    - hunter2\n  port: 0", "database:\n  password:\n    * *******\n  port: 0"),
            ("pass:\n  hunter2: ключ\nenvironment: x", "pass:\n  ******** ****\nenvironment: *"),
            ("database: hunter2 # x", "database: ******* * *"),
            ("logging.level: hunter2", "logging.level: *******"),
            ("x: &a hunter2\nlogging: {level: *a}", "x: &a *******\n******** ******* ***"),
            ("x: 1\r\rdatabase:\r  dsn: hunter2\r", "x: *\r\rdatabase:\r  dsn: *******\r"),
        ] {
            let document = Document::parse("c.yaml", text.as_bytes()).unwrap();
            let masked = document.masked(&["logging.level", "database.port"]).unwrap();
            assert!(!masked.contains("hunter2") && masked.chars().count() == text.chars().count(), "{masked}");
            // An alias has the place of its anchor, so what follows is hidden as well.
            assert!(masked == shown || text.contains('&'), "{masked}\n{shown}");
        }
        assert_eq!(Document::parse("c.yaml", b"# hunter2\n").unwrap().masked(&[]), None);
    }
}
