//! Rows into the tables: one statement for each hundred rows of a kind.

use std::collections::{BTreeMap, BTreeSet};

use actors::metric::{EventRow, PhaseRow, Row, TemplateRow, milliseconds};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::super::rollup::{self, EventHour, EventKey, PhaseHour, PhaseKey};
use super::super::{storable, templates, unix_seconds};

/// Rows of one statement. A prepared statement takes memory for each of its values, and more rows gain nothing.
pub(in super::super) const STATEMENT_ROWS_MAX: usize = 100;

const HOUR: &str = "strftime('%Y-%m-%d %H:%M:%f', ";

/// The rows of a batch by their tables.
struct Batch<'r> {
    phases: Vec<&'r PhaseRow>,
    events: Vec<&'r EventRow>,
    reports: Vec<&'r TemplateRow>,
}

impl<'r> Batch<'r> {
    fn of(rows: &'r [Row]) -> Self {
        let mut batch = Self { phases: Vec::new(), events: Vec::new(), reports: Vec::new() };
        for row in rows {
            match row {
                Row::Phase(row) => batch.phases.push(row),
                Row::Event(row) => batch.events.push(row),
                Row::Template(row) => batch.reports.push(row),
            }
        }
        batch
    }

    /// Without the rows that are stored already, and each of the others once.
    async fn without_known(mut self, connection: &mut SqliteConnection) -> sqlx::Result<Self> {
        let ids: Vec<Uuid> = self.phases.iter().map(|row| row.id).collect();
        let mut new = unknown(connection, "generation_performance_metrics", &ids).await?;
        self.phases.retain(|row| new.remove(&row.id));
        let ids: Vec<Uuid> = self.events.iter().map(|row| row.id).collect();
        let mut new = unknown(connection, "event_processing_metrics", &ids).await?;
        self.events.retain(|row| new.remove(&row.id));
        Ok(self)
    }

    /// False where rows were there before, or stand twice in the batch: then what was inserted does not tell what belongs
    /// into the rollups.
    async fn insert(&self, connection: &mut SqliteConnection) -> sqlx::Result<bool> {
        let mut stored = 0;
        for chunk in self.phases.chunks(STATEMENT_ROWS_MAX) {
            stored += insert_phases(connection, chunk).await?;
        }
        for chunk in self.events.chunks(STATEMENT_ROWS_MAX) {
            stored += insert_events(connection, chunk).await?;
        }
        if stored < (self.phases.len() + self.events.len()) as u64 {
            return Ok(false);
        }
        add_phase_hours(connection, &rollup::of_phases(self.phases.iter().copied())).await?;
        add_event_hours(connection, &rollup::of_events(self.events.iter().copied())).await?;
        templates::add(connection, &self.reports).await?;
        Ok(true)
    }
}

/// One transaction: all rows or none.
pub(super) async fn write_all(pool: &SqlitePool, rows: &[Row]) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let batch = Batch::of(rows);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    if batch.insert(&mut transaction).await? {
        return transaction.commit().await;
    }
    // Seldom: nobody knew how a commit ended. To ask for each row what became of it would cost every batch a third.
    transaction.rollback().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    batch.without_known(&mut transaction).await?.insert(&mut transaction).await?;
    transaction.commit().await
}

/// Which of these are not in a table of ours.
async fn unknown(connection: &mut SqliteConnection, table: &'static str, ids: &[Uuid]) -> sqlx::Result<BTreeSet<Uuid>> {
    let mut unknown: BTreeSet<Uuid> = ids.iter().copied().collect();
    for chunk in ids.chunks(STATEMENT_ROWS_MAX) {
        let mut select = QueryBuilder::<Sqlite>::new("SELECT id FROM ");
        select.push(table).push(" WHERE id IN (");
        let mut places = select.separated(", ");
        for id in chunk {
            places.push_bind(id.to_string());
        }
        select.push(")");
        let known: Vec<String> = select.build_query_scalar().persistent(false).fetch_all(&mut *connection).await?;
        let known: BTreeSet<Uuid> = known.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
        unknown.retain(|id| !known.contains(id));
    }
    Ok(unknown)
}

async fn insert_phases(connection: &mut SqliteConnection, rows: &[&PhaseRow]) -> sqlx::Result<u64> {
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO generation_performance_metrics (id, session_id, node_type, phase, duration_ms, cache_hit, \
         parallel_execution, worker_count, metadata, created_at) ",
    );
    insert.push_values(rows, |mut values, row| {
        values
            .push_bind(row.id.to_string())
            .push_bind(row.session_id.to_string())
            .push_bind(row.node_type)
            .push_bind(row.phase.as_str())
            .push_bind(milliseconds(row.duration))
            .push_bind(row.cache_hit)
            .push_bind(row.worker_count > 1)
            .push_bind(row.worker_count)
            .push_bind(format!("{{\"package\":{}}}", serde_json::Value::from(&*storable(&row.package))))
            .push("strftime('%Y-%m-%d %H:%M:%f', ")
            .push_bind_unseparated(unix_seconds(row.created_at))
            .push_unseparated(", 'unixepoch')");
    });
    finish(insert, rows.len(), connection).await
}

async fn insert_events(connection: &mut SqliteConnection, rows: &[&EventRow]) -> sqlx::Result<u64> {
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO event_processing_metrics (id, event_id, attempt, event_type, event_source, processing_duration_ms, \
         queue_wait_time_ms, success, error_type, error_message, retry_count, created_at) ",
    );
    insert.push_values(rows, |mut values, row| {
        let error = row.error.as_ref().map(|(kind, text)| (storable(kind).into_owned(), storable(text).into_owned()));
        let (error_type, error_message) = error.unzip();
        values
            .push_bind(row.id.to_string())
            .push_bind(row.event_id.to_string())
            .push_bind(row.attempt)
            .push_bind(row.event_type)
            .push_bind(row.event_source)
            .push_bind(milliseconds(row.processing))
            .push_bind(milliseconds(row.queue_wait))
            .push_bind(row.error.is_none())
            .push_bind(error_type)
            .push_bind(error_message)
            .push_bind(row.attempt.saturating_sub(1))
            .push("strftime('%Y-%m-%d %H:%M:%f', ")
            .push_bind_unseparated(unix_seconds(row.created_at))
            .push_unseparated(", 'unixepoch')");
    });
    finish(insert, rows.len(), connection).await
}

/// Only the full statement, whose text is always the same, stays prepared: each other length would be one more. How many
/// rows were not there before.
async fn finish(mut insert: QueryBuilder<Sqlite>, rows: usize, connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let keep = rows == STATEMENT_ROWS_MAX;
    let insert = insert.push(" ON CONFLICT (id) DO NOTHING").build().persistent(keep);
    insert.execute(connection).await.map(|done| done.rows_affected())
}

async fn add_event_hours(connection: &mut SqliteConnection, hours: &BTreeMap<EventKey, EventHour>) -> sqlx::Result<()> {
    if hours.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, wait_ms, wait_max_ms, \
         processing_ms, latency_histogram, wait_histogram) ",
    );
    insert.push_values(hours, |mut values, ((hour, event_type), row)| {
        values
            .push(HOUR)
            .push_bind_unseparated(*hour)
            .push_unseparated(", 'unixepoch')")
            .push_bind(*event_type)
            .push_bind(row.events)
            .push_bind(row.failures)
            .push_bind(row.retries)
            .push_bind(row.events)
            .push_bind(row.wait_ms)
            .push_bind(row.wait_max_ms)
            .push_bind(row.processing_ms)
            .push_bind(rollup::object(&row.latencies))
            .push_bind(rollup::object(&row.waits));
    });
    // Of few lengths: as many rows as there are kinds at work.
    insert.build().execute(connection).await.map(drop)
}

async fn add_phase_hours(connection: &mut SqliteConnection, hours: &BTreeMap<PhaseKey, PhaseHour>) -> sqlx::Result<()> {
    if hours.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, cache_hits, \
         workers, duration_ms, duration_histogram) ",
    );
    insert.push_values(hours, |mut values, ((hour, node_type, phase, parallel), row)| {
        values
            .push(HOUR)
            .push_bind_unseparated(*hour)
            .push_unseparated(", 'unixepoch')")
            .push_bind(*node_type)
            .push_bind(*phase)
            .push_bind(*parallel)
            .push_bind(row.runs)
            .push_bind(row.cache_hits)
            .push_bind(row.workers)
            .push_bind(row.duration_ms)
            .push_bind(rollup::object(&row.durations));
    });
    // Of few lengths: as many rows as there are kinds at work.
    insert.build().execute(connection).await.map(drop)
}

/// Makes one row of the rows of an hour: whoever reads them adds them up.
pub(super) async fn fold(pool: &SqlitePool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("fold.sql")).execute(&mut *transaction).await?;
    transaction.commit().await
}
