//! `omninode db backup` and `db restore`, as a user types them: what was there is there again, by our command and by the
//! database's own; and whatever is in the way, nothing is lost.

mod known;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::ports::MetricStore;
use omninode::storage::{PostgresStore, SqliteStore};
use serde_json::Value;

use super::rows::event;
use super::schema::assert_same;
use super::{Database, run};
use crate::support::{Bench, Ended};

use known::{Known, PASSWORD, TABLES, in_file, on_server};

fn omninode(bench: &Bench, url: &str, arguments: &[&str]) -> Ended {
    Ended::of(&bench.program().arg("db").args(arguments).args(["--database", url]).output().unwrap())
}

/// The path that a backup names on its one line.
#[track_caller]
fn backup(bench: &Bench, url: &str, more: &[&str]) -> PathBuf {
    backup_in("kept", bench, url, more)
}

#[track_caller]
fn backup_in(folder: &str, bench: &Bench, url: &str, more: &[&str]) -> PathBuf {
    let ended = omninode(bench, url, &[&["backup", "--dir", folder], more].concat()).expect_code(0);
    let path = ended.stdout.strip_prefix("Backup completed: ").and_then(|rest| rest.strip_suffix('\n'));
    let path = path.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(!path.contains('\n') && ended.stderr.is_empty(), "{ended:?}");
    bench.path(path)
}

#[track_caller]
fn restore(bench: &Bench, url: &str, more: &[&str]) -> Ended {
    omninode(bench, url, &[&["restore", "--dir", "kept"], more].concat())
}

fn unzipped(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Row E10: back up, lose everything, restore; by our command and by hand.
async fn drill(bench: &Bench, known: &impl Known) {
    let before = known.content().await;
    let path = backup(bench, &known.url(), &[]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files(path.parent().unwrap()), [path.file_name().unwrap().to_str().unwrap()], "nothing else is left");
    assert!(!unzipped(&path).contains(PASSWORD));
    assert_same(&known.content().await, &before);

    known.lose().await;
    let ended = restore(bench, &known.url(), &["latest"]).expect_code(0);
    assert!(ended.stdout.contains("event_processing_metrics         309 rows"), "{ended:?}");
    assert_same(&known.content().await, &before);
    let status = omninode(bench, &known.url(), &["status", "--format", "json"]).expect_code(0);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["pending"], serde_json::json!([]));

    known.lose().await;
    known.restore_by_hand(&path);
    assert_same(&known.content().await, &before);
}

#[test]
fn guide_51_a_lost_file_is_restored_as_it_was_by_our_command_and_by_sqlite3() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        drill(&bench, &known).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_51_a_dropped_database_is_restored_as_it_was_by_our_command_and_by_psql() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        drill(&bench, &database).await;
        // The ids of rollups go on where they were.
        let store = PostgresStore::open(&database.target()).await.unwrap();
        store.write(&[event(9_000)]).await.unwrap();
        store.close().await;
    });
}

/// One table was dropped, with the views over it; the others have got rows since.
async fn one_table(bench: &Bench, known: &impl Known, drop: &str) {
    let before = known.content().await;
    let whole = backup(bench, &known.url(), &[]);
    let part = backup(bench, &known.url(), &["--tables", "mixin_compatibility_matrix"]);
    assert!(part.to_str().unwrap().ends_with("_tables.sql.gz"));
    known.run(drop).await;
    let lost = omninode(bench, &known.url(), &["backup", "--dir", "kept"]).expect_code(1);
    assert!(lost.stderr.contains("restore latest --tables mixin_compatibility_matrix"), "{lost:?}");
    known.restore_by_hand(&part);
    assert_same(&known.content().await, &before);

    known.run(drop).await;
    known.run("DELETE FROM pattern_feedback_log").await;
    let refused = restore(bench, &known.url(), &["latest"]).expect_code(1);
    assert!(refused.stderr.contains("event_processing_metrics") && refused.stderr.contains("--tables"), "{refused:?}");
    restore(bench, &known.url(), &["latest", "--tables", "mixin_compatibility_matrix"]).expect_code(0);
    assert_eq!(known.ask("SELECT count(*) FROM pattern_feedback_log").await, 0, "others are left alone");
    restore(bench, &known.url(), &[whole.to_str().unwrap(), "--tables", "pattern_feedback_log"]).expect_code(0);
    assert_same(&known.content().await, &before);

    let refused = restore(bench, &known.url(), &["latest", "--tables", "nosuch"]).expect_code(1);
    assert!(refused.stderr.contains("there is no table `nosuch`"), "{refused:?}");
}

#[test]
fn guide_51_one_table_of_a_file_is_restored_alone() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        one_table(&bench, &known, "DROP TABLE mixin_compatibility_matrix").await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_51_one_dropped_table_is_restored_alone_and_its_views_and_trigger_are_back() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        one_table(&bench, &database, "DROP TABLE IF EXISTS mixin_compatibility_matrix CASCADE;").await;
    });
}

/// Rows that are there are replaced only by `--clean`, and then all or none.
async fn clean(bench: &Bench, known: &impl Known) {
    let before = known.content().await;
    let path = backup(bench, &known.url(), &[]);
    known.run("DELETE FROM event_processing_metrics; DELETE FROM template_cache_metadata").await;
    let changed = known.content().await;
    let refused = restore(bench, &known.url(), &["latest"]).expect_code(1);
    assert!(refused.stderr.contains("--clean replaces them"), "{refused:?}");
    assert_same(&known.content().await, &changed);

    // Damage of every kind.
    let bytes = std::fs::read(&path).unwrap();
    let sound = unzipped(&path);
    let zipped = |text: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let end = sound.find("-- omninode: end ").unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for damaged in [
        bytes[..bytes.len() / 2].to_vec(),
        flipped,
        zipped(&sound[..end]),
        zipped(&sound.replacen("node.generate", "node.degenerat", 1)),
        zipped("-- PostgreSQL database dump\n"),
        b"SELECT 1;".to_vec(),
        Vec::new(),
    ] {
        let file = bench.write("damaged.sql.gz", damaged);
        let refused = restore(bench, &known.url(), &[file.to_str().unwrap(), "--clean"]).expect_code(1);
        assert!(refused.stderr.contains("damaged.sql.gz"), "{refused:?}");
        assert_same(&known.content().await, &changed);
    }
    restore(bench, &known.url(), &["latest", "--clean"]).expect_code(0);
    assert_same(&known.content().await, &before);
}

#[test]
fn rows_in_a_file_are_replaced_by_clean_only_and_never_by_a_damaged_backup() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        clean(&bench, &known).await;
        let missing = restore(&bench, &known.url(), &["nosuch.sql.gz"]).expect_code(1);
        assert!(missing.stderr.contains("nosuch.sql.gz"), "{missing:?}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn rows_on_a_server_are_replaced_by_clean_only_and_never_by_a_damaged_backup() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        clean(&bench, &database).await;
    });
}

/// Of a batch either all is in a backup or nothing: its rows, and what they add to the hours.
async fn while_others_write(bench: &Bench, known: &impl Known, store: Arc<dyn MetricStore>) {
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut next = 100_000;
            while !stop.load(Ordering::Relaxed) {
                let rows: Vec<_> = (next..next + 100).map(event).collect();
                next += 100;
                store.write(&rows).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            store.close().await;
            next
        }
    });
    // The writer is on another thread.
    let backup = |folder| backup_in(folder, bench, &known.url(), &["--tables", "event_processing_metrics"]);
    let paths = ["kept/1", "kept/2", "kept/3", "kept/4"].map(backup);
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 100_500, "something was written meanwhile");
    let mut seen = Vec::new();
    for path in paths {
        restore(bench, &known.url(), &[path.to_str().unwrap(), "--clean", "--tables", "event_processing_metrics"])
            .expect_code(0);
        let rows = known.ask("SELECT count(*) FROM event_processing_metrics").await;
        let summed = known.ask("SELECT CAST(sum(events) AS bigint) FROM event_processing_hourly").await;
        assert_eq!(rows, summed);
        assert_eq!((rows - 309) % 100, 0, "whole batches");
        seen.push(rows);
    }
    assert!(seen.is_sorted() && seen.first() < seen.last(), "{seen:?}");
}

#[test]
fn a_backup_of_a_file_is_one_moment_while_others_write() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        let store = SqliteStore::open(&bench.database()).await.unwrap();
        while_others_write(&bench, &known, Arc::new(store)).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_backup_of_a_server_is_one_moment_while_others_write() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        let store = PostgresStore::open(&database.target()).await.unwrap();
        while_others_write(&bench, &database, Arc::new(store)).await;
    });
}

/// As the schema was before the rollups: a backup from before an update.
const OLDER: &str = "DROP TABLE event_processing_hourly; DROP TABLE generation_performance_hourly;
    DELETE FROM schema_migrations WHERE version > 8;";

/// A backup of an older version is restored as it was, and migrated; a part of it does not fit beside newer tables.
async fn older(bench: &Bench, known: &impl Known, drop_functions: &str) {
    known.run(OLDER).await;
    known.run(drop_functions).await;
    let path = backup(bench, &known.url(), &[]);
    assert!(unzipped(&path).starts_with("-- omninode backup 1: ") && unzipped(&path).contains(", schema 8, full"));
    omninode(bench, &known.url(), &["migrate"]).expect_code(0);
    let hours = "SELECT CAST(sum(events) AS bigint) FROM event_processing_hourly";
    assert_eq!(known.ask(hours).await, 309);
    known.run("DELETE FROM event_processing_metrics; DELETE FROM event_processing_hourly").await;
    let refused = restore(bench, &known.url(), &["latest", "--clean", "--tables", "event_processing_metrics"]);
    assert!(refused.expect_code(1).stderr.contains("the database version 9"));
    restore(bench, &known.url(), &["latest", "--clean"]).expect_code(0);
    assert_eq!(known.ask(hours).await, 309, "counted anew by the migration");
    omninode(bench, &known.url(), &["status"]).expect_code(0);
}

#[test]
fn a_backup_of_an_older_version_is_restored_to_a_file_and_migrated() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        older(&bench, &known, "").await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_backup_of_an_older_version_is_restored_to_a_server_and_migrated() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        older(&bench, &database, "DROP FUNCTION histogram_slot; DROP FUNCTION histogram_value").await;
    });
}

#[test]
fn guide_51_backups_older_than_is_kept_go_after_a_new_one_and_nothing_else_does() {
    run(async {
        let bench = Bench::new();
        let known = in_file(&bench).await;
        let day = |days: u64| {
            let at = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400 + 60);
            humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':', 'Z'], "").replace('T', "_")
        };
        let (old, young) = (day(31), day(29));
        let stay = [
            format!("omninode_{young}.sql.gz"),
            format!("omninode_bridge_{old}.sql.gz"),
            format!("omninode_{old}.sql"),
            format!("copy_of_omninode_{old}.sql.gz"),
            "omninode_latest.sql.gz".to_owned(),
            "notes.txt".to_owned(),
        ];
        let go = [
            format!("omninode_{old}.sql.gz"),
            format!("omninode_{old}_tables.sql.gz"),
            format!(".omninode_{old}.sql.gz.x1y2z3.tmp"),
        ];
        for name in stay.iter().chain(&go) {
            bench.write(&format!("kept/{name}"), "x");
        }
        let all = files(&bench.path("kept"));

        // The database is no database; the folder cannot take the file; the schema is unknown.
        let broken = bench.write("broken.db", "no database, but long enough to be taken for one at first. ".repeat(40));
        let broken = format!("sqlite://{}", broken.display());
        let keep = ["backup", "--dir", "kept", "--keep", "30d"];
        assert!(omninode(&bench, &broken, &keep).expect_code(3).stderr.contains("broken.db"));
        let missing = format!("sqlite://{}", bench.path("missing/omninode.db").display());
        assert!(omninode(&bench, &missing, &keep).expect_code(3).stderr.contains("there is no file"));
        known.run("INSERT INTO schema_migrations (version, description) VALUES (1000, 'newer')").await;
        let refused = omninode(&bench, &known.url(), &keep).expect_code(1);
        assert!(refused.stderr.contains("version 1000"), "{refused:?}");
        known.run("DELETE FROM schema_migrations WHERE version = 1000").await;
        // A disk that is full after 32 KiB.
        known
            .run(&format!(
                "INSERT INTO template_cache_reports (id) {}",
                ["SELECT hex(randomblob(99))"; 400].join(" UNION ALL ")
            ))
            .await;
        let mut full = Command::new("sh");
        full.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]).arg(bench.program().get_program()).arg("db");
        full.args(keep).args(["--database", &known.url()]).current_dir(bench.path(""));
        let full = Ended::of(&full.output().unwrap()).expect_code(1);
        assert!(full.stderr.contains("cannot write kept/omninode_"), "{full:?}");
        assert_eq!(files(&bench.path("kept")), all, "a failed backup deletes nothing, and leaves nothing");

        let ended = omninode(&bench, &known.url(), &[&keep[..], &["--format", "json"]].concat()).expect_code(0);
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(told["deleted"].as_array().unwrap().len(), 3, "{told}");
        assert_eq!(told["unverified"], Value::Null);
        let mut expected: Vec<String> = stay.to_vec();
        expected.push(told["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
        expected.sort();
        assert_eq!(files(&bench.path("kept")), expected);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn rights_of_others_stay_and_their_views_are_no_casualties() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        let reader = format!("{}_reader", database.name);
        let setup = format!(
            "CREATE ROLE {reader} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}; \
             CREATE VIEW theirs AS SELECT id FROM pattern_feedback_log"
        );
        database.run(&setup).await;
        // A reader may back up; what it may not is said.
        let url = database.url_as(&reader);
        let ended = omninode(&bench, &url, &["backup", "--dir", "kept"]).expect_code(0);
        assert!(
            ended.stdout.starts_with("Backup completed: ") && ended.stderr.contains("may create nothing"),
            "{ended:?}"
        );
        database.run(&format!("REVOKE SELECT ON template_cache_reports FROM {reader}")).await;
        let denied = omninode(&bench, &url, &["backup", "--dir", "kept", "--keep", "0s"]).expect_code(3);
        assert!(denied.stderr.contains("needs SELECT on all tables"), "{denied:?}");
        assert_eq!(files(&bench.path("kept")).len(), 1, "and the one that is there stays");
        database.run(&format!("GRANT SELECT ON template_cache_reports TO {reader}")).await;
        let denied = restore(&bench, &url, &["latest", "--clean"]).expect_code(3);
        assert!(denied.stderr.contains("a restore their owner"), "{denied:?}");

        let before = database.content().await;
        let url = Known::url(&database);
        let theirs = restore(&bench, &url, &["latest", "--clean"]).expect_code(3);
        assert!(theirs.stderr.contains("view theirs depends on"), "{theirs:?}");
        assert_same(&database.content().await, &before);
        database.run("DROP VIEW theirs").await;
        let rights = "SELECT relname, relacl FROM pg_class WHERE relacl IS NOT NULL AND relnamespace = \
                      'public'::regnamespace ORDER BY 1";
        let granted = database.ask(rights);
        restore(&bench, &url, &["latest", "--clean"]).expect_code(0);
        assert_eq!(database.ask(rights), granted);
        assert_eq!(granted.lines().count(), TABLES.len() + 9, "{granted}");
        database.run(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}")).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_51_dumps_of_pg_dump_hold_every_row_and_are_restored_by_psql() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        let counts = |database: &Database| {
            TABLES.map(|table| database.ask(&format!("SELECT '{table} ' || count(*) FROM {table}")))
        };
        let before = counts(&database);
        let dump = |name: &str, more: &[&str]| {
            let file = bench.path(name);
            let mut command = Command::new("pg_dump");
            let ended = command.arg(Database::url(&database)).args(["-f", file.to_str().unwrap()]).args(more).output();
            Ended::of(&ended.unwrap()).expect_code(0);
            file
        };
        let full = dump("omninode_bridge_backup.sql", &[]);
        let five: Vec<&str> = TABLES[1..6].iter().flat_map(|table| ["-t", table]).collect();
        let phase7 = std::fs::read_to_string(dump("phase7_backup.sql", &five)).unwrap();
        for table in &TABLES[1..6] {
            let copied = phase7.split_once(&format!("COPY public.{table} ")).unwrap().1;
            let lines = copied.lines().skip(1).take_while(|line| *line != "\\.").count();
            assert_eq!(
                i64::try_from(lines).unwrap(),
                Known::ask(&database, &format!("SELECT count(*) FROM {table}")).await
            );
        }
        database.lose().await;
        database.apply(&full);
        assert_eq!(counts(&database), before);
        // Ours says what it is not.
        let refused = restore(&bench, &Known::url(&database), &[full.to_str().unwrap()]).expect_code(1);
        assert!(refused.stderr.contains("psql -v ON_ERROR_STOP=1 -f FILE"), "{refused:?}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_backup_goes_back_to_its_own_kind_of_database_only() {
    run(async {
        let (bench, database) = (Bench::new(), on_server().await);
        let known = in_file(&bench).await;
        let (file, server) = (known.url(), Known::url(&database));
        let (of_server, of_file) = (backup(&bench, &server, &[]), backup(&bench, &file, &[]));
        for (url, path, named) in [(file, of_server, "is of PostgreSQL"), (server, of_file, "is of SQLite")] {
            let refused = restore(&bench, &url, &[path.to_str().unwrap(), "--clean"]).expect_code(1);
            assert!(refused.stderr.contains(named), "{refused:?}");
            assert!(!refused.stderr.contains(PASSWORD));
        }
    });
}
