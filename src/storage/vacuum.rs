//! Space and order: VACUUM and REINDEX of our tables, while others go on writing (SQLite: while they wait).

use std::time::Instant;

use actors::metric::milliseconds;
use actors::ports::MetricStore as _;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::session::{Session, Step, Told, demand_maintenance, explain};
use super::{Access, Target};

/// What was done to a table, or to a whole file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worked {
    pub table: String,
    pub duration_ms: f64,
    /// Of the table with its indexes, or of the file.
    pub bytes_before: i64,
    pub bytes_after: i64,
}

/// Makes the room of deleted rows usable again, and brings the planner's statistics up to date.
///
/// # Errors
/// In words for the user.
pub async fn vacuum(target: &Target, told: Told<'_>) -> Result<Vec<Worked>, String> {
    let (store, mut session) = Session::open(target, Access::Write).await?;
    let tables = maintained(target, &mut session).await?;
    let worked = match &mut session {
        Session::Sqlite(_) => vacuum_file(&mut session, told).await,
        Session::Postgres(_) => each(&mut session, &tables, told, |table| format!("VACUUM (ANALYZE) {table}")).await,
    };
    drop(session);
    store.close().await;
    worked.map_err(|error| explain(target, &error))
}

/// Builds the indexes anew. On PostgreSQL rows are read and written meanwhile.
///
/// # Errors
/// In words for the user.
pub async fn reindex(target: &Target, told: Told<'_>) -> Result<Vec<Worked>, String> {
    let (store, mut session) = Session::open(target, Access::Write).await?;
    let tables = maintained(target, &mut session).await?;
    if let Session::Postgres(connection) = &mut session {
        drop_leftovers(connection, &tables).await.map_err(|error| explain(target, &error))?;
    }
    let concurrently = if matches!(session, Session::Postgres(_)) { "TABLE CONCURRENTLY " } else { "" };
    let worked = each(&mut session, &tables, told, |table| format!("REINDEX {concurrently}{table}")).await;
    drop(session);
    store.close().await;
    worked.map_err(|error| explain(target, &error))
}

/// Our tables, once it is sure that the user may work on them.
async fn maintained(target: &Target, session: &mut Session) -> Result<Vec<String>, String> {
    let tables = session.tables().await.map_err(|error| explain(target, &error))?;
    if tables.is_empty() {
        return Err(format!("{}: there are no tables yet; run `omninode db migrate`", target.shown()));
    }
    if let Session::Postgres(connection) = session {
        demand_maintenance(connection, &tables).await?;
    }
    Ok(tables)
}

/// One statement for each table. A name is one of ours.
async fn each(
    session: &mut Session,
    tables: &[String],
    told: Told<'_>,
    statement: impl Fn(&str) -> String,
) -> sqlx::Result<Vec<Worked>> {
    let mut worked = Vec::new();
    for (done, table) in tables.iter().enumerate() {
        told(Step { name: table, done: done as u64, total: tables.len() as u64 });
        let (bytes_before, began) = (session.bytes(table).await?, Instant::now());
        session.execute(statement(table)).await?;
        let duration_ms = milliseconds(began.elapsed());
        let bytes_after = session.bytes(table).await?;
        worked.push(Worked { table: table.clone(), duration_ms, bytes_before, bytes_after });
    }
    Ok(worked)
}

/// A file is vacuumed as a whole. It was made without a map of its free pages, so there is no incremental way.
async fn vacuum_file(session: &mut Session, told: Told<'_>) -> sqlx::Result<Vec<Worked>> {
    told(Step { name: "the whole file", done: 0, total: 1 });
    // What stands in the log belongs to the file.
    session.execute("PRAGMA wal_checkpoint(TRUNCATE)".to_owned()).await?;
    let (bytes_before, began) = (session.file_bytes().await?, Instant::now());
    session.execute("VACUUM".to_owned()).await?;
    // All tables, those too that this connection has not asked.
    session.execute("PRAGMA optimize = 0x10002".to_owned()).await?;
    session.execute("PRAGMA wal_checkpoint(TRUNCATE)".to_owned()).await?;
    let duration_ms = milliseconds(began.elapsed());
    let bytes_after = session.file_bytes().await?;
    Ok(vec![Worked { table: "the whole file".to_owned(), duration_ms, bytes_before, bytes_after }])
}

/// A REINDEX CONCURRENTLY that was cut off leaves an index behind that nobody reads and every row pays for.
async fn drop_leftovers(connection: &mut PgConnection, tables: &[String]) -> sqlx::Result<()> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid \
         AND relname ~ '_cc(new|old)[0-9]*$' AND indrelid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)",
    )
    .bind(tables)
    .fetch_all(&mut *connection)
    .await?;
    for name in names {
        tracing::warn!("{name} was left by a REINDEX that was cut off; it is dropped");
        sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY {name}"))).execute(&mut *connection).await?;
    }
    Ok(())
}

impl Session {
    /// Of a table with its indexes.
    async fn bytes(&mut self, table: &str) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(connection) => {
                let bytes = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema \
                             WHERE tbl_name = ?)";
                sqlx::query_scalar(bytes).bind(table).fetch_one(&mut **connection).await
            }
            Self::Postgres(connection) => {
                let bytes = "SELECT pg_total_relation_size(to_regclass($1))";
                sqlx::query_scalar(bytes).bind(table).fetch_one(&mut **connection).await
            }
        }
    }

    async fn file_bytes(&mut self) -> sqlx::Result<i64> {
        let Self::Sqlite(connection) = self else { return Ok(0) };
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&mut **connection)
            .await
    }
}
