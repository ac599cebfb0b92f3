//! Every class that a contract names, in the order in which it is read.

use super::classes::Role;
use crate::contract::schema::{ClassRef, Schema, Shape};
use crate::contract::{Contract, ModelUse};

pub(super) fn mentioned(contract: &Contract) -> Vec<(&ClassRef, Role)> {
    let mut found = Vec::new();
    for route in &contract.routing.routes {
        found.push((&route.handler, Role::Handler));
    }
    let routes = contract.routing.routes.iter();
    let of_routes = routes.flat_map(|route| [&route.event_model, &route.input_model, &route.output_model]);
    let of_operations =
        contract.operations.iter().flat_map(|operation| [&operation.input_model, &operation.output_model]);
    let own = [&contract.input_model, &contract.output_model];
    let uses = own.into_iter().chain(of_routes).chain(of_operations).flatten().chain(&contract.further_models);
    for ModelUse { shape, .. } in uses {
        in_shape(shape, &mut found);
    }
    let fields = contract.operations.iter().flat_map(|operation| operation.inputs.iter().chain(&operation.outputs));
    let fields = fields.chain(contract.routing.routes.iter().flat_map(|route| &route.output_fields));
    for schema in fields.filter_map(|field| field.schema.as_ref()) {
        in_shape(&schema.shape, &mut found);
    }
    for definition in &contract.definitions {
        in_shape(&definition.schema.shape, &mut found);
    }
    for class in contract.dependencies.iter().filter_map(|dependency| dependency.class.as_ref()) {
        found.push((class, Role::Protocol));
    }
    found
}

fn in_shape<'c>(shape: &'c Shape, found: &mut Vec<(&'c ClassRef, Role)>) {
    let mut each = |schemas: &'c [Schema]| schemas.iter().for_each(|schema| in_shape(&schema.shape, found));
    match shape {
        Shape::Class(class) => found.push((class, Role::Model)),
        Shape::Choice { class: Some(class), .. } => found.push((class, Role::Enum)),
        Shape::List(item) | Shape::Set(item) => in_shape(&item.shape, found),
        Shape::Tuple(members) | Shape::Union(members) => each(members),
        Shape::Dict { key, value } => {
            in_shape(&key.shape, found);
            in_shape(&value.shape, found);
        }
        Shape::Fields(object) => object.properties.iter().for_each(|property| in_shape(&property.schema.shape, found)),
        _ => {}
    }
}
