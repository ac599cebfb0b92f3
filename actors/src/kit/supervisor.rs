//! The supervisor: it places actors on threads, builds them anew when they break, and gives up when that happens too
//! often.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Actor as _;
use actix_rt::Arbiter;
use futures_util::FutureExt as _;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::actor::Actor;
use super::consumer::Inbox;
use super::host::{Exit, Host, Wanted, oust, panicked};
use super::observer::{Observer, RestartCause};
use super::pulse::Pulse;
use super::restart::{RestartBudget, RestartPolicy};

/// On which thread an actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Each actor has an Arbiter (a thread) of its own, so that CPU work in one blocks nobody else.
    Threads,
    /// All actors share the current thread: the simulation, on a clock that can be paused.
    Single,
}

/// A child has used up its restart budget: the whole house drains and the process ends non-zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{actor} failed too often and was given up; the last time it {cause}")]
pub struct Escalation {
    pub actor: String,
    pub cause: RestartCause,
}

/// Threads of one child that hang and cannot be ended; over it the child is given up.
const ABANDONED_MAX: usize = 8;

/// Owns the children. Created and used on the thread of an actix System.
pub struct Supervisor {
    placement: Placement,
    observer: Arc<dyn Observer>,
    chance: Arc<Mutex<fastrand::Rng>>,
    children: Vec<JoinHandle<()>>,
    wanted: watch::Sender<Wanted>,
    escalated: watch::Sender<Option<Escalation>>,
}

impl Supervisor {
    /// `seed` makes the delays before restarts repeatable.
    pub fn new(placement: Placement, observer: Arc<dyn Observer>, seed: u64) -> Self {
        let chance = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let (wanted, escalated) = (watch::Sender::default(), watch::Sender::new(None));
        Self { placement, observer, chance, children: Vec::new(), wanted, escalated }
    }

    /// Starts an actor on its inbox. `build` makes each incarnation, on the thread where it will live.
    pub fn start<A: Actor>(
        &mut self,
        name: impl Into<String>,
        inbox: Inbox<A::Message>,
        policy: RestartPolicy,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) {
        let charge = Charge {
            name: name.into(),
            placement: self.placement,
            observer: Arc::clone(&self.observer),
            chance: Arc::clone(&self.chance),
            wanted: self.wanted.subscribe(),
            escalated: self.escalated.clone(),
            abandoned: Vec::new(),
        };
        let (name, escalated, closes) = (charge.name.clone(), charge.escalated.clone(), inbox.clone());
        let supervision = AssertUnwindSafe(charge.keep_alive(inbox, policy, Arc::new(build))).catch_unwind();
        self.children.push(actix_rt::spawn(async move {
            // Only a panic of the observer, or of what starts threads, ends a supervision like this.
            if let Err(panic) = supervision.await {
                closes.close();
                escalated.send_replace(Some(Escalation { actor: name, cause: panicked(&*panic) }));
            }
        }));
    }

    /// Resolves when a child has been given up.
    pub fn escalation(&self) -> impl Future<Output = Escalation> + use<> {
        let mut escalated = self.escalated.subscribe();
        async move {
            match escalated.wait_for(Option::is_some).await.map(|escalation| escalation.clone()) {
                Ok(Some(escalation)) => escalation,
                // The supervisor is gone: nobody is left to give up.
                _ => std::future::pending().await,
            }
        }
    }

    /// Tells every child, and each of its later incarnations, to take no more messages (or to take them again).
    pub fn pause(&self, paused: bool) {
        self.wanted.send_modify(|wanted| wanted.paused = paused);
    }

    /// Tells every child to end after the turn it is in; none is built again.
    pub fn stop(&self) {
        self.wanted.send_modify(|wanted| wanted.stop = true);
    }

    /// Resolves when every child has ended: drained, stopped or given up.
    pub async fn ended(&mut self) {
        while let Some(child) = self.children.last_mut() {
            // A supervision catches its own panics.
            let _ = child.await;
            self.children.pop();
        }
    }
}

/// The supervision of one child.
struct Charge {
    name: String,
    placement: Placement,
    observer: Arc<dyn Observer>,
    chance: Arc<Mutex<fastrand::Rng>>,
    wanted: watch::Receiver<Wanted>,
    escalated: watch::Sender<Option<Escalation>>,
    /// Arbiters whose actor was stuck: they end when it comes back, if ever.
    abandoned: Vec<Arbiter>,
}

impl Charge {
    async fn keep_alive<A: Actor>(
        mut self,
        inbox: Inbox<A::Message>,
        policy: RestartPolicy,
        build: Arc<dyn Fn() -> A + Send + Sync>,
    ) {
        let mut budget = RestartBudget::new(policy);
        let mut home: Option<Arbiter> = None;
        loop {
            let pulse = Arc::new(Pulse::new(policy.turn_max));
            let cause = match self.live(&inbox, Arc::clone(&build), &pulse, &mut home).await {
                Exit::Drained | Exit::Stopped => break,
                Exit::Stranded => {
                    // Nobody may wait for room in a mailbox that nobody empties.
                    inbox.close();
                    break;
                }
                Exit::Broken(cause) => cause,
            };
            if self.wanted.borrow().stop {
                break;
            }
            // What fails now and then and works in between is held in bounds by its messages' attempts.
            if pulse.worked() {
                budget.recover();
            }
            self.abandoned.retain(Arbiter::alive);
            let chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64();
            let delay = budget.spend(Instant::now(), chance).filter(|_| self.abandoned.len() <= ABANDONED_MAX);
            let Some(delay) = delay else {
                self.observer.gave_up(&self.name, &cause);
                // Nobody may wait for room in a mailbox that nobody empties.
                inbox.close();
                self.escalated.send_replace(Some(Escalation { actor: self.name.clone(), cause }));
                break;
            };
            self.observer.restarted(&self.name, &cause, delay);
            // A timer of no time at all would still take its tick of a millisecond.
            if delay > Duration::ZERO {
                let stopped = self.wanted.wait_for(|wanted| wanted.stop);
                if matches!(tokio::time::timeout(delay, stopped).await, Ok(Ok(_))) {
                    break;
                }
            }
        }
        if let Some(arbiter) = home {
            arbiter.stop();
        }
    }

    /// One incarnation, from its start to its end.
    async fn live<A: Actor>(
        &mut self,
        inbox: &Inbox<A::Message>,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        pulse: &Arc<Pulse>,
        home: &mut Option<Arbiter>,
    ) -> Exit {
        let (sender, mut ended) = oneshot::channel();
        let consumer = inbox.join();
        let id = consumer.id();
        let host = Host::new(consumer, build, self.wanted.clone(), Arc::clone(pulse), sender);
        let address = match self.placement {
            Placement::Single => host.start(),
            Placement::Threads => match lodge(home) {
                Ok(arbiter) => Host::start_in_arbiter(&arbiter.handle(), move |_| host),
                Err(error) => return Exit::Broken(RestartCause::Failed(format!("no thread for it: {error}"))),
            },
        };
        let cause = loop {
            // In order: a simulation repeats itself to the letter.
            let (seen, cause) = tokio::select! {
                biased;
                exit = &mut ended => return exit.unwrap_or(Exit::Broken(RestartCause::Killed)),
                stuck = pulse.stuck() => stuck,
            };
            if inbox.oust(id, &cause.to_string(), || pulse.is_still(seen)) {
                break cause;
            }
        };
        // Nothing can end a thread that does not come back: it is left to itself, without its messages.
        oust(&address);
        if let Some(arbiter) = home.take() {
            arbiter.stop();
            self.abandoned.push(arbiter);
        }
        Exit::Broken(cause)
    }
}

/// The Arbiter of a child: kept from one incarnation to the next, unless it has ended.
fn lodge(home: &mut Option<Arbiter>) -> std::io::Result<&Arbiter> {
    if home.as_ref().is_some_and(|arbiter| !arbiter.alive()) {
        *home = None;
    }
    match home {
        Some(arbiter) => Ok(arbiter),
        None => Ok(home.insert(Arbiter::try_new()?)),
    }
}
