//! The mailbox: bounded, owned by the supervisor, shared by any number of senders ([`super::edge`]) and consumers
//! ([`super::consumer`]). Here is what they share: the door
//! and the slots, each under a lock of its own, the free room, and who is woken when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actor::Message;
use super::consumer::Inbox;
use super::door::Door;
use super::edge::{Edge, WhenFull};
use super::envelope::{Ack, Envelope};
use super::observer::{Handled, Observer};
use super::slots::{Fate, Slots};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages that may wait for their first delivery. Those in hand, or back from there, are bounded by the consumers'
    /// permits.
    pub capacity: usize,
    /// After so many failures of its own a message is a dead letter.
    pub attempts_max: u32,
}

/// A message that was not done when the grace period ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub mailbox: &'static str,
    pub subject: String,
    pub attempt: u32,
    /// An actor had it in hand.
    pub in_hand: bool,
}

/// `accepted == acknowledged + dead_letters + depth + in_flight`, always. Reserved places are not accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxStats {
    pub depth: usize,
    pub in_flight: usize,
    pub oldest_age: Duration,
    pub accepted: u64,
    pub acknowledged: u64,
    /// Buried: handed to [`super::Actor::bury`].
    pub dead_letters: u64,
    /// Acknowledgements that came too late.
    pub refused: u64,
}

/// What senders write and what consumers write lie apart, so that the cores do not take it from each other.
pub(super) struct Core<M: Message> {
    pub(super) name: &'static str,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) closing: CancellationToken,
    /// One permit for each free place.
    pub(super) room: CachePadded<Semaphore>,
    door: CachePadded<Mutex<Door<M>>>,
    slots: CachePadded<Mutex<Slots<M>>>,
    /// Something came in, came back, or the end is near.
    pub(super) changed: CachePadded<Notify>,
}

impl<M: Message> Core<M> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Slots<M>> {
        // Nothing of ours panics while it holds the lock; if it ever did, the data would still be whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After [`Core::lock`], where both are needed.
    fn door(&self) -> MutexGuard<'_, Door<M>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what has arrived, where the queue ran empty: so nothing waits unseen at the door but what came later.
    pub(super) fn admit(&self, slots: &mut Slots<M>) {
        if slots.is_exhausted() {
            slots.admit(&mut self.door());
        }
    }

    /// Closed, and nothing waits, can come back, or is still to come.
    pub(super) fn is_drained(&self, slots: &Slots<M>) -> bool {
        slots.is_over() && self.door().is_shut()
    }

    pub(super) fn push(&self, message: M) -> Result<(), M> {
        let now = Instant::now();
        let first = self.door().push(message, now)?;
        if first {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        self.lock().close(&mut self.door());
        self.room.close();
        self.closing.cancel();
        self.changed.notify_waiters();
    }

    /// False where the mailbox is closed.
    pub(super) fn reserve(&self) -> bool {
        self.door().reserve()
    }

    /// Puts a message into a reserved place: accepted, even if the mailbox is closed by now.
    pub(super) fn fill(&self, message: M) {
        let now = Instant::now();
        let (first, closed) = {
            let mut door = self.door();
            (door.fill(message, now), door.closed)
        };
        if first || closed {
            self.wake(closed);
        }
    }

    /// Frees a reserved place.
    pub(super) fn unreserve(&self) {
        let closed = {
            let mut door = self.door();
            door.unreserve();
            door.closed
        };
        self.room.add_permits(1);
        if closed {
            self.wake(closed);
        }
    }

    pub(super) fn settle(&self, envelope: &Envelope<M>) -> Ack {
        let (accepted, ended) = {
            let mut slots = self.lock();
            let accepted = slots.settle(envelope.slot, envelope.delivery);
            (accepted, self.is_drained(&slots))
        };
        if ended {
            self.changed.notify_waiters();
        }
        self.report(envelope, accepted, Instant::now());
        if accepted { Ack::Accepted } else { Ack::Refused }
    }

    /// Tells the observer of an acknowledgement.
    pub(super) fn report(&self, envelope: &Envelope<M>, accepted: bool, now: Instant) {
        if !accepted {
            self.observer.refused_ack(self.name, envelope.message.kind());
        } else if !envelope.is_dead() {
            self.observer.handled(&Handled {
                mailbox: self.name,
                kind: envelope.message.kind(),
                queue_wait: envelope.queue_wait(),
                handling: now.duration_since(envelope.taken_at),
                attempt: envelope.attempt,
            });
        }
    }

    /// Gives places back to senders.
    pub(super) fn make_room(&self, places: usize) {
        if places > 0 {
            self.room.add_permits(places);
        }
    }

    pub(super) fn give_back(&self, envelope: &Envelope<M>) {
        let (fate, closed) = {
            let mut slots = self.lock();
            (slots.give_back(envelope.slot, envelope.delivery, Instant::now()), slots.is_closed())
        };
        if matches!(fate, Fate::Refused) {
            return;
        }
        self.tell(&envelope.message, fate);
        self.wake(closed);
    }

    /// Takes everything back from a consumer that is stuck, as its failure, and hands it nothing any more. Not where it
    /// is not `stuck` any more, asked under the lock: what it has in hand by then belongs to a turn of its own.
    pub(super) fn oust(&self, consumer: usize, reason: &str, stuck: impl FnOnce() -> bool) -> bool {
        let (fates, closed) = {
            let mut slots = self.lock();
            if !stuck() {
                return false;
            }
            (slots.oust(consumer, Arc::from(reason), Instant::now()), slots.is_closed())
        };
        for (message, fate) in fates {
            self.tell(&message, fate);
            self.wake(closed);
        }
        true
    }

    fn tell(&self, message: &M, fate: Fate) {
        match fate {
            Fate::Refused | Fate::Released => {}
            Fate::Returned { attempt } => self.observer.returned(self.name, message.kind(), attempt),
            Fate::Died { attempts, reason } => {
                self.observer.dead_letter(self.name, &message.subject(), attempts, &reason);
            }
            Fate::Unburied => {
                tracing::error!(mailbox = self.name, message = message.subject(), "burial of a dead letter failed");
            }
        }
    }

    /// Whoever waits may take what came; at the end of a drain all must look again.
    fn wake(&self, closed: bool) {
        if closed {
            self.changed.notify_waiters();
        } else {
            self.changed.notify_one();
        }
    }
}

/// The mailbox as its owner sees it. Clones are the same mailbox.
pub struct Mailbox<M: Message>(Arc<Core<M>>);

impl<M: Message> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> Mailbox<M> {
    /// `name` labels every measurement. A capacity of 0 counts as 1.
    pub fn new(name: &'static str, limits: MailboxLimits, observer: Arc<dyn Observer>) -> Self {
        Self(Arc::new(Core {
            name,
            observer,
            closing: CancellationToken::new(),
            room: Semaphore::new(limits.capacity.clamp(1, Semaphore::MAX_PERMITS)).into(),
            door: Mutex::new(Door::new()).into(),
            slots: Mutex::new(Slots::new(limits.capacity, limits.attempts_max)).into(),
            changed: Notify::new().into(),
        }))
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub fn edge(&self, when_full: WhenFull) -> Edge<M> {
        Edge::new(Arc::clone(&self.0), when_full)
    }

    pub fn inbox(&self) -> Inbox<M> {
        Inbox::new(Arc::clone(&self.0))
    }

    /// No more messages come in; those in it are still handed out. Consumers end when nothing is left that could come
    /// back.
    pub fn close(&self) {
        self.0.close();
    }

    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }

    pub fn stats(&self) -> MailboxStats {
        let mut slots = self.0.lock();
        slots.admit(&mut self.0.door());
        MailboxStats {
            depth: slots.depth(),
            in_flight: slots.in_flight(),
            oldest_age: slots.oldest_age(Instant::now()),
            accepted: slots.accepted(),
            acknowledged: slots.totals.acknowledged,
            dead_letters: slots.totals.buried,
            refused: slots.totals.refused,
        }
    }

    /// The messages that are not done, taken away from whoever has them: a late acknowledgement is refused, so that none
    /// is counted twice.
    pub fn take_unfinished(&self) -> Vec<Arc<M>> {
        let mut slots = self.0.lock();
        slots.admit(&mut self.0.door());
        slots.oust_all(&Arc::from("was not done when the house ended"), Instant::now());
        slots.leftovers().into_iter().map(|(message, ..)| message).collect()
    }

    /// What is not done, in the order in which it was accepted.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let left = {
            let mut slots = self.0.lock();
            slots.admit(&mut self.0.door());
            slots.leftovers()
        };
        left.into_iter()
            .map(|(message, attempt, in_hand)| Leftover {
                mailbox: self.0.name,
                subject: message.subject(),
                attempt,
                in_hand,
            })
            .collect()
    }
}
