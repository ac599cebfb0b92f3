//! The outcomes of one run of `generate`: each event once, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use actors::event::Outcome;
use actors::ports::OutcomeLog;
use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Who is still without an outcome, and where outcomes are sent.
pub struct Ledger {
    open: Mutex<BTreeMap<Uuid, Arc<str>>>,
    outcomes: mpsc::Sender<Vec<Outcome>>,
}

impl Ledger {
    pub fn new(outcomes: mpsc::Sender<Vec<Outcome>>) -> Self {
        Self { open: Mutex::default(), outcomes }
    }

    /// An event was accepted.
    pub fn accept(&self, event_id: Uuid, source: Arc<str>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(event_id, source);
    }

    /// The event was not taken after all.
    pub fn withdraw(&self, event_id: Uuid) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&event_id);
    }

    /// Accepted and without an outcome, in the order of acceptance (UUID v7).
    pub fn open(&self) -> Vec<Arc<str>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[async_trait]
impl OutcomeLog for Ledger {
    async fn record(&self, outcomes: Vec<Outcome>) {
        let mut first = outcomes;
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            first.retain(|outcome| {
                let is_first = open.remove(&outcome.event_id).is_some();
                if !is_first {
                    tracing::debug!(event = %outcome.event_id, "a second outcome of an event is refused");
                }
                is_first
            });
        }
        // An error: the run has stopped listening, and knows what is open.
        let _ = self.outcomes.send(first).await;
    }
}
