//! A password that is looked for in everything the program says, whichever way it came in and whatever the server does.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{Cluster, run};
use crate::support::{Bench, Ended, contract};

/// Each piece of it is told by its first word, raw, encoded or cut.
const PASSWORD: &str = "cAnAry1/cAnAry2+cAnAry3=cAnAry4@cAnAry5:cAnAry6#cAnAry7%cAnAry8";
const ENCODED: &str = "cAnAry1%2FcAnAry2%2BcAnAry3%3DcAnAry4%40cAnAry5%3AcAnAry6%23cAnAry7%25cAnAry8";
const SIGN: &str = "canary";

/// Every command that reads the configuration; of `db`, `cache` and `config` all that `--help` knows.
const COMMANDS: [&[&str]; 20] = [
    &["generate", "contracts", "--out", "out"],
    &["generate", "contracts", "--out", "out", "--check"],
    &["db", "migrate"],
    &["db", "status"],
    &["db", "grants"],
    &["db", "grants", "--apply"],
    &["db", "backup"],
    &["db", "restore", "latest"],
    &["db", "cleanup"],
    &["db", "vacuum"],
    &["db", "reindex"],
    &["db", "rollup", "--rebuild"],
    &["db", "sizes"],
    &["db", "indexes"],
    &["db", "connections"],
    &["cache", "stats", "--per-template"],
    &["cache", "warm"],
    &["cache", "invalidate", "all"],
    &["config", "check"],
    &["config", "show"],
];

/// A way in which a URL of this server reaches the program.
#[derive(Debug, Clone, Copy)]
enum Way {
    Flag,
    Environment,
    Reference,
    DotEnv,
    FileUrl,
    FileParts,
    Set,
    /// Nobody encoded it.
    Raw,
}
use Way::{DotEnv, Environment, FileParts, FileUrl, Flag, Raw, Reference, Set};

const WAYS: [Way; 8] = [Flag, Environment, Reference, DotEnv, FileUrl, FileParts, Set, Raw];

fn prepared(way: Way, user: &str, port: u16, query: &str) -> (Bench, Vec<String>, Vec<(&'static str, String)>) {
    let bench = Bench::new();
    bench.write("contracts/a/contract.yaml", contract("node_a_compute"));
    let url = |password: &str| format!("postgresql://{user}:{password}@127.0.0.1:{port}/postgres{query}");
    let (mut arguments, mut variables) = (Vec::new(), Vec::new());
    match way {
        Flag => arguments.extend(["--set".to_owned(), format!("database.url={}", url(ENCODED))]),
        Environment => variables.push(("DATABASE_URL", url(ENCODED))),
        Raw => variables.push(("DATABASE_URL", url(PASSWORD))),
        Reference => variables
            .extend([("DATABASE_URL", url("${POSTGRES_PASSWORD}")), ("POSTGRES_PASSWORD", PASSWORD.to_owned())]),
        DotEnv => {
            let text = format!("POSTGRES_PASSWORD='{PASSWORD}'\nDATABASE_URL={}\n", url("${POSTGRES_PASSWORD}"));
            let file = bench.write(".env", text + "cAnAry is no assignment\n");
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        FileUrl => drop(bench.write("configs/deployment.yaml", format!("database:\n  url: '{}'\n", url(ENCODED)))),
        FileParts => {
            let parts = format!("host: 127.0.0.1\n  port: {port}\n  user: {user}\n  database: postgres");
            let text = format!("database:\n  {parts}\n  password: '{PASSWORD}'\n");
            drop(bench.write("configs/deployment.yaml", text));
        }
        Set => {
            let parts = ["host=127.0.0.1".to_owned(), format!("port={port}"), format!("user={user}")];
            let more = ["database=postgres".to_owned(), format!("password={PASSWORD}")];
            arguments.extend(
                parts.into_iter().chain(more).flat_map(|part| ["--set".to_owned(), format!("database.{part}")]),
            );
        }
    }
    (bench, arguments, variables)
}

/// What all commands said, for people and as data, with the log at its most talkative.
fn said(way: Way, user: &str, port: u16, query: &str, commands: &[&[&str]]) -> String {
    let (bench, arguments, variables) = prepared(way, user, port, query);
    let mut all = String::new();
    for command in commands {
        for format in [&[][..], &["--format", "json", "--set", "logging.format=json"]] {
            let mut program: Command = bench.program();
            program.args(*command).args(&arguments).args(format).args(["--set", "logging.level=TRACE"]);
            program.envs(variables.iter().map(|(name, value)| (name, value))).env("RUST_BACKTRACE", "full");
            let ended = Ended::of(&program.output().unwrap());
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!told.to_lowercase().contains(SIGN), "{way:?} {command:?} {format:?}:\n{told}");
            assert!(!told.contains("panic"), "{told}");
            all += &told;
        }
    }
    for folder in [bench.path("out"), bench.path(".omninode")] {
        for (name, content) in crate::support::tree(&folder) {
            assert!(!String::from_utf8_lossy(&content).to_lowercase().contains(SIGN), "{way:?}: {name}");
        }
    }
    all
}

fn unreachable() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_password_is_in_no_output_whichever_way_it_came_in() {
    omninode::app::choose_tls();
    std::thread::scope(|scope| {
        for way in WAYS {
            scope.spawn(move || {
                let all = said(way, "me", unreachable(), "", &COMMANDS);
                // It was really read, and each command got as far as it can.
                match way {
                    Raw => assert!(all.contains("environment DATABASE_URL"), "{all}"),
                    _ => assert!(
                        all.contains("***") && all.contains("no PostgreSQL server listens at 127.0.0.1"),
                        "{all}"
                    ),
                }
                match way {
                    FileUrl | FileParts => assert!(all.contains("holds a secret that stands in the file"), "{all}"),
                    DotEnv => assert!(all.contains("chmod 600 .env"), "{all}"),
                    _ => {}
                }
            });
        }
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_password_is_in_no_output_whatever_the_server_says() {
    omninode::app::choose_tls();
    run(async {
        let cluster = Cluster::start("-c password_encryption=scram-sha-256", |data| {
            let rules = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                         host all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        });
        let quoted = PASSWORD.replace('\'', "''");
        for role in [
            format!("CREATE ROLE me SUPERUSER LOGIN PASSWORD '{quoted}'"),
            "CREATE ROLE other LOGIN PASSWORD 'x'".to_owned(),
        ] {
            assert!(super::psql(&cluster.url(), ["-q", "-c", &role]).status.success());
        }
        for way in [Environment, FileParts] {
            for (user, query, expected) in [
                ("other", "", "refuses the password of `other`"),
                ("stranger", "", "refuses the password of `stranger`"),
                ("me", "", "up to date"),
                ("me", "?sslmode=require", "offers no TLS"),
                ("me", "?sslmode=verify-full&sslrootcert=/nosuch/file", "/nosuch/file"),
            ] {
                if query.is_empty() || matches!(way, Environment) {
                    let all = said(way, user, cluster.port, query, &COMMANDS[..18]);
                    assert!(all.contains(expected), "{expected}: {all}");
                }
            }
        }
    });
}

#[test]
fn every_command_of_the_database_the_cache_and_the_configuration_is_listened_to() {
    let bench = Bench::new();
    for group in ["db", "cache", "config"] {
        let help = Ended::of(&bench.program().args([group, "--help"]).output().unwrap()).expect_code(0).stdout;
        let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let known: BTreeSet<&str> =
            commands.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
        let listened = COMMANDS.iter().filter(|command| command[0] == group).map(|command| command[1]).collect();
        assert_eq!(known, listened, "omninode {group}");
    }
}
