//! The promises of the actor kit, one test each, on real Arbiters and on one thread with a paused clock.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::kit::{
    Actor, AskError, Backoff, Batch, BatchPolicy, DeadLetter, Edge, Failure, Handled, Mailbox, MailboxLimits, Message,
    Observer, Placement, Reply, RestartCause, RestartPolicy, Silent, Supervisor, WhenFull, ask,
};

#[derive(Debug)]
enum Work {
    Number(u64),
    Question(Reply<u64>),
}

impl Message for Work {
    fn kind(&self) -> &'static str {
        "work"
    }
    fn subject(&self) -> String {
        format!("{self:?}")
    }
}

/// What the actors of a test have seen, shared by all incarnations.
#[derive(Default)]
struct Log {
    done: Mutex<Vec<u64>>,
    buried: Mutex<Vec<(u64, u32, String)>>,
    tries: Mutex<BTreeMap<u64, u32>>,
    drained: AtomicUsize,
    built: AtomicUsize,
}

impl Log {
    fn done(&self) -> Vec<u64> {
        self.done.lock().unwrap().clone()
    }
    fn sorted(&self) -> Vec<u64> {
        let mut done = self.done();
        done.sort_unstable();
        done
    }
}

type Script = Arc<dyn Fn(u64, u32) -> Result<(), Failure> + Send + Sync>;

/// Runs a script (number, how often it was tried) and logs.
struct Scripted {
    log: Arc<Log>,
    script: Script,
    policy: BatchPolicy,
    pause: Duration,
}

impl Actor for Scripted {
    type Message = Work;

    fn batch_policy(&self) -> BatchPolicy {
        self.policy
    }

    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        if self.pause > Duration::ZERO {
            tokio::time::sleep(self.pause).await;
        }
        for envelope in batch {
            match &**envelope {
                Work::Question(reply) => reply.send(42),
                Work::Number(number) => {
                    let tried = {
                        let mut tries = self.log.tries.lock().unwrap();
                        let tried = tries.entry(*number).or_default();
                        *tried += 1;
                        *tried
                    };
                    (self.script)(*number, tried)?;
                }
            }
        }
        let numbers = batch.iter().filter_map(|envelope| match &**envelope {
            Work::Number(number) => Some(*number),
            Work::Question(_) => None,
        });
        self.log.done.lock().unwrap().extend(numbers);
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Work>) -> Result<(), Failure> {
        let Work::Number(number) = &**letter.envelope else { return Ok(()) };
        self.log.buried.lock().unwrap().push((*number, letter.last.attempt, letter.last.reason.to_string()));
        Ok(())
    }

    async fn drained(&mut self) {
        self.log.drained.fetch_add(1, Ordering::SeqCst);
    }
}

const LIMITS: MailboxLimits = MailboxLimits { capacity: 64, attempts_max: 3 };

struct House {
    mailbox: Mailbox<Work>,
    supervisor: Supervisor,
    log: Arc<Log>,
}

struct Plan {
    placement: Placement,
    workers: usize,
    policy: BatchPolicy,
    restarts_max: u32,
    pause: Duration,
    observer: Arc<dyn Observer>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            placement: Placement::Threads,
            workers: 1,
            policy: BatchPolicy::ONE,
            restarts_max: 1_000,
            pause: Duration::ZERO,
            observer: Arc::new(Silent),
        }
    }
}

fn house(plan: &Plan, script: impl Fn(u64, u32) -> Result<(), Failure> + Send + Sync + 'static) -> House {
    let (batch_policy, pause) = (plan.policy, plan.pause);
    let log = Arc::new(Log::default());
    let script: Script = Arc::new(script);
    let mailbox = Mailbox::new("scripted", LIMITS, Arc::clone(&plan.observer));
    let mut supervisor = Supervisor::new(plan.placement, Arc::clone(&plan.observer), 1);
    for worker in 0..plan.workers {
        let (log, script) = (Arc::clone(&log), Arc::clone(&script));
        let backoff = Backoff { base: Duration::from_micros(10), max: Duration::from_millis(1) };
        let policy = RestartPolicy { backoff, ..RestartPolicy::per_minute(plan.restarts_max) };
        supervisor.start(format!("scripted-{worker}"), mailbox.inbox(), policy, move || {
            log.built.fetch_add(1, Ordering::SeqCst);
            Scripted { log: Arc::clone(&log), script: Arc::clone(&script), policy: batch_policy, pause }
        });
    }
    House { mailbox, supervisor, log }
}

impl House {
    async fn feed(&self, numbers: impl IntoIterator<Item = u64>) {
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
        assert_eq!((stats.depth, stats.in_flight), (0, 0));
    }
}

fn threads(test: impl Future<Output = ()>) {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
    .block_on(test);
}

fn single(test: impl Future<Output = ()>) {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(test);
}

fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>().map(String::as_str);
            if !text
                .or_else(|| info.payload().downcast_ref::<&str>().copied())
                .is_some_and(|text| text.starts_with("scripted"))
            {
                shown(info);
            }
        }));
    });
}

#[test]
fn a_message_whose_handler_panics_once_is_redelivered_first_and_nothing_is_lost() {
    quietly();
    threads(async {
        let mut house = house(&Plan::default(), |number, tried| {
            assert!(number != 3 || tried > 1, "scripted panic");
            Ok(())
        });
        house.feed(0..10).await;
        house.drain().await;
        assert_eq!(house.log.done(), (0..10).collect::<Vec<_>>());
        assert_eq!(house.log.built.load(Ordering::SeqCst), 2, "the actor is built anew after the panic");
        assert!(house.log.buried.lock().unwrap().is_empty());
    });
}

#[test]
fn a_message_that_always_fails_alone_is_buried_after_its_attempts_with_its_reason() {
    quietly();
    threads(async {
        let mut house = house(&Plan::default(), |number, _| {
            assert!(number != 3, "scripted panic of {number}");
            if number == 5 { Err(Failure::Broken("five is refused".to_owned())) } else { Ok(()) }
        });
        house.feed(0..10).await;
        house.drain().await;
        assert_eq!(house.log.done(), [0, 1, 2, 4, 6, 7, 8, 9]);
        let buried = house.log.buried.lock().unwrap().clone();
        assert_eq!(
            buried,
            [(3, 3, "panicked: scripted panic of 3".to_owned()), (5, 3, "failed: five is refused".to_owned()),]
        );
        assert_eq!(house.mailbox.stats().dead_letters, 2);
    });
}

#[test]
fn in_a_failing_batch_only_the_guilty_message_is_charged() {
    quietly();
    threads(async {
        let policy = BatchPolicy { messages_max: 8, linger: Duration::from_millis(5) };
        let mut house = house(&Plan { policy, ..Plan::default() }, |number, _| {
            assert!(number != 4, "scripted panic");
            Ok(())
        });
        house.feed(0..16).await;
        house.drain().await;
        assert_eq!(house.log.sorted(), (0..16).filter(|&number| number != 4).collect::<Vec<_>>());
        let tries = house.log.tries.lock().unwrap().clone();
        assert!(tries[&4] >= 3, "tried in company first, then three times alone: {tries:?}");
        assert_eq!(house.log.buried.lock().unwrap().len(), 1);
    });
}

#[test]
fn the_death_of_an_arbiter_gives_its_message_back() {
    threads(async {
        let killed = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&killed);
        // The pause after the kill lets the Arbiter end while the message is in hand.
        let plan = Plan { pause: Duration::from_millis(5), ..Plan::default() };
        let mut house = house(&plan, move |number, tried| {
            if number == 2 && tried == 1 {
                counter.fetch_add(1, Ordering::SeqCst);
                actix_rt::Arbiter::current().stop();
            }
            Ok(())
        });
        house.feed(0..6).await;
        house.drain().await;
        assert_eq!(killed.load(Ordering::SeqCst), 1);
        let done: BTreeSet<u64> = house.log.done().into_iter().collect();
        assert_eq!(done, (0..6).collect(), "nothing is lost");
        assert_eq!(house.log.built.load(Ordering::SeqCst), 2);
        assert_eq!(house.mailbox.stats().acknowledged, 6);
    });
}

#[test]
fn workers_share_one_mailbox_and_survive_a_storm_of_panics() {
    quietly();
    threads(async {
        let mut house = house(&Plan { workers: 4, ..Plan::default() }, |number, tried| {
            assert!(!(number % 97 == 0 && tried == 1), "scripted panic, once");
            assert!(number % 1009 != 0, "scripted panic, always");
            Ok(())
        });
        house.feed(1..=10_000).await;
        house.drain().await;
        let expected: Vec<u64> = (1..=10_000).filter(|number| number % 1009 != 0).collect();
        assert_eq!(house.log.sorted(), expected, "each once, none lost");
        assert_eq!(house.log.buried.lock().unwrap().len(), 9);
        assert_eq!(house.log.drained.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn over_the_restart_budget_the_supervisor_escalates() {
    quietly();
    threads(async {
        let house = house(&Plan { restarts_max: 2, ..Plan::default() }, |_, _| panic!("scripted panic"));
        let escalation = house.supervisor.escalation();
        house.feed(0..5).await;
        let escalation = tokio::time::timeout(Duration::from_secs(10), escalation).await.expect("escalates");
        assert_eq!(escalation.actor, "scripted-0");
        assert_eq!(escalation.cause, RestartCause::Panicked("scripted panic".to_owned()));
        let leftovers = house.mailbox.leftovers();
        assert_eq!(leftovers.len(), 5, "what is left is named: {leftovers:?}");
    });
}

#[test]
fn a_full_mailbox_holds_a_waiting_sender_and_drops_from_one_that_never_waits() {
    #[derive(Default)]
    struct Counting {
        waits: AtomicUsize,
        drops: AtomicUsize,
    }
    impl Observer for Counting {
        fn backpressure(&self, _: &'static str, _: &'static str, waited: Duration) {
            assert_eq!(waited, Duration::from_secs(1));
            self.waits.fetch_add(1, Ordering::SeqCst);
        }
        fn dropped(&self, _: &'static str, _: &'static str) {
            self.drops.fetch_add(1, Ordering::SeqCst);
        }
    }
    single(async {
        let counting = Arc::new(Counting::default());
        let limits = MailboxLimits { capacity: 2, attempts_max: 1 };
        let mailbox: Mailbox<Work> = Mailbox::new("small", limits, Arc::clone(&counting) as Arc<dyn Observer>);
        let (wait, drop) = (mailbox.edge(WhenFull::Wait), mailbox.edge(WhenFull::Drop));
        for number in 0..2 {
            wait.send(Work::Number(number)).await.unwrap();
        }
        assert!(drop.send(Work::Number(2)).await.is_err(), "it comes back to be counted");
        assert_eq!(counting.drops.load(Ordering::SeqCst), 1);
        let waiting = actix_rt::spawn(async move { wait.send(Work::Number(3)).await.unwrap() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        let mut batch = Vec::new();
        assert!(mailbox.inbox().join().receive(BatchPolicy::ONE, &mut batch).await);
        waiting.await.unwrap();
        assert_eq!(counting.waits.load(Ordering::SeqCst), 1);
        assert_eq!(mailbox.stats().depth, 2);
    });
}

#[test]
fn queue_wait_and_handling_come_from_the_mailbox_to_the_millisecond() {
    #[derive(Default)]
    struct Times(Mutex<Vec<(u64, u64)>>);
    impl Observer for Times {
        fn handled(&self, handled: &Handled) {
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
            self.0.lock().unwrap().push((ms(handled.queue_wait), ms(handled.handling)));
        }
    }
    single(async {
        let times = Arc::new(Times::default());
        let observer = Arc::clone(&times) as Arc<dyn Observer>;
        let plan =
            Plan { placement: Placement::Single, pause: Duration::from_millis(100), observer, ..Plan::default() };
        let mut house = house(&plan, |_, _| Ok(()));
        house.feed(0..3).await;
        house.drain().await;
        assert_eq!(*times.0.lock().unwrap(), [(0, 100), (100, 100), (200, 100)]);
    });
}

#[test]
fn a_batch_is_handed_out_when_it_is_full_or_when_its_linger_ends() {
    single(async {
        let mailbox: Mailbox<Work> = Mailbox::new("batches", LIMITS, Arc::new(Silent));
        let edge = mailbox.edge(WhenFull::Wait);
        let consumer = mailbox.inbox().join();
        let policy = BatchPolicy { messages_max: 3, linger: Duration::from_secs(1) };
        for number in 0..4 {
            edge.send(Work::Number(number)).await.unwrap();
        }
        let started = tokio::time::Instant::now();
        let mut batch = Vec::new();
        assert!(consumer.receive(policy, &mut batch).await);
        assert_eq!((batch.len(), started.elapsed()), (3, Duration::ZERO));
        batch.drain(..).for_each(|envelope| assert_eq!(envelope.ack(), actors::kit::Ack::Accepted));
        assert!(consumer.receive(policy, &mut batch).await);
        assert_eq!((batch.len(), started.elapsed()), (1, Duration::from_secs(1)));
    });
}

#[test]
fn an_ask_is_answered_or_ends_at_its_deadline() {
    single(async {
        let plan = Plan { placement: Placement::Single, pause: Duration::from_millis(100), ..Plan::default() };
        let mut house = house(&plan, |_, _| Ok(()));
        let edge: Edge<Work> = house.mailbox.edge(WhenFull::Wait);
        assert_eq!(ask(&edge, Duration::from_secs(1), Work::Question).await, Ok(42));
        let early = ask(&edge, Duration::from_millis(50), Work::Question).await;
        assert_eq!(early, Err(AskError::Deadline(Duration::from_millis(50))));
        house.drain().await;
        assert_eq!(ask(&edge, Duration::from_secs(1), Work::Question).await, Err(AskError::Closed));
    });
}

#[test]
fn a_stopped_actor_finishes_its_turn_and_releases_what_it_had_not_begun() {
    single(async {
        let plan = Plan { placement: Placement::Single, pause: Duration::from_millis(100), ..Plan::default() };
        let mut house = house(&plan, |_, _| Ok(()));
        house.feed(0..5).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        house.supervisor.stop();
        house.supervisor.ended().await;
        assert_eq!(house.log.done(), [0, 1], "the second was in hand");
        let left: Vec<_> =
            house.mailbox.leftovers().into_iter().map(|left| (left.subject, left.attempt, left.in_hand)).collect();
        assert_eq!(left, [2, 3, 4].map(|number| (format!("Number({number})"), 1, false)));
    });
}

#[test]
fn a_paused_actor_takes_nothing_until_it_is_resumed() {
    single(async {
        let mut house = house(&Plan { placement: Placement::Single, ..Plan::default() }, |_, _| Ok(()));
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.supervisor.pause(true);
        tokio::time::sleep(Duration::from_millis(1)).await;
        house.feed(0..3).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(house.mailbox.stats().depth, 3);
        house.supervisor.pause(false);
        house.drain().await;
        assert_eq!(house.log.done(), [0, 1, 2]);
    });
}

#[test]
fn what_a_sender_was_told_is_accepted_is_done_even_if_the_mailbox_closes_at_that_moment() {
    threads(async {
        for round in 0..200 {
            let mut house = house(&Plan { workers: 2, ..Plan::default() }, |_, _| Ok(()));
            let senders: Vec<_> = (0..4_u64)
                .map(|sender| {
                    let edge = house.mailbox.edge(WhenFull::Wait);
                    tokio::spawn(async move {
                        let mut accepted = 0;
                        while edge.send(Work::Number(sender)).await.is_ok() {
                            accepted += 1;
                        }
                        accepted
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_micros(50 * (round % 10))).await;
            house.drain().await;
            let mut accepted = 0;
            for sender in senders {
                accepted += sender.await.unwrap();
            }
            assert_eq!(house.mailbox.stats().acknowledged, accepted, "round {round}");
            assert!(house.mailbox.leftovers().is_empty());
        }
    });
}

#[test]
fn an_actor_that_is_told_to_stop_is_not_built_again() {
    quietly();
    single(async {
        let plan = Plan {
            placement: Placement::Single,
            pause: Duration::from_millis(100),
            restarts_max: 9,
            ..Plan::default()
        };
        let mut house = house(&plan, |_, _| panic!("scripted panic"));
        house.feed(0..5).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.supervisor.stop();
        tokio::time::timeout(Duration::from_secs(5), house.supervisor.ended()).await.expect("ends");
        assert_eq!(house.log.built.load(Ordering::SeqCst), 1);
        assert_eq!(house.mailbox.leftovers().len(), 5);
    });
}

#[test]
fn a_pause_outlives_a_restart_and_does_not_hold_up_a_drain() {
    quietly();
    single(async {
        let plan = Plan { placement: Placement::Single, pause: Duration::from_millis(100), ..Plan::default() };
        let mut house = house(&plan, |number, tried| {
            assert!(number != 0 || tried > 1, "scripted panic");
            Ok(())
        });
        house.feed(0..3).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.supervisor.pause(true);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(house.log.done(), [0_u64; 0], "the failing turn was the last before the pause");
        house.drain().await;
        assert_eq!(house.log.done(), [0, 1, 2]);
    });
}

/// Stops its own Arbiter at the first message, and takes its time to be dropped.
struct Dying(Arc<Log>);

struct SlowToDrop;

impl Drop for SlowToDrop {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Actor for Dying {
    type Message = Work;
    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        let slow = SlowToDrop;
        if self.0.built.load(Ordering::SeqCst) == 1 {
            actix_rt::Arbiter::current().stop();
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        std::mem::forget(slow);
        let numbers =
            batch.iter().filter_map(|envelope| if let Work::Number(number) = **envelope { Some(number) } else { None });
        self.0.done.lock().unwrap().extend(numbers);
        Ok(())
    }
}

#[test]
fn after_a_kill_the_next_incarnation_begins_when_everything_is_back_in_order() {
    threads(async {
        let log = Arc::new(Log::default());
        let mailbox = Mailbox::new("dying", LIMITS, Arc::new(Silent));
        let edge = mailbox.edge(WhenFull::Wait);
        for number in 1..=4 {
            edge.send(Work::Number(number)).await.unwrap();
        }
        let mut supervisor = Supervisor::new(Placement::Threads, Arc::new(Silent), 1);
        let built = Arc::clone(&log);
        supervisor.start("dying", mailbox.inbox(), RestartPolicy::per_minute(5), move || {
            built.built.fetch_add(1, Ordering::SeqCst);
            Dying(Arc::clone(&built))
        });
        mailbox.close();
        supervisor.ended().await;
        assert_eq!(log.done(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_message_that_was_taken_but_not_begun_is_not_charged() {
    single(async {
        let mailbox: Mailbox<Work> =
            Mailbox::new("unbegun", MailboxLimits { attempts_max: 1, ..LIMITS }, Arc::new(Silent));
        mailbox.edge(WhenFull::Wait).send(Work::Number(1)).await.unwrap();
        let mut batch = Vec::new();
        assert!(mailbox.inbox().join().receive(BatchPolicy::ONE, &mut batch).await);
        drop(std::mem::take(&mut batch));
        assert!(mailbox.inbox().join().receive(BatchPolicy::ONE, &mut batch).await);
        assert_eq!((batch[0].attempt(), batch[0].last_failure()), (1, None));
    });
}
