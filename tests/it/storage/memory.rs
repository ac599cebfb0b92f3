//! A store in memory that keeps the promises of the databases: the suite holds it to them, so that a test on it says
//! something about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use actors::metric::{Row, TemplateRow};
use actors::ports::{MetricStore, StoreError};
use async_trait::async_trait;
use uuid::Uuid;

#[derive(Default, Clone)]
pub(crate) struct Contents {
    /// Phases and events, by their id.
    pub(crate) rows: BTreeMap<Uuid, Row>,
    pub(crate) templates: BTreeMap<String, TemplateRow>,
    reports: BTreeSet<Uuid>,
    closed: bool,
}

#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<Contents>);

/// What the tables have no room for.
fn refusal(row: &Row) -> Option<&'static str> {
    let long = |text: &str, most: usize| text.chars().count() > most;
    let of_event = |row: &actors::metric::EventRow| {
        let kind = row.error.as_ref().is_some_and(|(kind, _)| long(kind, 100));
        long(row.event_type, 100) || long(row.event_source, 100) || kind || row.attempt == 0
    };
    let refused = match row {
        Row::Event(row) => of_event(row),
        Row::Phase(row) => long(row.node_type, 50) || row.worker_count == 0,
        Row::Template(row) => long(&row.name, 200) || long(&row.kind, 50) || long(&row.hash, 64),
    };
    refused.then_some("a constraint")
}

#[async_trait]
impl MetricStore for Memory {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        let mut contents = self.0.lock().unwrap();
        if contents.closed {
            return Err(StoreError::Down("closed".to_owned()));
        }
        if let Some(reason) = rows.iter().find_map(refusal) {
            return Err(StoreError::Refused(reason.to_owned()));
        }
        for row in rows {
            match row {
                Row::Template(report) if contents.reports.insert(report.id) => {
                    let before = contents.templates.get(&*report.name);
                    let sum = |of: fn(&TemplateRow) -> u64| of(report) + before.map_or(0, of);
                    let accessed = report.last_accessed.max(before.and_then(|before| before.last_accessed));
                    let (hits, misses) = (sum(|row| row.hits), sum(|row| row.misses));
                    let sum = TemplateRow { hits, misses, last_accessed: accessed, ..report.clone() };
                    contents.templates.insert(report.name.to_string(), sum);
                }
                Row::Template(_) => {}
                row => {
                    contents.rows.entry(row.id()).or_insert_with(|| row.clone());
                }
            }
        }
        Ok(())
    }

    async fn close(&self) {
        self.0.lock().unwrap().closed = true;
    }
}
