//! The simulation: the whole house on one thread with a paused clock, in a world that misbehaves by a seed. Whatever it
//! does, every job ends in one outcome and every row in one count; and the same seed gives the same run, line by line.
//!
//! To see one run: `OMNINODE_SIMULATION_SEED=7 cargo test -p actors --test simulation -- --nocapture`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "the seed of a run by hand comes from the environment")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use actors::event::{Job, JobFailure, Outcome, Written};
use actors::generator::Message;
use actors::kit::{Observer, Placement, RestartCause};
use actors::metric::Row;
use actors::pipeline::{Config, Pipeline, Ports};
use actors::ports::{
    Clock, MANIFEST, MetricStore, Origin, OutcomeLog, PackText, Package, PackageStore, Stamp, StoreError,
    TemplateSource,
};
use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const JOBS: usize = 80;

/// A world that misbehaves, and writes down what it saw and when.
struct World {
    seed: u64,
    random: Mutex<fastrand::Rng>,
    started: OnceLock<Instant>,
    lines: Mutex<Vec<String>>,
    outcomes: Mutex<BTreeMap<Uuid, Vec<Option<&'static str>>>>,
    /// How often the templates on the simulated disk have changed.
    version: Mutex<u64>,
    ids: Mutex<u128>,
}

/// What a job does to its worker, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    BreaksOnce,
    BreaksAlways,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            started: OnceLock::new(),
            lines: Mutex::default(),
            outcomes: Mutex::default(),
            version: Mutex::default(),
            ids: Mutex::default(),
        })
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        let at = self.started.get().map(|started| started.elapsed()).unwrap_or_default();
        self.lines.lock().unwrap().push(format!("{:>10.3} {what}", at.as_secs_f64()));
    }

    /// Happens once in so many times.
    fn once_in(&self, times: u32) -> bool {
        self.random.lock().unwrap().u32(0..times) == 0
    }

    async fn takes_time(&self, at_most_ms: u64) {
        let time = self.random.lock().unwrap().u64(0..=at_most_ms);
        sleep(Duration::from_millis(time)).await;
    }

    fn mood(&self, job: &Job) -> Mood {
        let number = u64::try_from(job.event_id.as_u128()).unwrap();
        match fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u32(0..100) {
            0..8 => Mood::BreaksOnce,
            8..11 => Mood::BreaksAlways,
            _ => Mood::Good,
        }
    }

    fn stamp(&self) -> Stamp {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(*self.version.lock().unwrap());
        Stamp { modified: at, changed: at, bytes: 1, device: 1, inode: 1, settled: true }
    }

    fn text(&self, pack: &str, name: &str, text: String) -> PackText {
        PackText {
            file: format!("{pack}/{name}"),
            name: Arc::from(format!("{pack}/{name}")),
            origin: Origin::File { path: format!("/{pack}/{name}"), stamp: self.stamp() },
            bytes: Arc::from(text.into_bytes()),
        }
    }
}

#[async_trait]
impl TemplateSource for World {
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure> {
        self.takes_time(20).await;
        assert!(!self.once_in(30), "scripted: the disk of templates");
        let text = format!("name: {pack}\nversion: '1'\nfiles:\n  - {{path: node.py, template: node.py.j2}}\n");
        Ok(self.text(pack, MANIFEST, text))
    }
    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        self.takes_time(20).await;
        if self.once_in(30) {
            self.note(format_args!("the disk hangs over {pack}/{name}"));
            std::future::pending::<()>().await;
        }
        Ok(self.text(pack, name, format!("A = {}\n", self.version.lock().unwrap())))
    }
    async fn stamps(&self, _: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>> {
        if self.once_in(10) {
            *self.version.lock().unwrap() += 1;
        }
        names.iter().map(|_| Some(self.stamp())).collect()
    }
}

#[async_trait]
impl PackageStore for World {
    async fn commit(&self, packages: Vec<Arc<Package>>) -> Vec<Result<Written, JobFailure>> {
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        self.note(format_args!("writes {}", names.join(" ")));
        self.takes_time(50).await;
        assert!(!self.once_in(25), "scripted: the disk of packages");
        let written =
            Written { files: 1, files_written: 1, files_kept: 0, bytes: 6, duration: Duration::from_millis(1) };
        packages.iter().map(|_| Ok(written)).collect()
    }
}

#[async_trait]
impl OutcomeLog for World {
    async fn record(&self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            let cause = outcome.result.as_ref().err().map(|failure| failure.cause);
            self.note(format_args!(
                "{} ends: {} at attempt {}",
                outcome.source,
                cause.unwrap_or("ok"),
                outcome.attempt
            ));
            self.outcomes.lock().unwrap().entry(outcome.event_id).or_default().push(cause);
        }
    }
}

#[async_trait]
impl MetricStore for World {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.takes_time(30).await;
        assert!(!self.once_in(20), "scripted: the database");
        if self.once_in(3) {
            return Err(StoreError::Down("away".to_owned()));
        }
        self.note(format_args!("stores {} rows", rows.len()));
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        let mut ids = self.ids.lock().unwrap();
        *ids += 1;
        Uuid::from_u128(*ids)
    }
}

impl Observer for World {
    fn restarted(&self, actor: &str, cause: &RestartCause, delay: Duration) {
        self.note(format_args!("{actor} {cause}; again in {delay:?}"));
    }
    fn dead_letter(&self, mailbox: &'static str, subject: &str, attempts: u32, reason: &str) {
        self.note(format_args!("{subject} in {mailbox} is a dead letter after {attempts} attempts: {reason}"));
    }
    fn backpressure(&self, mailbox: &'static str, kind: &'static str, waited: Duration) {
        self.note(format_args!("{kind} waited {waited:?} for {mailbox}"));
    }
}

/// A run of the house in a world of this seed: what it wrote down.
fn run(seed: u64) -> String {
    let world = World::new(seed);
    let system = actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(live(&world));
    world.lines.lock().unwrap().iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    })
}

async fn live(world: &Arc<World>) {
    world.started.set(Instant::now()).unwrap();
    let mut config = Config { placement: Placement::Single, seed: world.seed, ..Config::new(3) };
    let moody = Arc::clone(world);
    config.generator.fault = Some(Arc::new(move |job, attempt| match moody.mood(job) {
        Mood::BreaksAlways => panic!("scripted: always"),
        Mood::BreaksOnce if attempt == 1 => panic!("scripted: once"),
        _ => {}
    }));
    let ports = Ports {
        templates: Arc::clone(world) as _,
        packages: Arc::clone(world) as _,
        outcomes: Arc::clone(world) as _,
        metrics: Arc::clone(world) as _,
        clock: Arc::clone(world) as _,
        observer: Arc::clone(world) as _,
    };
    let house = Pipeline::start(&config, &ports);
    let (intake, tally) = (house.intake(), house.tally());
    let mut jobs = BTreeMap::new();
    for number in 0..JOBS {
        let contract = format!(
            "name: node_{number}\nnode_type: COMPUTE_GENERIC\ncontract_version: {{major: 1, minor: 0, patch: 0}}\n"
        );
        let job = Job {
            event_id: Uuid::from_u128(number as u128),
            session_id: Uuid::nil(),
            event_source: "cli",
            source: Arc::from(format!("job {number}")),
            contract: Arc::from(contract.into_bytes()),
            pack: Arc::from(["one", "two", "three"][number % 3]),
        };
        jobs.insert(job.event_id, world.mood(&job));
        world.takes_time(10).await;
        intake.send(Message::Generate(job)).await.expect("the house takes jobs");
    }
    let drained = house.drain(Duration::from_secs(3_600)).await;
    assert_eq!(drained.leftovers, [], "seed {}", world.seed);
    let outcomes = world.outcomes.lock().unwrap().clone();
    for (id, mood) in jobs {
        let ends = outcomes.get(&id).map(Vec::as_slice).unwrap_or_default();
        let right = match (mood, ends) {
            (Mood::BreaksAlways, [cause]) => *cause == Some("crash"),
            // What the disks did to it may have cost it its attempts, or its time.
            (_, [cause]) => matches!(cause, None | Some("crash" | "template")),
            _ => false,
        };
        assert!(right, "seed {}: job {id}, {mood:?}, ended in {ends:?}", world.seed);
    }
    let counts = [&tally.stored, &tally.dropped, &tally.refused].map(|count| count.load(Ordering::SeqCst));
    world.note(format_args!("rows stored, dropped, refused: {counts:?}"));
    let rows_at_least = (outcomes.len()) as u64;
    assert!(counts.iter().sum::<u64>() >= rows_at_least, "seed {}: {counts:?}", world.seed);
}

fn quietly() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        if !text.is_some_and(|text| text.starts_with("scripted")) {
            shown(info);
        }
    }));
}

#[test]
fn whatever_the_world_does_every_job_ends_once_and_a_seed_repeats_its_run_to_the_letter() {
    quietly();
    if let Ok(seed) = std::env::var("OMNINODE_SIMULATION_SEED") {
        println!("{}", run(seed.parse().expect("OMNINODE_SIMULATION_SEED is a number")));
        return;
    }
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + 19);
    let mut runs = Vec::new();
    for seed in first..first + 20 {
        let (once, again) = (run(seed), run(seed));
        let differs = once.lines().zip(again.lines()).find(|(a, b)| a != b);
        assert!(once == again, "seed {seed} gave two runs; they part at {differs:#?}");
        runs.push(once);
    }
    let all = runs.concat();
    for what in ["dead letter", "panicked", "waited", "the disk hangs", "stores"] {
        assert!(all.contains(what), "in no run: {what}");
    }
    runs.dedup();
    assert_eq!(runs.len(), 20, "different seeds give different runs");
}
