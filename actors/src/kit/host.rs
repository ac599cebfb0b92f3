//! The actix side of an actor: it runs the turns as a future of its context, and answers control messages meanwhile.

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
use super::consumer::Consumer;
use super::envelope::Envelope;
use super::observer::RestartCause;
use super::pulse::{Pulse, watched};

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its mailbox is closed and empty.
    Drained,
    /// It was told to stop, or is stranded; what it held was released.
    Stopped,
    Broken(RestartCause),
}

/// What is wanted of an actor: the only message that an actix mailbox carries, the latest one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// End after the turn in hand.
    pub(super) stop: bool,
    /// Take no more messages; the end of the mailbox is heeded all the same.
    pub(super) paused: bool,
    /// End now, in the middle of the turn: it is stuck, and somebody else has its messages.
    pub(super) ousted: bool,
}

impl actix::Message for Wanted {
    type Result = ();
}

type Turns = Box<dyn FnOnce(watch::Receiver<Wanted>) -> LocalBoxFuture<'static, ()> + Send>;

/// One incarnation.
pub(super) struct Host {
    turns: Option<Turns>,
    wanted: watch::Sender<Wanted>,
}

impl Host {
    /// `build` runs on the actor's own thread. `exit` closes without a word where the incarnation is killed: after everything
    /// that it held has gone back.
    pub(super) fn new<A: Actor>(
        consumer: Consumer<A::Message>,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        wanted: Wanted,
        pulse: Arc<Pulse>,
        exit: oneshot::Sender<Exit>,
    ) -> Self {
        let turns: Turns = Box::new(move |wanted| {
            let turns = async move {
                let end = watched(Arc::clone(&pulse), take_turns(consumer, build, wanted, &pulse)).await;
                // The supervisor may be gone: then nobody asks.
                drop(exit.send(end));
            };
            turns.boxed_local()
        });
        Self { turns: Some(turns), wanted: watch::Sender::new(wanted) }
    }
}

impl actix::Actor for Host {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(turns) = self.turns.take() else { return context.stop() };
        let turns = actix::fut::wrap_future::<_, Self>(turns(self.wanted.subscribe()));
        context.spawn(turns.map(|(), _, context| context.stop()));
    }
}

impl actix::Handler<Wanted> for Host {
    type Result = ();

    fn handle(&mut self, wanted: Wanted, context: &mut Self::Context) {
        self.wanted.send_replace(wanted);
        if wanted.ousted {
            context.terminate();
        }
    }
}

/// Builds the actor and lets it take turns until its mailbox is drained, it is stopped, or it breaks.
async fn take_turns<A: Actor>(
    consumer: Consumer<A::Message>,
    build: Arc<dyn Fn() -> A + Send + Sync>,
    mut wanted: watch::Receiver<Wanted>,
    pulse: &Pulse,
) -> Exit {
    let built = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let actor = build();
        (actor.batch_policy(), Ticks::new(actor.tick_every()), actor)
    }));
    let (policy, mut ticks, mut actor) = match built {
        Ok(built) => built,
        Err(panic) => return Exit::Broken(panicked(&*panic)),
    };
    let mut batch = Vec::with_capacity(policy.messages_max.clamp(1, 1024));
    let end = loop {
        let turn = match next(&consumer, policy, &mut wanted, &mut ticks, &mut batch).await {
            Next::Stop => break Exit::Stopped,
            Next::Drained => match AssertUnwindSafe(actor.drained()).catch_unwind().await {
                Ok(()) => break Exit::Drained,
                Err(panic) => break Exit::Broken(panicked(&*panic)),
            },
            Next::Tick => {
                pulse.beat();
                ended(AssertUnwindSafe(actor.tick()).catch_unwind().await).map(|()| false)
            }
            Next::Batch => {
                consumer.begin();
                pulse.beat();
                take_turn(&mut actor, &batch).await
            }
        };
        pulse.rest();
        match turn {
            Ok(true) => pulse.set_worked(),
            Ok(false) => {}
            Err(Broken::Stranded) => {
                consumer.release(&mut batch);
                break Exit::Stopped;
            }
            Err(Broken::Because(cause)) => {
                consumer.blame(&cause.to_string());
                batch.clear();
                break Exit::Broken(cause);
            }
        }
        for envelope in batch.drain(..) {
            // What the actor acknowledged itself is settled; the second word changes nothing.
            let _ = envelope.ack();
        }
    };
    // A panic while its state is dropped is the last thing it does; everything it held has gone back.
    match std::panic::catch_unwind(AssertUnwindSafe(|| drop(actor))) {
        Ok(()) => end,
        Err(panic) => Exit::Broken(panicked(&*panic)),
    }
}

/// When the next tick is due.
struct Ticks(Option<(Duration, Instant)>);

impl Ticks {
    fn new(every: Option<Duration>) -> Self {
        Self(every.map(|every| (every, Instant::now() + every)))
    }

    /// Whether a tick is due now; if so, sets the time of the next.
    fn take(&mut self) -> bool {
        let Some((every, due)) = &mut self.0 else { return false };
        let now = Instant::now();
        let taken = now >= *due;
        if taken {
            *due = now + *every;
        }
        taken
    }

    /// Resolves when a tick is due.
    async fn due(&self) {
        match self.0 {
            Some((_, due)) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// What an actor does next.
enum Next {
    Batch,
    Tick,
    Drained,
    Stop,
}

/// Waits for the next batch or tick, heeding what is wanted meanwhile. What was taken but not begun when that changed, or
/// when a tick is due, is released.
async fn next<M: Message>(
    consumer: &Consumer<M>,
    policy: BatchPolicy,
    wanted: &mut watch::Receiver<Wanted>,
    ticks: &mut Ticks,
    batch: &mut Vec<Envelope<M>>,
) -> Next {
    loop {
        let now = *wanted.borrow_and_update();
        if now.stop {
            return Next::Stop;
        }
        if ticks.take() {
            return Next::Tick;
        }
        let receive = async {
            if now.paused {
                consumer.closed().await;
            }
            consumer.receive(policy, batch).await
        };
        tokio::select! {
            biased;
            Ok(()) = wanted.changed() => {}
            received = receive => return match received {
                true => Next::Batch,
                false if consumer.is_ousted() => Next::Stop,
                false => Next::Drained,
            },
            () = ticks.due() => {}
        }
        consumer.release(batch);
    }
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

fn panicked(panic: &(dyn Any + Send)) -> RestartCause {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    RestartCause::Panicked(text.unwrap_or_else(|| "a panic without a text".to_owned()))
}

/// Tells an actor what is wanted. Only changes are told, so that its actix mailbox stays as good as empty.
#[expect(clippy::disallowed_methods, reason = "control, and only control, travels in the actix mailbox")]
pub(super) fn tell(address: &actix::Addr<Host>, wanted: Wanted) {
    address.do_send(wanted);
}
