//! What an ONEX contract says: the typed view of one `contract.yaml`.
//!
//! Every field holds what the plan needs, spelled one way however the contract spells it. Keys that are not listed here
//! are kept in the text and ignored. All faults of a contract are told at once.

mod handlers;
mod machine;
mod name;
mod reader;
pub mod schema;
mod sections;
#[cfg(test)]
mod tests;

use crate::diagnostic::{Diagnostic, Place};
use crate::yaml;

pub use handlers::{Call, Route, Routing};
pub use machine::{ANY_STATE, State, StateMachine, Transition};
pub use name::{NodeKind, peek_package};
use reader::Reader;
use schema::{ClassRef, Definition, Shape};
pub use sections::{Dependency, FeatureFlag, IoField, Note, Operation, Retry, Step, Topic};

/// One contract, read.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The file as diagnostics name it.
    pub file: String,
    /// The text as it stands in the file, without a byte order mark.
    pub text: String,
    /// The node's name as the contract writes it.
    pub name: String,
    pub name_place: Place,
    pub kind: NodeKind,
    /// `contract_version`, or `node_version` where that is missing: `1.0.2`.
    pub version: Option<String>,
    pub description: Option<String>,
    /// An SPDX expression from `metadata.license`.
    pub license: Option<String>,
    pub input_model: Option<ModelUse>,
    pub output_model: Option<ModelUse>,
    pub routing: Routing,
    /// `io_operations`, and one without a name for top-level `inputs` and `outputs`.
    pub operations: Vec<Operation>,
    pub definitions: Vec<Definition>,
    pub state_machine: Option<StateMachine>,
    /// Models that are named elsewhere: `state_model`, `config`, payloads of intents.
    pub further_models: Vec<ModelUse>,
    pub subscribes: Vec<Topic>,
    pub publishes: Vec<Topic>,
    pub dependencies: Vec<Dependency>,
    /// The workflow of an orchestrator, in the order of the contract.
    pub steps: Vec<Step>,
    pub capabilities: Vec<Note>,
    pub feature_flags: Vec<FeatureFlag>,
    pub error_types: Vec<Note>,
    pub retry: Option<Retry>,
}

/// A model that the contract names, and what it says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelUse {
    pub shape: Shape,
    /// The name or type as the contract writes it; None for a schema.
    pub written: Option<String>,
    pub description: Option<String>,
}

impl ModelUse {
    /// The class itself, where the contract names one class and not a type made of several.
    pub fn class(&self) -> Option<&ClassRef> {
        if let Shape::Class(class) = &self.shape { Some(class) } else { None }
    }
}

impl Contract {
    /// Reads one contract; `file` is the name used in diagnostics.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let root = yaml::parse(file, bytes).map_err(|fault| vec![fault])?;
        let mut reader = Reader::new(file);
        let contract = Self::from_root(&mut reader, &root, bytes);
        match contract {
            Some(contract) if reader.faults.is_empty() => Ok(contract),
            _ => Err(reader.faults),
        }
    }

    fn from_root(reader: &mut Reader, root: &yaml::Node, bytes: &[u8]) -> Option<Self> {
        if !name::is_node_contract(reader, root) {
            return None;
        }
        let name = name::node_name(reader, root);
        let kind = name::node_kind(reader, root);
        let metadata = reader.map(root, "metadata");
        let text = String::from_utf8_lossy(bytes);
        let (subscribes, publishes) = sections::topics(reader, root);
        let contract = Self {
            file: reader.file.clone(),
            text: text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
            name: String::new(),
            name_place: root.place,
            kind: kind.unwrap_or(NodeKind::Compute),
            version: name::version(reader, root),
            description: sections::description(reader, root),
            license: metadata.and_then(sections::license),
            input_model: reader.model_use(root, "input_model").or_else(|| sections::demo_model(reader, root, "input")),
            output_model: reader
                .model_use(root, "output_model")
                .or_else(|| sections::demo_model(reader, root, "output")),
            routing: handlers::routing(reader, root),
            operations: sections::operations(reader, root),
            definitions: schema::definitions(reader, root),
            state_machine: machine::state_machine(reader, root),
            further_models: sections::further_models(reader, root),
            subscribes,
            publishes,
            dependencies: sections::dependencies(reader, root),
            steps: sections::steps(reader, root),
            capabilities: sections::notes(reader, root, "capabilities"),
            feature_flags: sections::feature_flags(reader, root),
            error_types: sections::error_types(reader, root),
            retry: sections::retry(reader, root),
        };
        let (name, name_place) = name?;
        kind?;
        Some(Self { name, name_place, ..contract })
    }
}
