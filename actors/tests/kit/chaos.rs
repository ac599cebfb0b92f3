//! Chaos: three senders, four workers that panic, fail, hang, are killed and hand over to a slow collector that panics
//! too, all mailboxes full; afterwards every message is accounted for.
//!
//! 200,000 messages in the suite. By hand, about three minutes:
//! `OMNINODE_CHAOS_MESSAGES=10000000 cargo test --release -p actors --test kit chaos -- --nocapture`, with
//! `OMNINODE_CHAOS_SEED` to repeat a run's faults.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actors::kit::{
    Ack, Actor, Backoff, Batch, BatchPolicy, DeadLetter, Edge, Envelope, Failure, Mailbox, MailboxLimits, Message,
    Observer, Placement, RestartCause, RestartPolicy, Supervisor, WhenFull,
};

use crate::house::{quietly, threads};

const SENDERS: usize = 3;
const WORKERS: usize = 4;
const ATTEMPTS_MAX: u32 = 4;

/// Long enough that a busy machine is not taken for a hang three times in a row.
const TURN_MAX: Duration = Duration::from_millis(250);

/// What goes wrong with a message, decided by its number and the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    PanicsOnce,
    FailsOnce,
    KillsItsArbiterOnce,
    BlocksItsThreadOnce,
    NeverWakesOnce,
    /// Poison: at the workers, or at the collector.
    PanicsAlways,
    PanicsAlwaysAtTheCollector,
    PanicsOnceAtTheCollector,
    SlowAtTheCollector,
}

#[derive(Clone, Copy)]
struct Script {
    seed: u64,
}

impl Script {
    fn fault(self, number: u64) -> Fault {
        let chance = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u32(0..100_000);
        match chance {
            0..200 => Fault::PanicsOnce,
            200..260 => Fault::FailsOnce,
            260..290 => Fault::KillsItsArbiterOnce,
            290..297 => Fault::BlocksItsThreadOnce,
            297..304 => Fault::NeverWakesOnce,
            304..324 => Fault::PanicsAlways,
            324..344 => Fault::PanicsAlwaysAtTheCollector,
            344..444 => Fault::PanicsOnceAtTheCollector,
            444..544 => Fault::SlowAtTheCollector,
            _ => Fault::None,
        }
    }

    fn is_poison(self, number: u64) -> bool {
        matches!(self.fault(number), Fault::PanicsAlways | Fault::PanicsAlwaysAtTheCollector)
    }
}

#[derive(Debug)]
struct Parcel(u64);

impl Message for Parcel {
    fn kind(&self) -> &'static str {
        "parcel"
    }
    fn subject(&self) -> String {
        self.0.to_string()
    }
}

/// What became of one message.
#[derive(Default)]
struct Record {
    /// Times it was begun at a worker, and at the collector.
    begun: [AtomicU8; 2],
    /// Times its result was accepted at the collector, and times it was buried.
    collected: AtomicU8,
    buried: AtomicU8,
    /// Its first handing-out at the workers; they are counted from 1.
    first_delivery: AtomicU64,
}

/// Everything that the actors write down.
struct Ledger {
    script: Script,
    records: Vec<Record>,
    restarts: [AtomicU32; 4],
    refused: AtomicU32,
}

impl Ledger {
    fn record(&self, number: u64) -> &Record {
        &self.records[usize::try_from(number).unwrap()]
    }

    /// Counts a try; whether it is the first.
    fn begin(&self, floor: usize, number: u64) -> bool {
        self.record(number).begun[floor].fetch_add(1, Ordering::Relaxed) == 0
    }
}

impl Observer for Ledger {
    fn restarted(&self, _: &str, cause: &RestartCause, _: Duration) {
        let cause = match cause {
            RestartCause::Panicked(_) => 0,
            RestartCause::Failed(_) => 1,
            RestartCause::Killed => 2,
            RestartCause::Stuck(_) => 3,
        };
        self.restarts[cause].fetch_add(1, Ordering::Relaxed);
    }
    fn refused_ack(&self, _: &'static str, _: &'static str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

struct Worker {
    ledger: Arc<Ledger>,
    collector: Edge<Parcel>,
    notes: Edge<Parcel>,
}

impl Worker {
    async fn handle_one(&self, envelope: &Envelope<Parcel>) -> Result<(), Failure> {
        let number = envelope.0;
        let first = self.ledger.begin(0, number);
        let _ = self.notes.send(Parcel(number)).await;
        match self.ledger.script.fault(number) {
            Fault::PanicsAlways => panic!("scripted: poison"),
            Fault::PanicsOnce if first => panic!("scripted: once"),
            Fault::FailsOnce if first => return Err(Failure::Broken("scripted".to_owned())),
            Fault::KillsItsArbiterOnce if first => {
                actix_rt::Arbiter::current().stop();
                std::future::pending::<()>().await;
            }
            Fault::BlocksItsThreadOnce if first => std::thread::sleep(TURN_MAX * 2),
            Fault::NeverWakesOnce if first => std::future::pending().await,
            _ => {}
        }
        let place = self.collector.reserve().await.map_err(|_| Failure::Stranded("the collector"))?;
        let _ = place.hand_over(envelope, Parcel(number));
        Ok(())
    }
}

impl Actor for Worker {
    type Message = Parcel;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: 4, linger: Duration::ZERO }
    }

    async fn handle(&mut self, batch: &Batch<Parcel>) -> Result<(), Failure> {
        for envelope in batch {
            let first = &self.ledger.record(envelope.0).first_delivery;
            // Refused where it was handed out before.
            let _ = first.compare_exchange(0, envelope.delivery(), Ordering::Relaxed, Ordering::Relaxed);
        }
        for envelope in batch {
            self.handle_one(envelope).await?;
        }
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Parcel>) -> Result<(), Failure> {
        self.ledger.record(letter.envelope.0).buried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Collector(Arc<Ledger>);

impl Actor for Collector {
    type Message = Parcel;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: 16, linger: Duration::ZERO }
    }

    async fn handle(&mut self, batch: &Batch<Parcel>) -> Result<(), Failure> {
        for envelope in batch {
            let number = envelope.0;
            let first = self.0.begin(1, number);
            match self.0.script.fault(number) {
                Fault::PanicsAlwaysAtTheCollector => panic!("scripted: poison"),
                Fault::PanicsOnceAtTheCollector if first => panic!("scripted: once"),
                Fault::SlowAtTheCollector => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => {}
            }
            if envelope.ack() == Ack::Accepted {
                self.0.record(number).collected.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Parcel>) -> Result<(), Failure> {
        self.0.record(letter.envelope.0).buried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes notes, too slowly.
struct NoteTaker(Arc<Mutex<u64>>);

impl Actor for NoteTaker {
    type Message = Parcel;
    async fn handle(&mut self, batch: &Batch<Parcel>) -> Result<(), Failure> {
        *self.0.lock().unwrap() += batch.len() as u64;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn chaos_loses_nothing_does_nothing_twice_and_buries_exactly_the_poison() {
    quietly();
    let messages = setting("OMNINODE_CHAOS_MESSAGES").unwrap_or(200_000);
    let seed = setting("OMNINODE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{messages} messages, seed {seed}");
    let script = Script { seed };
    let ledger = Arc::new(Ledger {
        script,
        records: (0..messages).map(|_| Record::default()).collect(),
        restarts: Default::default(),
        refused: AtomicU32::new(0),
    });
    let started = Instant::now();
    threads(storm(Arc::clone(&ledger), messages));
    let restarts = ledger.restarts.each_ref().map(|count| count.load(Ordering::Relaxed));
    let refused = ledger.refused.load(Ordering::Relaxed);
    println!(
        "{:.1} s; restarts: {} panics, {} errors, {} kills, {} hangs; {refused} late results refused",
        started.elapsed().as_secs_f64(),
        restarts[0],
        restarts[1],
        restarts[2],
        restarts[3],
    );
    assert!(restarts.iter().all(|&count| count > 0), "every kind of fault has happened");
    let mut last = [0; SENDERS];
    let mut poison = 0;
    for number in 0..messages {
        let record = ledger.record(number);
        let ends = (record.collected.load(Ordering::Relaxed), record.buried.load(Ordering::Relaxed));
        poison += u64::from(script.is_poison(number));
        let expected = if script.is_poison(number) { (0, 1) } else { (1, 0) };
        assert_eq!(ends, expected, "message {number}, {:?}: (collected, buried)", script.fault(number));
        let delivery = record.first_delivery.load(Ordering::Relaxed);
        let last = &mut last[usize::try_from(number).unwrap() % SENDERS];
        assert!(delivery > *last, "message {number} was first handed out before an earlier one of its sender");
        *last = delivery;
    }
    println!("lost 0, twice 0, {poison} dead letters for {poison} poisoned messages, first deliveries in order");
}

async fn storm(ledger: Arc<Ledger>, messages: u64) {
    let observer = Arc::clone(&ledger) as Arc<dyn Observer>;
    let mailbox = |name, capacity| {
        Mailbox::<Parcel>::new(name, MailboxLimits { capacity, attempts_max: ATTEMPTS_MAX }, Arc::clone(&observer))
    };
    let (inbox, outbox, notes) = (mailbox("workers", 64), mailbox("collector", 32), mailbox("notes", 8));
    let backoff = Backoff { base: Duration::from_micros(50), max: Duration::from_millis(1) };
    let policy = RestartPolicy { backoff, ..RestartPolicy::per_minute(10_000).turn_max(TURN_MAX) };
    let supervisor = || Supervisor::new(Placement::Threads, Arc::clone(&observer), ledger.script.seed);
    let (mut workers, mut below, mut aside) = (supervisor(), supervisor(), supervisor());
    let taken = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&taken);
    aside.start("notes", notes.inbox(), RestartPolicy::per_minute(1), move || NoteTaker(Arc::clone(&counted)));
    let collected = Arc::clone(&ledger);
    below.start("collector", outbox.inbox(), policy, move || Collector(Arc::clone(&collected)));
    for worker in 0..WORKERS {
        let (ledger, collector, notes) = (Arc::clone(&ledger), outbox.edge(WhenFull::Wait), notes.edge(WhenFull::Drop));
        workers.start(format!("worker-{worker}"), inbox.inbox(), policy, move || Worker {
            ledger: Arc::clone(&ledger),
            collector: collector.clone(),
            notes: notes.clone(),
        });
    }
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let edge = inbox.edge(WhenFull::Wait);
            tokio::spawn(async move {
                for number in (sender as u64..messages).step_by(SENDERS) {
                    edge.send(Parcel(number)).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    for (mailbox, supervisor) in [(inbox, &mut workers), (outbox, &mut below), (notes, &mut aside)] {
        mailbox.close();
        tokio::time::timeout(Duration::from_secs(120), supervisor.ended()).await.expect("drains");
        let stats = mailbox.stats();
        assert_eq!(stats.accepted, stats.acknowledged + stats.dead_letters, "{stats:?}");
        assert_eq!((stats.depth, stats.in_flight), (0, 0), "{stats:?}");
    }
    let tried: u64 = ledger.records.iter().map(|record| u64::from(record.begun[0].load(Ordering::Relaxed))).sum();
    assert!(*taken.lock().unwrap() < tried, "an edge that never waits has dropped what found no room");
}
