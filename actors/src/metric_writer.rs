//! The metric batch writer: rows by size or age into the store, with a few tries. Nobody waits for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::kit::{self, Backoff, Batch, BatchPolicy, DeadLetter, Edge, Envelope, Failure};
use crate::metric::Row;
use crate::ports::{MetricStore, StoreDown};

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

/// Rows since the start: each one made ends in one of the two.
#[derive(Debug, Default)]
pub struct Tally {
    pub stored: AtomicU64,
    pub dropped: AtomicU64,
}

impl Tally {
    pub(crate) fn drop_rows(&self, rows: usize) {
        self.dropped.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// Where rows are handed in. Never waits: rows that find no room are dropped, and counted.
#[derive(Clone)]
pub struct Recorder {
    /// None: nobody wants rows.
    edge: Option<Edge<Message>>,
    tally: Arc<Tally>,
}

impl Recorder {
    /// `edge` is one that drops when it is full.
    pub fn new(edge: Edge<Message>, tally: Arc<Tally>) -> Self {
        Self { edge: Some(edge), tally }
    }

    /// One that forgets its rows: monitoring is off.
    pub fn off() -> Self {
        Self { edge: None, tally: Arc::default() }
    }

    pub async fn record(&self, rows: Vec<Row>) {
        let Some(edge) = &self.edge else { return };
        if let Err(refused) = edge.send(Message::Record(rows)).await {
            let Message::Record(rows) = refused.0;
            self.tally.drop_rows(rows.len());
        }
    }
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
            // A store that panics is a store that is down: nobody is rebuilt for it.
            let written = AssertUnwindSafe(self.store.write(rows)).catch_unwind().await;
            let error = match written.unwrap_or_else(|_| Err(StoreDown("the store panicked".to_owned()))) {
                Ok(()) => {
                    self.tally.stored.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Err(error) => error,
            };
            tries += 1;
            if tries >= self.config.tries_max {
                // Told once; the count is in the summary.
                if self.tally.dropped.load(Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, rows = count, tries, "metric rows dropped: the store does not take them");
                }
                self.tally.drop_rows(rows.len());
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

    async fn drained(&mut self) {
        self.store.close().await;
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        let Message::Record(rows) = &**letter.envelope;
        self.tally.drop_rows(rows.len());
        Ok(())
    }
}
