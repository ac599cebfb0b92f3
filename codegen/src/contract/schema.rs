//! The shapes of data that contracts describe: JSON-schema-like `definitions`, and types written as in Python.

mod expression;
mod limits;
pub mod pattern;
mod read;

use crate::diagnostic::Place;
use crate::yaml::Node;

pub(super) use expression::type_text;
pub use expression::type_text_lenient;
pub use limits::{Limits, Number};
pub(super) use read::{definitions, is_schema, schema};

/// A class that a contract names.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassRef {
    pub name: String,
    /// The dotted path of its module; None for a bare name.
    pub module: Option<String>,
    pub place: Place,
}

/// One entry of `definitions`.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub name: String,
    pub place: Place,
    pub schema: Schema,
}

/// What a value must look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub place: Place,
    pub shape: Shape,
    pub nullable: bool,
    pub description: Option<String>,
    /// The default as it is written; a null is a default too.
    pub default: Option<Node>,
    /// The name of a callable that makes the default: `list`, `uuid4`.
    pub default_factory: Option<(String, Place)>,
    pub limits: Limits,
    /// `required` of the property itself, beside the list of its object.
    pub required: Option<bool>,
}

impl Schema {
    pub fn plain(place: Place, shape: Shape) -> Self {
        Self {
            place,
            shape,
            nullable: false,
            description: None,
            default: None,
            default_factory: None,
            limits: Limits::default(),
            required: None,
        }
    }

    /// The shape alone, with null as one of its members where it is nullable.
    pub fn into_shape(self) -> Shape {
        if !self.nullable {
            return self.shape;
        }
        let null = Self::plain(self.place, Shape::Null);
        Shape::Union(vec![Self::plain(self.place, self.shape), null])
    }
}

/// The kind of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
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
    List(Box<Schema>),
    Set(Box<Schema>),
    Tuple(Vec<Schema>),
    Dict {
        key: Box<Schema>,
        value: Box<Schema>,
    },
    Union(Vec<Schema>),
    /// One of the listed values. `class` is the enum that the contract names for them.
    Choice {
        values: Vec<Node>,
        class: Option<ClassRef>,
    },
    /// One of the listed values, written as a Python `Literal`.
    Literal(Vec<Node>),
    Fields(Object),
    Class(ClassRef),
    /// An entry of `definitions`, by its key.
    Definition(String),
}

/// An object whose properties are listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub properties: Vec<Property>,
    pub frozen: bool,
    pub extra: Extra,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    pub name: String,
    pub place: Place,
    pub schema: Schema,
    pub required: bool,
}

/// What a model does with fields that it does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    Forbid,
    Ignore,
    Allow,
}

impl Extra {
    /// The word of Pydantic's `extra` setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "forbid",
            Self::Ignore => "ignore",
            Self::Allow => "allow",
        }
    }
}
