//! What the actors ask of the world; the application implements it. I/O runs on the application's own runtime, never on
//! the thread of an actor.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use codegen::File;
use uuid::Uuid;

use crate::event::{JobFailure, Outcome, Written};
use crate::metric::Row;

/// A text of a template pack, with the name under which diagnostics point at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackText {
    pub file: String,
    pub bytes: Arc<[u8]>,
}

/// Where template packs come from.
#[async_trait]
pub trait TemplateSource: Send + Sync + 'static {
    /// The `pack.yaml` of a pack.
    ///
    /// # Errors
    /// The pack is unknown or cannot be read; permanent.
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure>;

    /// One template of a pack, by its name in the manifest.
    ///
    /// # Errors
    /// It does not exist or cannot be read; permanent.
    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure>;
}

/// A checked package, ready to be written.
#[derive(Debug)]
pub struct Package {
    /// A Python identifier; the folder's name.
    pub name: String,
    /// The contract's file, for messages.
    pub source: Arc<str>,
    /// Sorted by path.
    pub files: Vec<File>,
}

/// Where packages go.
#[async_trait]
pub trait PackageStore: Send + Sync + 'static {
    /// Makes a batch durable together: a result for each package, in order. A new package is visible as a whole or not
    /// at all.
    async fn commit(&self, packages: Vec<Arc<Package>>) -> Vec<Result<Written, JobFailure>>;
}

/// Where outcomes are recorded and made known.
#[async_trait]
pub trait OutcomeLog: Send + Sync + 'static {
    /// Records each outcome once: a second one of the same event is refused (the fence), and counts for nothing.
    async fn record(&self, outcomes: Vec<Outcome>);
}

/// The store could not take a batch now; the whole batch may be sent again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreDown(pub String);

/// Where rows go.
#[async_trait]
pub trait MetricStore: Send + Sync + 'static {
    /// Stores a batch; rows that were stored before (same id) are left as they are.
    ///
    /// # Errors
    /// Nothing of the batch is known to be stored.
    async fn write(&self, rows: &[Row]) -> Result<(), StoreDown>;

    /// Nothing more will be written.
    async fn close(&self) {}
}

/// Time and ids.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> SystemTime;
    /// A UUID v7 of now.
    fn new_id(&self) -> Uuid;
}
