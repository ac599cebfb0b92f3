//! `omninode config` and what `generate` does with a configuration, as a user sees it.

use crate::support::{Bench, Ended, contract, corpus, packages};

fn config(bench: &Bench, arguments: &[&str]) -> Ended {
    Ended::of(&bench.program().arg("config").args(arguments).output().unwrap())
}

const WRONG: &str = "environment: production\ndatabase: {hostt: db}\ntemplate_cache:\n  enabled: maybe\n\
                     logging:\n  level: INFOO # loud\n  rotation: {max_bytes: 0}\n";

#[test]
fn check_tells_all_faults_at_once_with_place_key_value_and_suggestion() {
    let bench = Bench::new();
    bench.write("configs/deployment.yaml", WRONG);
    let ended = config(&bench, &["check"]).expect_code(1);
    for part in [
        "error: unknown key `database.hostt`\n --> configs/deployment.yaml:2:12",
        "= help: did you mean `host`?",
        "error: `template_cache.enabled` cannot be `maybe`\n --> configs/deployment.yaml:4:12",
        "^^^^^ expected true or false",
        "error: `logging.level` cannot be `INFOO`\n --> configs/deployment.yaml:6:10",
        "6 |   level: INFOO # loud",
        "= help: did you mean `INFO`?",
        "error: `logging.rotation.max_bytes` cannot be `0`\n --> configs/deployment.yaml:7:25",
    ] {
        assert!(ended.stderr.contains(part), "`{part}` is missing in\n{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "configs/deployment.yaml: 4 faults, no warnings\n");
}

#[test]
fn check_as_data_has_the_same_faults_and_nothing_on_standard_error() {
    let bench = Bench::new();
    bench.write("my.yaml", WRONG);
    let ended = config(&bench, &["check", "--config", "my.yaml", "--format", "json"]).expect_code(1);
    assert_eq!(ended.stderr, "");
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let keys: Vec<_> =
        report["faults"].as_array().unwrap().iter().map(|fault| fault["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["database.hostt", "template_cache.enabled", "logging.level", "logging.rotation.max_bytes"]);
    let fault = &report["faults"][2];
    assert_eq!(
        (&fault["file"], &fault["place"]["line"], &fault["place"]["column"]),
        (&"my.yaml".into(), &6.into(), &10.into())
    );
    assert_eq!((&fault["found"], &fault["help"]), (&"INFOO".into(), &"did you mean `INFO`?".into()));
    assert!(fault["expected"].as_str().unwrap().contains("WARNING"));
    // A flag is no file.
    let flag = config(&bench, &["check", "--set", "logging.level=LOUD", "--format", "json"]).expect_code(1);
    let report: serde_json::Value = serde_json::from_str(&flag.stdout).unwrap();
    let fault = &report["faults"][0];
    assert_eq!(
        (&fault["file"], &fault["origin"], &fault["from"]),
        (&serde_json::Value::Null, &"flag".into(), &"flag --set logging.level".into())
    );
    let none = config(&bench, &["check", "--config", "none.yaml", "--format", "json"]).expect_code(1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&none.stdout).unwrap()["file"], "none.yaml");
    let right = config(&bench, &["check", "--format", "json"]).expect_code(0);
    let right: serde_json::Value = serde_json::from_str(&right.stdout).unwrap();
    assert_eq!((&right["faults"], &right["file"]), (&serde_json::json!([]), &serde_json::Value::Null));
}

#[test]
fn show_of_a_wrong_configuration_has_its_faults_as_data_too() {
    let bench = Bench::new();
    bench.write("configs/deployment.yaml", WRONG);
    let ended = config(&bench, &["show", "--format", "json"]).expect_code(1);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((report["faults"].as_array().unwrap().len(), ended.stderr.as_str()), (4, ""));
}

#[test]
fn what_is_given_to_set_is_repeated_only_where_it_is_a_key() {
    let bench = Bench::new();
    for text in ["database.url:postgresql://u:hunter2@h", "postgresql://me:hunter2@h/db?x=y", "Hunter2-hunter2"] {
        let ended = config(&bench, &["check", "--set", text]).expect_code(1);
        assert!(ended.stderr.contains("expected KEY=VALUE"), "{}", ended.stderr);
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
    let section = config(&bench, &["check", "--set", "database=x"]).expect_code(1);
    assert!(section.stderr.contains("it is a section; name one of its keys: url, host"), "{}", section.stderr);
}

#[test]
fn a_value_of_several_lines_stays_on_one_line_of_the_table() {
    let bench = Bench::new();
    let shown = config(&bench, &["show", "--set", "logging.dir=/a\nb\t"]).expect_code(0).stdout;
    assert_eq!(shown.lines().count(), 31, "{shown}");
    assert!(shown.contains("/a\\nb\\t  "), "{shown}");
}

#[test]
fn a_variable_that_is_no_text_is_a_fault_where_it_is_used() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    let broken = std::ffi::OsStr::from_bytes(b"/a/\xff");
    let check = |name: &str| Ended::of(&bench.program().args(["config", "check"]).env(name, broken).output().unwrap());
    assert!(check("LOG_DIR").expect_code(1).stderr.contains("the variable `LOG_DIR` is not UTF-8 text"));
    check("OTHER").expect_code(0);
}

#[test]
fn a_wrong_configuration_stops_a_run_before_anything_is_opened() {
    let bench = Bench::new();
    let folder = corpus(&bench, 1);
    bench.write("configs/deployment.yaml", WRONG);
    let ended = bench.generate([&folder]).expect_code(2);
    assert!(ended.stderr.contains("configs/deployment.yaml:6:10"), "{}", ended.stderr);
    assert!(!bench.out().exists() && !bench.path("omninode.db").exists());
    let named = ["--config".as_ref(), "none.yaml".as_ref(), folder.as_os_str()];
    let ended = bench.generate(named).expect_code(2);
    assert!(ended.stderr.contains("none.yaml") && ended.stderr.contains("--config FILE"), "{}", ended.stderr);
    // What the command line says is part of it.
    let bench = Bench::new();
    let folder = corpus(&bench, 1);
    for (flag, value, said) in [
        ("--workers", "0", "`parallel_generation.max_workers` cannot be `0`"),
        ("--workers", "halv", "did you mean `half`?"),
        ("--worker-timeout", "0", "from 1 to 86400"),
        ("--set", "logging.level=LOUD", "flag --set logging.level"),
        ("--set", "nothing", "expected KEY=VALUE"),
    ] {
        let ended = bench.generate([folder.as_os_str(), flag.as_ref(), value.as_ref()]).expect_code(2);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

#[test]
fn a_database_url_that_is_none_is_a_fault_and_is_not_repeated() {
    let bench = Bench::new();
    let folder = corpus(&bench, 1);
    let mut command = bench.program();
    command.arg("generate").arg(folder).arg("--out").arg(bench.out());
    let ended =
        Ended::of(&command.env("DATABASE_URL", "postgresql://me:hun/ter2@h/db").output().unwrap()).expect_code(2);
    assert!(ended.stderr.contains("environment DATABASE_URL") && ended.stderr.contains("%2F"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("ter2"), "{}", ended.stderr);
}

#[test]
fn the_log_is_text_or_json_and_its_level_is_obeyed() {
    let bench = Bench::new();
    let folder = corpus(&bench, 2);
    let run = |set: &[&str]| {
        let mut command = bench.command([&folder]);
        command.args(set.iter().flat_map(|set| ["--set", set]));
        Ended::of(&command.output().unwrap()).expect_code(0).stderr
    };
    assert_eq!(run(&[]), "");
    assert!(run(&["logging.level=info"]).contains("INFO generation begins contracts=2"));
    let json = run(&["logging.level=debug", "logging.format=json"]);
    let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The statements of the database library are no news.
    assert!(lines.iter().all(|line| !line["target"].as_str().unwrap().starts_with("sqlx")), "{json}");
    let begins = lines.iter().find(|line| line["message"] == "generation begins").unwrap();
    assert_eq!((&begins["contracts"], &begins["level"]), (&2.into(), &"INFO".into()));
    assert!(begins["timestamp"].as_str().unwrap().contains('T'), "{begins}");
}

#[test]
fn a_run_without_monitoring_makes_packages_and_no_database() {
    let bench = Bench::new();
    bench.write("contracts/a/contract.yaml", contract("node_a_compute"));
    bench.write(".env", "MONITORING_ENABLED=off\n");
    let mut command = bench.program();
    command.args(["generate", "contracts", "--out", "out", "--format", "json"]);
    let ended = Ended::of(&command.output().unwrap()).expect_code(0);
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&summary["rows_stored"], &summary["rows_dropped"]), (&0.into(), &0.into()));
    assert_eq!(packages(&bench.out()), ["node_a_compute"]);
    assert!(!bench.path(".omninode").exists());
}

#[test]
fn help_names_the_ways_to_configure_and_no_command_reads_them_for_itself() {
    let bench = Bench::new();
    let help = Ended::of(&bench.program().args(["generate", "--help"]).output().unwrap()).expect_code(0).stdout;
    for flag in ["--config", "--env-file", "--set", "half, all or double"] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    // Completions work in a folder whose configuration is wrong.
    bench.write("configs/deployment.yaml", WRONG);
    Ended::of(&bench.program().args(["completions", "bash"]).output().unwrap()).expect_code(0);
}
