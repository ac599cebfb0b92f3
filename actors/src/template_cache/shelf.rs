//! What is kept: templates by pack, within limits of number, bytes and age. No I/O and no clock: time is an argument.
//!
//! A job uses all templates of its pack, so they are used at one moment, in the order of the manifest: the template used
//! least recently is the first one left of the pack used least recently. That is why use is counted for a pack as a
//! whole, and reckoned out for its templates when somebody asks or one leaves: a hit costs one look-up and no copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use codegen::{Pack, Templates};
use tokio::time::Instant;

use super::Config;
use super::figures::{Cause, Figures};
use crate::ports::{Origin, Stamp};

/// The state of a text when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) hash: blake3::Hash,
    /// None for one in the binary.
    pub(super) stamp: Option<Stamp>,
}

impl Version {
    pub(super) fn of(bytes: &[u8], origin: &Origin) -> Self {
        let stamp = match origin {
            Origin::Embedded => None,
            Origin::File { stamp, .. } => Some(*stamp),
        };
        Self { hash: blake3::hash(bytes), stamp }
    }

    /// Whether a file with this stamp now still holds it for certain.
    pub(super) fn is_proved_by(&self, now: Option<Stamp>) -> bool {
        self.stamp.is_none_or(|stamp| stamp.settled && now == Some(stamp))
    }
}

/// A template that is kept.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// `PACK/TEMPLATE`.
    pub(super) name: Arc<str>,
    pub(super) version: Version,
    pub(super) bytes: usize,
    pub(super) loaded_at: Instant,
    /// It was on the shelf before this job.
    pub(super) kept: bool,
    /// Uses of the pack that are in its figures, or that it has no part in.
    reckoned: u64,
}

impl Entry {
    pub(super) fn new(name: Arc<str>, version: Version, bytes: usize, loaded_at: Instant) -> Self {
        Self { name, version, bytes, loaded_at, kept: false, reckoned: 0 }
    }
}

/// A pack of which templates are kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) pack: Arc<Pack>,
    pub(super) manifest: Version,
    /// All its templates, in the order of the manifest.
    pub(super) names: Vec<Arc<str>>,
    /// The compiled form of `entries`.
    pub(super) templates: Templates,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Of all entries.
    bytes: usize,
    /// Of its entries, when the first was loaded.
    oldest: Option<Instant>,
    /// Place of the last use among the uses of all packs.
    turn: u64,
    used_at: SystemTime,
    /// Times that a job found all of it.
    uses: u64,
}

impl Kept {
    /// Without entries; `empty` is a set of no templates.
    pub(super) fn new(pack: Pack, manifest: Version, empty: &Templates) -> Self {
        Self {
            names: pack.templates().map(Arc::from).collect(),
            pack: Arc::new(pack),
            manifest,
            templates: empty.clone(),
            entries: BTreeMap::new(),
            bytes: 0,
            oldest: None,
            turn: 0,
            used_at: SystemTime::UNIX_EPOCH,
            uses: 0,
        }
    }

    /// The same templates under a manifest that has changed: those that it does not name any more are evicted.
    pub(super) fn under(mut self, pack: Pack, manifest: Version, figures: &mut Figures) -> Self {
        self.names = pack.templates().map(Arc::from).collect();
        let named: BTreeSet<&Arc<str>> = self.names.iter().collect();
        let gone: Vec<Arc<str>> = self.entries.keys().filter(|name| !named.contains(name)).cloned().collect();
        self.evict(&gone, Cause::Changed, figures);
        (self.pack, self.manifest) = (Arc::new(pack), manifest);
        self
    }

    pub(super) fn is_embedded(&self) -> bool {
        self.manifest.stamp.is_none()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.entries.len() == self.names.len()
    }

    /// A job found all of it.
    pub(super) fn use_all(&mut self, at: SystemTime) {
        self.uses += 1;
        self.used_at = at;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// Takes in a template that was loaded; its compiled form is in `templates`.
    pub(super) fn insert(&mut self, name: Arc<str>, entry: Entry) {
        self.bytes += entry.bytes;
        self.entries.insert(name, entry);
    }

    /// A job found all of it but what was loaded for it.
    pub(super) fn use_but(&mut self, loaded: &BTreeSet<Arc<str>>, at: SystemTime, figures: &mut Figures) {
        figures.hits += (self.names.len() - loaded.len()) as u64;
        if loaded.is_empty() {
            return self.use_all(at);
        }
        self.used_at = at;
        for (name, entry) in &self.entries {
            if loaded.contains(name) {
                figures.missed(&entry.name, at);
            } else {
                figures.found(&entry.name, 1, at);
            }
        }
    }

    /// Puts the uses that are not reckoned yet into the figures.
    fn reckon(&mut self, figures: &mut Figures) {
        for entry in self.entries.values_mut() {
            figures.found(&entry.name, self.uses - entry.reckoned, self.used_at);
            entry.reckoned = self.uses;
        }
    }

    /// Takes entries out, if they are there.
    pub(super) fn evict(&mut self, names: &[Arc<str>], cause: Cause, figures: &mut Figures) {
        let gone: Vec<Entry> = names.iter().filter_map(|name| self.entries.remove(name)).collect();
        if gone.is_empty() {
            return;
        }
        self.templates.remove(names.iter().map(|name| &**name));
        self.bytes -= gone.iter().map(|entry| entry.bytes).sum::<usize>();
        for entry in gone.iter().filter(|entry| entry.kept) {
            figures.found(&entry.name, self.uses - entry.reckoned, self.used_at);
            figures.evicted(&entry.name, cause);
        }
    }

    pub(super) fn evict_all(&mut self, cause: Cause, figures: &mut Figures) {
        self.evict(&self.names_where(|_| true), cause, figures);
    }

    /// The entries that `which` chooses.
    pub(super) fn names_where(&self, which: impl Fn(&Entry) -> bool) -> Vec<Arc<str>> {
        let chosen = self.entries.iter().filter(|(_, entry)| which(entry));
        chosen.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Whether one of its entries is too old.
    pub(super) fn has_expired(&self, config: &Config, now: Instant) -> bool {
        self.oldest.is_some_and(|oldest| now.duration_since(oldest) >= config.ttl)
    }

    pub(super) fn expire(&mut self, config: &Config, now: Instant, figures: &mut Figures) {
        if self.has_expired(config, now) {
            let old = self.names_where(|entry| now.duration_since(entry.loaded_at) >= config.ttl);
            self.evict(&old, Cause::Age, figures);
        }
    }
}

pub(super) struct Shelf {
    config: Config,
    /// By the name that jobs ask with. None of them is empty.
    packs: BTreeMap<Arc<str>, Kept>,
    templates: usize,
    bytes: usize,
    /// Counts uses, to tell which pack was used least recently.
    turn: u64,
}

impl Shelf {
    pub(super) fn new(config: Config) -> Self {
        Self { config, packs: BTreeMap::new(), templates: 0, bytes: 0, turn: 0 }
    }

    pub(super) fn templates(&self) -> usize {
        self.templates
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A pack that is about to be used.
    pub(super) fn get(&mut self, pack: &str) -> Option<&mut Kept> {
        let kept = self.packs.get_mut(pack)?;
        self.turn += 1;
        kept.turn = self.turn;
        Some(kept)
    }

    /// Takes a pack down, to be changed and put back.
    pub(super) fn take(&mut self, pack: &str) -> Option<Kept> {
        let kept = self.packs.remove(pack)?;
        self.templates -= kept.entries.len();
        self.bytes -= kept.bytes();
        Some(kept)
    }

    /// Keeps a pack, at the cost of what was used least recently. An entry that is larger than the whole shelf is not
    /// kept, and neither is a pack whose entries together are.
    pub(super) fn put(&mut self, asked: Arc<str>, mut kept: Kept, figures: &mut Figures) {
        let Config { templates_max, bytes_max, .. } = self.config;
        kept.evict(&kept.names_where(|entry| entry.bytes > bytes_max), Cause::Bytes, figures);
        if kept.entries.len() > templates_max {
            kept.evict_all(Cause::Count, figures);
        }
        if kept.bytes() > bytes_max {
            kept.evict_all(Cause::Bytes, figures);
        }
        if kept.entries.is_empty() {
            return;
        }
        self.make_room(kept.entries.len(), kept.bytes(), figures);
        for entry in kept.entries.values_mut().filter(|entry| !entry.kept) {
            (entry.kept, entry.reckoned) = (true, kept.uses);
            figures.kept(&entry.name);
        }
        kept.oldest = kept.entries.values().map(|entry| entry.loaded_at).min();
        self.turn += 1;
        kept.turn = self.turn;
        self.templates += kept.entries.len();
        self.bytes += kept.bytes();
        self.packs.insert(asked, kept);
    }

    /// Evicts one entry after the other until so many more fit.
    fn make_room(&mut self, templates: usize, bytes: usize, figures: &mut Figures) {
        loop {
            let too_many = (self.templates + templates).saturating_sub(self.config.templates_max);
            let too_large = (self.bytes + bytes).saturating_sub(self.config.bytes_max);
            if too_many == 0 && too_large == 0 {
                return;
            }
            let oldest = self.packs.iter().min_by_key(|(_, kept)| kept.turn).map(|(asked, _)| Arc::clone(asked));
            let Some((asked, mut kept)) = oldest.and_then(|asked| Some((Arc::clone(&asked), self.take(&asked)?)))
            else {
                return;
            };
            // As many of this pack as must go, for one change of its set.
            let (mut by_count, mut by_bytes, mut freed) = (Vec::new(), Vec::new(), 0);
            for (name, entry) in kept.names.iter().filter_map(|name| Some((name, kept.entries.get(name)?))) {
                if by_count.len() < too_many {
                    by_count.push(Arc::clone(name));
                } else if freed < too_large {
                    by_bytes.push(Arc::clone(name));
                } else {
                    break;
                }
                freed += entry.bytes;
            }
            kept.evict(&by_count, Cause::Count, figures);
            kept.evict(&by_bytes, Cause::Bytes, figures);
            self.put_back(asked, kept);
        }
    }

    /// Puts back a pack that holds no more than before.
    pub(super) fn put_back(&mut self, asked: Arc<str>, kept: Kept) {
        if !kept.entries.is_empty() {
            self.templates += kept.entries.len();
            self.bytes += kept.bytes();
            self.packs.insert(asked, kept);
        }
    }

    /// Evicts the entries of this name; says how many there were.
    pub(super) fn invalidate(&mut self, name: Option<&str>, figures: &mut Figures) -> usize {
        let before = self.templates;
        self.change_all(|kept| {
            let named = kept.names_where(|entry| name.is_none_or(|name| *entry.name == *name));
            kept.evict(&named, Cause::Invalidated, figures);
        });
        before - self.templates
    }

    pub(super) fn expire(&mut self, now: Instant, figures: &mut Figures) {
        let config = self.config;
        if self.packs.values().any(|kept| kept.has_expired(&config, now)) {
            self.change_all(|kept| kept.expire(&config, now, figures));
        }
    }

    fn change_all(&mut self, mut change: impl FnMut(&mut Kept)) {
        let all: Vec<Arc<str>> = self.packs.keys().cloned().collect();
        for asked in all {
            if let Some(mut kept) = self.take(&asked) {
                change(&mut kept);
                kept.oldest = kept.entries.values().map(|entry| entry.loaded_at).min();
                self.put_back(asked, kept);
            }
        }
    }

    /// Puts the uses that are not reckoned yet into the figures.
    pub(super) fn reckon(&mut self, figures: &mut Figures) {
        self.packs.values_mut().for_each(|kept| kept.reckon(figures));
    }
}
