//! Rows 4 and 5: `.env`, and the variables in it.

use std::process::Command;

use omninode::config::{self, Variables};
use serde_json::json;

use super::configuration::{Shown, bench_with};
use crate::support::{Bench, Ended, corpus};

/// The guide's `.env`, lines 113 to 125.
const ENV: &str = include_str!("env");

/// What a shell does with a script, in the folder of a bench; the program is `$OMNINODE`.
fn shell(bench: &Bench, script: &str) -> Ended {
    let program = bench.program();
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(bench.path("")).env("OMNINODE", program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ended::of(&command.output().unwrap())
}

/// The `database.url` that the program finds, and where.
fn url_shown(ended: &Ended) -> (String, String) {
    let shown = Shown(serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}")));
    let url = shown.setting("database.url");
    (url["value"].as_str().unwrap().to_owned(), url["from"].as_str().unwrap().to_owned())
}

/// The database's URL, password included, with what bash exports from the file, or with the file alone.
fn urls(bench: &Bench) -> [String; 2] {
    let program = bench.program();
    let mut bash = Command::new("bash");
    bash.args(["-c", "export $(cat kept/.env | xargs) 2> complaints; env -0"]).current_dir(bench.path(""));
    for (name, _) in program.get_envs() {
        bash.env_remove(name);
    }
    let exported = String::from_utf8(bash.output().unwrap().stdout).unwrap();
    let exported: Vec<_> = exported.split_terminator('\0').map(|line| line.split_once('=').unwrap()).collect();
    let url = |env_file, variables| {
        let loaded = config::load(config::Sources {
            folder: bench.path("none"),
            file: None,
            env_file,
            flags: Vec::new(),
            variables,
            cores: 1,
        });
        assert_eq!(loaded.faults, []);
        loaded.settings.database.url.0.reveal().to_owned()
    };
    [url(None, Variables::new(exported)), url(Some(bench.path("kept/.env")), Variables::default())]
}

#[test]
fn guide_04_any_password_reaches_the_database_by_both_ways_through_a_chain_too() {
    // A reference to a reference, and one whose default is one.
    let chain = ENV.replace(":${POSTGRES_PASSWORD}@", ":${PASS:-${SECRET}}@") + "\nSECRET=${POSTGRES_PASSWORD}\n";
    for (password, encoded) in [
        ("your-secure-password", "your-secure-password"),
        ("a/b+c=", "a%2Fb%2Bc%3D"),
        ("x@y:z", "x%40y%3Az"),
        ("#1%2F", "%231%252F"),
        ("k3/+=@:#%Zq", "k3%2F%2B%3D%40%3A%23%25Zq"),
    ] {
        for text in [ENV, &chain] {
            let bench = Bench::new();
            bench.write("kept/.env", text.replace("your-secure-password", password));
            let expected = format!("postgresql://postgres:{encoded}@localhost:5432/omninode_bridge");
            assert_eq!(urls(&bench), [expected.clone(), expected]);
        }
    }
}

#[test]
fn guide_04_what_the_printed_line_exports_is_usable_and_so_is_the_file_alone() {
    const SHOW: &str = "\"$OMNINODE\" config show --format json";
    // Half of the passwords that the guide's own `openssl rand -base64 32` makes hold a slash.
    for password in ["your-secure-password", "a/b+c=", "x@y:z", "#1%2F", "k3/+=@:#%Zq"] {
        let bench = Bench::new();
        let text = ENV.replace("your-secure-password", password);
        bench.write("kept/.env", &text);
        let said = shell(&bench, &format!("cd kept; export $(cat .env | xargs); code=$?; cd ..; {SHOW}; exit $code"));
        assert_eq!(said.code, Some(1), "the shell complains about the comments: {said:?}");
        assert!(said.stderr.contains("not a valid identifier"), "{said:?}");
        let expected = "postgresql://postgres:***@localhost:5432/omninode_bridge";
        assert_eq!(url_shown(&said), (expected.to_owned(), "environment DATABASE_URL".to_owned()), "{password}");
        // The same, with only the file.
        bench.write(".env", &text);
        std::fs::set_permissions(bench.path(".env"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let said = shell(&bench, SHOW).expect_code(0);
        assert_eq!(url_shown(&said), (expected.to_owned(), ".env:3 DATABASE_URL".to_owned()), "{password}");
        assert_eq!(said.stderr, "");
        let said = shell(&bench, &format!("{SHOW} --env-file kept/.env"));
        assert_eq!(url_shown(&said).1, "kept/.env:3 DATABASE_URL");
        // The real environment wins over the file.
        let said = shell(&bench, &format!("DATABASE_URL=sqlite://mine.db {SHOW}"));
        assert_eq!(url_shown(&said), ("sqlite://mine.db".to_owned(), "environment DATABASE_URL".to_owned()));
        for ended in [said, shell(&bench, "\"$OMNINODE\" config show; \"$OMNINODE\" config check")] {
            assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(password), "{ended:?}");
        }
    }
}

#[test]
fn guide_04_a_file_that_others_can_read_is_warned_of() {
    let bench = Bench::new();
    let file = bench.write(".env", ENV);
    for (mode, warned) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let check = Ended::of(&bench.program().args(["config", "check"]).output().unwrap()).expect_code(0);
        assert_eq!(check.stderr.contains("chmod 600 .env"), warned, "{mode:o}: {}", check.stderr);
        // Once; and beside data only as data.
        assert_eq!(check.stderr.matches("chmod").count(), usize::from(warned));
        let check = Ended::of(&bench.program().args(["config", "check", "--format", "json"]).output().unwrap());
        let report: serde_json::Value = serde_json::from_str(&check.expect_code(0).stdout).unwrap();
        assert_eq!(report["warnings"].as_array().unwrap().len(), usize::from(warned), "{report}");
    }
    bench.write("my vars/it's.env", ENV);
    let check =
        Ended::of(&bench.program().args(["config", "check", "--env-file", "my vars/it's.env"]).output().unwrap());
    let told = check.expect_code(0).stderr;
    let command = told.lines().find_map(|line| line.split_once("help: ")).unwrap().1;
    assert_eq!(command, r"chmod 600 'my vars/it'\''s.env'");
    assert!(shell(&bench, command).code == Some(0));
    let check = bench.program().args(["config", "check", "--env-file", "my vars/it's.env"]).output().unwrap();
    assert!(!Ended::of(&check).stderr.contains("chmod"), "the command mends it");
}

#[test]
fn guide_05_each_variable_wins_over_the_file_and_a_flag_over_both() {
    let file = "database: {host: file.example, password: from-file}\n\
                monitoring: {enabled: true, alert_webhook_url: 'https://file.example/x'}\n\
                logging: {level: ERROR, dir: /file}\n";
    for (key, variable, value, flag, of_file, of_variable, of_flag) in [
        ("monitoring.enabled", "MONITORING_ENABLED", "false", "true", json!(true), json!(false), json!(true)),
        ("logging.level", "LOG_LEVEL", "critical", "DEBUG", json!("ERROR"), json!("CRITICAL"), json!("DEBUG")),
        ("logging.dir", "LOG_DIR", "/env", "/flag", json!("/file"), json!("/env"), json!("/flag")),
        (
            "monitoring.alert_webhook_url",
            "ALERT_WEBHOOK_URL",
            "https://env.example/key",
            "https://flag.example/key",
            json!("https://file.example/***"),
            json!("https://env.example/***"),
            json!("https://flag.example/***"),
        ),
        (
            "database.url",
            "DATABASE_URL",
            "postgresql://me:pw@env.example/db",
            "sqlite://flag.db",
            json!("postgresql://postgres:***@file.example:5432/omninode_bridge"),
            json!("postgresql://me:***@env.example/db"),
            json!("sqlite://flag.db"),
        ),
        ("database.password", "POSTGRES_PASSWORD", "from-env", "from-flag", json!("***"), json!("***"), json!("***")),
    ] {
        let bench = bench_with(file);
        let set = format!("--set={key}={flag}");
        let flagged = |command: &mut Command| {
            let output = command.args(["config", "show", "--format", "json", &set]).output().unwrap();
            Shown(serde_json::from_str(&Ended::of(&output).expect_code(0).stdout).unwrap())
        };
        for (shown, expected, origin) in [
            (Shown::of(&mut bench.program()), of_file, "file"),
            (Shown::of(bench.program().env(variable, value)), of_variable, "environment"),
            (flagged(bench.program().env(variable, value)), of_flag, "flag"),
        ] {
            assert_eq!((shown.value(key), &shown.setting(key)["origin"]), (&expected, &json!(origin)), "{key}");
        }
    }
}

#[test]
fn guide_05_variables_have_their_effect_on_a_run_and_wrong_ones_are_errors() {
    let run = |variable: &str, value: &str| {
        let bench = bench_with("logging: {level: ERROR}\n");
        let folder = corpus(&bench, 2);
        let mut command = bench.program();
        command.env(variable, value).arg("generate").arg(folder).args(["--out", "out"]);
        (Ended::of(&command.output().unwrap()), bench)
    };
    let (ended, _) = run("LOG_LEVEL", "Info");
    assert!(ended.expect_code(0).stderr.contains("generation begins"));
    let (ended, bench) = run("MONITORING_ENABLED", "false");
    assert_eq!(ended.expect_code(0).stderr, "");
    assert!(!bench.path(".omninode").exists());
    let (ended, bench) = run("DATABASE_URL", "sqlite://named.db");
    ended.expect_code(0);
    assert!(bench.path("named.db").exists());
    for (variable, wrong, told) in [
        ("MONITORING_ENABLED", "maybe", "expected true or false"),
        ("LOG_LEVEL", "LOUD", "expected DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("ALERT_WEBHOOK_URL", "ftp://x/y", "expected https://"),
        ("DATABASE_URL", "mysql://x/y", "expected sqlite://PATH or postgresql://"),
    ] {
        let (ended, bench) = run(variable, wrong);
        let ended = ended.expect_code(2);
        assert!(ended.stderr.contains(told) && ended.stderr.contains(&format!("environment {variable}")), "{ended:?}");
        assert!(!bench.out().exists());
    }
}
