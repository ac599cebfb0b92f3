//! The guide conformance test: what the operations guide of the replaced system promises, row by row.
//!
//! A row is held by tests named `guide_NN_what_it_promises`, in whichever crate it can be held, or it stands in [`NOT_YET`]
//! with the reason. `./test guide` runs them all and prints the count.

mod configuration;
mod inputs;
mod statements;
mod template_cache;
mod variables;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tidy::rust_files;

/// The guide's steps, numbered from 1.
const ROWS: u8 = 53;

/// How far a row is that does not count yet.
enum Missing {
    /// No test holds any of it.
    All(&'static str),
    /// Tests hold a part; what they do not hold.
    Part(&'static str),
}
use Missing::{All, Part};

const NOT_YET: &[(u8, Missing)] = &[
    (1, All("the README's first command is run by .ci/run from a clean checkout; no test of seconds builds a release")),
    (
        3,
        Part(
            "metric_retention_points, health_check_interval_seconds and rotation are validated and shown; their effect \
             comes with alerts, serve and log files",
        ),
    ),
    (4, Part("`omninode health database` comes with `health`; that the URL is resolved is tested")),
    (5, Part("ALERT_WEBHOOK_URL and LOG_DIR are validated and shown; the channel and the log files come later")),
    (6, All("`cargo build --release --locked` is run by .ci/run from a clean checkout")),
    (
        7,
        All(
            "`./test storage` runs on a cluster of its own, and fails on zero; no test runs it beside a database with rows",
        ),
    ),
    (8, All("`./test cache` exists; the groups monitoring and logging come with their chapters")),
    (9, All("the dashboard")),
    (10, All("`omninode health`")),
    (11, All("the container image, with deployment")),
    (12, All("`omninode health database`")),
    (13, All("`omninode serve`")),
    (15, All("`omninode serve` and the dashboard")),
    (16, All("`omninode doctor`, in the container")),
    (17, All("`omninode health`, in the container")),
    (20, All("alert rules")),
    (21, All("alert channels")),
    (22, Part("the presets and their overrides are tested; the rotation itself comes with log files")),
    (23, All("the dashboard")),
    (24, All("`omninode health`")),
    (26, Part("by the command: the dashboard's section performance")),
    (30, Part("by the command: the dashboard's sections")),
    (31, All("`omninode alerts list`")),
    (32, All("`omninode alerts ack`, `resolve`")),
    (33, All("`omninode alerts stats`")),
    (35, Part("the figures are those of the jobs; asking a running service for them comes with `serve`")),
    (37, Part("warm-up, a longer life and more room are tested; `config set` on a running service comes with `serve`")),
    (49, Part("the cache misses exactly what was invalidated; asking a running service for it comes with `serve`")),
    (39, All("`omninode config set` on a running service")),
    (
        40,
        Part("refused rows leave every connection idle; not tried: 10,000 events, panics of actors beside a database"),
    ),
    (41, All("`omninode alerts rules`")),
    (42, All("`omninode metrics list`")),
    (43, All("reloading of alert rules")),
    (44, All("`omninode metrics record`")),
    (45, All("levels of a component, log files")),
    (46, All("log files")),
    (50, All("metric retention")),
    (52, Part("`serve` under these grants, which comes later; `generate` under them is tested")),
    (53, Part("a node type at HTTP and NATS, which come with `serve`")),
];

/// The rows that a text has tests of.
fn rows_tested(text: &str) -> impl Iterator<Item = u8> {
    let names = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn guide_")
    });
    names.filter_map(|name| {
        let (number, promise) = name.split_once('_')?;
        assert!(
            number.len() == 2 && promise.starts_with(char::is_alphabetic),
            "guide_{name}: expected guide_NN_promise"
        );
        Some(number.parse().expect("two digits"))
    })
}

#[test]
fn conformance_every_row_is_tested_or_named_as_not_yet() {
    let mut tests: BTreeMap<u8, usize> = BTreeMap::new();
    for folder in ["tests", "actors", "src", "codegen"] {
        for file in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            rows_tested(&text).for_each(|row| *tests.entry(row).or_default() += 1);
        }
    }
    let listed: BTreeMap<u8, &Missing> = NOT_YET.iter().map(|(row, missing)| (*row, missing)).collect();
    assert_eq!(listed.len(), NOT_YET.len(), "a row stands twice in the list");
    let known: BTreeSet<u8> = (1..=ROWS).collect();
    let unknown: Vec<_> = tests.keys().chain(listed.keys()).filter(|row| !known.contains(row)).collect();
    assert!(unknown.is_empty(), "no rows of the guide: {unknown:?}");
    for row in &known {
        match (tests.contains_key(row), listed.get(row)) {
            (true, None | Some(Part(_))) | (false, Some(All(_))) => {}
            (true, Some(All(_))) => panic!("row {row} has tests: take it off the list, or say which part is missing"),
            (false, Some(Part(_))) => panic!("row {row} has no test: none of it is there"),
            (false, None) => panic!("row {row} has neither a test nor a reason in NOT_YET"),
        }
    }
    let whole = tests.keys().filter(|row| !listed.contains_key(row)).count();
    let part = listed.values().filter(|missing| matches!(missing, Part(_))).count();
    println!("guide conformance: {whole} of {ROWS} rows tested, {part} more in part; not yet:");
    for (row, missing) in listed {
        match missing {
            All(why) => println!("  {row:2}        {why}"),
            Part(why) => println!("  {row:2} (part) {why}"),
        }
    }
}

#[test]
fn conformance_names_are_found_as_they_are_written() {
    let text = "#[test]\nfn guide_07_x() {}\n    async fn guide_19_y() {}\n// fn guide_20_z\nlet fn_guide_21_a = 1;\n";
    assert_eq!(rows_tested(text).collect::<Vec<_>>(), [7, 19]);
}
