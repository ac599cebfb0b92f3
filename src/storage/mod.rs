//! Where metric rows are kept: SQLite in a file, or a PostgreSQL server. The scheme of the database's URL decides.
//!
//! Both have the same tables and views (`migrations/`), take a batch in one transaction, and store a row that is sent twice
//! once. A fault is told by what its reader does next: here in words for the user, behind the port as a [`StoreError`].

pub mod backup;
mod cleanup;
mod connections;
mod grants;
mod migrations;
mod postgres;
mod recount;
mod rollup;
mod session;
mod sizes;
mod sqlite;
mod status;
mod templates;
mod vacuum;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use actors::metric::Row;
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;

use crate::secret::{Secret, mask_url};

pub use cleanup::{Cleaned, CleanedTable, cleanup};
pub use connections::{Application, Connections, connections};
pub use grants::{Role, Roles};
pub use migrations::SCHEMA_VERSION;
pub use postgres::PostgresStore;
pub use recount::{Agreement, rollups};
pub use session::{Step, Told};
pub use sizes::{IndexUse, Indexes, Sizes, TableSize, indexes, sizes};
pub use sqlite::SqliteStore;
pub use status::{Status, Table};
pub use templates::StoredTemplate;
pub use vacuum::{Worked, reindex, vacuum};

/// A database, and how it is used. All but the URL concerns PostgreSQL only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: Secret,
    /// Connections kept open while nobody needs them.
    pub pool_size: u32,
    /// Connections at most.
    pub pool_max: u32,
    /// After this the server ends a statement, or a transaction in which nothing happens.
    pub command_timeout: Duration,
    /// What holds where the URL says nothing: a word of libpq's, such as `verify-full`.
    pub ssl_mode: Option<String>,
    /// Who may have signed the server's certificate, where the URL names nobody.
    pub ssl_root_cert: Option<PathBuf>,
}

impl Target {
    /// A database with the settings that hold where nobody gives others, for one who writes alone.
    pub fn new(url: impl Into<String>) -> Self {
        let url = Secret::new(url);
        let command_timeout = Duration::from_secs(60);
        Self { url, pool_size: 0, pool_max: 10, command_timeout, ssl_mode: None, ssl_root_cert: None }
    }

    /// The URL without its secrets.
    pub fn shown(&self) -> String {
        mask_url(self.url.reveal())
    }

    fn kind(&self) -> Result<Kind, String> {
        match self.url.reveal().split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Kind::Sqlite),
            Some("postgres" | "postgresql") => Ok(Kind::Postgres),
            _ => Err(format!("`{}` is not a database URL; expected sqlite://PATH or postgresql://…", self.shown())),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// What somebody means to do with a database that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// An open database.
pub enum Store {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Store {
    /// Opens a database to store rows in it. Its schema is brought up to date: an embedded one is created, on a server
    /// that is done where the user of the URL may do it.
    ///
    /// # Errors
    /// What went wrong and what to do, in words for the user.
    pub async fn open(target: &Target) -> Result<Self, String> {
        match target.kind()? {
            Kind::Sqlite => SqliteStore::open(target.url.reveal()).await.map(Self::Sqlite),
            Kind::Postgres => PostgresStore::open(target).await.map(Self::Postgres),
        }
    }

    /// Opens a database as it stands, if there is one: none where nothing was ever stored in a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_existing(target: &Target, access: Access) -> Result<Option<Self>, String> {
        let url = target.url.reveal();
        match (target.kind()?, access) {
            (Kind::Sqlite, _) if !SqliteStore::exists(url)? => Ok(None),
            (Kind::Sqlite, Access::Read) => SqliteStore::open_to_read(url).await.map(|store| Some(Self::Sqlite(store))),
            (Kind::Sqlite, Access::Write) => SqliteStore::open(url).await.map(|store| Some(Self::Sqlite(store))),
            (Kind::Postgres, _) => PostgresStore::open_as_it_is(target).await.map(|store| Some(Self::Postgres(store))),
        }
    }

    /// Brings the schema up to date; the files that were applied.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn migrate(target: &Target) -> Result<Vec<String>, String> {
        match target.kind()? {
            Kind::Sqlite => SqliteStore::migrate_file(target.url.reveal()).await,
            Kind::Postgres => PostgresStore::migrate_server(target).await,
        }
    }

    /// What stands in the database; none where there is no file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn status(target: &Target) -> Result<Option<Status>, String> {
        let Some(store) = Self::open_existing(target, Access::Read).await? else { return Ok(None) };
        let status = match &store {
            Self::Sqlite(store) => status::of_sqlite(store).await,
            Self::Postgres(store) => status::of_postgres(store).await,
        };
        store.close().await;
        let told = |error| format!("database {}: {}{}", target.shown(), postgres::told(&error), grants::help(&error));
        let status = status.map_err(told)?;
        Ok(Some(Status { database: target.shown(), ..status }))
    }

    /// The roles of a server, as SQL, and with `apply` in force.
    ///
    /// # Errors
    /// As [`Self::open`]; and an embedded database has no roles.
    pub async fn grants(target: &Target, roles: &Roles, apply: bool) -> Result<String, String> {
        match target.kind()? {
            Kind::Sqlite => Err(format!(
                "{} has no roles: who may read or write the file may read or write all of it; `db grants` is for PostgreSQL",
                target.shown()
            )),
            Kind::Postgres if apply => PostgresStore::grant(target, roles).await,
            Kind::Postgres => PostgresStore::grants_of(target, roles),
        }
    }

    /// The figures of all templates, by name.
    ///
    /// # Errors
    /// In words for the user.
    pub async fn templates(&self) -> Result<Vec<StoredTemplate>, String> {
        let templates = match self {
            Self::Sqlite(store) => templates::of_sqlite(store.pool()).await,
            Self::Postgres(store) => templates::of_postgres(store.pool()).await,
        };
        templates.map_err(|error| {
            format!("the figures of the template cache cannot be read: {error}{}", grants::help(&error))
        })
    }

    /// Drops the figures of a template, or of all; how many rows there were.
    ///
    /// # Errors
    /// In words for the user.
    pub async fn forget_templates(&self, name: Option<&str>) -> Result<u64, String> {
        let forgotten = match self {
            Self::Sqlite(store) => templates::forget_in_sqlite(store.pool(), name).await,
            Self::Postgres(store) => templates::forget_in_postgres(store.pool(), name).await,
        };
        forgotten.map_err(|error| {
            format!("the figures of the template cache cannot be changed: {error}{}", grants::help(&error))
        })
    }
}

#[async_trait]
impl MetricStore for Store {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.write(rows).await,
            Self::Postgres(store) => store.write(rows).await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// A time as it is stored, and as its hour is told: whole milliseconds since 1970, the rest cut off. A database that
/// rounds could bring a row into another hour than its rollup.
fn unix_milliseconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

fn unix_seconds(at: SystemTime) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let milliseconds = unix_milliseconds(at) as f64;
    milliseconds / 1e3
}

/// A text as every database takes it: PostgreSQL has no NUL.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Stands in for a database that could not be opened: takes nothing, so that every row is counted as dropped.
pub struct Unavailable(pub String);

#[async_trait]
impl MetricStore for Unavailable {
    async fn write(&self, _rows: &[Row]) -> Result<(), StoreError> {
        Err(StoreError::Gone(self.0.clone()))
    }
}
