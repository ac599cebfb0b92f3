//! The slot protocol, checked exhaustively: every order in which senders, two actors, their supervisor, and actors that
//! were given up but are still there can do what they do, with a few messages and a few faults.
//!
//! 112,818 states in the suite. By hand, with more messages and faults (1.8 million states):
//! `OMNINODE_MODEL=3,2 cargo test --release -p actors model -- --nocapture`.

use std::sync::Arc;

use stateright::{Checker as _, Model, Property};
use tokio::time::Instant;

use super::{Door, Fate, Slots};

/// Two failures alone make a dead letter.
const ATTEMPTS_MAX: u32 = 2;
/// What an actor holds at most.
const PERMITS: usize = 2;

/// A message as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::kit) struct Handout<M> {
    pub message: Arc<M>,
    pub slot: usize,
    pub delivery: u64,
    pub sequence: u64,
    pub attempt: u32,
    pub alone: bool,
    pub dead: bool,
}

impl<M> Slots<M> {
    /// As a consumer takes one message, under the lock.
    pub(in crate::kit) fn take_one(&mut self, door: &mut Door<M>, consumer: usize, now: Instant) -> Option<Handout<M>> {
        self.look(door);
        let (slot, held) = self.take(consumer, now)?;
        let handout = Handout {
            message: Arc::clone(&held.item.message),
            slot,
            delivery: held.delivery,
            sequence: held.item.sequence,
            attempt: held.item.attempt,
            alone: held.item.alone,
            dead: held.item.dead,
        };
        self.look(door);
        Some(handout)
    }

    fn look(&mut self, door: &mut Door<M>) {
        if self.is_exhausted() {
            self.admit(door);
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Protocol {
    messages: u8,
    faults: u8,
    now: Instant,
}

/// One incarnation of an actor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hand {
    consumer: usize,
    held: Vec<Handout<u8>>,
    begun: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    slots: Slots<u8>,
    door: Door<u8>,
    hands: Vec<Hand>,
    /// Actors that were stuck: they still believe that they hold something.
    ousted: Vec<Hand>,
    to_send: u8,
    faults_left: u8,
    /// Of each message: failures that it alone can have caused, and ends (acknowledged, buried, or its burial failed).
    charges: Vec<u32>,
    ends: Vec<u8>,
    /// A rule that a step broke, where one did.
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Send,
    Reserve,
    Fill,
    Unreserve,
    Close,
    /// Somebody asks for the state of the mailbox: what has arrived is admitted.
    Ask,
    Take(usize),
    Begin(usize),
    /// Acknowledges one of those in hand.
    Settle(usize, usize),
    /// The actor panics or returns an error; a new one takes its place.
    Fail(usize),
    /// The actor is told to stop, or is stranded: what it holds is released. A new one takes its place.
    Stop(usize),
    /// The supervisor finds it stuck. A new one takes its place.
    Oust(usize),
    /// An actor that was stuck acknowledges after all.
    LateSettle(usize, usize),
    /// It ends: what it believes to hold is dropped.
    LateEnd(usize),
}

impl State {
    fn check(&mut self, holds: bool, rule: &'static str) {
        if !holds && self.broken.is_none() {
            self.broken = Some(rule);
        }
    }

    /// Messages are numbered as they are accepted.
    fn next_message(&self) -> u8 {
        u8::try_from(self.accepted()).unwrap()
    }

    fn accepted(&self) -> u64 {
        self.slots.accepted() + self.door.arrived.len() as u64
    }

    fn is_drained(&self) -> bool {
        self.slots.is_over() && self.door.is_shut()
    }

    fn end(&mut self, handout: &Handout<u8>) {
        self.ends[usize::from(*handout.message)] += 1;
    }

    fn take(&mut self, at: usize, now: Instant) -> bool {
        let waits_returned = self.slots.returned.keys().next().copied();
        let taken = self.slots.take_one(&mut self.door, self.hands[at].consumer, now);
        self.check(!self.slots.is_exhausted() || self.door.arrived.is_empty(), "nothing waits unseen at the door");
        let Some(handout) = taken else { return false };
        self.check(waits_returned.is_none_or(|first| first == handout.sequence), "what came back is first in line");
        let room = self.slots.room_to_give();
        self.check(room == usize::from(waits_returned.is_none()), "only what leaves the queue makes room");
        let charges = self.charges[usize::from(*handout.message)];
        self.check(handout.attempt == (charges + 1).min(ATTEMPTS_MAX), "an attempt is charged for failing alone only");
        self.check(handout.dead == (charges >= ATTEMPTS_MAX), "out of attempts it is dead, and not before");
        let hand = &mut self.hands[at];
        hand.held.push(handout);
        let alone = hand.held.len() == 1 || hand.held.iter().all(|handout| !handout.alone);
        self.check(alone, "a suspect is handed out alone");
        true
    }

    /// What is held goes back, as a failure or without blame.
    fn give_back(&mut self, hand: &Hand, now: Instant) {
        let alone = hand.held.len() == 1;
        for handout in &hand.held {
            let fate = self.slots.give_back(handout.slot, handout.delivery, now);
            self.judge(handout, &fate, hand.begun, alone);
        }
        self.slots.leave(hand.consumer);
    }

    fn judge(&mut self, handout: &Handout<u8>, fate: &Fate, begun: bool, alone: bool) {
        let charges = &mut self.charges[usize::from(*handout.message)];
        *charges += u32::from(begun && alone && !handout.dead);
        let charges = *charges;
        let right = match fate {
            Fate::Refused => false,
            Fate::Released => !begun,
            Fate::Returned { attempt } => begun && *attempt == charges + 1,
            Fate::Died { attempts, .. } => begun && alone && *attempts == ATTEMPTS_MAX && charges == ATTEMPTS_MAX,
            Fate::Unburied => begun && handout.dead,
        };
        self.check(right, "what comes back meets the fate that its turn gave it");
        if matches!(fate, Fate::Unburied) {
            self.end(handout);
        }
    }

    fn replace(&mut self, at: usize) -> Hand {
        let consumer = self.slots.join();
        std::mem::replace(&mut self.hands[at], Hand { consumer, held: Vec::new(), begun: false })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut slots = Slots::new(usize::from(self.messages), ATTEMPTS_MAX);
        let hands = (0..2).map(|_| Hand { consumer: slots.join(), held: Vec::new(), begun: false }).collect();
        let count = usize::from(self.messages);
        vec![State {
            slots,
            door: Door::new(),
            hands,
            ousted: Vec::new(),
            to_send: self.messages,
            faults_left: self.faults,
            charges: vec![0; count],
            ends: vec![0; count],
            broken: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.to_send > 0 {
            steps.push(Step::Send);
            if state.door.reserved == 0 {
                steps.push(Step::Reserve);
            }
        }
        if state.door.reserved > 0 {
            steps.extend([Step::Fill, Step::Unreserve]);
        }
        if !state.door.closed {
            steps.push(Step::Close);
        }
        if !state.door.arrived.is_empty() {
            steps.push(Step::Ask);
        }
        for (at, hand) in state.hands.iter().enumerate() {
            if !hand.begun && hand.held.len() < PERMITS {
                steps.push(Step::Take(at));
            }
            if !hand.begun && !hand.held.is_empty() {
                steps.push(Step::Begin(at));
            }
            if hand.begun {
                steps.extend((0..hand.held.len()).map(|index| Step::Settle(at, index)));
            }
            if state.faults_left > 0 && !hand.held.is_empty() {
                steps.push(Step::Stop(at));
                if hand.begun {
                    steps.extend([Step::Fail(at), Step::Oust(at)]);
                }
            }
        }
        for (at, hand) in state.ousted.iter().enumerate() {
            steps.extend((0..hand.held.len()).map(|index| Step::LateSettle(at, index)));
            steps.push(Step::LateEnd(at));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        if matches!(step, Step::Stop(_) | Step::Fail(_) | Step::Oust(_)) {
            state.faults_left -= 1;
        }
        match step {
            Step::Send => {
                let closed = state.door.closed;
                let sent = state.door.push(state.next_message(), self.now).is_ok();
                state.check(sent != closed, "a closed mailbox takes nothing, an open one everything");
                state.to_send -= 1;
            }
            Step::Reserve => {
                if !state.door.reserve() {
                    return None;
                }
                state.to_send -= 1;
            }
            Step::Fill => {
                state.door.fill(state.next_message(), self.now);
            }
            Step::Unreserve => state.door.unreserve(),
            Step::Close => state.slots.close(&mut state.door),
            Step::Ask => state.slots.admit(&mut state.door),
            Step::Take(at) => {
                if !state.take(at, self.now) {
                    return None;
                }
            }
            Step::Begin(at) => {
                state.slots.begin(state.hands[at].consumer);
                state.hands[at].begun = true;
            }
            Step::Settle(at, index) => {
                let handout = state.hands[at].held.remove(index);
                let settled = state.slots.settle(handout.slot, handout.delivery);
                state.check(settled, "who holds a message can acknowledge it");
                state.end(&handout);
                let hand = &mut state.hands[at];
                hand.begun &= !hand.held.is_empty();
            }
            Step::Fail(at) => {
                let hand = state.replace(at);
                state.slots.blame(hand.consumer, Arc::from("failed"));
                state.give_back(&hand, self.now);
            }
            Step::Stop(at) => {
                let hand = state.replace(at);
                state.slots.absolve(hand.consumer);
                state.give_back(&Hand { begun: false, ..hand }, self.now);
            }
            Step::Oust(at) => {
                let hand = state.replace(at);
                let fates = state.slots.oust(hand.consumer, Arc::from("stuck"), self.now);
                state.check(fates.len() == hand.held.len(), "everything is taken from a stuck actor");
                for (message, fate) in fates {
                    let Some(handout) = hand.held.iter().find(|held| held.message == message).cloned() else {
                        continue;
                    };
                    state.judge(&handout, &fate, true, hand.held.len() == 1);
                }
                state.ousted.push(hand);
            }
            Step::LateSettle(at, index) => {
                let handout = state.ousted[at].held.remove(index);
                let settled = state.slots.settle(handout.slot, handout.delivery);
                state.check(!settled, "a late acknowledgement is refused");
            }
            Step::LateEnd(at) => {
                let hand = state.ousted.remove(at);
                let handed = state.slots.take_one(&mut state.door, hand.consumer, self.now).is_some();
                state.check(!handed, "a stuck actor is handed nothing any more");
                for handout in &hand.held {
                    let fate = state.slots.give_back(handout.slot, handout.delivery, self.now);
                    state.check(matches!(fate, Fate::Refused), "what was taken away cannot come back twice");
                }
                state.slots.leave(hand.consumer);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no step breaks a rule", |_, state: &State| state.broken.is_none()),
            Property::always("the books balance", |_, state: &State| {
                let totals = state.slots.totals;
                let open = (state.door.arrived.len() + state.slots.depth() + state.slots.in_flight()) as u64;
                let ends: u64 = state.ends.iter().map(|&ends| u64::from(ends)).sum();
                let accepted = state.accepted();
                accepted == totals.acknowledged + totals.buried + open && ends + open == accepted
            }),
            Property::always("no message ends twice", |_, state: &State| state.ends.iter().all(|&ends| ends <= 1)),
            Property::always("no message is in two hands", |_, state: &State| {
                let held: Vec<u8> = state.hands.iter().flat_map(|hand| &hand.held).map(|held| *held.message).collect();
                held.len() == state.slots.in_flight() && (1..held.len()).all(|at| !held[at..].contains(&held[at - 1]))
            }),
            Property::always("empty hands get what waits", |_, state: &State| {
                let (mut slots, mut door) = (state.slots.clone(), state.door.clone());
                let waits = slots.depth() > 0 || !door.arrived.is_empty();
                let idle = state.hands.iter().find(|hand| hand.held.is_empty());
                idle.is_none_or(|hand| !waits || slots.take_one(&mut door, hand.consumer, Instant::now()).is_some())
            }),
            Property::always("drained means that everything has ended", |_, state: &State| {
                let open = state.accepted() != state.ends.iter().map(|&ends| u64::from(ends)).sum::<u64>();
                !state.is_drained() || !(open || state.door.reserved > 0)
            }),
            Property::sometimes("a message dies and is buried", |_, state: &State| state.slots.totals.buried > 0),
            Property::sometimes("a late acknowledgement is refused", |_, state: &State| state.slots.totals.refused > 0),
            Property::sometimes("all end, with faults", |model, state: &State| {
                state.faults_left == 0 && state.is_drained() && state.ends == vec![1; usize::from(model.messages)]
            }),
        ]
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the size of a check by hand comes from the environment")]
fn no_order_of_steps_breaks_the_slot_protocol() {
    let size = std::env::var("OMNINODE_MODEL").unwrap_or_else(|_| "2,2".to_owned());
    let (messages, faults) = size.split_once(',').expect("OMNINODE_MODEL=MESSAGES,FAULTS");
    let protocol =
        Protocol { messages: messages.parse().unwrap(), faults: faults.parse().unwrap(), now: Instant::now() };
    let checked = protocol.checker().threads(2).spawn_bfs().join();
    println!("{size} messages and faults: {} states", checked.unique_state_count());
    checked.assert_properties();
}
