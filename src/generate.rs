//! `omninode generate`: contracts in, packages out, figures at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actors::event::{Job, JobFailure, Outcome};
use actors::generator::{Fault, Message};
use actors::kit::{Edge, Escalation, Observer, ask};
use actors::pipeline::{self, Drained, Pipeline, Ports};
use actors::ports::{Clock as _, MetricStore, PackageStore, TemplateSource as _};
use actors::template_cache;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::{self, say};
use crate::clock::SystemClock;
use crate::intake::{self, Found};
use crate::ledger::Ledger;
use crate::observer::Counters;
use crate::packages::OutputFolder;
use crate::packages::inspect::{Inspection, Question};
use crate::packs::Packs;
use crate::progress::Progress;
use crate::report::{Format, Report};
use crate::storage::{Store, Target, Unavailable};
use crate::summary::{Collector, Run, Status, Summary};

/// The exit code of an interrupted run, as a shell reports an interrupt.
pub const EXIT_INTERRUPTED: u8 = 130;

/// How long what was begun may take to end after an interrupt or at the end of a run.
const GRACE: Duration = Duration::from_secs(30);

/// Batches of outcomes that may wait to be shown.
const OUTCOMES_WAITING_MAX: usize = 8;

pub struct Options {
    /// What is wanted to know, of a run that writes nothing.
    pub question: Option<Question>,
    pub paths: Vec<PathBuf>,
    pub out: PathBuf,
    pub pack: String,
    pub workers: usize,
    pub worker_timeout: Duration,
    pub force: bool,
    pub template_cache: template_cache::Config,
    /// False: no database is opened, no metric row is made.
    pub monitoring: bool,
    pub database: Target,
    pub format: Format,
    /// Injected before each attempt, in tests.
    pub fault: Option<Fault>,
}

/// Why a run did not begin, or what it could not do at its end; in words for the user.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "no contract found; expected files named contract.yaml (or *.contract.yaml, *_contract.yaml) under the given paths, \
         not hidden, ignored or behind a link"
    )]
    NothingToDo,
    /// The template pack is not there, or its manifest cannot be read.
    #[error("{0}")]
    Pack(codegen::Diagnostic),
    #[error("{0}")]
    OutputFolder(String),
    #[error("the packages are written but may not be durable: {0}")]
    NotDurable(std::io::Error),
    #[error("the summary cannot be written: {0}")]
    Print(std::io::Error),
}

impl RunError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NothingToDo | Self::Pack(_))
    }
}

/// Runs the command on the current actix System, and prints what it found.
///
/// # Errors
/// See [`RunError`]; a contract that fails is no error but a part of the summary.
pub async fn run(options: Options) -> Result<Status, RunError> {
    let found = intake::discover(&options.paths, &options.out);
    if found.is_empty() {
        return Err(RunError::NothingToDo);
    }
    let packs = Arc::new(Packs::new(tokio::runtime::Handle::current()));
    if let Err(failure) = packs.manifest(&options.pack).await {
        let fault = failure.diagnostics.into_iter().next();
        return Err(RunError::Pack(
            fault.unwrap_or_else(|| codegen::Diagnostic::new(&options.pack, None, "unreadable")),
        ));
    }
    match options.question {
        None => write(&options, found, packs).await,
        Some(question) => inspect(&options, question, found, packs).await,
    }
}

async fn write(options: &Options, found: Vec<Found>, packs: Arc<Packs>) -> Result<Status, RunError> {
    let packages = Arc::new(OutputFolder::open(&options.out, options.force).map_err(RunError::OutputFolder)?);
    let (summary, clean) = generate(options, found, packs, Arc::clone(&packages) as _).await;
    let durable = packages.finish(clean);
    let text = match options.format {
        Format::Human => summary.to_text(&options.out.display().to_string()),
        // A summary is numbers and texts: it always has a JSON form.
        Format::Json | Format::Sarif => serde_json::to_string_pretty(&summary).unwrap_or_default() + "\n",
    };
    app::print(text.as_bytes()).map_err(RunError::Print)?;
    durable.map_err(RunError::NotDurable)?;
    Ok(summary.status)
}

/// The same run, with a store that only looks.
async fn inspect(
    options: &Options,
    question: Question,
    found: Vec<Found>,
    packs: Arc<Packs>,
) -> Result<Status, RunError> {
    let inspection = Inspection::open(&options.out, question, options.force).map_err(RunError::OutputFolder)?;
    let inspection = Arc::new(inspection);
    let (summary, _) = generate(options, found, packs, Arc::clone(&inspection) as _).await;
    let report = Report::new(question, options.out.display().to_string(), summary, inspection.take());
    report.print(options.format).map_err(RunError::Print)?;
    Ok(report.status)
}

/// The summary, and whether everything that was begun has ended.
async fn generate(
    options: &Options,
    found: Vec<Found>,
    packs: Arc<Packs>,
    packages: Arc<dyn PackageStore>,
) -> (Summary, bool) {
    let started = Instant::now();
    let total = found.len();
    let (sender, outcomes) = mpsc::channel(OUTCOMES_WAITING_MAX);
    let mut desk = Desk::new(total, outcomes, options.format);
    let ledger = Arc::new(Ledger::new(sender));
    let counters = Arc::new(Counters::default());
    let (config, ports) = wiring(options, packs, packages, &ledger, &counters).await;
    let interrupt = watch_interrupts();
    tracing::info!(contracts = total, workers = options.workers, "generation begins");
    let house = Pipeline::start(&config, &ports);
    let tally = house.tally();
    warm_up(&house, &options.pack, config.generator.template_load_timeout, &interrupt).await;
    let stop = CancellationToken::new();
    // However this ends: a feeder that waits for room would hold up the end of the runtime.
    let _stopped = stop.clone().drop_guard();
    let mut feeding = Feed::new(options, Arc::clone(&ledger), house.intake(), stop.clone()).spawn(found);

    let status = desk.listen(&mut feeding.refused, house.escalation(), &interrupt).await;
    // What is in hand is finished; what waits in the intake is not begun any more.
    stop.cancel();
    desk.close(feeding).await;
    let drained = desk.drain(house).await;

    let unfinished: Vec<String> = ledger.open().iter().map(ToString::to_string).collect();
    let status = match status {
        Status::Complete if !unfinished.is_empty() => Status::Broken,
        Status::Complete if desk.collector.has_failures() => Status::Failed,
        status => status,
    };
    let not_begun = total.saturating_sub(desk.collector.ended() + unfinished.len()) as u64;
    let summary = desk.collector.summary(Run {
        status,
        duration: started.elapsed(),
        workers: options.workers,
        incidents: counters.incidents(),
        rows_stored: tally.stored.load(Ordering::Relaxed),
        rows_refused: tally.refused.load(Ordering::Relaxed),
        rows_dropped: tally.dropped.load(Ordering::Relaxed),
        unfinished,
        not_begun,
    });
    tracing::info!(packages = summary.nodes, failures = summary.failures.len(), "generation ended");
    (summary, drained.leftovers.is_empty())
}

/// Loads the pack before the first job asks for it, so that no job pays for it. Its faults are told by the jobs.
async fn warm_up(house: &Pipeline, pack: &str, deadline: Duration, interrupt: &CancellationToken) {
    let pack = Arc::from(pack);
    let edge = house.template_cache();
    let warmed = ask(&edge, deadline, |reply| template_cache::Message::Warm { pack, reply });
    tokio::select! {
        () = interrupt.cancelled() => {}
        _ = warmed => {}
    }
}

async fn wiring(
    options: &Options,
    packs: Arc<Packs>,
    packages: Arc<dyn PackageStore>,
    ledger: &Arc<Ledger>,
    counters: &Arc<Counters>,
) -> (pipeline::Config, Ports) {
    let mut config = pipeline::Config::new(options.workers);
    config.generator.timeout = options.worker_timeout;
    config.generator.fault.clone_from(&options.fault);
    config.template_cache = options.template_cache;
    // A run that only looks leaves nothing behind.
    config.monitoring = options.monitoring && options.question.is_none();
    let metrics: Arc<dyn MetricStore> = if config.monitoring {
        match Store::open(&options.database).await {
            Ok(store) => Arc::new(store),
            Err(fault) => {
                // A database fault never fails a generation.
                say(&format!("warning: {fault}; measurements of this run are not stored"));
                Arc::new(Unavailable(fault))
            }
        }
    } else {
        Arc::new(Unavailable("monitoring is off".to_owned()))
    };
    let ports = Ports {
        templates: packs,
        packages,
        outcomes: Arc::clone(ledger) as _,
        metrics,
        clock: Arc::new(SystemClock),
        observer: Arc::clone(counters) as Arc<dyn Observer>,
    };
    (config, ports)
}

/// Where what became of contracts comes in: shown at once, kept for the summary.
struct Desk {
    total: usize,
    /// As they were committed, batch by batch.
    outcomes: mpsc::Receiver<Vec<Outcome>>,
    progress: Progress,
    collector: Collector,
}

impl Desk {
    fn new(total: usize, outcomes: mpsc::Receiver<Vec<Outcome>>, format: Format) -> Self {
        let progress = Progress::new(total, format == Format::Human);
        Self { total, outcomes, progress, collector: Collector::new(format == Format::Json) }
    }

    /// Until every contract has its end, or the run is to end early.
    async fn listen(
        &mut self,
        refused: &mut mpsc::Receiver<(String, JobFailure)>,
        escalation: impl Future<Output = Escalation>,
        interrupt: &CancellationToken,
    ) -> Status {
        tokio::pin!(escalation);
        while self.collector.ended() < self.total {
            tokio::select! {
                Some(outcomes) = self.outcomes.recv() => self.take(&outcomes),
                Some((source, failure)) = refused.recv() => self.refuse(&source, failure),
                () = interrupt.cancelled() => {
                    self.progress.say("interrupted: finishing what is in hand; interrupt again to stop at once");
                    return Status::Interrupted;
                }
                escalated = &mut escalation => {
                    self.progress.say(&format!("error: {escalated}"));
                    return Status::Broken;
                }
            }
        }
        Status::Complete
    }

    /// The feeder must not wait for somebody who does not listen any more.
    async fn close(&mut self, mut feeding: Feeding) {
        feeding.refused.close();
        while let Ok((source, failure)) = feeding.refused.try_recv() {
            self.refuse(&source, failure);
        }
        let _ = feeding.task.await;
    }

    async fn drain(&mut self, house: Pipeline) -> Drained {
        let draining = house.drain(GRACE);
        tokio::pin!(draining);
        let drained = loop {
            tokio::select! {
                biased;
                Some(outcomes) = self.outcomes.recv() => self.take(&outcomes),
                drained = &mut draining => break drained,
            }
        };
        while let Ok(outcomes) = self.outcomes.try_recv() {
            self.take(&outcomes);
        }
        self.progress.finish();
        drained
    }

    fn take(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match &outcome.result {
                Ok(_) => self.progress.generated(outcome.package.as_deref().unwrap_or(&outcome.source)),
                Err(failure) => self.progress.failed(&outcome.source, failure),
            }
            self.collector.add(outcome);
        }
    }

    /// A contract that never became an event.
    fn refuse(&mut self, source: &str, failure: JobFailure) {
        self.progress.failed(source, &failure);
        self.collector.fail(source, failure);
    }
}

/// Reads contracts and sends them into the house, as fast as it takes them.
struct Feed {
    pack: Arc<str>,
    session_id: Uuid,
    ledger: Arc<Ledger>,
    intake: Edge<Message>,
    stop: CancellationToken,
}

struct Feeding {
    task: tokio::task::JoinHandle<()>,
    /// Contracts that never became events.
    refused: mpsc::Receiver<(String, JobFailure)>,
}

impl Feed {
    fn new(options: &Options, ledger: Arc<Ledger>, intake: Edge<Message>, stop: CancellationToken) -> Self {
        Self { pack: Arc::from(options.pack.as_str()), session_id: SystemClock.new_id(), ledger, intake, stop }
    }

    /// On a thread of its own: a contract is read where it is sent from, and waiting for room holds up nobody.
    fn spawn(self, found: Vec<Found>) -> Feeding {
        let (refusals, refused) = mpsc::channel(256);
        let runtime = tokio::runtime::Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                for found in found {
                    if self.stop.is_cancelled() || !self.send(&found, &refusals).await {
                        return;
                    }
                }
            });
        });
        Feeding { task, refused }
    }

    /// False where nobody takes contracts any more.
    async fn send(&self, found: &Found, refusals: &mpsc::Sender<(String, JobFailure)>) -> bool {
        let contract: Arc<[u8]> = match found.read() {
            Ok(contract) => Arc::from(contract),
            Err(failure) => return refusals.send((found.name().into_owned(), failure)).await.is_ok(),
        };
        let (event_id, source) = (SystemClock.new_id(), Arc::<str>::from(found.name()));
        self.ledger.accept(event_id, Arc::clone(&source));
        let job = Job {
            event_id,
            session_id: self.session_id,
            event_source: "cli",
            source,
            contract,
            pack: Arc::clone(&self.pack),
        };
        let sent = tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            sent = self.intake.send(Message::Generate(job)) => sent.is_ok(),
        };
        if !sent {
            self.ledger.withdraw(event_id);
        }
        sent
    }
}

/// Watches for Ctrl-C and SIGTERM from now on. The first cancels the token; a second one, whenever it comes, ends the
/// process at once: nothing half-written is visible then either.
fn watch_interrupts() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched: an interrupt will end the run at once");
        return token;
    };
    let first = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first.is_cancelled() {
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            }
            first.cancel();
        }
    });
    token
}
