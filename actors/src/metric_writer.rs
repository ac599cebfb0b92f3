//! The metric batch writer: rows by size or age into the store, with a few tries. Nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::kit::{self, Backoff, Batch, BatchPolicy, Envelope, Failure};
use crate::metric::Row;
use crate::ports::MetricStore;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Messages written together; one message holds the rows of one event, seven at most.
    pub batch_max: usize,
    /// How long the first row of a batch waits for more.
    pub flush_after: Duration,
    /// Tries for a batch that the store did not take; then its rows are dropped and counted.
    pub tries_max: u32,
    pub backoff: Backoff,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_max: 200,
            flush_after: Duration::from_millis(250),
            tries_max: 4,
            backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2) },
        }
    }
}

#[derive(Debug)]
pub enum Message {
    Record(Vec<Row>),
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        "metrics.record"
    }
    fn subject(&self) -> String {
        let Self::Record(rows) = self;
        format!("{} rows", rows.len())
    }
}

/// Rows stored and dropped since the start. Rows that found the mailbox full are counted by the kit's observer.
#[derive(Debug, Default)]
pub struct Tally {
    pub stored: AtomicU64,
    pub dropped: AtomicU64,
}

pub struct MetricWriter {
    config: Config,
    store: Arc<dyn MetricStore>,
    tally: Arc<Tally>,
    chance: fastrand::Rng,
}

impl MetricWriter {
    pub fn new(config: Config, store: Arc<dyn MetricStore>, tally: Arc<Tally>, seed: u64) -> Self {
        Self { config, store, tally, chance: fastrand::Rng::with_seed(seed) }
    }

    async fn flush(&mut self, rows: &[Row]) {
        let count = rows.len() as u64;
        let mut tries = 0;
        loop {
            let error = match self.store.write(rows).await {
                Ok(()) => {
                    self.tally.stored.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Err(error) => error,
            };
            tries += 1;
            if tries >= self.config.tries_max {
                tracing::warn!(%error, rows = count, tries, "metric rows dropped: the store does not take them");
                self.tally.dropped.fetch_add(count, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(self.config.backoff.delay(tries + 1, self.chance.f64())).await;
        }
    }
}

impl kit::Actor for MetricWriter {
    type Message = Message;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: self.config.batch_max, linger: self.config.flush_after }
    }

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        let rows = batch.iter().flat_map(|envelope: &Envelope<Message>| match &**envelope {
            Message::Record(rows) => rows.iter().cloned(),
        });
        let rows: Vec<Row> = rows.collect();
        self.flush(&rows).await;
        Ok(())
    }
}
