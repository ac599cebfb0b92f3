//! A PostgreSQL server: a pool of connections on the application's runtime.
//!
//! What the server says is sorted by what the writer does next: a row that it will never take is refused, everything else
//! may pass. A wrong password or a missing database counts as away too, once rows wait: somebody may be at work on the
//! server, and what waits is bounded.

mod connect;
mod rows;

use std::time::Duration;

use actors::metric::Row;
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::runtime::Handle;

use super::Target;
use super::grants::{self, Roles, WRITER, identifier};
use super::migrations::{Applied, File, POSTGRES, SIGNS};
use super::rollup::Unfolded;

pub(super) use connect::Server;

/// How long a write waits for a connection; shorter than the writer waits for a try.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connections in use may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const AS_OWNER: &str = "; run it as the owner of the database and of its tables, or as a superuser";

/// Held in a session by whoever changes the schema.
pub(super) const MIGRATION_LOCK: i64 = 730_636_066;

pub struct PostgresStore {
    pool: PgPool,
    runtime: Handle,
    unfolded: Unfolded,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date where the user of the URL may do that.
    ///
    /// # Errors
    /// In words for the user: what went wrong and what to do.
    pub async fn open(target: &Target) -> Result<Self, String> {
        let server = Server::of(target)?;
        let mut connection = server.connect().await?;
        let explained = |error: &sqlx::Error| server.explain(error) + grants::help(error);
        let pending = pending(&mut connection).await.map_err(|error| explained(&error))?;
        if !pending.is_empty() {
            match hindered(&mut connection).await.map_err(|error| explained(&error))? {
                None => drop(migrate(&mut connection).await.map_err(|fault| fault.in_words(&server))?),
                // Rows are stored without them.
                Some(why) if pending == [POSTGRES.views.name] => {
                    tracing::warn!("the database's views are not up to date: {why}");
                }
                Some(why) => return Err(unfinished(target, &pending, &why)),
            }
        }
        let lacking = grants::lacking(&mut connection, WRITER).await.map_err(|error| explained(&error))?;
        if let Some(lacking) = lacking {
            return Err(lacking);
        }
        let _ = connection.close().await;
        Ok(Self::pooled(target, server))
    }

    /// Connects to a database as it stands.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_as_it_is(target: &Target) -> Result<Self, String> {
        let server = Server::of(target)?;
        let _ = server.connect().await?.close().await;
        Ok(Self::pooled(target, server))
    }

    /// Brings the schema up to date; the files that were applied.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn migrate_server(target: &Target) -> Result<Vec<String>, String> {
        let server = Server::of(target)?;
        let mut connection = server.connect().await?;
        let explained = |error: &sqlx::Error| server.explain(error);
        let pending = pending(&mut connection).await.map_err(|error| explained(&error))?;
        if !pending.is_empty()
            && let Some(why) = hindered(&mut connection).await.map_err(|error| explained(&error))?
        {
            return Err(unfinished(target, &pending, &why));
        }
        let done = migrate(&mut connection).await.map_err(|fault| fault.in_words(&server));
        let _ = connection.close().await;
        done
    }

    /// The SQL of the roles, without asking anybody.
    ///
    /// # Errors
    /// The URL cannot be meant.
    pub fn grants_of(target: &Target, roles: &Roles) -> Result<String, String> {
        Server::of(target).map(|server| roles.sql(server.database()))
    }

    /// Brings the roles into force, all or nothing; the SQL that did it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn grant(target: &Target, roles: &Roles) -> Result<String, String> {
        let server = Server::of(target)?;
        let mut connection = server.connect().await?;
        let explained =
            |error: &sqlx::Error| server.explain(error) + if grants::is_refused(error) { AS_OWNER } else { "" };
        let pending = pending(&mut connection).await.map_err(|error| explained(&error))?;
        if !pending.is_empty() {
            return Err(format!(
                "the database {} lacks {}; run `omninode db migrate` first: what is not there cannot be granted",
                target.shown(),
                pending.join(", ")
            ));
        }
        let sql = roles.sql(server.database());
        let done = roles.apply(&mut connection, &sql).await.map_err(|error| explained(&error));
        let _ = connection.close().await;
        match done?.as_slice() {
            [] => Ok(sql),
            missing => Err(format!("the server did not grant {}{AS_OWNER}", missing.join(", "))),
        }
    }

    fn pooled(target: &Target, server: Server) -> Self {
        if let Some(warning) = server.warning {
            tracing::warn!("{warning}");
        }
        let pool = PgPoolOptions::new()
            .min_connections(target.pool_size)
            .max_connections(target.pool_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(server.options);
        let runtime = Handle::current();
        // The pool itself opens what it keeps only when it has closed something.
        for _ in 0..target.pool_size {
            let pool = pool.clone();
            runtime.spawn(async move { drop(pool.acquire().await) });
        }
        Self { pool, runtime, unfolded: Unfolded::default() }
    }

    /// For tests and checks that read what was written.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

#[async_trait]
impl MetricStore for PostgresStore {
    async fn close(&self) {
        let (pool, unfolded) = (self.pool.clone(), self.unfolded.take());
        let closing = async move {
            if unfolded {
                fold(&pool).await;
            }
            pool.close().await;
        };
        let _ = self.runtime.spawn(tokio::time::timeout(CLOSE_TIMEOUT, closing)).await;
    }

    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let (pool, rows) = (self.pool.clone(), rows.to_vec());
        let due = self.unfolded.is_due_with(rows.len());
        let write = async move {
            rows::write_all(&pool, &rows).await?;
            if due {
                fold(&pool).await;
            }
            Ok(())
        };
        let written: Result<sqlx::Result<()>, _> = self.runtime.spawn(write).await;
        match written {
            Ok(result) => result.map_err(|error| fault(&error)),
            // The writer tells a panic from a store that is down.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StoreError::Down(format!("the write was cut off: {error}"))),
        }
    }
}

/// Makes the rollups small again. Whoever reads them adds them up, so that it may as well be done another time.
async fn fold(pool: &PgPool) {
    if let Err(error) = rows::fold(pool).await {
        tracing::debug!(%error, "the rollups were not folded");
    }
}

/// A connection for work that takes as long as there is data: without limits of time, but for that of a lock, because
/// whoever waits for a table that is in use holds up everybody behind him.
pub(super) async fn unhurried(target: &Target) -> Result<(PgConnection, Server), String> {
    let server = Server::of(target)?;
    let mut connection = server.connect().await?;
    let limits = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '30s'";
    connection.execute(limits).await.map_err(|error| server.explain(&error))?;
    Ok((connection, server))
}

/// What went wrong with a statement; with the setting behind it, where one has ended it.
pub(super) fn told(error: &sqlx::Error) -> String {
    if let sqlx::Error::Configuration(told) = error {
        return told.to_string();
    }
    match error.as_database_error().and_then(|error| error.code()).as_deref() {
        Some("57014") => connect::too_long(error),
        _ => error.to_string(),
    }
}

/// Whether the rows are at fault or the database is away.
fn fault(error: &sqlx::Error) -> StoreError {
    /// Classes of SQLSTATE for what another try cannot change: a value that its type does not take, a constraint, a row
    /// too big, a view's check, an exception that a trigger raises. A statement that does not fit the schema (42) is no
    /// row's fault: somebody is at work on the database.
    const OF_ROWS: [&str; 5] = ["22", "23", "44", "54", "P0"];
    let code = error.as_database_error().and_then(|error| error.code());
    let of_rows = match (error, code) {
        (_, Some(code)) => OF_ROWS.iter().any(|class| code.starts_with(class)),
        (sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_), _) => true,
        _ => false,
    };
    let told = match error {
        sqlx::Error::PoolTimedOut => {
            format!("no connection within {} s: the server is away, or all are in use", ACQUIRE_TIMEOUT.as_secs())
        }
        error => told(error),
    };
    if of_rows { StoreError::Refused(told) } else { StoreError::Down(told) }
}

/// What the database says of its schema.
pub(super) async fn applied(connection: &mut PgConnection) -> sqlx::Result<Applied> {
    let known = "SELECT to_regclass('schema_migrations') IS NOT NULL, to_regclass('schema_views') IS NOT NULL";
    let (numbered, views): (bool, bool) = sqlx::query_as(known).fetch_one(&mut *connection).await?;
    let mut applied = Applied::default();
    if numbered {
        applied.versions = sqlx::query_scalar("SELECT version::bigint FROM schema_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
    }
    if views {
        applied.revision =
            sqlx::query_scalar("SELECT max(revision)::bigint FROM schema_views").fetch_one(&mut *connection).await?;
    }
    let there = "SELECT count(*) FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL";
    let there: i64 = sqlx::query_scalar(there).bind(POSTGRES.views()).fetch_one(&mut *connection).await?;
    applied.views = usize::try_from(there).unwrap_or_default();
    let signs = "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL";
    let signs = sqlx::query_scalar(signs).bind(SIGNS.map(|(_, table)| table));
    applied.signs = signs.fetch_all(connection).await?;
    Ok(applied)
}

async fn pending(connection: &mut PgConnection) -> sqlx::Result<Vec<&'static str>> {
    let applied = applied(connection).await?.ours()?;
    Ok(POSTGRES.pending(&applied).iter().map(|file| file.name).collect())
}

/// Why the user of this connection cannot migrate, if that is so: the tables are somebody else's; or, in a new database,
/// it may make none.
async fn hindered(connection: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let (user, schema, create, owner): (String, Option<String>, bool, Option<String>) = sqlx::query_as(
        "SELECT current_user::text, current_schema()::text, \
         coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), \
         (SELECT relowner::regrole::text FROM pg_class \
         WHERE oid = to_regclass('schema_migrations') AND NOT pg_has_role(relowner, 'USAGE'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(match (schema, owner) {
        (_, Some(owner)) => Some(format!("the tables belong to {owner}; run `omninode db migrate` as {owner}")),
        (None, _) => Some(format!(
            "it may use no schema; let the owner of the database run `GRANT USAGE ON SCHEMA public TO {}`, and \
             `omninode db migrate`",
            identifier(&user)
        )),
        (Some(schema), None) if !create => Some(format!(
            "it may make no tables in the schema {0}; let the owner of the database run `omninode db migrate`, or `GRANT \
             CREATE ON SCHEMA {0} TO {1}`",
            identifier(&schema),
            identifier(&user)
        )),
        _ => None,
    })
}

fn unfinished(target: &Target, pending: &[&str], why: &str) -> String {
    format!("the database {} lacks {}, and its user may not change that: {why}", target.shown(), pending.join(", "))
}

/// Where a migration broke off.
struct Broken {
    file: Option<&'static str>,
    error: sqlx::Error,
}

impl Broken {
    fn in_words(&self, server: &Server) -> String {
        let told = server.explain(&self.error);
        let detail = self.error.as_database_error().and_then(|error| error.code());
        let help = match detail.as_deref() {
            Some("55P03") => "; another session holds it: try again",
            Some("42501") => "; the owner of the tables must do it, or somebody with CREATE on the schema",
            _ => "",
        };
        match self.file {
            Some(file) => format!("{file} could not be applied: {told}{help}"),
            None => told + help,
        }
    }
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self { file: None, error }
    }
}

/// Applies what is pending, under a lock: of two at once one waits and finds the work of the other. Each file is one
/// transaction.
async fn migrate(connection: &mut PgConnection) -> Result<Vec<String>, Broken> {
    // A large table takes its time, and so does the other one's.
    connection.execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    let mine = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(MIGRATION_LOCK);
    if !mine.fetch_one(&mut *connection).await? {
        tracing::warn!("another session changes the schema of the database: waiting for it");
        sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATION_LOCK).execute(&mut *connection).await?;
    }
    // Whoever waits for a table that is in use holds up everybody behind him. (The files ask for a lock that is held.)
    connection.execute("SET lock_timeout = '30s'").await?;
    let applied = applied(connection).await?;
    let mut done = Vec::new();
    for File { name, sql } in POSTGRES.pending(&applied) {
        let ran = sqlx::raw_sql(*sql).execute(&mut *connection).await;
        ran.map_err(|error| Broken { file: Some(name), error })?;
        done.push((*name).to_owned());
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(MIGRATION_LOCK).execute(connection).await?;
    Ok(done)
}
