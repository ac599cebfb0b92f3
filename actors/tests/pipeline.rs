//! The whole house on one thread with a paused clock and fakes for the world: what is promised of a job from intake to
//! outcome.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use actors::event::{Job, JobFailure, Outcome, Written};
use actors::generator::Message;
use actors::kit::{Handled, Observer, Placement};
use actors::metric::{Phase, Row};
use actors::pipeline::{Config, Drained, Pipeline, Ports};
use actors::ports::{
    Clock, MetricStore, Origin, OutcomeLog, PackText, Package, PackageStore, Stamp, StoreError, TemplateSource,
};
use async_trait::async_trait;
use uuid::Uuid;

/// The world, in memory.
#[derive(Default)]
struct World {
    packages: Mutex<BTreeMap<String, usize>>,
    outcomes: Mutex<Vec<Outcome>>,
    rows: Mutex<Vec<Row>>,
    template_reads: AtomicUsize,
    ids: AtomicUsize,
    database_down: AtomicBool,
    disk_delay: Mutex<Duration>,
    /// The store panics over a package of this name; `*` means any.
    disk_panics: Mutex<Option<&'static str>>,
    database_panics: AtomicBool,
    /// Jobs begun and not ended by the generators, and the most of them at one time.
    in_hand: AtomicUsize,
    in_hand_max: AtomicUsize,
}

const MANIFEST: &str =
    "name: tiny\nversion: '1'\ndescription: small\nfiles:\n  - {path: node.py, template: node.py.j2}\n";

fn text(file: &str, text: &str) -> PackText {
    let name = Arc::from(format!("tiny/{file}"));
    PackText { file: file.to_owned(), name, origin: Origin::Embedded, bytes: Arc::from(text.as_bytes()) }
}

#[async_trait]
impl TemplateSource for World {
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure> {
        assert!(pack != "explosive", "injected");
        if let Some(seconds) = pack.strip_prefix("slow-").and_then(|rest| rest.split('-').next()) {
            tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        }
        if pack == "tiny" || pack.starts_with("slow-") {
            return Ok(text("pack.yaml", MANIFEST));
        }
        Err(JobFailure::new("template", codegen::Diagnostic::new(pack, None, "no such pack")))
    }
    async fn template(&self, _: &str, name: &str) -> Result<PackText, JobFailure> {
        self.template_reads.fetch_add(1, Ordering::SeqCst);
        Ok(text(name, "A = 1\n"))
    }
    async fn stamps(&self, _: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>> {
        panic!("an embedded pack is never looked at: {names:?}")
    }
}

#[async_trait]
impl PackageStore for World {
    async fn commit(&self, packages: Vec<Arc<Package>>) -> Vec<Result<Written, JobFailure>> {
        let delay = *self.disk_delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        // Copied out: a panic may not poison the fake's own lock.
        let panics = *self.disk_panics.lock().unwrap();
        if let Some(name) = panics {
            assert!(name != "*" && packages.iter().all(|package| package.name != name), "injected");
        }
        let mut written = self.packages.lock().unwrap();
        packages
            .iter()
            .map(|package| {
                *written.entry(package.name.clone()).or_default() += 1;
                Ok(Written { files: 2, files_written: 2, files_kept: 0, bytes: 10, duration: delay })
            })
            .collect()
    }
}

#[async_trait]
impl OutcomeLog for World {
    async fn record(&self, outcomes: Vec<Outcome>) {
        self.outcomes.lock().unwrap().extend(outcomes);
    }
}

#[async_trait]
impl MetricStore for World {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        assert!(!self.database_panics.load(Ordering::SeqCst), "injected");
        if self.database_down.load(Ordering::SeqCst) {
            return Err(StoreError::Down("away".to_owned()));
        }
        self.rows.lock().unwrap().extend_from_slice(rows);
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        Uuid::from_u128(self.ids.fetch_add(1, Ordering::SeqCst) as u128)
    }
}

impl Observer for World {
    fn handled(&self, handled: &Handled) {
        if handled.mailbox == "generator" {
            self.in_hand.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn job(number: usize, contract: String) -> Message {
    Message::Generate(Job {
        event_id: Uuid::from_u128(1_000_000 + number as u128),
        session_id: Uuid::nil(),
        event_source: "cli",
        source: Arc::from(format!("c{number}.yaml")),
        contract: Arc::from(contract.into_bytes()),
        pack: Arc::from("tiny"),
    })
}

fn contract(number: usize) -> String {
    format!("name: node_{number}\nnode_type: COMPUTE_GENERIC\ncontract_version: {{major: 1, minor: 0, patch: 0}}\n")
}

fn config() -> Config {
    Config { placement: Placement::Single, ..Config::new(2) }
}

/// Sends the jobs and drains; what the world has seen afterwards.
fn run(world: &Arc<World>, config: &Config, jobs: Vec<Message>) -> Ended {
    let placement = config.placement;
    let system = actix_rt::System::with_tokio_rt(move || match placement {
        Placement::Single => {
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
        }
        Placement::Threads => tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap(),
    });
    system.block_on(async {
        let ports = Ports {
            templates: Arc::clone(world) as _,
            packages: Arc::clone(world) as _,
            outcomes: Arc::clone(world) as _,
            metrics: Arc::clone(world) as _,
            clock: Arc::clone(world) as _,
            observer: Arc::clone(world) as _,
        };
        let house = Pipeline::start(config, &ports);
        let (intake, tally) = (house.intake(), house.tally());
        let escalation = house.escalation();
        let feed = async {
            for job in jobs {
                // Refused where the house goes down meanwhile: that is looked at below.
                let _ = intake.send(job).await;
            }
        };
        // As an application does: it feeds the house until that goes down.
        tokio::select! {
            () = feed => {}
            _ = house.escalation() => {}
        }
        let started = tokio::time::Instant::now();
        let drained = house.drain(Duration::from_secs(3_600)).await;
        let escalated = tokio::time::timeout(Duration::ZERO, escalation).await.is_ok();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::SeqCst);
        let (stored, refused, dropped) = (count(&tally.stored), count(&tally.refused), count(&tally.dropped));
        Ended { drained, took: started.elapsed(), escalated, stored, refused, dropped }
    })
}

struct Ended {
    drained: Drained,
    took: Duration,
    escalated: bool,
    stored: u64,
    refused: u64,
    dropped: u64,
}

/// Panics that are meant say so; they need not be shown.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>().copied();
            if text != Some("injected") {
                shown(info);
            }
        }));
    });
}

fn causes(world: &World) -> BTreeMap<String, Option<&'static str>> {
    let outcomes = world.outcomes.lock().unwrap();
    let cause = |outcome: &Outcome| outcome.result.as_ref().err().map(|failure| failure.cause);
    outcomes.iter().map(|outcome| (outcome.source.to_string(), cause(outcome))).collect()
}

#[test]
fn every_job_ends_in_one_outcome_and_its_rows_add_up() {
    let world = Arc::new(World::default());
    let mut jobs: Vec<Message> = (0..50).map(|number| job(number, contract(number))).collect();
    jobs.push(job(50, "name: node_bad\nnode_type: WIDGET\n".to_owned()));
    let ended = run(&world, &config(), jobs);
    assert!(ended.drained.leftovers.is_empty(), "{:?}", ended.drained);
    let outcomes = world.outcomes.lock().unwrap();
    assert_eq!(outcomes.len(), 51);
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].cause == "contract" && failed[0].message().contains("c50.yaml:2:12"), "{failed:?}");
    assert_eq!(world.template_reads.load(Ordering::SeqCst), 1, "one load, then the cache");
    let rows = world.rows.lock().unwrap();
    let reports = rows.iter().filter(|row| matches!(row, Row::Template(_))).count();
    assert!(reports > 0);
    assert_eq!(rows.len() - reports, 50 * Phase::ALL.len() + 51);
    assert!(world.packages.lock().unwrap().values().all(|times| *times == 1));
}

#[test]
fn queue_wait_and_persistence_are_measured_not_invented() {
    let world = Arc::new(World::default());
    *world.disk_delay.lock().unwrap() = Duration::from_millis(40);
    run(&world, &config(), (0..3).map(|number| job(number, contract(number))).collect());
    let rows = world.rows.lock().unwrap();
    let persistence: Vec<_> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Phase(row) if row.phase == Phase::Persistence => Some(row.duration),
            _ => None,
        })
        .collect();
    assert_eq!(persistence, [Duration::from_millis(40); 3]);
    let totals = rows.iter().filter_map(|row| if let Row::Event(row) = row { Some(row.processing) } else { None });
    assert!(totals.into_iter().all(|total| total >= Duration::from_millis(40)));
}

#[test]
fn a_database_that_is_down_costs_rows_that_are_counted_and_no_package() {
    let world = Arc::new(World::default());
    world.database_down.store(true, Ordering::SeqCst);
    let ended = run(&world, &config(), (0..20).map(|number| job(number, contract(number))).collect());
    assert_eq!((ended.stored, ended.dropped), (0, 20 * 7 + 1), "and the report of one template");
    assert_eq!(world.packages.lock().unwrap().len(), 20);
    assert!(world.rows.lock().unwrap().is_empty());
}

#[test]
fn without_monitoring_no_row_is_made_stored_or_dropped() {
    let world = Arc::new(World::default());
    let config = Config { monitoring: false, ..config() };
    let ended = run(&world, &config, (0..20).map(|number| job(number, contract(number))).collect());
    assert_eq!((ended.stored, ended.dropped), (0, 0));
    assert_eq!(world.packages.lock().unwrap().len(), 20);
    assert!(world.rows.lock().unwrap().is_empty());
}

#[test]
fn each_broken_attempt_has_a_row_of_its_own() {
    quietly();
    let world = Arc::new(World::default());
    let mut config = config();
    config.generator.fault =
        Some(Arc::new(|job, attempt| assert!(&*job.source != "c1.yaml" || attempt > 2, "injected")));
    run(&world, &config, (0..3).map(|number| job(number, contract(number))).collect());
    assert_eq!(world.packages.lock().unwrap().len(), 3);
    let rows = world.rows.lock().unwrap();
    let mut attempts: Vec<_> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Event(row) if row.event_id == Uuid::from_u128(1_000_001) => Some((row.attempt, row.error.clone())),
            _ => None,
        })
        .collect();
    attempts.sort_by_key(|(attempt, _)| *attempt);
    let crash = Some(("crash".to_owned(), "panicked: injected".to_owned()));
    assert_eq!(attempts, [(1, crash.clone()), (2, crash), (3, None)]);
}

#[test]
fn an_unknown_pack_fails_the_job_not_the_worker() {
    let world = Arc::new(World::default());
    let Message::Generate(mut lost) = job(0, contract(0));
    lost.pack = Arc::from("nowhere");
    run(&world, &config(), vec![Message::Generate(lost), job(1, contract(1))]);
    assert_eq!(
        causes(&world),
        BTreeMap::from([("c0.yaml".to_owned(), Some("template")), ("c1.yaml".to_owned(), None)])
    );
}

#[test]
fn a_package_that_breaks_the_committer_ends_as_a_failure_and_the_others_are_written() {
    quietly();
    let world = Arc::new(World::default());
    *world.disk_panics.lock().unwrap() = Some("node_3");
    let ended = run(&world, &config(), (0..6).map(|number| job(number, contract(number))).collect());
    assert!(!ended.escalated && ended.drained.leftovers.is_empty());
    let causes = causes(&world);
    assert_eq!((causes.len(), causes["c3.yaml"]), (6, Some("crash")));
    assert_eq!(world.packages.lock().unwrap().len(), 5);
}

#[test]
fn a_committer_that_is_given_up_ends_the_house_at_once_and_every_job_is_named_or_ended() {
    quietly();
    let world = Arc::new(World::default());
    *world.disk_panics.lock().unwrap() = Some("*");
    let ended = run(&world, &config(), (0..300).map(|number| job(number, contract(number))).collect());
    assert!(ended.escalated);
    assert!(ended.took < Duration::from_secs(60), "the drain took {:?}", ended.took);
    assert!(!ended.drained.leftovers.is_empty());
    assert!(world.packages.lock().unwrap().is_empty());
}

#[test]
fn a_pack_that_breaks_the_template_cache_fails_its_jobs_and_no_others() {
    quietly();
    let world = Arc::new(World::default());
    let jobs = (0..12).map(|number| {
        let Message::Generate(mut job) = job(number, contract(number));
        if number % 4 == 0 {
            job.pack = Arc::from("explosive");
        }
        Message::Generate(job)
    });
    let ended = run(&world, &config(), jobs.collect());
    assert!(!ended.escalated && ended.drained.leftovers.is_empty());
    let causes = causes(&world);
    assert_eq!(causes.len(), 12);
    for (source, cause) in causes {
        let explosive = ["c0.yaml", "c4.yaml", "c8.yaml"].contains(&source.as_str());
        assert_eq!(cause, explosive.then_some("template"), "{source}");
    }
}

#[test]
fn contracts_that_break_their_worker_do_not_take_the_good_ones_with_them() {
    quietly();
    let world = Arc::new(World::default());
    let mut config = Config { workers: 1, ..config() };
    config.generator.fault = Some(Arc::new(|job, _| assert!(!job.source.starts_with("c1"), "injected")));
    let ended = run(&world, &config, (0..40).map(|number| job(number, contract(number))).collect());
    assert!(!ended.escalated);
    let causes = causes(&world);
    assert_eq!(causes.len(), 40);
    assert_eq!(causes.values().filter(|cause| **cause == Some("crash")).count(), 11, "c1 and c10 to c19");
}

#[test]
fn rows_that_break_their_store_are_counted_one_by_one() {
    quietly();
    let world = Arc::new(World::default());
    world.database_panics.store(true, Ordering::SeqCst);
    let ended = run(&world, &config(), (0..20).map(|number| job(number, contract(number))).collect());
    assert!(!ended.escalated);
    assert_eq!((ended.stored, ended.refused + ended.dropped), (0, 20 * 7 + 1));
    assert_eq!(world.packages.lock().unwrap().len(), 20);
}

#[test]
fn guide_19_jobs_that_hang_are_stopped_at_their_limit_and_the_others_finish() {
    for (workers, seconds) in [(2, 600), (4, 300), (8, 120)] {
        let world = Arc::new(World::default());
        let limit = Duration::from_secs(seconds);
        let mut config = Config { placement: Placement::Single, ..Config::new(workers) };
        config.generator.timeout = limit;
        // A job hangs on its templates, for longer than it has; nothing else may stop it first.
        config.generator.template_load_timeout = limit * 10;
        let begun = Arc::clone(&world);
        config.generator.fault = Some(Arc::new(move |_, _| {
            let now = begun.in_hand.fetch_add(1, Ordering::SeqCst) + 1;
            begun.in_hand_max.fetch_max(now, Ordering::SeqCst);
        }));
        let (hanging, good) = (workers * 2, workers * 3);
        let jobs = (0..hanging + good).map(|number| {
            let Message::Generate(mut job) = job(number, contract(number));
            if number < hanging {
                job.pack = Arc::from(format!("slow-{}-{number}", seconds + 1));
            }
            Message::Generate(job)
        });
        let ended = run(&world, &config, jobs.collect());
        assert!(!ended.escalated && ended.drained.leftovers.is_empty(), "{:?}", ended.drained);
        assert_eq!(world.in_hand_max.load(Ordering::SeqCst), workers);
        assert_eq!(world.packages.lock().unwrap().len(), good);
        let outcomes = world.outcomes.lock().unwrap();
        assert_eq!(outcomes.len(), hanging + good);
        let stopped: Vec<_> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
        assert_eq!(stopped.len(), hanging);
        for outcome in stopped {
            assert_eq!(outcome.result.as_ref().err().map(|failure| failure.cause), Some("timeout"));
            let over = outcome.timings.total.checked_sub(limit).expect("not before its limit");
            assert!(over < Duration::from_millis(10), "{over:?} over its limit of {limit:?}");
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it blocks its thread on purpose")]
fn a_job_that_blocks_its_worker_beyond_its_time_is_given_to_another_and_its_late_result_is_refused() {
    let world = Arc::new(World::default());
    let mut config = Config { placement: Placement::Threads, ..config() };
    config.generator.timeout = Duration::from_millis(100);
    config.generator.grace = Duration::from_millis(200);
    let back = Arc::new(AtomicUsize::new(0));
    let comes_back = Arc::clone(&back);
    config.generator.fault = Some(Arc::new(move |job, attempt| {
        if &*job.source == "c3.yaml" && attempt == 1 {
            std::thread::sleep(Duration::from_millis(900));
            comes_back.fetch_add(1, Ordering::SeqCst);
        }
    }));
    // The slow disk keeps the house open until the blocked worker is back with a result that nobody wants any more.
    let jobs = (0..8).map(|number| job(number, contract(number))).collect();
    *world.disk_delay.lock().unwrap() = Duration::from_millis(1_500);
    let ended = run(&world, &config, jobs);
    assert!(!ended.escalated && ended.drained.leftovers.is_empty(), "{:?}", ended.drained);
    assert_eq!(back.load(Ordering::SeqCst), 1, "the blocked worker has come back");
    let outcomes = world.outcomes.lock().unwrap();
    let attempts = outcomes.iter().map(|outcome| (outcome.source.to_string(), outcome.attempt, outcome.result.is_ok()));
    let expected = (0..8).map(|number| (format!("c{number}.yaml"), if number == 3 { 2 } else { 1 }, true));
    assert_eq!(attempts.collect::<std::collections::BTreeSet<_>>(), expected.collect());
    assert_eq!(outcomes.len(), 8, "one outcome each");
    let rows = world.rows.lock().unwrap();
    let stuck = rows.iter().filter(|row| match row {
        Row::Event(row) => row.error.as_ref().is_some_and(|(_, message)| message.contains("did not end its turn")),
        _ => false,
    });
    assert_eq!(stuck.count(), 1, "the lost attempt has a row of its own");
}
