//! The rollups against the rows that they sum up: whether they agree, and counting them anew.
//!
//! Rollups hold nothing that the rows do not: where rows were deleted, their hours go too. Each day is counted anew in a
//! transaction of its own, so that nothing is locked long: on PostgreSQL folding waits (the advisory lock), adding does
//! not, as one statement takes the old rows away and counts on one snapshot. Days, not hours, because SQLite's times are
//! texts: the day is the same in all their forms.

use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::session::{Session, Step, Told, demand_rights, explain};
use super::{Access, Target};
use actors::ports::MetricStore as _;

/// The days that are looked at.
pub(super) const FIRST_DAY: &str = "0001-01-01";
const LAST_DAY: &str = "9999-12-31";

/// What the rollups say beside what the rows say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// The days (UTC) that the rows lie in.
    pub days: i64,
    /// Of these, or of those that only the rollups know, the days whose figures differ.
    pub differing: i64,
    /// The first of them.
    pub first: Option<String>,
    pub last: Option<String>,
    /// Days that were counted anew; none where nothing was asked but whether they agree.
    pub days_rebuilt: Option<u64>,
}

/// Looks whether the rollups agree with the rows; with `rebuild` they are counted anew first.
///
/// # Errors
/// In words for the user.
pub async fn rollups(target: &Target, rebuild: bool, told: Told<'_>) -> Result<Agreement, String> {
    let (store, mut session) = Session::open(target, if rebuild { Access::Write } else { Access::Read }).await?;
    let said = |error: sqlx::Error| explain(target, &error);
    if let Session::Postgres(connection) = &mut session {
        let rights: Vec<_> = RIGHTS.iter().copied().filter(|(_, right)| rebuild || *right == "SELECT").collect();
        demand_rights(connection, &rights).await?;
    }
    let days_rebuilt = if rebuild { Some(rebuild_all(&mut session, told).await.map_err(said)?) } else { None };
    let agreement = session.agreement().await.map_err(said)?;
    drop(session);
    store.close().await;
    Ok(Agreement { days_rebuilt, ..agreement })
}

/// What counting anew takes.
pub(super) const RIGHTS: &[(&str, &str)] = &[
    ("event_processing_metrics", "SELECT"),
    ("generation_performance_metrics", "SELECT"),
    ("event_processing_hourly", "SELECT"),
    ("event_processing_hourly", "INSERT"),
    ("event_processing_hourly", "DELETE"),
    ("generation_performance_hourly", "SELECT"),
    ("generation_performance_hourly", "INSERT"),
    ("generation_performance_hourly", "DELETE"),
];

async fn rebuild_all(session: &mut Session, told: Told<'_>) -> sqlx::Result<u64> {
    let (total, mut done) = (session.days_at_most().await?, 0);
    let mut from = FIRST_DAY.to_owned();
    while let Some((day, after)) = session.next_day(&from).await? {
        told(Step { name: &day, done, total });
        session.recount(&day, &after).await?;
        done += 1;
        from = after;
    }
    session.fold().await?;
    Ok(done)
}

const TIMES: &str = "(SELECT min(created_at) AS at FROM event_processing_metrics WHERE created_at >= $1 AND created_at < $2 \
    UNION ALL SELECT min(created_at) FROM generation_performance_metrics WHERE created_at >= $1 AND created_at < $2 \
    UNION ALL SELECT min(hour) FROM event_processing_hourly WHERE hour >= $1 AND hour < $2 \
    UNION ALL SELECT min(hour) FROM generation_performance_hourly WHERE hour >= $1 AND hour < $2) AS times";

impl Session {
    /// The next day that rows or rollups lie in, and the day after it.
    async fn next_day(&mut self, from: &str) -> sqlx::Result<Option<(String, String)>> {
        let found: (Option<String>, Option<String>) = match self {
            Self::Sqlite(connection) => {
                // A text that is no day has none after it: all later days would be left out.
                let is_day = "created_at < $2 AND date(substr(created_at, 1, 10)) >= substr(created_at, 1, 10)";
                let times = TIMES.replace("created_at < $2", is_day);
                let next =
                    format!("SELECT substr(min(at), 1, 10), date(substr(min(at), 1, 10), '+1 day') FROM {times}");
                let next = sqlx::query_as(AssertSqlSafe(next)).bind(from).bind(LAST_DAY);
                next.fetch_one(&mut **connection).await?
            }
            Self::Postgres(connection) => {
                let times = TIMES.replace("$1", "$1::text::timestamptz").replace("$2", "$2::text::timestamptz");
                let next = format!(
                    "SELECT day::date::text, (day::date + 1)::text FROM (SELECT min(at) AT TIME ZONE 'UTC' AS day \
                     FROM {times}) AS first"
                );
                let next = sqlx::query_as(AssertSqlSafe(next)).bind(utc(from)).bind(utc(LAST_DAY));
                next.fetch_one(&mut **connection).await?
            }
        };
        Ok(found.0.zip(found.1))
    }

    /// Of days from the first row to the last; there may be none in between.
    async fn days_at_most(&mut self) -> sqlx::Result<u64> {
        let days: Option<i64> = match self {
            Self::Sqlite(connection) => {
                let days = "SELECT CAST(julianday(max(substr(hour, 1, 10))) - julianday(min(substr(hour, 1, 10))) AS \
                            INTEGER) + 1 FROM (SELECT hour FROM event_processing_hourly UNION ALL \
                            SELECT hour FROM generation_performance_hourly)";
                sqlx::query_scalar(days).fetch_one(&mut **connection).await?
            }
            Self::Postgres(connection) => {
                let days = "SELECT extract(day FROM max(hour) - min(hour))::int8 + 1 FROM (SELECT hour FROM \
                            event_processing_hourly UNION ALL SELECT hour FROM generation_performance_hourly) AS hours";
                sqlx::query_scalar(days).fetch_one(&mut **connection).await?
            }
        };
        Ok(days.and_then(|days| u64::try_from(days).ok()).unwrap_or_default())
    }

    /// Counts the days from one to before another anew, in one transaction.
    pub(super) async fn recount(&mut self, from: &str, to: &str) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                recount_in_sqlite(&mut transaction, from, to).await?;
                transaction.commit().await
            }
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await?;
                lock_rollups(&mut transaction).await?;
                for sql in [include_str!("postgres/recount_events.sql"), include_str!("postgres/recount_phases.sql")] {
                    sqlx::query(sql).bind(utc(from)).bind(utc(to)).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            }
        }
    }

    /// Makes the rollups small, however long it takes: a writer, which does this in passing, would not get through with
    /// all the hours that were counted anew.
    async fn fold(&mut self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::raw_sql(include_str!("sqlite/fold.sql")).execute(&mut *transaction).await?;
                transaction.commit().await
            }
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await?;
                lock_rollups(&mut transaction).await?;
                for sql in [include_str!("postgres/fold_events.sql"), include_str!("postgres/fold_phases.sql")] {
                    sqlx::query(sql).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            }
        }
    }

    async fn agreement(&mut self) -> sqlx::Result<Agreement> {
        let (days, differing, first, last) = match self {
            Self::Sqlite(connection) => {
                sqlx::query_as(include_str!("sqlite/agreement.sql")).fetch_one(&mut **connection).await?
            }
            Self::Postgres(connection) => {
                sqlx::query_as(include_str!("postgres/agreement.sql")).fetch_one(&mut **connection).await?
            }
        };
        Ok(Agreement { days, differing, first, last, days_rebuilt: None })
    }
}

/// A day as PostgreSQL reads it, whatever its time zone.
pub(super) fn utc(day: &str) -> String {
    format!("{day} 00:00:00+00")
}

/// Until the transaction ends, nobody else folds the rollups or counts them anew.
pub(super) async fn lock_rollups(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(super::rollup::LOCK).execute(connection).await.map(drop)
}

async fn recount_in_sqlite(connection: &mut SqliteConnection, from: &str, to: &str) -> sqlx::Result<()> {
    for sql in [
        "DELETE FROM event_processing_hourly WHERE hour >= ?1 AND hour < ?2",
        include_str!("sqlite/recount_events.sql"),
        "DELETE FROM generation_performance_hourly WHERE hour >= ?1 AND hour < ?2",
        include_str!("sqlite/recount_phases.sql"),
    ] {
        sqlx::query(sql).bind(from).bind(to).execute(&mut *connection).await?;
    }
    Ok(())
}
