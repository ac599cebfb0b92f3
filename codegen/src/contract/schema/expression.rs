//! Types written as in Python: `list[ModelOrder]`, `UUID | None`, `dict[str, JsonType]`, `acme.models.ModelOrder`.

use super::{ClassRef, Schema, Shape};
use crate::contract::reader::{Reader, quoted};
use crate::diagnostic::Place;
use crate::python;
use crate::yaml::{Node, Value};

/// How deep brackets may be nested.
const DEPTH_MAX: usize = 32;

/// The type that a text names; a fault where it cannot be read.
pub(in crate::contract) fn type_text(reader: &mut Reader, node: &Node) -> Option<Schema> {
    let text = node.text().unwrap_or_default();
    let read = type_text_lenient(text, node.place);
    if read.is_none() {
        let help = "write a class name, a dotted path, or a type such as `list[ModelOrder]` or `str | None`";
        reader.fault(node.place, format!("`{}` is not a type", quoted(text)), "a type as in Python", help);
    }
    let read = read?;
    if let Shape::Class(class) = &read.shape
        && !reader.check_class(class)
    {
        return None;
    }
    Some(read)
}

/// The type that a text names; None where it cannot be read.
pub fn type_text_lenient(text: &str, place: Place) -> Option<Schema> {
    let mut parser = Parser { rest: text, place, depth: 0 };
    let schema = parser.union()?;
    parser.rest.trim().is_empty().then_some(schema)
}

struct Parser<'t> {
    rest: &'t str,
    place: Place,
    depth: usize,
}

impl Parser<'_> {
    fn eat(&mut self, token: char) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.strip_prefix(token);
        self.rest = found.unwrap_or(rest);
        found.is_some()
    }

    /// `member | member`, with `None` among them as "nullable".
    fn union(&mut self) -> Option<Schema> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut members = vec![self.member()?];
        while self.eat('|') {
            members.push(self.member()?);
        }
        self.depth -= 1;
        Some(one_of(members, self.place))
    }

    fn member(&mut self) -> Option<Schema> {
        let rest = self.rest.trim_start();
        // A forward reference stands in quotes.
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let (inside, after) = rest[1..].split_once(quote)?;
            self.rest = after;
            return type_text_lenient(inside, self.place);
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.rest = &rest[end..];
        if !name.split('.').all(python::is_identifier) {
            return None;
        }
        let arguments = if self.eat('[') { Some(self.arguments(&name)?) } else { None };
        self.named(&name, arguments)
    }

    fn arguments(&mut self, of: &str) -> Option<Vec<Schema>> {
        let literal = matches!(of, "Literal" | "typing.Literal");
        let mut arguments = Vec::new();
        while !self.eat(']') {
            let rest = self.rest.trim_start();
            if literal {
                arguments.push(self.literal_value()?);
            } else if let Some(after) = rest.strip_prefix("...") {
                self.rest = after;
            } else if rest.starts_with('[') {
                // The parameters of a callable: they say nothing about data.
                self.rest = rest.split_once(']')?.1;
                arguments.push(self.plain(Shape::Any));
            } else {
                arguments.push(self.union()?);
            }
            if !self.eat(',') && !self.rest.trim_start().starts_with(']') {
                return None;
            }
        }
        Some(arguments)
    }

    /// One value of `Literal["a", 1, True]`, as a choice of that value alone.
    fn literal_value(&mut self) -> Option<Schema> {
        let rest = self.rest.trim_start();
        let value = if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let (inside, after) = rest[1..].split_once(quote)?;
            self.rest = after;
            (!inside.contains('\\')).then(|| Value::Text(inside.to_owned()))?
        } else {
            let end = rest.find([',', ']'])?;
            self.rest = &rest[end..];
            match rest[..end].trim() {
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                "None" => Value::Null,
                number => Value::Int(number.parse().ok()?),
            }
        };
        let values = vec![Node { place: self.place, value }];
        Some(self.plain(Shape::Literal(values)))
    }

    fn plain(&self, shape: Shape) -> Schema {
        Schema::plain(self.place, shape)
    }

    fn named(&self, name: &str, arguments: Option<Vec<Schema>>) -> Option<Schema> {
        let bare = name.rsplit('.').next().unwrap_or(name);
        let library =
            matches!(name.split('.').next(), Some("typing" | "collections" | "datetime" | "uuid" | "decimal"));
        let word = if library { bare } else { name };
        if let Some(shape) = scalar(word) {
            return arguments.is_none().then(|| self.plain(shape));
        }
        let arguments = arguments.unwrap_or_default();
        let argument = |at: usize| Box::new(arguments.get(at).cloned().unwrap_or_else(|| self.plain(Shape::Any)));
        let shape = match word {
            "list" | "List" | "Sequence" | "Iterable" | "array" => Shape::List(argument(0)),
            "set" | "Set" | "frozenset" | "FrozenSet" => Shape::Set(argument(0)),
            "dict" | "Dict" | "Mapping" | "MutableMapping" | "object_map" | "map" => {
                Shape::Dict { key: argument(0), value: argument(1) }
            }
            // `tuple[int, ...]` has one argument; it is as long as it likes, like a list.
            "tuple" | "Tuple" if arguments.len() < 2 => Shape::List(argument(0)),
            "tuple" | "Tuple" => Shape::Tuple(arguments),
            "Optional" => return Some(one_of(vec![*argument(0), self.plain(Shape::Null)], self.place)),
            "Union" if !arguments.is_empty() => return Some(one_of(arguments, self.place)),
            "Literal" if !arguments.is_empty() => return Some(one_choice(arguments, self.place)),
            "Annotated" | "Final" | "ClassVar" => return Some(*argument(0)),
            _ => self.class(name),
        };
        Some(self.plain(shape))
    }

    fn class(&self, path: &str) -> Shape {
        let (module, name) = match path.rsplit_once('.') {
            Some((module, name)) => (Some(module.to_owned()), name),
            None => (None, path),
        };
        Shape::Class(ClassRef { name: name.to_owned(), module, place: self.place })
    }
}

/// The shape of a word for one plain value, as Python or JSON schema spells it.
pub(super) fn scalar(word: &str) -> Option<Shape> {
    Some(match word {
        "Any" | "any" | "object" | "JsonType" | "JsonValue" => Shape::Any,
        "None" | "NoneType" | "null" | "none" => Shape::Null,
        "bool" | "boolean" => Shape::Bool,
        "int" | "integer" => Shape::Int,
        "float" | "number" | "double" => Shape::Float,
        "Decimal" | "decimal" => Shape::Decimal,
        "str" | "string" | "text" => Shape::Text,
        "bytes" | "binary" => Shape::Bytes,
        "UUID" | "uuid" => Shape::Uuid,
        "datetime" | "AwareDatetime" | "timestamp" => Shape::DateTime,
        "date" => Shape::Date,
        "time" => Shape::Time,
        "timedelta" | "duration" => Shape::Duration,
        _ => return None,
    })
}

/// One schema for several members: null makes it nullable, equal members are one.
pub(super) fn one_of(members: Vec<Schema>, place: Place) -> Schema {
    let mut flat: Vec<Schema> = Vec::new();
    let mut nullable = false;
    for mut member in members {
        nullable |= std::mem::take(&mut member.nullable) || member.shape == Shape::Null;
        let inner = match member.shape {
            Shape::Null => continue,
            Shape::Union(inner) => inner,
            _ => vec![member],
        };
        for member in inner {
            if !flat.iter().any(|known| known.shape == member.shape && known.limits == member.limits) {
                flat.push(member);
            }
        }
    }
    let schema = match flat.len() {
        0 => Schema::plain(place, Shape::Null),
        1 => flat.remove(0),
        _ => Schema::plain(place, Shape::Union(flat)),
    };
    Schema { nullable: nullable && schema.shape != Shape::Null, ..schema }
}

fn one_choice(arguments: Vec<Schema>, place: Place) -> Schema {
    let mut values = Vec::new();
    let mut nullable = false;
    for argument in arguments {
        let Shape::Literal(one) = argument.shape else { continue };
        nullable |= one.iter().any(|node| node.value == Value::Null);
        values.extend(one.into_iter().filter(|node| node.value != Value::Null));
    }
    let shape = if values.is_empty() { Shape::Null } else { Shape::Literal(values) };
    Schema { nullable, ..Schema::plain(place, shape) }
}
