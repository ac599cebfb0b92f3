//! Who sends to whom: mailboxes first, then actors, and what happens at each edge when it is full.
//!
//! ```text
//! intake ─wait─▶ generator ×N ─wait─▶ committer        generator ─ask, wait─▶ template_cache
//!                    └────────drop──────┴────drop────▶ metric_writer ◀─drop─ template_cache
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::committer::{self, Committer};
use crate::generator::{self, Generator};
use crate::kit::{
    Edge, Escalation, Leftover, Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Supervisor, WhenFull,
};
use crate::metric_writer::{self, MetricWriter, Recorder, Tally};
use crate::ports::{Clock, MetricStore, OutcomeLog, PackageStore, TemplateSource};
use crate::template_cache::{self, TemplateCache};

#[derive(Clone)]
pub struct Config {
    /// Generator workers; at least 1.
    pub workers: usize,
    pub generator: generator::Config,
    pub template_cache: template_cache::Config,
    pub metric_writer: metric_writer::Config,
    /// False: no metric row is made.
    pub monitoring: bool,
    /// Times a job may break its worker before it is a dead letter.
    pub attempts_max: u32,
    /// Restarts of one worker in a minute, without one job done in between, before the house gives up. A job that breaks its
    /// worker each time costs `attempts_max` of them.
    pub worker_restarts_max: u32,
    /// Where actors run.
    pub placement: Placement,
    /// Makes delays before restarts and retries repeatable.
    pub seed: u64,
}

impl Config {
    pub fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            generator: generator::Config::default(),
            template_cache: template_cache::Config::default(),
            metric_writer: metric_writer::Config::default(),
            monitoring: true,
            attempts_max: 3,
            worker_restarts_max: 60,
            placement: Placement::Threads,
            seed: 0,
        }
    }
}

/// What the pipeline asks of the world.
#[derive(Clone)]
pub struct Ports {
    pub templates: Arc<dyn TemplateSource>,
    pub packages: Arc<dyn PackageStore>,
    pub outcomes: Arc<dyn OutcomeLog>,
    pub metrics: Arc<dyn MetricStore>,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
}

/// Messages waiting for the metric writer, each with a row at least: what bounds them is the number of their rows.
const METRIC_CAPACITY: usize = 4_096;
const COMMIT_BATCH_MAX: usize = 16;

/// How long the metric writer may take for the rows that are left.
const METRIC_GRACE: Duration = Duration::from_secs(5);

/// How long one try of the metric writer may take before it is stuck; it gives the store less than this.
const METRIC_TRY_MAX: Duration = Duration::from_secs(60);

/// How long a turn may still take after the grace period.
const LAST_TURN: Duration = Duration::from_secs(1);

/// The running house. Started and drained on the thread of an actix System.
pub struct Pipeline {
    mailboxes: Mailboxes,
    intake: Edge<generator::Message>,
    generators: Supervisor,
    leaves: Leaves,
    tally: Arc<Tally>,
    /// Tells the metric writer to drop what the store has not taken yet.
    rows_given_up: CancellationToken,
}

struct Mailboxes {
    generator: Mailbox<generator::Message>,
    committer: Mailbox<committer::Message>,
    template_cache: Mailbox<template_cache::Message>,
    metric_writer: Mailbox<metric_writer::Message>,
}

/// Everything below the generators, in the order in which it is drained.
struct Leaves {
    committer: Supervisor,
    template_cache: Supervisor,
    metric_writer: Supervisor,
}

/// How a drain went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Events that were not done when the grace period ended; empty after a clean drain.
    pub leftovers: Vec<Leftover>,
}

impl Pipeline {
    pub fn start(config: &Config, ports: &Ports) -> Self {
        let mailboxes = Mailboxes::new(config, &ports.observer);
        let tally = Arc::new(Tally::default());
        let rows_given_up = CancellationToken::new();
        let leaves = Leaves::start(config, ports, &mailboxes, &tally, &rows_given_up);
        let mut generators = supervisor(config, ports);
        let edges = generator::Edges {
            template_cache: mailboxes.template_cache.edge(WhenFull::Wait),
            committer: mailboxes.committer.edge(WhenFull::Wait),
            metrics: mailboxes.recorder(config, &tally),
        };
        for worker in 0..config.workers {
            let (settings, edges, clock) = (config.generator.clone(), edges.clone(), Arc::clone(&ports.clock));
            let turn_max = config.generator.timeout + config.generator.grace;
            let policy = RestartPolicy::per_minute(config.worker_restarts_max).turn_max(turn_max);
            generators.start(format!("generator-{worker}"), mailboxes.generator.inbox(), policy, move || {
                Generator::new(settings.clone(), edges.clone(), Arc::clone(&clock))
            });
        }
        let intake = mailboxes.generator.edge(WhenFull::Wait);
        Self { mailboxes, intake, generators, leaves, tally, rows_given_up }
    }

    /// Where events come in; sending waits while the house is busy.
    pub fn intake(&self) -> Edge<generator::Message> {
        self.intake.clone()
    }

    /// Resolves when an actor was given up: drain, and end non-zero.
    pub fn escalation(&self) -> impl Future<Output = Escalation> + use<> {
        let generators = self.generators.escalation();
        let committer = self.leaves.committer.escalation();
        let template_cache = self.leaves.template_cache.escalation();
        let metric_writer = self.leaves.metric_writer.escalation();
        async move {
            tokio::select! {
                biased;
                escalation = generators => escalation,
                escalation = committer => escalation,
                escalation = template_cache => escalation,
                escalation = metric_writer => escalation,
            }
        }
    }

    /// Where the template cache is asked.
    pub fn template_cache(&self) -> Edge<template_cache::Message> {
        self.mailboxes.template_cache.edge(WhenFull::Wait)
    }

    /// Metric rows stored, refused and dropped.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Takes no more events, finishes what was accepted within `grace`, and stops. What is left then is named; metric rows
    /// among it are counted as dropped.
    pub async fn drain(mut self, grace: Duration) -> Drained {
        let in_time = tokio::time::timeout(grace, async {
            self.mailboxes.generator.close();
            self.generators.ended().await;
            self.mailboxes.committer.close();
            self.leaves.committer.ended().await;
            self.mailboxes.template_cache.close();
            self.leaves.template_cache.ended().await;
            // Measurements may not hold up the end of the work that they measure.
            self.mailboxes.metric_writer.close();
            if tokio::time::timeout(METRIC_GRACE, self.leaves.metric_writer.ended()).await.is_err() {
                self.rows_given_up.cancel();
                let _ = tokio::time::timeout(LAST_TURN, self.leaves.metric_writer.ended()).await;
            }
            self.leaves.metric_writer.stop();
        });
        if in_time.await.is_err() {
            self.rows_given_up.cancel();
            self.mailboxes.close();
            let leaves = &mut self.leaves;
            let all =
                [&mut self.generators, &mut leaves.committer, &mut leaves.template_cache, &mut leaves.metric_writer];
            all.iter().for_each(|supervisor| supervisor.stop());
            let turns = join_all(all.into_iter().map(Supervisor::ended));
            // A turn that does not end in this time is named as in hand.
            let _ = tokio::time::timeout(LAST_TURN, turns).await;
        }
        let rows = self.mailboxes.metric_writer.take_unfinished();
        self.tally.drop_rows(
            rows.iter()
                .map(|message| match &**message {
                    metric_writer::Message::Record(rows) => rows.len(),
                })
                .sum(),
        );
        Drained { leftovers: self.mailboxes.leftovers() }
    }
}

impl Mailboxes {
    fn new(config: &Config, observer: &Arc<dyn Observer>) -> Self {
        let limits = |capacity| MailboxLimits { capacity, attempts_max: config.attempts_max };
        Self {
            // Enough that no worker waits for the intake; little enough that a drain is short.
            generator: Mailbox::new(
                "generator",
                limits((config.workers * 16).min(config.workers * 4 + 64)),
                Arc::clone(observer),
            ),
            committer: Mailbox::new("committer", limits(COMMIT_BATCH_MAX), Arc::clone(observer)),
            // Only events have a retry policy: a question that breaks the cache is answered with that.
            template_cache: Mailbox::new(
                "template_cache",
                MailboxLimits { attempts_max: 1, ..limits(config.workers * 2) },
                Arc::clone(observer),
            ),
            metric_writer: Mailbox::new("metric_writer", limits(METRIC_CAPACITY), Arc::clone(observer)),
        }
    }

    fn recorder(&self, config: &Config, tally: &Arc<Tally>) -> Recorder {
        if !config.monitoring {
            return Recorder::off();
        }
        Recorder::new(self.metric_writer.edge(WhenFull::Drop), Arc::clone(tally))
    }

    fn close(&self) {
        self.generator.close();
        self.committer.close();
        self.template_cache.close();
        self.metric_writer.close();
    }

    fn leftovers(&self) -> Vec<Leftover> {
        self.generator.leftovers().into_iter().chain(self.committer.leftovers()).collect()
    }
}

impl Leaves {
    fn start(
        config: &Config,
        ports: &Ports,
        mailboxes: &Mailboxes,
        tally: &Arc<Tally>,
        rows_given_up: &CancellationToken,
    ) -> Self {
        let few = RestartPolicy::per_minute(20);

        let mut metric_writer = supervisor(config, ports);
        let (settings, seed) = (config.metric_writer, config.seed);
        let (metrics, counted, given_up) = (Arc::clone(&ports.metrics), Arc::clone(tally), rows_given_up.clone());
        let patient = few.turn_max(METRIC_TRY_MAX);
        metric_writer.start("metric_writer", mailboxes.metric_writer.inbox(), patient, move || {
            MetricWriter::new(settings, Arc::clone(&metrics), Arc::clone(&counted), given_up.clone(), seed)
        });
        let rows = mailboxes.recorder(config, tally);

        let mut template_cache = supervisor(config, ports);
        let (settings, templates) = (config.template_cache, Arc::clone(&ports.templates));
        let (clock, figures) = (Arc::clone(&ports.clock), rows.clone());
        let load_max = config.generator.template_load_timeout;
        let patient = few.turn_max(load_max * 2);
        template_cache.start("template_cache", mailboxes.template_cache.inbox(), patient, move || {
            let (templates, clock) = (Arc::clone(&templates), Arc::clone(&clock));
            TemplateCache::new(settings, templates, clock, figures.clone()).patience(load_max / 3)
        });

        // No limit for its turns: a disk that hangs is not cured by a second writer on the same paths.
        let mut committer = supervisor(config, ports);
        let workers = u32::try_from(config.workers).unwrap_or(u32::MAX);
        let settings = committer::Config { batch_max: COMMIT_BATCH_MAX, workers };
        let (packages, outcomes, clock) =
            (Arc::clone(&ports.packages), Arc::clone(&ports.outcomes), Arc::clone(&ports.clock));
        committer.start("committer", mailboxes.committer.inbox(), few, move || {
            let (packages, outcomes) = (Arc::clone(&packages), Arc::clone(&outcomes));
            Committer::new(settings, packages, outcomes, rows.clone(), Arc::clone(&clock))
        });
        Self { committer, template_cache, metric_writer }
    }
}

fn supervisor(config: &Config, ports: &Ports) -> Supervisor {
    Supervisor::new(config.placement, Arc::clone(&ports.observer), config.seed)
}
