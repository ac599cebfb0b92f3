//! Rows to store, and the metric writer in front of a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use actors::kit::{Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull};
use actors::metric::{EventRow, Phase, PhaseRow, Row, TemplateRow};
use actors::metric_writer::{Config, MetricWriter, Recorder, Tally};
use actors::ports::MetricStore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
}

pub(crate) fn event_row(number: u128) -> EventRow {
    EventRow {
        id: Uuid::from_u128(number),
        event_id: Uuid::from_u128(number),
        attempt: 1,
        event_type: "node.generate",
        event_source: "cli",
        processing: Duration::from_micros(1_250),
        queue_wait: Duration::from_micros(375),
        error: None,
        created_at: at(),
    }
}

pub(crate) fn event(number: u128) -> Row {
    Row::Event(event_row(number))
}

pub(crate) fn phase_row(number: u128) -> PhaseRow {
    PhaseRow {
        id: Uuid::from_u128(number),
        session_id: Uuid::from_u128(9),
        node_type: "EFFECT",
        phase: Phase::CodeGen,
        duration: Duration::from_micros(412),
        cache_hit: true,
        worker_count: 2,
        package: Arc::from("node_\"x\""),
        created_at: at(),
    }
}

pub(crate) fn phase(number: u128) -> Row {
    Row::Phase(phase_row(number))
}

pub(crate) fn template_row(number: u128, name: &str) -> TemplateRow {
    TemplateRow {
        id: Uuid::from_u128(number),
        name: Arc::from(name),
        kind: "own/py".to_owned(),
        file: format!("embedded:{name}"),
        hash: format!("{number:064}"),
        bytes: 12_345,
        load_time: Duration::from_micros(1_500),
        hits: 3,
        misses: 1,
        last_accessed: None,
    }
}

pub(crate) fn template(number: u128, name: &str) -> Row {
    Row::Template(template_row(number, name))
}

/// How rows ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) stored: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
}

/// A metric writer on a store, with room for so many messages; how the rows ended that `test` recorded.
pub(crate) async fn written(store: Arc<dyn MetricStore>, capacity: usize, test: impl AsyncFnOnce(&Recorder)) -> Ends {
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let limits = MailboxLimits { capacity, attempts_max: 3 };
    let mailbox = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
    let mut supervisor = Supervisor::new(Placement::Threads, observer, 0);
    let tally = Arc::new(Tally::default());
    let recorder = Recorder::new(mailbox.edge(WhenFull::Drop), Arc::clone(&tally));
    let (counted, never) = (Arc::clone(&tally), CancellationToken::new());
    supervisor.start("metric_writer", mailbox.inbox(), RestartPolicy::per_minute(1), move || {
        MetricWriter::new(Config::default(), Arc::clone(&store), Arc::clone(&counted), never.clone(), 0)
    });
    test(&recorder).await;
    mailbox.close();
    supervisor.ended().await;
    let [stored, refused, dropped] =
        [&tally.stored, &tally.refused, &tally.dropped].map(|counter| counter.load(Ordering::SeqCst));
    Ends { stored, refused, dropped }
}
