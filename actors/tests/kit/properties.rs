//! What holds of every mailbox, whatever its limits and whoever uses it: random houses on a paused clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::kit::{Ack, BatchPolicy, Edge, Mailbox, MailboxLimits, Message, Silent, WhenFull};
use tokio::time::{Instant, sleep};

use crate::house::single;

#[derive(Debug)]
struct Letter {
    sender: usize,
    number: u32,
}

impl Message for Letter {
    fn kind(&self) -> &'static str {
        "letter"
    }
    fn subject(&self) -> String {
        format!("{} of {}", self.number, self.sender)
    }
}

/// What senders and consumers have seen.
#[derive(Default)]
struct Seen {
    sent: u64,
    refused: u64,
    /// By the order in which they were handed out: sender, number.
    handed_out: BTreeMap<u64, (usize, u32)>,
}

async fn send(
    edge: Edge<Letter>,
    when_full: WhenFull,
    sender: usize,
    mut random: fastrand::Rng,
    seen: Rc<RefCell<Seen>>,
) {
    for number in 0..random.u32(0..60) {
        sleep(Duration::from_millis(random.u64(0..6))).await;
        let before = Instant::now();
        let sent = if random.bool() {
            edge.send(Letter { sender, number }).await.is_ok()
        } else {
            let place = edge.reserve().await;
            // Somebody else may use what is not used.
            place.is_ok_and(|place| if random.bool() { false } else { fill(place, sender, number) })
        };
        if when_full == WhenFull::Drop {
            assert_eq!(before.elapsed(), Duration::ZERO, "an edge that never waits has waited");
        }
        let mut seen = seen.borrow_mut();
        seen.sent += u64::from(sent);
        seen.refused += u64::from(!sent);
    }
}

fn fill(place: actors::kit::Place<Letter>, sender: usize, number: u32) -> bool {
    place.fill(Letter { sender, number });
    true
}

async fn consume(mailbox: Mailbox<Letter>, policy: BatchPolicy, mut random: fastrand::Rng, seen: Rc<RefCell<Seen>>) {
    let (consumer, mut batch) = (mailbox.inbox().join(), Vec::new());
    loop {
        let asked = Instant::now();
        if !consumer.receive(policy, &mut batch).await {
            return;
        }
        assert!((1..=policy.messages_max).contains(&batch.len()), "a batch of {}", batch.len());
        let first = batch[0].taken_at();
        assert!(first >= asked && first.elapsed() <= policy.linger, "it lingered for {:?}", first.elapsed());
        assert!(batch.len() == policy.messages_max || first.elapsed() == policy.linger || mailbox.is_closed());
        seen.borrow_mut()
            .handed_out
            .extend(batch.iter().map(|letter| (letter.delivery(), (letter.sender, letter.number))));
        sleep(Duration::from_millis(random.u64(0..12))).await;
        for letter in batch.drain(..) {
            assert_eq!(letter.ack(), Ack::Accepted);
        }
    }
}

/// One house; its seed decides everything.
async fn one(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let capacity = random.usize(1..9);
    let mailbox = Mailbox::new("any", MailboxLimits { capacity, attempts_max: 1 }, Arc::new(Silent));
    let seen = Rc::new(RefCell::new(Seen::default()));
    let senders: Vec<_> = (0..random.usize(1..5))
        .map(|sender| {
            let when_full = if random.bool() { WhenFull::Wait } else { WhenFull::Drop };
            actix_rt::spawn(send(mailbox.edge(when_full), when_full, sender, random.fork(), Rc::clone(&seen)))
        })
        .collect();
    let consumers: Vec<_> = (0..random.usize(1..4))
        .map(|_| {
            let linger = Duration::from_millis(random.u64(0..20));
            let policy = BatchPolicy { messages_max: random.usize(1..6), linger };
            actix_rt::spawn(consume(mailbox.clone(), policy, random.fork(), Rc::clone(&seen)))
        })
        .collect();
    let watched = mailbox.clone();
    let watch = actix_rt::spawn(async move {
        loop {
            let stats = watched.stats();
            assert!(stats.depth <= capacity, "{} wait in a mailbox of {capacity}", stats.depth);
            sleep(Duration::from_millis(1)).await;
        }
    });
    for sender in senders {
        sender.await.unwrap();
    }
    mailbox.close();
    for consumer in consumers {
        consumer.await.unwrap();
    }
    assert!(!watch.is_finished(), "seed {seed}: more waited than there was room");
    watch.abort();
    let (stats, seen) = (mailbox.stats(), seen.borrow());
    assert_eq!(stats.accepted, seen.sent, "seed {seed}");
    assert_eq!(stats.acknowledged, seen.sent, "seed {seed}: what was accepted is handled");
    assert_eq!((stats.depth, stats.in_flight), (0, 0), "seed {seed}");
    let mut last = BTreeMap::new();
    for &(sender, number) in seen.handed_out.values() {
        let before = last.insert(sender, number);
        assert!(before.is_none_or(|before| before < number), "seed {seed}: {number} of {sender} came after {before:?}");
    }
}

#[test]
fn a_mailbox_never_holds_more_than_its_room_never_reorders_a_sender_and_hands_out_what_it_accepted() {
    for seed in 0..300 {
        single(one(seed));
    }
}
