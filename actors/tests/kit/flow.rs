//! Bounds, waits, batches, questions, and how an actor stops.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::kit::{
    Actor, AskError, Batch, BatchPolicy, DeadLetter, Edge, Failure, Handled, Mailbox, MailboxLimits, Observer,
    Placement, RestartPolicy, Silent, Supervisor, WhenFull, ask,
};

use crate::house::{LIMITS, Plan, Work, house, quietly, single, threads};

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

/// Counts its messages and ticks.
struct Ticking {
    counts: Arc<Mutex<(u64, u64)>>,
    policy: BatchPolicy,
    tick: Duration,
}

impl Actor for Ticking {
    type Message = Work;
    fn batch_policy(&self) -> BatchPolicy {
        self.policy
    }
    fn tick_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    async fn tick(&mut self) -> Result<(), Failure> {
        tokio::time::sleep(self.tick).await;
        self.counts.lock().unwrap().1 += 1;
        Ok(())
    }
    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.counts.lock().unwrap().0 += batch.len() as u64;
        Ok(())
    }
}

/// Some quiet seconds, then this many messages: handled, and ticks before and after.
async fn ticking(policy: BatchPolicy, tick: Duration, messages: u64) -> (u64, u64, u64) {
    let counts = Arc::new(Mutex::new((0, 0)));
    let mailbox = Mailbox::new("ticking", LIMITS, Arc::new(Silent));
    let mut supervisor = Supervisor::new(Placement::Single, Arc::new(Silent), 1);
    let counted = Arc::clone(&counts);
    supervisor.start("ticking", mailbox.inbox(), RestartPolicy::per_minute(1), move || Ticking {
        counts: Arc::clone(&counted),
        policy,
        tick,
    });
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    let quiet = counts.lock().unwrap().1;
    let edge = mailbox.edge(WhenFull::Wait);
    for number in 0..messages {
        edge.send(Work::Number(number)).await.unwrap();
    }
    // One more than a second later, so that a batch is gathered over ticks.
    tokio::time::sleep(Duration::from_secs(5)).await;
    mailbox.close();
    tokio::time::timeout(Duration::from_secs(600), supervisor.ended()).await.expect("ticks hold up no drain");
    let (handled, ticks) = *counts.lock().unwrap();
    (handled, quiet, ticks - quiet)
}

#[test]
fn ticks_come_on_time_with_and_without_messages_to_handle() {
    single(async {
        let (handled, quiet, busy) = ticking(BatchPolicy::ONE, Duration::ZERO, 50).await;
        assert_eq!((handled, quiet, busy), (50, 5, 5), "five seconds of quiet and five of work, with a tick in each");
    });
}

#[test]
fn a_tick_that_takes_longer_than_its_interval_starves_no_message() {
    single(async {
        let (handled, ..) = ticking(BatchPolicy::ONE, Duration::from_secs(3), 50).await;
        assert_eq!(handled, 50);
    });
}

#[test]
fn a_batch_that_is_gathered_for_longer_than_a_tick_is_handled_before_it() {
    single(async {
        let policy = BatchPolicy { messages_max: 8, linger: Duration::from_millis(1_500) };
        let (handled, _, ticks) = ticking(policy, Duration::ZERO, 3).await;
        assert_eq!(handled, 3);
        assert!(ticks >= 4, "{ticks} ticks");
    });
}

#[test]
fn stop_and_pause_are_heeded_between_turns_that_never_wait() {
    for stops in [true, false] {
        threads(async move {
            // Its turns block the thread, and messages never run out.
            let mut house = house(&Plan::default(), |_, _| {
                std::thread::sleep(Duration::from_micros(200));
                Ok(())
            });
            let edge = house.mailbox.edge(WhenFull::Wait);
            let sender = tokio::spawn(async move { while edge.send(Work::Number(0)).await.is_ok() {} });
            while house.log.done().len() < 100 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if stops {
                house.supervisor.stop();
                tokio::time::timeout(Duration::from_secs(10), house.supervisor.ended()).await.expect("it stops");
            } else {
                house.supervisor.pause(true);
                tokio::time::sleep(Duration::from_millis(300)).await;
                let done = house.log.done().len();
                tokio::time::sleep(Duration::from_millis(200)).await;
                assert_eq!(house.log.done().len(), done, "it takes nothing while it is paused");
                house.supervisor.stop();
            }
            house.mailbox.close();
            sender.await.unwrap();
        });
    }
}

/// Has no neighbour any more; and cannot bury.
struct Forlorn;

impl Actor for Forlorn {
    type Message = Work;
    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        match *batch[0] {
            Work::Number(0) => Err(Failure::Broken("zero".to_owned())),
            _ => Err(Failure::Stranded("the neighbour")),
        }
    }
    async fn bury(&mut self, _: DeadLetter<'_, Work>) -> Result<(), Failure> {
        Err(Failure::Broken("no grave".to_owned()))
    }
}

#[test]
fn a_dead_letter_that_cannot_be_buried_is_named_and_an_actor_without_its_neighbour_closes_its_mailbox() {
    single(async {
        let mailbox = Mailbox::new("forlorn", MailboxLimits { capacity: 8, attempts_max: 1 }, Arc::new(Silent));
        let mut supervisor = Supervisor::new(Placement::Single, Arc::new(Silent), 1);
        supervisor.start("forlorn", mailbox.inbox(), RestartPolicy::per_minute(9), || Forlorn);
        let edge = mailbox.edge(WhenFull::Wait);
        for number in 0..2 {
            edge.send(Work::Number(number)).await.unwrap();
        }
        tokio::time::timeout(Duration::from_secs(60), supervisor.ended()).await.expect("it ends");
        assert!(edge.send(Work::Number(2)).await.is_err(), "nobody waits for room that never comes");
        let left: Vec<_> = mailbox.leftovers().into_iter().map(|left| left.subject).collect();
        assert_eq!(left, ["Number(0)", "Number(1)"]);
    });
}
