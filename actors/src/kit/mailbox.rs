//! The mailbox: bounded, owned by the supervisor, shared by any number of senders and consumers.
//!
//! [`Mailbox`] owns and observes, [`Edge`] sends (and says what happens when it is full), [`Inbox`] is what consumers
//! join, [`Consumer`] is one incarnation of one actor pulling from it.

use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actor::{BatchPolicy, Message};
use super::envelope::{Ack, Envelope};
use super::observer::{Handled, Observer};
use super::slots::{Fate, Handout, Slots};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Messages that may wait. Those in hand are bounded by the consumers' permits.
    pub capacity: usize,
    /// After so many failures of its own a message is a dead letter.
    pub attempts_max: u32,
}

/// What happens to a sender when the mailbox is full. Said once, where the edge is wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The sender waits for room: backpressure.
    Wait,
    /// The message is dropped and counted; the sender never waits.
    Drop,
}

/// The message was not accepted; it comes back.
#[derive(Debug, thiserror::Error)]
#[error("the mailbox takes no more messages")]
pub struct SendError<M>(pub M);

/// A message that was not done when the grace period ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub mailbox: &'static str,
    pub subject: String,
    pub attempt: u32,
    /// An actor had it in hand.
    pub in_hand: bool,
}

/// `accepted == acknowledged + dead_letters + depth + in_flight`, always.
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

pub(super) struct Core<M: Message> {
    name: &'static str,
    /// One permit for each free place.
    room: Semaphore,
    slots: Mutex<Slots<M>>,
    /// Something came in, came back, or the end is near.
    changed: Notify,
    closing: CancellationToken,
    observer: Arc<dyn Observer>,
}

impl<M: Message> Core<M> {
    fn lock(&self) -> MutexGuard<'_, Slots<M>> {
        // Nothing of ours panics while it holds the lock; if it ever did, the data would still be whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, message: M) -> Result<(), M> {
        self.lock().push(message, Instant::now())?;
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn settle(&self, envelope: &Envelope<M>) -> Ack {
        let (accepted, ended) = {
            let mut slots = self.lock();
            let accepted = slots.settle(envelope.slot, envelope.delivery);
            (accepted, slots.closed && slots.is_empty())
        };
        if ended {
            self.changed.notify_waiters();
        }
        if !accepted {
            self.observer.refused_ack(self.name, envelope.message.kind());
            return Ack::Refused;
        }
        if !envelope.is_dead() {
            self.observer.handled(&Handled {
                mailbox: self.name,
                kind: envelope.message.kind(),
                queue_wait: envelope.queue_wait(),
                handling: envelope.taken_at.elapsed(),
                attempt: envelope.attempt,
            });
        }
        Ack::Accepted
    }

    pub(super) fn give_back(&self, envelope: &Envelope<M>) {
        let (fate, closed) = {
            let mut slots = self.lock();
            (slots.give_back(envelope.slot, envelope.delivery, Instant::now()), slots.closed)
        };
        let message = &envelope.message;
        match fate {
            Fate::Refused => return,
            Fate::Released => {}
            Fate::Returned { attempt } => self.observer.returned(self.name, message.kind(), attempt),
            Fate::Died { attempts, reason } => {
                self.observer.dead_letter(self.name, &message.subject(), attempts, &reason);
            }
            Fate::Unburied => {
                tracing::error!(mailbox = self.name, message = message.subject(), "burial of a dead letter failed");
            }
        }
        // Whoever waits may take it; at the end of a drain all must look again.
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
            room: Semaphore::new(limits.capacity.clamp(1, Semaphore::MAX_PERMITS)),
            slots: Mutex::new(Slots::new(limits.attempts_max)),
            changed: Notify::new(),
            closing: CancellationToken::new(),
            observer,
        }))
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub fn edge(&self, when_full: WhenFull) -> Edge<M> {
        Edge { core: Arc::clone(&self.0), when_full }
    }

    pub fn inbox(&self) -> Inbox<M> {
        Inbox(Arc::clone(&self.0))
    }

    /// No more messages come in; those in it are still handed out. Consumers end when nothing is left that could come
    /// back.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.room.close();
        self.0.closing.cancel();
        self.0.changed.notify_waiters();
    }

    pub fn stats(&self) -> MailboxStats {
        let slots = self.0.lock();
        MailboxStats {
            depth: slots.depth(),
            in_flight: slots.in_flight(),
            oldest_age: slots.oldest_age(Instant::now()),
            accepted: slots.totals.accepted,
            acknowledged: slots.totals.acknowledged,
            dead_letters: slots.totals.buried,
            refused: slots.totals.refused,
        }
    }

    /// The messages that are not done.
    pub fn unfinished(&self) -> Vec<Arc<M>> {
        self.0.lock().leftovers().into_iter().map(|(_, message, ..)| message).collect()
    }

    /// What is not done, in the order in which it was accepted.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let left = self.0.lock().leftovers();
        left.into_iter()
            .map(|(_, message, attempt, in_hand)| Leftover {
                mailbox: self.0.name,
                subject: message.subject(),
                attempt,
                in_hand,
            })
            .collect()
    }
}

/// A sender's end: an edge of the message graph.
pub struct Edge<M: Message> {
    core: Arc<Core<M>>,
    when_full: WhenFull,
}

impl<M: Message> Clone for Edge<M> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), when_full: self.when_full }
    }
}

impl<M: Message> Edge<M> {
    /// Sends; on a `Wait` edge waits for room. A message is accepted (and then never lost) or comes back.
    ///
    /// # Errors
    /// The mailbox is closed; or, on a `Drop` edge, it is full: the message is dropped here, and counted.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        let mut waited = None;
        match self.core.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) if self.when_full == WhenFull::Drop => return self.refused(message),
            Err(_) => {
                let asked_at = Instant::now();
                let Ok(permit) = self.core.room.acquire().await else { return self.refused(message) };
                permit.forget();
                waited = Some(asked_at.elapsed());
            }
        }
        let kind = message.kind();
        if let Err(message) = self.core.push(message) {
            return self.refused(message);
        }
        if let Some(waited) = waited {
            self.core.observer.backpressure(self.core.name, kind, waited);
        }
        Ok(())
    }

    fn refused(&self, message: M) -> Result<(), SendError<M>> {
        if self.when_full == WhenFull::Drop {
            self.core.observer.dropped(self.core.name, message.kind());
        }
        Err(SendError(message))
    }
}

/// A receiving end that incarnations join.
pub struct Inbox<M: Message>(Arc<Core<M>>);

impl<M: Message> Clone for Inbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> Inbox<M> {
    /// No more messages come in: as [`Mailbox::close`].
    pub(super) fn close(&self) {
        Mailbox(Arc::clone(&self.0)).close();
    }

    pub fn join(&self) -> Consumer<M> {
        Consumer { id: self.0.lock().join(), core: Arc::clone(&self.0) }
    }
}

/// One incarnation of one actor at its mailbox.
pub struct Consumer<M: Message> {
    core: Arc<Core<M>>,
    id: usize,
}

impl<M: Message> Consumer<M> {
    /// Fills `batch` (empty before) up to the policy; false where the mailbox is drained. Safe to drop while it waits:
    /// what was collected stays in `batch`.
    pub async fn receive(&self, policy: BatchPolicy, batch: &mut Vec<Envelope<M>>) -> bool {
        let permits = policy.messages_max.max(1);
        loop {
            let mut changed = pin!(self.core.changed.notified());
            // Registered before the look, so that nothing that happens between the two is missed.
            changed.as_mut().enable();
            match self.take(permits, batch) {
                Taken::Drained => return false,
                Taken::Nothing | Taken::Blocked => changed.await,
                Taken::Alone => return true,
                Taken::Some => break,
            }
        }
        if policy.linger > Duration::ZERO {
            self.linger(permits, Instant::now() + policy.linger, batch).await;
        }
        true
    }

    async fn linger(&self, permits: usize, until: Instant, batch: &mut Vec<Envelope<M>>) {
        while batch.len() < permits {
            let mut changed = pin!(self.core.changed.notified());
            changed.as_mut().enable();
            match self.take(permits, batch) {
                Taken::Some | Taken::Alone => {}
                Taken::Drained => return,
                Taken::Blocked => {
                    // A suspect waits for empty hands: ours will be after this turn, another consumer's may be now.
                    self.core.changed.notify_one();
                    return;
                }
                Taken::Nothing if self.core.lock().closed => return,
                Taken::Nothing => {
                    if tokio::time::timeout_at(until, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, permits: usize, batch: &mut Vec<Envelope<M>>) -> Taken {
        let now = Instant::now();
        let before = batch.len();
        let (mut room, mut alone) = (0, false);
        let (drained, more) = {
            let mut slots = self.core.lock();
            while batch.len() < permits && !alone {
                let Some((handout, from_queue)) = slots.take(self.id, now) else { break };
                room += usize::from(from_queue);
                alone = handout.alone;
                batch.push(self.envelope(handout, now));
            }
            (slots.closed && slots.is_empty(), slots.depth() > 0)
        };
        if room > 0 {
            self.core.room.add_permits(room);
        }
        if batch.len() > before {
            if more {
                self.core.changed.notify_one();
            }
            return if alone { Taken::Alone } else { Taken::Some };
        }
        match (drained, more) {
            (true, _) => Taken::Drained,
            (false, true) => Taken::Blocked,
            (false, false) => Taken::Nothing,
        }
    }

    fn envelope(&self, handout: Handout<M>, now: Instant) -> Envelope<M> {
        Envelope {
            core: Arc::clone(&self.core),
            message: handout.message,
            slot: handout.slot,
            delivery: handout.delivery,
            sequence: handout.sequence,
            attempt: handout.attempt,
            enqueued_at: handout.enqueued_at,
            taken_at: now,
            last_failure: handout.last_failure,
            dead: handout.dead,
            settled: AtomicBool::new(false),
        }
    }

    /// What the messages in hand are charged with when they are dropped.
    pub(super) fn blame(&self, reason: &str) {
        self.core.lock().blame(self.id, Arc::from(reason));
    }

    /// The turn with the batch in hand begins: from now on its failure is the batch's.
    pub(super) fn begin(&self) {
        self.core.lock().begin(self.id);
    }

    /// Gives back without blame.
    pub(super) fn release(&self, batch: &mut Vec<Envelope<M>>) {
        self.core.lock().absolve(self.id);
        batch.clear();
    }

    /// Resolves when the mailbox is closed.
    pub(super) async fn closed(&self) {
        self.core.closing.cancelled().await;
    }
}

impl<M: Message> Drop for Consumer<M> {
    fn drop(&mut self) {
        self.core.lock().leave(self.id);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Some,
    /// A suspect: nothing else may join it.
    Alone,
    Nothing,
    /// There is something, but not for hands that hold others.
    Blocked,
    Drained,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test has no supervisor to start its tasks")]

    use super::super::observer::Silent;
    use super::*;

    #[derive(Debug)]
    struct Number(u64);

    impl Message for Number {
        fn kind(&self) -> &'static str {
            "number"
        }
        fn subject(&self) -> String {
            self.0.to_string()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_reaches_an_idle_consumer_although_another_one_lingers() {
        let limits = MailboxLimits { capacity: 8, attempts_max: 3 };
        let mailbox: Mailbox<Number> = Mailbox::new("linger", limits, Arc::new(Silent));
        let edge = mailbox.edge(WhenFull::Wait);
        for number in 0..2 {
            edge.send(Number(number)).await.unwrap();
        }
        let (lingering, idle, failing) = (mailbox.inbox().join(), mailbox.inbox().join(), mailbox.inbox().join());
        let mut suspect = Vec::new();
        assert!(failing.receive(BatchPolicy::ONE, &mut suspect).await);
        failing.begin();
        let lingers = tokio::spawn(async move {
            let mut batch = Vec::new();
            let policy = BatchPolicy { messages_max: 2, linger: Duration::from_secs(60) };
            lingering.receive(policy, &mut batch).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let takes = tokio::spawn(async move {
            let mut batch = Vec::new();
            idle.receive(BatchPolicy::ONE, &mut batch).await;
            batch[0].0
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(suspect);
        let taken = tokio::time::timeout(Duration::from_secs(1), takes).await.expect("the idle one takes it at once");
        assert_eq!(taken.unwrap(), 0);
        lingers.abort();
    }
}
