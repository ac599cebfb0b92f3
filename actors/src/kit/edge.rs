//! The sending end of a mailbox: an edge of the message graph. Sending waits or drops when the mailbox is full; a place
//! reserved beforehand takes a message for certain.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::actor::Message;
use super::envelope::{Ack, Envelope};
use super::mailbox::Core;
use super::pulse;

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

/// The mailbox takes no more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox takes no more messages")]
pub struct Closed;

/// A sender's end.
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
    pub(super) fn new(core: Arc<Core<M>>, when_full: WhenFull) -> Self {
        Self { core, when_full }
    }

    /// Sends; on a `Wait` edge waits for room. A message is accepted (and then never lost) or comes back.
    ///
    /// # Errors
    /// The mailbox is closed; or, on a `Drop` edge, it is full: the message is dropped here, and counted.
    pub async fn send(&self, message: M) -> Result<(), SendError<M>> {
        let Ok(waited) = self.room().await else { return self.refused(message) };
        let kind = message.kind();
        if let Err(message) = self.core.push(message) {
            return self.refused(message);
        }
        if let Some(waited) = waited {
            self.core.observer.backpressure(self.core.name, kind, waited);
        }
        Ok(())
    }

    /// Waits for room as [`Edge::send`] does, and keeps it: what is put there is accepted whatever happens meanwhile. A
    /// drain waits for places that are not filled yet, so reserve last and fill at once. A refusal on a `Drop` edge is
    /// not counted: whoever asked still has the message.
    ///
    /// # Errors
    /// The mailbox is closed, or full on a `Drop` edge.
    pub async fn reserve(&self) -> Result<Place<M>, Closed> {
        let waited = self.room().await.map_err(|()| Closed)?;
        if !self.core.reserve() {
            return Err(Closed);
        }
        Ok(Place { core: Arc::clone(&self.core), waited, used: false })
    }

    /// Takes one permit for good; how long it waited for it, where it did.
    async fn room(&self) -> Result<Option<Duration>, ()> {
        match self.core.room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(None)
            }
            Err(_) if self.when_full == WhenFull::Drop => Err(()),
            Err(_) => {
                let since = Instant::now();
                // Waiting for a neighbour is not being stuck.
                pulse::at_rest(self.core.room.acquire()).await.map(SemaphorePermit::forget).map_err(|_| ())?;
                Ok(Some(since.elapsed()))
            }
        }
    }

    fn refused(&self, message: M) -> Result<(), SendError<M>> {
        if self.when_full == WhenFull::Drop {
            self.core.observer.dropped(self.core.name, message.kind());
        }
        Err(SendError(message))
    }
}

/// Room for one message, kept. Dropped unused, it is free again.
#[must_use]
pub struct Place<M: Message> {
    core: Arc<Core<M>>,
    waited: Option<Duration>,
    used: bool,
}

impl<M: Message> Place<M> {
    /// Puts a message in: accepted, even if the mailbox was closed meanwhile.
    pub fn fill(mut self, message: M) {
        let kind = message.kind();
        self.used = true;
        self.core.fill(message);
        if let Some(waited) = self.waited {
            self.core.observer.backpressure(self.core.name, kind, waited);
        }
    }

    /// Passes work on: acknowledges what it was made from and puts `message` in, with no await between the two. Where the
    /// acknowledgement is refused (the envelope was taken away meanwhile, and somebody else has it now) the message is
    /// dropped: a late result counts for nothing.
    pub fn hand_over<F: Message>(self, from: &Envelope<F>, message: M) -> Ack {
        let acknowledged = from.ack();
        if acknowledged == Ack::Accepted {
            self.fill(message);
        }
        acknowledged
    }
}

impl<M: Message> Drop for Place<M> {
    fn drop(&mut self) {
        if !self.used {
            self.core.unreserve();
        }
    }
}
