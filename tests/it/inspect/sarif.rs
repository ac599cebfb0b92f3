//! `--check --format sarif`, held against what the published schema requires and allows.

use std::fs;

use serde_json::Value;

use super::{run, version};
use crate::support::{Bench, contract, corpus};

/// The objects of SARIF 2.1.0 that are used: what the published schema requires, and what else it allows of what we write.
/// It allows nothing that it does not name.
const SARIF: &[(&str, &[&str], &[&str])] = &[
    ("log", &["version", "runs"], &["$schema"]),
    ("run", &["tool"], &["results", "columnKind", "invocations"]),
    ("tool", &["driver"], &[]),
    ("driver", &["name"], &["version", "rules"]),
    ("rule", &["id"], &["shortDescription", "help", "defaultConfiguration"]),
    ("configuration", &[], &["level"]),
    ("invocation", &["executionSuccessful"], &[]),
    ("result", &["message"], &["ruleId", "ruleIndex", "level", "locations"]),
    ("message", &["text"], &[]),
    ("location", &[], &["physicalLocation"]),
    ("physical", &["artifactLocation"], &["region"]),
    ("artifact", &["uri"], &[]),
    ("region", &["startLine"], &["startColumn"]),
];

#[track_caller]
fn object(value: &Value, name: &str) {
    let (_, required, allowed) = SARIF.iter().find(|(known, ..)| *known == name).unwrap();
    let keys: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("{name}: {value}")).keys().map(|key| &**key).collect();
    assert!(required.iter().all(|key| keys.contains(key)), "{name}: {value}");
    assert!(keys.iter().all(|key| required.contains(key) || allowed.contains(key)), "{name}: {value}");
}

#[test]
fn a_check_in_sarif_holds_files_and_faults_with_their_places() {
    let bench = Bench::new();
    corpus(&bench, 3);
    version(&bench, 1);
    run(&bench, &[]).expect_code(0);
    version(&bench, 2);
    fs::remove_dir_all(bench.path("out/node_sum_002_compute")).unwrap();
    bench.write("out/node_sum_000_compute/same.txt", "mine\n");
    bench.write("out/node_sum_000_compute/dashes.txt", "mine\n");
    fs::remove_file(bench.path("out/node_sum_001_compute/same.txt")).unwrap();
    bench.write("out/node_sum_001_compute/my notes.txt", "mine\n");
    bench.write("contracts/bad/contract.yaml", "name: node_bad\nnode_type: WIDGET\n");
    bench.write("contracts/good/contract.yaml", contract("node_good_compute"));
    let ended = run(&bench, &["--check", "--format", "sarif"]).expect_code(1);
    let log: Value = serde_json::from_str(&ended.stdout).unwrap();
    object(&log, "log");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    object(run, "run");
    object(&run["tool"], "tool");
    object(&run["tool"]["driver"], "driver");
    object(&run["invocations"][0], "invocation");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for rule in rules {
        object(rule, "rule");
        object(&rule["help"], "message");
        object(&rule["shortDescription"], "message");
        object(&rule["defaultConfiguration"], "configuration");
    }
    let mut found = Vec::new();
    for result in run["results"].as_array().unwrap() {
        object(result, "result");
        object(&result["message"], "message");
        assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()]["id"], result["ruleId"]);
        let level = if ["edited", "unknown"].contains(&result["ruleId"].as_str().unwrap()) { "note" } else { "error" };
        assert_eq!(result["level"], level, "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        object(&result["locations"][0], "location");
        object(place, "physical");
        object(&place["artifactLocation"], "artifact");
        object(&place["region"], "region");
        let uri = place["artifactLocation"]["uri"].as_str().unwrap().rsplit_once("node_sum_").map_or("", |(_, it)| it);
        found.push((
            result["ruleId"].as_str().unwrap(),
            uri.to_owned(),
            place["region"]["startLine"].as_u64().unwrap(),
        ));
    }
    for expected in [
        ("contract", "", 2),
        ("edited", "000_compute/same.txt", 1),
        ("conflict", "000_compute/dashes.txt", 1),
        ("stale", "001_compute/a/long.txt", 1),
        ("missing", "001_compute/same.txt", 1),
        ("unknown", "001_compute/my%20notes.txt", 1),
        ("missing", "002_compute", 1),
    ] {
        let expected = (expected.0, expected.1.to_owned(), expected.2);
        assert!(found.contains(&expected), "{expected:?} is missing in {found:?}");
    }
}
