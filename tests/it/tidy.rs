//! The rules of the house, as tests: who may import whom, the message graph, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What each module of `actors` names of its own crate. To send to an actor one must name its `Message`, so the rows of
/// the actors are the message graph; `pipeline` wires it.
const ACTORS: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("metric", &[]),
    ("kit", &[]),
    ("ports", &["event", "metric"]),
    ("retry", &[]),
    ("template_cache", &["event", "kit", "metric", "metric_writer", "ports"]),
    ("metric_writer", &["kit", "metric", "ports", "retry"]),
    ("committer", &["event", "kit", "metric", "metric_writer", "ports"]),
    ("generator", &["committer", "event", "kit", "metric", "metric_writer", "ports", "template_cache"]),
    ("pipeline", &["committer", "generator", "kit", "metric_writer", "ports", "template_cache"]),
];

/// The modules that are actors.
const ACTOR_MODULES: [&str; 4] = ["committer", "generator", "metric_writer", "template_cache"];

/// The same for the application.
const APPLICATION: &[(&str, &[&str])] = &[
    ("app", &[]),
    ("secret", &[]),
    ("clock", &[]),
    ("observer", &[]),
    ("storage", &["secret"]),
    ("packs", &[]),
    ("packages", &[]),
    ("ledger", &[]),
    ("diagnostics", &[]),
    ("config", &["diagnostics", "secret"]),
    ("intake", &["packages"]),
    ("progress", &["app", "diagnostics", "intake"]),
    ("summary", &["observer"]),
    ("report", &["app", "diagnostics", "packages", "summary"]),
    (
        "generate",
        &[
            "app", "clock", "intake", "ledger", "observer", "packages", "packs", "progress", "report", "storage",
            "summary",
        ],
    ),
    ("cache", &["app", "clock", "diagnostics", "intake", "packs", "storage", "summary"]),
    ("db", &["app", "diagnostics", "progress", "storage", "summary"]),
    ("cli", &["app", "cache", "config", "db", "generate", "packages", "report", "storage", "summary"]),
];

/// And for `codegen`.
const CODEGEN: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("nearest", &[]),
    ("path", &[]),
    ("failure", &["diagnostic"]),
    ("yaml", &["diagnostic"]),
    ("python", &[]),
    ("contract", &["diagnostic", "nearest", "python", "yaml"]),
    ("plan", &["contract", "diagnostic", "nearest", "python", "yaml"]),
    ("pack", &["diagnostic", "nearest", "path", "templates", "yaml"]),
    ("templates", &["diagnostic", "python", "yaml"]),
    ("render", &["diagnostic", "failure", "pack", "path", "templates"]),
    ("check", &["diagnostic", "render", "yaml"]),
];

/// Crates that the lower floors must not depend on: what touches the world.
const WORLD: [&str; 9] =
    ["sqlx", "axum", "reqwest", "opentelemetry", "clap", "indicatif", "ignore", "tempfile", "rustix"];

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Module to the modules of its own crate that it names as `crate::module`.
fn imports(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(source) {
        let inside = file.strip_prefix(source).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") || inside.ends_with("tests.rs") {
            continue;
        }
        let names = found.entry(module.clone()).or_default();
        let text = code(&file);
        for after in text.split("crate::").skip(1) {
            if let Some(group) = after.strip_prefix('{') {
                let group = group.split('}').next().unwrap();
                names.extend(group.split(',').map(|name| name.trim().split("::").next().unwrap().to_owned()));
            } else {
                names.insert(after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned());
            }
        }
        names.retain(|name| *name != module && name.starts_with(|c: char| c.is_lowercase()));
    }
    found
}

#[track_caller]
fn check(source: &str, table: &[(&str, &[&str])]) {
    let found = imports(&Path::new(ROOT).join(source));
    let expected: BTreeMap<String, BTreeSet<String>> = table
        .iter()
        .map(|(module, names)| ((*module).to_owned(), names.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    for (module, names) in &found {
        assert_eq!(Some(names), expected.get(module), "{source}/{module} imports other modules than the table says");
    }
    assert_eq!(found.len(), expected.len(), "the table names modules of {source} that are not there");
}

#[test]
fn modules_import_only_what_the_table_allows() {
    check("actors/src", ACTORS);
    check("src", APPLICATION);
    check("codegen/src", CODEGEN);
}

/// Takes away, again and again, a module that names none of those left; nothing may remain.
fn assert_no_cycle(table: &[(&str, Vec<&str>)]) {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < table.len() {
        let free = |(module, names): &&(&str, Vec<&str>)| {
            !settled.contains(module) && names.iter().all(|name| settled.contains(name))
        };
        let (module, _) = table.iter().find(free).unwrap_or_else(|| panic!("a cycle; settled are {settled:?}"));
        settled.insert(module);
    }
}

#[test]
fn imports_point_down_only() {
    for table in [ACTORS, APPLICATION, CODEGEN] {
        let table: Vec<_> = table.iter().map(|(module, names)| (*module, names.to_vec())).collect();
        assert_no_cycle(&table);
    }
}

#[test]
fn the_message_graph_has_no_cycle() {
    // Actors that send to each other can wait for each other for ever.
    let is_actor = |name: &&str| ACTOR_MODULES.contains(name);
    let actors = ACTORS.iter().filter(|(module, _)| is_actor(module));
    let edges: Vec<_> =
        actors.map(|(module, names)| (*module, names.iter().copied().filter(is_actor).collect())).collect();
    assert_eq!(edges.len(), ACTOR_MODULES.len());
    assert_no_cycle(&edges);
}

#[test]
fn the_lower_floors_do_not_depend_on_the_world() {
    for (manifest, more) in [
        ("actors/Cargo.toml", &["minijinja"][..]),
        ("codegen/Cargo.toml", &["tokio", "actix", "actors", "rand", "chrono"]),
    ] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(manifest)).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        for name in WORLD.iter().chain(more) {
            let named = dependencies
                .lines()
                .any(|line| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")));
            assert!(!named, "{manifest} depends on {name}");
        }
    }
}

#[test]
fn only_the_kits_host_sends_through_actix() {
    for folder in ["actors/src", "src"] {
        for file in rust_files(&Path::new(ROOT).join(folder)) {
            let sends = code(&file).contains(".do_send(");
            assert_eq!(sends, file.ends_with("kit/host.rs"), "{}", file.display());
        }
    }
}

#[test]
fn serde_yaml_and_the_environment_stay_behind_the_configuration() {
    for folder in ["src", "actors/src", "codegen/src"] {
        for file in rust_files(&Path::new(ROOT).join(folder)) {
            let (text, shown) = (code(&file), file.display());
            let in_config = file.starts_with(Path::new(ROOT).join("src/config"));
            assert!(in_config || !text.contains("serde_yaml::"), "{shown} names serde_yaml");
            // NO_COLOR is asked for before there is a configuration; a check by hand has its size from there; PGSSLROOTCERT
            // belongs to the database's library, which reads it and does not tell.
            let may_look =
                ["src/config/variables.rs", "src/app.rs", "kit/slots/model.rs", "src/storage/postgres/connect.rs"];
            let may_look = may_look.iter().any(|known| file.ends_with(known));
            assert!(may_look || !text.contains("env::var"), "{shown} reads the environment");
        }
    }
}

#[test]
fn files_and_lines_stay_readable() {
    for folder in ["src", "actors", "codegen", "tests", "benches"] {
        for file in rust_files(&Path::new(ROOT).join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.lines().count() <= 500, "{} has {} lines", file.display(), text.lines().count());
            for (number, line) in text.lines().enumerate() {
                assert!(line.chars().count() <= 130, "{}:{} is too long", file.display(), number + 1);
            }
        }
    }
}
