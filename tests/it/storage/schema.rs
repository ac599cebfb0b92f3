//! The schema on PostgreSQL: whoever applies the files, in whichever order, ends with the same one.

use std::path::{Path, PathBuf};

use omninode::storage::{PostgresStore, Store, Target};
use sqlx::Connection as _;

use super::{Database, run};
use crate::support::{Bench, Ended};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");

fn guides_file() -> PathBuf {
    Path::new(FOLDER).join("0006_phase7_schema_enhancements.sql")
}

/// The files in the order of their names.
pub(super) fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Everything that the files make, as text: columns, constraints, indexes, views, functions, and which versions are noted.
pub(super) const SCHEMA: &str = "SELECT line FROM (
    SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT format('view %s %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    UNION ALL SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('version %s %s', version, description) FROM schema_migrations WHERE version > 6
    UNION ALL SELECT 'version 6' FROM schema_migrations WHERE version = 6
) lines ORDER BY line COLLATE \"C\"";

async fn migrate(database: &Database) -> Vec<String> {
    Store::migrate(&database.target()).await.unwrap()
}

/// The schema that `db migrate` alone makes.
async fn schema() -> String {
    let database = Database::new().await;
    migrate(&database).await;
    database.ask(SCHEMA)
}

/// Where two schemas differ.
#[track_caller]
pub(super) fn assert_same(found: &str, expected: &str) {
    let only = |one: &str, other: &str| {
        let other: Vec<&str> = other.lines().collect();
        one.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    assert!(more.is_empty() && less.is_empty(), "more: {more:#?}\nless: {less:#?}");
}

async fn assert_up_to_date(database: &Database) {
    let status = Store::status(&database.target()).await.unwrap().unwrap();
    assert_eq!(status.pending, [""; 0]);
    assert_eq!(migrate(database).await, [""; 0]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_02_the_guides_file_alone_applies_twice_and_its_check_finds_version_six() {
    run(async {
        let database = Database::new().await;
        database.apply(&guides_file());
        let once = database.ask(SCHEMA);
        database.apply(&guides_file());
        assert_eq!(database.ask(SCHEMA), once);
        // As the guide writes it.
        let check = database.ask("SELECT version, description FROM schema_migrations WHERE version = 6;");
        let begins = "6|Phase 7: Add mixin learning, pattern feedback, performance metrics";
        assert!(check.starts_with(begins) && check.lines().count() == 1, "{check}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_02_psql_then_migrate_and_migrate_then_psql_end_in_the_same_schema() {
    run(async {
        let expected = schema().await;
        let psql_first = Database::new().await;
        psql_first.apply(&guides_file());
        migrate(&psql_first).await;
        assert_same(&psql_first.ask(SCHEMA), &expected);
        assert_up_to_date(&psql_first).await;
        let psql_last = Database::new().await;
        migrate(&psql_last).await;
        psql_last.apply(&guides_file());
        assert_same(&psql_last.ask(SCHEMA), &expected);
        assert_up_to_date(&psql_last).await;
    });
}

/// A database as the replaced system leaves it.
fn incumbent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guide/incumbent.sql")
}

/// What became of the rows that `incumbent.sql` put in.
fn assert_adopted(database: &Database) {
    for (query, rows) in [
        (
            "SELECT mixin_a, mixin_b, node_type, compatibility_score, success_count, failure_count, conflict_reason \
             FROM mixin_compatibility_matrix ORDER BY 1, 2, 3",
            "Zeta|alpha|EFFECT||0|0|\nalpha|beta|COMPUTE|0.2500|1|3|\nalpha|beta|EFFECT|0.5000|10|10|newer",
        ),
        ("SELECT pattern_name, sample_count, \"precision\" FROM pattern_feedback_analysis", "service|2|0.5"),
        (
            "SELECT phase, duration_ms, cache_hit, worker_count FROM generation_performance_metrics ORDER BY 2",
            "total|0|||\ncode_gen|700|f|1\ntotal|1200|t|2",
        ),
        (
            "SELECT template_name, size_bytes, load_time_ms, cache_hits FROM template_cache_metadata",
            "EFFECT_template|2048|12|7",
        ),
        (
            "SELECT processing_duration_ms, queue_wait_time_ms, attempt, created_at IS NULL FROM event_processing_metrics \
             ORDER BY 1",
            "90|10|1|f\n150|20|1|f\n250||3|f",
        ),
        ("SELECT sum(events), sum(failures) FROM event_processing_hourly", "3|1"),
    ] {
        assert_eq!(database.ask(query), rows.replace("|||\n", "||\n"), "{query}");
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_02_a_database_of_the_replaced_system_is_adopted_with_its_rows() {
    run(async {
        let expected = schema().await;
        let left = incumbent();
        let migrated = Database::new().await;
        migrated.apply(&left);
        let status = Store::status(&migrated.target()).await.unwrap().unwrap();
        assert_eq!((status.version, status.pending.len()), (Some(6), files().len() - 1));
        migrate(&migrated).await;
        let by_psql = Database::new().await;
        by_psql.apply(&left);
        files().iter().for_each(|file| drop(by_psql.apply(file)));
        for database in [&migrated, &by_psql] {
            assert_same(&database.ask(SCHEMA), &expected);
            assert_adopted(database);
            assert_up_to_date(database).await;
        }
        let store = PostgresStore::open(&migrated.target()).await.unwrap();
        let rows = [super::rows::event(1), super::rows::phase(2), super::rows::template(3, "own/a.py.j2")];
        assert_eq!(actors::ports::MetricStore::write(&store, &rows).await, Ok(()));
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_version_of_another_program_is_named_and_nothing_is_applied() {
    run(async {
        let database = Database::new().await;
        database.apply(&incumbent());
        database.run("INSERT INTO schema_migrations (version, description) VALUES (7, 'theirs')").await;
        let before = database.ask(SCHEMA);
        let named = "schema_migrations holds a version 7 that is not omninode's";
        let target = database.target();
        for told in [
            Store::migrate(&target).await.err().unwrap(),
            Store::status(&target).await.err().unwrap(),
            PostgresStore::open(&target).await.err().unwrap(),
        ] {
            assert!(told.contains(named) && !told.contains("configuration"), "{told}");
        }
        assert_same(&database.ask(SCHEMA), &before);
        database.run("DELETE FROM schema_migrations WHERE version >= 7").await;
        migrate(&database).await;
        assert_adopted(&database);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn what_users_added_to_a_database_of_the_replaced_system_stays() {
    run(async {
        let expected = schema().await;
        let database = Database::new().await;
        database.apply(&incumbent());
        database
            .run(
                "CREATE INDEX own_failures ON event_processing_metrics (event_type, created_at) WHERE NOT success; \
                 CREATE UNIQUE INDEX own_files ON template_cache_metadata (file_path); \
                 ALTER TABLE event_processing_metrics ADD CONSTRAINT own_retries CHECK (retry_count <= 10); \
                 COMMENT ON COLUMN event_processing_metrics.error_type IS 'own'",
            )
            .await;
        migrate(&database).await;
        assert_eq!(database.ask("SELECT count(*) FROM pg_description WHERE description = 'own'"), "1");
        // Each is there to be dropped, and nothing else is too much.
        let drop_own = "DROP INDEX own_failures, own_files; \
                        ALTER TABLE event_processing_metrics DROP CONSTRAINT own_retries";
        database.run(drop_own).await;
        assert_same(&database.ask(SCHEMA), &expected);
    });
}

/// A trigger of a user holds the adoption up where most of it is done.
#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn while_a_database_is_adopted_its_version_can_be_read() {
    run(async {
        let database = Database::new().await;
        database.apply(&incumbent());
        database
            .run(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); \
                 RETURN new; END $$; CREATE TRIGGER hold BEFORE UPDATE ON event_processing_metrics FOR EACH ROW \
                 EXECUTE PROCEDURE hold()",
            )
            .await;
        let mut other = sqlx::PgConnection::connect(&database.url()).await.unwrap();
        sqlx::raw_sql("SELECT pg_advisory_lock(42); SET statement_timeout = '5s'").execute(&mut other).await.unwrap();
        let read_meanwhile = async {
            let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE objid = 42 AND NOT granted AND \
                           database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
            while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut other).await.unwrap() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let version = sqlx::query_scalar("SELECT max(version) FROM schema_migrations");
            let version: i32 = version.fetch_one(&mut other).await.unwrap();
            other.close().await.unwrap();
            version
        };
        let (_, version) = tokio::join!(migrate(&database), read_meanwhile);
        assert_eq!(version, 7);
        assert_up_to_date(&database).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_02_a_missing_database_is_answered_with_the_command_that_creates_it() {
    run(async {
        let database = Database::new().await;
        let name = format!("{}_new", database.name);
        let bench = Bench::new();
        let migrate = |url: &str| {
            let command = bench.program().args(["db", "migrate", "--database", url]).output().unwrap();
            Ended::of(&command)
        };
        let url = database.url_of(&name);
        let told = migrate(&url).expect_code(3).stderr;
        let command = told.split("create it: ").nth(1).unwrap_or_else(|| panic!("{told}")).trim_end();
        assert!(command.contains(&format!("CREATE DATABASE {name};")), "{command}");
        // What it says works as it stands.
        let created = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(created.status.success(), "{created:?}");
        migrate(&url).expect_code(0);
        database.run(&format!("DROP DATABASE {name}")).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_14_every_file_by_psql_in_name_order_is_the_migrated_state() {
    run(async {
        let expected = schema().await;
        let database = Database::new().await;
        for _ in 0..2 {
            files().iter().for_each(|file| drop(database.apply(file)));
            assert_same(&database.ask(SCHEMA), &expected);
        }
        assert_up_to_date(&database).await;
        for file in files() {
            assert!(
                file.is_file() && file.extension().unwrap() == "sql",
                "{}: nothing else belongs here",
                file.display()
            );
        }
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn first_runs_of_several_processes_at_once_never_collide() {
    run(async {
        let expected = schema().await;
        let database = Database::new().await;
        let bench = Bench::new();
        let migrations: Vec<_> = (0..6)
            .map(|_| {
                let mut command = bench.program();
                command.args(["db", "migrate", "--format", "json", "--database", &database.url()]);
                command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let applied = migrations.into_iter().map(|process| {
            let ended = Ended::of(&process.wait_with_output().unwrap()).expect_code(0);
            let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
            report["applied"].as_array().unwrap().len()
        });
        assert_eq!(applied.sum::<usize>(), files().len(), "each file once");
        assert_same(&database.ask(SCHEMA), &expected);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn views_that_a_dropped_table_took_along_are_pending_and_come_back() {
    run(async {
        let database = Database::new().await;
        migrate(&database).await;
        let before = database.ask(SCHEMA);
        database.run("DROP VIEW event_processing_health").await;
        let status = Store::status(&database.target()).await.unwrap().unwrap();
        assert_eq!(status.pending, ["views.sql"]);
        assert_eq!(migrate(&database).await, ["views.sql"]);
        assert_same(&database.ask(SCHEMA), &before);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn one_who_may_not_change_the_schema_is_told_the_command_and_stores_once_the_owner_has_run_it() {
    run(async {
        let database = Database::new().await;
        let user = format!("{}_app", database.name);
        database.run(&format!("CREATE ROLE {user} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")).await;
        let target = Target::new(database.url_as(&user));
        let told = PostgresStore::open(&target).await.err().unwrap();
        assert!(told.contains("0006_phase7") && told.contains("`omninode db migrate`"), "{told}");
        let told = Store::migrate(&target).await.err().unwrap();
        assert!(told.contains("let the owner of the database run `omninode db migrate`"), "{told}");
        migrate(&database).await;
        database.run(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")).await;
        let store = PostgresStore::open(&target).await.unwrap();
        let written = actors::ports::MetricStore::write(&store, &[super::rows::event(1)]).await;
        assert_eq!(written, Ok(()));
        actors::ports::MetricStore::close(&store).await;
        // Only the views are behind: rows are stored all the same.
        database.run("DROP VIEW schema_views").await;
        PostgresStore::open(&target).await.unwrap();
        database.run(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_file_that_breaks_off_leaves_nothing_of_itself_behind_and_is_named() {
    run(async {
        let database = Database::new().await;
        // In the way of the second file.
        database.run("CREATE VIEW template_cache_reports AS SELECT 1 AS one").await;
        let told = Store::migrate(&database.target()).await.err().unwrap();
        assert!(told.contains("could not be applied") && told.contains(".sql"), "{told}");
        database.run("DROP VIEW template_cache_reports CASCADE").await;
        migrate(&database).await;
        assert_up_to_date(&database).await;
        let mut connection = sqlx::PgConnection::connect(&database.url()).await.unwrap();
        let locks: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database \
             WHERE datname = current_database())",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(locks, 0);
        connection.close().await.unwrap();
    });
}
