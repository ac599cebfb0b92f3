//! Rows into the tables: for each kind one statement, whose parameters are the columns as arrays.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actors::metric::{EventRow, PhaseRow, Row, TemplateRow, milliseconds};
use sqlx::postgres::PgPool;
use sqlx::{Acquire as _, AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::super::rollup::{self, EventHour, EventKey, PhaseHour, PhaseKey};
use super::super::templates;
use super::super::{storable, unix_seconds};

const PHASES: &str = "INSERT INTO generation_performance_metrics (id, session_id, node_type, phase, duration_ms, \
    cache_hit, parallel_execution, worker_count, metadata, created_at) \
    SELECT id, session, node_type, phase, duration, cache_hit, workers > 1, workers, \
    jsonb_build_object('package', package), to_timestamp(at) \
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::float8[], $6::bool[], $7::int4[], $8::text[], \
    $9::float8[]) AS row (id, session, node_type, phase, duration, cache_hit, workers, package, at)";

const EVENTS: &str = "INSERT INTO event_processing_metrics (id, event_id, attempt, event_type, event_source, \
    processing_duration_ms, queue_wait_time_ms, success, error_type, error_message, retry_count, created_at) \
    SELECT id, event, attempt, type, source, processing, wait, error_type IS NULL, error_type, error, attempt - 1, \
    to_timestamp(at) \
    FROM unnest($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::text[], \
    $9::text[], $10::float8[]) AS row (id, event, attempt, type, source, processing, wait, error_type, error, at)";

/// For rows of which some may be stored already.
const NEW_ONLY: &str = " ON CONFLICT (id) DO NOTHING RETURNING id";

/// All rows or none. That nothing was stored before is what nearly always holds, and to ask for each row costs the server
/// a quarter of its time; where it does not hold, the first statement says so.
pub(super) async fn write_all(pool: &PgPool, rows: &[Row]) -> sqlx::Result<()> {
    match write(pool, rows, "").await {
        Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
            write(pool, rows, NEW_ONLY).await
        }
        written => written,
    }
}

/// One transaction; `conflict` ends the statements that insert rows.
async fn write(pool: &PgPool, rows: &[Row], conflict: &str) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    let (mut phases, mut events, mut reports) = (Vec::new(), Vec::new(), Vec::<&TemplateRow>::new());
    for row in rows {
        match row {
            Row::Phase(row) => phases.push(row),
            Row::Event(row) => events.push(row),
            Row::Template(row) => reports.push(row),
        }
    }
    let mut transaction = connection.begin().await?;
    if !phases.is_empty() {
        insert_phases(&mut transaction, &phases, conflict).await?;
    }
    if !events.is_empty() {
        insert_events(&mut transaction, &events, conflict).await?;
    }
    add_reports(&mut transaction, &reports).await?;
    transaction.commit().await
}

/// A column of rows as an array.
fn column<'r, R, T>(rows: &[&'r R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(|row| of(row)).collect()
}

/// Counts are `int4`.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn insert_phases(connection: &mut PgConnection, rows: &[&PhaseRow], conflict: &str) -> sqlx::Result<()> {
    let stored: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(format!("{PHASES}{conflict}")))
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.session_id))
        .bind(column(rows, |row| row.node_type))
        .bind(column(rows, |row| row.phase.as_str()))
        .bind(column(rows, |row| milliseconds(row.duration)))
        .bind(column(rows, |row| row.cache_hit))
        .bind(column(rows, |row| count(row.worker_count)))
        .bind(column(rows, |row| storable(&row.package)))
        .bind(column(rows, |row| unix_seconds(row.created_at)))
        .fetch_all(&mut *connection)
        .await?;
    let stored = if conflict.is_empty() { rows.to_vec() } else { rollup::only(rows, stored, |row| row.id) };
    if stored.is_empty() {
        return Ok(());
    }
    add_phase_hours(connection, &rollup::of_phases(stored)).await
}

async fn insert_events(connection: &mut PgConnection, rows: &[&EventRow], conflict: &str) -> sqlx::Result<()> {
    fn error(row: &EventRow) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
        row.error.as_ref().map(|(kind, text)| (storable(kind), storable(text))).unzip()
    }
    let stored: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(format!("{EVENTS}{conflict}")))
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.event_id))
        .bind(column(rows, |row| count(row.attempt)))
        .bind(column(rows, |row| row.event_type))
        .bind(column(rows, |row| row.event_source))
        .bind(column(rows, |row| milliseconds(row.processing)))
        .bind(column(rows, |row| milliseconds(row.queue_wait)))
        .bind(column(rows, |row| error(row).0))
        .bind(column(rows, |row| error(row).1))
        .bind(column(rows, |row| unix_seconds(row.created_at)))
        .fetch_all(&mut *connection)
        .await?;
    let stored = if conflict.is_empty() { rows.to_vec() } else { rollup::only(rows, stored, |row| row.id) };
    if stored.is_empty() {
        return Ok(());
    }
    add_event_hours(connection, &rollup::of_events(stored)).await
}

// Lists of different lengths are no array of arrays: they travel as texts.
const EVENT_HOURS: &str = "INSERT INTO event_processing_hourly (hour, event_type, events, failures, retries, waits, \
    wait_ms, wait_max_ms, processing_ms, latency_slots, latency_counts, wait_slots, wait_counts) \
    SELECT to_timestamp(hour), type, events, failures, retries, events, wait, wait_max, processing, slots::int4[], \
    counts::int8[], wait_slots::int4[], wait_counts::int8[] \
    FROM unnest($1::int8[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::float8[], $7::float8[], $8::float8[], \
    $9::text[], $10::text[], $11::text[], $12::text[]) AS row (hour, type, events, failures, retries, wait, wait_max, \
    processing, slots, counts, wait_slots, wait_counts)";

async fn add_event_hours(connection: &mut PgConnection, hours: &BTreeMap<EventKey, EventHour>) -> sqlx::Result<()> {
    let (keys, hours): (Vec<_>, Vec<_>) = hours.iter().unzip();
    let (slots, counts): (Vec<_>, Vec<_>) = hours.iter().map(|row| rollup::lists(&row.latencies)).unzip();
    let (wait_slots, wait_counts): (Vec<_>, Vec<_>) = hours.iter().map(|row| rollup::lists(&row.waits)).unzip();
    sqlx::query(EVENT_HOURS)
        .bind(column(&keys, |key| key.0))
        .bind(column(&keys, |key| key.1))
        .bind(column(&hours, |row| row.events))
        .bind(column(&hours, |row| row.failures))
        .bind(column(&hours, |row| row.retries))
        .bind(column(&hours, |row| row.wait_ms))
        .bind(column(&hours, |row| row.wait_max_ms))
        .bind(column(&hours, |row| row.processing_ms))
        .bind(slots)
        .bind(counts)
        .bind(wait_slots)
        .bind(wait_counts)
        .execute(connection)
        .await
        .map(drop)
}

const PHASE_HOURS: &str = "INSERT INTO generation_performance_hourly (hour, node_type, phase, parallel_execution, runs, \
    cache_hits, workers, duration_ms, duration_slots, duration_counts) \
    SELECT to_timestamp(hour), node_type, phase, parallel, runs, hits, workers, duration, slots::int4[], counts::int8[] \
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::bool[], $5::int8[], $6::int8[], $7::int8[], $8::float8[], \
    $9::text[], $10::text[]) AS row (hour, node_type, phase, parallel, runs, hits, workers, duration, slots, counts)";

async fn add_phase_hours(connection: &mut PgConnection, hours: &BTreeMap<PhaseKey, PhaseHour>) -> sqlx::Result<()> {
    let (keys, hours): (Vec<_>, Vec<_>) = hours.iter().unzip();
    let (slots, counts): (Vec<_>, Vec<_>) = hours.iter().map(|row| rollup::lists(&row.durations)).unzip();
    sqlx::query(PHASE_HOURS)
        .bind(column(&keys, |key| key.0))
        .bind(column(&keys, |key| key.1))
        .bind(column(&keys, |key| key.2))
        .bind(column(&keys, |key| key.3))
        .bind(column(&hours, |row| row.runs))
        .bind(column(&hours, |row| row.cache_hits))
        .bind(column(&hours, |row| row.workers))
        .bind(column(&hours, |row| row.duration_ms))
        .bind(slots)
        .bind(counts)
        .execute(connection)
        .await
        .map(drop)
}

/// As [`templates::add`] does on SQLite.
async fn add_reports(connection: &mut PgConnection, reports: &[&TemplateRow]) -> sqlx::Result<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let claim = "INSERT INTO template_cache_reports (id) SELECT unnest($1::uuid[]) ON CONFLICT (id) DO NOTHING \
                 RETURNING id";
    let claimed: Vec<Uuid> =
        sqlx::query_scalar(claim).bind(column(reports, |row| row.id)).fetch_all(&mut *connection).await?;
    let sums = templates::sums(reports, claimed);
    if !sums.is_empty() {
        upsert(connection, &sums.iter().collect::<Vec<_>>()).await?;
    }
    sqlx::query("DELETE FROM template_cache_reports WHERE applied_at < now() - make_interval(hours => $1)")
        .bind(count(24 * templates::REPORTS_KEPT_DAYS))
        .execute(connection)
        .await
        .map(drop)
}

const TEMPLATES: &str = "INSERT INTO template_cache_metadata AS stored (id, template_name, template_type, cache_key, \
    file_path, file_hash, size_bytes, load_time_ms, access_count, cache_hits, cache_misses, last_accessed_at) \
    SELECT id, name, type, name, file, hash, size, load_time, hits + misses, hits, misses, to_timestamp(accessed) \
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::float8[], $8::int8[], \
    $9::int8[], $10::float8[]) AS row (id, name, type, file, hash, size, load_time, hits, misses, accessed) \
    ON CONFLICT (template_name) DO UPDATE SET \
    template_type = excluded.template_type, file_path = excluded.file_path, file_hash = excluded.file_hash, \
    size_bytes = excluded.size_bytes, load_time_ms = excluded.load_time_ms, \
    access_count = stored.access_count + excluded.access_count, cache_hits = stored.cache_hits + excluded.cache_hits, \
    cache_misses = stored.cache_misses + excluded.cache_misses, \
    last_accessed_at = greatest(stored.last_accessed_at, excluded.last_accessed_at), updated_at = clock_timestamp()";

async fn upsert(connection: &mut PgConnection, rows: &[&TemplateRow]) -> sqlx::Result<()> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(TEMPLATES)
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| storable(&row.name)))
        .bind(column(rows, |row| storable(&row.kind)))
        .bind(column(rows, |row| storable(&row.file)))
        .bind(column(rows, |row| storable(&row.hash)))
        .bind(column(rows, |row| count(row.bytes)))
        .bind(column(rows, |row| milliseconds(row.load_time)))
        .bind(column(rows, |row| count(row.hits)))
        .bind(column(rows, |row| count(row.misses)))
        .bind(column(rows, |row| row.last_accessed.map(unix_seconds)))
        .execute(connection)
        .await
        .map(drop)
}

/// Makes one row of the rows of an hour, unless somebody else is at it.
pub(super) async fn fold(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(rollup::LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if mine {
        sqlx::query(include_str!("fold_events.sql")).execute(&mut *transaction).await?;
        sqlx::query(include_str!("fold_phases.sql")).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
