//! The receiving end of a mailbox: incarnations of actors join an [`Inbox`], and each pulls batches as a [`Consumer`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::Instant;

use super::actor::{BatchPolicy, Message};
use super::envelope::Envelope;
use super::mailbox::Core;
use super::slots::{Slot, Slots};

/// A receiving end that incarnations join.
pub struct Inbox<M: Message>(Arc<Core<M>>);

impl<M: Message> Clone for Inbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Message> Inbox<M> {
    pub(super) fn new(core: Arc<Core<M>>) -> Self {
        Self(core)
    }

    /// No more messages come in: as [`super::Mailbox::close`].
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Takes everything back from a consumer, if it is still `stuck`; what it does later counts for nothing.
    pub(super) fn oust(&self, consumer: usize, reason: &str, stuck: impl FnOnce() -> bool) -> bool {
        self.0.oust(consumer, reason, stuck)
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
    /// Names it to [`Inbox::oust`].
    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// Fills `batch` (empty before) up to the policy; false where nothing will come any more: the mailbox is drained, or
    /// this consumer was ousted. Safe to drop while it waits: what was collected stays in `batch`.
    pub async fn receive(&self, policy: BatchPolicy, batch: &mut Vec<Envelope<M>>) -> bool {
        let permits = policy.messages_max.max(1);
        loop {
            let mut changed = pin!(self.core.changed.notified());
            // Registered before the look, so that nothing that happens between the two is missed.
            changed.as_mut().enable();
            match self.take(permits, batch) {
                Taken::Over => return false,
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
                Taken::Over => return,
                Taken::Blocked => {
                    // A suspect waits for empty hands: ours will be after this turn, another consumer's may be now.
                    self.core.changed.notify_one();
                    return;
                }
                Taken::Nothing if self.core.lock().is_closed() => return,
                Taken::Nothing => {
                    if tokio::time::timeout_at(until, changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, permits: usize, batch: &mut Vec<Envelope<M>>) -> Taken {
        let taken = self.take_from(&mut self.core.lock(), permits, Instant::now(), batch);
        self.core.make_room(taken.room);
        if taken.wakes {
            self.core.changed.notify_one();
        }
        taken.what
    }

    fn take_from(&self, slots: &mut Slots<M>, permits: usize, now: Instant, batch: &mut Vec<Envelope<M>>) -> Taking {
        let before = batch.len();
        let mut alone = false;
        self.core.admit(slots);
        while batch.len() < permits && !alone {
            let Some((slot, held)) = slots.take(self.id, now) else { break };
            alone = held.item.alone;
            batch.push(self.envelope(slot, held));
            self.core.admit(slots);
        }
        let (took, waits) = (batch.len() > before, slots.depth() > 0);
        let what = match (took, alone, waits) {
            (true, true, _) => Taken::Alone,
            (true, false, _) => Taken::Some,
            _ if self.core.is_drained(slots) || slots.is_ousted(self.id) => Taken::Over,
            (false, _, true) => Taken::Blocked,
            (false, _, false) => Taken::Nothing,
        };
        Taking { what, room: slots.room_to_give(), wakes: took && slots.wakes_another() }
    }

    /// Ends a turn and begins the next, under one lock: acknowledges `done` (what the actor acknowledged itself is
    /// settled already) and, given a policy, takes a batch if there is one now.
    pub(super) fn turn_over(
        &self,
        policy: Option<BatchPolicy>,
        done: &mut Vec<Envelope<M>>,
        batch: &mut Vec<Envelope<M>>,
    ) -> Next {
        done.retain_mut(|envelope| !std::mem::replace(envelope.settled.get_mut(), true));
        if done.is_empty() && policy.is_none() {
            return Next::Nothing;
        }
        let now = Instant::now();
        // Seldom any: an empty one allocates nothing.
        let mut refused = Vec::new();
        let (taking, ended) = {
            let mut slots = self.core.lock();
            for (at, envelope) in done.iter().enumerate() {
                if !slots.settle(envelope.slot, envelope.delivery) {
                    refused.push(at);
                }
            }
            let taking = policy.map(|policy| {
                let taking = self.take_from(&mut slots, policy.messages_max.max(1), now, batch);
                if !batch.is_empty() {
                    slots.begin(self.id);
                }
                taking
            });
            (taking, !done.is_empty() && self.core.is_drained(&slots))
        };
        if ended {
            self.core.changed.notify_waiters();
        }
        for (at, envelope) in done.iter().enumerate() {
            self.core.report(envelope, !refused.contains(&at), now);
        }
        done.clear();
        let Some(taking) = taking else { return Next::Nothing };
        self.core.make_room(taking.room);
        if taking.wakes {
            self.core.changed.notify_one();
        }
        match taking.what {
            Taken::Some | Taken::Alone => Next::Batch,
            Taken::Over => Next::Over,
            Taken::Nothing | Taken::Blocked => Next::Nothing,
        }
    }

    fn envelope(&self, slot: usize, held: &Slot<M>) -> Envelope<M> {
        Envelope {
            core: Arc::clone(&self.core),
            message: Arc::clone(&held.item.message),
            slot,
            delivery: held.delivery,
            sequence: held.item.sequence,
            attempt: held.item.attempt,
            enqueued_at: held.item.enqueued_at,
            taken_at: held.taken_at,
            last_failure: held.item.last_failure.clone(),
            dead: held.item.dead,
            settled: AtomicBool::new(false),
        }
    }

    pub(super) fn is_ousted(&self) -> bool {
        self.core.lock().is_ousted(self.id)
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

/// What the next turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// One with the batch that was taken; it has begun.
    Batch,
    /// Nothing is there now.
    Nothing,
    /// Nothing will come any more.
    Over,
}

struct Taking {
    what: Taken,
    /// Places for senders.
    room: usize,
    /// Another consumer has something to do.
    wakes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Some,
    /// A suspect: nothing else may join it.
    Alone,
    Nothing,
    /// There is something, but not for hands that hold others.
    Blocked,
    /// Nothing will come any more.
    Over,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test has no supervisor to start its tasks")]

    use super::super::edge::WhenFull;
    use super::super::mailbox::{Mailbox, MailboxLimits};
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
