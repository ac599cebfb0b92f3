//! Settings from layers, without a process around them.

use std::path::{Path, PathBuf};

use super::*;

/// What a test gives; the files are written into a folder of its own.
#[derive(Default, Clone)]
struct Given<'g> {
    file: &'g str,
    env_file: &'g str,
    environment: &'g [(&'g str, &'g str)],
    flags: &'g [(&'g str, &'g str)],
}

fn loaded(given: &Given<'_>) -> Loaded {
    loaded_on(given, 6)
}

fn loaded_on(given: &Given<'_>, cores: usize) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    if !given.file.is_empty() {
        write(DEFAULT_FILE, given.file);
    }
    if !given.env_file.is_empty() {
        write(DEFAULT_ENV_FILE, given.env_file);
    }
    let flag = |(key, value): &(&str, &str)| Flag {
        name: format!("--set {key}"),
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    load(Sources {
        folder: folder.path().to_owned(),
        file: None,
        env_file: None,
        flags: given.flags.iter().map(flag).collect(),
        variables: Variables::new(given.environment.iter().copied()),
        cores,
    })
}

/// As [`loaded`], of a configuration that is right.
#[track_caller]
fn settings(given: &Given<'_>) -> Settings {
    let loaded = loaded(given);
    assert_eq!(loaded.faults, []);
    loaded.settings
}

/// The faults in their order: key and message.
fn faults(given: &Given<'_>) -> Vec<String> {
    let faults = loaded(given).faults;
    faults.iter().map(|fault| format!("{}: {}", fault.key, fault.diagnostic)).collect()
}

#[test]
fn each_layer_wins_over_those_below_it() {
    let mut given = Given::default();
    assert_eq!(settings(&given).logging.level, Level::Warning);
    given.file = "logging: {level: error}\n";
    assert_eq!(settings(&given).logging.level, Level::Error);
    given.env_file = "LOG_LEVEL=info\n";
    assert_eq!(settings(&given).logging.level, Level::Info);
    given.environment = &[("LOG_LEVEL", "CRITICAL")];
    assert_eq!(settings(&given).logging.level, Level::Critical);
    given.flags = &[("logging.level", "debug")];
    assert_eq!(settings(&given).logging.level, Level::Debug);
    let origin = |key: &str, given: &Given<'_>| {
        let shown = loaded(given).shown.into_iter().find(|shown| shown.key == key).unwrap();
        shown.origin.kind()
    };
    assert_eq!(origin("logging.level", &given), "flag");
    assert_eq!(origin("logging.format", &given), "preset");
    assert_eq!(origin("environment", &given), "default");
}

#[test]
fn what_is_empty_on_the_command_line_or_in_a_variable_is_not_given() {
    let given = Given {
        file: "logging: {level: ERROR}\n",
        environment: &[("LOG_LEVEL", ""), ("DATABASE_URL", "")],
        flags: &[("database.url", "")],
        ..Given::default()
    };
    let settings = settings(&given);
    assert_eq!(settings.logging.level, Level::Error);
    assert_eq!(settings.database.url.0.reveal(), "sqlite://.omninode/omninode.db");
}

#[test]
fn a_value_that_is_overridden_is_checked_all_the_same() {
    let given = Given {
        file: "logging: {level: LOUD}\n",
        environment: &[("LOG_LEVEL", "SILENT")],
        flags: &[("logging.level", "INFO")],
        ..Given::default()
    };
    let faults = faults(&given);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains(":1:18: `logging.level` cannot be `LOUD`"), "{faults:?}");
    assert!(faults[1].contains("environment LOG_LEVEL: `logging.level` cannot be `SILENT`"), "{faults:?}");
}

#[test]
fn a_variable_that_is_not_set_is_a_fault_only_where_it_is_needed() {
    let block =
        "database: {host: '${DB_HOST}', password_env: DB_PASSWORD}\nmonitoring: {alert_webhook_url: '${HOOK}'}\n";
    let given = Given { file: block, ..Given::default() };
    let all = faults(&given);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].contains("`DB_HOST` is not set") && all[1].contains("`DB_PASSWORD`"), "{all:?}");
    assert!(all[2].contains("`HOOK` is not set"), "{all:?}");
    for unneeded in [
        &[("monitoring.enabled", "false")][..],
        &[("database.url", "sqlite://x"), ("monitoring.alert_webhook_url", "https://h")],
    ] {
        assert_eq!(faults(&Given { flags: unneeded, ..given.clone() }), [""; 0], "{unneeded:?}");
    }
    let known = [("DB_HOST", "h"), ("DB_PASSWORD", "p"), ("HOOK", "https://h")];
    assert_eq!(faults(&Given { environment: &known, ..given }), [""; 0]);
}

#[test]
fn a_chain_of_references_is_followed_wherever_it_stands_and_its_end_must_be_there() {
    let chain = [("LOG_DIR", "/a/${B}"), ("B", "${C:-${D}}"), ("D", "x")];
    let file = "LOG_DIR=/a/${B}\nB=${C:-${D}}\nD=x\n";
    for given in [
        Given { environment: &chain, ..Given::default() },
        Given { env_file: file, ..Given::default() },
        Given { environment: &chain[..2], env_file: "D=x\n", ..Given::default() },
    ] {
        assert_eq!(settings(&given).logging.dir.as_deref(), Some("/a/x"));
    }
    let told = faults(&Given { environment: &chain[..2], ..Given::default() });
    assert!(
        told.len() == 1 && told[0].contains("environment LOG_DIR: `logging.dir`: the variable `D` is not set"),
        "{told:?}"
    );
    let told = faults(&Given { environment: &[("LOG_DIR", "${B}"), ("B", "${LOG_DIR}")], ..Given::default() });
    assert!(told.len() == 1 && told[0].contains("refers to itself"), "{told:?}");
}

/// The password of a URL, as a driver decodes it.
fn password_of(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    percent_encoding::percent_decode_str(url.password().unwrap()).decode_utf8().unwrap().into_owned()
}

const AWKWARD: [&str; 7] = ["a/b", "a+b=", "a@b:c", "#a%2Fb", "p%q#r/s+t=u@v:w", "${X}$${", "ключ \"'"];

#[test]
fn any_password_reaches_the_url_whole_through_the_block_and_through_a_reference() {
    let block = "database: {host: db.example, user: me, password_env: SECRET}\n";
    let url = "DATABASE_URL=postgresql://me:${SECRET}@db.example:5432/omninode_bridge\n";
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let drawn = (0..200).map(|_| (0..12).map(|_| random.char('!'..='~')).collect::<String>());
    for password in AWKWARD.iter().map(|text| (*text).to_owned()).chain(drawn) {
        // The one thing in it that means something.
        let written = password.replace("${", "$${");
        let environment = [("SECRET", written.as_str())];
        // A literal reference that the shell left in the variable, too.
        let literal = [environment[0], ("DATABASE_URL", url.trim_end().split_once('=').unwrap().1)];
        for given in [
            Given { file: block, environment: &environment, ..Given::default() },
            Given { env_file: url, environment: &environment, ..Given::default() },
            Given { environment: &literal, ..Given::default() },
        ] {
            let made = settings(&given).database.url;
            assert_eq!(password_of(made.0.reveal()), password);
            let parsed = url::Url::parse(made.0.reveal()).unwrap();
            assert_eq!(
                (parsed.host_str(), parsed.username(), parsed.path()),
                (Some("db.example"), "me", "/omninode_bridge")
            );
        }
    }
}

/// Everything that a configuration has printed.
fn said(loaded: &Loaded) -> String {
    [
        loaded.verdict(),
        loaded.faults_in_words(false).join("\n"),
        loaded.warnings_in_words(false).join("\n"),
        loaded.check_as_json(),
        loaded.settings_in_words(),
        loaded.settings_as_json(),
        format!("{:?} {:?} {:?}", loaded.settings, loaded.faults, loaded.shown),
    ]
    .join("\n")
}

#[test]
fn no_secret_is_in_anything_that_is_printed() {
    // A word that could be the name of a variable, or of nearly anything else.
    let canary = "hunter2";
    let files = [
        "database: {password: [hunter2], host: [x], password_env: 'hunter2'}\n",
        "monitoring:\n  alert_webhook_url: ftp://hunter2\nlogging: {level: X}\nsecret_token: hunter2\n",
        "database:\n  url: me:hunter2@h/db\n  port: 0\n",
        "database:\n  url: \"hunter2\"\n  host: postgresql://u:hunter2@h/x\n",
        "database:\n  url: >\n    postgresql://u:1\n    hunter2\n",
        "database:\n  password:\n    - hunter2\n    - {x: hunter2}\n",
        "database: {password: \"a\n   hunter2\", port: 0}\n",
        "database: postgresql://u:hunter2@h/x\n",
        "database:\n  - hunter2\n",
        "hook: &h hunter2\nlogging: {rotation: *h, format: hunter2@x}\n",
        "pass: hunter2\ndsn: me:hunter2@h\nkey: [hunter2]\nauth: {a: hunter2}\n",
        "database: {pw: hunter2, pgpass: hunter2, uri: hunter2, port: 0}\nslack: |\n  hunter2\n",
        "database.password: hunter2\ndatabase:\n  password: !!int hunter2\n",
        "database:\n  password: 'hunter2\n",
        "database:\n  password: a: hunter2\n",
        "database: {url: 'postgresql://h/db?password=hunter2'}\n",
        "database: {url: 'postgresql://me:hunter2@h/db?x=hunter2#hunter2'}\n",
        "monitoring: {alert_webhook_url: 'https://h/hunter2'}\n",
        "database: {password_env: hunter2, host: h}\n",
    ];
    for file in files {
        let wrong = loaded(&Given { file, ..Given::default() });
        assert!(wrong.faults.len() + wrong.warnings.len() > 0, "{file}");
        assert!(!said(&wrong).contains(canary), "{file}\n{}", said(&wrong));
    }
    let elsewhere = loaded(&Given {
        env_file: "DATABASE_URL=mysql://me:hunter2@h/db\nbroken hunter2\nA=\"hunter2\n",
        environment: &[("ALERT_WEBHOOK_URL", canary), ("DATABASE_URL", canary), ("LOG_LEVEL", "me:hunter2@h")],
        flags: &[("database.url", canary), ("database.passwd", canary), ("", "hunter2")],
        ..Given::default()
    });
    assert_eq!((elsewhere.faults.len(), elsewhere.warnings.len()), (8, 2), "{:?}", elsewhere.faults);
    assert!(!said(&elsewhere).contains(canary), "{}", said(&elsewhere));
}

#[test]
fn a_set_flag_is_repeated_only_as_far_as_it_looks_like_a_key() {
    for (text, name, key, value) in [
        ("logging.level=DEBUG", "--set logging.level", "logging.level", "DEBUG"),
        (" a = b=c", "--set a", "a", " b=c"),
        ("database.url:postgresql://u:hunter2@h", "--set", "", ""),
        ("postgresql://me:hunter2@h/db?x=y", "--set", "", ""),
        ("nothing", "--set", "", ""),
    ] {
        let flag = Flag::set(text);
        assert_eq!((flag.name.as_str(), flag.key.as_str(), flag.value.as_str()), (name, key, value));
    }
}

#[test]
fn literal_secrets_and_an_open_env_file_are_warned_of() {
    let warned = |file: &str| {
        let warnings = loaded(&Given { file, ..Given::default() }).warnings;
        warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
    };
    assert_eq!(warned("database: {password: x1}\n"), ["database.password"]);
    assert_eq!(
        faults(&Given { file: "database: {password: 15}\n", ..Given::default() }).len(),
        1,
        "a number is no password"
    );
    assert_eq!(warned("database: {url: 'postgresql://u:p@h/d'}\n"), ["database.url"]);
    assert_eq!(warned("database: {url: 'postgresql://h/d?password=x'}\n"), ["database.url"]);
    for none in ["postgresql://u@h/d", "postgresql://u:${P:-x}@h/d?sslmode=require", "${URL:-sqlite://x}"] {
        assert_eq!(warned(&format!("database: {{url: '{none}'}}\n")), [""; 0]);
    }
    assert_eq!(warned("monitoring: {alert_webhook_url: x}\n"), [""; 0], "its fault is enough");
    assert_eq!(warned("database: {password: '${P:-x}'}\n"), [""; 0]);
    let open = loaded(&Given { env_file: "A=1\n", ..Given::default() });
    assert!(open.warnings[0].diagnostic.message.contains("others can read"), "{:?}", open.warnings);
}

#[test]
fn the_block_gives_a_url_of_any_host_and_a_url_of_the_file_excludes_it() {
    let url = |file: &str| settings(&Given { file, ..Given::default() }).database.url.0.reveal().to_owned();
    assert_eq!(url("database: {host: '::1'}\n"), "postgresql://postgres@[::1]:5432/omninode_bridge");
    assert_eq!(
        url("database: {host: /run/pg, port: 1, user: a b}\n"),
        "postgresql://a%20b@%2Frun%2Fpg:1/omninode_bridge"
    );
    assert_eq!(url("database: {url: 'sqlite://x.db', pool_size: 3}\n"), "sqlite://x.db");
    let both = faults(&Given { file: "database: {url: 'sqlite://x.db', host: h}\n", ..Given::default() });
    assert!(both[0].contains("`database.url` and `database.host` name two databases"), "{both:?}");
    for host in ["h:5433", "'[::1'", "a/b:c", "postgresql://h/x", "''"] {
        let told = faults(&Given { file: &format!("database: {{host: {host}}}\n"), ..Given::default() });
        assert!(told.len() == 1 && told[0].contains("expected a host name, an IP address or"), "{host}: {told:?}");
    }
}

#[test]
fn a_part_of_the_database_on_the_command_line_beside_a_url_is_a_fault_wherever_the_url_comes_from() {
    let part = [("database.host", "flag.example")];
    let of_file = Given { file: "database: {url: 'sqlite://x.db'}\n", flags: &part, ..Given::default() };
    let of_environment = Given { environment: &[("DATABASE_URL", "sqlite://x.db")], flags: &part, ..Given::default() };
    let of_flag = [part[0], ("database.url", "sqlite://x.db")];
    for given in [of_file, of_environment, Given { flags: &of_flag, ..Given::default() }] {
        let told = faults(&given);
        assert!(told.len() == 1 && told[0].contains("flag --set database.host: `database.url` and"), "{told:?}");
    }
    let block = Given { file: "database: {host: h, user: me}\n", flags: &part, ..Given::default() };
    let url = settings(&block).database.url;
    assert_eq!(url.0.reveal(), "postgresql://me@flag.example:5432/omninode_bridge");
    // A block in the file is beaten by a variable, as the guide says.
    let beaten = Given { environment: &[("DATABASE_URL", "sqlite://x.db")], flags: &[], ..block };
    assert_eq!(settings(&beaten).database.url.0.reveal(), "sqlite://x.db");
}

#[test]
fn the_pools_two_sizes_go_along_with_each_other_and_are_compared_wherever_they_come_from() {
    let pool = |file: &str, flags: &[(&str, &str)], cores: usize| {
        let loaded = loaded_on(&Given { file, flags, ..Given::default() }, cores);
        let told: Vec<_> = loaded.faults.iter().map(|fault| fault.diagnostic.to_string()).collect();
        ((loaded.settings.database.pool_size, loaded.settings.database.pool_max), told)
    };
    let (max, size) = ("database.pool_max", "database.pool_size");
    for (file, flags, cores, sizes) in [
        ("", &[][..], 2, (10, 20)),
        ("", &[], 8, (17, 34)),
        ("", &[], 100_000, (5_000, 10_000)),
        ("database: {pool_max: 8}\n", &[], 2, (8, 8)),
        ("database: {pool_size: 40}\n", &[], 2, (40, 40)),
        ("", &[(max, "5")], 2, (5, 5)),
        ("", &[(max, "30")], 2, (10, 30)),
    ] {
        assert_eq!(pool(file, flags, cores), (sizes, Vec::new()), "{file}");
    }
    for (file, flags, from) in [
        ("database: {pool_size: 9, pool_max: 8}\n", &[][..], "deployment.yaml:1:36: "),
        ("database: {pool_size: 9}\n", &[(max, "5")], "flag --set database.pool_max: "),
        ("database: {pool_max: 9}\n", &[(size, "10")], "(10, flag --set database.pool_size)"),
    ] {
        let told = pool(file, flags, 2).1;
        assert!(told.len() == 1 && told[0].contains(from) && told[0].contains("is below"), "{told:?}");
    }
}

#[test]
fn workers_are_relative_to_the_cores_and_one_where_parallel_generation_is_off() {
    let workers = |file: &str, flags: &[(&str, &str)]| {
        settings(&Given { file, flags, ..Given::default() }).parallel_generation.workers
    };
    assert_eq!(workers("", &[]), 6);
    assert_eq!(workers("parallel_generation: {max_workers: half}\n", &[]), 3);
    assert_eq!(workers("parallel_generation: {max_workers: double}\n", &[]), 12);
    assert_eq!(workers("parallel_generation: {enabled: false, max_workers: 4}\n", &[]), 1);
    let asked = [("parallel_generation.max_workers", "4")];
    assert_eq!(workers("parallel_generation: {enabled: false}\n", &asked), 4, "a flag is a wish");
}

#[test]
fn environments_pick_their_presets_and_keys_override_them() {
    let logging = |file: &str| settings(&Given { file, ..Given::default() }).logging;
    let rotation =
        |max_mb: u64, backup_count, compression| Rotation { max_bytes: max_mb << 20, backup_count, compression };
    for (environment, format, expected) in [
        ("development", LogFormat::Text, rotation(10, 5, false)),
        ("staging", LogFormat::Json, rotation(50, 10, true)),
        ("production", LogFormat::Json, rotation(100, 30, true)),
    ] {
        let found = logging(&format!("environment: {environment}\n"));
        assert_eq!((found.format, found.rotation), (format, expected));
        let over = format!(
            "environment: {environment}\n\
             logging: {{format: json, rotation: {{max_bytes: 2048, backup_count: 0, compression: no}}}}\n"
        );
        let found = logging(&over);
        assert_eq!(found.rotation, Rotation { max_bytes: 2_048, backup_count: 0, compression: false });
        assert_eq!(found.format, LogFormat::Json);
    }
}

#[test]
fn unknown_keys_are_told_once_with_the_key_that_was_meant() {
    let file = "logging.level: INFO\nttl_seconds: 5\nlogging: {rotatoin: {max_bytes: 1}, dir: }\n\
                database:\nextra: {a: {b: 1}}\n";
    let told = faults(&Given { file, ..Given::default() });
    for (fault, part) in told.iter().zip([
        "write `logging:`, and below it, indented, `level:`",
        "did you mean `template_cache.ttl_seconds`?",
        "did you mean `rotation`?",
        "`logging.dir` has no value",
        "unknown key `extra`; help: known here: environment, database",
    ]) {
        assert!(fault.contains(part), "{part}: {fault}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn files_that_cannot_be_read_are_faults_with_their_names() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let named = |file: Option<&str>, env_file: Option<&str>| {
        let sources = Sources {
            folder: folder.path().to_owned(),
            file: file.map(path),
            env_file: env_file.map(path),
            flags: Vec::new(),
            variables: Variables::default(),
            cores: 1,
        };
        let loaded = load(sources);
        assert!(loaded.faults.len() <= 1, "{:?}", loaded.faults);
        loaded.faults.first().map_or_else(String::new, |fault| format!("{} {}", fault.diagnostic, loaded.verdict()))
    };
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("latin"), b"A=\xe9\n").unwrap();
    std::fs::write(path("foreign"), "a.b=3\n").unwrap();
    // A folder of the default name is nobody's .env file.
    std::fs::create_dir(path(DEFAULT_ENV_FILE)).unwrap();
    assert_eq!(named(None, None), "");
    let none = named(Some("none.yaml"), None);
    assert!(none.contains("none.yaml: cannot read it") && none.contains("with --config FILE"), "{none}");
    assert!(none.ends_with("none.yaml: 1 fault, no warnings\n"), "{none}");
    assert!(named(Some("folder"), None).contains("name a file in it with --config FILE"));
    assert!(named(None, Some("folder")).contains("name a file in it with --env-file FILE"));
    assert!(named(None, Some("none")).contains("none: cannot read it"));
    assert!(named(None, Some("latin")).contains("latin: not UTF-8"));
    assert!(named(None, Some("foreign")).contains("foreign:1:1: what stands before the `=`"));
    for endless in [named(Some("/dev/zero"), None), named(None, Some("/dev/zero"))] {
        assert!(endless.contains("/dev/zero: larger than 1 MiB"), "{endless}");
    }
    // A default file that is there and cannot be reached is not an absent one.
    std::fs::create_dir(path("configs")).unwrap();
    symlink("nowhere", path(DEFAULT_FILE)).unwrap();
    assert!(named(None, None).contains("configs/deployment.yaml: cannot read it"));
    std::fs::remove_file(path(DEFAULT_FILE)).unwrap();
    std::fs::remove_dir(path(DEFAULT_ENV_FILE)).unwrap();
    symlink("nowhere", path(DEFAULT_ENV_FILE)).unwrap();
    assert!(named(None, None).contains(".env: cannot read it"));
    std::fs::remove_file(path(DEFAULT_ENV_FILE)).unwrap();
    std::fs::remove_dir(path("configs")).unwrap();
    symlink("configs", path("configs")).unwrap();
    assert!(named(None, None).contains("configs/deployment.yaml: cannot read it"), "a folder that cannot be entered");
}

#[test]
fn a_line_of_another_program_in_the_default_env_file_is_only_warned_of() {
    let given = Given { env_file: "a.b=3\n;c\n[sec]\nLOG_LEVEL=info\n", ..Given::default() };
    assert_eq!(settings(&given).logging.level, Level::Info);
    assert_eq!(loaded(&given).warnings.len(), 4, "three lines, and its mode");
    let told = faults(&Given { env_file: "DATABASE_URL=\"sqlite://x\n", ..Given::default() });
    assert!(told[0].contains("never closed"), "{told:?}");
}

#[test]
fn the_shipped_files_are_right_and_say_what_they_claim() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let load_file = |file: Option<PathBuf>| {
        load(Sources {
            folder: PathBuf::from("/nowhere"),
            file,
            env_file: None,
            flags: Vec::new(),
            variables: Variables::default(),
            cores: 6,
        })
    };
    let of = |name: &str| load_file(Some(folder.join(name)));
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (files, others): (Vec<_>, Vec<_>) = files.partition(|name| name.ends_with(".yaml"));
    assert!(files.len() >= 4, "{files:?}");
    assert_eq!(others, ["postgresql.conf"], "settings of the server, not ours");
    for file in files {
        let loaded = of(&file);
        assert_eq!((loaded.faults, loaded.warnings), (Vec::new(), Vec::new()), "{file:?}");
    }
    assert_eq!(of("deployment.yaml").settings, load_file(None).settings, "its values are the defaults");
    let commented = std::fs::read_to_string(folder.join("deployment.yaml")).unwrap();
    let keys: Vec<_> = load_file(None).shown.iter().map(|shown| shown.key).collect();
    assert_eq!(keys, keys::KEYS.map(|(key, _)| key), "every key is read and shown once");
    let keys = keys.iter().map(|key| key.rsplit('.').next().unwrap());
    let missing: Vec<_> = keys.filter(|key| !commented.contains(&format!("{key}:"))).collect();
    assert_eq!(missing, ["password"], "every key is in the file, be it as a comment");
    for (name, environment, level) in [
        ("development.yaml", Environment::Development, Level::Debug),
        ("staging.yaml", Environment::Staging, Level::Info),
        ("production.yaml", Environment::Production, Level::Info),
    ] {
        let settings = of(name).settings;
        assert_eq!((settings.environment, settings.logging.level), (environment, level));
    }
}
