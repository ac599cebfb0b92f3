//! The slot protocol: who holds which message, what comes next, and whose fault a failure was.
//!
//! Plain data under the mailbox's lock: no waiting, no clock, no callbacks, so that it can be checked exhaustively (in
//! `slots/model.rs`).
//!
//! - A message waits at the door ([`super::door`]) until a consumer finds `queue` empty and admits all that has arrived;
//!   then in `queue`, or after a failure in `returned`, which is always first in line and in order of acceptance.
//! - Taken, it moves into a slot under a delivery number of its own. Acknowledging is a compare-and-swap on (slot,
//!   delivery): once the slot was given back, a late acknowledgement finds another number and is refused.
//! - A message that came back from a turn is a suspect: it is handed out alone. Where several were in hand when their
//!   actor failed, none is charged; one that failed alone is charged an attempt. Out of attempts it is dead: handed out
//!   once more, to be buried. One that came back before its turn had begun is no suspect.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::door::{Arrival, Door};
use super::envelope::FailedAttempt;

#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
pub(super) struct Item<M> {
    pub message: Arc<M>,
    pub sequence: u64,
    pub attempt: u32,
    pub accepted_at: Instant,
    /// When it last began to wait: accepted, or given back.
    pub enqueued_at: Instant,
    pub last_failure: Option<Arc<FailedAttempt>>,
    /// A suspect: nothing else may be in hand with it.
    pub alone: bool,
    pub dead: bool,
}

#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
/// A message in hand.
pub(super) struct Slot<M> {
    pub item: Item<M>,
    pub delivery: u64,
    consumer: usize,
    pub taken_at: Instant,
}

/// One incarnation of one actor, as the mailbox sees it.
#[derive(Default)]
#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
struct Holder {
    in_hand: usize,
    /// What it has in hand is a suspect: nothing else may join it.
    holds_suspect: bool,
    /// The turn with what is in hand has begun: only then can its failure be theirs.
    begun: bool,
    /// Set by the first message that comes back: was it the only one in hand? Holds until the hand is empty.
    failed_alone: Option<bool>,
    reason: Option<Arc<str>>,
    /// It was stuck: everything was taken from it, and it gets nothing any more.
    ousted: bool,
    gone: bool,
}

/// What became of a message that came back.
pub(super) enum Fate {
    /// The slot was not its any more.
    Refused,
    /// It came back before its turn had begun, or through no fault of the turn.
    Released,
    Returned {
        attempt: u32,
    },
    /// It has just used up its attempts.
    Died {
        attempts: u32,
        reason: Arc<str>,
    },
    /// Its burial failed: it is gone, and was reported as a dead letter before.
    Unburied,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Totals {
    pub acknowledged: u64,
    pub buried: u64,
    pub refused: u64,
}

#[cfg_attr(test, derive(Debug, Clone, PartialEq, Eq, Hash))]
pub(super) struct Slots<M> {
    attempts_max: u32,
    /// Never handed out: from `sequence` on, in order.
    queue: VecDeque<Arrival<M>>,
    sequence: u64,
    returned: BTreeMap<u64, Item<M>>,
    /// Dead letters that nobody could bury: named at the end of a drain.
    unburied: Vec<Item<M>>,
    slots: Vec<Option<Slot<M>>>,
    free: Vec<usize>,
    holders: Vec<Holder>,
    holders_free: Vec<usize>,
    delivery: u64,
    /// Places that came free and were not given back to senders yet.
    room: usize,
    /// So many are given back at once.
    share: usize,
    /// As the door: nothing comes any more but into places that are reserved.
    closed: bool,
    pub totals: Totals,
}

impl<M> Slots<M> {
    pub(super) fn new(capacity: usize, attempts_max: u32) -> Self {
        Self {
            attempts_max: attempts_max.max(1),
            queue: VecDeque::new(),
            sequence: 0,
            returned: BTreeMap::new(),
            unburied: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            holders: Vec::new(),
            holders_free: Vec::new(),
            delivery: 0,
            room: 0,
            share: (capacity / 8).max(1),
            closed: false,
            totals: Totals::default(),
        }
    }

    /// No more messages come in.
    pub(super) fn close(&mut self, door: &mut Door<M>) {
        (self.closed, door.closed) = (true, true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// All that came in are handed out: look at the door.
    pub(super) fn is_exhausted(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes in what has arrived.
    pub(super) fn admit(&mut self, door: &mut Door<M>) {
        if self.queue.is_empty() {
            std::mem::swap(&mut self.queue, &mut door.arrived);
        } else {
            self.queue.append(&mut door.arrived);
        }
    }

    pub(super) fn join(&mut self) -> usize {
        if let Some(id) = self.holders_free.pop() {
            self.holders[id] = Holder::default();
            return id;
        }
        self.holders.push(Holder::default());
        self.holders.len() - 1
    }

    pub(super) fn leave(&mut self, consumer: usize) {
        let holder = &mut self.holders[consumer];
        holder.gone = true;
        if holder.in_hand == 0 {
            self.holders_free.push(consumer);
        }
    }

    /// The turn with what this consumer has in hand begins.
    pub(super) fn begin(&mut self, consumer: usize) {
        self.holders[consumer].begun = true;
    }

    /// What this consumer has in hand comes back without blame.
    pub(super) fn absolve(&mut self, consumer: usize) {
        self.holders[consumer].begun = false;
    }

    /// What the next messages to come back from this consumer are charged with.
    pub(super) fn blame(&mut self, consumer: usize, reason: Arc<str>) {
        self.holders[consumer].reason = Some(reason);
    }

    /// Takes everything back from a stuck consumer, as its failure. Its late acknowledgements will be refused, and it is
    /// handed nothing any more.
    pub(super) fn oust(&mut self, consumer: usize, reason: Arc<str>, now: Instant) -> Vec<(Arc<M>, Fate)> {
        self.holders[consumer].ousted = true;
        self.blame(consumer, reason);
        let of_it = |(slot, held): (usize, &Option<Slot<M>>)| {
            let held = held.as_ref().filter(|held| held.consumer == consumer)?;
            Some((slot, held.delivery, Arc::clone(&held.item.message)))
        };
        let held: Vec<_> = self.slots.iter().enumerate().filter_map(of_it).collect();
        held.into_iter().map(|(slot, delivery, message)| (message, self.give_back(slot, delivery, now))).collect()
    }

    /// The end of the house: whoever still holds something is late from now on.
    pub(super) fn oust_all(&mut self, reason: &Arc<str>, now: Instant) {
        (0..self.holders.len()).for_each(|consumer| drop(self.oust(consumer, Arc::clone(reason), now)));
    }

    pub(super) fn is_ousted(&self, consumer: usize) -> bool {
        self.holders[consumer].ousted
    }

    /// Hands out the next message, where this consumer may have one now: the slot where it lies, and its number.
    pub(super) fn take(&mut self, consumer: usize, now: Instant) -> Option<(usize, &Slot<M>)> {
        let holder = &self.holders[consumer];
        if holder.ousted || holder.holds_suspect {
            return None;
        }
        match self.returned.first_key_value() {
            // A suspect goes to empty hands only, and any idle consumer will do.
            Some((_, item)) if item.alone && holder.in_hand > 0 => None,
            Some((&sequence, _)) => {
                let item = self.returned.remove(&sequence)?;
                Some(self.hold(item, consumer, now))
            }
            None => {
                let Arrival { message, at } = self.queue.pop_front()?;
                self.room += 1;
                self.sequence += 1;
                let item = Item {
                    message,
                    sequence: self.sequence - 1,
                    attempt: 1,
                    accepted_at: at,
                    enqueued_at: at,
                    last_failure: None,
                    alone: false,
                    dead: false,
                };
                Some(self.hold(item, consumer, now))
            }
        }
    }

    /// Inlined, so that what is new is made where it will lie.
    #[inline]
    fn hold(&mut self, item: Item<M>, consumer: usize, taken_at: Instant) -> (usize, &Slot<M>) {
        let holder = &mut self.holders[consumer];
        holder.in_hand += 1;
        if holder.in_hand == 1 {
            *holder = Holder { in_hand: 1, holds_suspect: item.alone, ..Holder::default() };
        }
        self.delivery += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        (slot, self.slots[slot].insert(Slot { item, delivery: self.delivery, consumer, taken_at }))
    }

    /// Acknowledges; false where the slot is not this delivery's any more.
    pub(super) fn settle(&mut self, slot: usize, delivery: u64) -> bool {
        let held = self.slots.get_mut(slot).and_then(|place| place.as_mut().filter(|held| held.delivery == delivery));
        let Some(&mut Slot { ref item, consumer, .. }) = held else {
            self.totals.refused += 1;
            return false;
        };
        if item.dead {
            self.totals.buried += 1;
        } else {
            self.totals.acknowledged += 1;
        }
        self.slots[slot] = None;
        self.free.push(slot);
        self.put_down(consumer);
        true
    }

    /// Takes a message back from its consumer: for a turn that had begun, as its failure.
    pub(super) fn give_back(&mut self, slot: usize, delivery: u64, now: Instant) -> Fate {
        let Some(held) = self.vacate(slot, delivery) else { return Fate::Refused };
        let holder = &mut self.holders[held.consumer];
        let begun = holder.begun;
        let alone = *holder.failed_alone.get_or_insert(holder.in_hand == 1);
        let reason = holder.reason.clone().unwrap_or_else(|| Arc::from("was killed"));
        self.put_down(held.consumer);
        if !begun {
            self.returned.insert(held.item.sequence, Item { enqueued_at: now, ..held.item });
            return Fate::Released;
        }
        if held.item.dead {
            self.totals.buried += 1;
            self.unburied.push(held.item);
            return Fate::Unburied;
        }
        self.charge(held, alone, reason, now)
    }

    fn charge(&mut self, held: Slot<M>, alone: bool, reason: Arc<str>, now: Instant) -> Fate {
        let Slot { mut item, taken_at, .. } = held;
        let failure = FailedAttempt {
            attempt: item.attempt,
            reason: Arc::clone(&reason),
            queue_wait: taken_at.duration_since(item.enqueued_at),
            handling: now.duration_since(taken_at),
        };
        item.enqueued_at = now;
        item.alone = true;
        let attempts = item.attempt;
        if alone {
            item.last_failure = Some(Arc::new(failure));
            item.dead = attempts >= self.attempts_max;
            item.attempt = (attempts + 1).min(self.attempts_max.max(attempts));
        }
        let (dead, attempt) = (item.dead, item.attempt);
        self.returned.insert(item.sequence, item);
        if dead { Fate::Died { attempts, reason } } else { Fate::Returned { attempt } }
    }

    fn vacate(&mut self, slot: usize, delivery: u64) -> Option<Slot<M>> {
        let held = self.slots.get_mut(slot)?.take_if(|held| held.delivery == delivery)?;
        self.free.push(slot);
        Some(held)
    }

    fn put_down(&mut self, consumer: usize) {
        let holder = &mut self.holders[consumer];
        holder.in_hand -= 1;
        holder.holds_suspect = false;
        if holder.in_hand == 0 && holder.gone {
            self.holders_free.push(consumer);
        }
    }

    /// The free places to give back to senders now: an eighth of the mailbox at once, so that a full one does not wake a
    /// sender for each message; all of them when nothing waits.
    pub(super) fn room_to_give(&mut self) -> usize {
        let gives = self.room >= self.share || self.depth() == 0;
        if gives { std::mem::take(&mut self.room) } else { 0 }
    }

    /// Whether a consumer that took something must wake another one, for what it left.
    pub(super) fn wakes_another(&self) -> bool {
        self.depth() > 0 && self.holders.len() - self.holders_free.len() > 1
    }

    /// Waiting, not in hand.
    pub(super) fn depth(&self) -> usize {
        self.queue.len() + self.returned.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Ever accepted, of what was admitted.
    pub(super) fn accepted(&self) -> u64 {
        self.sequence + self.queue.len() as u64
    }

    /// Closed, nothing waits, and nothing can come back: whether all is done the door says ([`Door::is_shut`]).
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.depth() == 0 && self.in_flight() == 0
    }

    /// Everything not done, in order of acceptance: message, attempt, whether it is in hand.
    pub(super) fn leftovers(&self) -> Vec<(Arc<M>, u32, bool)> {
        let came_back = self.returned.values().chain(&self.unburied).map(|item| (item, false));
        let held = self.slots.iter().flatten().map(|slot| (&slot.item, true));
        let mut handed_out: Vec<_> = came_back.chain(held).collect();
        handed_out.sort_by_key(|(item, _)| item.sequence);
        let handed_out = handed_out.into_iter();
        let handed_out = handed_out.map(|(item, in_hand)| (Arc::clone(&item.message), item.attempt, in_hand));
        handed_out.chain(self.queue.iter().map(|arrival| (Arc::clone(&arrival.message), 1, false))).collect()
    }

    pub(super) fn oldest_age(&self, now: Instant) -> Duration {
        let heads = self.queue.front().map(|arrival| arrival.at);
        let heads = heads.into_iter().chain(self.returned.values().map(|item| item.accepted_at));
        heads.map(|accepted_at| now.duration_since(accepted_at)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests;
