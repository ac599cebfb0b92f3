//! The models of a package: which classes there are, and the fields of each.

use std::collections::BTreeMap;

use super::classes::{Body, ClassId, Classes, Member, Role};
use super::types::Type;
use crate::contract::schema::{ClassRef, Definition, Extra, Limits, Object, Schema, Shape};
use crate::contract::{Contract, ModelUse};
use crate::diagnostic::{Diagnostic, Place};
use crate::nearest::nearest;
use crate::python;
use crate::yaml::{Node, Value};

/// How far types may lead from one definition to the next before they are taken for a circle.
const ALIAS_DEPTH_MAX: usize = 32;

/// A Pydantic model.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) fields: Vec<Field>,
    pub(super) frozen: bool,
    pub(super) extra: Extra,
    /// Whether the contract describes the model; otherwise the fields are what its operations name.
    pub(super) described: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self { fields: Vec::new(), frozen: true, extra: Extra::Forbid, described: false }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    /// As the contract writes it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Type,
    pub(super) required: bool,
    pub(super) default: Option<Node>,
    pub(super) factory: Option<(String, Place)>,
    pub(super) description: Option<String>,
}

/// Turns what the contract describes into classes and types.
pub(super) struct Models<'c> {
    pub(super) contract: &'c Contract,
    pub(super) classes: Classes,
    pub(super) faults: Vec<Diagnostic>,
    definitions: BTreeMap<&'c str, &'c Definition>,
    /// The classes of those definitions that are classes, by key and by class name.
    defined: BTreeMap<String, ClassId>,
    depth: usize,
}

impl<'c> Models<'c> {
    pub(super) fn new(contract: &'c Contract, classes: Classes) -> Self {
        let definitions = contract.definitions.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let mut models =
            Self { contract, classes, faults: Vec::new(), definitions, defined: BTreeMap::new(), depth: 0 };
        for definition in &contract.definitions {
            models.register(definition);
        }
        for definition in &contract.definitions {
            models.describe(definition);
        }
        models
    }

    /// Gives a definition that is a class its class.
    fn register(&mut self, definition: &Definition) {
        let role = match &definition.schema.shape {
            Shape::Fields(_) => Role::Model,
            Shape::Choice { values, .. } if are_texts(values) => Role::Enum,
            _ => return,
        };
        let name = definition_class_name(&definition.name, role);
        let bare = ClassRef { name: name.clone(), module: None, place: definition.place };
        let id = match self.classes.module_of(&bare) {
            // The contract describes the class and says that another package has it: it is made here, to be of use
            // alone.
            Some(module) if self.classes.own_path(&module).is_none() => {
                let id = self.classes.own(&name, &[], role);
                self.classes.get_mut(id).elsewhere = Some(module);
                id
            }
            _ => match self.classes.named(&bare, role, &self.contract.file) {
                Ok(id) => id,
                Err(fault) => return self.faults.push(fault),
            },
        };
        self.classes.get_mut(id).description.clone_from(&definition.schema.description);
        self.defined.insert(definition.name.clone(), id);
        self.defined.insert(name, id);
    }

    /// Fills the class of a definition.
    fn describe(&mut self, definition: &Definition) {
        if let Shape::Class(class) = &definition.schema.shape {
            let shape = Shape::Class(class.clone());
            let description = definition.schema.description.clone();
            self.type_of_use(&ModelUse { shape, written: None, description }, "");
        }
        let Some(&id) = self.defined.get(&definition.name) else { return };
        match &definition.schema.shape {
            Shape::Fields(object) => self.fill(id, object),
            Shape::Choice { values, .. } => self.add_members(id, values),
            _ => {}
        }
    }

    fn fill(&mut self, id: ClassId, object: &Object) {
        let stem = stem_of(&self.classes.get(id).name);
        let mut fields = Vec::new();
        for property in &object.properties {
            let kind = self.type_of(&property.schema, &stem, &property.name);
            let schema = &property.schema;
            // A null as default says that null is a value.
            let null_default = schema.default.as_ref().is_some_and(|node| node.value == Value::Null);
            let open = schema.default.is_none() && schema.default_factory.is_none();
            let kind = if null_default || (open && !property.required) { kind.or_null() } else { kind };
            fields.push(Field {
                name: property.name.clone(),
                place: property.place,
                kind,
                required: property.required && open,
                default: schema.default.clone(),
                factory: schema.default_factory.clone(),
                description: schema.description.clone().or_else(|| self.alias_description(&schema.shape)),
            });
        }
        let model = Model { fields, frozen: object.frozen, extra: object.extra, described: true };
        self.classes.get_mut(id).body = Body::Model(model);
    }

    /// What a definition that is no class of its own says about the values it stands for.
    fn alias_description(&self, shape: &Shape) -> Option<String> {
        let Shape::Definition(name) = shape else { return None };
        let alias = !self.defined.contains_key(name);
        self.definitions.get(name.as_str()).filter(|_| alias)?.schema.description.clone()
    }

    /// Adds the values that the enum does not have yet.
    fn add_members(&mut self, id: ClassId, values: &[Node]) {
        let Body::Enum(members) = &mut self.classes.get_mut(id).body else { return };
        for value in values.iter().filter_map(Node::text) {
            if !members.iter().any(|member| member.value == value) {
                members.push(Member { name: String::new(), value: value.to_owned() });
            }
        }
    }

    /// The type of a model that the contract names.
    pub(super) fn type_of_use(&mut self, named: &ModelUse, stem: &str) -> Type {
        let kind = self.type_of_shape(&named.shape, &Limits::default(), stem, "", Place { line: 1, column: 1 });
        if let (Type::Class(id), Some(description)) = (&kind, &named.description) {
            let class = self.classes.get_mut(*id);
            class.description.get_or_insert_with(|| description.clone());
        }
        kind
    }

    /// The type of a schema. What has to be named gets its name from the model's `stem` and the `field`.
    pub(super) fn type_of(&mut self, schema: &Schema, stem: &str, field: &str) -> Type {
        let kind = self.type_of_shape(&schema.shape, &schema.limits, stem, field, schema.place);
        if let (Type::Class(id), Some(description), Shape::Fields(_)) = (&kind, &schema.description, &schema.shape) {
            self.classes.get_mut(*id).description = Some(description.clone());
        }
        if schema.nullable { kind.or_null() } else { kind }
    }

    fn type_of_shape(&mut self, shape: &Shape, limits: &Limits, stem: &str, field: &str, place: Place) -> Type {
        let boxed = |kind: Type| Box::new(kind);
        let kind = match shape {
            Shape::Any => Type::Any,
            Shape::Null => Type::Null,
            Shape::Bool => Type::Bool,
            Shape::Int => Type::Int,
            Shape::Float => Type::Float,
            Shape::Decimal => Type::Decimal,
            Shape::Text => Type::Text,
            Shape::Bytes => Type::Bytes,
            Shape::Uuid => Type::Uuid,
            Shape::DateTime => Type::DateTime,
            Shape::Date => Type::Date,
            Shape::Time => Type::Time,
            Shape::Duration => Type::Duration,
            Shape::List(item) => Type::List(boxed(self.type_of(item, stem, field))),
            Shape::Set(item) => match self.type_of(item, stem, field) {
                kind if kind.is_hashable() => Type::Set(boxed(kind)),
                kind => Type::List(boxed(kind)),
            },
            Shape::Tuple(members) => {
                Type::Tuple(members.iter().map(|member| self.type_of(member, stem, field)).collect())
            }
            Shape::Dict { key, value } => {
                let key = self.type_of(key, stem, field);
                let key = if key.is_hashable() { key } else { Type::Text };
                Type::Dict(boxed(key), boxed(self.type_of(value, stem, field)))
            }
            Shape::Union(members) => {
                let members: Vec<Type> = members
                    .iter()
                    .map(|member| {
                        let mut member = member.clone();
                        if member.limits == Limits::default() {
                            member.limits = limits.clone();
                        }
                        self.type_of(&member, stem, field)
                    })
                    .collect();
                return Type::union(members);
            }
            Shape::Choice { values, class } => return self.choice(values, class.as_ref(), stem, field),
            Shape::Literal(values) => return Type::Literal(values.clone()),
            Shape::Fields(object) => return self.nested(object, stem, field),
            Shape::Class(class) => return self.class(class),
            Shape::Definition(name) => return self.definition(name, place),
        };
        limited(kind, limits)
    }

    fn choice(&mut self, values: &[Node], class: Option<&ClassRef>, stem: &str, field: &str) -> Type {
        if values.iter().any(|value| matches!(value.value, Value::Float(_))) {
            return Type::Float;
        }
        let foreign = class.is_some_and(|class| !self.classes.is_own(class));
        if foreign || !are_texts(values) || (values.len() == 1 && class.is_none()) {
            return Type::Literal(values.to_vec());
        }
        let id = match class {
            Some(class) => match self.classes.named(class, Role::Enum, &self.contract.file) {
                Ok(id) => id,
                Err(fault) => {
                    self.faults.push(fault);
                    return Type::Any;
                }
            },
            None => {
                let name = format!("Enum{stem}{}", pascal(field));
                match self.classes.find_own(&name).filter(|id| self.has_members(*id, values)) {
                    Some(id) => return Type::Class(id),
                    None => self.classes.new_own(&name, Role::Enum),
                }
            }
        };
        self.add_members(id, values);
        Type::Class(id)
    }

    fn has_members(&self, id: ClassId, values: &[Node]) -> bool {
        let Body::Enum(members) = &self.classes.get(id).body else { return false };
        members.iter().map(|member| Some(member.value.as_str())).eq(values.iter().map(Node::text))
    }

    /// An object within an object: a model of its own.
    fn nested(&mut self, object: &Object, stem: &str, field: &str) -> Type {
        let id = self.classes.new_own(&format!("Model{stem}{}", pascal(field)), Role::Model);
        self.fill(id, object);
        Type::Class(id)
    }

    fn class(&mut self, class: &ClassRef) -> Type {
        if let Some(definition) = self.definitions.get(class.name.as_str()).copied() {
            // A definition that is no class of its own stands for a type, or for a class elsewhere.
            let alias = !self.defined.contains_key(&class.name);
            let itself = matches!(&definition.schema.shape, Shape::Class(named) if named == class);
            if alias && class.module.is_none() && !itself {
                return self.definition(&class.name, class.place);
            }
        }
        if let Some(id) = self.defined.get(&class.name) {
            return Type::Class(*id);
        }
        // An enum of our own whose values nobody lists: texts are all that is known of it.
        if class.name.starts_with("Enum") && self.classes.is_own(class) {
            return self.classes.find_own(&class.name).map_or(Type::Text, Type::Class);
        }
        match self.classes.named(class, Role::Model, &self.contract.file) {
            Ok(id) => Type::Class(id),
            Err(fault) => {
                self.faults.push(fault);
                Type::Any
            }
        }
    }

    /// What a reference to `definitions` stands for.
    fn definition(&mut self, name: &str, place: Place) -> Type {
        if let Some(id) = self.defined.get(name) {
            return Type::Class(*id);
        }
        let Some(definition) = self.definitions.get(name).copied() else { return self.undefined(name, place) };
        self.depth += 1;
        let kind = if self.depth > ALIAS_DEPTH_MAX {
            let message = format!("the definition `{name}` leads back to itself");
            self.fault(place, message, "a definition that ends in a type", "name the type that is meant");
            Type::Any
        } else {
            self.type_of(&definition.schema, &stem_of(&definition_class_name(name, Role::Model)), "")
        };
        self.depth -= 1;
        kind
    }

    /// A name that `definitions` do not have: perhaps a class that the contract names elsewhere.
    fn undefined(&mut self, name: &str, place: Place) -> Type {
        let class = ClassRef { name: name.to_owned(), module: None, place };
        if self.classes.module_of(&class).is_some() {
            return self.class(&class);
        }
        let known: Vec<&str> = self.definitions.keys().copied().collect();
        let help = nearest(name, &known).map_or_else(
            || "describe it under `definitions`, or name its class and module".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.fault(place, format!("`{name}` is not defined"), "an entry of `definitions`", &help);
        Type::Any
    }

    pub(super) fn fault(&mut self, place: Place, message: String, expected: &str, help: &str) {
        // The same fault of an alias would be told for each of its uses.
        let fault = Diagnostic::new(&self.contract.file, Some(place), message).expected(expected).help(help);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

/// The type within those limits that apply to it.
fn limited(kind: Type, limits: &Limits) -> Type {
    let numeric = matches!(kind, Type::Int | Type::Float | Type::Decimal);
    let sized = matches!(kind, Type::Text | Type::Bytes | Type::List(_) | Type::Set(_) | Type::Dict(..));
    let none = Limits::default();
    let numbers = if numeric { limits } else { &none };
    let lengths = if sized { limits } else { &none };
    let kept = Limits {
        ge: numbers.ge,
        gt: numbers.gt,
        le: numbers.le,
        lt: numbers.lt,
        multiple_of: numbers.multiple_of,
        min_length: lengths.min_length,
        max_length: lengths.max_length,
        pattern: limits.pattern.clone().filter(|_| kind == Type::Text),
    };
    if kept == none { kind } else { Type::Limited(Box::new(kind), Box::new(kept)) }
}

fn are_texts(values: &[Node]) -> bool {
    values.iter().all(|value| value.text().is_some())
}

/// The class of a definition: its key where that is a class name, else one that is made of it.
fn definition_class_name(key: &str, role: Role) -> String {
    if key.starts_with(char::is_uppercase) && python::is_identifier(key) {
        return key.to_owned();
    }
    format!("{}{}", if role == Role::Enum { "Enum" } else { "Model" }, pascal(key))
}

/// The words of a text, joined, each with a capital first letter: `unit_price` is `UnitPrice`.
pub(super) fn pascal(text: &str) -> String {
    let words = text.replace('_', " ");
    // A letter before them keeps digits at the start as they are.
    python::class_name(&format!("x {words}")).map_or_else(String::new, |name| name[1..].to_owned())
}

/// What names of a model's parts are made of: `ModelOrder` is `Order`.
fn stem_of(class: &str) -> String {
    class.strip_prefix("Model").filter(|stem| !stem.is_empty()).unwrap_or(class).to_owned()
}
