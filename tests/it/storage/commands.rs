//! `omninode db`, and the other commands that use a database, as a user types them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::{Database, run};
use crate::support::{Bench, Ended, corpus};

pub(super) fn omninode(bench: &Bench, url: &str, arguments: &[&str]) -> Ended {
    let mut command = bench.program();
    Ended::of(&command.args(arguments).args(["--database", url]).output().unwrap())
}

pub(super) fn data(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// From nothing to a migrated database with the rows of a run in it.
fn from_nothing_to_rows(url: &str, server: &str) {
    let bench = Bench::new();
    let contracts = corpus(&bench, 5);
    let before = omninode(&bench, url, &["db", "status"]).expect_code(4);
    assert!(before.stdout.contains("omninode db migrate"), "{before:?}");
    let migrated = data(&omninode(&bench, url, &["db", "migrate", "--format", "json"]).expect_code(0));
    let files: Vec<_> = migrated["applied"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!((files[0], *files.last().unwrap()), ("0006_phase7_schema_enhancements.sql", "views.sql"));
    let again = omninode(&bench, url, &["db", "migrate"]).expect_code(0);
    assert!(again.stdout.contains("the schema is up to date"), "{again:?}");

    let generated = omninode(
        &bench,
        url,
        &["generate", contracts.to_str().unwrap(), "--out", bench.out().to_str().unwrap(), "--format", "json"],
    )
    .expect_code(0);
    let summary = data(&generated);
    let status = data(&omninode(&bench, url, &["db", "status", "--format", "json"]).expect_code(0));
    assert!(status["server"].as_str().unwrap().starts_with(server), "{status}");
    assert_eq!((&status["version"], &status["pending"]), (&json!(omninode::storage::SCHEMA_VERSION), &json!([])));
    let rows = |name: &str| {
        let table = status["tables"].as_array().unwrap().iter().find(|table| table["name"] == name);
        let table = table.unwrap_or_else(|| panic!("no {name} in {status}"));
        assert!(table["bytes"].as_u64().unwrap() > 0 && table["estimated"] == false, "{table}");
        table["rows"].as_u64().unwrap()
    };
    // Six rows of phases and one of the attempt for each of five nodes; the rest are reports of templates.
    assert_eq!((rows("event_processing_metrics"), rows("generation_performance_metrics")), (5, 30));
    let reports = rows("template_cache_reports");
    assert_eq!(summary["rows_stored"].as_u64().unwrap(), 35 + reports, "{summary}");
    assert_eq!((&summary["rows_refused"], &summary["rows_dropped"]), (&json!(0), &json!(0)));
    assert!(rows("template_cache_metadata") > 0);
    let human = omninode(&bench, url, &["db", "status"]).expect_code(0).stdout;
    assert!(human.contains("up to date") && human.contains("generation_performance_metrics            30"), "{human}");

    let stats = data(&omninode(&bench, url, &["cache", "stats", "--per-template", "--format", "json"]).expect_code(0));
    assert_eq!(stats["known_templates"].as_u64().unwrap(), rows("template_cache_metadata"));
    assert!(stats["age_seconds"].as_f64().unwrap() < 60.0);
    let dropped = data(&omninode(&bench, url, &["cache", "invalidate", "all", "--format", "json"]).expect_code(0));
    assert_eq!(dropped["figures_dropped"], stats["known_templates"]);
    let stats = omninode(&bench, url, &["cache", "stats"]).expect_code(0);
    assert!(stats.stdout.contains("no run has stored figures"), "{stats:?}");
}

#[test]
fn a_new_file_is_migrated_filled_and_told_about() {
    let bench = Bench::new();
    from_nothing_to_rows(&bench.database(), "SQLite 3.");
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_new_database_on_a_server_is_migrated_filled_and_told_about() {
    run(async {
        let database = Database::new().await;
        from_nothing_to_rows(&database.url(), "PostgreSQL ");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn generate_migrates_a_database_that_its_user_owns() {
    run(async {
        let database = Database::new().await;
        let bench = Bench::new();
        let contracts = corpus(&bench, 2);
        let mut command = bench.program();
        command.arg("generate").arg(contracts).args(["--out", "out"]).env("DATABASE_URL", database.url());
        let ended = Ended::of(&command.output().unwrap()).expect_code(0);
        assert_eq!(ended.stderr, "");
        assert_eq!(database.ask("SELECT count(*) FROM event_processing_metrics"), "2");
    });
}

#[test]
fn status_of_a_database_that_is_not_there_is_pending_and_makes_nothing() {
    let bench = Bench::new();
    let ended = omninode(&bench, &bench.database(), &["db", "status", "--format", "json"]).expect_code(4);
    assert_eq!(data(&ended), Value::Null);
    assert!(!bench.path("omninode.db").exists());
}

#[test]
fn a_file_that_is_no_database_is_a_database_that_cannot_be_used() {
    let bench = Bench::new();
    let notes = bench.write("notes.txt", "not a database, and long enough to be looked at as one. ".repeat(40));
    for command in ["status", "migrate"] {
        let ended = omninode(&bench, &format!("sqlite://{}", notes.display()), &["db", command]).expect_code(3);
        assert!(ended.stderr.contains("notes.txt") && ended.stdout.is_empty(), "{ended:?}");
    }
    omninode(&bench, "mysql://h/d", &["db", "status"]).expect_code(2);
}

/// A migration that begins while `release` is not done.
async fn waits(bench: &Bench, url: &str, release: impl Future<Output = ()>) {
    let mut command = bench.program();
    command.args(["db", "migrate", "--database", url]);
    let migration = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    release.await;
    let ended = Ended::of(&migration.wait_with_output().unwrap()).expect_code(0);
    assert!(ended.stderr.contains("waiting for it"), "{ended:?}");
    // Nor is the SQL that took so long of interest to a user.
    assert!(!ended.stderr.contains("SELECT") && !ended.stderr.contains("slow"), "{ended:?}");
}

#[test]
fn a_migration_waits_for_another_one_of_the_file_that_takes_long() {
    run(async {
        let bench = Bench::new();
        let file: SqliteConnectOptions = bench.database().parse().unwrap();
        let file = file.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let mut other = file.connect().await.unwrap();
        other.execute("BEGIN IMMEDIATE; CREATE TABLE of_another (one)").await.unwrap();
        waits(&bench, &bench.database(), async {
            // Longer than any other statement waits.
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            other.execute("COMMIT").await.unwrap();
        })
        .await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_migration_waits_for_another_one_on_the_server_whatever_limits_of_time_hold_there() {
    run(async {
        let database = Database::new().await;
        let limits = "SET lock_timeout = '100ms'";
        database.run(&format!("ALTER DATABASE {} {limits}", database.name)).await;
        let mut other = sqlx::PgConnection::connect(&database.url()).await.unwrap();
        // The lock of every file of `migrations/postgres`.
        other.execute("SELECT pg_advisory_lock(730636066)").await.unwrap();
        waits(&Bench::new(), &database.url(), async {
            // So long that the library would call it slow.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            other.close().await.unwrap();
        })
        .await;
    });
}
