//! The application: everything that touches the world.
//!
//! Floors, imports point down only:
//! ```text
//! cli -> generate                                     commands
//! summary   report   progress   diagnostics   intake   ledger   what `generate` is made of
//! packages   packs   storage   clock   observer        ports of the actors, implemented
//! app                                                  the runtime and the log
//! ```

pub mod app;
pub mod cli;
pub mod clock;
pub mod diagnostics;
pub mod generate;
pub mod intake;
pub mod ledger;
pub mod observer;
pub mod packages;
pub mod packs;
pub mod progress;
pub mod report;
pub mod storage;
pub mod summary;
