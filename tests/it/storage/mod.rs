//! Where rows are kept: the same promises on SQLite, PostgreSQL and a store in memory; and what concerns PostgreSQL alone.
//!
//! Tests of PostgreSQL are ignored by `cargo test`; `./test storage` runs them on a cluster of its own.

mod backup;
mod cluster;
mod commands;
mod figures;
mod limits;
mod memory;
mod outages;
mod refusals;
mod roles;
mod rollups;
mod rows;
mod schema;
mod secrets;
mod subject;
mod suite;
mod tls;
mod upkeep;

pub(crate) use cluster::{Cluster, Database, psql};

/// Runs a test with actors in it, on the runtime of the application.
pub(crate) fn run(test: impl Future<Output = ()>) {
    actix_rt::System::with_tokio_rt(omninode::app::runtime).block_on(test);
}
