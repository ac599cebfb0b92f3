//! Actors that hang: their messages go to the next incarnation, and whatever they still do counts for nothing.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::kit::{
    Ack, Actor, Batch, DeadLetter, Edge, Failure, Mailbox, MailboxLimits, Observer, Placement, RestartCause,
    RestartPolicy, Silent, Supervisor, WhenFull, progress,
};

use crate::house::{LIMITS, Work, quietly, single, threads};

/// What hung actors and their observers have seen.
#[derive(Default)]
struct Seen {
    done: Mutex<Vec<u64>>,
    buried: Mutex<Vec<(u64, String)>>,
    late: AtomicUsize,
    built: AtomicU32,
    causes: Mutex<Vec<RestartCause>>,
}

impl Observer for Seen {
    fn restarted(&self, _: &str, cause: &RestartCause, _: Duration) {
        self.causes.lock().unwrap().push(cause.clone());
    }
    fn refused_ack(&self, _: &'static str, _: &'static str) {
        self.late.fetch_add(1, Ordering::SeqCst);
    }
}

type Script = fn(u64, u32) -> Then;

enum Then {
    Done,
    /// Blocks its thread for so long.
    Blocks(Duration),
    /// Awaits what never comes.
    NeverWakes,
    /// Takes so many steps of 60 ms, and says each time that it goes on.
    Works(u32),
}

struct Hanging {
    seen: Arc<Seen>,
    script: Script,
}

impl Actor for Hanging {
    type Message = Work;

    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        for envelope in batch {
            let Work::Number(number) = **envelope else { continue };
            match (self.script)(number, envelope.attempt()) {
                Then::Done => {}
                Then::Blocks(time) => std::thread::sleep(time),
                Then::NeverWakes => std::future::pending().await,
                Then::Works(steps) => {
                    for _ in 0..steps {
                        tokio::time::sleep(Duration::from_millis(60)).await;
                        progress();
                    }
                }
            }
            if envelope.ack() == Ack::Accepted {
                self.seen.done.lock().unwrap().push(number);
            }
        }
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Work>) -> Result<(), Failure> {
        let Work::Number(number) = **letter.envelope else { return Ok(()) };
        self.seen.buried.lock().unwrap().push((number, letter.last.reason.to_string()));
        Ok(())
    }
}

struct House {
    mailbox: Mailbox<Work>,
    supervisor: Supervisor,
    seen: Arc<Seen>,
}

fn house(placement: Placement, turn_max: Duration, script: Script) -> House {
    let seen = Arc::new(Seen::default());
    let observer = Arc::clone(&seen) as Arc<dyn Observer>;
    let mailbox = Mailbox::new("hanging", LIMITS, Arc::clone(&observer));
    let mut supervisor = Supervisor::new(placement, observer, 1);
    let built = Arc::clone(&seen);
    let policy = RestartPolicy::per_minute(100).turn_max(turn_max);
    supervisor.start("hanging", mailbox.inbox(), policy, move || {
        built.built.fetch_add(1, Ordering::SeqCst);
        Hanging { seen: Arc::clone(&built), script }
    });
    House { mailbox, supervisor, seen }
}

impl House {
    async fn feed(&self, numbers: std::ops::Range<u64>) {
        let edge = self.mailbox.edge(WhenFull::Wait);
        for number in numbers {
            edge.send(Work::Number(number)).await.unwrap();
        }
    }

    async fn drain(&mut self) {
        self.mailbox.close();
        tokio::time::timeout(Duration::from_secs(60), self.supervisor.ended()).await.expect("drains within a minute");
        let stats = self.mailbox.stats();
        assert_eq!(stats.accepted, stats.acknowledged + stats.dead_letters, "{stats:?}");
    }
}

/// Opened by a test when it has seen enough.
static GATE: AtomicBool = AtomicBool::new(false);

#[test]
fn from_an_actor_that_blocks_its_thread_the_message_is_taken_and_the_late_acknowledgement_is_refused() {
    threads(async {
        let limit = Duration::from_millis(100);
        let mut house = house(Placement::Threads, limit, |number, attempt| {
            while (number, attempt) == (1, 1) && !GATE.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Then::Done
        });
        house.feed(0..4).await;
        house.drain().await;
        assert_eq!(*house.seen.done.lock().unwrap(), [0, 1, 2, 3], "each once, before the hung one comes back");
        assert!(house.seen.causes.lock().unwrap().contains(&RestartCause::Stuck(limit)));
        assert_eq!(house.seen.late.load(Ordering::SeqCst), 0);
        GATE.store(true, Ordering::SeqCst);
        let waits = tokio::time::timeout(Duration::from_secs(10), async {
            while house.seen.late.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waits.await.expect("it comes back, and is refused");
        assert_eq!(house.seen.done.lock().unwrap().len(), 4);
    });
}

#[test]
fn from_an_actor_that_waits_for_ever_the_message_is_taken_at_the_limit_to_the_millisecond() {
    single(async {
        let limit = Duration::from_secs(30);
        let mut house = house(Placement::Single, limit, |number, attempt| match (number, attempt) {
            (1, 1) => Then::NeverWakes,
            _ => Then::Done,
        });
        let started = tokio::time::Instant::now();
        house.feed(0..3).await;
        house.drain().await;
        assert_eq!(*house.seen.done.lock().unwrap(), [0, 1, 2]);
        assert_eq!(started.elapsed(), limit);
        assert_eq!(house.seen.built.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_message_that_hangs_its_actor_every_time_is_a_dead_letter_with_that_reason() {
    single(async {
        let mut house = house(Placement::Single, Duration::from_secs(5), |number, _| match number {
            1 => Then::NeverWakes,
            _ => Then::Done,
        });
        house.feed(0..3).await;
        house.drain().await;
        assert_eq!(*house.seen.done.lock().unwrap(), [0, 2]);
        assert_eq!(*house.seen.buried.lock().unwrap(), [(1, "did not end its turn within 5s".to_owned())]);
    });
}

#[test]
fn a_long_turn_that_says_that_it_goes_on_is_not_stuck() {
    single(async {
        let mut house = house(Placement::Single, Duration::from_millis(100), |_, _| Then::Works(50));
        house.feed(0..2).await;
        house.drain().await;
        assert_eq!(*house.seen.done.lock().unwrap(), [0, 1]);
        assert_eq!(house.seen.built.load(Ordering::SeqCst), 1);
    });
}

/// Passes numbers on.
struct Passing(Edge<Work>);

impl Actor for Passing {
    type Message = Work;
    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        let Work::Number(number) = *batch[0] else { return Ok(()) };
        let place = self.0.reserve().await.map_err(|_| Failure::Stranded("the next one"))?;
        let _ = place.hand_over(&batch[0], Work::Number(number));
        Ok(())
    }
}

#[test]
fn waiting_for_a_full_neighbour_is_not_being_stuck() {
    single(async {
        let seen = Arc::new(Seen::default());
        let observer = Arc::clone(&seen) as Arc<dyn Observer>;
        let limits = MailboxLimits { capacity: 1, attempts_max: 1 };
        let (above, below) = (
            Mailbox::new("above", LIMITS, Arc::clone(&observer)),
            Mailbox::new("below", limits, Arc::clone(&observer)),
        );
        let mut supervisor = Supervisor::new(Placement::Single, observer, 1);
        let edge = below.edge(WhenFull::Wait);
        let policy = RestartPolicy::per_minute(3).turn_max(Duration::from_secs(1));
        supervisor.start("passing", above.inbox(), policy, move || Passing(edge.clone()));
        for number in 0..3 {
            above.edge(WhenFull::Wait).send(Work::Number(number)).await.unwrap();
        }
        above.close();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((above.stats().in_flight, below.stats().depth), (1, 1), "one waits for room");
        let (consumer, mut batch) = (below.inbox().join(), Vec::new());
        for expected in 0..3 {
            assert!(consumer.receive(actors::kit::BatchPolicy::ONE, &mut batch).await);
            let envelope = batch.pop().unwrap();
            assert!(matches!(*envelope, Work::Number(number) if number == expected));
            assert_eq!(envelope.ack(), Ack::Accepted);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        supervisor.ended().await;
        assert!(seen.causes.lock().unwrap().is_empty(), "nobody was taken for stuck");
    });
}

#[test]
fn a_result_whose_message_is_acknowledged_already_is_dropped_and_its_place_is_free_again() {
    single(async {
        let (above, below) =
            (Mailbox::new("above", LIMITS, Arc::new(Silent)), Mailbox::new("below", LIMITS, Arc::new(Silent)));
        above.edge(WhenFull::Wait).send(Work::Number(7)).await.unwrap();
        let first = above.inbox().join();
        let (mut late, mut batch) = (Vec::new(), Vec::new());
        let one = actors::kit::BatchPolicy::ONE;
        assert!(first.receive(one, &mut late).await);
        let envelope = late.pop().unwrap();
        let place = below.edge(WhenFull::Wait).reserve().await.unwrap();
        assert_eq!(envelope.ack(), Ack::Accepted);
        assert_eq!(place.hand_over(&envelope, Work::Number(7)), Ack::Refused);
        assert_eq!(below.stats().accepted, 0);
        below.close();
        assert!(!below.inbox().join().receive(one, &mut batch).await, "the place is free again: the drain ends");
    });
}

#[test]
fn a_drain_waits_for_a_place_that_is_reserved_and_what_is_put_there_is_handled() {
    single(async {
        let (above, below) =
            (Mailbox::new("above", LIMITS, Arc::new(Silent)), Mailbox::new("below", LIMITS, Arc::new(Silent)));
        above.edge(WhenFull::Wait).send(Work::Number(7)).await.unwrap();
        let (one, mut held, mut batch) = (actors::kit::BatchPolicy::ONE, Vec::new(), Vec::new());
        assert!(above.inbox().join().receive(one, &mut held).await);
        let place = below.edge(WhenFull::Wait).reserve().await.unwrap();
        below.close();
        assert!(below.edge(WhenFull::Wait).reserve().await.is_err(), "no new place after the close");
        let consumer = below.inbox().join();
        let mut drains = Box::pin(consumer.receive(one, &mut batch));
        let early = tokio::time::timeout(Duration::from_secs(60), &mut drains).await;
        assert!(early.is_err(), "something is still to come");
        assert_eq!(place.hand_over(&held[0], Work::Number(7)), Ack::Accepted);
        assert!(drains.as_mut().await);
        drop(drains);
        assert_eq!(batch.len(), 1);
    });
}

#[test]
fn an_actor_whose_threads_do_not_come_back_is_given_up_before_they_are_many() {
    quietly();
    threads(async {
        let house = house(Placement::Threads, Duration::from_millis(20), |_, _| Then::Blocks(Duration::from_secs(20)));
        let escalation = house.supervisor.escalation();
        house.feed(0..64).await;
        let escalation = tokio::time::timeout(Duration::from_secs(15), escalation).await.expect("escalates");
        assert_eq!(escalation.cause, RestartCause::Stuck(Duration::from_millis(20)));
        let threads = house.seen.built.load(Ordering::SeqCst);
        assert!((2..=12).contains(&threads), "{threads} threads hang");
        // These threads end with the test's process.
        std::mem::forget(house);
    });
}

#[test]
fn an_actor_that_hangs_while_it_is_built_is_replaced() {
    threads(async {
        let seen = Arc::new(Seen::default());
        let observer = Arc::clone(&seen) as Arc<dyn Observer>;
        let mailbox = Mailbox::new("hanging", LIMITS, Arc::clone(&observer));
        let mut supervisor = Supervisor::new(Placement::Threads, observer, 1);
        let built = Arc::clone(&seen);
        let policy = RestartPolicy::per_minute(10).turn_max(Duration::from_millis(100));
        supervisor.start("slow to build", mailbox.inbox(), policy, move || {
            if built.built.fetch_add(1, Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(800));
            }
            // Said outside of a turn: it must not make an idle actor look stuck.
            progress();
            Hanging { seen: Arc::clone(&built), script: |_, _| Then::Done }
        });
        tokio::time::sleep(Duration::from_millis(600)).await;
        mailbox.edge(WhenFull::Wait).send(Work::Number(1)).await.unwrap();
        mailbox.close();
        tokio::time::timeout(Duration::from_secs(10), supervisor.ended()).await.expect("drains");
        assert_eq!(*seen.done.lock().unwrap(), [1]);
        assert_eq!(seen.built.load(Ordering::SeqCst), 2, "hung once, and idle for long after");
    });
}

/// Waits for two neighbours at once.
struct Torn([Edge<Work>; 2]);

impl Actor for Torn {
    type Message = Work;
    async fn handle(&mut self, _: &Batch<Work>) -> Result<(), Failure> {
        let [one, two] = self.0.each_ref().map(Edge::reserve);
        let _ = tokio::join!(one, two);
        Ok(())
    }
}

#[test]
fn of_two_waits_for_neighbours_the_first_to_end_does_not_start_the_clock() {
    single(async {
        let seen = Arc::new(Seen::default());
        let observer = Arc::clone(&seen) as Arc<dyn Observer>;
        let limits = MailboxLimits { capacity: 1, attempts_max: 1 };
        let mailbox = |name| Mailbox::<Work>::new(name, limits, Arc::clone(&observer));
        let (above, one, two) = (mailbox("above"), mailbox("one"), mailbox("two"));
        for full in [&one, &two] {
            full.edge(WhenFull::Wait).send(Work::Number(0)).await.unwrap();
        }
        let mut supervisor = Supervisor::new(Placement::Single, Arc::clone(&observer), 1);
        let edges = [one.edge(WhenFull::Wait), two.edge(WhenFull::Wait)];
        let policy = RestartPolicy::per_minute(3).turn_max(Duration::from_secs(1));
        supervisor.start("torn", above.inbox(), policy, move || Torn(edges.clone()));
        above.edge(WhenFull::Wait).send(Work::Number(1)).await.unwrap();
        above.close();
        for neighbour in [&one, &two] {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut batch = Vec::new();
            assert!(neighbour.inbox().join().receive(actors::kit::BatchPolicy::ONE, &mut batch).await);
            assert_eq!(batch[0].ack(), Ack::Accepted);
        }
        supervisor.ended().await;
        assert_eq!((above.stats().acknowledged, seen.causes.lock().unwrap().len()), (1, 0));
    });
}
