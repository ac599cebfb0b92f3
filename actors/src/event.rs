//! A generation event on its way: the job, what became of it, and the outcome.

use std::sync::Arc;
use std::time::Duration;

use codegen::Diagnostic;
use uuid::Uuid;

/// A generation event as the intake accepts it.
#[derive(Debug, Clone)]
pub struct Job {
    /// UUID v7; names the event in outcomes and rows.
    pub event_id: Uuid,
    /// One run of `generate`, or one submission.
    pub session_id: Uuid,
    /// Where the event came from: a guide value such as `cli`.
    pub event_source: &'static str,
    /// The contract's file as the user named it; it stands in diagnostics.
    pub source: Arc<str>,
    pub contract: Arc<[u8]>,
    /// The template pack, as its [`crate::ports::TemplateSource`] knows it.
    pub pack: Arc<str>,
}

/// What kind of event all jobs are, in rows and labels.
pub const EVENT_TYPE: &str = "node.generate";

/// How long each part of a job took. A part that was not reached is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// In the generator's mailbox, before this attempt.
    pub queue_wait: Duration,
    /// Reading the contract (the guide's `prd_analysis`).
    pub prd_analysis: Duration,
    /// Waiting for the templates, beyond the reading of the contract: both go on at once.
    pub template_load: Duration,
    pub code_gen: Duration,
    pub validation: Duration,
    /// Writing the package.
    pub persistence: Duration,
    /// From the moment a worker took the job to its outcome; waiting between the parts included.
    pub total: Duration,
}

/// What the template cache gave for one job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    pub hits: u32,
    pub misses: u32,
}

/// Why a job gave no package. `cause` has few values: contract, duplicate, template, output, limit, timeout, conflict,
/// io, crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    pub cause: &'static str,
    pub diagnostics: Vec<Diagnostic>,
}

impl JobFailure {
    /// A failure of the whole job with one diagnostic that has no place in a file.
    pub fn new(cause: &'static str, diagnostic: Diagnostic) -> Self {
        Self { cause, diagnostics: vec![diagnostic] }
    }

    /// One line for rows: the first diagnostic.
    pub fn message(&self) -> String {
        self.diagnostics.first().map(ToString::to_string).unwrap_or_default()
    }
}

impl From<codegen::Failure> for JobFailure {
    fn from(failure: codegen::Failure) -> Self {
        Self { cause: failure.cause(), diagnostics: failure.diagnostics().to_vec() }
    }
}

/// What writing a package did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Files of the package, written or not.
    pub files: u32,
    /// Of these, written now (new or changed).
    pub files_written: u32,
    /// Of these, edited by a person and left alone.
    pub files_kept: u32,
    /// Size of the whole package.
    pub bytes: u64,
    pub duration: Duration,
}

/// The end of an event, recorded once.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub event_id: Uuid,
    pub source: Arc<str>,
    /// Known once the contract has been read.
    pub package: Option<Arc<str>>,
    pub result: Result<Written, JobFailure>,
    pub timings: Timings,
    pub cache: CacheUse,
    /// The attempt that ended it, counted from 1.
    pub attempt: u32,
}
