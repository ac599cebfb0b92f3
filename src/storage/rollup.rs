//! Rows summed up by hour, as dashboards and alerts read them: what a batch adds to the tables of rollups, in the
//! transaction that stores its rows. How a histogram is stored stands in `migrations/postgres/0009_hourly_rollups.sql`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use actors::metric::{EventRow, PhaseRow, milliseconds};
use uuid::Uuid;

use super::unix_milliseconds;

/// Counts batches since the rows that they added were folded into one for each hour.
#[derive(Debug, Default)]
pub(super) struct Unfolded(AtomicU64);

impl Unfolded {
    /// After this many in quiet times: folding takes about as long as two batches for every ten.
    const QUIET: u64 = 64;
    /// After this many at the latest.
    const MOST: u64 = 1_024;
    /// A batch with fewer rows says that the writer has time.
    const SMALL: usize = 500;

    /// Counts a batch of so many rows; whether it is time to fold.
    pub(super) fn is_due_with(&self, rows: usize) -> bool {
        let batches = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let due = batches >= if rows < Self::SMALL { Self::QUIET } else { Self::MOST };
        due && self.take()
    }

    /// Whether there is anything to fold; from now on there is nothing.
    pub(super) fn take(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// Held on PostgreSQL by whoever folds the rollups or counts them anew.
pub(super) const LOCK: i64 = 730_636_067;

/// Counts of values by slot.
pub(super) type Histogram = BTreeMap<i32, i64>;

/// A row of `event_processing_hourly`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct EventHour {
    pub(super) events: i64,
    pub(super) failures: i64,
    pub(super) retries: i64,
    pub(super) wait_ms: f64,
    pub(super) wait_max_ms: f64,
    pub(super) processing_ms: f64,
    pub(super) latencies: Histogram,
    pub(super) waits: Histogram,
}

/// A row of `generation_performance_hourly`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PhaseHour {
    pub(super) runs: i64,
    pub(super) cache_hits: i64,
    pub(super) workers: i64,
    pub(super) duration_ms: f64,
    pub(super) durations: Histogram,
}

/// Hour (seconds since 1970) and event type.
pub(super) type EventKey = (i64, &'static str);

/// Hour, node type, phase, and whether it was one of several workers.
pub(super) type PhaseKey = (i64, &'static str, &'static str, bool);

/// The rows that were really inserted: what was stored before is in the rollups already.
pub(super) fn only<'r, R>(rows: &[&'r R], stored: Vec<Uuid>, id: fn(&R) -> Uuid) -> Vec<&'r R> {
    if stored.len() == rows.len() {
        return rows.to_vec();
    }
    let mut stored: BTreeSet<Uuid> = stored.into_iter().collect();
    rows.iter().copied().filter(|row| stored.remove(&id(row))).collect()
}

pub(super) fn of_events<'r>(rows: impl IntoIterator<Item = &'r EventRow>) -> BTreeMap<EventKey, EventHour> {
    let mut hours: BTreeMap<EventKey, EventHour> = BTreeMap::new();
    for row in rows {
        let hour = hours.entry((hour(row.created_at), row.event_type)).or_default();
        let (wait, processing) = (milliseconds(row.queue_wait), milliseconds(row.processing));
        hour.events += 1;
        hour.failures += i64::from(row.error.is_some());
        hour.retries += i64::from(row.attempt) - 1;
        hour.wait_ms += wait;
        hour.wait_max_ms = hour.wait_max_ms.max(wait);
        hour.processing_ms += processing;
        *hour.latencies.entry(slot(wait + processing)).or_default() += 1;
        *hour.waits.entry(slot(wait)).or_default() += 1;
    }
    hours
}

pub(super) fn of_phases<'r>(rows: impl IntoIterator<Item = &'r PhaseRow>) -> BTreeMap<PhaseKey, PhaseHour> {
    let mut hours: BTreeMap<PhaseKey, PhaseHour> = BTreeMap::new();
    for row in rows {
        let key = (hour(row.created_at), row.node_type, row.phase.as_str(), row.worker_count > 1);
        let hour = hours.entry(key).or_default();
        let duration = milliseconds(row.duration);
        hour.runs += 1;
        hour.cache_hits += i64::from(row.cache_hit);
        hour.workers += i64::from(row.worker_count);
        hour.duration_ms += duration;
        *hour.durations.entry(slot(duration)).or_default() += 1;
    }
    hours
}

/// The hour's beginning, in seconds since 1970.
fn hour(at: SystemTime) -> i64 {
    let seconds = unix_milliseconds(at) / 1_000;
    seconds - seconds % 3_600
}

/// Where a duration falls: nanoseconds below 128, above it 64 slots for each doubling.
pub(super) fn slot(ms: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10^18, a whole number")]
    let nanoseconds = (ms.clamp(0.0, 1e12) * 1e6).round() as u64;
    let slot = match nanoseconds.checked_ilog2() {
        Some(octave @ 6..) => u64::from(octave - 6) * 64 + (nanoseconds >> (octave - 6)),
        _ => nanoseconds,
    };
    i32::try_from(slot).unwrap_or(i32::MAX)
}

/// Slots and their counts, each as a list of PostgreSQL.
pub(super) fn lists(histogram: &Histogram) -> (String, String) {
    let list = |numbers: Vec<String>| format!("{{{}}}", numbers.join(","));
    let slots = histogram.keys().map(ToString::to_string).collect();
    let counts = histogram.values().map(ToString::to_string).collect();
    (list(slots), list(counts))
}

/// Slots and their counts as a JSON object.
pub(super) fn object(histogram: &Histogram) -> String {
    let pairs: Vec<String> = histogram.iter().map(|(slot, count)| format!("\"{slot}\":{count}")).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_a_hundredth_of_the_middle_of_its_slot() {
        for power in 6..59 {
            for nanoseconds in [1u64 << power, (1 << power) + 1, (1 << power) * 3 / 2, (2 << power) - 1] {
                #[expect(clippy::cast_precision_loss, reason = "a value to try")]
                let ms = nanoseconds as f64 / 1e6;
                let slot = slot(ms);
                let middle = if slot < 128 {
                    f64::from(slot) / 1e6
                } else {
                    ((64.5 + f64::from(slot & 63)) * 2f64.powi((slot >> 6) - 1) - 0.5) / 1e6
                };
                assert!((middle - ms).abs() <= ms / 100.0, "{ms} ms in slot {slot} of {middle} ms");
            }
        }
        assert_eq!([0.0, -1.0, 0.000_063, 0.000_128, f64::NAN].map(slot), [0, 0, 63, 128, 0]);
        assert!(slot(f64::INFINITY) == slot(1e12) && slot(1e12) > slot(1e11));
    }

    #[test]
    fn rollups_are_folded_when_there_is_time_and_after_a_thousand_batches_at_the_latest() {
        let due = |rows: usize| {
            let unfolded = Unfolded::default();
            (1..=2_000).filter(|_| unfolded.is_due_with(rows)).count()
        };
        assert_eq!((due(10), due(1_000)), (31, 1));
        let unfolded = Unfolded::default();
        assert!(!unfolded.take() && !unfolded.is_due_with(1) && unfolded.take() && !unfolded.take());
    }

    #[test]
    fn histograms_are_written_as_each_database_reads_them() {
        let histogram = Histogram::from([(7, 2), (90, 1)]);
        assert_eq!(lists(&histogram), ("{7,90}".to_owned(), "{2,1}".to_owned()));
        assert_eq!(object(&histogram), r#"{"7":2,"90":1}"#);
        assert_eq!((lists(&Histogram::new()).0, object(&Histogram::new())), ("{}".to_owned(), "{}".to_owned()));
    }
}
