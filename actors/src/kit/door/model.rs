//! Who is woken for what arrives, checked exhaustively: no message waits while a consumer sleeps, in whatever order senders
//! and consumers do the steps between a lock and a notice. The state of a [`tokio::sync::Notify`] is in here as its
//! documentation tells it: one stored notice, sleepers in order, a notice passed on by who gives up.

use std::collections::VecDeque;

use stateright::{Checker as _, Model, Property};
use tokio::time::Instant;

use super::super::slots::Slots;
use super::Door;

#[derive(Debug, Clone, Copy)]
struct Wakes {
    messages: u8,
    consumers: usize,
    permits: usize,
    /// How often a consumer gives up waiting, or is ousted in its turn.
    gives_up: u8,
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    /// Between turns: the look of a turn over and the next begun.
    Between,
    /// Nothing was there: about to register.
    Registers,
    /// Registered, about to look again.
    Looks,
    Sleeps,
    /// A turn, however long it takes.
    Works,
    /// Gave up waiting (paused, a tick): it may come back at any time, or never.
    Away,
    /// Was taken for stuck, and has seen it.
    Ousted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct One {
    doing: Doing,
    /// It is registered, and was given a notice.
    notice: bool,
    /// Slot and delivery of what it has in hand.
    held: Vec<(usize, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    slots: Slots<u8>,
    door: Door<u8>,
    consumers: Vec<One>,
    /// Registered and without a notice, in order.
    sleepers: VecDeque<usize>,
    /// A notice that waits for whoever registers next.
    stored: bool,
    /// Notices on their way: decided under the lock, given after it.
    notices: u8,
    to_send: u8,
    gives_up: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Push,
    /// A notice arrives.
    Notify,
    /// What a consumer does next.
    Next(usize),
    /// It gives up waiting.
    GiveUp(usize),
    Oust(usize),
}

impl State {
    fn notify_one(&mut self) {
        match self.sleepers.pop_front() {
            Some(sleeper) => self.consumers[sleeper].notice = true,
            None => self.stored = true,
        }
    }

    /// No longer registered: a notice that came and was not used goes to another one.
    fn unregister(&mut self, consumer: usize, used: bool) {
        self.sleepers.retain(|&sleeper| sleeper != consumer);
        if std::mem::take(&mut self.consumers[consumer].notice) && !used {
            self.notify_one();
        }
    }

    /// As `Consumer::take_from`; what it does then.
    fn look(&mut self, consumer: usize, wakes: &Wakes) -> Doing {
        let mut held = Vec::new();
        while held.len() < wakes.permits {
            let Some(handout) = self.slots.take_one(&mut self.door, consumer, wakes.now) else { break };
            held.push((handout.slot, handout.delivery));
        }
        let took = !held.is_empty();
        self.notices += u8::from(took && self.slots.wakes_another());
        self.consumers[consumer].held = held;
        match (took, self.slots.is_ousted(consumer)) {
            (true, _) => Doing::Works,
            (false, true) => Doing::Ousted,
            (false, false) => Doing::Registers,
        }
    }

    fn next(&mut self, consumer: usize, wakes: &Wakes) {
        let doing = match self.consumers[consumer].doing {
            Doing::Between => self.look(consumer, wakes),
            Doing::Registers => {
                if std::mem::take(&mut self.stored) {
                    self.consumers[consumer].notice = true;
                } else {
                    self.sleepers.push_back(consumer);
                }
                Doing::Looks
            }
            Doing::Looks => match self.look(consumer, wakes) {
                Doing::Registers => Doing::Sleeps,
                found => {
                    // The worse of the two cases: a notice that was stored is used up by registering.
                    self.unregister(consumer, true);
                    found
                }
            },
            Doing::Sleeps => {
                self.unregister(consumer, true);
                Doing::Registers
            }
            Doing::Works => {
                for (slot, delivery) in std::mem::take(&mut self.consumers[consumer].held) {
                    self.slots.settle(slot, delivery);
                }
                Doing::Between
            }
            Doing::Away => Doing::Between,
            Doing::Ousted => Doing::Ousted,
        };
        self.consumers[consumer].doing = doing;
    }
}

impl Model for Wakes {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut slots = Slots::new(usize::from(self.messages), 3);
        let consumers = (0..self.consumers)
            .map(|_| slots.join())
            .map(|_| One { doing: Doing::Between, notice: false, held: Vec::new() })
            .collect();
        vec![State {
            slots,
            door: Door::new(),
            consumers,
            sleepers: VecDeque::new(),
            stored: false,
            notices: 0,
            to_send: self.messages,
            gives_up: self.gives_up,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.to_send > 0 {
            steps.push(Step::Push);
        }
        if state.notices > 0 {
            steps.push(Step::Notify);
        }
        for (consumer, One { doing, notice, .. }) in state.consumers.iter().enumerate() {
            if *doing != Doing::Ousted && (*doing != Doing::Sleeps || *notice) {
                steps.push(Step::Next(consumer));
            }
            if state.gives_up > 0 && *doing == Doing::Sleeps {
                steps.push(Step::GiveUp(consumer));
            }
            if state.gives_up > 0 && *doing == Doing::Works {
                steps.push(Step::Oust(consumer));
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Push => {
                state.to_send -= 1;
                let first = state.door.push(state.to_send, self.now).expect("it is open");
                state.notices += u8::from(first);
            }
            Step::Notify => {
                state.notices -= 1;
                state.notify_one();
            }
            Step::Next(consumer) => state.next(consumer, self),
            Step::GiveUp(consumer) => {
                state.gives_up -= 1;
                state.unregister(consumer, false);
                state.consumers[consumer].doing = Doing::Away;
            }
            Step::Oust(consumer) => {
                state.gives_up -= 1;
                let back = state.slots.oust(consumer, "stuck".into(), self.now);
                state.notices += u8::try_from(back.len()).unwrap();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing waits while a consumer sleeps", |_, state: &State| {
                let waits = state.slots.depth() > 0 || !state.door.arrived.is_empty();
                let sleeps = state.consumers.iter().any(|one| one.doing == Doing::Sleeps && !one.notice);
                // Not counted on: one that works (it may take an hour), or is away.
                let comes = |one: &One| match one.doing {
                    Doing::Between | Doing::Registers | Doing::Looks => true,
                    Doing::Sleeps => one.notice,
                    Doing::Works | Doing::Away | Doing::Ousted => false,
                };
                !waits || !sleeps || state.notices > 0 || state.consumers.iter().any(comes)
            }),
            Property::sometimes("all work at once", |_, state: &State| {
                state.consumers.iter().all(|one| one.doing == Doing::Works)
            }),
            Property::sometimes("all is done and all sleep", |model, state: &State| {
                state.slots.totals.acknowledged == u64::from(model.messages)
                    && state.consumers.iter().all(|one| one.doing == Doing::Sleeps)
            }),
        ]
    }
}

#[test]
fn no_message_waits_at_the_door_while_a_consumer_sleeps() {
    for (messages, consumers, permits, gives_up) in [(3, 2, 1, 2), (3, 2, 2, 2), (3, 3, 1, 0)] {
        let model = Wakes { messages, consumers, permits, gives_up, now: Instant::now() };
        let checked = model.checker().threads(2).spawn_bfs().join();
        println!("{model:?}: {} states", checked.unique_state_count());
        checked.assert_properties();
    }
}
