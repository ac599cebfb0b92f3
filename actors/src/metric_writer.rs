//! The metric batch writer: rows by number or age into the store. Nobody waits for it.
//!
//! Every row ends in exactly one count of the [`Tally`]: stored, refused (the store will never take this one), or
//! dropped (no room in the mailbox, or the house ended while the store was away). A batch that the store cannot take is
//! tried again until the house ends; meanwhile what waits is bounded by [`ROWS_WAITING_MAX`]. A batch in which the store
//! refuses a row is halved until that row stands alone.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::kit::{self, Ack, Batch, BatchPolicy, DeadLetter, Edge, Envelope, Failure, progress};
use crate::metric::Row;
use crate::ports::{MetricStore, StoreError};
use crate::retry::{Retry, Schedule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Rows written together. A message is not torn apart, and holds the rows of one commit (seven an event, at most) or a
    /// report of the template cache.
    pub rows_max: usize,
    /// How long the first row of a batch waits for more.
    pub flush_after: Duration,
    /// How long to wait before a batch is tried again, for as long as the house is up.
    pub retry: Schedule,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rows_max: 1_000,
            flush_after: Duration::from_millis(100),
            // Short enough that there is a last try in the time that the end of the house leaves.
            retry: Schedule { base: Duration::from_millis(100), max: Duration::from_secs(2) },
        }
    }
}

/// Rows that may wait for the store, in messages of any size: some 8 MiB.
pub const ROWS_WAITING_MAX: u64 = 32_768;

/// How long the store may take over one try; after it, it is away.
const TRY_MAX: Duration = Duration::from_secs(10);

/// Refused rows that are told one by one; what comes after is in the count only.
const REFUSALS_TOLD_MAX: u64 = 10;

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

/// Rows since the start: each one made ends in one of the three.
#[derive(Debug, Default)]
pub struct Tally {
    pub stored: AtomicU64,
    /// The store was asked and will never take them.
    pub refused: AtomicU64,
    pub dropped: AtomicU64,
    /// Handed in, and without an end so far.
    waiting: AtomicU64,
}

impl Tally {
    /// Rows that were handed in are given up.
    pub(crate) fn drop_rows(&self, rows: usize) {
        self.count(Fate::Dropped, rows as u64);
    }

    /// False where there is no room for so many more.
    fn admit(&self, rows: u64) -> bool {
        let admitted = |waiting: u64| Some(waiting.saturating_add(rows)).filter(|waiting| *waiting <= ROWS_WAITING_MAX);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, admitted).is_ok()
    }

    fn count(&self, fate: Fate, rows: u64) {
        self.waiting.fetch_sub(rows, Ordering::Relaxed);
        let counter = match fate {
            Fate::Stored => &self.stored,
            Fate::Refused => &self.refused,
            Fate::Dropped => &self.dropped,
        };
        counter.fetch_add(rows, Ordering::Relaxed);
    }
}

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Refused,
    Dropped,
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

    /// Whether somebody will see to them: false where they were dropped.
    pub async fn record(&self, rows: Vec<Row>) -> bool {
        let Some(edge) = self.edge.as_ref().filter(|_| !rows.is_empty()) else { return true };
        let count = rows.len();
        if !self.tally.admit(count as u64) {
            self.tally.dropped.fetch_add(count as u64, Ordering::Relaxed);
            return false;
        }
        let sent = edge.send(Message::Record(rows)).await.is_ok();
        if !sent {
            self.tally.drop_rows(count);
        }
        sent
    }
}

pub struct MetricWriter {
    config: Config,
    store: Arc<dyn MetricStore>,
    tally: Arc<Tally>,
    retry: Retry,
    /// The house has ended: what the store has not taken by now is dropped.
    given_up: CancellationToken,
    /// The store was away at the last try.
    away: bool,
    refusals_told: u64,
}

impl MetricWriter {
    /// `seed` makes the delays between tries repeatable.
    pub fn new(
        config: Config,
        store: Arc<dyn MetricStore>,
        tally: Arc<Tally>,
        given_up: CancellationToken,
        seed: u64,
    ) -> Self {
        let retry = Retry::new(config.retry, seed);
        Self { config, store, tally, retry, given_up, away: false, refusals_told: 0 }
    }

    /// How many of these messages are written together: up to the limit of rows, but one at least.
    fn together(&self, batch: &Batch<Message>) -> usize {
        let mut rows = 0;
        let fits = |envelope: &&Envelope<Message>| {
            rows += rows_of(envelope).len();
            rows <= self.config.rows_max
        };
        batch.iter().take_while(fits).count().max(1)
    }

    /// Writes the rows of some messages, acknowledges these, and counts. A message that was taken away meanwhile is
    /// counted by whoever has it now.
    async fn conclude(&mut self, batch: &Batch<Message>) {
        let rows: Vec<Row> = batch.iter().flat_map(rows_of).cloned().collect();
        let fates = self.flush(&rows).await;
        let mut fates = fates.into_iter();
        for envelope in batch {
            let own = fates.by_ref().take(rows_of(envelope).len());
            let own: Vec<Fate> = own.collect();
            if envelope.ack() == Ack::Accepted {
                own.into_iter().for_each(|fate| self.tally.count(fate, 1));
            }
        }
    }

    /// How each row ended. What is refused is halved until the row that is at fault stands alone.
    async fn flush(&mut self, rows: &[Row]) -> Vec<Fate> {
        let mut fates = vec![Fate::Dropped; rows.len()];
        let mut parts: Vec<Range<usize>> = std::iter::once(0..rows.len()).collect();
        while let Some(part) = parts.pop() {
            match self.write(&rows[part.clone()]).await {
                Ok(()) => fates[part].fill(Fate::Stored),
                Err(StoreError::Refused(reason)) if part.len() <= 1 => {
                    for at in part {
                        fates[at] = Fate::Refused;
                        self.tell_refused(&rows[at], &reason);
                    }
                }
                Err(StoreError::Refused(_)) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
                Err(StoreError::Down(_) | StoreError::Gone(_)) => {}
            }
        }
        fates
    }

    /// Tries until the store has taken the rows, has refused them, or nobody waits any longer. A try that has begun is
    /// let end: what it commits must not be counted as dropped.
    async fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        self.retry.reset();
        loop {
            if self.given_up.is_cancelled() {
                return Err(StoreError::Gone("the house has ended".to_owned()));
            }
            // However long the store is away: only a try that does not end is stuck.
            progress();
            let tried = AssertUnwindSafe(self.store.write(rows)).catch_unwind();
            let error = match tokio::time::timeout(TRY_MAX, tried).await {
                // It panics over a row: the batch is halved until that row stands alone.
                Ok(Err(_)) => return Err(StoreError::Refused("the store panicked".to_owned())),
                Ok(Ok(Err(StoreError::Down(error)))) => error,
                Ok(Ok(written)) => {
                    self.tell_back(&written);
                    return written;
                }
                Err(_) => format!("no answer within {} s", TRY_MAX.as_secs()),
            };
            if !self.away {
                self.away = true;
                tracing::warn!(
                    error,
                    rows = rows.len(),
                    "metric rows wait: the store does not take them; trying again"
                );
            }
            let delay = self.retry.delay();
            // Cancelled or not, the next round decides.
            let _ = tokio::time::timeout(delay, self.given_up.cancelled()).await;
        }
    }

    fn tell_back(&mut self, written: &Result<(), StoreError>) {
        if self.away && !matches!(written, Err(StoreError::Gone(_))) {
            tracing::warn!("the store takes metric rows again");
            self.away = false;
        }
    }

    fn tell_refused(&mut self, row: &Row, reason: &str) {
        if self.refusals_told < REFUSALS_TOLD_MAX {
            tracing::warn!(row = %row.id(), reason, "a metric row is refused by the store and left out");
        }
        self.refusals_told += 1;
    }
}

fn rows_of(envelope: &Envelope<Message>) -> &[Row] {
    let Message::Record(rows) = &**envelope;
    rows
}

impl kit::Actor for MetricWriter {
    type Message = Message;

    fn batch_policy(&self) -> BatchPolicy {
        // A message holds a row at least.
        BatchPolicy { messages_max: self.config.rows_max, linger: self.config.flush_after }
    }

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        let mut batch = batch;
        while !batch.is_empty() {
            let (together, later) = batch.split_at(self.together(batch));
            self.conclude(together).await;
            batch = later;
        }
        Ok(())
    }

    async fn drained(&mut self) {
        self.store.close().await;
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        if letter.envelope.ack() == Ack::Accepted {
            self.tally.drop_rows(rows_of(letter.envelope).len());
        }
        Ok(())
    }
}
