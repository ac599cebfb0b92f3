//! Whether an actor is stuck: how long its own code has run without a sign of progress. Kept in an atomic, because a
//! stuck actor may block its thread; its supervisor, on another thread, looks at it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::observer::RestartCause;

tokio::task_local! {
    /// Of the actor whose turn this is.
    static PULSE: Arc<Pulse>;
}

/// When a look comes this much too late, the whole machine stood still: who is looked at gets the same time once more.
const STANDSTILL: Duration = Duration::from_secs(1);

/// A turn that takes long says with this that it goes on: the time after which it counts as stuck begins anew. Outside
/// of a turn it does nothing.
pub fn progress() {
    // Not inside an actor: nobody watches.
    let _ = PULSE.try_with(|pulse| pulse.go_on());
}

/// Runs the turns of an actor with its pulse at hand.
pub(super) async fn watched<F: Future>(pulse: Arc<Pulse>, turns: F) -> F::Output {
    PULSE.scope(pulse, turns).await
}

/// Waits for a neighbour: the watch stands still meanwhile, because backpressure is no fault of who feels it.
pub(super) async fn at_rest<F: Future>(wait: F) -> F::Output {
    /// Ends the rest also where the wait is given up.
    struct Rest(Arc<Pulse>);
    impl Drop for Rest {
        fn drop(&mut self) {
            // Of several waits at once the last one to end counts.
            if self.0.waits.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.0.beat();
            }
        }
    }
    let rest = PULSE.try_with(Arc::clone).ok().map(Rest);
    if let Some(Rest(pulse)) = &rest {
        pulse.waits.fetch_add(1, Ordering::AcqRel);
        pulse.rest();
    }
    wait.await
}

/// Shared by one incarnation and its supervisor.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// How long there may be no beat; `None`: nobody looks.
    turn_max: Option<Duration>,
    /// Nanoseconds from `born` to the last beat, plus one; 0 at rest.
    last: AtomicU64,
    /// How many waits for neighbours are under way.
    waits: AtomicU32,
    worked: AtomicBool,
}

impl Pulse {
    pub(super) fn new(turn_max: Option<Duration>) -> Self {
        let (last, waits, worked) = (AtomicU64::new(0), AtomicU32::new(0), AtomicBool::new(false));
        Self { born: Instant::now(), turn_max, last, waits, worked }
    }

    /// Code of the actor begins to run.
    pub(super) fn beat(&self) {
        if self.turn_max.is_some() {
            let now = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
            self.last.store(now + 1, Ordering::Release);
        }
    }

    fn go_on(&self) {
        if self.last.load(Ordering::Acquire) != 0 {
            self.beat();
        }
    }

    /// No code of the actor runs. Said before anything is acknowledged or taken, so that [`Pulse::is_still`] under the
    /// mailbox's lock is the last word.
    pub(super) fn rest(&self) {
        if self.turn_max.is_some() {
            self.last.store(0, Ordering::Release);
        }
    }

    /// A turn with messages has gone well.
    pub(super) fn set_worked(&self) {
        self.worked.store(true, Ordering::Release);
    }

    pub(super) fn worked(&self) -> bool {
        self.worked.load(Ordering::Acquire)
    }

    /// Resolves when there has been no beat for too long: the last one, and what to say of it.
    pub(super) async fn stuck(&self) -> (u64, RestartCause) {
        let Some(turn_max) = self.turn_max else { return std::future::pending().await };
        let mut pardoned = 0;
        loop {
            match self.last.load(Ordering::Acquire) {
                // A turn that begins right now cannot be stuck earlier.
                0 => sleep(turn_max).await,
                last => {
                    let due = self.born + Duration::from_nanos(last - 1) + turn_max;
                    let late = Instant::now().checked_duration_since(due);
                    match late {
                        None => sleep_until(due).await,
                        Some(late) if late > STANDSTILL && pardoned != last => {
                            pardoned = last;
                            sleep(turn_max).await;
                        }
                        Some(_) => return (last, RestartCause::Stuck(turn_max)),
                    }
                }
            }
        }
    }

    /// Whether there has been no beat since this one.
    pub(super) fn is_still(&self, seen: u64) -> bool {
        self.last.load(Ordering::Acquire) == seen
    }
}
