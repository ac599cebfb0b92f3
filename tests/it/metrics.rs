//! The metric writer on a real SQLite file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use actors::kit::{Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull};
use actors::metric::{EventRow, Row, TemplateRow};
use actors::metric_writer::{Config, MetricWriter, Recorder, Tally};
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;
use omninode::storage::SqliteStore;
use sqlx::sqlite::SqlitePoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::Bench;

fn event(number: u128, source: &'static str) -> Row {
    Row::Event(EventRow {
        id: Uuid::from_u128(number),
        event_id: Uuid::from_u128(number),
        attempt: 1,
        event_type: "node.generate",
        event_source: source,
        processing: Duration::from_millis(1),
        queue_wait: Duration::ZERO,
        error: None,
        created_at: SystemTime::UNIX_EPOCH,
    })
}

fn template(number: u128, name: &str) -> Row {
    Row::Template(TemplateRow {
        id: Uuid::from_u128(number),
        name: Arc::from(name),
        kind: "own/py".to_owned(),
        file: "embedded:x".to_owned(),
        hash: "0".repeat(64),
        bytes: 12_300,
        load_time: Duration::from_millis(1),
        hits: 3,
        misses: 1,
        last_accessed: None,
    })
}

/// A store that counts how often it was down.
struct Watched {
    store: SqliteStore,
    downs: AtomicU64,
}

#[async_trait]
impl MetricStore for Watched {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let written = self.store.write(rows).await;
        self.downs.fetch_add(u64::from(matches!(written, Err(StoreError::Down(_)))), Ordering::SeqCst);
        written
    }
    async fn close(&self) {
        self.store.close().await;
    }
}

/// Runs a writer on the bench's database; what it stored, refused and dropped of what `test` recorded.
fn counted(bench: &Bench, test: impl AsyncFnOnce(&Recorder, &Watched)) -> (u64, u64, u64) {
    actix_rt::System::with_tokio_rt(omninode::app::runtime).block_on(async {
        let store = SqliteStore::open(&bench.database()).await.unwrap();
        let store = Arc::new(Watched { store, downs: AtomicU64::new(0) });
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let limits = MailboxLimits { capacity: 4_096, attempts_max: 3 };
        let mailbox = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
        let mut supervisor = Supervisor::new(Placement::Threads, observer, 0);
        let tally = Arc::new(Tally::default());
        let recorder = Recorder::new(mailbox.edge(WhenFull::Drop), Arc::clone(&tally));
        let (own, counted, never) = (Arc::clone(&store), Arc::clone(&tally), CancellationToken::new());
        supervisor.start("metric_writer", mailbox.inbox(), RestartPolicy::per_minute(1), move || {
            MetricWriter::new(Config::default(), Arc::clone(&own) as _, Arc::clone(&counted), never.clone(), 0)
        });
        test(&recorder, &store).await;
        mailbox.close();
        supervisor.ended().await;
        let counts = [&tally.stored, &tally.refused, &tally.dropped].map(|counter| counter.load(Ordering::SeqCst));
        (counts[0], counts[1], counts[2])
    })
}

async fn count(store: &SqliteStore, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(store.pool()).await.unwrap()
}

#[test]
fn rows_that_break_a_constraint_are_left_out_alone() {
    let bench = Bench::new();
    let long: &'static str = "a source with a name that is much longer than the hundred characters that the table has room \
                              for, and so it is refused";
    let mut rows: Vec<Row> = (1..=900).map(|number| event(number, "cli")).collect();
    rows[13] = event(14, long);
    rows[640] = event(641, long);
    rows.push(template(2_000, &"x".repeat(201)));
    rows.push(template(2_001, "own/a.py.j2"));
    let recorded = counted(&bench, async |recorder, _| {
        for row in rows {
            recorder.record(vec![row]).await;
        }
    });
    assert_eq!(recorded, (899, 3, 0));
    let found = counted(&bench, async |_, store| {
        assert_eq!(count(&store.store, "event_processing_metrics").await, 898);
        assert_eq!(count(&store.store, "template_cache_metadata").await, 1);
    });
    assert_eq!(found, (0, 0, 0));
}

#[test]
fn while_another_process_holds_the_file_rows_wait_and_then_they_are_stored() {
    let bench = Bench::new();
    let recorded = counted(&bench, async |recorder, store| {
        let pool = SqlitePoolOptions::new().max_connections(1).connect(&bench.database()).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await.unwrap();
        for number in 1..=300 {
            recorder.record(vec![event(number, "cli")]).await;
        }
        // Longer than a statement waits for the lock.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(store.downs.load(Ordering::SeqCst) > 0, "the store was down once, at least");
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.unwrap();
    });
    assert_eq!(recorded, (300, 0, 0));
}
