//! Whether an actor is stuck: how long its turn has gone on without a sign of progress. Kept in an atomic, because a
//! stuck actor may block its thread; its supervisor, on another thread, looks at it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

tokio::task_local! {
    /// Of the actor whose turn this is.
    static PULSE: Arc<Pulse>;
}

/// A turn that takes long says with this that it goes on: the time after which it counts as stuck begins anew. Outside
/// of a turn it does nothing.
pub fn progress() {
    // Not inside an actor: nobody watches.
    let _ = PULSE.try_with(|pulse| pulse.beat());
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
            self.0.beat();
        }
    }
    let rest = PULSE.try_with(Arc::clone).ok().map(Rest);
    if let Some(Rest(pulse)) = &rest {
        pulse.rest();
    }
    wait.await
}

/// Shared by one incarnation and its supervisor.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// Nanoseconds from `born` to the last beat, plus one; 0 at rest.
    last: AtomicU64,
    worked: AtomicBool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { born: Instant::now(), last: AtomicU64::new(0), worked: AtomicBool::new(false) }
    }

    /// A turn begins, or goes on.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.last.store(now + 1, Ordering::Release);
    }

    /// No turn is under way.
    pub(super) fn rest(&self) {
        self.last.store(0, Ordering::Release);
    }

    /// A turn with messages has gone well.
    pub(super) fn set_worked(&self) {
        self.worked.store(true, Ordering::Release);
    }

    pub(super) fn worked(&self) -> bool {
        self.worked.load(Ordering::Acquire)
    }

    /// Resolves when a turn has gone on for `turn_max` without a beat; never where there is no limit.
    pub(super) async fn stuck(&self, turn_max: Option<Duration>) {
        let Some(turn_max) = turn_max else { return std::future::pending().await };
        loop {
            match self.last.load(Ordering::Acquire) {
                // A turn that begins right now cannot be stuck earlier.
                0 => sleep(turn_max).await,
                last => {
                    let due = self.born + Duration::from_nanos(last - 1) + turn_max;
                    if Instant::now() >= due {
                        return;
                    }
                    sleep_until(due).await;
                }
            }
        }
    }
}
