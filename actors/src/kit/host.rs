//! The actix side of an actor: it runs the turns as a future of its context, and answers control messages meanwhile.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix::{ActorContext as _, ActorFutureExt as _, AsyncContext as _};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::actor::{Actor, BatchPolicy, DeadLetter, Message};
use super::envelope::Envelope;
use super::mailbox::Consumer;
use super::observer::RestartCause;

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its mailbox is closed and empty.
    Drained,
    /// It was told to stop; what it held and had not begun was released.
    Stopped,
    Broken(RestartCause),
}

/// Control messages: the only thing an actix mailbox carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    /// End after the turn in hand.
    Stop,
    /// Take no more messages, or take them again.
    Pause(bool),
}

impl actix::Message for Control {
    type Result = ();
}

/// What control has asked for, as the turns see it.
#[derive(Clone)]
pub(super) struct Orders {
    stop: CancellationToken,
    paused: watch::Receiver<bool>,
}

type Turns = Box<dyn FnOnce(Orders) -> LocalBoxFuture<'static, Exit> + Send>;

/// One incarnation. Dropped without a word (its Arbiter ended), `exit` closes, and the supervisor knows it was killed.
pub(super) struct Host {
    turns: Option<Turns>,
    exit: Option<oneshot::Sender<Exit>>,
    stop: CancellationToken,
    pause: watch::Sender<bool>,
}

impl Host {
    /// `build` runs on the actor's own thread.
    pub(super) fn new<A: Actor>(
        consumer: Consumer<A::Message>,
        build: Arc<dyn Fn() -> A + Send + Sync>,
        exit: oneshot::Sender<Exit>,
    ) -> Self {
        let turns: Turns = Box::new(move |orders| take_turns(consumer, build, orders).boxed_local());
        Self { turns: Some(turns), exit: Some(exit), stop: CancellationToken::new(), pause: watch::Sender::new(false) }
    }
}

impl actix::Actor for Host {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some(turns) = self.turns.take() else { return context.stop() };
        let orders = Orders { stop: self.stop.clone(), paused: self.pause.subscribe() };
        let ended = actix::fut::wrap_future::<_, Self>(turns(orders)).map(|exit, host, context| {
            if let Some(sender) = host.exit.take() {
                drop(sender.send(exit));
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl actix::Handler<Control> for Host {
    type Result = ();

    fn handle(&mut self, control: Control, _: &mut Self::Context) {
        match control {
            Control::Stop => self.stop.cancel(),
            Control::Pause(paused) => {
                self.pause.send_replace(paused);
            }
        }
    }
}

/// Builds the actor and lets it take turns until its mailbox is drained, it is stopped, or it breaks.
async fn take_turns<A: Actor>(
    consumer: Consumer<A::Message>,
    build: Arc<dyn Fn() -> A + Send + Sync>,
    mut orders: Orders,
) -> Exit {
    let mut actor = match std::panic::catch_unwind(AssertUnwindSafe(|| build())) {
        Ok(actor) => actor,
        Err(panic) => return Exit::Broken(RestartCause::Panicked(panic_text(&*panic))),
    };
    let policy = actor.batch_policy();
    let mut batch = Vec::with_capacity(policy.messages_max.clamp(1, 1024));
    loop {
        match next_batch(&consumer, policy, &mut orders, &mut batch).await {
            None => return Exit::Stopped,
            Some(false) => {
                return match AssertUnwindSafe(actor.drained()).catch_unwind().await {
                    Ok(()) => Exit::Drained,
                    Err(panic) => Exit::Broken(RestartCause::Panicked(panic_text(&*panic))),
                };
            }
            Some(true) => {
                if let Err(cause) = take_turn(&mut actor, &batch).await {
                    consumer.blame(&cause.to_string());
                    batch.clear();
                    return Exit::Broken(cause);
                }
                for envelope in batch.drain(..) {
                    // What the actor acknowledged itself is settled; the second word changes nothing.
                    let _ = envelope.ack();
                }
            }
        }
    }
}

/// Waits for the next batch, heeding orders meanwhile: `None` to stop, else what [`Consumer::receive`] says. What was
/// taken but not begun when an order came is released.
async fn next_batch<M: Message>(
    consumer: &Consumer<M>,
    policy: BatchPolicy,
    orders: &mut Orders,
    batch: &mut Vec<Envelope<M>>,
) -> Option<bool> {
    loop {
        let paused = *orders.paused.borrow_and_update();
        let stopped = tokio::select! {
            biased;
            () = orders.stop.cancelled() => true,
            Ok(()) = orders.paused.changed() => false,
            received = consumer.receive(policy, batch), if !paused => return Some(received),
        };
        consumer.release(batch);
        if stopped {
            return None;
        }
    }
}

/// One turn. The envelopes stay with the caller: a panic in here cannot lose them.
async fn take_turn<A: Actor>(actor: &mut A, batch: &[Envelope<A::Message>]) -> Result<(), RestartCause> {
    let turn = async {
        match batch {
            [envelope] if envelope.is_dead() => {
                let Some(last) = envelope.last_failure() else { return Ok(()) };
                actor.bury(DeadLetter { envelope, last }).await
            }
            batch => actor.handle(batch).await,
        }
    };
    match AssertUnwindSafe(turn).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(RestartCause::Failed(failure.0)),
        Err(panic) => Err(RestartCause::Panicked(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Sends a control message, unless the actor has ended. Control is rare and small; the mailbox's 16 places suffice.
#[expect(clippy::disallowed_methods, reason = "control, and only control, travels in the actix mailbox")]
pub(super) fn control(address: &actix::Addr<Host>, control: Control) {
    address.do_send(control);
}
