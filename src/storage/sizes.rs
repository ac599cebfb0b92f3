//! How large tables and indexes are, and which indexes nobody reads.

use actors::ports::MetricStore as _;
use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};

use super::migrations::SQLITE;
use super::session::{Session, explain};
use super::{Access, Target};

/// A database and its tables, in bytes; the largest table first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Of everything in it.
    pub bytes: i64,
    pub tables: Vec<TableSize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TableSize {
    pub table: String,
    /// Rows and indexes: what `pg_total_relation_size` says.
    pub bytes: i64,
    pub row_bytes: i64,
    pub index_bytes: i64,
    /// Rows that are gone and hold room until a vacuum; SQLite does not count them.
    pub dead_rows: Option<i64>,
}

/// An index of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct IndexUse {
    pub table: String,
    pub index: String,
    /// It keeps values unique, read or not.
    pub unique: bool,
    /// False for what a REINDEX left that was cut off.
    pub valid: bool,
    pub bytes: i64,
    /// How often it was read since statistics began; SQLite keeps none.
    pub scans: Option<i64>,
    pub tuples_read: Option<i64>,
    pub tuples_fetched: Option<i64>,
}

/// The indexes, those that are read least first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Indexes {
    /// Since when reads are counted; none: since the database was made, or not at all.
    pub since: Option<String>,
    pub indexes: Vec<IndexUse>,
}

impl IndexUse {
    /// Nobody would miss it.
    pub fn is_never_used(&self) -> bool {
        self.scans == Some(0) && !self.unique
    }
}

/// # Errors
/// In words for the user.
pub async fn sizes(target: &Target) -> Result<Sizes, String> {
    let (store, mut session) = Session::open(target, Access::Read).await?;
    let sizes = match &mut session {
        Session::Sqlite(connection) => of_file(connection).await,
        Session::Postgres(connection) => of_database(connection).await,
    };
    drop(session);
    store.close().await;
    sizes.map_err(|error| explain(target, &error))
}

/// # Errors
/// In words for the user.
pub async fn indexes(target: &Target) -> Result<Indexes, String> {
    let (store, mut session) = Session::open(target, Access::Read).await?;
    let indexes = match &mut session {
        Session::Sqlite(connection) => in_file(connection).await,
        Session::Postgres(connection) => in_database(connection).await,
    };
    drop(session);
    store.close().await;
    indexes.map_err(|error| explain(target, &error))
}

async fn of_file(connection: &mut SqliteConnection) -> sqlx::Result<Sizes> {
    let bytes = sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        .fetch_one(&mut *connection)
        .await?;
    let tables: Vec<TableSize> = sqlx::query_as(
        "SELECT tbl_name AS \"table\", sum(pgsize) AS bytes, sum(pgsize) FILTER (WHERE type = 'table') AS row_bytes, \
         coalesce(sum(pgsize) FILTER (WHERE type = 'index'), 0) AS index_bytes, NULL AS dead_rows \
         FROM sqlite_schema JOIN dbstat USING (name) GROUP BY tbl_name ORDER BY bytes DESC, tbl_name",
    )
    .fetch_all(connection)
    .await?;
    let ours = SQLITE.tables();
    Ok(Sizes { bytes, tables: tables.into_iter().filter(|size| ours.contains(&size.table.as_str())).collect() })
}

async fn of_database(connection: &mut PgConnection) -> sqlx::Result<Sizes> {
    let bytes = sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut *connection).await?;
    let tables = sqlx::query_as(
        "SELECT relname::text AS \"table\", pg_total_relation_size(oid) AS bytes, pg_table_size(oid) AS row_bytes, \
         pg_indexes_size(oid) AS index_bytes, pg_stat_get_dead_tuples(oid) AS dead_rows FROM pg_class \
         WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) ORDER BY bytes DESC, relname",
    )
    .bind(super::migrations::POSTGRES.tables())
    .fetch_all(connection)
    .await?;
    Ok(Sizes { bytes, tables })
}

async fn in_file(connection: &mut SqliteConnection) -> sqlx::Result<Indexes> {
    let indexes: Vec<IndexUse> = sqlx::query_as(
        "SELECT tbl_name AS \"table\", place.name AS \"index\", list.\"unique\" AS \"unique\", true AS valid, \
         (SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE dbstat.name = place.name) AS bytes, NULL AS scans, \
         NULL AS tuples_read, NULL AS tuples_fetched FROM sqlite_schema AS place, pragma_index_list(place.tbl_name) AS list \
         WHERE place.type = 'index' AND list.name = place.name ORDER BY tbl_name, place.name",
    )
    .fetch_all(connection)
    .await?;
    let ours = SQLITE.tables();
    let indexes = indexes.into_iter().filter(|index| ours.contains(&index.table.as_str())).collect();
    Ok(Indexes { since: None, indexes })
}

async fn in_database(connection: &mut PgConnection) -> sqlx::Result<Indexes> {
    let since = "SELECT to_char(stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM pg_stat_database \
                 WHERE datname = current_database()";
    let since: Option<String> = sqlx::query_scalar(since).fetch_one(&mut *connection).await?;
    let indexes = sqlx::query_as(
        "SELECT relname::text AS \"table\", indexrelname::text AS \"index\", indisunique AS \"unique\", \
         indisvalid AS valid, pg_relation_size(indexrelid) AS bytes, idx_scan AS scans, idx_tup_read AS tuples_read, \
         idx_tup_fetch AS tuples_fetched FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid) \
         WHERE relid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) \
         ORDER BY idx_scan, relname, indexrelname",
    )
    .bind(super::migrations::POSTGRES.tables())
    .fetch_all(connection)
    .await?;
    Ok(Indexes { since, indexes })
}
