//! Rows 3 and 22: the configuration file and its presets.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bench, Ended, corpus, query};

/// The guide's `deployment.yaml`, lines 73 to 107, as it stands there.
const DEPLOYMENT: &str = include_str!("deployment.yaml");

/// Settings by their key, as `config show` prints them.
pub(super) struct Shown(pub(super) Value);

impl Shown {
    pub(super) fn of(command: &mut Command) -> Self {
        let output = command.args(["config", "show", "--format", "json"]).output().unwrap();
        let ended = Ended::of(&output).expect_code(0);
        Self(serde_json::from_str(&ended.stdout).unwrap())
    }

    pub(super) fn setting(&self, key: &str) -> &Value {
        let settings = self.0["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key} in {}", self.0))
    }

    pub(super) fn value(&self, key: &str) -> &Value {
        &self.setting(key)["value"]
    }
}

/// The guide's block with the value of one key changed (its path, with dots).
fn with(key: &str, value: &str) -> String {
    let mut path: Vec<&str> = Vec::new();
    let mut changed = 0;
    let lines = DEPLOYMENT.lines().map(|line| {
        let text = line.trim_start();
        let Some((name, _)) = text.split_once(':').filter(|_| !text.starts_with('#')) else {
            return format!("{line}\n");
        };
        let indent = line.len() - text.len();
        path.truncate(indent / 2);
        path.push(name);
        if path.join(".") != key {
            return format!("{line}\n");
        }
        changed += 1;
        format!("{}{name}: {value}\n", " ".repeat(indent))
    });
    let text = lines.collect();
    assert_eq!(changed, 1, "{key}");
    text
}

/// A folder with this `deployment.yaml`.
pub(super) fn bench_with(deployment: &str) -> Bench {
    let bench = Bench::new();
    bench.write("configs/deployment.yaml", deployment);
    bench
}

/// A run over some contracts: its summary, and what it said.
pub(super) fn run(bench: &Bench, arguments: &[&str]) -> (Ended, Value) {
    let folder = corpus(bench, 6);
    bench.summary(arguments.iter().map(|text| (*text).to_owned()).chain([folder.to_str().unwrap().to_owned()]))
}

/// A pack of six templates of 250 KB each, of which nothing comes out.
fn large_pack(bench: &Bench) -> String {
    let files: String = (0..6).map(|n| format!("  - {{path: f{n}.py, template: f{n}.py.j2}}\n")).collect();
    bench.write("large/pack.yaml", format!("name: large\nversion: '1'\ndescription: x\nfiles:\n{files}"));
    for n in 0..6 {
        bench.write(&format!("large/f{n}.py.j2"), format!("{{# {} #}}\nA = 1\n", "x".repeat(250_000)));
    }
    bench.path("large").to_str().unwrap().to_owned()
}

/// A pack that takes its time: files of counting each, some 120 of them are seconds.
fn slow_pack(bench: &Bench, files: u32) -> String {
    let files: String = (0..files).map(|n| format!("  - {{path: f{n}.py, template: f.py.j2}}\n")).collect();
    bench.write("slow/pack.yaml", format!("name: slow\nversion: '1'\ndescription: x\nfiles:\n{files}"));
    let counting = "{% for a in range(700) %}{% for b in range(700) %}{% endfor %}{% endfor %}A = 1\n";
    bench.write("slow/f.py.j2", counting);
    bench.path("slow").to_str().unwrap().to_owned()
}

fn hit_rate(bench: &Bench, arguments: &[&str]) -> f64 {
    let (ended, summary) = run(bench, arguments);
    ended.expect_code(0);
    summary["cache_hit_rate"].as_f64().unwrap()
}

#[test]
fn guide_03_the_block_loads_as_it_stands() {
    let bench = Bench::new();
    bench.write("configs/deployment.yaml", DEPLOYMENT);
    let password = ("POSTGRES_PASSWORD", "hunter2");
    let check = bench.program().envs([password]).args(["config", "check"]).output().unwrap();
    let check = Ended::of(&check).expect_code(0);
    assert_eq!(
        (check.stdout.as_str(), check.stderr.as_str()),
        ("configs/deployment.yaml: no faults, no warnings\n", "")
    );
    let shown = Shown::of(bench.program().envs([password]));
    let of_file = shown.0["settings"].as_array().unwrap().iter().filter(|setting| setting["origin"] == "file");
    // The keys of the block, and the URL that its database part makes.
    assert_eq!(of_file.count(), KEYS + 1);
    assert_eq!(shown.value("database.url"), "postgresql://postgres:***@localhost:5432/omninode_bridge");
    assert_eq!(
        (shown.value("database.password"), &shown.setting("database.password")["origin"]),
        (&json!("***"), &json!("environment"))
    );
}

/// What shows that a key is obeyed.
enum Effect {
    /// `config show` has this value; the chapter that obeys it comes later.
    Reserved(Value),
    /// The database's URL is this.
    Url(&'static str),
    /// A run over contracts differs.
    Run(fn(&Bench)),
}
use Effect::{Reserved, Run, Url};

const KEYS: usize = 23;

/// Each key, another value for it than the guide's, and what that changes.
fn keys() -> [(&'static str, &'static str, Effect); KEYS] {
    [
        (
            "environment",
            "development",
            Run(|bench| {
                let shown = Shown::of(bench.program().env("POSTGRES_PASSWORD", "x"));
                assert_eq!(shown.value("logging.rotation.compression"), &json!(false));
            }),
        ),
        ("database.host", "db.example", Url("postgresql://postgres:***@db.example:5432/omninode_bridge")),
        ("database.port", "6543", Url("postgresql://postgres:***@localhost:6543/omninode_bridge")),
        ("database.database", "other", Url("postgresql://postgres:***@localhost:5432/other")),
        ("database.user", "app", Url("postgresql://app:***@localhost:5432/omninode_bridge")),
        (
            "database.password_env",
            "OTHER_PASSWORD",
            Run(|bench| {
                // The variable that it names is the one that is missed.
                let mut command = bench.program();
                command.args(["generate", "contracts", "--out", "out"]).env("POSTGRES_PASSWORD", "x");
                let ended = Ended::of(&command.output().unwrap()).expect_code(2);
                assert!(
                    ended.stderr.contains("`OTHER_PASSWORD`") && ended.stderr.contains("deployment.yaml:9"),
                    "{ended:?}"
                );
            }),
        ),
        ("database.pool_size", "7", Reserved(json!(7))),
        ("database.pool_max", "70", Reserved(json!(70))),
        ("template_cache.enabled", "false", Run(|bench| assert_eq!(hit_rate(bench, &[]), 0.0))),
        (
            "template_cache.max_templates",
            "1",
            Run(|bench| {
                assert!(hit_rate(bench, &[]) < hit_rate(&bench_with(DEPLOYMENT), &[]));
            }),
        ),
        (
            "template_cache.max_size_mb",
            "1",
            Run(|bench| {
                let roomy = bench_with(DEPLOYMENT);
                let (pack, same) = (large_pack(bench), large_pack(&roomy));
                assert!(hit_rate(bench, &["--pack", &pack]) < hit_rate(&roomy, &["--pack", &same]));
            }),
        ),
        (
            "template_cache.ttl_seconds",
            "1",
            Run(|bench| {
                // Six contracts, one after the other, are some seconds.
                let pack = slow_pack(bench, 4);
                assert!(hit_rate(bench, &["--pack", &pack, "--workers", "1"]) < 1.0);
            }),
        ),
        (
            "template_cache.enable_persistence",
            "false",
            Run(|bench| {
                let usual = bench_with(DEPLOYMENT);
                let kept = [bench, &usual].map(|bench| {
                    run(bench, &[]).0.expect_code(0);
                    query(bench, "SELECT CAST(count(*) AS REAL) FROM template_cache_metadata")[0]
                });
                assert!(kept[0] == 0.0 && kept[1] > 0.0, "{kept:?}");
            }),
        ),
        ("parallel_generation.enabled", "false", Run(|bench| assert_eq!(run(bench, &[]).1["workers"], 1))),
        ("parallel_generation.max_workers", "3", Run(|bench| assert_eq!(run(bench, &[]).1["workers"], 3))),
        (
            "parallel_generation.worker_timeout_seconds",
            "1",
            Run(|bench| {
                let pack = slow_pack(bench, 120);
                let (ended, summary) = run(bench, &["--pack", &pack]);
                assert!(ended.stderr.contains("took longer than 1 s"), "{}", ended.stderr);
                assert_eq!((ended.code, &summary["failures_by_cause"]["timeout"]), (Some(1), &6.into()));
            }),
        ),
        (
            "monitoring.enabled",
            "false",
            Run(|bench| {
                assert_eq!(run(bench, &[]).1["rows_stored"], 0);
                assert!(!bench.path("omninode.db").exists());
            }),
        ),
        ("monitoring.metric_retention_points", "500", Reserved(json!(500))),
        ("monitoring.health_check_interval_seconds", "5", Reserved(json!(5))),
        ("logging.level", "ERROR", Run(|bench| assert_eq!(run(bench, &[]).0.stderr, ""))),
        (
            "logging.format",
            "text",
            Run(|bench| {
                let said = run(bench, &[]).0.stderr;
                assert!(said.contains("INFO generation begins") && !said.contains('{'), "{said}");
            }),
        ),
        ("logging.rotation.max_bytes", "2048", Reserved(json!(2_048))),
        ("logging.rotation.backup_count", "3", Reserved(json!(3))),
    ]
}

#[test]
fn guide_03_each_key_changed_alone_has_its_effect() {
    let usual = bench_with(DEPLOYMENT);
    let shown = Shown::of(usual.program().env("POSTGRES_PASSWORD", "x"));
    // What the effects below differ from.
    let (ended, summary) = run(&usual, &[]);
    let ended = ended.expect_code(0);
    let first: Value = serde_json::from_str(ended.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&first["message"], &first["level"]), (&"generation begins".into(), &"INFO".into()));
    assert_eq!(summary["workers"], 4);
    assert!(summary["cache_hit_rate"] == 1.0 && summary["rows_stored"].as_u64().unwrap() > 0);
    assert_eq!(shown.value("logging.rotation.compression"), &json!(true));
    for (key, value, effect) in keys() {
        println!("{key}: {value}");
        let bench = bench_with(&with(key, value));
        let shows = |key: &str| {
            let setting = Shown::of(bench.program().env("POSTGRES_PASSWORD", "x"));
            (setting.value(key).clone(), setting.setting(key)["from"].as_str().unwrap().to_owned())
        };
        match effect {
            Reserved(expected) => {
                assert_ne!(shown.value(key), &expected);
                let (found, from) = shows(key);
                assert_eq!(found, expected);
                assert!(from.starts_with("configs/deployment.yaml:"), "{from}");
            }
            Url(expected) => {
                assert_ne!(shown.value("database.url"), expected);
                assert_eq!(shows("database.url").0, expected);
            }
            Run(check) => check(&bench),
        }
    }
}

#[test]
fn guide_03_a_misspelled_key_of_each_section_is_refused_with_line_and_suggestion() {
    let check = |text: &str| {
        let bench = bench_with(text);
        let output = bench.program().env("POSTGRES_PASSWORD", "x").args(["config", "check"]).output().unwrap();
        Ended::of(&output).expect_code(1)
    };
    for (key, wrong, place, section) in [
        ("environment", "enviroment", "2:1", ""),
        ("host", "hoost", "5:3", "database."),
        ("ttl_seconds", "ttl_second", "17:3", "template_cache."),
        ("max_workers", "max_worker", "22:3", "parallel_generation."),
        ("metric_retention_points", "metric_retention_point", "27:3", "monitoring."),
        ("format", "fromat", "32:3", "logging."),
        ("max_bytes", "max_byte", "34:5", "logging.rotation."),
        ("logging", "loging", "30:1", ""),
    ] {
        let ended = check(&DEPLOYMENT.replace(&format!("{key}:"), &format!("{wrong}:")));
        for part in [
            format!("unknown key `{section}{wrong}`"),
            format!("configs/deployment.yaml:{place}\n"),
            format!("did you mean `{key}`?"),
        ] {
            assert!(ended.stderr.contains(&part), "`{part}` is missing in\n{}", ended.stderr);
        }
        assert!(ended.stdout.contains(": 1 fault,"), "{}", ended.stdout);
    }
    let all = DEPLOYMENT.replace("host:", "hoost:").replace("format:", "fromat:").replace("5432", "0");
    let ended = check(&all);
    assert!(ended.stdout.contains(": 3 faults,"), "{}\n{}", ended.stdout, ended.stderr);
}

#[test]
fn guide_22_the_environment_picks_the_presets_and_a_key_overrides_its_own() {
    const KEYS: [&str; 4] = [
        "logging.format",
        "logging.rotation.max_bytes",
        "logging.rotation.backup_count",
        "logging.rotation.compression",
    ];
    for (environment, preset) in [
        ("development", json!(["text", 10_485_760, 5, false])),
        ("staging", json!(["json", 52_428_800, 10, true])),
        ("production", json!(["json", 104_857_600, 30, true])),
    ] {
        let bench = bench_with(&format!("environment: {environment}\n"));
        let shown = Shown::of(&mut bench.program());
        assert_eq!(Value::from_iter(KEYS.map(|key| shown.value(key).clone())), preset);
        for (at, (key, value)) in
            KEYS.into_iter().zip([json!("json"), json!(4_096), json!(2), json!(false)]).enumerate()
        {
            let (section, name) = key.rsplit_once('.').unwrap();
            let opened: String = section.split('.').map(|name| format!("{name}: {{")).collect();
            let closed = "}".repeat(section.split('.').count());
            let bench = bench_with(&format!("environment: {environment}\n{opened}{name}: {value}{closed}\n"));
            let shown = Shown::of(&mut bench.program());
            let mut expected = preset.clone();
            expected[at] = value;
            assert_eq!(Value::from_iter(KEYS.map(|key| shown.value(key).clone())), expected, "{key}");
            assert_eq!(shown.setting(key)["origin"], "file");
        }
    }
    // A run in production logs for machines.
    let bench = bench_with("environment: production\nlogging: {level: INFO}\n");
    let said = run(&bench, &[]).0.stderr;
    assert!(said.lines().count() > 0 && said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");
}
