//! Rows into the tables: one statement for each hundred rows of a kind.

use std::collections::BTreeMap;

use actors::metric::{EventRow, PhaseRow, Row, TemplateRow, milliseconds};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::super::rollup::{self, EventHour, EventKey, PhaseHour, PhaseKey};
use super::super::{storable, templates, unix_seconds};

/// Rows of one statement. A prepared statement takes memory for each of its values, and more rows gain nothing.
pub(in super::super) const STATEMENT_ROWS_MAX: usize = 100;

const HOUR: &str = "strftime('%Y-%m-%d %H:%M:%f', ";

/// One transaction: all rows or none.
pub(super) async fn write_all(pool: &SqlitePool, rows: &[Row]) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (mut phases, mut events, mut reports) = (Vec::new(), Vec::new(), Vec::<&TemplateRow>::new());
    for row in rows {
        match row {
            Row::Phase(row) => phases.push(row),
            Row::Event(row) => events.push(row),
            Row::Template(row) => reports.push(row),
        }
    }
    let mut stored = Vec::new();
    for chunk in phases.chunks(STATEMENT_ROWS_MAX) {
        stored.extend(insert_phases(&mut transaction, chunk).await?);
    }
    add_phase_hours(&mut transaction, &rollup::of_phases(rollup::only(&phases, stored, |row| row.id))).await?;
    let mut stored = Vec::new();
    for chunk in events.chunks(STATEMENT_ROWS_MAX) {
        stored.extend(insert_events(&mut transaction, chunk).await?);
    }
    add_event_hours(&mut transaction, &rollup::of_events(rollup::only(&events, stored, |row| row.id))).await?;
    templates::add(&mut transaction, &reports).await?;
    transaction.commit().await
}

async fn insert_phases(connection: &mut SqliteConnection, rows: &[&PhaseRow]) -> sqlx::Result<Vec<Uuid>> {
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
            .push_bind(serde_json::json!({ "package": storable(&row.package) }).to_string())
            .push("strftime('%Y-%m-%d %H:%M:%f', ")
            .push_bind_unseparated(unix_seconds(row.created_at))
            .push_unseparated(", 'unixepoch')");
    });
    finish(insert, rows.len(), connection).await
}

async fn insert_events(connection: &mut SqliteConnection, rows: &[&EventRow]) -> sqlx::Result<Vec<Uuid>> {
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

/// Only the full statement, whose text is always the same, stays prepared: each other length would be one more. The ids of
/// the rows that were not there before.
async fn finish(
    mut insert: QueryBuilder<Sqlite>,
    rows: usize,
    connection: &mut SqliteConnection,
) -> sqlx::Result<Vec<Uuid>> {
    let keep = rows == STATEMENT_ROWS_MAX;
    let insert = insert.push(" ON CONFLICT (id) DO NOTHING RETURNING id").build_query_scalar().persistent(keep);
    let stored: Vec<String> = insert.fetch_all(connection).await?;
    Ok(stored.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
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
    insert.build().persistent(false).execute(connection).await.map(drop)
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
    insert.build().persistent(false).execute(connection).await.map(drop)
}
