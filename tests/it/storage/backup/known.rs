//! A database that a test fills, loses, and compares with what it was.

use std::path::Path;
use std::process::Command;

use actors::ports::MetricStore;
use omninode::storage::{PostgresStore, SqliteStore};
use sqlx::{AssertSqlSafe, SqlitePool};

use super::super::Database;
use super::super::rows::{event, event_row, phase, template};
use super::super::schema::SCHEMA;
use crate::support::{Bench, Ended};

/// A password that no file and no message may hold.
pub(super) const PASSWORD: &str = "k4nary-p4ssw0rd";

pub(super) const TABLES: [&str; 9] = [
    "schema_migrations",
    "mixin_compatibility_matrix",
    "pattern_feedback_log",
    "generation_performance_metrics",
    "template_cache_metadata",
    "event_processing_metrics",
    "template_cache_reports",
    "event_processing_hourly",
    "generation_performance_hourly",
];

/// A database that a test knows two ways: by its URL, and past us.
pub(super) trait Known {
    fn url(&self) -> String;
    /// Schema and rows, as text.
    async fn content(&self) -> String;
    async fn run(&self, sql: &str);
    /// As if it had never been there.
    async fn lose(&self);
    /// With the database's own program, into the database as it is.
    fn restore_by_hand(&self, path: &Path);
    async fn ask(&self, sql: &str) -> i64;
}

impl Known for Database {
    fn url(&self) -> String {
        self.url().replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1)
    }

    async fn content(&self) -> String {
        let rows = |table: &&str| {
            self.ask(&format!(
                "SELECT '{table}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
            ))
        };
        let views = self.ask("SELECT count(*), md5(string_agg(v::text, '|')) FROM mixin_compatibility_summary v");
        // A server that reads its own words states casts at another place, also after pg_dump.
        let casts = ["::text[]", "::text", "::character varying", "(", ")"];
        let schema = casts.iter().fold(self.ask(SCHEMA), |schema, cast| schema.replace(cast, ""));
        format!("{schema}\n{}\n{views}", TABLES.iter().map(rows).collect::<Vec<_>>().join("\n"))
    }

    async fn run(&self, sql: &str) {
        self.run(sql).await;
    }

    async fn lose(&self) {
        self.on_server(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        self.on_server(&format!("CREATE DATABASE {}", self.name)).await;
    }

    #[track_caller]
    fn restore_by_hand(&self, path: &Path) {
        let line = format!("gunzip -c '{}' | psql -X -q -v ON_ERROR_STOP=1 '{}'", path.display(), Database::url(self));
        let ended = Ended::of(&Command::new("sh").args(["-c", &line]).output().unwrap()).expect_code(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }

    async fn ask(&self, sql: &str) -> i64 {
        self.ask(sql).parse().unwrap()
    }
}

/// An SQLite file of a bench.
pub(super) struct InFile<'a>(&'a Bench);

impl InFile<'_> {
    async fn pool(&self) -> SqlitePool {
        SqlitePool::connect(&self.0.database()).await.unwrap()
    }

    async fn texts(&self, sql: String) -> Vec<String> {
        let pool = self.pool().await;
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    }
}

impl Known for InFile<'_> {
    fn url(&self) -> String {
        self.0.database()
    }

    async fn content(&self) -> String {
        let schema = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY type, name".to_owned();
        let mut content = self.texts(schema).await;
        for table in TABLES {
            let columns = self.texts(format!("SELECT name FROM pragma_table_info('{table}')")).await;
            let line: Vec<String> =
                columns.iter().map(|name| format!("typeof({name}) || hex({name}) || quote({name})")).collect();
            content.extend(self.texts(format!("SELECT {} FROM {table} ORDER BY 1", line.join(" || '|' || "))).await);
        }
        content.join("\n")
    }

    async fn run(&self, sql: &str) {
        let pool = self.pool().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&pool).await.unwrap();
        pool.close().await;
    }

    async fn lose(&self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.0.path(&format!("omninode.db{end}")));
        }
    }

    #[track_caller]
    fn restore_by_hand(&self, path: &Path) {
        let file = self.0.path("omninode.db");
        let line = format!("gunzip -c '{}' | sqlite3 -bail '{}'", path.display(), file.display());
        let ended = Ended::of(&Command::new("sh").args(["-c", &line]).output().unwrap()).expect_code(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }

    async fn ask(&self, sql: &str) -> i64 {
        let pool = self.pool().await;
        let answer = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&pool).await.unwrap();
        pool.close().await;
        answer
    }
}

/// Values of all kinds in the tables that the writer does not fill; what stands in braces is SQLite's.
const STRANGE: &str = "
INSERT INTO mixin_compatibility_matrix (id, mixin_a, mixin_b, node_type, compatibility_score, conflict_reason)
VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'é\"''\\n\\', 'EFFECT', 0.3333, 'one
\\.
-- omninode: end of\tit; ''COMMIT;''');
INSERT INTO mixin_compatibility_matrix (id, mixin_a, mixin_b, node_type, last_tested_at)
VALUES ('00000000-0000-0000-0000-000000000002', '', '\\N', 'COMPUTE', '2026-03-29 01:30:00.123456+00');
INSERT INTO pattern_feedback_log (id, session_id, pattern_name, feedback_type, contract_json, false_positives)
VALUES ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000004', 'p', 'correct',
    '{\"a\": [1, null, \"\\u00e9\\n\"]}', '{\"x,y\",\"\",null}');
INSERT INTO generation_performance_metrics (id, session_id, node_type, phase, duration_ms, cpu_percent)
VALUES ('00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000004', 'EFFECT', 'total',
    0.1234567890123456789, 99.99),
    ('00000000-0000-0000-0000-000000000006', '00000000-0000-0000-0000-000000000004', 'EFFECT', 'total', 12345678901.234567, 0);";

fn rows() -> Vec<actors::metric::Row> {
    let failed = |number| {
        let error = Some(("io".to_owned(), "away\n\\.\n\t\\".to_owned()));
        actors::metric::Row::Event(actors::metric::EventRow { error, ..event_row(number) })
    };
    let events = (1..300).map(event).chain((300..310).map(failed));
    events.chain((1_000..1_200).map(phase)).chain([template(5_000, "a"), template(5_001, "b")]).collect()
}

async fn filled(known: &impl Known, store: &dyn MetricStore) {
    for rows in rows().chunks(100) {
        store.write(rows).await.unwrap();
    }
    store.close().await;
    known.run(STRANGE).await;
}

pub(super) async fn on_server() -> Database {
    let database = Database::new().await;
    filled(&database, &PostgresStore::open(&database.target()).await.unwrap()).await;
    database
}

pub(super) async fn in_file(bench: &Bench) -> InFile<'_> {
    let known = InFile(bench);
    filled(&known, &SqliteStore::open(&bench.database()).await.unwrap()).await;
    // Text that the writer would not store.
    known.run("UPDATE template_cache_metadata SET file_path = 'a' || char(0) || 'b' || char(13, 10)").await;
    known
}
