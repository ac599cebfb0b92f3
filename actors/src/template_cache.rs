//! The template cache: compiled templates, kept one by one within limits of number, bytes and age.
//!
//! One question a job: everything its pack needs, as one immutable snapshot, which stays valid for the job that holds it
//! whatever the cache does afterwards. A pack in the binary is read once. One on a disk is looked at for each batch of
//! questions, after they were taken; what may have changed is read again, what has changed is compiled again, so that no
//! job gets what was stale when it asked. Questions are answered one after the other: many that miss at once cause one
//! load.
//!
//! A pack whose source gives no answer, or panics, is that pack's failure, and is not asked again for some seconds: other
//! packs do not wait for it long.
//!
//! The figures of templates go to the metric writer every 30 s, while there are any, and at the end.

mod figures;
mod names;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use codegen::{Diagnostic, Pack, Templates};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::event::{CacheUse, JobFailure};
use crate::kit::{self, Batch, BatchPolicy, DeadLetter, Failure, Reply, progress};
use crate::metric::Row;
use crate::metric_writer::Recorder;
use crate::ports::{Clock, MANIFEST, PackText, Stamp, TemplateSource};

pub use figures::{Evictions, Stats, TemplateStats};
pub use names::{UnknownTemplate, kind};

use figures::{Cause, Figures, Loaded};
use shelf::{Entry, Kept, Shelf, Version};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// False: every job loads and compiles anew, and no hit is counted.
    pub enabled: bool,
    /// Templates, over all packs.
    pub templates_max: usize,
    /// Bytes, over all packs: source plus compiled form.
    pub bytes_max: usize,
    /// How long a template is kept, from its load.
    pub ttl: Duration,
    /// Whether figures go to the metric writer.
    pub persistence: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            templates_max: 100,
            bytes_max: 50 << 20,
            ttl: Duration::from_secs(3_600),
            persistence: true,
        }
    }
}

/// Questions taken together: they share the look at a pack on a disk.
const BATCH_MAX: usize = 64;

/// How often old templates are dropped.
const TICK: Duration = Duration::from_secs(1);

/// How often figures are reported.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// Templates in one message to the metric writer: it is about as large as that of an event.
const REPORT_ROWS_MAX: usize = 8;

/// How long the source may take over one answer, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a pack that gave no answer is not asked again.
const HANGS_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub enum Message {
    /// The compiled templates of a pack, for a job.
    Get {
        pack: Arc<str>,
        reply: Reply<Result<Snapshot, JobFailure>>,
    },
    /// Load a pack before a job asks for it, or to see its faults.
    Warm {
        pack: Arc<str>,
        reply: Reply<Result<Warmed, JobFailure>>,
    },
    /// Drop the template of this name (`PACK/TEMPLATE`), or all; how many were dropped. One that is known but not cached
    /// now is no error.
    Invalidate {
        name: Option<String>,
        reply: Reply<Result<usize, UnknownTemplate>>,
    },
    Stats {
        reply: Reply<Stats>,
    },
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        match self {
            Self::Get { .. } => "template_cache.get",
            Self::Warm { .. } => "template_cache.warm",
            Self::Invalidate { .. } => "template_cache.invalidate",
            Self::Stats { .. } => "template_cache.stats",
        }
    }
    fn subject(&self) -> String {
        match self {
            Self::Get { pack, .. } | Self::Warm { pack, .. } => format!("templates of {pack}"),
            Self::Invalidate { name, .. } => format!("drop {}", name.as_deref().unwrap_or("all templates")),
            Self::Stats { .. } => "figures".to_owned(),
        }
    }
}

/// What a job renders with.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub pack: Arc<Pack>,
    pub templates: Templates,
    pub used: CacheUse,
}

/// What a warm-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmed {
    /// Of the pack.
    pub templates: usize,
    /// Of these, read and compiled now.
    pub loaded: usize,
    /// Source and compiled form of all.
    pub bytes: usize,
    /// All of them are in the cache now: it is switched on, and they fit.
    pub kept: bool,
    pub duration: Duration,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Job,
    /// Its loads are nobody's misses.
    WarmUp,
}

pub struct TemplateCache {
    config: Config,
    source: Arc<dyn TemplateSource>,
    clock: Arc<dyn Clock>,
    metrics: Recorder,
    shelf: Shelf,
    figures: Figures,
    /// Packs looked at since the batch in hand was taken.
    looked_at: BTreeSet<Arc<str>>,
    /// Packs whose source gave no answer, and when that was noticed.
    hanging: BTreeMap<Arc<str>, Instant>,
    patience: Duration,
    reported_at: Instant,
    /// What the sets of all packs share: filters, tests, functions.
    empty: Templates,
}

/// A whole pack.
struct Got {
    pack: Arc<Pack>,
    templates: Templates,
    count: usize,
    /// Of `count`, read and compiled now.
    loaded: usize,
    bytes: usize,
}

impl Got {
    fn of(kept: &Kept, loaded: usize) -> Self {
        let (pack, templates) = (Arc::clone(&kept.pack), kept.templates.clone());
        Self { pack, templates, count: kept.names.len(), loaded, bytes: kept.bytes() }
    }
}

/// What the files of a pack look like now, by name; empty for a pack in the binary, and for one that is not kept.
type Stamps = BTreeMap<Arc<str>, Option<Stamp>>;

impl TemplateCache {
    pub fn new(config: Config, source: Arc<dyn TemplateSource>, clock: Arc<dyn Clock>, metrics: Recorder) -> Self {
        let (shelf, figures) = (Shelf::new(config), Figures::default());
        let (looked_at, hanging, empty) = (BTreeSet::new(), BTreeMap::new(), Templates::empty());
        let (patience, reported_at) = (PATIENCE, Instant::now());
        Self { config, source, clock, metrics, shelf, figures, looked_at, hanging, patience, reported_at, empty }
    }

    /// How long the source may take over one answer: less than who asks the cache waits.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn snapshot(&mut self, asked: &Arc<str>) -> Result<Snapshot, JobFailure> {
        let Got { pack, templates, count, loaded, .. } = self.get(asked, Asker::Job).await?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let used = CacheUse { hits: number(count - loaded), misses: number(loaded) };
        Ok(Snapshot { pack, templates, used })
    }

    async fn warm(&mut self, asked: &Arc<str>) -> Result<Warmed, JobFailure> {
        let started = Instant::now();
        let Got { count: templates, loaded, bytes, .. } = self.get(asked, Asker::WarmUp).await?;
        let kept = self.shelf.get(asked).is_some_and(|kept| kept.is_complete());
        Ok(Warmed { templates, loaded, bytes, kept, duration: started.elapsed() })
    }

    async fn get(&mut self, asked: &Arc<str>, asker: Asker) -> Result<Got, JobFailure> {
        let now = Instant::now();
        if let Some(kept) = self.shelf.get(asked)
            && kept.is_complete()
            && !kept.has_expired(&self.config, now)
            && (kept.is_embedded() || self.looked_at.contains(asked))
        {
            if asker == Asker::Job {
                kept.use_all(self.clock.now());
                self.figures.hits += kept.names.len() as u64;
            }
            return Ok(Got::of(kept, 0));
        }
        if self.hanging.get(asked).is_some_and(|since| now.duration_since(*since) < HANGS_FOR) {
            return Err(no_answer(asked));
        }
        self.hanging.remove(asked);
        let kept = self.shelf.take(asked);
        let stamps = match self.look(asked, kept.as_ref()).await {
            Ok(stamps) => stamps,
            Err(failure) => {
                kept.into_iter().for_each(|kept| self.shelf.put_back(Arc::clone(asked), kept));
                return Err(failure);
            }
        };
        let mut kept = self.manifest(asked, kept, &stamps).await?;
        kept.expire(&self.config, now, &mut self.figures);
        let got = self.load(asked, &mut kept, &stamps).await.map(|loaded| {
            if asker == Asker::Job {
                kept.use_but(&loaded, self.clock.now(), &mut self.figures);
            }
            Got::of(&kept, loaded.len())
        });
        if self.config.enabled {
            self.shelf.put(Arc::clone(asked), kept, &mut self.figures);
            self.looked_at.insert(Arc::clone(asked));
        }
        got
    }

    /// Waits for an answer of the source about a pack, in bounds; a panic of it is that pack's failure.
    async fn answer<T>(&mut self, asked: &Arc<str>, answer: impl Future<Output = T>) -> Result<T, JobFailure> {
        // A turn answers many questions; only one that does not come is stuck.
        progress();
        match tokio::time::timeout(self.patience, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(broken(asked, "reading it panicked", "check the pack; if it is right, please report it")),
            Err(_) => {
                self.hanging.insert(Arc::clone(asked), Instant::now());
                Err(no_answer(asked))
            }
        }
    }

    async fn look(&mut self, asked: &Arc<str>, kept: Option<&Kept>) -> Result<Stamps, JobFailure> {
        let Some(kept) = kept.filter(|kept| !kept.is_embedded()) else { return Ok(Stamps::new()) };
        let names: Vec<Arc<str>> = [Arc::from(MANIFEST)].into_iter().chain(kept.names.iter().cloned()).collect();
        let source = Arc::clone(&self.source);
        let stamps = self.answer(asked, source.stamps(asked, &names)).await?;
        Ok(names.into_iter().zip(stamps).collect())
    }

    /// The pack as its manifest says now, with the templates of it that are kept; all of these are evicted where the
    /// manifest cannot be read any more.
    async fn manifest(&mut self, asked: &Arc<str>, kept: Option<Kept>, stamps: &Stamps) -> Result<Kept, JobFailure> {
        let stamp = stamps.get(MANIFEST).copied().flatten();
        let kept = match kept {
            Some(kept) if kept.manifest.is_proved_by(stamp) => return Ok(kept),
            kept => kept,
        };
        let source = Arc::clone(&self.source);
        let text = self.answer(asked, source.manifest(asked)).await.and_then(|text| text);
        let Some(mut kept) = kept else {
            let text = text?;
            let pack = Pack::parse(&text.file, &text.bytes).map_err(of_templates)?;
            return Ok(Kept::new(pack, Version::of(&text.bytes, &text.origin), &self.empty));
        };
        let read = text.and_then(|text| {
            let version = Version::of(&text.bytes, &text.origin);
            let changed = version.hash != kept.manifest.hash;
            let pack = changed.then(|| Pack::parse(&text.file, &text.bytes)).transpose().map_err(of_templates)?;
            Ok((version, pack))
        });
        match read {
            Ok((version, None)) => kept.manifest = version,
            Ok((version, Some(pack))) => kept = kept.under(pack, version, &mut self.figures),
            Err(failure) => {
                kept.evict_all(Cause::Changed, &mut self.figures);
                return Err(failure);
            }
        }
        Ok(kept)
    }

    /// Reads and compiles what the pack lacks, and what may have changed and has; the names of these. What has changed
    /// or is gone is evicted; all faults are told at once.
    async fn load(
        &mut self,
        asked: &Arc<str>,
        kept: &mut Kept,
        stamps: &Stamps,
    ) -> Result<BTreeSet<Arc<str>>, JobFailure> {
        let (mut loaded, mut faults) = (BTreeSet::new(), Vec::new());
        let source = Arc::clone(&self.source);
        for name in kept.names.clone() {
            let stamp = stamps.get(&name).copied().flatten();
            if kept.entry(&name).is_some_and(|entry| entry.version.is_proved_by(stamp)) {
                continue;
            }
            let started = Instant::now();
            let text = match self.answer(asked, source.template(asked, &name)).await.and_then(|text| text) {
                Ok(text) => text,
                Err(failure) => {
                    kept.evict(&[name], Cause::Changed, &mut self.figures);
                    faults.extend(failure.diagnostics);
                    // One disk for all of them: the others would hang as well.
                    if self.hanging.contains_key(asked) {
                        break;
                    }
                    continue;
                }
            };
            let version = Version::of(&text.bytes, &text.origin);
            if let Some(entry) = kept.entry(&name).filter(|entry| entry.version.hash == version.hash) {
                self.figures.touched(&entry.name, version.stamp.map(|stamp| stamp.modified));
                entry.version = version;
                continue;
            }
            kept.evict(&[Arc::clone(&name)], Cause::Changed, &mut self.figures);
            match compile(kept, &name, &text) {
                Ok(bytes) => {
                    let (hash, load_time) = (version.hash, started.elapsed());
                    self.figures.loaded(&Loaded { name: &text.name, origin: &text.origin, hash, bytes, load_time });
                    kept.insert(Arc::clone(&name), Entry::new(text.name, version, bytes, Instant::now()));
                    loaded.insert(name);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(loaded) } else { Err(of_templates(faults)) }
    }

    fn invalidate(&mut self, name: Option<&str>) -> Result<usize, UnknownTemplate> {
        let dropped = self.shelf.invalidate(name, &mut self.figures);
        match name {
            Some(name) if dropped == 0 && !self.figures.names().contains(&name) => {
                Err(UnknownTemplate::new(name, &self.figures.names()))
            }
            _ => Ok(dropped),
        }
    }

    fn stats(&mut self) -> Stats {
        self.shelf.reckon(&mut self.figures);
        Stats {
            hits: self.figures.hits,
            misses: self.figures.misses,
            loads: self.figures.loads,
            cached_templates: self.shelf.templates(),
            templates_max: self.config.templates_max,
            bytes: self.shelf.bytes(),
            bytes_max: self.config.bytes_max,
            evictions: self.figures.evictions,
            templates: self.figures.templates(),
        }
    }

    /// Sends what happened since the last report to the metric writer, and never waits for it. What finds no room is in
    /// the next report.
    async fn report(&mut self) {
        self.reported_at = Instant::now();
        self.shelf.reckon(&mut self.figures);
        let news = self.figures.news(|| self.clock.new_id());
        for reports in news.chunks(REPORT_ROWS_MAX) {
            let rows = reports.iter().cloned().map(Row::Template).collect();
            if !self.config.persistence || self.metrics.record(rows).await {
                self.figures.told(reports.iter().map(|report| &report.name));
            }
        }
    }
}

/// Compiles a text into the set of its pack; its size there.
fn compile(kept: &mut Kept, name: &str, text: &PackText) -> Result<usize, Diagnostic> {
    let source = std::str::from_utf8(&text.bytes).map_err(|error| {
        let fault = format!("not UTF-8 after byte {}", error.valid_up_to());
        Diagnostic::new(&text.file, None, fault).help("save the template as UTF-8")
    })?;
    kept.templates.add(name, source).map_err(|fault| kept.pack.locate(fault))?;
    Ok(codegen::templates::cost(source))
}

fn broken(pack: &str, fault: &str, help: &str) -> JobFailure {
    JobFailure::new("template", Diagnostic::new(pack, None, fault).help(help))
}

fn no_answer(pack: &str) -> JobFailure {
    broken(pack, "reading the pack takes too long", "check the disk or the network that it is on")
}

fn of_templates(diagnostics: Vec<Diagnostic>) -> JobFailure {
    JobFailure { cause: "template", diagnostics }
}

impl kit::Actor for TemplateCache {
    type Message = Message;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: BATCH_MAX, linger: Duration::ZERO }
    }

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        self.looked_at.clear();
        for envelope in batch {
            match &**envelope {
                // Nobody waits for it any more.
                Message::Get { reply, .. } if reply.is_abandoned() => {}
                Message::Get { pack, reply } => reply.send(self.snapshot(pack).await),
                Message::Warm { pack, reply } => reply.send(self.warm(pack).await),
                Message::Invalidate { name, reply } => reply.send(self.invalidate(name.as_deref())),
                Message::Stats { reply } => reply.send(self.stats()),
            }
        }
        Ok(())
    }

    fn tick_every(&self) -> Option<Duration> {
        Some(TICK)
    }

    async fn tick(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.shelf.expire(now, &mut self.figures);
        self.hanging.retain(|_, since| now.duration_since(*since) < HANGS_FOR);
        if now.duration_since(self.reported_at) >= REPORT_EVERY {
            self.report().await;
        }
        Ok(())
    }

    async fn drained(&mut self) {
        self.report().await;
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        let failure = |pack: &str| {
            let message = format!("loading it broke the template cache: it {}", letter.last.reason);
            let help = "check the pack; if it is one of omninode's own, please report it";
            JobFailure::new("template", Diagnostic::new(pack, None, message).help(help))
        };
        match &**letter.envelope {
            Message::Get { pack, reply } => reply.send(Err(failure(pack))),
            Message::Warm { pack, reply } => reply.send(Err(failure(pack))),
            // Without an answer: whoever asks is told that there will be none.
            Message::Invalidate { .. } | Message::Stats { .. } => {}
        }
        Ok(())
    }
}
