//! The application: everything that touches the world.
//!
//! Floors, imports point down only:
//! ```text
//! cli -> generate, cache, db                          commands
//! summary   report   progress   diagnostics   intake   ledger   what `generate` is made of
//! config                                               settings, from flags, environment, `.env` and file
//! packages   packs   storage   clock   observer        ports of the actors, implemented
//! app   secret                                         the runtime and the log; what must not be printed
//! ```

pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod diagnostics;
pub mod generate;
pub mod intake;
pub mod ledger;
pub mod observer;
pub mod packages;
pub mod packs;
pub mod progress;
pub mod report;
pub mod secret;
pub mod storage;
pub mod summary;
