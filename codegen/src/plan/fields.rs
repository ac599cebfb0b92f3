//! The fields of a model as Python writes them: names, annotations, defaults.

use std::collections::BTreeSet;

use super::classes::{Body, ClassId};
use super::imports::Imports;
use super::layout::{self, Code, Item, statement};
use super::models::{Field, Model};
use super::types::{Scope, Type, limit_items};
use super::values;
use crate::diagnostic::{Diagnostic, Place};
use crate::python::{self, Names};
use crate::yaml::Value;

/// What Pydantic's `BaseModel` has: a field of that name would hide it.
const BASE_MODEL: [&str; 31] = [
    "construct",
    "copy",
    "dict",
    "from_orm",
    "json",
    "model_computed_fields",
    "model_config",
    "model_construct",
    "model_copy",
    "model_dump",
    "model_dump_json",
    "model_extra",
    "model_fields",
    "model_fields_set",
    "model_json_schema",
    "model_parametrized_name",
    "model_post_init",
    "model_rebuild",
    "model_validate",
    "model_validate_json",
    "model_validate_strings",
    "parse_file",
    "parse_obj",
    "parse_raw",
    "schema",
    "schema_json",
    "update_forward_refs",
    "validate",
    "self",
    "cls",
    "mro",
];

/// Names that annotations and defaults in generated models may use.
const BUILTINS: [&str; 12] =
    ["bool", "bytes", "dict", "float", "frozenset", "int", "list", "object", "set", "str", "tuple", "type"];

/// One field, ready to be written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The attribute's name in Python.
    pub(super) name: String,
    /// The name in the contract, where it is another one.
    pub(super) alias: Option<String>,
    pub(super) annotation: String,
    /// The whole statement, on as many lines as it needs.
    pub(super) declaration: String,
}

/// Writes the fields of a model, and adds what they need to the imports.
pub(super) fn written(
    model: &Model,
    scope: &Scope,
    imports: &mut Imports,
    file: &str,
    faults: &mut Vec<Diagnostic>,
) -> Vec<Written> {
    let mut used: BTreeSet<String> = BUILTINS.into_iter().map(str::to_owned).collect();
    let mut starts: Vec<(String, Option<Item>)> = Vec::new();
    for field in &model.fields {
        field.kind.split_limits().0.import_into(scope, imports);
        let annotation = field.kind.split_limits().0.expression(scope);
        let start = default(field, scope, imports).unwrap_or_else(|fault| {
            faults.push(Diagnostic { file: file.to_owned(), ..fault });
            None
        });
        words(&annotation, &mut used);
        if let Some(item) = &start {
            words(&Code::call("", vec![item.clone()]).flat(), &mut used);
        }
        starts.push((annotation, start));
    }
    let mut names = Names::default();
    // Two fields with a valid name each keep it; one that is renamed gets what is left.
    let plain: BTreeSet<&str> =
        model.fields.iter().map(|field| field.name.as_str()).filter(|name| is_plain(name, &used)).collect();
    let mut written = Vec::new();
    for (field, (annotation, start)) in model.fields.iter().zip(starts) {
        let name = if plain.contains(field.name.as_str()) {
            field.name.clone()
        } else {
            let wanted = attribute(&field.name, &used);
            std::iter::repeat_with(|| names.claim(&wanted))
                .find(|name| !plain.contains(name.as_str()))
                .unwrap_or(wanted)
        };
        written.push(write(field, name, annotation, start, imports));
    }
    written
}

fn write(field: &Field, name: String, annotation: String, start: Option<Item>, imports: &mut Imports) -> Written {
    let alias = (name != field.name).then(|| field.name.clone());
    let mut items: Vec<Item> = start.into_iter().collect();
    let only_default = !items.is_empty();
    items.extend(alias.iter().map(|alias| Item::named("alias", Code::Text(alias.clone()))));
    items.extend(field.kind.split_limits().1.map(limit_items).unwrap_or_default());
    if let Some(description) = &field.description {
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        items.push(Item::named("description", Code::Text(description)));
    }
    let before = |after: &str| layout::annotation(4, &name, &annotation, after);
    let declaration = match items.as_slice() {
        [] => format!("    {}", before("")),
        [item] if only_default && item.is_default() => {
            let after = format!(" = {}", item.value().flat());
            statement(4, &format!("{} = ", before(&after)), item.value())
        }
        _ => {
            imports.add("pydantic", "Field");
            statement(4, &format!("{} = ", before(" = Field(")), &Code::call("Field", items))
        }
    };
    Written { name, alias, annotation, declaration }
}

/// `default=...` or `default_factory=...`; None where the field has to be given.
fn default(field: &Field, scope: &Scope, imports: &mut Imports) -> Result<Option<Item>, Diagnostic> {
    if let Some((name, place)) = &field.factory {
        return factory(&field.kind, name, *place, scope, imports).map(Some);
    }
    let Some(node) = &field.default else {
        // Not required, and no default: the field may be left out, and then it is nothing.
        return Ok((!field.required).then(|| Item::named("default", Code::atom("None"))));
    };
    let Some(value) = values::expression(&field.kind, node, scope, imports) else {
        let expected = format!("a value of the type `{}`", field.kind.expression(scope));
        let message = format!("the default of `{}` is not of its type", field.name);
        let help = "change the default or the type; put quotes around text that looks like a number";
        return Err(Diagnostic::new("", Some(node.place), message).expected(expected).help(help));
    };
    if let (Type::Class(id), Some([])) = (&field.kind, node.map())
        && !scope.classes.get(*id).home.is_at(scope.here)
    {
        // The class itself makes it; one that is defined in this very module may not be there yet.
        return Ok(Some(Item::named("default_factory", Code::atom(scope.name(*id)))));
    }
    Ok(Some(match (&node.value, value.flat().as_str()) {
        (Value::List(_), "[]") => Item::named("default_factory", Code::atom("list")),
        (Value::Map(_), "{}") => Item::named("default_factory", Code::atom("dict")),
        (Value::List(_), "set()") => Item::named("default_factory", Code::atom("set")),
        (Value::List(_) | Value::Map(_), _) => Item::made_anew("default_factory", typed(&field.kind, value, scope)),
        _ => Item::named("default", value),
    }))
}

/// A list, set or dict that a type checker takes for one of its type: `dict[str, object]({...})` where it would infer
/// another.
fn typed(kind: &Type, value: Code, scope: &Scope) -> Code {
    let (bare, _) = kind.split_limits();
    let members = if let Type::Union(members) = bare { members } else { vec![bare] };
    let is_collection = |kind: &&Type| matches!(kind, Type::List(_) | Type::Set(_) | Type::Dict(..));
    let inner = |kind: &Type| if let Type::Limited(inner, _) = kind { (**inner).clone() } else { kind.clone() };
    let members: Vec<Type> = members.iter().map(inner).collect();
    let collections: Vec<&Type> = members.iter().filter(is_collection).collect();
    match collections.as_slice() {
        [kind] if !is_inferred(kind) => Code::call(&kind.expression(scope), vec![Item::plain(value)]),
        _ => value,
    }
}

/// Whether a type checker finds this very type from a value alone.
fn is_inferred(kind: &Type) -> bool {
    match kind {
        Type::List(inner) | Type::Set(inner) | Type::Limited(inner, _) => is_inferred(inner),
        Type::Dict(key, value) => is_inferred(key) && is_inferred(value),
        Type::Any | Type::Union(_) | Type::Literal(_) | Type::Null => false,
        _ => true,
    }
}

/// The callable that a contract names, as far as it is known.
fn factory(kind: &Type, name: &str, place: Place, scope: &Scope, imports: &mut Imports) -> Result<Item, Diagnostic> {
    let word = name.trim().trim_end_matches("()");
    let (bare, _) = kind.split_limits();
    let is = |wanted: fn(&Type) -> bool| match &bare {
        Type::Union(members) => members.iter().any(wanted),
        Type::Any => true,
        kind => wanted(kind),
    };
    let plain = |name: &str| Ok(Item::named("default_factory", Code::atom(name)));
    match word.rsplit('.').next().unwrap_or(word) {
        "list" if is(|kind| matches!(kind, Type::List(_))) => return plain("list"),
        "dict" if is(|kind| matches!(kind, Type::Dict(..))) => return plain("dict"),
        "set" if is(|kind| matches!(kind, Type::Set(_))) => return plain("set"),
        "set" | "tuple" | "frozenset" if is(|kind| matches!(kind, Type::List(_))) => return plain("list"),
        "str" if is(|kind| *kind == Type::Text) => return plain("str"),
        "uuid4" | "uuid" if is(|kind| *kind == Type::Uuid) => {
            imports.add("uuid", "uuid4");
            return plain("uuid4");
        }
        "uuid4" | "uuid" if is(|kind| *kind == Type::Text) => {
            imports.add("uuid", "uuid4");
            return Ok(Item::made_anew("default_factory", Code::atom("str(uuid4())")));
        }
        _ if word.contains("now") && is(|kind| *kind == Type::DateTime) => {
            imports.add("datetime", "UTC");
            imports.add("datetime", "datetime");
            return Ok(Item::made_anew("default_factory", Code::atom("datetime.now(UTC)")));
        }
        name => {
            if let Some(id) = model_of(&bare, name, scope) {
                scope.import(id, imports);
                let call = Code::atom(format!("{}()", scope.name(id)));
                return Ok(Item::made_anew("default_factory", call));
            }
        }
    }
    let message = format!("the default factory `{name}` does not make values of `{}`", kind.expression(scope));
    let help = "use list, dict, set, uuid4 or datetime.now, or write the value under `default`";
    Err(Diagnostic::new("", Some(place), message).expected("a callable that makes a value of the type").help(help))
}

/// The own model of that name, where the type is that model and all its fields have defaults.
fn model_of(kind: &Type, name: &str, scope: &Scope) -> Option<ClassId> {
    let mut found = None;
    kind.for_each_class(&mut |id| {
        let class = scope.classes.get(id);
        let complete = matches!(&class.body, Body::Model(model) if model.fields.iter().all(|field| !field.required));
        if class.name == name && complete {
            found = Some(id);
        }
    });
    found
}

/// Whether a name of the contract can be the name of the attribute.
fn is_plain(name: &str, used: &BTreeSet<String>) -> bool {
    python::is_identifier(name) && !python::is_keyword(name) && !name.starts_with('_') && !hides(name, used)
}

fn hides(name: &str, used: &BTreeSet<String>) -> bool {
    BASE_MODEL.contains(&name) || used.contains(name)
}

/// An attribute name for a field whose own cannot be used.
fn attribute(name: &str, used: &BTreeSet<String>) -> String {
    let bare = name.trim_matches('_');
    let kept = python::is_identifier(bare) && !python::is_keyword(bare);
    let made = if kept { Some(bare.to_owned()) } else { python::identifier(name) };
    let made = made.unwrap_or_else(|| "field".to_owned());
    if hides(&made, used) { format!("{made}_") } else { made }
}

/// Adds the names that stand in an expression, outside of its texts.
fn words(expression: &str, used: &mut BTreeSet<String>) {
    let mut outside = String::new();
    let mut quote = None;
    let mut chars = expression.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(_), '\\') => _ = chars.next(),
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => {
                quote = Some(char);
                outside.push(' ');
            }
            (None, _) => outside.push(char),
        }
    }
    let names = outside.split(|char: char| !(char.is_alphanumeric() || char == '_'));
    used.extend(names.filter(|name| python::is_identifier(name)).map(str::to_owned));
}
