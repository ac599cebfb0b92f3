//! Where metric rows are kept. The dialect is chosen by the scheme of the database URL.

mod sqlite;
mod templates;

use std::sync::Arc;

use actors::metric::Row;
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;

use crate::secret::mask_url;

pub use sqlite::SqliteStore;
pub use templates::StoredTemplate;

/// Opens the database behind `url`, creating and migrating an embedded one.
///
/// # Errors
/// What went wrong and what to do, in words for the user.
pub async fn open(url: &str) -> Result<Arc<dyn MetricStore>, String> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Arc::new(SqliteStore::open(url).await?)),
        Some("postgres" | "postgresql") => {
            Err("this version stores in SQLite only; use a sqlite:// URL (PostgreSQL is the next step)".to_owned())
        }
        _ => Err(format!("`{}` is not a database URL; expected sqlite://PATH", mask_url(url))),
    }
}

/// What somebody means to do with a database that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Opens the database behind `url` if there is one: none where nothing was ever stored there.
///
/// # Errors
/// As [`open`].
pub async fn open_existing(url: &str, access: Access) -> Result<Option<SqliteStore>, String> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") if !SqliteStore::exists(url)? => Ok(None),
        Some("sqlite") if access == Access::Read => SqliteStore::open_to_read(url).await.map(Some),
        Some("sqlite") => SqliteStore::open(url).await.map(Some),
        _ => open(url).await.map(|_| None),
    }
}

/// Stands in for a database that could not be opened: takes nothing, so that every row is counted as dropped.
pub struct Unavailable(pub String);

#[async_trait]
impl MetricStore for Unavailable {
    async fn write(&self, _rows: &[Row]) -> Result<(), StoreError> {
        Err(StoreError::Gone(self.0.clone()))
    }
}
