//! `omninode cache`: the template cache as its users see it.
//!
//! Templates are cached inside a running process, and only that process knows what is cached now. Without a service to
//! ask, these commands answer from what runs have stored, and say so.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::event::JobFailure;
use actors::kit::{
    AskError, Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull, ask,
};
use actors::metric_writer::{Recorder, Tally};
use actors::ports::MetricStore as _;
use actors::template_cache::{Config, Message, TemplateCache, UnknownTemplate, Warmed};
use clap::{Args, Subcommand};
use codegen::Diagnostic;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::app::{colour, say};
use crate::clock::SystemClock;
use crate::packs::Packs;
use crate::storage::{Access, Store, StoredTemplate, Target};
use crate::summary::{Format, count, size};
use crate::{diagnostics, intake};

/// How long a pack may take to load.
const WARM_UP_MAX: Duration = Duration::from_secs(30);

/// What `cache invalidate` takes for every template, as it does no name.
const ALL: &str = "all";

/// The guide's MB.
const MB: f64 = 1_048_576.0;

/// Exit codes: done; a pack has faults; the name is unknown; the database cannot be read.
const EXIT_OK: u8 = 0;
const EXIT_FAULTY_PACK: u8 = 1;
const EXIT_UNKNOWN_NAME: u8 = 2;
const EXIT_NO_DATABASE: u8 = 3;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 a pack has faults; 2 wrong command line or unknown template; 3 the database \
cannot be used.";

#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: Command,
    /// Where measurements are stored [default: sqlite://.omninode/omninode.db; also from DATABASE_URL].
    #[arg(long, value_name = "URL", global = true)]
    pub database: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Human, global = true)]
    format: Format,
}

#[derive(Subcommand)]
enum Command {
    /// Hits, misses and sizes. Without a service: what runs have stored, and how old that is.
    Stats {
        /// Each template with its source, last change, hash, hits and misses; the file changed last comes first.
        #[arg(long)]
        per_template: bool,
    },
    /// Compile every template of packs, and tell their faults: how a pack is checked.
    Warm {
        /// Names of built-in packs, or folders [default: all built-in packs].
        #[arg(value_name = "PACK")]
        packs: Vec<String>,
    },
    /// Drop a template from the cache, or all. Without a service: drop its stored figures.
    Invalidate {
        /// As `stats --per-template` lists it, such as `onex/node.py.j2`; `all`, or none, for all.
        name: Option<String>,
    },
}

/// Runs the command on the current actix System, with the cache as it is configured.
///
/// # Errors
/// Standard output cannot be written.
pub async fn run(args: CacheArgs, database: &Target, config: Config) -> anyhow::Result<ExitCode> {
    let done = match &args.command {
        Command::Stats { per_template } => stats(database, *per_template, &config, args.format).await,
        Command::Warm { packs } => Ok(warm(packs, config, args.format).await),
        Command::Invalidate { name } => invalidate(database, name.as_deref(), args.format).await,
    };
    let (text, code) = done.unwrap_or_else(|fault| {
        say(&format!("error: {fault}"));
        (String::new(), EXIT_NO_DATABASE)
    });
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads it had enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::from(code)),
    }
}

fn json(report: &impl Serialize) -> String {
    // Numbers and texts: they always have a JSON form.
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

async fn stored(store: Option<&Store>) -> Result<Vec<StoredTemplate>, String> {
    match store {
        Some(store) => store.templates().await,
        None => Ok(Vec::new()),
    }
}

/// A store that is closed leaves one file behind, not three.
async fn close(store: Option<Store>) {
    if let Some(store) = store {
        store.close().await;
    }
}

/// What `cache stats` knows without a service.
#[derive(Debug, Serialize)]
struct StoredStats {
    /// Whether a service answered.
    service: bool,
    /// Since the newest of the figures was stored; absent where there are none.
    age_seconds: Option<f64>,
    /// 0 to 1; absent where no job asked for a template.
    hit_rate: Option<f64>,
    hits: i64,
    misses: i64,
    /// What is cached now, which only a service knows.
    cached_templates: Option<usize>,
    /// Templates with figures, of all packs that runs have used.
    known_templates: usize,
    /// In one cache.
    max_templates: usize,
    total_size_mb: f64,
    max_size_mb: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    templates: Option<Vec<TemplateLine>>,
}

#[derive(Debug, Serialize)]
struct TemplateLine {
    name: String,
    template_type: String,
    /// `embedded`, or the path of its file.
    source: String,
    /// When its file was last written, RFC 3339; absent for one in the binary, and where the file is gone.
    changed_at: Option<String>,
    hash: String,
    size_bytes: i64,
    load_time_ms: f64,
    hits: i64,
    misses: i64,
    /// UTC.
    last_accessed_at: Option<String>,
    #[serde(skip)]
    changed: Option<SystemTime>,
}

async fn stats(database: &Target, per_template: bool, config: &Config, format: Format) -> Result<(String, u8), String> {
    let store = Store::open_existing(database, Access::Read).await?;
    let stored = stored(store.as_ref()).await;
    close(store).await;
    let stored = stored?;
    let stats = StoredStats::new(stored, per_template, config);
    let text = match format {
        Format::Human => stats.to_text(),
        Format::Json => json(&stats),
    };
    Ok((text, EXIT_OK))
}

impl StoredStats {
    fn new(stored: Vec<StoredTemplate>, per_template: bool, config: &Config) -> Self {
        let sum = |of: fn(&StoredTemplate) -> i64| stored.iter().map(of).sum::<i64>();
        let (hits, misses) = (sum(|template| template.cache_hits), sum(|template| template.cache_misses));
        let mut stats = Self {
            service: false,
            age_seconds: stored.iter().map(|template| template.age_seconds).reduce(f64::min),
            hit_rate: (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64),
            hits,
            misses,
            cached_templates: None,
            known_templates: stored.len(),
            max_templates: config.templates_max,
            total_size_mb: sum(|template| template.size_bytes) as f64 / MB,
            max_size_mb: config.bytes_max as f64 / MB,
            templates: None,
        };
        if per_template {
            let mut lines: Vec<_> = stored.into_iter().map(TemplateLine::from).collect();
            // As `ls -lt` does; what is in the binary comes last, by name.
            lines.sort_by_key(|line| std::cmp::Reverse(line.changed));
            stats.templates = Some(lines);
        }
        stats
    }

    fn to_text(&self) -> String {
        let Some(age) = self.age_seconds else {
            return "No service is running, and no run has stored figures of the template cache.\n".to_owned();
        };
        // The database's clock may have been set back meanwhile.
        let age = Duration::try_from_secs_f64(age).unwrap_or_default().as_secs();
        let age = humantime::format_duration(Duration::from_secs(age));
        let rate =
            self.hit_rate.map_or_else(|| "nothing was asked for".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
        let mut text = format!(
            "No service is running: these are the figures that runs have stored, the newest {age} ago.\n\
             Hit rate: {rate}\nHits: {}, Misses: {}\nKnown templates: {}, {:.2} MB\n\
             A cache holds at most: {} templates, {:.0} MB\n",
            self.hits, self.misses, self.known_templates, self.total_size_mb, self.max_templates, self.max_size_mb
        );
        let lines = self.templates.iter().flatten();
        let width = lines.clone().map(|line| line.name.chars().count()).max().unwrap_or_default();
        if width > 0 {
            text += &format!(
                "\n{:<width$}  {:<20}  {:<12}  {:>10}  {:>8}  {:>8}  source\n",
                "template", "changed at", "hash", "size", "hits", "misses"
            );
        }
        for line in lines {
            let changed = line.changed_at.as_deref().unwrap_or(if line.source == EMBEDDED { "-" } else { "gone" });
            let hash: String = line.hash.chars().take(12).collect();
            let bytes = size(line.size_bytes.unsigned_abs());
            text += &format!(
                "{:<width$}  {changed:<20}  {hash}  {bytes:>10}  {:>8}  {:>8}  {}\n",
                line.name, line.hits, line.misses, line.source
            );
        }
        diagnostics::printable(&text)
    }
}

/// The source of a template in the binary.
const EMBEDDED: &str = "embedded";

impl From<StoredTemplate> for TemplateLine {
    fn from(stored: StoredTemplate) -> Self {
        let embedded = stored.file_path.starts_with("embedded:");
        let changed = || Path::new(&stored.file_path).metadata().and_then(|found| found.modified()).ok();
        let changed = if embedded { None } else { changed() };
        Self {
            name: stored.template_name,
            template_type: stored.template_type,
            source: if embedded { EMBEDDED.to_owned() } else { stored.file_path },
            changed_at: changed.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
            hash: stored.file_hash,
            size_bytes: stored.size_bytes,
            load_time_ms: stored.load_time_ms,
            hits: stored.cache_hits,
            misses: stored.cache_misses,
            last_accessed_at: stored.last_accessed_at,
            changed,
        }
    }
}

/// What `cache invalidate` did.
#[derive(Debug, Serialize)]
struct Invalidated {
    service: bool,
    /// Templates of which the stored figures were dropped.
    figures_dropped: u64,
}

async fn invalidate(database: &Target, name: Option<&str>, format: Format) -> Result<(String, u8), String> {
    let name = name.filter(|name| *name != ALL);
    let store = Store::open_existing(database, Access::Write).await?;
    let stored = stored(store.as_ref()).await?;
    let embedded: Vec<String> = Packs::embedded_templates().collect();
    let known: Vec<&str> =
        stored.iter().map(|template| &*template.template_name).chain(embedded.iter().map(String::as_str)).collect();
    if let Some(name) = name.filter(|name| !known.contains(name)) {
        say(&format!("error: {}", diagnostics::printable(&UnknownTemplate::new(name, &known).to_string())));
        return Ok((String::new(), EXIT_UNKNOWN_NAME));
    }
    let figures_dropped = match &store {
        Some(store) => store.forget_templates(name).await?,
        None => 0,
    };
    close(store).await;
    let text = match format {
        Format::Json => json(&Invalidated { service: false, figures_dropped }),
        Format::Human => format!(
            "No service is running, so there is nothing to invalidate: each run of generate begins with an empty cache.\n\
             The stored figures of {} were dropped.\n",
            match name.filter(|_| figures_dropped > 0) {
                Some(name) => name.to_owned(),
                None => count(figures_dropped, "template"),
            }
        ),
    };
    Ok((text, EXIT_OK))
}

/// What `cache warm` found of one pack.
#[derive(Debug, Serialize)]
struct WarmLine {
    pack: String,
    templates: usize,
    bytes: usize,
    duration_ms: f64,
    /// All of it stays in the cache as it is configured.
    fits: bool,
    faults: Vec<Diagnostic>,
}

async fn warm(packs: &[String], config: Config, format: Format) -> (String, u8) {
    let embedded = || Packs::embedded().map(str::to_owned).collect();
    let packs: Vec<String> = if packs.is_empty() { embedded() } else { packs.to_vec() };
    let why = if config.enabled { "; more than the cache holds" } else { "; the cache is switched off" };
    let lines = warm_all(packs, config).await;
    let code = if lines.iter().all(|line| line.faults.is_empty()) { EXIT_OK } else { EXIT_FAULTY_PACK };
    if format == Format::Json {
        return (json(&lines), code);
    }
    let mut text = String::new();
    for line in &lines {
        for fault in &line.faults {
            say(&format!("{}\n", diagnostics::render(fault, intake::reread(&fault.file).as_deref(), colour())));
        }
        text += &match line.faults.len() {
            0 => format!(
                "{}: {}, {}, compiled in {:.1} ms{}\n",
                diagnostics::printable(&line.pack),
                count(line.templates as u64, "template"),
                size(line.bytes as u64),
                line.duration_ms,
                if line.fits {
                    String::new()
                } else {
                    format!("{why}: some or all of it is compiled for each contract")
                }
            ),
            faults => format!("{}: {}\n", diagnostics::printable(&line.pack), count(faults as u64, "fault")),
        };
    }
    (text, code)
}

/// A template cache of its own, asked for one pack after the other.
async fn warm_all(packs: Vec<String>, config: Config) -> Vec<WarmLine> {
    let observer: Arc<dyn Observer> = Arc::new(Silent);
    let limits = MailboxLimits { capacity: 1, attempts_max: 1 };
    let mailbox = Mailbox::new("template_cache", limits, Arc::clone(&observer));
    // Nobody reads it: a check stores no figures.
    let unread = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
    let mut supervisor = Supervisor::new(Placement::Threads, observer, 0);
    let source = Arc::new(Packs::new(Handle::current()));
    supervisor.start("template_cache", mailbox.inbox(), RestartPolicy::per_minute(20), move || {
        let figures = Recorder::new(unread.edge(WhenFull::Drop), Arc::new(Tally::default()));
        let config = Config { persistence: false, ..config };
        TemplateCache::new(config, Arc::clone(&source) as _, Arc::new(SystemClock), figures)
    });
    let edge = mailbox.edge(WhenFull::Wait);
    let mut lines = Vec::new();
    for pack in packs {
        let asked: Arc<str> = Arc::from(pack.as_str());
        let answer = ask(&edge, WARM_UP_MAX, |reply| Message::Warm { pack: asked, reply }).await;
        let answer = answer.unwrap_or_else(|error| Err(unanswered(&pack, error)));
        lines.push(WarmLine::new(pack, answer));
    }
    mailbox.close();
    supervisor.ended().await;
    lines
}

fn unanswered(pack: &str, error: AskError) -> JobFailure {
    let fault = Diagnostic::new(pack, None, format!("the template cache did not load it: {error}"));
    JobFailure::new("template", fault.help("check the pack's files and the disk they are on"))
}

impl WarmLine {
    fn new(pack: String, answer: Result<Warmed, JobFailure>) -> Self {
        let (warmed, faults) = match answer {
            Ok(warmed) => (Some(warmed), Vec::new()),
            Err(failure) => (None, failure.diagnostics),
        };
        Self {
            pack,
            templates: warmed.map_or(0, |warmed| warmed.templates),
            bytes: warmed.map_or(0, |warmed| warmed.bytes),
            duration_ms: warmed.map_or(0.0, |warmed| warmed.duration.as_secs_f64() * 1_000.0),
            fits: warmed.is_some_and(|warmed| warmed.kept),
            faults,
        }
    }
}
