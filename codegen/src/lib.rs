//! What is generated: contract -> plan -> files.
//!
//! Pure functions: the same input gives the same bytes. No async, no I/O, no clock, no randomness.
//!
//! ```text
//! bytes --Contract::read--> Contract --Plan::new--> Plan --render(Pack, Templates)--> files --check--> files
//! ```
//!
//! Floors, imports point down only:
//! ```text
//! render   check                     what a job does with a plan
//! pack   templates   plan            what a plan and a template pack are
//! contract                           what an ONEX contract says
//! yaml   python   diagnostic         ground: YAML with places, Python's words, faults with places
//! ```

pub mod check;
pub mod contract;
pub mod diagnostic;
pub mod failure;
mod nearest;
pub mod pack;
pub mod path;
pub mod plan;
pub mod python;
pub mod render;
pub mod templates;
pub mod yaml;

pub use check::check;
pub use contract::{Contract, NodeKind, peek_package};
pub use diagnostic::{Diagnostic, Place};
pub use failure::Failure;
pub use nearest::nearest;
pub use pack::Pack;
pub use plan::Plan;
pub use render::{File, Limits, render};
pub use templates::Templates;
