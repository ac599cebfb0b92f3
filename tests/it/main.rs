//! The program as a user runs it, and the rules of the house. One binary.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod config;
mod crashes;
mod disks;
mod faults;
mod generate;
mod guide;
mod inspect;
mod kills;
mod metrics;
mod storage;
mod support;
mod tidy;
