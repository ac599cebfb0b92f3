//! Reading `definitions`: JSON schema as people write it in contracts, with Pydantic's words among it.

use super::expression::{one_of, scalar, type_text, type_text_lenient};
use super::{Definition, Extra, Limits, Object, Property, Schema, Shape};
use crate::contract::reader::{Reader, entry, quoted};
use crate::nearest::nearest;
use crate::python;
use crate::yaml::{Entry, Node, Value};

const TYPE_WORDS: [&str; 13] = [
    "string", "integer", "number", "float", "boolean", "uuid", "datetime", "date", "object", "array", "enum", "ref",
    "any",
];

const EXPECTED_SCHEMA: &str = "a mapping with `type`, or the type as text";

/// The entries of `definitions`, in their order.
pub(in crate::contract) fn definitions(reader: &mut Reader, root: &Node) -> Vec<Definition> {
    let Some(section) = reader.map(root, "definitions") else { return Vec::new() };
    section.map().unwrap_or_default().iter().filter_map(|entry| definition(reader, entry)).collect()
}

fn definition(reader: &mut Reader, entry: &Entry) -> Option<Definition> {
    let named = python::class_name(&entry.key);
    if named.is_none() {
        let message = format!("`{}` cannot be the name of a model", quoted(&entry.key));
        reader.fault(entry.key_place, message, "a class name", "for example `ModelOrderLine`");
    }
    let value = &entry.value;
    // `progress_model: {name: ModelProgress, module: ...}` names a class that is described elsewhere.
    let names_class = value.get("name").is_some() && value.get("module").is_some() && !is_schema(value);
    let mut schema = if names_class {
        let class = Schema::plain(value.place, Shape::Class(reader.class(value, &entry.key)?));
        Schema { description: reader.words(value, "description"), ..class }
    } else if value.get("type").is_none() && value.map().is_some() && !describes_value(value) {
        Schema { description: reader.words(value, "description"), ..object(reader, value) }
    } else {
        schema(reader, value)?
    };
    // A model without fields is still a model of its own.
    if matches!(&schema.shape, Shape::Dict { .. }) && value.get("type").and_then(Node::text) == Some("object") {
        let open = ["additionalProperties", "value_type", "key_type"].iter().any(|key| value.get(key).is_some());
        if !open {
            schema = Schema { shape: object(reader, value).shape, ..schema };
        }
    }
    named.map(|_| Definition { name: entry.key.clone(), place: entry.key_place, schema })
}

/// Whether a mapping describes data, and does not just name a class.
pub(in crate::contract) fn is_schema(node: &Node) -> bool {
    ["type", "properties", "$ref", "ref", "anyOf", "oneOf", "allOf", "enum", "const"]
        .iter()
        .any(|key| node.get(key).is_some())
}

fn describes_value(node: &Node) -> bool {
    is_schema(node) && node.get("properties").is_none()
}

/// One schema: a mapping, or a type as text.
pub(in crate::contract) fn schema(reader: &mut Reader, node: &Node) -> Option<Schema> {
    match &node.value {
        Value::Map(_) => {}
        Value::Text(text) => return word(reader, text, node),
        Value::Null => return Some(Schema::plain(node.place, Shape::Any)),
        _ => {
            reader.wrong_kind(node, "schema", EXPECTED_SCHEMA, "for example `type: string`");
            return None;
        }
    }
    let mut schema = shape(reader, node)?;
    // A reference that leads nowhere is a fault of the name, not of the mapping around it.
    if !matches!(schema.shape, Shape::Definition(_)) {
        schema.place = node.place;
    }
    schema.nullable |= reader.flag(node, "nullable").unwrap_or(false);
    schema.description = reader.words(node, "description");
    schema.default = entry(node, "default").map(|entry| entry.value.clone());
    // Who writes `default: null` means that the value may be missing.
    schema.nullable |= schema.default.as_ref().is_some_and(|default| default.value == Value::Null);
    let factory = reader.text(node, "default_factory").map(str::to_owned);
    schema.default_factory = factory.zip(node.get("default_factory").map(|factory| factory.place));
    schema.required = match node.get("required").map(|required| &required.value) {
        Some(Value::Bool(required)) => Some(*required),
        _ => None,
    };
    schema.limits = Limits::read(reader, node);
    Some(schema)
}

/// The shape that a mapping describes.
fn shape(reader: &mut Reader, node: &Node) -> Option<Schema> {
    if let Some(reference) = node.get("$ref").or_else(|| node.get("ref")) {
        return reference_to(reader, reference);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(list) = node.get(key) {
            return combined(reader, node, key, list);
        }
    }
    if let Some(value) = node.get("const") {
        return choice(reader, node, std::slice::from_ref(value));
    }
    let names = ["enum", "values"].into_iter().find_map(|key| node.get(key).map(|list| (key, list)));
    let of_enum = node.get("type").and_then(Node::text).is_some_and(|text| text == "enum");
    match (names, node.get("enum_class")) {
        (Some(("enum", _)), _) | (Some(_), Some(_)) => return enumeration(reader, node),
        (Some(_), None) if of_enum => return enumeration(reader, node),
        (None, Some(_)) => return enumeration(reader, node),
        _ => {}
    }
    let Some(kind) = node.get("type") else {
        let described = node.get("properties").is_some();
        return Some(if described { object(reader, node) } else { Schema::plain(node.place, Shape::Any) });
    };
    match &kind.value {
        Value::Text(text) => typed(reader, node, text, kind),
        Value::List(kinds) => {
            let members = kinds.iter().filter_map(|kind| match kind.text() {
                Some(text) => typed(reader, node, text, kind),
                None if kind.value == Value::Null => Some(Schema::plain(kind.place, Shape::Null)),
                None => {
                    reader.wrong_kind(kind, "type[]", "the name of a type", "for example `type: [string, \"null\"]`");
                    None
                }
            });
            let members: Vec<Schema> = members.collect();
            (!members.is_empty()).then(|| one_of(members, node.place))
        }
        _ => {
            reader.wrong_kind(kind, "type", "the name of a type, or a list of them", "for example `type: string`");
            None
        }
    }
}

/// The shape of a mapping whose `type` is `text`.
fn typed(reader: &mut Reader, node: &Node, text: &str, kind: &Node) -> Option<Schema> {
    let plain = |shape| Some(Schema::plain(kind.place, shape));
    match text.trim() {
        "object" | "dict" | "map" | "mapping" if node.get("properties").is_some() => Some(object(reader, node)),
        "object" | "dict" | "map" | "mapping" => {
            let value = ["value_type", "values", "additionalProperties"].into_iter().find_map(|key| node.get(key));
            let value = value.filter(|value| !matches!(value.value, Value::Bool(_)));
            let value = element(reader, value, node)?;
            let key = element(reader, node.get("key_type"), node)?;
            let key = if key.shape == Shape::Any { Schema::plain(node.place, Shape::Text) } else { key };
            plain(Shape::Dict { key: Box::new(key), value: Box::new(value) })
        }
        "array" | "list" | "set" | "tuple" => {
            let items = ["items", "item_type", "item", "element_type"].into_iter().find_map(|key| node.get(key));
            if let Some(members) = items.and_then(Node::list) {
                let members = members.iter().filter_map(|member| schema(reader, member)).collect();
                return plain(Shape::Tuple(members));
            }
            let item = Box::new(element(reader, items, node)?);
            plain(if text == "set" { Shape::Set(item) } else { Shape::List(item) })
        }
        "string" | "str" | "text" => plain(formatted(node.get("format").and_then(Node::text).unwrap_or_default())),
        "enum" | "ref" => {
            let help = if text == "enum" { "list the values under `enum:`" } else { "name the model under `ref:`" };
            reader.fault(kind.place, format!("the type is `{text}`, and nothing says which"), EXPECTED_SCHEMA, help);
            None
        }
        "date-time" => plain(Shape::DateTime),
        other => word(reader, other, kind),
    }
}

/// The schema of the elements of a list or mapping; anything where the contract does not say.
fn element(reader: &mut Reader, found: Option<&Node>, of: &Node) -> Option<Schema> {
    match found {
        Some(found) => schema(reader, found),
        None => Some(Schema::plain(of.place, Shape::Any)),
    }
}

fn formatted(format: &str) -> Shape {
    match format {
        "uuid" => Shape::Uuid,
        "date-time" | "datetime" => Shape::DateTime,
        "date" => Shape::Date,
        "time" => Shape::Time,
        "duration" => Shape::Duration,
        "decimal" => Shape::Decimal,
        "binary" => Shape::Bytes,
        _ => Shape::Text,
    }
}

/// A type as text: a plain word, or a type as in Python.
fn word(reader: &mut Reader, text: &str, node: &Node) -> Option<Schema> {
    match text.trim() {
        "array" | "list" | "object" | "dict" | "date-time" => return typed(reader, node, text.trim(), node),
        _ => {}
    }
    if let Some(shape) = scalar(text.trim()) {
        return Some(Schema::plain(node.place, shape));
    }
    let read = type_text_lenient(text, node.place);
    // A bare word in small letters is no class: it is a type that is not known, or a slip of the pen.
    let unknown = match &read {
        Some(Schema { shape: Shape::Class(class), .. }) => {
            class.module.is_none() && class.name.chars().all(|c| c.is_lowercase() || c.is_numeric() || c == '_')
        }
        Some(_) => false,
        None => true,
    };
    if !unknown {
        return type_text(reader, node).or(read);
    }
    let help = nearest(text, &TYPE_WORDS)
        .map_or("name a type of JSON schema or of Python".to_owned(), |near| format!("did you mean `{near}`?"));
    let expected = format!("one of {}", TYPE_WORDS.join(", "));
    reader.fault(node.place, format!("unknown type `{}`", quoted(text)), &expected, &help);
    None
}

/// `#/definitions/ModelLine`, or the name alone.
fn reference_to(reader: &mut Reader, node: &Node) -> Option<Schema> {
    let text = node.text().map(str::trim).unwrap_or_default();
    let name = match text.strip_prefix('#') {
        Some(path) => path.rsplit('/').next().unwrap_or_default(),
        None => text,
    };
    if name.is_empty() || name.contains(['/', '#']) {
        let message = format!("`{}` is not a reference", quoted(text));
        let help = "write `$ref: '#/definitions/ModelLine'` or `ref: ModelLine`";
        reader.fault(node.place, message, "the name of an entry of `definitions`", help);
        return None;
    }
    Some(Schema::plain(node.place, Shape::Definition(name.to_owned())))
}

fn combined(reader: &mut Reader, node: &Node, key: &str, list: &Node) -> Option<Schema> {
    let members: Vec<Schema> =
        list.list().unwrap_or_default().iter().filter_map(|member| schema(reader, member)).collect();
    if members.is_empty() {
        reader.wrong_kind(list, key, "a list of schemas", "begin each schema with `- `");
        return None;
    }
    if key == "allOf" && members.len() > 1 {
        let help = "write the properties of all of them in one object";
        reader.fault(list.place, "`allOf` joins several schemas".to_owned(), "one schema", help);
        return None;
    }
    Some(one_of(members, node.place))
}

fn enumeration(reader: &mut Reader, node: &Node) -> Option<Schema> {
    let listed = node.get("enum").or_else(|| node.get("values"));
    let class = match node.get("enum_class") {
        Some(named) => {
            let mut class = reader.class(named, "enum_class")?;
            class.module = reader.text(node, "module").map(str::to_owned).or(class.module);
            reader.check_class(&class).then_some(class)
        }
        None => None,
    };
    match (listed.and_then(Node::list), class) {
        (Some(values), class) if !values.is_empty() => {
            let mut schema = choice(reader, node, values)?;
            if let Shape::Choice { class: of, .. } = &mut schema.shape {
                *of = class;
            }
            Some(schema)
        }
        (None, Some(class)) => Some(Schema::plain(node.place, Shape::Class(class))),
        _ => {
            let place = listed.map_or(node.place, |listed| listed.place);
            let help = "list the values, for example `enum: [new, paid, shipped]`";
            reader.fault(place, "the enum lists no values".to_owned(), "a list of values", help);
            None
        }
    }
}

/// One of `values`; a null among them makes it nullable.
fn choice(reader: &mut Reader, node: &Node, values: &[Node]) -> Option<Schema> {
    let mut kept: Vec<Node> = Vec::new();
    let mut nullable = false;
    for value in values {
        let value = value.get("value").or_else(|| value.get("name")).unwrap_or(value);
        match &value.value {
            Value::Null => nullable = true,
            Value::List(_) | Value::Map(_) => {
                reader.wrong_kind(value, "enum[]", "text, a number, true or false", "write each value on its own line");
                return None;
            }
            _ if kept.iter().any(|known| known.value == value.value) => {}
            _ => kept.push(value.clone()),
        }
    }
    let shape = if kept.is_empty() { Shape::Null } else { Shape::Choice { values: kept, class: None } };
    Some(Schema { nullable: nullable && shape != Shape::Null, ..Schema::plain(node.place, shape) })
}

/// A mapping with `properties`.
fn object(reader: &mut Reader, node: &Node) -> Schema {
    let listed: Vec<(&str, &Node)> = match node.get("required") {
        Some(required) if !matches!(required.value, Value::Bool(_)) => {
            reader.list(node, "required").iter().filter_map(|item| Some((item.text()?, item))).collect()
        }
        _ => Vec::new(),
    };
    let mut properties: Vec<Property> = Vec::new();
    for entry in reader.map(node, "properties").and_then(Node::map).unwrap_or_default() {
        let Some(schema) = schema(reader, &entry.value) else { continue };
        let required = listed.iter().any(|(name, _)| *name == entry.key) || schema.required == Some(true);
        properties.push(Property { name: entry.key.clone(), place: entry.key_place, schema, required });
    }
    let described = node.get("properties").and_then(Node::map).unwrap_or_default();
    for (name, place) in listed {
        if !described.iter().any(|entry| entry.key == name) {
            let known: Vec<&str> = described.iter().map(|entry| entry.key.as_str()).collect();
            let near = nearest(name, &known);
            let help = near.map_or("describe it under `properties`, or leave it out".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            let message = format!("`{}` is required and not among the properties", quoted(name));
            reader.fault(place.place, message, "the name of a property", &help);
        }
    }
    let frozen = reader.flag(node, "frozen").unwrap_or(true);
    let extra = extra(reader, node);
    Schema::plain(node.place, Shape::Fields(Object { properties, frozen, extra }))
}

fn extra(reader: &mut Reader, node: &Node) -> Extra {
    let Some(word) = node.get("extra") else {
        return match node.get("additionalProperties").map(|value| &value.value) {
            None | Some(Value::Bool(false)) => Extra::Forbid,
            Some(_) => Extra::Allow,
        };
    };
    match word.text() {
        Some("forbid") => Extra::Forbid,
        Some("ignore") => Extra::Ignore,
        Some("allow") => Extra::Allow,
        _ => {
            let message = "`extra` is not one of Pydantic's words".to_owned();
            reader.fault(word.place, message, "forbid, ignore or allow", "leave it out for `forbid`");
            Extra::Forbid
        }
    }
}
