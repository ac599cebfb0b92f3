//! The supervisor: it places actors on threads, builds them anew when they break, and gives up when that happens too
//! often.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use actix::Actor as _;
use actix_rt::Arbiter;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::actor::Actor;
use super::host::{Control, Exit, Host, control};
use super::mailbox::Inbox;
use super::observer::{Observer, RestartCause};
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

/// Owns the children. Created and used on the thread of an actix System.
pub struct Supervisor {
    placement: Placement,
    observer: Arc<dyn Observer>,
    chance: Arc<Mutex<fastrand::Rng>>,
    children: Vec<Child>,
    escalated: watch::Sender<Option<Escalation>>,
}

struct Child {
    task: JoinHandle<()>,
    orders: mpsc::Sender<Control>,
}

impl Supervisor {
    /// `seed` makes the delays before restarts repeatable.
    pub fn new(placement: Placement, observer: Arc<dyn Observer>, seed: u64) -> Self {
        let chance = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { placement, observer, chance, children: Vec::new(), escalated: watch::Sender::new(None) }
    }

    /// Starts an actor on its inbox. `build` makes each incarnation, on the thread where it will live.
    pub fn start<A: Actor>(
        &mut self,
        name: impl Into<String>,
        inbox: Inbox<A::Message>,
        policy: RestartPolicy,
        build: impl Fn() -> A + Send + Sync + 'static,
    ) {
        let (orders, received) = mpsc::channel(4);
        let charge = Charge {
            name: name.into(),
            placement: self.placement,
            observer: Arc::clone(&self.observer),
            chance: Arc::clone(&self.chance),
            escalated: self.escalated.clone(),
        };
        let task = actix_rt::spawn(charge.keep_alive(inbox, policy, Arc::new(build), received));
        self.children.push(Child { task, orders });
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

    /// Tells every child to take no more messages (or to take them again).
    pub fn pause(&self, paused: bool) {
        self.order(Control::Pause(paused));
    }

    /// Tells every child to end after the turn it is in.
    pub fn stop(&self) {
        self.order(Control::Stop);
    }

    fn order(&self, order: Control) {
        for child in &self.children {
            // A child with four orders waiting, or that has ended, needs no fifth.
            let _ = child.orders.try_send(order);
        }
    }

    /// Resolves when every child has ended: drained, stopped or given up.
    pub async fn ended(&mut self) {
        for child in &mut self.children {
            if !child.task.is_finished() {
                // A supervising task neither panics nor is it aborted.
                drop((&mut child.task).await);
            }
        }
    }
}

/// The supervision of one child.
struct Charge {
    name: String,
    placement: Placement,
    observer: Arc<dyn Observer>,
    chance: Arc<Mutex<fastrand::Rng>>,
    escalated: watch::Sender<Option<Escalation>>,
}

impl Charge {
    async fn keep_alive<A: Actor>(
        self,
        inbox: Inbox<A::Message>,
        policy: RestartPolicy,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        mut orders: mpsc::Receiver<Control>,
    ) {
        let mut budget = RestartBudget::new(policy);
        let mut home: Option<Arbiter> = None;
        loop {
            let cause = match self.live(&inbox, Arc::clone(&build), &mut home, &mut orders).await {
                Exit::Drained | Exit::Stopped => break,
                Exit::Broken(cause) => cause,
            };
            let chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64();
            let Some(delay) = budget.spend(Instant::now(), chance) else {
                self.observer.gave_up(&self.name, &cause);
                self.escalated.send_replace(Some(Escalation { actor: self.name.clone(), cause }));
                break;
            };
            self.observer.restarted(&self.name, &cause, delay);
            tokio::time::sleep(delay).await;
        }
        if let Some(arbiter) = home {
            arbiter.stop();
        }
    }

    /// One incarnation, from its start to its end.
    async fn live<A: Actor>(
        &self,
        inbox: &Inbox<A::Message>,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        home: &mut Option<Arbiter>,
        orders: &mut mpsc::Receiver<Control>,
    ) -> Exit {
        let (sender, mut ended) = oneshot::channel();
        let host = Host::new(inbox.join(), build, sender);
        let address = match self.placement {
            Placement::Single => host.start(),
            Placement::Threads => match self.home(home) {
                Ok(arbiter) => Host::start_in_arbiter(&arbiter.handle(), move |_| host),
                Err(error) => return Exit::Broken(RestartCause::Failed(format!("no thread for it: {error}"))),
            },
        };
        loop {
            tokio::select! {
                exit = &mut ended => return exit.unwrap_or(Exit::Broken(RestartCause::Killed)),
                Some(order) = orders.recv() => control(&address, order),
            }
        }
    }

    /// The Arbiter of this child: kept from one incarnation to the next, unless it has ended.
    fn home<'a>(&self, home: &'a mut Option<Arbiter>) -> std::io::Result<&'a Arbiter> {
        if home.as_ref().is_some_and(|arbiter| !arbiter.alive()) {
            *home = None;
        }
        match home {
            Some(arbiter) => Ok(arbiter),
            None => Ok(home.insert(Arbiter::try_new()?)),
        }
    }
}
