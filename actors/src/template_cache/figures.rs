//! What the cache counts: totals, and figures of each template, which also go to the metric writer as they grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::names::kind;
use crate::metric::TemplateRow;
use crate::ports::Origin;

/// Templates whose figures are told apart; those beyond are in the totals only.
const TEMPLATES_MAX: usize = 4_096;

/// Templates that left the cache, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evictions {
    /// For lack of room in the number of templates.
    pub count: u64,
    /// For lack of room in bytes.
    pub bytes: u64,
    /// Older than the time to live.
    pub age: u64,
    /// Its file changed or is gone.
    pub changed: u64,
    /// Somebody asked for it.
    pub invalidated: u64,
}

/// Why a template leaves the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Count,
    Bytes,
    Age,
    Changed,
    Invalidated,
}

/// The figures of the cache since its actor started.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Templates that jobs found in the cache.
    pub hits: u64,
    /// Templates that jobs did not find. What a warm-up or a check compiles is nobody's miss.
    pub misses: u64,
    /// Templates read and compiled, for jobs and for warm-ups.
    pub loads: u64,
    pub cached_templates: usize,
    pub templates_max: usize,
    /// Source and compiled form of all that are cached.
    pub bytes: usize,
    pub bytes_max: usize,
    pub evictions: Evictions,
    /// By name.
    pub templates: Vec<TemplateStats>,
}

impl Stats {
    /// 0 to 1; none where nothing was asked for.
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }
}

/// The figures of one template.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateStats {
    /// `PACK/TEMPLATE`.
    pub name: Arc<str>,
    /// `embedded:PACK/TEMPLATE`, or the path of its file.
    pub file: String,
    /// When the file was last written; none for one in the binary.
    pub changed_at: Option<SystemTime>,
    /// BLAKE3 of its source.
    pub hash: blake3::Hash,
    pub bytes: usize,
    /// Reading and compiling it, the last time.
    pub load_time: Duration,
    pub hits: u64,
    pub misses: u64,
    /// By a job.
    pub last_accessed: Option<SystemTime>,
    pub cached: bool,
}

/// One load of a template, as it is recorded.
pub(super) struct Loaded<'l> {
    pub name: &'l Arc<str>,
    pub origin: &'l Origin,
    pub hash: blake3::Hash,
    pub bytes: usize,
    pub load_time: Duration,
}

struct Figure {
    stats: TemplateStats,
    /// What the metric writer knows: hits and misses.
    told: (u64, u64),
    /// It was loaded since.
    news: bool,
}

impl Figure {
    fn is_told(&self) -> bool {
        !self.news && self.told == (self.stats.hits, self.stats.misses)
    }
}

#[derive(Default)]
pub(super) struct Figures {
    by_name: BTreeMap<Arc<str>, Figure>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) loads: u64,
    pub(super) evictions: Evictions,
}

impl Figures {
    /// A template was read and compiled.
    pub(super) fn loaded(&mut self, loaded: &Loaded<'_>) {
        self.loads += 1;
        let (file, changed_at) = match loaded.origin {
            Origin::Embedded => (format!("embedded:{}", loaded.name), None),
            Origin::File { path, stamp } => (path.clone(), Some(stamp.modified)),
        };
        if !self.by_name.contains_key(loaded.name) && !self.has_room() {
            return;
        }
        let known = self.by_name.get(loaded.name);
        let (hits, misses) = known.map_or((0, 0), |known| (known.stats.hits, known.stats.misses));
        let stats = TemplateStats {
            name: Arc::clone(loaded.name),
            file,
            changed_at,
            hash: loaded.hash,
            bytes: loaded.bytes,
            load_time: loaded.load_time,
            hits,
            misses,
            last_accessed: known.and_then(|known| known.stats.last_accessed),
            cached: false,
        };
        let told = known.map_or((0, 0), |known| known.told);
        self.by_name.insert(Arc::clone(loaded.name), Figure { stats, told, news: true });
    }

    /// Room for one template more, at the cost of those that are neither cached nor news.
    fn has_room(&mut self) -> bool {
        if self.by_name.len() >= TEMPLATES_MAX {
            self.by_name.retain(|_, figure| figure.stats.cached || !figure.is_told());
        }
        self.by_name.len() < TEMPLATES_MAX
    }

    /// Its file was touched, and holds what it held.
    pub(super) fn touched(&mut self, name: &str, at: Option<SystemTime>) {
        if let Some(figure) = self.by_name.get_mut(name) {
            figure.stats.changed_at = at;
        }
    }

    /// A job did not find it.
    pub(super) fn missed(&mut self, name: &str, at: SystemTime) {
        self.misses += 1;
        if let Some(figure) = self.by_name.get_mut(name) {
            figure.stats.misses += 1;
            figure.stats.last_accessed = Some(at);
        }
    }

    /// Jobs found it `times` more. The total is counted where the job is answered.
    pub(super) fn found(&mut self, name: &str, times: u64, at: SystemTime) {
        if let Some(figure) = self.by_name.get_mut(name).filter(|_| times > 0) {
            figure.stats.hits += times;
            figure.stats.last_accessed = Some(at);
        }
    }

    pub(super) fn kept(&mut self, name: &str) {
        if let Some(figure) = self.by_name.get_mut(name) {
            figure.stats.cached = true;
        }
    }

    pub(super) fn evicted(&mut self, name: &str, cause: Cause) {
        let counter = match cause {
            Cause::Count => &mut self.evictions.count,
            Cause::Bytes => &mut self.evictions.bytes,
            Cause::Age => &mut self.evictions.age,
            Cause::Changed => &mut self.evictions.changed,
            Cause::Invalidated => &mut self.evictions.invalidated,
        };
        *counter += 1;
        if let Some(figure) = self.by_name.get_mut(name) {
            figure.stats.cached = false;
        }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.by_name.keys().map(|name| &**name).collect()
    }

    pub(super) fn templates(&self) -> Vec<TemplateStats> {
        self.by_name.values().map(|figure| figure.stats.clone()).collect()
    }

    /// What happened since the last report that was accepted, a row for each template to which anything did.
    pub(super) fn news(&self, new_id: impl Fn() -> Uuid) -> Vec<TemplateRow> {
        let news = self.by_name.values().filter(|figure| !figure.is_told());
        news.map(|figure| {
            let TemplateStats { name, file, hash, bytes, load_time, hits, misses, last_accessed, .. } = &figure.stats;
            TemplateRow {
                id: new_id(),
                name: Arc::clone(name),
                kind: kind(name),
                file: file.clone(),
                hash: hash.to_string(),
                bytes: *bytes as u64,
                load_time: *load_time,
                hits: hits - figure.told.0,
                misses: misses - figure.told.1,
                last_accessed: *last_accessed,
            }
        })
        .collect()
    }

    /// Somebody will see to what these rows say: the next ones say what comes after.
    pub(super) fn told<'n>(&mut self, names: impl IntoIterator<Item = &'n Arc<str>>) {
        for name in names {
            if let Some(figure) = self.by_name.get_mut(name) {
                (figure.told, figure.news) = ((figure.stats.hits, figure.stats.misses), false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_accepted_is_in_the_next_report() {
        let (mut figures, name, at) = (Figures::default(), Arc::from("p/a"), SystemTime::UNIX_EPOCH);
        let hash = blake3::hash(b"");
        let (origin, load_time) = (Origin::Embedded, Duration::ZERO);
        figures.loaded(&Loaded { name: &name, origin: &origin, hash, bytes: 1, load_time });
        figures.missed("p/a", at);
        let news = |figures: &Figures| -> Vec<(u64, u64)> {
            figures.news(Uuid::nil).iter().map(|report| (report.hits, report.misses)).collect()
        };
        assert_eq!(news(&figures), [(0, 1)]);
        figures.found("p/a", 5, at);
        assert_eq!(news(&figures), [(5, 1)], "it found no room");
        figures.told([&name]);
        assert_eq!(news(&figures), []);
        figures.found("p/a", 2, at);
        assert_eq!(news(&figures), [(2, 0)]);
    }
}
