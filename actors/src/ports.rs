//! What the actors ask of the world; the application implements it. I/O runs on the application's own runtime, never on
//! the thread of an actor.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use codegen::File;
use uuid::Uuid;

use crate::event::{JobFailure, Outcome, Written};
use crate::metric::Row;

/// The name of a pack's manifest, among the names of its templates.
pub const MANIFEST: &str = "pack.yaml";

/// A text of a template pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackText {
    /// The name under which diagnostics point at it: as the user named the pack.
    pub file: String,
    /// The name under which figures know it, `PACK/TEMPLATE`: the same in every run, and of no other text.
    pub name: Arc<str>,
    pub origin: Origin,
    pub bytes: Arc<[u8]>,
}

/// Where a text of a pack was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the binary: it never changes.
    Embedded,
    /// On a disk: it may change at any time. `stamp` was taken together with its bytes.
    File { path: String, stamp: Stamp },
}

/// Tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When its content was last written, as the file says (mtime).
    pub modified: SystemTime,
    /// When anything about it last changed (ctime): nobody can set this one.
    pub changed: SystemTime,
    pub bytes: u64,
    pub device: u64,
    pub inode: u64,
    /// The last change was so long before this stamp was taken that a later one must show. A stamp that is not settled
    /// proves nothing: within one tick of the file system's clock a file can change twice.
    pub settled: bool,
}

/// Where template packs come from.
#[async_trait]
pub trait TemplateSource: Send + Sync + 'static {
    /// The manifest of a pack.
    ///
    /// # Errors
    /// The pack is unknown or cannot be read; permanent.
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure>;

    /// One template of a pack, by its name in the manifest.
    ///
    /// # Errors
    /// It does not exist or cannot be read; permanent.
    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure>;

    /// What `names` of a pack (its manifest may be among them) look like now, in this order, without reading them; None
    /// for one that is not there, or that is no plain file. Asked for packs on a disk only.
    async fn stamps(&self, pack: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>>;
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

/// Why a batch of rows was not stored, by what its sender does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot take it now: the same batch may be sent again.
    #[error("{0}")]
    Down(String),
    /// A row of it will never be taken (a constraint, a type). The others may be sent again.
    #[error("{0}")]
    Refused(String),
    /// The store will never take anything again.
    #[error("{0}")]
    Gone(String),
}

/// Where rows go.
#[async_trait]
pub trait MetricStore: Send + Sync + 'static {
    /// Stores a batch, all or nothing; rows that were stored before (same id) are left as they are.
    ///
    /// # Errors
    /// Nothing of the batch is known to be stored.
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError>;

    /// Nothing more will be written.
    async fn close(&self) {}
}

/// Time and ids.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> SystemTime;
    /// A UUID v7 of now.
    fn new_id(&self) -> Uuid;
}
