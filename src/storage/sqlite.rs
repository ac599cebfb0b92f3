//! Embedded SQLite: one file, created and migrated when it is opened.

mod rows;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use actors::metric::Row;
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, SqlitePool};
use tokio::runtime::Handle;

use super::migrations::{Applied, SIGNS, SQLITE};
use super::rollup::Unfolded;

pub(super) use rows::STATEMENT_ROWS_MAX;

/// How long a statement waits for another process's lock; the metric writer tries again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many milliseconds a migration waits for another process's: a large file takes its time.
const MIGRATION_TIMEOUT: u32 = 600_000;

pub struct SqliteStore {
    pool: SqlitePool,
    /// The application's runtime: the pool's timers belong to it, not to the thread of an actor.
    runtime: Handle,
    unfolded: Unfolded,
}

impl SqliteStore {
    /// Opens or creates the file, and migrates it. Two first runs at once wait for each other.
    ///
    /// # Errors
    /// In words for the user: what went wrong with which file, and what to do.
    pub async fn open(url: &str) -> Result<Self, String> {
        Self::open_migrated(url).await.map(|(store, _)| store)
    }

    /// Brings the schema of a file up to date, and creates the file; the files that were applied.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn migrate_file(url: &str) -> Result<Vec<String>, String> {
        let (store, done) = Self::open_migrated(url).await?;
        store.close().await;
        Ok(done)
    }

    async fn open_migrated(url: &str) -> Result<(Self, Vec<String>), String> {
        let (options, file) = options(url)?;
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        }
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-512")
            .foreign_keys(true);
        let give_up = Instant::now() + BUSY_TIMEOUT;
        loop {
            match Self::opened(options.clone()).await {
                // The switch to a write-ahead log, and the first look into a new one, do not wait for each other as
                // statements do: of two first runs one may be told at once that the file is locked.
                Err(error) if is_locked(&error) && Instant::now() < give_up => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                opened => return opened.map_err(|error| explain(&file, &error)),
            }
        }
    }

    async fn opened(options: SqliteConnectOptions) -> sqlx::Result<(Self, Vec<String>)> {
        // One writer: SQLite has one anyway, and waiting in the pool is cheaper than waiting for its lock.
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY_TIMEOUT * 2);
        let store =
            Self { pool: pool.connect_with(options).await?, runtime: Handle::current(), unfolded: Unfolded::default() };
        let done = store.migrate().await?;
        Ok((store, done))
    }

    /// Opens a file that is there to read it: nothing is migrated, nothing is locked, and it need not be writable.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_to_read(url: &str) -> Result<Self, String> {
        let (options, file) = options(url)?;
        // Without a log beside it nobody has it open: it is read as it stands, and no log is left behind.
        let log = PathBuf::from(format!("{}-wal", file.display()));
        let opened = match opened_to_read(options.clone().immutable(!log.exists())).await {
            // In a folder that cannot be written a log cannot be followed: what is in the file itself is read.
            Err(_) => opened_to_read(options.immutable(true)).await,
            opened => opened,
        };
        let pool = opened.map_err(|error| explain(&file, &error))?;
        Ok(Self { pool, runtime: Handle::current(), unfolded: Unfolded::default() })
    }

    /// Whether the file is there.
    ///
    /// # Errors
    /// The URL names no file.
    pub fn exists(url: &str) -> Result<bool, String> {
        options(url).map(|(_, file)| file.exists())
    }

    async fn migrate(&self) -> sqlx::Result<Vec<String>> {
        let mut connection = self.pool.acquire().await?;
        if SQLITE.pending(&applied(&mut connection).await?.ours()?).is_empty() {
            return Ok(Vec::new());
        }
        let held = connection.begin_with("BEGIN IMMEDIATE").await.err();
        if held.as_ref().is_some_and(is_locked) {
            tracing::warn!("another process holds the database, perhaps to change its schema: waiting for it");
            connection.execute(AssertSqlSafe(format!("PRAGMA busy_timeout = {MIGRATION_TIMEOUT}"))).await?;
        }
        // Once more under the write lock, so that of two first runs one finds the work of the other.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let applied = applied(&mut transaction).await?;
        let mut done = Vec::new();
        for file in SQLITE.pending(&applied) {
            sqlx::raw_sql(file.sql).execute(&mut *transaction).await?;
            done.push(file.name.to_owned());
        }
        transaction.commit().await?;
        let again = format!("PRAGMA busy_timeout = {}", BUSY_TIMEOUT.as_millis());
        connection.execute(AssertSqlSafe(again)).await.map(|_| done)
    }

    /// For tests and checks that read what was written.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// The file that a URL names.
pub(super) fn file_of(url: &str) -> Result<PathBuf, String> {
    options(url).map(|(_, file)| file)
}

/// One connection to a file, made if need be, with nothing migrated: for whoever brings or takes the whole of it.
pub(super) async fn connected(file: &Path, create: bool) -> Result<SqliteConnection, String> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(create).busy_timeout(BUSY_TIMEOUT);
    let options = options.foreign_keys(false).disable_statement_logging();
    let connecting = SqliteConnection::connect_with(&options).await;
    connecting.map_err(|error| explain(file, &error))
}

async fn opened_to_read(options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY_TIMEOUT * 2);
    let pool = pool.connect_with(options.read_only(true).busy_timeout(BUSY_TIMEOUT)).await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&pool).await.map(|_| pool)
}

/// What the file says of its schema.
pub(super) async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Applied> {
    let names: Vec<(String, String)> =
        sqlx::query_as("SELECT type, name FROM sqlite_schema WHERE type IN ('view', 'table')")
            .fetch_all(&mut *connection)
            .await?;
    let is_view = |view: &str| names.iter().any(|(kind, name)| kind == "view" && name == view);
    let mut applied =
        Applied { views: SQLITE.views().into_iter().filter(|view| is_view(view)).count(), ..Applied::default() };
    let is_table = |table: &str| names.iter().any(|(kind, name)| kind == "table" && name == table);
    applied.signs = SIGNS.iter().filter(|(_, table)| is_table(table)).map(|(_, table)| (*table).to_owned()).collect();
    if is_table("schema_migrations") {
        let versions = sqlx::query_scalar("SELECT version FROM schema_migrations ORDER BY version");
        applied.versions = versions.fetch_all(&mut *connection).await?;
    }
    if is_view("schema_views") {
        applied.revision =
            sqlx::query_scalar("SELECT max(revision) FROM schema_views").fetch_one(&mut *connection).await?;
    }
    Ok(applied)
}

fn options(url: &str) -> Result<(SqliteConnectOptions, PathBuf), String> {
    let options =
        SqliteConnectOptions::from_str(url).map_err(|error| format!("`{url}` is not an SQLite URL: {error}"))?;
    let file = options.get_filename().to_owned();
    if file.as_os_str().is_empty() {
        return Err(format!("`{url}` names no file; expected sqlite://PATH"));
    }
    // A slow statement would stand on the user's standard error in full, a file of SQL with it.
    Ok((options.disable_statement_logging(), file))
}

/// SQLITE_BUSY and its kinds: another connection holds the file now.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["5", "261", "517", "773"].contains(&code.as_ref()))
}

pub(super) fn explain(file: &Path, error: &sqlx::Error) -> String {
    let code =
        error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned()).unwrap_or_default();
    let help = match code.as_str() {
        "26" => "; it is not an SQLite database: name another file with --database",
        "5" | "517" => "; another process holds it: try again, or name another file with --database",
        "8" | "1544" | "14" => "; check that the file and its folder can be written, or name another with --database",
        _ => "",
    };
    format!("database {}: {}{help}", file.display(), super::postgres::told(error))
}

#[async_trait]
impl MetricStore for SqliteStore {
    async fn close(&self) {
        let (pool, unfolded) = (self.pool.clone(), self.unfolded.take());
        let closing = async move {
            if unfolded {
                fold(&pool).await;
            }
            // The last connection to close folds the write-ahead log into the file.
            pool.close().await;
        };
        let _ = self.runtime.spawn(closing).await;
    }

    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let (pool, rows) = (self.pool.clone(), rows.to_vec());
        let due = self.unfolded.is_due_with(rows.len());
        let write = async move {
            rows::write_all(&pool, &rows).await?;
            if due {
                fold(&pool).await;
            }
            Ok(())
        };
        let written: Result<sqlx::Result<()>, _> = self.runtime.spawn(write).await;
        match written {
            Ok(result) => result.map_err(|error| fault(&error)),
            // The writer tells a panic from a store that is down.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StoreError::Down(format!("the write was cut off: {error}"))),
        }
    }
}

/// Makes the rollups small again; it may as well be done another time.
async fn fold(pool: &SqlitePool) {
    if let Err(error) = rows::fold(pool).await {
        tracing::debug!(%error, "the rollups were not folded");
    }
}

/// Whether the rows are at fault or the database is away.
fn fault(error: &sqlx::Error) -> StoreError {
    /// SQLite's primary result codes for what another try cannot change: a value too big, a constraint, a type, a
    /// parameter out of range. A statement that does not fit the schema (1, no such table) is no row's fault: somebody
    /// is at work on the file.
    const OF_ROWS: [i32; 4] = [18, 19, 20, 25];
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
    let of_rows = match (error, code) {
        (_, Some(code)) => OF_ROWS.contains(&(code & 0xff)),
        (sqlx::Error::Encode(_) | sqlx::Error::TypeNotFound { .. } | sqlx::Error::InvalidArgument(_), _) => true,
        _ => false,
    };
    if of_rows { StoreError::Refused(error.to_string()) } else { StoreError::Down(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use std::time::SystemTime;

    use actors::metric::{EventRow, Phase, PhaseRow};
    use uuid::Uuid;

    fn event(id: u128, error: Option<(&str, &str)>) -> Row {
        Row::Event(EventRow {
            id: Uuid::from_u128(id),
            event_id: Uuid::from_u128(1),
            attempt: 2,
            event_type: "node.generate",
            event_source: "cli",
            processing: Duration::from_micros(1_250),
            queue_wait: Duration::from_micros(375),
            error: error.map(|(kind, message)| (kind.to_owned(), message.to_owned())),
            created_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        })
    }

    fn phase(id: u128) -> Row {
        Row::Phase(PhaseRow {
            id: Uuid::from_u128(id),
            session_id: Uuid::from_u128(9),
            node_type: "EFFECT",
            phase: Phase::CodeGen,
            duration: Duration::from_micros(412),
            cache_hit: true,
            worker_count: 2,
            package: Arc::from("node_\"x\""),
            created_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        })
    }

    async fn opened() -> (tempfile::TempDir, String, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/deep/er/omninode.db", folder.path().display());
        let store = SqliteStore::open(&url).await.unwrap();
        (folder, url, store)
    }

    #[tokio::test]
    async fn a_row_keeps_its_fractions_and_a_second_write_changes_nothing() {
        let (_folder, url, store) = opened().await;
        let rows = [event(1, None), event(2, Some(("contract", "a.yaml:1:1: no"))), phase(3)];
        store.write(&rows).await.unwrap();
        store.write(&rows).await.unwrap();
        let events: Vec<(f64, f64, bool, Option<String>, i64, String)> = sqlx::query_as(
            "SELECT processing_duration_ms, queue_wait_time_ms, success, error_type, retry_count, created_at \
             FROM event_processing_metrics ORDER BY id",
        )
        .fetch_all(store.pool())
        .await
        .unwrap();
        let at = "2023-11-14 22:13:20.123".to_owned();
        assert_eq!(
            events,
            [(1.25, 0.375, true, None, 1, at.clone()), (1.25, 0.375, false, Some("contract".to_owned()), 1, at),]
        );
        let phases: Vec<(String, f64, bool, bool, i64, String)> = sqlx::query_as(
            "SELECT phase, duration_ms, cache_hit, parallel_execution, worker_count, json_extract(metadata, '$.package') \
             FROM generation_performance_metrics",
        )
        .fetch_all(store.pool())
        .await
        .unwrap();
        assert_eq!(phases, [("code_gen".to_owned(), 0.412, true, true, 2, "node_\"x\"".to_owned())]);
        drop(SqliteStore::open(&url).await.unwrap());
    }

    #[tokio::test]
    async fn a_batch_larger_than_one_statement_is_stored_whole() {
        let (_folder, _, store) = opened().await;
        let rows: Vec<Row> = (1..=2_500).map(|id| event(id, None)).chain((3_000..4_200).map(phase)).collect();
        store.write(&rows).await.unwrap();
        let count: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM event_processing_metrics) + (SELECT count(*) FROM generation_performance_metrics)",
        )
        .fetch_one(store.pool())
        .await
        .unwrap();
        assert_eq!(count, 3_700);
    }

    #[tokio::test]
    async fn the_guides_check_finds_version_six() {
        let (_folder, _, store) = opened().await;
        let (version, description): (i64, String) =
            sqlx::query_as("SELECT version, description FROM schema_migrations WHERE version = 6")
                .fetch_one(store.pool())
                .await
                .unwrap();
        assert_eq!(version, 6);
        assert!(description.starts_with("Phase 7: Add mixin learning, pattern feedback, performance metrics"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn first_runs_at_once_never_collide() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/omninode.db", folder.path().display());
        let runs: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { SqliteStore::open(&url).await.map(drop) }
                })
            })
            .collect();
        for run in runs {
            run.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_with_its_name_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        std::fs::write(
            &file,
            "not a database, but long enough to be read as a header of one, which it is not. ".repeat(20),
        )
        .unwrap();
        let error = SqliteStore::open(&format!("sqlite://{}", file.display())).await.err().unwrap();
        assert!(error.contains("notes.txt") && error.contains("--database"), "{error}");
    }
}
