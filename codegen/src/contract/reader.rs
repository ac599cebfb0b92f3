//! Reading with faults gathered: a wrong value is told and left out, and reading goes on.

use super::ModelUse;
use super::schema::{self, ClassRef, Shape};
use crate::diagnostic::{Diagnostic, Place};
use crate::python;
use crate::yaml::{Entry, Node, Value};

/// The longest piece of the contract that a message repeats, in characters.
const QUOTE_CHARACTERS_MAX: usize = 60;

pub(super) struct Reader {
    pub(super) file: String,
    pub(super) faults: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), faults: Vec::new() }
    }

    pub(super) fn fault(&mut self, place: Place, message: String, expected: &str, help: &str) {
        self.faults.push(Diagnostic::new(&self.file, Some(place), message).expected(expected).help(help));
    }

    /// "`key` is a list": a value of the wrong kind under `key`.
    pub(super) fn wrong_kind(&mut self, node: &Node, key: &str, expected: &str, help: &str) {
        self.fault(node.place, format!("`{key}` is {}", node.kind()), expected, help);
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        let value = node.get(key)?;
        if value.text().is_none() {
            self.wrong_kind(value, key, "text", "write the text, in quotes where it looks like a number");
        }
        value.text().filter(|text| !text.trim().is_empty())
    }

    /// Text for people: a number, or true and false, is taken as it is written.
    pub(super) fn words(&mut self, node: &Node, key: &str) -> Option<String> {
        let value = node.get(key)?;
        let words = scalar_text(value);
        if words.is_none() {
            self.wrong_kind(value, key, "text", "write it as one text; `>` folds several lines into one");
        }
        words.filter(|words| !words.trim().is_empty())
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        let Some(value) = node.get(key) else { return &[] };
        if value.list().is_none() {
            self.wrong_kind(value, key, "a list", "begin each item with `- `, one a line");
        }
        value.list().unwrap_or_default()
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n Node> {
        let value = node.get(key)?;
        if value.map().is_none() {
            self.wrong_kind(value, key, "a mapping", "write `name: value` pairs under it, indented");
        }
        value.map().map(|_| value)
    }

    pub(super) fn flag(&mut self, node: &Node, key: &str) -> Option<bool> {
        let value = node.get(key)?;
        match &value.value {
            Value::Bool(flag) => Some(*flag),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => self.not_a_flag(value, key),
            },
            _ => self.not_a_flag(value, key),
        }
    }

    fn not_a_flag(&mut self, value: &Node, key: &str) -> Option<bool> {
        self.wrong_kind(value, key, "true or false", "write `true` or `false` without quotes");
        None
    }

    /// The model under `key`: a mapping of name and module, a dotted path, a class name, or a type made of them.
    pub(super) fn model_use(&mut self, node: &Node, key: &str) -> Option<ModelUse> {
        let value = node.get(key)?;
        let expected = "a mapping with `name` and `module`, or a class name as text";
        match &value.value {
            Value::Text(_) => {
                let written = value.text().map(str::to_owned);
                Some(ModelUse { shape: schema::type_text(self, value)?.into_shape(), written, description: None })
            }
            Value::Map(_) if schema::is_schema(value) => {
                let read = schema::schema(self, value)?;
                Some(ModelUse { description: read.description.clone(), written: None, shape: read.into_shape() })
            }
            Value::Map(_) => {
                let shape = self.class_in(value, key)?;
                let written = spelled_name(value).and_then(Node::text).map(str::to_owned);
                Some(ModelUse { shape, written, description: self.words(value, "description") })
            }
            _ => {
                self.wrong_kind(value, key, expected, "name the Pydantic model, for example `ModelOrderRequest`");
                None
            }
        }
    }

    /// The class that a mapping names with `name` (or `class_name`, `type_name`) and `module`.
    fn class_in(&mut self, value: &Node, key: &str) -> Option<Shape> {
        let Some(named) = spelled_name(value) else {
            let help = "add `name: ModelSomething`, and `module:` where the class lives in another package";
            self.fault(value.place, format!("`{key}` names no class"), "a mapping with `name` and `module`", help);
            return None;
        };
        if named.text().is_none() {
            self.wrong_kind(named, "name", "a class name as text", "for example `ModelOrderRequest`");
            return None;
        }
        let mut shape = schema::type_text(self, named)?.into_shape();
        if let (Shape::Class(class), Some(module)) = (&mut shape, self.text(value, "module")) {
            class.module = Some(module.to_owned());
            class.place = value.get("module").map_or(class.place, |module| module.place);
        }
        if let Shape::Class(class) = &shape { self.check_class(class).then_some(shape) } else { Some(shape) }
    }

    /// One class: a mapping of name and module, or text that names it.
    pub(super) fn class(&mut self, value: &Node, key: &str) -> Option<ClassRef> {
        let written = spelled_name(value).unwrap_or(value).text().unwrap_or_default();
        let shape = match &value.value {
            Value::Map(_) => self.class_in(value, key)?,
            Value::Text(_) => schema::type_text(self, value)?.into_shape(),
            _ => {
                let expected = "a mapping with `name` and `module`, or a class name as text";
                self.wrong_kind(value, key, expected, "write `name: HandlerSomething` and `module: ...` under it");
                return None;
            }
        };
        // A class that is to be written here has a plain name, and its path where the contract has a place for paths.
        let plain = |class: &ClassRef| match &class.module {
            Some(module) if value.map().is_none() => written == format!("{module}.{}", class.name),
            _ => written == class.name,
        };
        if let Shape::Class(class) = shape
            && plain(&class)
        {
            return Some(class);
        }
        let found = format!("`{key}` names no class of your own");
        self.fault(value.place, found, "a class name", "for example `HandlerAcceptOrder`");
        None
    }

    /// Whether the class can be named in Python; a fault where it cannot.
    pub(super) fn check_class(&mut self, class: &ClassRef) -> bool {
        if !python::is_identifier(&class.name) {
            let message = format!("`{}` is not a Python class name", quoted(&class.name));
            self.fault(class.place, message, "letters, digits and `_`", "for example `ModelOrderRequest`");
            return false;
        }
        let Some(module) = &class.module else { return true };
        if module.split('.').all(|segment| !segment.is_empty() && !segment.contains(char::is_whitespace)) {
            return true;
        }
        let message = format!("`{}` is not the path of a Python module", quoted(module));
        self.fault(class.place, message, "names joined by dots", "for example `acme.nodes.order_effect.models`");
        false
    }
}

/// The name in a mapping that names a class.
pub(super) fn spelled_name(value: &Node) -> Option<&Node> {
    ["name", "class_name", "type_name"].into_iter().find_map(|key| value.get(key))
}

/// A number, true, false or text as one text.
pub(super) fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// The entry under `key`, null or not.
pub(super) fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    node.map()?.iter().find(|entry| entry.key == key)
}

/// A piece of the contract for a message: one line, shortened.
pub(super) fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= QUOTE_CHARACTERS_MAX {
        return line;
    }
    line.chars().take(QUOTE_CHARACTERS_MAX).chain(['…']).collect()
}
