//! The template cache: compiled templates, bounded in count and bytes, one load per miss. A leaf: it sends to nobody.
//!
//! One question a job: everything its pack needs, as one immutable snapshot. A snapshot stays valid for the job that
//! holds it whatever the cache does afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use codegen::{Pack, Templates};

use crate::event::{CacheUse, JobFailure};
use crate::kit::{self, Batch, DeadLetter, Failure, Reply};
use crate::ports::TemplateSource;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// False: every job loads and compiles anew, and no hit is counted.
    pub enabled: bool,
    /// Templates, over all packs.
    pub templates_max: usize,
    /// Bytes, over all packs: source plus compiled form.
    pub bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, templates_max: 100, bytes_max: 50 << 20 }
    }
}

#[derive(Debug)]
pub enum Message {
    /// The compiled templates of a pack.
    Get { pack: Arc<str>, reply: Reply<Result<Snapshot, JobFailure>> },
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        "template_cache.get"
    }
    fn subject(&self) -> String {
        let Self::Get { pack, .. } = self;
        format!("templates of {pack}")
    }
}

/// What a job renders with.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub pack: Arc<Pack>,
    pub templates: Templates,
    pub used: CacheUse,
}

pub struct TemplateCache {
    config: Config,
    source: Arc<dyn TemplateSource>,
    packs: BTreeMap<Arc<str>, Cached>,
    /// Counts questions, to tell which pack was used least recently.
    turn: u64,
}

struct Cached {
    pack: Arc<Pack>,
    templates: Templates,
    count: usize,
    bytes: usize,
    used_at: u64,
}

impl TemplateCache {
    pub fn new(config: Config, source: Arc<dyn TemplateSource>) -> Self {
        Self { config, source, packs: BTreeMap::new(), turn: 0 }
    }

    async fn get(&mut self, name: &Arc<str>) -> Result<Snapshot, JobFailure> {
        self.turn += 1;
        if let Some(cached) = self.packs.get_mut(name) {
            cached.used_at = self.turn;
            let used = CacheUse { hits: u32::try_from(cached.count).unwrap_or(u32::MAX), misses: 0 };
            return Ok(Snapshot { pack: Arc::clone(&cached.pack), templates: cached.templates.clone(), used });
        }
        let cached = self.load(name).await?;
        let used = CacheUse { hits: 0, misses: u32::try_from(cached.count).unwrap_or(u32::MAX) };
        let snapshot = Snapshot { pack: Arc::clone(&cached.pack), templates: cached.templates.clone(), used };
        self.keep(Arc::clone(name), cached);
        Ok(snapshot)
    }

    async fn load(&self, name: &str) -> Result<Cached, JobFailure> {
        let manifest = self.source.manifest(name).await?;
        let pack = Pack::parse(&manifest.file, &manifest.bytes)
            .map_err(|diagnostics| JobFailure { cause: "template", diagnostics })?;
        let mut sources = Vec::new();
        for template in pack.templates() {
            let text = self.source.template(name, template).await?;
            let source = String::from_utf8(text.bytes.to_vec()).map_err(|error| {
                let fault = format!("not UTF-8 after byte {}", error.utf8_error().valid_up_to());
                let help = "save the template as UTF-8";
                JobFailure::new("template", codegen::Diagnostic::new(text.file.clone(), None, fault).help(help))
            })?;
            sources.push((template.to_owned(), source));
        }
        let (count, bytes) = (sources.len(), sources.iter().map(|(_, source)| codegen::templates::cost(source)).sum());
        let templates = Templates::empty()
            .with_all(sources.iter().map(|(name, source)| (name.as_str(), source.as_str())))
            .map_err(|faults| faults.into_iter().map(|fault| pack.locate(fault)).collect())
            .map_err(|diagnostics| JobFailure { cause: "template", diagnostics })?;
        Ok(Cached { pack: Arc::new(pack), templates, count, bytes, used_at: self.turn })
    }

    /// Keeps a pack, at the cost of those used least recently; one that is larger than the cache is served, not kept.
    fn keep(&mut self, name: Arc<str>, cached: Cached) {
        let fits = |count: usize, bytes: usize| count <= self.config.templates_max && bytes <= self.config.bytes_max;
        if !self.config.enabled || !fits(cached.count, cached.bytes) {
            return;
        }
        loop {
            let count = cached.count + self.packs.values().map(|kept| kept.count).sum::<usize>();
            let bytes = cached.bytes + self.packs.values().map(|kept| kept.bytes).sum::<usize>();
            if fits(count, bytes) {
                break;
            }
            let oldest = self.packs.iter().min_by_key(|(_, kept)| kept.used_at).map(|(name, _)| Arc::clone(name));
            let Some(oldest) = oldest else { break };
            self.packs.remove(&oldest);
        }
        self.packs.insert(name, cached);
    }
}

impl kit::Actor for TemplateCache {
    type Message = Message;

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        for envelope in batch {
            let Message::Get { pack, reply } = &**envelope;
            if reply.is_abandoned() {
                continue;
            }
            reply.send(self.get(pack).await);
        }
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Message>) -> Result<(), Failure> {
        let Message::Get { pack, reply } = &**letter.envelope;
        let message = format!("loading it broke the template cache: it {}", letter.last.reason);
        let help = "check the pack; if it is one of omninode's own, please report it";
        reply.send(Err(JobFailure::new("template", codegen::Diagnostic::new(&**pack, None, message).help(help))));
        Ok(())
    }
}
