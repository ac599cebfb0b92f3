//! What an actor is: one closed message type, one turn at a time, state that is built anew after a failure.

use std::time::Duration;

use super::envelope::{Batch, Envelope, FailedAttempt};

/// What travels in a mailbox. `kind` labels measurements (few values); `subject` names one message for people.
pub trait Message: Send + Sync + 'static {
    fn kind(&self) -> &'static str;
    fn subject(&self) -> String;
}

/// How many messages one turn takes, and how long a turn that could take more waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// At least 1. It is also the number of permits: an actor never holds more messages than this.
    pub messages_max: usize,
    /// Counted from the first message of the batch.
    pub linger: Duration,
}

impl BatchPolicy {
    pub const ONE: Self = Self { messages_max: 1, linger: Duration::ZERO };
}

/// Why a turn did not end well. What was not acknowledged goes back to the mailbox.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The actor's state is no longer to be trusted: it is rebuilt, and the message is charged an attempt.
    #[error("{0}")]
    Broken(String),
    /// An actor that it needs takes no more messages, because the house is going down: this one ends too, and nobody is
    /// charged.
    #[error("{0} takes no more messages")]
    Stranded(&'static str),
}

/// A message that will not be tried again, and why.
#[derive(Debug)]
pub struct DeadLetter<'a, M: Message> {
    pub envelope: &'a Envelope<M>,
    /// The failure that used up the last attempt.
    pub last: &'a FailedAttempt,
}

/// An actor. Its futures stay on the thread where they start, so they need not be `Send`.
#[expect(async_fn_in_trait, reason = "actors are started by type; nobody needs these futures to be Send")]
pub trait Actor: 'static {
    type Message: Message;

    /// Asked once, when an incarnation starts.
    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy::ONE
    }

    /// Handles a batch of at least one message. `Ok` acknowledges what the actor has not acknowledged itself. A message
    /// that is wrong is a value to report, not an `Err`.
    async fn handle(&mut self, batch: &Batch<Self::Message>) -> Result<(), Failure>;

    /// A message has used up its attempts. It is acknowledged when this returns; it is not offered again if this fails,
    /// unless the actor is stranded.
    async fn bury(&mut self, _letter: DeadLetter<'_, Self::Message>) -> Result<(), Failure> {
        Ok(())
    }

    /// How often [`Actor::tick`] is called; asked once, when an incarnation starts.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// Called between turns once the time of [`Actor::tick_every`] has passed, whether messages wait or not; late ticks
    /// are not made up for.
    async fn tick(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The mailbox is closed and empty, and nothing can come back. The last call an incarnation gets.
    async fn drained(&mut self) {}
}
