//! The metric writer behind its mailbox, on one thread with a paused clock: every row ends in exactly one count, whatever
//! the store does.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use actors::kit::{Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull};
use actors::metric::{EventRow, Row};
use actors::metric_writer::{Config, MetricWriter, ROWS_WAITING_MAX, Recorder, Tally};
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A store in memory that does as it is told.
#[derive(Default)]
struct Store {
    stored: Mutex<BTreeSet<Uuid>>,
    /// Rows that it will never take.
    bad: Mutex<BTreeSet<Uuid>>,
    /// Rows over which it panics.
    explosive: Mutex<BTreeSet<Uuid>>,
    down_until: Mutex<Option<Instant>>,
    gone: bool,
    /// Of each try.
    tries: Mutex<Vec<(Instant, usize)>>,
    random: Mutex<Option<fastrand::Rng>>,
    /// Tries that still get no answer.
    hanging: AtomicU64,
    takes: Option<Duration>,
}

impl Store {
    fn random_fault(&self) -> u32 {
        self.random.lock().unwrap().as_mut().map_or(100, |random| random.u32(0..12))
    }
}

#[async_trait]
impl MetricStore for Store {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.tries.lock().unwrap().push((Instant::now(), rows.len()));
        tokio::time::sleep(self.takes.unwrap_or(Duration::from_millis(3))).await;
        let hangs = |left: u64| left.checked_sub(1);
        if self.hanging.fetch_update(Ordering::SeqCst, Ordering::SeqCst, hangs).is_ok() {
            tokio::time::sleep(LONG * 24).await;
        }
        if self.gone {
            return Err(StoreError::Gone("closed".to_owned()));
        }
        if self.down_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Down("away".to_owned()));
        }
        let fault = self.random_fault();
        if fault == 0 {
            self.hanging.fetch_add(1, Ordering::SeqCst);
        }
        if fault == 1 {
            return Err(StoreError::Down("now and then".to_owned()));
        }
        let ids: Vec<Uuid> = rows.iter().map(Row::id).collect();
        let explosive = self.explosive.lock().unwrap().clone();
        assert!(!ids.iter().any(|id| explosive.contains(id)), "injected");
        if ids.iter().any(|id| self.bad.lock().unwrap().contains(id)) {
            return Err(StoreError::Refused("a constraint".to_owned()));
        }
        self.stored.lock().unwrap().extend(ids);
        // Stored, and nobody knows: it will be sent again.
        if fault == 2 { Err(StoreError::Down("the answer was lost".to_owned())) } else { Ok(()) }
    }
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn row(number: u64) -> Row {
    Row::Event(EventRow {
        id: id(number),
        event_id: id(number),
        attempt: 1,
        event_type: "node.generate",
        event_source: "cli",
        processing: Duration::ZERO,
        queue_wait: Duration::ZERO,
        error: None,
        created_at: SystemTime::UNIX_EPOCH,
    })
}

struct House {
    recorder: Recorder,
    given_up: CancellationToken,
    mailbox: Mailbox<actors::metric_writer::Message>,
    supervisor: Supervisor,
    tally: Arc<Tally>,
}

impl House {
    fn new(store: &Arc<Store>, capacity: usize, seed: u64) -> Self {
        Self::with(store, capacity, seed, RestartPolicy::per_minute(20))
    }

    fn with(store: &Arc<Store>, capacity: usize, seed: u64, policy: RestartPolicy) -> Self {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let mailbox = Mailbox::new("metric_writer", MailboxLimits { capacity, attempts_max: 3 }, Arc::clone(&observer));
        let mut supervisor = Supervisor::new(Placement::Single, observer, seed);
        let (tally, given_up) = (Arc::new(Tally::default()), CancellationToken::new());
        let recorder = Recorder::new(mailbox.edge(WhenFull::Drop), Arc::clone(&tally));
        let (store, counted, token) = (Arc::clone(store), Arc::clone(&tally), given_up.clone());
        supervisor.start("metric_writer", mailbox.inbox(), policy, move || {
            MetricWriter::new(Config::default(), Arc::clone(&store) as _, Arc::clone(&counted), token.clone(), seed)
        });
        Self { recorder, given_up, mailbox, supervisor, tally }
    }

    /// Closes the mailbox and waits for the writer; stored, refused, dropped.
    async fn drain(mut self, grace: Duration) -> (u64, u64, u64) {
        self.mailbox.close();
        if tokio::time::timeout(grace, self.supervisor.ended()).await.is_err() {
            self.given_up.cancel();
            // The try in hand is let end, or is taken for one that hangs.
            let ended = tokio::time::timeout(Duration::from_secs(11), self.supervisor.ended()).await;
            ended.expect("it ends at once when it is told to give up");
        }
        let stats = self.mailbox.stats();
        assert_eq!((stats.depth, stats.in_flight, stats.dead_letters), (0, 0, 0), "{stats:?}");
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        (count(&self.tally.stored), count(&self.tally.refused), count(&self.tally.dropped))
    }
}

fn paused(test: impl Future<Output = ()>) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>().copied() != Some("injected") {
                shown(info);
            }
        }));
    });
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(test);
}

const LONG: Duration = Duration::from_secs(3_600);

#[test]
fn rows_are_written_together_up_to_a_thousand_or_when_the_first_has_waited_long_enough() {
    paused(async {
        let store = Arc::new(Store::default());
        let house = House::new(&store, 4_096, 1);
        for number in 0..500 {
            house.recorder.record((0..7).map(|row_number| row(number * 7 + row_number)).collect()).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sizes: Vec<usize> = store.tries.lock().unwrap().iter().map(|(_, rows)| *rows).collect();
        assert_eq!(sizes, [994, 994, 994, 518]);
        let asked_at = Instant::now();
        house.recorder.record(vec![row(9_000)]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (last, rows) = *store.tries.lock().unwrap().last().unwrap();
        assert_eq!((rows, last - asked_at), (1, Config::default().flush_after));
        assert_eq!(house.drain(LONG).await, (3_501, 0, 0));
    });
}

#[test]
fn a_store_that_is_away_is_tried_until_it_is_back_and_no_row_is_lost() {
    paused(async {
        let store = Arc::new(Store::default());
        *store.down_until.lock().unwrap() = Some(Instant::now() + LONG * 5);
        let house = House::new(&store, 4_096, 2);
        for number in 0..3_000 {
            house.recorder.record(vec![row(number)]).await;
        }
        tokio::time::sleep(LONG * 6).await;
        let tries = store.tries.lock().unwrap().clone();
        let delays: Vec<Duration> = tries.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(tries.len() > 10_000, "five hours, a try a second or so: {}", tries.len());
        assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(2_010)), "{:?}", delays.iter().max());
        assert_eq!(house.drain(LONG).await, (3_000, 0, 0));
    });
}

#[test]
fn while_the_store_is_away_memory_is_bounded_and_what_finds_no_room_is_counted() {
    paused(async {
        let store = Arc::new(Store::default());
        *store.down_until.lock().unwrap() = Some(Instant::now() + LONG);
        let house = House::new(&store, 100, 3);
        for number in 0..10_000 {
            house.recorder.record(vec![row(number)]).await;
            if number % 100 == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let stats = house.mailbox.stats();
        assert!(stats.depth <= 100 && stats.in_flight <= Config::default().rows_max, "{stats:?}");
        let dropped = house.tally.dropped.load(Ordering::SeqCst);
        assert!(dropped > 9_000, "{dropped}");
        tokio::time::sleep(LONG).await;
        let (stored, refused, dropped) = house.drain(LONG).await;
        assert_eq!((stored + dropped, refused), (10_000, 0));
        assert_eq!(stored, store.stored.lock().unwrap().len() as u64);
    });
}

#[test]
fn large_messages_are_bounded_by_their_rows_and_make_room_when_they_are_stored() {
    paused(async {
        let store = Arc::new(Store::default());
        *store.down_until.lock().unwrap() = Some(Instant::now() + LONG);
        let house = House::new(&store, 4_096, 3);
        let rows = |message: u64| (0..1_000).map(|number| row(message * 1_000 + number)).collect();
        let mut taken = 0;
        for message in 0..100 {
            taken += u64::from(house.recorder.record(rows(message)).await);
        }
        assert_eq!(taken, ROWS_WAITING_MAX / 1_000);
        tokio::time::sleep(LONG * 2).await;
        for message in 100..100 + taken {
            assert!(house.recorder.record(rows(message)).await, "what was stored waits no more");
        }
        assert!(!house.recorder.record(rows(1_000)).await);
        assert_eq!(house.drain(LONG).await, (taken * 2_000, 0, (101 - taken) * 1_000));
    });
}

#[test]
fn at_the_end_of_the_house_what_the_store_has_not_taken_is_counted_as_dropped() {
    paused(async {
        let store = Arc::new(Store::default());
        *store.down_until.lock().unwrap() = Some(Instant::now() + LONG);
        let house = House::new(&store, 4_096, 4);
        for number in 0..2_500 {
            house.recorder.record(vec![row(number)]).await;
        }
        let closed_at = Instant::now();
        assert_eq!(house.drain(Duration::from_secs(5)).await, (0, 0, 2_500));
        assert!(closed_at.elapsed() <= Duration::from_millis(5_100), "{:?}", closed_at.elapsed());
    });
}

#[test]
fn a_store_that_is_gone_for_good_costs_no_time() {
    paused(async {
        let store = Arc::new(Store { gone: true, ..Store::default() });
        let house = House::new(&store, 4_096, 5);
        for number in 0..2_500 {
            house.recorder.record(vec![row(number)]).await;
        }
        let closed_at = Instant::now();
        assert_eq!(house.drain(LONG).await, (0, 0, 2_500));
        assert!(closed_at.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_row_that_is_refused_stands_alone_in_the_end_and_the_others_are_stored() {
    paused(async {
        let store = Arc::new(Store::default());
        store.bad.lock().unwrap().insert(id(617));
        let house = House::new(&store, 4_096, 6);
        for number in 0..1_000 {
            house.recorder.record(vec![row(number)]).await;
        }
        assert_eq!(house.drain(LONG).await, (999, 1, 0));
        assert!(!store.stored.lock().unwrap().contains(&id(617)));
        let tries = store.tries.lock().unwrap().len();
        assert!(tries <= 22, "halved, not tried one by one: {tries}");
    });
}

#[test]
fn a_row_over_which_the_store_always_panics_is_refused_alone_too() {
    paused(async {
        let store = Arc::new(Store::default());
        store.explosive.lock().unwrap().extend([id(3), id(400)]);
        let house = House::new(&store, 4_096, 7);
        for number in 0..500 {
            house.recorder.record(vec![row(number)]).await;
        }
        assert_eq!(house.drain(LONG).await, (498, 2, 0));
    });
}

#[test]
fn a_store_that_gives_no_answer_is_asked_again() {
    paused(async {
        let store = Arc::new(Store { hanging: AtomicU64::new(2), ..Store::default() });
        let house = House::new(&store, 4_096, 8);
        for number in 0..20 {
            house.recorder.record(vec![row(number)]).await;
        }
        assert_eq!(house.drain(Duration::from_secs(30)).await, (20, 0, 0));
        assert_eq!(store.tries.lock().unwrap().len(), 3);
    });
}

#[test]
fn a_writer_that_is_ousted_in_the_middle_of_a_write_counts_its_rows_once() {
    paused(async {
        let store = Arc::new(Store { hanging: AtomicU64::new(1), ..Store::default() });
        let policy = RestartPolicy::per_minute(20).turn_max(Duration::from_secs(5));
        let house = House::with(&store, 4_096, 9, policy);
        for number in 0..20 {
            house.recorder.record(vec![row(number), row(100 + number)]).await;
        }
        assert_eq!(house.drain(LONG * 48).await, (40, 0, 0));
        assert!(store.tries.lock().unwrap().len() > 1);
    });
}

#[test]
fn a_write_that_is_under_way_when_the_house_ends_is_counted_as_what_it_becomes() {
    paused(async {
        let store = Arc::new(Store { takes: Some(Duration::from_millis(800)), ..Store::default() });
        let house = House::new(&store, 4_096, 10);
        for number in 0..2_000 {
            house.recorder.record(vec![row(number)]).await;
        }
        // Two writes, and the end comes in the middle of the first.
        assert_eq!(house.drain(Duration::from_millis(600)).await, (1_000, 0, 1_000));
        assert_eq!(store.stored.lock().unwrap().len(), 1_000);
    });
}

#[test]
fn what_is_counted_as_left_at_the_end_is_not_counted_again_by_a_writer_that_comes_back() {
    paused(async {
        let store = Arc::new(Store { takes: Some(Duration::from_secs(8)), ..Store::default() });
        let mut house = House::new(&store, 4_096, 11);
        house.recorder.record(vec![row(1), row(2)]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        house.mailbox.close();
        let left = house.mailbox.take_unfinished();
        assert_eq!(left.len(), 1);
        house.supervisor.ended().await;
        assert_eq!(store.stored.lock().unwrap().len(), 2, "it was under way");
        assert_eq!(house.tally.stored.load(Ordering::SeqCst), 0, "and is the counter's who took it away");
        assert_eq!(house.mailbox.take_unfinished().len(), 1);
    });
}

/// A store that is down, hangs, loses its answers and panics, with bad rows in random batches.
#[test]
fn every_row_ends_in_exactly_one_count_and_exactly_the_bad_ones_are_refused() {
    for _ in 0..40 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        paused(async {
            let store = Arc::new(Store::default());
            *store.random.lock().unwrap() = Some(fastrand::Rng::with_seed(seed ^ 1));
            let house = House::new(&store, random.usize(1..400), seed);
            let (mut made, mut bad) = (0, BTreeSet::new());
            for _ in 0..random.usize(1..600) {
                let mut rows = Vec::new();
                for _ in 0..random.usize(0..8) {
                    if random.u32(0..40) == 0 {
                        bad.insert(id(made));
                        let kind = if random.bool() { &store.bad } else { &store.explosive };
                        kind.lock().unwrap().insert(id(made));
                    }
                    rows.push(row(made));
                    made += 1;
                }
                house.recorder.record(rows).await;
                match random.u32(0..50) {
                    0 => tokio::time::sleep(Duration::from_millis(random.u64(0..3_000))).await,
                    1 => {
                        let away = Duration::from_millis(random.u64(0..20_000));
                        *store.down_until.lock().unwrap() = Some(Instant::now() + away);
                    }
                    _ => {}
                }
            }
            let in_time = random.bool();
            let grace = if in_time { LONG } else { Duration::from_millis(random.u64(0..500)) };
            let dropped_before = house.tally.dropped.load(Ordering::SeqCst);
            let (stored, refused, dropped) = house.drain(grace).await;
            assert_eq!(stored + refused + dropped, made, "seed {seed}");
            let found = store.stored.lock().unwrap();
            assert!(found.is_disjoint(&bad), "seed {seed}: a bad row was stored");
            // A row whose answer was lost is stored and, at the end of the house, counted as dropped.
            assert!(stored <= found.len() as u64, "seed {seed}");
            if in_time {
                assert_eq!((stored, dropped), (found.len() as u64, dropped_before), "seed {seed}");
            }
            if in_time && dropped == 0 {
                assert_eq!(refused, bad.len() as u64, "seed {seed}");
            }
            assert!(refused <= bad.len() as u64, "seed {seed}: a good row was refused");
        });
    }
}
