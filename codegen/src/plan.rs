//! What becomes of a contract: which files, which classes, every name, type and default. Templates only lay out.
//!
//! ```text
//! mentions   which classes the contract names
//! classes    in which module each of them lives, and under which name it is imported
//! models     their fields: from `definitions`, or as `operations` name them
//! handlers   the handler classes and the routing table
//! cycles     models that need each other, brought into one module
//! modules    what stands in each module: fields written as Python, imports sorted
//! view       what templates see
//! ```

mod classes;
mod cycles;
mod fields;
mod handlers;
mod imports;
mod layout;
mod machine;
mod mentions;
mod models;
mod modules;
mod operations;
mod package;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod values;
mod view;

use minijinja::value::Serde;

use crate::contract::{Contract, NodeKind};
use crate::diagnostic::Diagnostic;

/// Everything that a template pack needs to write one package.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The package's folder: the node's name made a Python identifier.
    pub package: String,
    pub node_kind: NodeKind,
    /// What the templates see.
    pub context: minijinja::Value,
    /// The bytes for the package's `contract.yaml`.
    pub contract_text: String,
}

impl Plan {
    /// Plans the package of one contract; all faults are told at once.
    pub fn new(contract: &Contract) -> Result<Self, Vec<Diagnostic>> {
        let view = package::view(contract)?;
        Ok(Self {
            package: view.node.package.clone(),
            node_kind: contract.kind,
            context: minijinja::Value::from(Serde(view)),
            contract_text: contract.text.clone(),
        })
    }
}
