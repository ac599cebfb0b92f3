//! Values of types: defaults that a contract writes, and the smallest value that a model accepts.

use std::collections::BTreeMap;

use super::classes::{Body, ClassId, Classes, Home};
use super::imports::Imports;
use super::layout::{Code, Item};
use super::models::Model;
use super::types::{Scope, Type, data};
use crate::contract::schema::pattern;
use crate::contract::schema::{Limits, Number};
use crate::yaml::{Node, Value};

/// The greatest number of elements that a sample spells out.
const ELEMENTS_MAX: u64 = 20;

/// The Python expression for a value that the contract writes; None where it is no value of the type.
pub(super) fn expression(kind: &Type, node: &Node, scope: &Scope, imports: &mut Imports) -> Option<Code> {
    strict(kind, node, scope, imports).or_else(|| lenient(kind, node))
}

/// The value as the type has it.
fn strict(kind: &Type, node: &Node, scope: &Scope, imports: &mut Imports) -> Option<Code> {
    let all = |kind: &Type, items: &[Node], imports: &mut Imports| {
        items.iter().map(|item| expression(kind, item, scope, imports)).collect::<Option<Vec<Code>>>()
    };
    match (kind, &node.value) {
        (Type::Limited(inner, _), _) => strict(inner, node, scope, imports),
        (Type::Any, _) | (Type::Null, Value::Null) | (Type::Bool, Value::Bool(_)) => Some(data(node)),
        (Type::Int, Value::Int(_)) | (Type::Float, Value::Float(_)) => Some(data(node)),
        (Type::Float, Value::Int(number)) => Some(Code::atom(format!("{number}.0"))),
        (Type::Text, Value::Text(_)) => Some(data(node)),
        (Type::Literal(values), _) => values.iter().find(|value| value.value == node.value).map(data),
        (Type::Union(members), _) => members.iter().find_map(|member| strict(member, node, scope, imports)),
        (Type::List(item), Value::List(items)) => Some(Code::list(all(item, items, imports)?)),
        (Type::Set(item), Value::List(items)) => {
            let items: Vec<Item> = all(item, items, imports)?.into_iter().map(Item::plain).collect();
            let empty = items.is_empty();
            Some(if empty { Code::atom("set()") } else { Code::Group { open: "{".to_owned(), items, close: "}" } })
        }
        (Type::Tuple(members), Value::List(items)) if members.len() == items.len() => {
            let pairs = members.iter().zip(items);
            let items: Option<Vec<Code>> = pairs.map(|(kind, item)| expression(kind, item, scope, imports)).collect();
            Some(Code::tuple(items?))
        }
        (Type::Dict(key, value), Value::Map(entries)) if **key == Type::Text => {
            let mut items = Vec::new();
            for entry in entries {
                items.push((entry.key.clone(), expression(value, &entry.value, scope, imports)?));
            }
            Some(Code::dict(items))
        }
        (Type::Class(id), _) => class_value(*id, node, scope, imports),
        (_, Value::Text(text)) => made_of_text(kind, text.trim(), imports),
        (Type::Duration, Value::Int(seconds)) => {
            imports.add("datetime", "timedelta");
            Some(Code::atom(format!("timedelta(seconds={seconds})")))
        }
        (Type::Decimal, Value::Int(number)) => {
            imports.add("decimal", "Decimal");
            Some(Code::atom(format!("Decimal({number})")))
        }
        _ => None,
    }
}

/// The value as a careful reader understands it: a number in quotes, a whole number as a text, `yes` for true.
fn lenient(kind: &Type, node: &Node) -> Option<Code> {
    match (kind, &node.value) {
        (Type::Limited(inner, _), _) => lenient(inner, node),
        (Type::Union(members), _) => members.iter().find_map(|member| lenient(member, node)),
        (Type::Text, Value::Int(number)) => Some(Code::Text(number.to_string())),
        (Type::Int, Value::Float(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some(Code::atom(format!("{number:.0}")))
        }
        (Type::Int, Value::Text(text)) => text.trim().parse::<i128>().ok().map(|number| Code::atom(number.to_string())),
        (Type::Float, Value::Text(text)) => {
            let number = text.trim().parse::<f64>().ok()?;
            Some(Code::atom(crate::python::float_literal(number)))
        }
        (Type::Bool, Value::Text(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(Code::atom("True")),
            "false" | "no" | "off" => Some(Code::atom("False")),
            _ => None,
        },
        _ => None,
    }
}

/// A value whose type Python makes from a text.
fn made_of_text(kind: &Type, text: &str, imports: &mut Imports) -> Option<Code> {
    let call = |function: &str| Some(Code::call(function, vec![Item::plain(Code::Text(text.to_owned()))]));
    match kind {
        Type::Uuid if is_uuid(text) => {
            imports.add("uuid", "UUID");
            call("UUID")
        }
        Type::DateTime if is_date_time(text) => {
            imports.add("datetime", "datetime");
            call("datetime.fromisoformat")
        }
        Type::Date if is_date(text) => {
            imports.add("datetime", "date");
            call("date.fromisoformat")
        }
        Type::Time if is_time(text) => {
            imports.add("datetime", "time");
            call("time.fromisoformat")
        }
        Type::Decimal if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            imports.add("decimal", "Decimal");
            call("Decimal")
        }
        Type::Bytes if text.is_ascii() => Some(Code::atom(format!("b{}", crate::python::string_literal(text)))),
        Type::Bytes => Some(Code::atom(format!("{}.encode()", crate::python::string_literal(text)))),
        _ => None,
    }
}

/// A member of an enum, or a model that is made of a mapping.
fn class_value(id: ClassId, node: &Node, scope: &Scope, imports: &mut Imports) -> Option<Code> {
    match &scope.classes.get(id).body {
        Body::Enum(members) => {
            let value = node.text()?;
            let member = members.iter().find(|member| member.value == value || member.name == value)?;
            scope.import(id, imports);
            Some(Code::atom(format!("{}.{}", scope.name(id), member.name)))
        }
        Body::Model(model) => {
            let entries = node.map()?;
            let known = |key: &str| model.fields.iter().find(|field| field.name == key);
            let fits = entries.iter().all(|entry| {
                known(&entry.key).is_some_and(|field| {
                    expression(&field.kind, &entry.value, scope, &mut Imports::default()).is_some()
                })
            });
            let complete =
                model.fields.iter().all(|field| !field.required || entries.iter().any(|entry| entry.key == field.name));
            if !fits || !complete {
                return None;
            }
            scope.import(id, imports);
            let name = scope.name(id);
            Some(match entries {
                [] => Code::call(&name, Vec::new()),
                _ => Code::call(&format!("{name}.model_validate"), vec![Item::plain(data(node))]),
            })
        }
        _ => None,
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    (lengths == [8, 4, 4, 4, 12] || lengths == [32])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether the text has the form of `pattern`, in which `0` stands for a digit.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form })
}

fn is_date(text: &str) -> bool {
    if !has_form(text, "0000-00-00") {
        return false;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    year > 0 && (1..=days).contains(&day)
}

/// `12:30`, `12:30:00`, `12:30:00.5` with `Z` or `+02:00` behind.
fn is_time(text: &str) -> bool {
    let zone = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone);
    let is_zone = zone.is_empty() || zone == "Z" || (has_form(&zone[1..], "00:00") && &zone[1..] < "24:00");
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_clock = has_form(clock, "00:00") || (has_form(clock, "00:00:00") && &clock[6..] < "60");
    let is_fraction = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_clock && is_fraction && is_zone && &clock[..2] < "24" && &clock[3..5] < "60"
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_at_checked(10) else { return false };
    is_date(date) && (time.is_empty() || (time.starts_with(['T', 't', ' ']) && is_time(&time[1..])))
}

/// The smallest value of each model that has one, as data that the model validates.
pub(super) struct Samples<'a> {
    pub(super) classes: &'a Classes,
    /// By model; None while a model is being built, and for those without a value.
    known: BTreeMap<ClassId, Option<Code>>,
}

impl<'a> Samples<'a> {
    pub(super) fn new(classes: &'a Classes) -> Self {
        Self { classes, known: BTreeMap::new() }
    }

    /// The required fields of a model and a value for each.
    pub(super) fn model(&mut self, id: ClassId, model: &Model) -> Option<Code> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        self.known.insert(id, None);
        let required = model.fields.iter().filter(|field| field.required);
        let fields: Option<Vec<(String, Code)>> =
            required.map(|field| Some((field.name.clone(), self.of(&field.kind)?))).collect();
        let sample = fields.map(Code::dict);
        self.known.insert(id, sample.clone());
        sample
    }

    fn of(&mut self, kind: &Type) -> Option<Code> {
        self.within(kind, &Limits::default())
    }

    fn within(&mut self, kind: &Type, limits: &Limits) -> Option<Code> {
        let text = |text: &str| Some(Code::Text(text.to_owned()));
        match kind {
            Type::Limited(inner, limits) => self.within(inner, limits),
            Type::Any => text("value"),
            Type::Null => Some(Code::atom("None")),
            Type::Bool => Some(Code::atom("True")),
            Type::Int => number(limits, true).map(Code::atom),
            Type::Float => number(limits, false).map(Code::atom),
            Type::Decimal => number(limits, false).map(Code::Text),
            Type::Text | Type::Bytes => sized_text(limits),
            Type::Uuid => text("12345678-1234-4678-9234-123456789012"),
            Type::DateTime => text("2026-01-31T12:00:00Z"),
            Type::Date => text("2026-01-31"),
            Type::Time => text("12:00:00"),
            Type::Duration => Some(Code::atom("60")),
            Type::List(item) => self.elements(item, limits),
            Type::Set(item) => match limits.min_length.unwrap_or(0) {
                0 | 1 => self.elements(item, limits),
                _ => None,
            },
            Type::Tuple(members) => {
                let members: Option<Vec<Code>> = members.iter().map(|member| self.of(member)).collect();
                members.map(Code::list)
            }
            Type::Dict(key, value) => self.entries(key, value, limits),
            Type::Union(members) => members.iter().find_map(|member| self.of(member)),
            Type::Literal(values) => values.first().map(data),
            Type::Class(id) => self.class(*id),
        }
    }

    fn elements(&mut self, item: &Type, limits: &Limits) -> Option<Code> {
        let count = limits.min_length.unwrap_or(0);
        if count == 0 {
            return Some(Code::list(Vec::new()));
        }
        let item = self.of(item)?;
        (count <= ELEMENTS_MAX).then(|| Code::list(vec![item; usize::try_from(count).unwrap_or(0)]))
    }

    fn entries(&mut self, key: &Type, value: &Type, limits: &Limits) -> Option<Code> {
        let count = limits.min_length.unwrap_or(0);
        if count == 0 {
            return Some(Code::dict(Vec::new()));
        }
        let value = self.of(value)?;
        let plain = *key == Type::Text && count <= ELEMENTS_MAX;
        plain.then(|| Code::dict((1..=count).map(|number| (format!("key_{number}"), value.clone())).collect()))
    }

    fn class(&mut self, id: ClassId) -> Option<Code> {
        let classes = self.classes;
        let class = classes.get(id);
        match (&class.body, &class.home) {
            (Body::Enum(members), _) => Some(Code::Text(members.first()?.value.clone())),
            (Body::Model(model), _) => self.model(id, model),
            // At run time a class of another package is `object`: anything will do.
            (_, Home::Foreign(_)) => Some(Code::Text("value".to_owned())),
            _ => None,
        }
    }
}

/// A number within the limits, the nearest to 0.
fn number(limits: &Limits, whole: bool) -> Option<String> {
    let step = limits.multiple_of.map_or(1.0, Number::as_f64);
    let below = limits.ge.or(limits.gt).map(Number::as_f64);
    let above = limits.le.or(limits.lt).map(Number::as_f64);
    let fits = |number: f64| {
        limits.ge.is_none_or(|limit| number >= limit.as_f64())
            && limits.gt.is_none_or(|limit| number > limit.as_f64())
            && limits.le.is_none_or(|limit| number <= limit.as_f64())
            && limits.lt.is_none_or(|limit| number < limit.as_f64())
            && (!whole || number.fract() == 0.0)
            && number.abs() < 1e15
    };
    let up = below.map(|limit| (limit / step).ceil() * step);
    let down = above.map(|limit| (limit / step).floor() * step);
    let middle =
        below.zip(above).filter(|_| !whole && limits.multiple_of.is_none()).map(|(low, high)| (low + high) / 2.0);
    let candidates = [Some(0.0), up, up.map(|n| n + step), down, down.map(|n| n - step), middle, Some(step)];
    let number = candidates.into_iter().flatten().find(|number| fits(*number))?;
    Some(if whole { format!("{number:.0}") } else { crate::python::float_literal(number) })
}

fn sized_text(limits: &Limits) -> Option<Code> {
    let (least, most) = (limits.min_length.unwrap_or(0), limits.max_length.unwrap_or(u64::MAX));
    let Some(pattern) = &limits.pattern else {
        return Some(match least {
            0..=40 => Code::Text("x".repeat(usize::try_from(least.max(1).min(most)).unwrap_or(0))),
            _ => Code::atom(format!("\"x\" * {least}")),
        });
    };
    let sample = pattern::sample_of_length(pattern, least).ok()??;
    (sample.chars().count() as u64 <= most).then_some(Code::Text(sample))
}
