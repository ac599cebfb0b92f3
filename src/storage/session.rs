//! One connection for the upkeep of a database: it waits for others instead of giving up, and no statement of it is ended
//! for taking long. What cannot be done is told with the right that is missing, or with the command to run first.

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Postgres, Sqlite};

use super::migrations::{POSTGRES, SQLITE};
use super::{Access, Store, Target};

/// A connection of either database.
pub(super) enum Session {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// How far an upkeep is, for a progress bar.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What is in hand: a table, a day.
    pub name: &'a str,
    pub done: u64,
    pub total: u64,
}

/// Who is told how far it is.
pub type Told<'a> = &'a dyn Fn(Step<'_>);

impl Session {
    /// # Errors
    /// In words for the user: the database cannot be used, or a table of ours is missing.
    pub(super) async fn open(target: &Target, access: Access) -> Result<(Store, Self), String> {
        let Some(store) = Store::open_existing(target, access).await? else {
            return Err(format!("{}: there is no file yet; a run makes it, or `omninode db migrate`", target.shown()));
        };
        let session = Self::of(&store).await.map_err(|error| explain(target, &error))?;
        Ok((store, session))
    }

    async fn of(store: &Store) -> sqlx::Result<Self> {
        match store {
            Store::Sqlite(store) => {
                let mut connection = store.pool().acquire().await?;
                connection.execute("PRAGMA busy_timeout = 60000").await?;
                Ok(Self::Sqlite(connection))
            }
            Store::Postgres(store) => {
                let mut connection = store.pool().acquire().await?;
                connection.execute("SET statement_timeout = 0").await?;
                Ok(Self::Postgres(connection))
            }
        }
    }

    /// Our tables that are there, in order.
    pub(super) async fn tables(&mut self) -> sqlx::Result<Vec<String>> {
        match self {
            Self::Sqlite(connection) => {
                let there: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
                    .fetch_all(&mut **connection)
                    .await?;
                let ours = SQLITE.tables().into_iter().map(str::to_owned);
                Ok(ours.filter(|name| there.contains(name)).collect())
            }
            Self::Postgres(connection) => {
                let there = "SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS ours (name, place) \
                             WHERE to_regclass(name) IS NOT NULL ORDER BY place";
                sqlx::query_scalar(there).bind(POSTGRES.tables()).fetch_all(&mut **connection).await
            }
        }
    }

    /// Runs one statement of ours that takes no parameters.
    pub(super) async fn execute(&mut self, sql: String) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **connection).await.map(drop),
            Self::Postgres(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **connection).await.map(drop),
        }
    }
}

/// What went wrong, and what to do.
pub(super) fn explain(target: &Target, error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    let help = match code.as_ref() {
        "42P01" | "42703" | "42883" => "; the schema is not up to date: run `omninode db migrate` first",
        "42501" => "; OPERATIONS.md says which rights a user of maintenance has",
        "53100" | "13" => "; there must be room on the disk for a second copy of what is rewritten",
        "5" | "261" | "517" => "; another process holds the file for long: try again",
        "8" | "1544" => "; the file cannot be written",
        _ => "",
    };
    format!("database {}: {error}{help}", target.shown())
}

/// Makes sure of rights before anything begins, so that nothing ends half-way: pairs of a table and one right.
///
/// # Errors
/// The statement that grants what is missing.
pub(super) async fn demand_rights(connection: &mut PgConnection, wanted: &[(&str, &str)]) -> Result<(), String> {
    let (tables, rights): (Vec<&str>, Vec<&str>) = wanted.iter().copied().unzip();
    let missing = "SELECT string_agg('GRANT ' || rights || ' ON ' || tables || ' TO ' || quote_ident(current_user) || ';', \
                   ' ' ORDER BY tables) FROM (SELECT rights, string_agg(name, ', ' ORDER BY name) AS tables FROM \
                   (SELECT name, string_agg(\"right\", ', ' ORDER BY \"right\") AS rights FROM unnest($1::text[], $2::text[]) \
                   AS wanted (name, \"right\") WHERE NOT has_table_privilege(to_regclass(name), \"right\") GROUP BY name) \
                   AS tables GROUP BY rights) AS grants";
    let grants: Option<String> = sqlx::query_scalar(missing)
        .bind(tables)
        .bind(rights)
        .fetch_one(connection)
        .await
        .map_err(|error| error.to_string())?;
    match grants {
        None => Ok(()),
        Some(grants) => Err(format!("this user lacks rights; let the owner of the tables run: {grants}")),
    }
}

/// Makes sure that the user may vacuum and reindex these tables. PostgreSQL itself only warns where it skips one.
///
/// # Errors
/// The statement that grants what is missing: since PostgreSQL 17 there is a right for it, before only the owner may.
pub(super) async fn demand_maintenance(connection: &mut PgConnection, tables: &[String]) -> Result<(), String> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| error.to_string())?;
    let missing = if version >= 170_000 {
        "SELECT 'GRANT MAINTAIN ON ' || string_agg(relname, ', ' ORDER BY relname) || ' TO ' || \
         quote_ident(current_user) || ';' FROM pg_class WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) \
         AS name) AND NOT has_table_privilege(oid, 'MAINTAIN')"
    } else {
        "SELECT string_agg(DISTINCT 'GRANT ' || relowner::regrole || ' TO ' || quote_ident(current_user) || ';', ' ') || \
         ' (before PostgreSQL 17 only the owner may do this, or a member of it)' FROM pg_class WHERE oid IN \
         (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) AND NOT pg_has_role(relowner, 'USAGE')"
    };
    let grants: Option<String> =
        sqlx::query_scalar(missing).bind(tables).fetch_one(connection).await.map_err(|error| error.to_string())?;
    match grants {
        None => Ok(()),
        Some(grants) => Err(format!("this user may not maintain the tables; let their owner run: {grants}")),
    }
}
