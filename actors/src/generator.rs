//! A generator worker: contract in, checked package out. N of them share one mailbox, each on a thread of its own,
//! because generating is CPU work that blocks its thread.

use std::future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use codegen::{Contract, Diagnostic, Limits, Pack, Plan};
use tokio::time::Instant;

use crate::committer::{self, Finished};
use crate::event::{CacheUse, EVENT_TYPE, Job, JobFailure, Timings};
use crate::kit::{self, Ack, AskError, Batch, DeadLetter, Edge, Envelope, FailedAttempt, Failure, ask, progress};
use crate::metric::{EventRow, Row};
use crate::metric_writer::Recorder;
use crate::ports::{Clock, Package};
use crate::template_cache;

/// Called before each attempt at a job, with the attempt's number. For tests that inject faults: it may panic or block.
pub type Fault = Arc<dyn Fn(&Job, u32) + Send + Sync>;

#[derive(Clone)]
pub struct Config {
    /// A job that takes longer is stopped: between its parts, before each file, and inside a template by fuel.
    pub timeout: Duration,
    /// How much longer its worker may take to notice; then the worker is stuck, and is replaced.
    pub grace: Duration,
    /// How long the template cache may take to answer, at most.
    pub template_load_timeout: Duration,
    /// minijinja's unit: one instruction, or 64 bytes produced.
    pub fuel_per_file: u64,
    /// Bytes of one package.
    pub output_bytes_max: usize,
    pub files_max: usize,
    pub fault: Option<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            template_load_timeout: Duration::from_secs(30),
            fuel_per_file: 5_000_000,
            output_bytes_max: 64 << 20,
            files_max: 50_000,
            fault: None,
        }
    }
}

#[derive(Debug)]
pub enum Message {
    Generate(Job),
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        EVENT_TYPE
    }
    fn subject(&self) -> String {
        let Self::Generate(job) = self;
        job.source.to_string()
    }
}

/// Where a generator sends.
#[derive(Clone)]
pub struct Edges {
    pub template_cache: Edge<template_cache::Message>,
    pub committer: Edge<committer::Message>,
    pub metrics: Recorder,
}

pub struct Generator {
    config: Config,
    edges: Edges,
    clock: Arc<dyn Clock>,
}

/// What a job made so far; also what a failed one leaves behind.
#[derive(Default)]
struct Progress {
    timings: Timings,
    cache: CacheUse,
    package: Option<Arc<str>>,
    node_type: Option<&'static str>,
}

impl Generator {
    pub fn new(config: Config, edges: Edges, clock: Arc<dyn Clock>) -> Self {
        Self { config, edges, clock }
    }

    async fn generate(&self, job: &Job, attempt: u32, taken_at: Instant, made: &mut Progress) -> Result<Package, Stop> {
        if let Some(fault) = &self.config.fault {
            fault(job, attempt);
        }
        let deadline = taken_at + self.config.timeout;
        let in_time = || if Instant::now() < deadline { Ok(()) } else { Err(self.timed_out(job)) };

        // The cache is asked first, and answers while the contract is read: neither thread waits for the other.
        let mut asking = pin!(self.templates(job, deadline));
        let asked = future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        progress();
        let plan = timed(&mut made.timings.prd_analysis, || {
            let contract = Contract::read(&job.source, &job.contract)?;
            Plan::new(&contract)
        });
        let plan = plan.map_err(|diagnostics| JobFailure { cause: "contract", diagnostics })?;
        made.package = Some(Arc::from(&*plan.package));
        made.node_type = Some(plan.node_kind.as_str());
        in_time()?;
        let waits_since = Instant::now();
        let snapshot = match asked {
            Poll::Ready(snapshot) => snapshot,
            Poll::Pending => asking.await,
        };
        made.timings.template_load = waits_since.elapsed();
        let snapshot = snapshot?;
        made.cache = snapshot.used;

        let expired = || Instant::now() >= deadline;
        let limits = Limits {
            fuel_per_file: self.config.fuel_per_file,
            output_bytes_max: self.config.output_bytes_max,
            files_max: self.config.files_max,
            expired: &expired,
        };
        let files = timed(&mut made.timings.code_gen, || {
            codegen::render(&plan.context, &snapshot.pack, &snapshot.templates, &limits)
        });
        let files = match files {
            Err(codegen::Failure::Timeout) => return Err(self.timed_out(job).into()),
            files => files.map_err(|failure| of_templates(failure, &snapshot.pack))?,
        };
        in_time()?;

        timed(&mut made.timings.validation, || codegen::check(&files)).map_err(|diagnostics| JobFailure {
            cause: "output",
            diagnostics: of_template_pack(job, &plan.package, diagnostics),
        })?;
        in_time()?;
        Ok(Package { name: plan.package, source: Arc::clone(&job.source), files })
    }

    async fn templates(&self, job: &Job, deadline: Instant) -> Result<template_cache::Snapshot, Stop> {
        let left = deadline.saturating_duration_since(Instant::now()).min(self.config.template_load_timeout);
        let question = |reply| template_cache::Message::Get { pack: Arc::clone(&job.pack), reply };
        match ask(&self.edges.template_cache, left, question).await {
            Ok(answer) => Ok(answer?),
            Err(AskError::Deadline(_)) if Instant::now() >= deadline => Err(self.timed_out(job).into()),
            Err(AskError::Deadline(waited)) => {
                let message = format!("its templates did not load within {} s", waited.as_secs_f64());
                let help = "check the pack's files and the disk they are on, then run again";
                Err(JobFailure::new("template", Diagnostic::new(&*job.pack, None, message).help(help)).into())
            }
            Err(AskError::Closed) => Err(Stop::Broken(Failure::Stranded("the template cache"))),
            Err(AskError::Unanswered) => {
                Err(Stop::Broken(Failure::Broken("got no answer from the template cache".to_owned())))
            }
        }
    }

    fn timed_out(&self, job: &Job) -> JobFailure {
        let seconds = self.config.timeout.as_secs_f64();
        let message = format!("generation took longer than {seconds} s and was stopped");
        let help = "give it more time (--worker-timeout), or split the contract";
        JobFailure::new("timeout", Diagnostic::new(&*job.source, None, message).help(help))
    }

    /// The row of an attempt that left no outcome behind: its worker broke.
    async fn record_broken_attempt(&self, job: &Job, failed: &FailedAttempt) {
        let row = EventRow {
            id: self.clock.new_id(),
            event_id: job.event_id,
            attempt: failed.attempt,
            event_type: EVENT_TYPE,
            event_source: job.event_source,
            processing: failed.handling,
            queue_wait: failed.queue_wait,
            error: Some(("crash".to_owned(), failed.reason.to_string())),
            created_at: self.clock.now(),
        };
        self.edges.metrics.record(vec![Row::Event(row)]).await;
    }

    /// Hands the job over to the committer. Where this worker was stuck meanwhile and its job was given to another one,
    /// what it made is dropped.
    async fn finish(&self, envelope: &Envelope<Message>, finished: Finished) -> Result<(), Failure> {
        let place = self.edges.committer.reserve().await.map_err(|_| Failure::Stranded("the committer"))?;
        let source = Arc::clone(&finished.source);
        if place.hand_over(envelope, committer::Message::Finish(Box::new(finished))) == Ack::Refused {
            tracing::warn!(contract = &*source, "a late result is refused");
        }
        Ok(())
    }

    async fn handle_one(&self, envelope: &Envelope<Message>) -> Result<(), Failure> {
        let Message::Generate(job) = &**envelope;
        if let Some(failed) = envelope.last_failure() {
            self.record_broken_attempt(job, failed).await;
        }
        let mut made = Progress::default();
        made.timings.queue_wait = envelope.queue_wait();
        let result = match self.generate(job, envelope.attempt(), envelope.taken_at(), &mut made).await {
            Ok(package) => Ok(Arc::new(package)),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Broken(failure)) => return Err(failure),
        };
        self.finish(envelope, finished(job, envelope.attempt(), envelope.taken_at(), made, result)).await
    }
}

impl kit::Actor for Generator {
    type Message = Message;

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        for envelope in batch {
            self.handle_one(envelope).await?;
        }
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        let Message::Generate(job) = &**letter.envelope;
        self.record_broken_attempt(job, letter.last).await;
        let message =
            format!("the generator broke on it {} times; the last time it {}", letter.last.attempt, letter.last.reason);
        let help = "this is a fault of omninode: please report it with this contract";
        let failure = JobFailure::new("crash", Diagnostic::new(&*job.source, None, message).help(help));
        let mut made = Progress::default();
        made.timings.queue_wait = letter.last.queue_wait;
        // The clock of its last attempt: the burial is no part of the work.
        let now = letter.envelope.taken_at();
        let taken_at = now.checked_sub(letter.last.handling).unwrap_or(now);
        let buried = finished(job, letter.last.attempt, taken_at, made, Err(failure));
        self.finish(letter.envelope, Finished { recorded: true, ..buried }).await
    }
}

/// Why a job stops before its end.
enum Stop {
    /// It has an outcome: a failure.
    Failed(JobFailure),
    /// It has no outcome: the job goes back.
    Broken(Failure),
}

impl From<JobFailure> for Stop {
    fn from(failure: JobFailure) -> Self {
        Self::Failed(failure)
    }
}

fn finished(
    job: &Job,
    attempt: u32,
    taken_at: Instant,
    made: Progress,
    result: Result<Arc<Package>, JobFailure>,
) -> Finished {
    Finished {
        event_id: job.event_id,
        session_id: job.session_id,
        event_source: job.event_source,
        source: Arc::clone(&job.source),
        attempt,
        taken_at,
        timings: made.timings,
        cache: made.cache,
        package: made.package,
        node_type: made.node_type,
        result,
        recorded: false,
    }
}

/// A fault of a template points at its file in the pack.
fn of_templates(failure: codegen::Failure, pack: &Pack) -> JobFailure {
    let failure = JobFailure::from(failure);
    JobFailure { diagnostics: failure.diagnostics.into_iter().map(|fault| pack.locate(fault)).collect(), ..failure }
}

/// A generated file that does not hold is the pack's fault, not the contract's: say whose file it is and where it comes from.
fn of_template_pack(job: &Job, package: &str, diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let name = |mut diagnostic: Diagnostic| {
        diagnostic.file = format!("{package}/{}", diagnostic.file);
        let help = format!("the template pack `{}` made it of {}; {}", job.pack, job.source, diagnostic.help);
        diagnostic.help(help)
    };
    diagnostics.into_iter().map(name).collect()
}

fn timed<T>(duration: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let made = work();
    *duration = started.elapsed();
    made
}
