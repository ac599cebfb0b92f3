//! What the kit measures, counted: the application's observer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actors::kit::{Observer, RestartCause};

/// A restart that happened, for the summary.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Restart {
    pub actor: String,
    pub cause: String,
}

/// What happened besides the work itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Incidents {
    pub restarts: Vec<Restart>,
    /// Messages given up after their attempts.
    pub dead_letters: u64,
    /// Messages that found a mailbox full on an edge that never waits, by mailbox.
    pub dropped: BTreeMap<String, u64>,
    /// Time senders waited for room, in milliseconds, by mailbox.
    pub backpressure_ms: BTreeMap<String, u64>,
}

/// At most so many restarts are listed one by one.
const RESTARTS_LISTED_MAX: usize = 100;

#[derive(Debug, Default)]
pub struct Counters {
    incidents: Mutex<Incidents>,
}

impl Counters {
    pub fn incidents(&self) -> Incidents {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Incidents> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Counters {
    fn backpressure(&self, mailbox: &'static str, _: &'static str, waited: Duration) {
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        *self.lock().backpressure_ms.entry(mailbox.to_owned()).or_default() += waited;
    }

    fn dropped(&self, mailbox: &'static str, _: &'static str) {
        *self.lock().dropped.entry(mailbox.to_owned()).or_default() += 1;
    }

    fn dead_letter(&self, mailbox: &'static str, subject: &str, attempts: u32, reason: &str) {
        tracing::error!(mailbox, message = subject, attempts, reason, "dead letter");
        self.lock().dead_letters += 1;
    }

    fn restarted(&self, actor: &str, cause: &RestartCause, delay: Duration) {
        tracing::warn!(actor, %cause, ?delay, "actor restarted");
        let mut incidents = self.lock();
        if incidents.restarts.len() < RESTARTS_LISTED_MAX {
            incidents.restarts.push(Restart { actor: actor.to_owned(), cause: cause.to_string() });
        }
    }

    fn gave_up(&self, actor: &str, cause: &RestartCause) {
        tracing::error!(actor, %cause, "actor failed too often and was given up");
    }
}
