//! The figures of a run: collected from outcomes, printed for people or as data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use actors::event::{Outcome, Timings};
use actors::metric::{Phase, milliseconds};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::observer::Incidents;

/// Collects outcomes. Keeps histograms of the measurements and not the outcomes themselves; a line for each package only
/// where it will be printed.
#[derive(Debug)]
pub struct Collector {
    /// Absent where nobody will see them.
    packages: Option<Vec<PackageLine>>,
    nodes: u64,
    files: u64,
    files_written: u64,
    files_kept: u64,
    bytes: u64,
    failures: Vec<FailureLine>,
    phases: BTreeMap<Phase, Times>,
    queue_waits: Times,
    cache_hits: u64,
    cache_misses: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PackageLine {
    pub package: String,
    pub source: String,
    pub files: u32,
    pub files_written: u32,
    pub files_kept: u32,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureLine {
    pub source: String,
    /// contract, duplicate, template, output, limit, timeout, conflict, io or crash.
    pub cause: &'static str,
    pub diagnostics: Vec<codegen::Diagnostic>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
}

/// How results are printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Human,
    Json,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every contract gave a package.
    Complete,
    /// Some contracts gave none; the others did.
    Failed,
    /// What was begun was finished, the rest is named.
    Interrupted,
    /// An actor was given up, or accepted work was left undone.
    Broken,
    /// Of a check: what is on the disk is not as planned, and a run mends it.
    OutOfDate,
    /// Of a check: edits or something else are in the way of the plan; a run would refuse these packages.
    Conflict,
}

/// What `--format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub status: Status,
    pub duration_ms: f64,
    pub workers: usize,
    pub nodes: u64,
    pub files: u64,
    pub files_written: u64,
    /// Edited by a person and left alone, because the plan for them has not changed.
    pub files_kept: u64,
    pub bytes: u64,
    pub phases: BTreeMap<&'static str, Percentiles>,
    pub queue_wait: Percentiles,
    /// Templates served from the cache, 0 to 1; absent where none was asked for.
    pub cache_hit_rate: Option<f64>,
    pub failures_by_cause: BTreeMap<&'static str, u64>,
    pub incidents: Incidents,
    /// Metric rows.
    pub rows_stored: u64,
    pub rows_refused: u64,
    pub rows_dropped: u64,
    /// Contracts that were accepted and have no outcome: named after an interrupted run.
    pub unfinished: Vec<String>,
    /// Contracts that an interrupted run did not begin.
    pub not_begun: u64,
    /// Empty unless the summary was made for `--format json`.
    pub packages: Vec<PackageLine>,
    pub failures: Vec<FailureLine>,
}

/// What a run knows of itself when it ends.
pub struct Run {
    pub status: Status,
    pub duration: Duration,
    pub workers: usize,
    pub incidents: Incidents,
    pub rows_stored: u64,
    pub rows_refused: u64,
    pub rows_dropped: u64,
    pub unfinished: Vec<String>,
    pub not_begun: u64,
}

impl Collector {
    /// `lists_packages`: the summary has a line for each package.
    pub fn new(lists_packages: bool) -> Self {
        Self {
            packages: lists_packages.then(Vec::new),
            nodes: 0,
            files: 0,
            files_written: 0,
            files_kept: 0,
            bytes: 0,
            failures: Vec::new(),
            phases: BTreeMap::new(),
            queue_waits: Times::new(),
            cache_hits: 0,
            cache_misses: 0,
        }
    }

    pub fn add(&mut self, outcome: &Outcome) {
        self.cache_hits += u64::from(outcome.cache.hits);
        self.cache_misses += u64::from(outcome.cache.misses);
        self.queue_waits.record(outcome.timings.queue_wait);
        match &outcome.result {
            Ok(written) => {
                for (phase, duration) in phases(&outcome.timings) {
                    self.phases.entry(phase).or_insert_with(Times::new).record(duration);
                }
                self.nodes += 1;
                self.files += u64::from(written.files);
                self.files_written += u64::from(written.files_written);
                self.files_kept += u64::from(written.files_kept);
                self.bytes += written.bytes;
                let line = || PackageLine {
                    package: outcome.package.as_deref().unwrap_or_default().to_owned(),
                    source: outcome.source.to_string(),
                    files: written.files,
                    files_written: written.files_written,
                    files_kept: written.files_kept,
                    bytes: written.bytes,
                };
                self.packages.iter_mut().for_each(|packages| packages.push(line()));
            }
            Err(failure) => self.fail(&outcome.source, failure.clone()),
        }
    }

    /// A contract that never became an event.
    pub fn fail(&mut self, source: &str, failure: actors::event::JobFailure) {
        self.failures.push(FailureLine {
            source: source.to_owned(),
            cause: failure.cause,
            diagnostics: failure.diagnostics,
        });
    }

    /// Contracts with an outcome.
    pub fn ended(&self) -> usize {
        usize::try_from(self.nodes).unwrap_or(usize::MAX) + self.failures.len()
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    pub fn summary(mut self, run: Run) -> Summary {
        let mut packages = self.packages.unwrap_or_default();
        packages.sort_by(|a, b| a.package.cmp(&b.package));
        self.failures.sort_by(|a, b| a.source.cmp(&b.source));
        let mut failures_by_cause = BTreeMap::new();
        for failure in &self.failures {
            *failures_by_cause.entry(failure.cause).or_default() += 1;
        }
        let asked = self.cache_hits + self.cache_misses;
        Summary {
            status: run.status,
            duration_ms: milliseconds(run.duration),
            workers: run.workers,
            nodes: self.nodes,
            files: self.files,
            files_written: self.files_written,
            files_kept: self.files_kept,
            bytes: self.bytes,
            phases: self.phases.into_iter().map(|(phase, times)| (phase.as_str(), times.percentiles())).collect(),
            queue_wait: self.queue_waits.percentiles(),
            cache_hit_rate: (asked > 0).then(|| self.cache_hits as f64 / asked as f64),
            failures_by_cause,
            incidents: run.incidents,
            rows_stored: run.rows_stored,
            rows_refused: run.rows_refused,
            rows_dropped: run.rows_dropped,
            unfinished: run.unfinished,
            not_begun: run.not_begun,
            packages,
            failures: self.failures,
        }
    }
}

fn phases(timings: &Timings) -> [(Phase, Duration); 6] {
    [
        (Phase::PrdAnalysis, timings.prd_analysis),
        (Phase::TemplateLoad, timings.template_load),
        (Phase::CodeGen, timings.code_gen),
        (Phase::Validation, timings.validation),
        (Phase::Persistence, timings.persistence),
        (Phase::Total, timings.total),
    ]
}

/// Durations in bounded memory (some 20 KiB): a percentile comes within 1 %.
#[derive(Debug)]
struct Times(Histogram<u32>);

impl Times {
    /// Significant digits.
    const DIGITS: u8 = 2;

    #[expect(clippy::expect_used, reason = "two is a number of digits that the histogram takes")]
    fn new() -> Self {
        Self(Histogram::new(Self::DIGITS).expect("two digits"))
    }

    fn record(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // It grows with its values: there is none that it refuses.
        let _ = self.0.record(nanoseconds);
    }

    /// Nearest rank: the smallest value that at least p percent of the values do not exceed.
    fn percentiles(&self) -> Percentiles {
        let at = |percent: f64| milliseconds(Duration::from_nanos(self.0.value_at_percentile(percent)));
        Percentiles { p50_ms: at(50.0), p95_ms: at(95.0) }
    }
}

impl Summary {
    /// For people, without colour.
    pub fn to_text(&self, out: &str) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_text(&mut text, out);
        text
    }

    fn write_text(&self, text: &mut String, out: &str) -> std::fmt::Result {
        let seconds = self.duration_ms / 1_000.0;
        let rate = if seconds > 0.0 { self.nodes as f64 / seconds } else { 0.0 };
        writeln!(
            text,
            "{} in {out}, {:.2} s, {rate:.0} nodes/s, {}",
            count(self.nodes, "package"),
            seconds,
            count(self.workers as u64, "worker")
        )?;
        let unchanged = self.files - self.files_written - self.files_kept;
        writeln!(
            text,
            "  files       {} written, {unchanged} unchanged, {} in all",
            self.files_written,
            size(self.bytes)
        )?;
        if self.files_kept > 0 {
            let kept = count(self.files_kept, "edited file");
            writeln!(text, "  kept        {kept}, left as found: what is planned there has not changed")?;
        }
        if !self.phases.is_empty() {
            writeln!(text, "  time        {:>12} {:>12}", "p50", "p95")?;
        }
        for (phase, times) in
            Phase::ALL.iter().filter_map(|phase| Some((phase.as_str(), self.phases.get(phase.as_str())?)))
        {
            writeln!(text, "  {phase:<15} {:>7.2} ms {:>9.2} ms", times.p50_ms, times.p95_ms)?;
        }
        if !self.phases.is_empty() {
            let Percentiles { p50_ms, p95_ms } = self.queue_wait;
            writeln!(text, "  {:<15} {p50_ms:>7.2} ms {p95_ms:>9.2} ms", "queue wait")?;
        }
        if let Some(rate) = self.cache_hit_rate {
            writeln!(text, "  cache       {:.1} % of the templates came from the cache", rate * 100.0)?;
        }
        if self.status == Status::Broken {
            writeln!(text, "  broken      accepted work was left undone: see the messages above")?;
        }
        self.write_incidents(text)
    }

    fn write_incidents(&self, text: &mut String) -> std::fmt::Result {
        for restart in &self.incidents.restarts {
            writeln!(text, "  restart     {}: {}", restart.actor, restart.cause)?;
        }
        let (stored, refused, dropped) = (self.rows_stored, self.rows_refused, self.rows_dropped);
        if refused + dropped > 0 {
            let refused = if refused > 0 { format!(", {refused} refused by the database") } else { String::new() };
            writeln!(text, "  metrics     {stored} rows stored, {dropped} dropped{refused}")?;
        }
        for (mailbox, dropped) in &self.incidents.dropped {
            writeln!(text, "  dropped     {dropped} messages to {mailbox}: its mailbox was full")?;
        }
        if !self.failures.is_empty() {
            let causes: Vec<String> =
                self.failures_by_cause.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
            let failed = count(self.failures.len() as u64, "contract");
            writeln!(text, "  failed      {failed} (by cause: {})", causes.join(", "))?;
        }
        for name in &self.unfinished {
            writeln!(text, "  unfinished  {name}")?;
        }
        if self.not_begun > 0 {
            writeln!(text, "  not begun   {}", count(self.not_begun, "contract"))?;
        }
        Ok(())
    }
}

pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_within_one_percent_over_nine_orders_of_magnitude() {
        assert_eq!(Times::new().percentiles(), Percentiles::default());
        for unit in [1, 1_000, 1_000_000, 1_000_000_000] {
            let mut times = Times::new();
            (1..=100).rev().for_each(|number| times.record(Duration::from_nanos(number * unit)));
            let Percentiles { p50_ms, p95_ms } = times.percentiles();
            for (found, rank) in [(p50_ms, 50), (p95_ms, 95)] {
                let right = milliseconds(Duration::from_nanos(rank * unit));
                assert!((found / right - 1.0).abs() <= 0.01, "{found} ms instead of {right} ms");
            }
        }
    }
}
