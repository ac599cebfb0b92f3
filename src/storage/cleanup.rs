//! Old rows go, some thousand in a transaction, the oldest first: nothing is locked long, and a run that is cut off has done
//! its part. The rules are the operations guide's; the rollups of what is gone go with it.

use std::time::Duration;

use actors::ports::MetricStore as _;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use super::recount::{FIRST_DAY, RIGHTS as RECOUNT_RIGHTS, lock_rollups, utc};
use super::session::{Session, Step, Told, demand_rights, explain};
use super::templates::REPORTS_KEPT_DAYS;
use super::{Access, Target};

/// Rows of one transaction.
const BATCH_ROWS: u32 = 5_000;

/// Between two batches SQLite is left to others, at least this long: it has one writer.
const PAUSE: Duration = Duration::from_millis(20);

/// What goes from a table.
struct Rule {
    table: &'static str,
    /// The column of its time.
    time: &'static str,
    age: Age,
    /// What else must hold of a row.
    only: &'static str,
    /// Its rows by hour.
    rollup: Option<&'static str>,
}

enum Age {
    /// As the user says.
    Asked,
    Year,
    /// [`REPORTS_KEPT_DAYS`].
    Reports,
}

const RULES: [Rule; 5] = [
    Rule {
        table: "event_processing_metrics",
        time: "created_at",
        age: Age::Asked,
        only: "",
        rollup: Some("event_processing_hourly"),
    },
    Rule {
        table: "generation_performance_metrics",
        time: "created_at",
        age: Age::Asked,
        only: "",
        rollup: Some("generation_performance_hourly"),
    },
    Rule { table: "pattern_feedback_log", time: "created_at", age: Age::Asked, only: "", rollup: None },
    // What mixins have taught is kept; what little is known of a pair, and old, is not.
    Rule {
        table: "mixin_compatibility_matrix",
        time: "created_at",
        age: Age::Year,
        only: " AND coalesce(success_count, 0) + coalesce(failure_count, 0) < 5",
        rollup: None,
    },
    // Each write of reports does it too; here for a database to which nobody reports any more.
    Rule { table: "template_cache_reports", time: "applied_at", age: Age::Reports, only: "", rollup: None },
];

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    pub tables: Vec<CleanedTable>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CleanedTable {
    pub table: &'static str,
    /// Rows older than this (UTC).
    pub before: String,
    pub rows: u64,
}

/// Deletes old rows; with `dry_run` it only counts them.
///
/// # Errors
/// In words for the user.
pub async fn cleanup(target: &Target, older_than: Duration, dry_run: bool, told: Told<'_>) -> Result<Cleaned, String> {
    let (store, mut session) = Session::open(target, if dry_run { Access::Read } else { Access::Write }).await?;
    if let Session::Postgres(connection) = &mut session {
        demand(connection, dry_run).await?;
    }
    let cleaned = clean(&mut session, older_than, dry_run, told).await.map_err(|error| explain(target, &error));
    drop(session);
    store.close().await;
    cleaned
}

async fn demand(connection: &mut PgConnection, dry_run: bool) -> Result<(), String> {
    let of_rules = |right| RULES.iter().map(move |rule| (rule.table, right));
    let mut rights: Vec<_> = of_rules("SELECT").collect();
    if !dry_run {
        rights.extend(of_rules("DELETE"));
        rights.extend(RECOUNT_RIGHTS);
    }
    demand_rights(connection, &rights).await
}

async fn clean(session: &mut Session, older_than: Duration, dry_run: bool, told: Told<'_>) -> sqlx::Result<Cleaned> {
    let mut tables = Vec::new();
    for rule in &RULES {
        let before = session.moment_ago(rule, older_than).await?;
        let total = session.count(rule, &before).await?;
        let rows = match dry_run {
            true => total,
            false => session.delete(rule, &before, total, told).await?,
        };
        tables.push(CleanedTable { table: rule.table, before, rows });
    }
    Ok(Cleaned { tables })
}

impl Session {
    /// The database's own clock decides what is old, once for each table.
    async fn moment_ago(&mut self, rule: &Rule, older_than: Duration) -> sqlx::Result<String> {
        let seconds = older_than.as_secs();
        match self {
            Self::Sqlite(connection) => {
                let ago = match rule.age {
                    Age::Asked => format!("-{seconds} seconds"),
                    Age::Year => "-1 year".to_owned(),
                    Age::Reports => format!("-{REPORTS_KEPT_DAYS} days"),
                };
                let moment = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now', ?)";
                sqlx::query_scalar(moment).bind(ago).fetch_one(&mut **connection).await
            }
            Self::Postgres(connection) => {
                let ago = match rule.age {
                    Age::Asked => format!("{seconds} seconds"),
                    Age::Year => "1 year".to_owned(),
                    Age::Reports => format!("{} hours", 24 * REPORTS_KEPT_DAYS),
                };
                let moment =
                    "SELECT to_char((now() - $1::text::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')";
                sqlx::query_scalar(moment).bind(ago).fetch_one(&mut **connection).await
            }
        }
    }

    async fn count(&mut self, rule: &Rule, before: &str) -> sqlx::Result<u64> {
        let Rule { table, time, only, .. } = rule;
        let count: i64 = match self {
            Self::Sqlite(connection) => {
                let count = format!("SELECT count(*) FROM {table} WHERE {time} < ?{only}");
                sqlx::query_scalar(AssertSqlSafe(count)).bind(before).fetch_one(&mut **connection).await?
            }
            Self::Postgres(connection) => {
                let count = format!("SELECT count(*) FROM {table} WHERE {time} < $1::text::timestamptz{only}");
                let count = sqlx::query_scalar(AssertSqlSafe(count)).bind(format!("{before}+00"));
                count.fetch_one(&mut **connection).await?
            }
        };
        Ok(count.unsigned_abs())
    }

    async fn delete(&mut self, rule: &Rule, before: &str, total: u64, told: Told<'_>) -> sqlx::Result<u64> {
        let mut done = 0;
        loop {
            told(Step { name: rule.table, done, total: total.max(done) });
            let began = std::time::Instant::now();
            let rows = match self {
                Self::Sqlite(connection) => batch_in_sqlite(connection, rule, before).await?,
                Self::Postgres(connection) => batch_in_postgres(connection, rule, before).await?,
            };
            done += rows;
            if rows < u64::from(BATCH_ROWS) {
                break;
            }
            if matches!(self, Self::Sqlite(_)) {
                tokio::time::sleep(began.elapsed().max(PAUSE)).await;
            }
        }
        if rule.rollup.is_some() && done > 0 {
            // The day in which the rest begins is there in part.
            let day = before.get(..10).unwrap_or(FIRST_DAY);
            let after = self.day_after(day).await?;
            self.recount(FIRST_DAY, &after).await?;
        }
        Ok(done)
    }

    async fn day_after(&mut self, day: &str) -> sqlx::Result<String> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::query_scalar("SELECT date(?, '+1 day')").bind(day).fetch_one(&mut **connection).await
            }
            Self::Postgres(connection) => {
                sqlx::query_scalar("SELECT ($1::text::date + 1)::text").bind(day).fetch_one(&mut **connection).await
            }
        }
    }
}

/// One transaction: the oldest rows, and the rollups of the days that are empty now.
async fn batch_in_sqlite(connection: &mut SqliteConnection, rule: &Rule, before: &str) -> sqlx::Result<u64> {
    let Rule { table, time, only, .. } = rule;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let delete = format!(
        "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {time} < ?1{only} ORDER BY {time} \
         LIMIT {BATCH_ROWS}) RETURNING substr({time}, 1, 10)"
    );
    let days: Vec<String> = sqlx::query_scalar(AssertSqlSafe(delete)).bind(before).fetch_all(&mut *transaction).await?;
    if let (Some(rollup), Some(day)) = (rule.rollup, days.iter().max()) {
        let delete = AssertSqlSafe(format!("DELETE FROM {rollup} WHERE hour < ?"));
        sqlx::query(delete).bind(day).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(days.len() as u64)
}

/// The same. Rows are found by their place: that takes no right but SELECT and DELETE, and no look into another index.
async fn batch_in_postgres(connection: &mut PgConnection, rule: &Rule, before: &str) -> sqlx::Result<u64> {
    let Rule { table, time, only, .. } = rule;
    let mut transaction = connection.begin().await?;
    if rule.rollup.is_some() {
        lock_rollups(&mut transaction).await?;
    }
    let delete = format!(
        "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE \
         {time} < $1::text::timestamptz{only} ORDER BY {time} LIMIT {BATCH_ROWS})) AND {time} < $1::text::timestamptz \
         RETURNING {time} AS at) SELECT count(*), (max(at) AT TIME ZONE 'UTC')::date::text FROM gone"
    );
    let delete = sqlx::query_as(AssertSqlSafe(delete)).bind(format!("{before}+00"));
    let (rows, day): (i64, Option<String>) = delete.fetch_one(&mut *transaction).await?;
    if let (Some(rollup), Some(day)) = (rule.rollup, day) {
        let delete = AssertSqlSafe(format!("DELETE FROM {rollup} WHERE hour < $1::text::timestamptz"));
        sqlx::query(delete).bind(utc(&day)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(rows.unsigned_abs())
}
