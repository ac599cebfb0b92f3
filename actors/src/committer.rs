//! The committer owns outcomes: it takes a batch of finished jobs, makes their packages durable together, records the
//! outcomes, and only then acknowledges.

use std::sync::Arc;
use std::time::Duration;

use codegen::Diagnostic;
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::{CacheUse, EVENT_TYPE, JobFailure, Outcome, Timings, Written};
use crate::kit::{self, Batch, BatchPolicy, DeadLetter, Failure};
use crate::metric::{EventRow, Phase, PhaseRow, Row};
use crate::metric_writer::Recorder;
use crate::ports::{Clock, OutcomeLog, Package, PackageStore};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Packages made durable together at most. It never waits for more: what is there is the batch.
    pub batch_max: usize,
    /// How many workers made the packages, for the rows.
    pub workers: u32,
}

#[derive(Debug)]
pub enum Message {
    Finish(Box<Finished>),
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        "package.commit"
    }
    fn subject(&self) -> String {
        let Self::Finish(finished) = self;
        finished.source.to_string()
    }
}

/// A job at its end, not yet durable.
#[derive(Debug)]
pub struct Finished {
    pub event_id: Uuid,
    pub session_id: Uuid,
    pub event_source: &'static str,
    pub source: Arc<str>,
    pub attempt: u32,
    /// When a worker took the job.
    pub taken_at: Instant,
    pub timings: Timings,
    pub cache: CacheUse,
    pub package: Option<Arc<str>>,
    /// EFFECT, COMPUTE, REDUCER or ORCHESTRATOR, once known.
    pub node_type: Option<&'static str>,
    pub result: Result<Arc<Package>, JobFailure>,
    /// The row of this attempt is written already (a worker broke on it).
    pub recorded: bool,
}

pub struct Committer {
    config: Config,
    packages: Arc<dyn PackageStore>,
    outcomes: Arc<dyn OutcomeLog>,
    metrics: Recorder,
    clock: Arc<dyn Clock>,
}

impl Committer {
    pub fn new(
        config: Config,
        packages: Arc<dyn PackageStore>,
        outcomes: Arc<dyn OutcomeLog>,
        metrics: Recorder,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { config, packages, outcomes, metrics, clock }
    }

    /// Writes the packages of a batch; a result for each finished job, in order.
    async fn write(&self, batch: &[&Finished]) -> Vec<Result<Written, JobFailure>> {
        let packages: Vec<_> = batch.iter().filter_map(|finished| finished.result.as_ref().ok().cloned()).collect();
        let mut written =
            if packages.is_empty() { Vec::new() } else { self.packages.commit(packages).await }.into_iter();
        let unanswered = || {
            let fault = Diagnostic::new("output folder", None, "the store gave no answer for this package");
            JobFailure::new("io", fault.help("run again"))
        };
        batch
            .iter()
            .map(|finished| match &finished.result {
                Ok(_) => written.next().unwrap_or_else(|| Err(unanswered())),
                Err(failure) => Err(failure.clone()),
            })
            .collect()
    }

    /// Records what became of jobs, and what it cost.
    async fn conclude<'f>(&self, ended: impl IntoIterator<Item = (&'f Finished, Result<Written, JobFailure>)>) {
        let (mut outcomes, mut rows) = (Vec::new(), Vec::new());
        for (finished, result) in ended {
            let mut timings = finished.timings;
            timings.persistence = result.as_ref().map_or(Duration::ZERO, |written| written.duration);
            timings.total = finished.taken_at.elapsed();
            let outcome = Outcome {
                event_id: finished.event_id,
                source: Arc::clone(&finished.source),
                package: finished.package.clone(),
                result,
                timings,
                cache: finished.cache,
                attempt: finished.attempt,
            };
            self.add_rows(finished, &outcome, &mut rows);
            outcomes.push(outcome);
        }
        self.outcomes.record(outcomes).await;
        self.metrics.record(rows).await;
    }

    fn add_rows(&self, finished: &Finished, outcome: &Outcome, rows: &mut Vec<Row>) {
        let created_at = self.clock.now();
        let timings = outcome.timings;
        if !finished.recorded {
            rows.push(Row::Event(EventRow {
                id: self.clock.new_id(),
                event_id: finished.event_id,
                attempt: finished.attempt,
                event_type: EVENT_TYPE,
                event_source: finished.event_source,
                processing: timings.total,
                queue_wait: timings.queue_wait,
                error: outcome.result.as_ref().err().map(|failure| (failure.cause.to_owned(), failure.message())),
                created_at,
            }));
        }
        let (Ok(_), Some(node_type), Some(package)) = (&outcome.result, finished.node_type, &outcome.package) else {
            return;
        };
        rows.extend(Phase::ALL.map(|phase| {
            Row::Phase(PhaseRow {
                id: self.clock.new_id(),
                session_id: finished.session_id,
                node_type,
                phase,
                duration: phase_duration(&timings, phase),
                cache_hit: outcome.cache.hits > 0 && outcome.cache.misses == 0,
                worker_count: self.config.workers,
                package: Arc::clone(package),
                created_at,
            })
        }));
    }
}

fn phase_duration(timings: &Timings, phase: Phase) -> Duration {
    match phase {
        Phase::PrdAnalysis => timings.prd_analysis,
        Phase::TemplateLoad => timings.template_load,
        Phase::CodeGen => timings.code_gen,
        Phase::Validation => timings.validation,
        Phase::Persistence => timings.persistence,
        Phase::Total => timings.total,
    }
}

impl kit::Actor for Committer {
    type Message = Message;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: self.config.batch_max, linger: Duration::ZERO }
    }

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        let finished: Vec<&Finished> = batch
            .iter()
            .map(|envelope| match &**envelope {
                Message::Finish(finished) => &**finished,
            })
            .collect();
        let results = self.write(&finished).await;
        self.conclude(finished.into_iter().zip(results)).await;
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        let Message::Finish(finished) = &**letter.envelope;
        let message = format!(
            "writing it failed {} times; the last time the committer {}",
            letter.last.attempt, letter.last.reason
        );
        let help = "check the output folder, then run again; if it stays, please report it";
        let failure = JobFailure::new("crash", Diagnostic::new(&*finished.source, None, message).help(help));
        // Where there is a failure already, that is the one to know.
        let failure = finished.result.as_ref().err().cloned().unwrap_or(failure);
        self.conclude([(&**finished, Err(failure))]).await;
        Ok(())
    }
}
