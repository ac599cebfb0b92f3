//! The door of a mailbox: where messages arrive. It has a lock of its own, because senders and consumers who share one wait
//! for each other at every message. Consumers empty it in one go ([`super::slots::Slots::admit`]).
//!
//! Plain data, like the slots. Whoever needs both locks takes the slots' first.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

/// A message that was accepted and not handed out yet.
#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
pub(super) struct Arrival<M> {
    pub message: Arc<M>,
    pub at: Instant,
}

#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
pub(super) struct Door<M> {
    /// In order of acceptance.
    pub arrived: VecDeque<Arrival<M>>,
    /// Places that a sender holds for a message to come.
    pub reserved: usize,
    pub closed: bool,
}

impl<M> Door<M> {
    pub(super) fn new() -> Self {
        Self { arrived: VecDeque::new(), reserved: 0, closed: false }
    }

    /// Whether a consumer must be woken: for the first one to arrive. Whoever is woken empties the door, and wakes the next
    /// one if anything is left. Refused where the mailbox is closed: whoever drains it has seen its end already.
    pub(super) fn push(&mut self, message: M, at: Instant) -> Result<bool, M> {
        if self.closed { Err(message) } else { Ok(self.accept(Arc::new(message), at)) }
    }

    /// Keeps a place for a message to come; false where the mailbox is closed.
    pub(super) fn reserve(&mut self) -> bool {
        if !self.closed {
            self.reserved += 1;
        }
        !self.closed
    }

    /// Puts a message into a reserved place: whoever drains the mailbox has waited for it. Whether a consumer must be woken.
    pub(super) fn fill(&mut self, message: M, at: Instant) -> bool {
        self.reserved -= 1;
        self.accept(Arc::new(message), at)
    }

    pub(super) fn unreserve(&mut self) {
        self.reserved -= 1;
    }

    fn accept(&mut self, message: Arc<M>, at: Instant) -> bool {
        self.arrived.push_back(Arrival { message, at });
        self.arrived.len() == 1
    }

    /// Closed, nobody waits at it, and nobody may come.
    pub(super) fn is_shut(&self) -> bool {
        self.closed && self.reserved == 0 && self.arrived.is_empty()
    }
}

#[cfg(test)]
mod model;
