//! Python types of fields and parameters, and how they are written.

use super::classes::{ClassId, Classes, Home};
use super::imports::Imports;
use super::layout::{Code, Item};
use crate::contract::schema::{Limits, Number};
use crate::python;
use crate::yaml::{Node, Value};

/// The module in which names are written.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) classes: &'a Classes,
    /// The module's path inside the package.
    pub(super) here: &'a [String],
}

impl Scope<'_> {
    /// The name of a class in this module.
    pub(super) fn name(&self, id: ClassId) -> String {
        let class = self.classes.get(id);
        if class.home.is_at(self.here) {
            class.name.clone()
        } else if self.classes.is_defined(self.here, &class.alias) {
            format!("{}_imported", class.alias)
        } else {
            class.alias.clone()
        }
    }

    /// Imports a class, unless it is defined here.
    pub(super) fn import(&self, id: ClassId, imports: &mut Imports) {
        let class = self.classes.get(id);
        match &class.home {
            home if home.is_at(self.here) => {}
            Home::Own(module) => imports.add_own(module, &class.name, &self.name(id)),
            Home::Foreign(_) => imports.add_own(&["external".to_owned()], &class.alias, &self.name(id)),
        }
    }
}

/// A type, with every name resolved.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// Anything: `object`.
    Any,
    Null,
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    Bytes,
    Uuid,
    DateTime,
    Date,
    Time,
    Duration,
    List(Box<Self>),
    Set(Box<Self>),
    Tuple(Vec<Self>),
    Dict(Box<Self>, Box<Self>),
    /// Two or more; null stands last.
    Union(Vec<Self>),
    /// One of these values: texts, whole numbers, true and false.
    Literal(Vec<Node>),
    Class(ClassId),
    /// A type whose values are within limits, at least one of which applies to it.
    Limited(Box<Self>, Box<Limits>),
}

impl Type {
    pub(super) fn or_null(self) -> Self {
        Self::union(vec![self, Self::Null])
    }

    /// One type for several: nested ones are opened, equal ones are one, null stands last.
    pub(super) fn union(members: Vec<Self>) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for member in members {
            let inner = if let Self::Union(inner) = member { inner } else { vec![member] };
            for member in inner {
                if !flat.contains(&member) {
                    flat.push(member);
                }
            }
        }
        flat.sort_by_key(|member| *member == Self::Null);
        if flat.len() == 1 { flat.remove(0) } else { Self::Union(flat) }
    }

    pub(super) fn is_nullable(&self) -> bool {
        matches!(self, Self::Null) || matches!(self, Self::Union(members) if members.contains(&Self::Null))
    }

    /// Limits that stand around the whole type, or around all of it but null, and the type without them.
    pub(super) fn split_limits(&self) -> (Self, Option<&Limits>) {
        match self {
            Self::Limited(inner, limits) => ((**inner).clone(), Some(limits)),
            Self::Union(members) => match members.as_slice() {
                [Self::Limited(inner, limits), Self::Null] => ((**inner).clone().or_null(), Some(limits)),
                _ => (self.clone(), None),
            },
            _ => (self.clone(), None),
        }
    }

    /// Whether every value can stand in a set or be a key.
    pub(super) fn is_hashable(&self) -> bool {
        match self {
            Self::Limited(inner, _) => inner.is_hashable(),
            Self::Union(members) | Self::Tuple(members) => members.iter().all(Self::is_hashable),
            Self::Any | Self::List(_) | Self::Set(_) | Self::Dict(..) => false,
            Self::Class(_) => false,
            _ => true,
        }
    }

    pub(super) fn expression(&self, scope: &Scope) -> String {
        let list = |members: &[Self], between: &str| {
            let members: Vec<String> = members.iter().map(|member| member.expression(scope)).collect();
            members.join(between)
        };
        match self {
            Self::Any => "object".to_owned(),
            Self::Null => "None".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Decimal => "Decimal".to_owned(),
            Self::Text => "str".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Uuid => "UUID".to_owned(),
            Self::DateTime => "datetime".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::Duration => "timedelta".to_owned(),
            Self::List(item) => format!("list[{}]", item.expression(scope)),
            Self::Set(item) => format!("set[{}]", item.expression(scope)),
            Self::Tuple(members) if members.is_empty() => "tuple[()]".to_owned(),
            Self::Tuple(members) => format!("tuple[{}]", list(members, ", ")),
            Self::Dict(key, value) => format!("dict[{}, {}]", key.expression(scope), value.expression(scope)),
            Self::Union(members) => list(members, " | "),
            Self::Literal(values) => {
                let values: Vec<String> = values.iter().map(|value| data(value).flat()).collect();
                format!("Literal[{}]", values.join(", "))
            }
            Self::Class(id) => scope.name(*id),
            Self::Limited(inner, limits) => {
                let limits = Code::call("Field", limit_items(limits)).flat();
                format!("Annotated[{}, {limits}]", inner.expression(scope))
            }
        }
    }

    /// Adds what the expression names to the imports of the module at `here`.
    pub(super) fn import_into(&self, scope: &Scope, imports: &mut Imports) {
        match self {
            Self::Uuid => imports.add("uuid", "UUID"),
            Self::Decimal => imports.add("decimal", "Decimal"),
            Self::DateTime => imports.add("datetime", "datetime"),
            Self::Date => imports.add("datetime", "date"),
            Self::Time => imports.add("datetime", "time"),
            Self::Duration => imports.add("datetime", "timedelta"),
            Self::Literal(_) => imports.add("typing", "Literal"),
            Self::List(inner) | Self::Set(inner) => inner.import_into(scope, imports),
            Self::Limited(inner, _) => {
                imports.add("typing", "Annotated");
                imports.add("pydantic", "Field");
                inner.import_into(scope, imports);
            }
            Self::Tuple(members) | Self::Union(members) => {
                members.iter().for_each(|member| member.import_into(scope, imports));
            }
            Self::Dict(key, value) => {
                key.import_into(scope, imports);
                value.import_into(scope, imports);
            }
            Self::Class(id) => scope.import(*id, imports),
            _ => {}
        }
    }

    /// Calls `f` for each class that the type names.
    pub(super) fn for_each_class(&self, f: &mut impl FnMut(ClassId)) {
        match self {
            Self::Class(id) => f(*id),
            Self::List(inner) | Self::Set(inner) | Self::Limited(inner, _) => inner.for_each_class(f),
            Self::Tuple(members) | Self::Union(members) => members.iter().for_each(|member| member.for_each_class(f)),
            Self::Dict(key, value) => {
                key.for_each_class(f);
                value.for_each_class(f);
            }
            _ => {}
        }
    }
}

/// The limits as arguments of `Field`.
pub(super) fn limit_items(limits: &Limits) -> Vec<Item> {
    let number = |name: &str, number: Option<Number>| Some(Item::named(name, Code::atom(number_literal(number?))));
    let length = |name: &str, length: Option<u64>| Some(Item::named(name, Code::atom(length?.to_string())));
    let pattern = limits.pattern.as_ref().map(|text| Item::named("pattern", Code::Text(text.clone())));
    [
        number("ge", limits.ge),
        number("gt", limits.gt),
        number("le", limits.le),
        number("lt", limits.lt),
        number("multiple_of", limits.multiple_of),
        length("min_length", limits.min_length),
        length("max_length", limits.max_length),
        pattern,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn number_literal(number: Number) -> String {
    match number {
        Number::Int(number) => number.to_string(),
        Number::Float(number) => python::float_literal(number),
    }
}

/// Plain data as a Python literal.
pub(super) fn data(node: &Node) -> Code {
    match &node.value {
        Value::Null => Code::atom("None"),
        Value::Bool(flag) => Code::atom(if *flag { "True" } else { "False" }),
        Value::Int(number) => Code::atom(number.to_string()),
        Value::Float(number) => Code::atom(python::float_literal(*number)),
        Value::Text(text) => Code::Text(text.clone()),
        Value::List(items) => Code::list(items.iter().map(data).collect()),
        Value::Map(entries) => {
            Code::dict(entries.iter().map(|entry| (entry.key.clone(), data(&entry.value))).collect())
        }
    }
}
