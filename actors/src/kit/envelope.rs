//! An envelope: a message in the hands of an actor, and the guard that gives it back.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::actor::Message;
use super::mailbox::Core;

/// A batch in hand; never empty.
pub type Batch<M> = [Envelope<M>];

/// One attempt that ended in a panic, a kill or an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FailedAttempt {
    /// Counted from 1.
    pub attempt: u32,
    pub reason: Arc<str>,
    pub queue_wait: Duration,
    /// From the moment it was taken to the moment it came back.
    pub handling: Duration,
}

/// Whether an acknowledgement counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ack {
    Accepted,
    /// The slot was taken away meanwhile (the actor was stuck), or was acknowledged before: the result must not be
    /// used.
    Refused,
}

/// A message in hand. Dropped without [`Envelope::ack`] it goes back, first in line.
pub struct Envelope<M: Message> {
    pub(super) core: Arc<Core<M>>,
    pub(super) message: Arc<M>,
    pub(super) slot: usize,
    /// Names this handing-out among all of this mailbox: the acknowledgement is a compare-and-swap on (slot, delivery).
    pub(super) delivery: u64,
    pub(super) sequence: u64,
    pub(super) attempt: u32,
    pub(super) enqueued_at: Instant,
    pub(super) taken_at: Instant,
    pub(super) last_failure: Option<Arc<FailedAttempt>>,
    pub(super) dead: bool,
    pub(super) settled: AtomicBool,
}

impl<M: Message> Envelope<M> {
    /// Done: the message leaves the mailbox for good. A second call is refused.
    pub fn ack(&self) -> Ack {
        if self.settled.swap(true, Ordering::AcqRel) { Ack::Refused } else { self.core.settle(self) }
    }

    /// Place in the order in which the mailbox accepted its messages.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Place in the order in which the mailbox handed messages out, again and again counted anew.
    pub fn delivery(&self) -> u64 {
        self.delivery
    }

    /// Counted from 1. Only a message that failed alone is charged an attempt.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long it lay in the mailbox: from `send` (or from its return after a failure) to now being taken.
    pub fn queue_wait(&self) -> Duration {
        self.taken_at.duration_since(self.enqueued_at)
    }

    pub fn taken_at(&self) -> Instant {
        self.taken_at
    }

    /// Why it is here again, where it is.
    pub fn last_failure(&self) -> Option<&FailedAttempt> {
        self.last_failure.as_deref()
    }

    /// The message itself, to keep beyond the turn.
    pub fn message(&self) -> &Arc<M> {
        &self.message
    }

    /// Out of attempts: to be buried, not handled.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }
}

impl<M: Message> Deref for Envelope<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.message
    }
}

impl<M: Message> std::fmt::Debug for Envelope<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("sequence", &self.sequence)
            .field("attempt", &self.attempt)
            .field("message", &self.message.subject())
            .finish_non_exhaustive()
    }
}

impl<M: Message> Drop for Envelope<M> {
    fn drop(&mut self) {
        if !*self.settled.get_mut() {
            self.core.give_back(self);
        }
    }
}
