//! Who is connected to a PostgreSQL server, and whether there is room for us.

use actors::ports::MetricStore as _;
use serde::Serialize;
use sqlx::PgConnection;

use super::session::{Session, explain};
use super::{Access, Target};

/// The connections of a server; the one that asks is among them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connections {
    /// `max_connections`.
    pub limit: i64,
    /// Kept for superusers, and since PostgreSQL 16 for who has the right.
    pub reserved: i64,
    pub used: i64,
    /// Of these, to this database, background workers included: what the guide's statement counts.
    pub in_database: i64,
    /// Of these, by our application name.
    pub ours: i64,
    pub ours_idle: i64,
    pub ours_idle_in_transaction: i64,
    pub idle_in_transaction: i64,
    /// How long the oldest of these has done nothing.
    pub idle_in_transaction_max_seconds: Option<f64>,
    /// Connections whose state this user may not see.
    pub hidden: i64,
    /// Of this database and of this role, where they have a limit of their own.
    pub own_limit: Option<i64>,
    /// What we may have, those that are open already among it.
    pub room: i64,
    pub pool_max: u32,
    pub processes: u32,
    pub by_application: Vec<Application>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Application {
    pub application: String,
    pub connections: i64,
    pub active: i64,
    pub idle: i64,
    pub idle_in_transaction: i64,
}

impl Connections {
    /// What the pools of all processes may open.
    pub fn wanted(&self) -> i64 {
        i64::from(self.pool_max) * i64::from(self.processes)
    }
}

/// None for a file, which nobody connects to.
///
/// # Errors
/// In words for the user.
pub async fn connections(target: &Target, processes: u32) -> Result<Option<Connections>, String> {
    let (store, mut session) = Session::open(target, Access::Read).await?;
    let connections = match &mut session {
        Session::Sqlite(_) => Ok(None),
        Session::Postgres(connection) => of_server(connection, target.pool_max, processes).await.map(Some),
    };
    drop(session);
    store.close().await;
    connections.map_err(|error| explain(target, &error))
}

#[derive(sqlx::FromRow)]
struct Limits {
    limit: i64,
    reserved: i64,
    own_limit: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Used {
    used: i64,
    in_database: i64,
    ours: i64,
    ours_idle: i64,
    ours_idle_in_transaction: i64,
    idle_in_transaction: i64,
    idle_in_transaction_max_seconds: Option<f64>,
    hidden: i64,
}

// Of others' connections a user without pg_read_all_stats sees the name and the user, but neither kind nor state.
const CLIENT: &str = "(backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL))";

async fn of_server(connection: &mut PgConnection, pool_max: u32, processes: u32) -> sqlx::Result<Connections> {
    let Limits { limit, reserved, own_limit } = sqlx::query_as(
        "SELECT current_setting('max_connections')::int8 AS \"limit\", \
         current_setting('superuser_reserved_connections')::int8 \
         + coalesce(current_setting('reserved_connections', true)::int8, 0) AS reserved, \
         (SELECT min(own) FROM (SELECT datconnlimit FROM pg_database WHERE datname = current_database() UNION ALL \
         SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS limits (own) WHERE own >= 0)::int8 AS own_limit",
    )
    .fetch_one(&mut *connection)
    .await?;
    let waits = "state LIKE 'idle in transaction%'";
    let ours = "application_name = current_setting('application_name')";
    let used = format!(
        "SELECT count(*) FILTER (WHERE {CLIENT}) AS used, count(*) FILTER (WHERE datname = current_database()) AS \
         in_database, count(*) FILTER (WHERE {CLIENT} AND {ours}) AS ours, \
         count(*) FILTER (WHERE {ours} AND state = 'idle') AS ours_idle, \
         count(*) FILTER (WHERE {ours} AND {waits}) AS ours_idle_in_transaction, \
         count(*) FILTER (WHERE {waits}) AS idle_in_transaction, \
         extract(epoch FROM max(clock_timestamp() - state_change) FILTER (WHERE {waits}))::float8 AS \
         idle_in_transaction_max_seconds, count(*) FILTER (WHERE {CLIENT} AND state IS NULL) AS hidden \
         FROM pg_stat_activity"
    );
    let used: Used = sqlx::query_as(sqlx::AssertSqlSafe(used)).fetch_one(&mut *connection).await?;
    let by_application = format!(
        "SELECT coalesce(nullif(application_name, ''), '(no name)') AS application, count(*) AS connections, \
         count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'idle') AS idle, \
         count(*) FILTER (WHERE {waits}) AS idle_in_transaction FROM pg_stat_activity WHERE {CLIENT} \
         GROUP BY 1 ORDER BY connections DESC, application"
    );
    let by_application = sqlx::query_as(sqlx::AssertSqlSafe(by_application)).fetch_all(connection).await?;
    let room = (limit - reserved - (used.used - used.ours)).min(own_limit.unwrap_or(i64::MAX)).max(0);
    Ok(Connections {
        limit,
        reserved,
        used: used.used,
        in_database: used.in_database,
        ours: used.ours,
        ours_idle: used.ours_idle,
        ours_idle_in_transaction: used.ours_idle_in_transaction,
        idle_in_transaction: used.idle_in_transaction,
        idle_in_transaction_max_seconds: used.idle_in_transaction_max_seconds,
        hidden: used.hidden,
        own_limit,
        room,
        pool_max,
        processes,
        by_application,
    })
}
