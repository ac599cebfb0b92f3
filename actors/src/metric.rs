//! Rows for the database: what was measured, with true values.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

/// The guide's phases, stored under these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    PrdAnalysis,
    TemplateLoad,
    CodeGen,
    Validation,
    Persistence,
    Total,
}

impl Phase {
    pub const ALL: [Self; 6] =
        [Self::PrdAnalysis, Self::TemplateLoad, Self::CodeGen, Self::Validation, Self::Persistence, Self::Total];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrdAnalysis => "prd_analysis",
            Self::TemplateLoad => "template_load",
            Self::CodeGen => "code_gen",
            Self::Validation => "validation",
            Self::Persistence => "persistence",
            Self::Total => "total",
        }
    }
}

/// A row of `generation_performance_metrics`: one phase of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseRow {
    /// UUID v7, made by the writer: sending a row twice stores it once.
    pub id: Uuid,
    pub session_id: Uuid,
    /// EFFECT, COMPUTE, REDUCER or ORCHESTRATOR.
    pub node_type: &'static str,
    pub phase: Phase,
    pub duration: Duration,
    /// Every template came from the cache.
    pub cache_hit: bool,
    pub worker_count: u32,
    /// The package.
    pub package: Arc<str>,
    pub created_at: SystemTime,
}

/// A row of `event_processing_metrics`: one attempt at one event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub id: Uuid,
    pub event_id: Uuid,
    /// Counted from 1.
    pub attempt: u32,
    pub event_type: &'static str,
    pub event_source: &'static str,
    pub processing: Duration,
    pub queue_wait: Duration,
    /// `(error_type, error_message)` where the attempt failed.
    pub error: Option<(String, String)>,
    pub created_at: SystemTime,
}

/// What happened to one template since its last report; added to its row of `template_cache_metadata`.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateRow {
    /// Names this report: one that is sent twice is added once.
    pub id: Uuid,
    /// `PACK/TEMPLATE`.
    pub name: Arc<str>,
    /// `PACK/KIND`; the kinds are few: py, yaml, json, toml, md, other.
    pub kind: String,
    /// `embedded:PACK/TEMPLATE`, or the path of its file.
    pub file: String,
    /// BLAKE3 of its source, 64 hexadecimal digits.
    pub hash: String,
    /// Source and compiled form.
    pub bytes: u64,
    /// Reading and compiling it, the last time.
    pub load_time: Duration,
    pub hits: u64,
    pub misses: u64,
    /// By a job.
    pub last_accessed: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    Phase(PhaseRow),
    Event(EventRow),
    Template(TemplateRow),
}

impl Row {
    pub fn id(&self) -> Uuid {
        match self {
            Self::Phase(row) => row.id,
            Self::Event(row) => row.id,
            Self::Template(row) => row.id,
        }
    }
}

/// A duration as the guide stores it: fractional milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
