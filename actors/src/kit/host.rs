//! The actix side of an actor: it runs the turns as a future of its context. What is wanted of it (stop, pause) it reads
//! between turns; the one thing that must reach it in the middle of a turn comes by the actix mailbox.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorContext as _, ActorFutureExt as _, AsyncContext as _};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::actor::{Actor, BatchPolicy, DeadLetter, Failure, Message};
use super::consumer::{Consumer, Next};
use super::envelope::Envelope;
use super::observer::RestartCause;
use super::pulse::{Pulse, watched};

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its mailbox is closed and empty.
    Drained,
    /// It was told to stop; what it held was released.
    Stopped,
    /// A neighbour that it needs takes no more messages; what it held was released.
    Stranded,
    Broken(RestartCause),
}

/// What is wanted of an actor and of its later incarnations: a state, the latest one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// End after the turn in hand.
    pub(super) stop: bool,
    /// Take no more messages; the end of the mailbox is heeded all the same.
    pub(super) paused: bool,
}

/// What is wanted, as it was heeded last.
struct Heeded {
    wanted: watch::Receiver<Wanted>,
    now: Wanted,
}

impl Heeded {
    fn new(mut wanted: watch::Receiver<Wanted>) -> Self {
        let now = *wanted.borrow_and_update();
        Self { wanted, now }
    }

    /// Most often nothing has changed, and that is one look at a number.
    fn now(&mut self) -> Wanted {
        if self.wanted.has_changed().unwrap_or(true) {
            self.now = *self.wanted.borrow_and_update();
        }
        self.now
    }

    /// Resolves when something was said; never where nobody is left to say it.
    async fn changed(&mut self) {
        match self.wanted.changed().await {
            Ok(()) => self.now = *self.wanted.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// End now, in the middle of the turn: it is stuck, and somebody else has its messages.
struct Ousted;

impl actix::Message for Ousted {
    type Result = ();
}

type Turns = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// One incarnation.
pub(super) struct Host {
    turns: Option<Turns>,
}

impl Host {
    /// `build` runs on the actor's own thread. `exit` closes without a word where the incarnation is killed: after everything
    /// that it held has gone back.
    pub(super) fn new<A: Actor>(
        consumer: Consumer<A::Message>,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        wanted: watch::Receiver<Wanted>,
        pulse: Arc<Pulse>,
        exit: oneshot::Sender<Exit>,
    ) -> Self {
        let turns: Turns = Box::new(move || {
            let turns = async move {
                let end = watched(Arc::clone(&pulse), take_turns(consumer, build, wanted, &pulse)).await;
                // The supervisor may be gone: then nobody asks.
                drop(exit.send(end));
            };
            turns.boxed_local()
        });
        Self { turns: Some(turns) }
    }
}

impl actix::Actor for Host {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(turns) = self.turns.take() else { return context.stop() };
        let turns = actix::fut::wrap_future::<_, Self>(turns());
        context.spawn(turns.map(|(), _, context| context.stop()));
    }
}

impl actix::Handler<Ousted> for Host {
    type Result = ();

    fn handle(&mut self, _: Ousted, context: &mut Self::Context) {
        context.terminate();
    }
}

/// Ends an actor that is stuck, as soon as its thread comes round to it.
#[expect(clippy::disallowed_methods, reason = "control, and only control, travels in the actix mailbox")]
pub(super) fn oust(address: &actix::Addr<Host>) {
    address.do_send(Ousted);
}

/// Builds the actor and lets it take turns until its mailbox is drained, it is stopped, or it breaks.
async fn take_turns<A: Actor>(
    consumer: Consumer<A::Message>,
    build: Arc<dyn Fn() -> A + Send + Sync>,
    wanted: watch::Receiver<Wanted>,
    pulse: &Pulse,
) -> Exit {
    pulse.beat();
    let built = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let actor = build();
        (actor.batch_policy(), Ticks::new(actor.tick_every()), actor)
    }));
    pulse.rest();
    let (policy, mut ticks, mut actor) = match built {
        Ok(built) => built,
        Err(panic) => return Exit::Broken(panicked(&*panic)),
    };
    let mut heeded = Heeded::new(wanted);
    let permits = policy.messages_max.clamp(1, 1024);
    let (mut done, mut batch) = (Vec::with_capacity(permits), Vec::with_capacity(permits));
    let end = loop {
        let next = next(&consumer, policy, &mut heeded, &ticks, &mut done, &mut batch).await;
        pulse.beat();
        let turn = match next {
            Todo::Stop => break Exit::Stopped,
            Todo::Drained => match AssertUnwindSafe(actor.drained()).catch_unwind().await {
                Ok(()) => break Exit::Drained,
                Err(panic) => break Exit::Broken(panicked(&*panic)),
            },
            Todo::Tick => {
                let ticked = ended(AssertUnwindSafe(actor.tick()).catch_unwind().await);
                ticks.restart();
                ticked.map(|()| false)
            }
            Todo::Batch => take_turn(&mut actor, &batch).await,
        };
        pulse.rest();
        match turn {
            Ok(true) => pulse.set_worked(),
            Ok(false) => {}
            Err(Broken::Stranded) => {
                consumer.release(&mut batch);
                break Exit::Stranded;
            }
            Err(Broken::Because(cause)) => {
                consumer.blame(&cause.to_string());
                batch.clear();
                break Exit::Broken(cause);
            }
        }
        std::mem::swap(&mut batch, &mut done);
    };
    pulse.beat();
    // A panic while its state is dropped is the last thing it does; everything it held has gone back.
    match std::panic::catch_unwind(AssertUnwindSafe(|| drop(actor))) {
        Ok(()) => end,
        Err(panic) => Exit::Broken(panicked(&*panic)),
    }
}

/// When the next tick is due: so long after the last one ended.
struct Ticks(Option<(Duration, Instant)>);

impl Ticks {
    fn new(every: Option<Duration>) -> Self {
        Self(every.map(|every| (every, Instant::now() + every)))
    }

    fn are_due(&self) -> bool {
        self.0.is_some_and(|(_, due)| Instant::now() >= due)
    }

    /// Resolves when a tick is due.
    async fn due(&self) {
        match self.0 {
            Some((_, due)) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn restart(&mut self) {
        if let Some((every, due)) = &mut self.0 {
            *due = Instant::now() + *every;
        }
    }
}

/// What an actor does next.
enum Todo {
    Batch,
    Tick,
    Drained,
    Stop,
}

/// Acknowledges what is done and waits for the next batch or tick, heeding what is wanted meanwhile. A batch comes with
/// its turn begun. What was taken but not begun when what is wanted changed is released; a tick that comes due while a
/// batch is gathered waits for its turn.
async fn next<M: Message>(
    consumer: &Consumer<M>,
    policy: BatchPolicy,
    heeded: &mut Heeded,
    ticks: &Ticks,
    done: &mut Vec<Envelope<M>>,
    batch: &mut Vec<Envelope<M>>,
) -> Todo {
    // A mailbox that never runs empty must leave room for others on this thread.
    tokio::task::consume_budget().await;
    loop {
        let now = heeded.now();
        let ticks_are_due = ticks.are_due();
        // Most often there is something: then nobody needs to be told of changes.
        let takes = !now.stop && !now.paused && !ticks_are_due && policy.linger.is_zero();
        match consumer.turn_over(takes.then_some(policy), done, batch) {
            Next::Batch => return Todo::Batch,
            Next::Over => return over(consumer),
            Next::Nothing if now.stop => return Todo::Stop,
            Next::Nothing if ticks_are_due => return Todo::Tick,
            Next::Nothing => {}
        }
        let receive = async {
            if now.paused {
                consumer.closed().await;
            }
            consumer.receive(policy, batch).await
        };
        let received = tokio::select! {
            biased;
            () = heeded.changed() => None,
            received = receive => Some(received),
            () = ticks.due() => None,
        };
        match received {
            Some(true) => {}
            Some(false) => return over(consumer),
            None if batch.is_empty() => continue,
            None if ticks.are_due() && heeded.now() == now => {}
            None => {
                consumer.release(batch);
                continue;
            }
        }
        consumer.begin();
        return Todo::Batch;
    }
}

fn over<M: Message>(consumer: &Consumer<M>) -> Todo {
    if consumer.is_ousted() { Todo::Stop } else { Todo::Drained }
}

/// Why a turn ended without an end.
enum Broken {
    Stranded,
    Because(RestartCause),
}

/// One turn; whether it handled messages (and did not bury one). The envelopes stay with the caller: a panic in here
/// cannot lose them.
async fn take_turn<A: Actor>(actor: &mut A, batch: &[Envelope<A::Message>]) -> Result<bool, Broken> {
    let turn = async {
        match batch {
            [envelope] if envelope.is_dead() => {
                let Some(last) = envelope.last_failure() else { return Ok(false) };
                actor.bury(DeadLetter { envelope, last }).await.map(|()| false)
            }
            batch => actor.handle(batch).await.map(|()| true),
        }
    };
    ended(AssertUnwindSafe(turn).catch_unwind().await)
}

fn ended<T>(turn: std::thread::Result<Result<T, Failure>>) -> Result<T, Broken> {
    match turn {
        Ok(Ok(handled)) => Ok(handled),
        Ok(Err(Failure::Broken(text))) => Err(Broken::Because(RestartCause::Failed(text))),
        Ok(Err(Failure::Stranded(_))) => Err(Broken::Stranded),
        Err(panic) => Err(Broken::Because(panicked(&*panic))),
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> RestartCause {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    RestartCause::Panicked(text.unwrap_or_else(|| "a panic without a text".to_owned()))
}
