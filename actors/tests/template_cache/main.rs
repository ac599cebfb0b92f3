//! The template cache behind its mailbox, on one thread with a paused clock: what it keeps, what it drops, what it counts.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod disk;
mod house;
mod limits;
