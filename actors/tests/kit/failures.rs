//! Panics, errors and kills: nothing is lost, nothing is done twice, and the guilty one is blamed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actors::kit::{
    Actor, Batch, BatchPolicy, Failure, Mailbox, Placement, RestartCause, RestartPolicy, Silent, Supervisor, WhenFull,
};

use crate::house::{LIMITS, Log, Plan, Work, house, quietly, threads};

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
