//! A store under test, and what stands in it, read past it.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::metric::{Row, milliseconds};
use actors::ports::MetricStore;
use omninode::storage::{PostgresStore, SqliteStore, Store};
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool};

use super::Database;
use super::memory::Memory;

pub(crate) struct Subject {
    pub(crate) store: Arc<dyn MetricStore>,
    reader: Reader,
    /// A folder, a database.
    _keep: Box<dyn Any>,
}

enum Reader {
    Memory(Arc<Memory>),
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A row of `event_processing_metrics`.
#[derive(Debug, PartialEq, FromRow)]
pub(crate) struct Event {
    pub(crate) event_id: String,
    pub(crate) attempt: i64,
    pub(crate) event_type: String,
    pub(crate) event_source: String,
    pub(crate) processing_duration_ms: f64,
    pub(crate) queue_wait_time_ms: f64,
    pub(crate) success: bool,
    pub(crate) error_type: Option<String>,
    pub(crate) error_message: Option<String>,
    pub(crate) retry_count: i64,
    /// Milliseconds since 1970.
    pub(crate) created: i64,
}

/// A row of `generation_performance_metrics`.
#[derive(Debug, PartialEq, FromRow)]
pub(crate) struct Phase {
    pub(crate) session_id: String,
    pub(crate) node_type: String,
    pub(crate) phase: String,
    pub(crate) duration_ms: f64,
    pub(crate) cache_hit: bool,
    pub(crate) parallel_execution: bool,
    pub(crate) worker_count: i64,
    pub(crate) package: String,
    pub(crate) created: i64,
}

/// Of a template.
#[derive(Debug, PartialEq, FromRow)]
pub(crate) struct Template {
    pub(crate) template_name: String,
    pub(crate) file_hash: String,
    pub(crate) load_time_ms: f64,
    pub(crate) access_count: i64,
    pub(crate) cache_hits: i64,
    pub(crate) cache_misses: i64,
    /// Milliseconds since 1970.
    pub(crate) accessed: Option<i64>,
}

const SQLITE_EVENTS: &str = "SELECT event_id, attempt, event_type, event_source, processing_duration_ms, \
    queue_wait_time_ms, success, error_type, error_message, retry_count, \
    CAST(round((julianday(created_at) - 2440587.5) * 86400000) AS INTEGER) AS created \
    FROM event_processing_metrics ORDER BY id";
const POSTGRES_EVENTS: &str = "SELECT event_id::text, attempt::int8, event_type, event_source, \
    processing_duration_ms::float8, queue_wait_time_ms::float8, success, error_type, error_message, \
    retry_count::int8, round(extract(epoch FROM created_at) * 1000)::int8 AS created \
    FROM event_processing_metrics ORDER BY id";
const SQLITE_PHASES: &str = "SELECT session_id, node_type, phase, duration_ms, cache_hit, parallel_execution, \
    worker_count, json_extract(metadata, '$.package') AS package, \
    CAST(round((julianday(created_at) - 2440587.5) * 86400000) AS INTEGER) AS created \
    FROM generation_performance_metrics ORDER BY id";
const POSTGRES_PHASES: &str = "SELECT session_id::text, node_type, phase, duration_ms::float8, cache_hit, \
    parallel_execution, worker_count::int8, metadata->>'package' AS package, \
    round(extract(epoch FROM created_at) * 1000)::int8 AS created \
    FROM generation_performance_metrics ORDER BY id";
const SQLITE_TEMPLATES: &str = "SELECT template_name, file_hash, load_time_ms, access_count, cache_hits, cache_misses, \
    CAST(round((julianday(last_accessed_at) - 2440587.5) * 86400000) AS INTEGER) AS accessed \
    FROM template_cache_metadata ORDER BY template_name";
const POSTGRES_TEMPLATES: &str = "SELECT template_name, file_hash, load_time_ms::float8, access_count::int8, \
    cache_hits::int8, cache_misses::int8, round(extract(epoch FROM last_accessed_at) * 1000)::int8 AS accessed \
    FROM template_cache_metadata ORDER BY template_name COLLATE \"C\"";

/// All rows of a query, on whichever database.
macro_rules! all {
    ($subject:expr, $sqlite:expr, $postgres:expr, $memory:expr) => {
        match &$subject.reader {
            Reader::Memory(memory) => $memory(memory),
            Reader::Sqlite(pool) => sqlx::query_as($sqlite).fetch_all(pool).await.unwrap(),
            Reader::Postgres(pool) => sqlx::query_as($postgres).fetch_all(pool).await.unwrap(),
        }
    };
}

fn since_epoch(at: SystemTime) -> i64 {
    i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Subject {
    pub(crate) fn memory() -> Self {
        let memory = Arc::new(Memory::default());
        Self { store: Arc::clone(&memory) as _, reader: Reader::Memory(memory), _keep: Box::new(()) }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/omninode.db", folder.path().display());
        let store = SqliteStore::open(&url).await.unwrap();
        let reader = SqlitePool::connect(&url).await.unwrap();
        Self { store: Arc::new(Store::Sqlite(store)), reader: Reader::Sqlite(reader), _keep: Box::new(folder) }
    }

    pub(crate) async fn postgres() -> Self {
        let database = Database::new().await;
        let store = PostgresStore::open(&database.target()).await.unwrap();
        let reader = database.pool().await;
        Self { store: Arc::new(Store::Postgres(store)), reader: Reader::Postgres(reader), _keep: Box::new(database) }
    }

    pub(crate) async fn write(&self, rows: &[Row]) {
        self.store.write(rows).await.unwrap();
    }

    /// Runs statements past the store, as the owner of the database may.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.reader {
            Reader::Memory(_) => panic!("no database"),
            Reader::Sqlite(pool) => drop(sql.execute(pool).await.unwrap()),
            Reader::Postgres(pool) => drop(sql.execute(pool).await.unwrap()),
        }
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        let remembered = |memory: &Arc<Memory>| {
            let rows = memory.0.lock().unwrap().rows.clone();
            let events = rows.into_values().filter_map(|row| if let Row::Event(row) = row { Some(row) } else { None });
            let event = |row: actors::metric::EventRow| {
                let error = row.error.map(|(kind, text)| (storable(&kind), storable(&text)));
                let success = error.is_none();
                let (error_type, error_message) = error.unzip();
                Event {
                    event_id: row.event_id.to_string(),
                    attempt: i64::from(row.attempt),
                    event_type: row.event_type.to_owned(),
                    event_source: row.event_source.to_owned(),
                    processing_duration_ms: milliseconds(row.processing),
                    queue_wait_time_ms: milliseconds(row.queue_wait),
                    success,
                    error_type,
                    error_message,
                    retry_count: i64::from(row.attempt) - 1,
                    created: since_epoch(row.created_at),
                }
            };
            events.map(event).collect()
        };
        all!(self, SQLITE_EVENTS, POSTGRES_EVENTS, remembered)
    }

    pub(crate) async fn phases(&self) -> Vec<Phase> {
        let remembered = |memory: &Arc<Memory>| {
            let rows = memory.0.lock().unwrap().rows.clone();
            let phases = rows.into_values().filter_map(|row| if let Row::Phase(row) = row { Some(row) } else { None });
            let phase = |row: actors::metric::PhaseRow| Phase {
                session_id: row.session_id.to_string(),
                node_type: row.node_type.to_owned(),
                phase: row.phase.as_str().to_owned(),
                duration_ms: milliseconds(row.duration),
                cache_hit: row.cache_hit,
                parallel_execution: row.worker_count > 1,
                worker_count: i64::from(row.worker_count),
                package: storable(&row.package),
                created: since_epoch(row.created_at),
            };
            phases.map(phase).collect()
        };
        all!(self, SQLITE_PHASES, POSTGRES_PHASES, remembered)
    }

    pub(crate) async fn templates(&self) -> Vec<Template> {
        let remembered = |memory: &Arc<Memory>| {
            let rows = memory.0.lock().unwrap().templates.clone();
            let template = |row: actors::metric::TemplateRow| Template {
                template_name: row.name.to_string(),
                file_hash: row.hash,
                load_time_ms: milliseconds(row.load_time),
                access_count: i64::try_from(row.hits + row.misses).unwrap(),
                cache_hits: i64::try_from(row.hits).unwrap(),
                cache_misses: i64::try_from(row.misses).unwrap(),
                accessed: row.last_accessed.map(since_epoch),
            };
            rows.into_values().map(template).collect()
        };
        all!(self, SQLITE_TEMPLATES, POSTGRES_TEMPLATES, remembered)
    }

    /// Events, phases and templates.
    pub(crate) async fn counts(&self) -> (usize, usize, usize) {
        (self.events().await.len(), self.phases().await.len(), self.templates().await.len())
    }

    /// The database has room for reading beside the writing.
    pub(crate) fn patience() -> Duration {
        Duration::from_secs(20)
    }
}

/// PostgreSQL has no NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
