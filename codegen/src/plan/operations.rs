//! What operations say about models that the contract does not describe: the names of their fields.

use std::collections::BTreeMap;

use super::classes::{Body, ClassId, Home, Role};
use super::models::{Field, Models};
use super::types::Type;
use crate::contract::{IoField, ModelUse, Operation};
use crate::yaml::{Node, Value};

/// What a node takes and gives where an operation or handler does not say otherwise.
pub(super) struct NodeTypes {
    pub(super) input: Type,
    pub(super) output: Type,
}

/// The fields that each operation names, by the model they belong to.
type Listed<'c> = BTreeMap<ClassId, Vec<&'c [IoField]>>;

/// Resolves the node's own models and gives them, and those of its operations, the fields that operations name.
pub(super) fn node_types(models: &mut Models<'_>, stem: &str) -> NodeTypes {
    let contract = models.contract;
    let listed_somewhere = |pick: fn(&Operation) -> (&Option<ModelUse>, &[IoField])| {
        contract.operations.iter().map(pick).any(|(own, fields)| own.is_none() && !fields.is_empty())
    };
    let input = node_type(models, contract.input_model.as_ref(), listed_somewhere(inputs), stem, "Input");
    let output = node_type(models, contract.output_model.as_ref(), listed_somewhere(outputs), stem, "Output");
    for (kind, verb) in [(&input, "takes"), (&output, "gives")] {
        if let Type::Class(id) = kind {
            let description = format!("What {} {verb}.", contract.name);
            models.classes.get_mut(*id).description.get_or_insert(description);
        }
    }
    let mut listed = Listed::new();
    for operation in &contract.operations {
        if operation.inputs.is_empty() && operation.outputs.is_empty() {
            continue;
        }
        for ((own, fields), node) in [(inputs(operation), &input), (outputs(operation), &output)] {
            let kind = own.as_ref().map(|own| models.type_of_use(own, stem));
            list(models, &mut listed, kind.as_ref().unwrap_or(node), fields);
        }
    }
    for route in &contract.routing.routes {
        let known = |operation: &Operation| operation.name.is_some() && operation.name == route.operation;
        if !route.output_fields.is_empty() && !contract.operations.iter().any(known) {
            let kind = route.output_model.as_ref().map(|own| models.type_of_use(own, stem));
            list(models, &mut listed, kind.as_ref().unwrap_or(&output), &route.output_fields);
        }
    }
    for (id, lists) in listed {
        let fields = merged(models, id, &lists);
        if let Body::Model(model) = &mut models.classes.get_mut(id).body {
            model.fields = fields;
        }
    }
    NodeTypes { input, output }
}

fn inputs(operation: &Operation) -> (&Option<ModelUse>, &[IoField]) {
    (&operation.input_model, &operation.inputs)
}

fn outputs(operation: &Operation) -> (&Option<ModelUse>, &[IoField]) {
    (&operation.output_model, &operation.outputs)
}

/// The model that the contract names, or a new one where operations name fields for it; anything otherwise.
fn node_type(models: &mut Models<'_>, named: Option<&ModelUse>, listed: bool, stem: &str, end: &str) -> Type {
    match named {
        Some(named) => models.type_of_use(named, &format!("{stem}{end}")),
        None if listed => Type::Class(models.classes.new_own(&format!("Model{stem}{end}"), Role::Model)),
        None => Type::Any,
    }
}

/// Notes the fields for the model, if it is ours and the contract does not describe it.
fn list<'c>(models: &Models<'_>, listed: &mut Listed<'c>, kind: &Type, fields: &'c [IoField]) {
    let Type::Class(id) = kind else { return };
    let class = models.classes.get(*id);
    let open = matches!(&class.body, Body::Model(model) if !model.described) && matches!(class.home, Home::Own(_));
    if open {
        listed.entry(*id).or_default().push(fields);
    }
}

/// One field for each name. It is required where every operation names it.
fn merged(models: &mut Models<'_>, id: ClassId, lists: &[&[IoField]]) -> Vec<Field> {
    let class = models.classes.get(id);
    let stem = class.name.strip_prefix("Model").unwrap_or(&class.name).to_owned();
    let mut fields: Vec<(Field, usize)> = Vec::new();
    for list in lists {
        for (at, listed) in list.iter().enumerate() {
            if list[..at].iter().any(|before| before.name == listed.name) {
                continue;
            }
            let field = field(models, listed, &stem);
            match fields.iter_mut().find(|(known, _)| known.name == listed.name) {
                Some((known, count)) => {
                    *count += 1;
                    merge(known, field);
                }
                None => fields.push((field, 1)),
            }
        }
    }
    let everywhere = |(field, count): (Field, usize)| {
        let has_default = field.default.is_some() || field.factory.is_some();
        let required = field.required && count == lists.len() && !has_default && !field.kind.is_nullable();
        optional_unless(required, field)
    };
    fields.into_iter().map(everywhere).collect()
}

fn field(models: &mut Models<'_>, listed: &IoField, stem: &str) -> Field {
    let schema = listed.schema.as_ref();
    Field {
        name: listed.name.clone(),
        place: listed.place,
        kind: schema.map_or(Type::Any, |schema| models.type_of(schema, stem, &listed.name)),
        required: schema.and_then(|schema| schema.required) != Some(false),
        default: schema.and_then(|schema| schema.default.clone()),
        factory: schema.and_then(|schema| schema.default_factory.clone()),
        description: schema.and_then(|schema| schema.description.clone()),
    }
}

/// What one more operation says about a field that is known.
fn merge(known: &mut Field, other: Field) {
    known.kind = match (&known.kind, other.kind) {
        (Type::Any, kind) => kind,
        (_, Type::Any) => known.kind.clone(),
        (_, kind) => Type::union(vec![known.kind.clone(), kind]),
    };
    known.required &= other.required;
    known.default = known.default.take().or(other.default);
    known.factory = known.factory.take().or(other.factory);
    known.description = known.description.take().or(other.description);
}

/// The field as it is, or with null as its default.
fn optional_unless(required: bool, field: Field) -> Field {
    if required || field.default.is_some() || field.factory.is_some() {
        return Field { required, ..field };
    }
    let null = Node { place: field.place, value: Value::Null };
    Field { required: false, kind: field.kind.or_null(), default: Some(null), ..field }
}
