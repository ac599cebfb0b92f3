//! The limits of a value: how great, how long, of which pattern.

use super::pattern;
use crate::contract::reader::{Reader, quoted};
use crate::yaml::{Node, Value};

/// A number as the contract writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn of(node: &Node) -> Option<Self> {
        match node.value {
            Value::Int(number) => Some(Self::Int(number)),
            Value::Float(number) if number.is_finite() => Some(Self::Float(number)),
            _ => None,
        }
    }

    /// The number as a float; great whole numbers lose their last digits.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// The limits that a schema sets. Those that do not fit its shape say nothing, as in JSON schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    pub ge: Option<Number>,
    pub gt: Option<Number>,
    pub le: Option<Number>,
    pub lt: Option<Number>,
    pub multiple_of: Option<Number>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<String>,
}

impl Limits {
    /// Reads the limits of one schema, in the spellings of Pydantic and of JSON schema.
    pub(super) fn read(reader: &mut Reader, node: &Node) -> Self {
        let mut number = |keys: &[&str]| {
            let found = keys.iter().find_map(|key| node.get(key).map(|value| (*key, value)))?;
            let (key, value) = found;
            // Draft 4 of JSON schema has `exclusiveMinimum: true` beside `minimum`.
            if matches!(value.value, Value::Bool(_)) && key.starts_with("exclusive") {
                return None;
            }
            if Number::of(value).is_none() {
                reader.wrong_kind(value, key, "a number", "write the limit as a plain number, without quotes");
            }
            Number::of(value)
        };
        let mut limits = Self {
            ge: number(&["ge", "minimum"]),
            gt: number(&["gt", "exclusiveMinimum", "exclusive_minimum"]),
            le: number(&["le", "maximum"]),
            lt: number(&["lt", "exclusiveMaximum", "exclusive_maximum"]),
            multiple_of: number(&["multiple_of", "multipleOf"]),
            ..Self::default()
        };
        let exclusive = |key: &str| node.get(key).is_some_and(|node| node.value == Value::Bool(true));
        if exclusive("exclusiveMinimum") {
            limits.gt = limits.ge.take();
        }
        if exclusive("exclusiveMaximum") {
            limits.lt = limits.le.take();
        }
        let lengths = ["min_length", "minLength", "min_items", "minItems", "minProperties"];
        limits.min_length = length(reader, node, &lengths);
        let lengths = ["max_length", "maxLength", "max_items", "maxItems", "maxProperties"];
        limits.max_length = length(reader, node, &lengths);
        limits.pattern = pattern_in(reader, node);
        limits.check(reader, node);
        limits
    }

    /// A fault where no value can be within the limits.
    fn check(&mut self, reader: &mut Reader, node: &Node) {
        let low = self.ge.or(self.gt).map(Number::as_f64);
        let high = self.le.or(self.lt).map(Number::as_f64);
        let open = self.gt.is_some() || self.lt.is_some();
        let empty = matches!((low, high), (Some(low), Some(high)) if low > high || (open && low == high));
        let too_long = matches!((self.min_length, self.max_length), (Some(low), Some(high)) if low > high);
        if empty || too_long {
            let help = "make the lower limit smaller than the upper one";
            reader.fault(node.place, "no value is within these limits".to_owned(), "limits that leave room", help);
            *self = Self::default();
        }
        if self.multiple_of.is_some_and(|number| number.as_f64() <= 0.0) {
            let message = "`multiple_of` is not greater than 0".to_owned();
            reader.fault(node.place, message, "a number greater than 0", "leave it out where any number will do");
            self.multiple_of = None;
        }
    }
}

fn length(reader: &mut Reader, node: &Node, keys: &[&str]) -> Option<u64> {
    let (key, value) = keys.iter().find_map(|key| node.get(key).map(|value| (*key, value)))?;
    let length = if let Value::Int(number) = value.value { u32::try_from(number).ok() } else { None };
    if length.is_none() {
        let message = format!("`{key}` is not a length");
        reader.fault(value.place, message, "a whole number from 0 up", "write it without quotes");
    }
    length.map(u64::from)
}

fn pattern_in(reader: &mut Reader, node: &Node) -> Option<String> {
    let value = node.get("pattern").or_else(|| node.get("regex"))?;
    let Some(text) = value.text() else {
        reader.wrong_kind(value, "pattern", "a regular expression as text", "put it in single quotes");
        return None;
    };
    match pattern::sample(text) {
        Ok(_) => Some(text.to_owned()),
        Err(fault) => {
            let message = format!("the pattern `{}` {fault}", quoted(text));
            let help = "Pydantic's engine knows no look-around and no back-references; write the pattern without them";
            reader.fault(value.place, message, "a regular expression that Pydantic compiles", help);
            None
        }
    }
}
