//! What stands in a database, for `omninode db status`.

use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};

use super::migrations::{Applied, Files, POSTGRES, SQLITE};
use super::{PostgresStore, SqliteStore, postgres, sqlite};

/// Tables with more rows than this are not counted, where the server has an estimate.
const COUNTED_MAX: i64 = 1_000_000;

/// A database, its schema and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its URL, without secrets.
    pub database: String,
    /// Name and version of the server, or of the library.
    pub server: String,
    /// The newest migration that it has.
    pub version: Option<i64>,
    /// Files that `db migrate` would apply.
    pub pending: Vec<String>,
    pub tables: Vec<Table>,
    /// Views of ours that are there.
    pub views: Vec<String>,
    /// Of the whole database.
    pub bytes: i64,
}

/// A table of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Table {
    pub name: String,
    pub rows: i64,
    /// The rows are the server's estimate: there are too many to count them now.
    pub estimated: bool,
    /// With its indexes.
    pub bytes: i64,
}

impl Status {
    fn new(
        server: String,
        files: &Files,
        applied: &Applied,
        tables: Vec<Table>,
        views: Vec<String>,
        bytes: i64,
    ) -> Self {
        let pending = files.pending(applied).iter().map(|file| file.name.to_owned()).collect();
        let version = applied.versions.iter().copied().max();
        Self { database: String::new(), server, version, pending, tables, views, bytes }
    }
}

pub(super) async fn of_sqlite(store: &SqliteStore) -> sqlx::Result<Status> {
    let mut connection = store.pool().acquire().await?;
    let applied = sqlite::applied(&mut connection).await?.ours()?;
    let (version, bytes): (String, i64) =
        sqlx::query_as("SELECT sqlite_version(), page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&mut *connection)
            .await?;
    let there: Vec<(String, String)> =
        sqlx::query_as("SELECT type, name FROM sqlite_schema ORDER BY name").fetch_all(&mut *connection).await?;
    let is_there = |kind: &str, name: &str| there.iter().any(|(type_, there)| type_ == kind && there == name);
    let mut tables = Vec::new();
    for name in SQLITE.tables().into_iter().filter(|name| is_there("table", name)) {
        tables.push(sqlite_table(&mut connection, name).await?);
    }
    let views = SQLITE.views().into_iter().filter(|name| is_there("view", name)).map(str::to_owned).collect();
    Ok(Status::new(format!("SQLite {version}"), &SQLITE, &applied, tables, views, bytes))
}

async fn sqlite_table(connection: &mut SqliteConnection, name: &'static str) -> sqlx::Result<Table> {
    // The name is one of ours.
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {name}"));
    let rows = sqlx::query_scalar(count).fetch_one(&mut *connection).await?;
    let size = "SELECT coalesce(sum(pgsize), 0) FROM dbstat \
                WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?)";
    let bytes = sqlx::query_scalar(size).bind(name).fetch_one(connection).await?;
    Ok(Table { name: name.to_owned(), rows, estimated: false, bytes })
}

pub(super) async fn of_postgres(store: &PostgresStore) -> sqlx::Result<Status> {
    let mut connection = store.pool().acquire().await?;
    let applied = postgres::applied(&mut connection).await?.ours()?;
    let (version, bytes): (String, i64) =
        sqlx::query_as("SELECT current_setting('server_version'), pg_database_size(current_database())")
            .fetch_one(&mut *connection)
            .await?;
    let mut tables = Vec::new();
    for name in POSTGRES.tables() {
        tables.extend(postgres_table(&mut connection, name).await?);
    }
    let views = "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL";
    let views = sqlx::query_scalar(views).bind(POSTGRES.views()).fetch_all(&mut *connection).await?;
    Ok(Status::new(format!("PostgreSQL {version}"), &POSTGRES, &applied, tables, views, bytes))
}

async fn postgres_table(connection: &mut PgConnection, name: &'static str) -> sqlx::Result<Option<Table>> {
    let found: Option<Table> = sqlx::query_as(
        "SELECT $1 AS name, reltuples::int8 AS rows, true AS estimated, pg_total_relation_size(oid) AS bytes \
         FROM pg_class WHERE oid = to_regclass($1)",
    )
    .bind(name)
    .fetch_optional(&mut *connection)
    .await?;
    match found {
        Some(table) if table.rows < COUNTED_MAX => {
            // The name is one of ours.
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {name}"));
            let rows = sqlx::query_scalar(count).fetch_one(connection).await?;
            Ok(Some(Table { rows, estimated: false, ..table }))
        }
        found => Ok(found),
    }
}
