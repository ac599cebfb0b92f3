//! The promises of the actor kit, one test each.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests start tasks, and one drops slowly")]

mod chaos;
mod failures;
mod flow;
mod house;
mod properties;
mod stuck;
