//! Every setting there is: its key, what it can be, its default. The order here is the order in which they are shown.

use std::time::Duration;

use serde_yaml::Value;

use crate::secret::Secret;

use super::kind::{DatabaseUrl, Environment, Kind as _, Level, LogFormat, VariableName, WebhookUrl, Workers};
use super::origin::{Origin, Picked};
use super::reader::Reader;
use super::variables::url_word;

/// Used where nobody names a database.
const DEFAULT_DATABASE: &str = "sqlite://.omninode/omninode.db";

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub environment: Environment,
    pub database: Database,
    pub template_cache: TemplateCache,
    pub parallel_generation: ParallelGeneration,
    pub monitoring: Monitoring,
    pub logging: Logging,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    pub url: DatabaseUrl,
    /// Reserved for PostgreSQL: connections kept open, and connections at most.
    pub pool_size: u64,
    pub pool_max: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TemplateCache {
    pub enabled: bool,
    pub max_templates: u64,
    pub max_size_mb: u64,
    pub ttl: Duration,
    pub enable_persistence: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ParallelGeneration {
    pub workers: usize,
    pub worker_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Monitoring {
    /// False: no metric row is made, no database is opened.
    pub enabled: bool,
    /// Reserved for the alert evaluator: points kept of each metric.
    pub metric_retention_points: u64,
    /// Reserved for `serve`.
    pub health_check_interval: Duration,
    /// Reserved for the notifier.
    pub alert_webhook_url: Option<WebhookUrl>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Logging {
    pub level: Level,
    pub format: LogFormat,
    /// Reserved: where log files go. Unset, the log goes to standard error only.
    pub dir: Option<String>,
    pub rotation: Rotation,
}

/// Reserved for log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    pub max_bytes: u64,
    /// Old files kept.
    pub backup_count: u64,
    /// Whether old files are compressed.
    pub compression: bool,
}

/// What an environment decides where nobody else does.
fn preset(environment: Environment) -> (LogFormat, Rotation) {
    let rotation =
        |max_mb: u64, backup_count, compression| Rotation { max_bytes: max_mb << 20, backup_count, compression };
    match environment {
        Environment::Development => (LogFormat::Text, rotation(10, 5, false)),
        Environment::Staging => (LogFormat::Json, rotation(50, 10, true)),
        Environment::Production => (LogFormat::Json, rotation(100, 30, true)),
    }
}

pub(super) fn read(reader: &mut Reader<'_>, cores: usize) -> Settings {
    let environment = reader.pick("environment", Environment::Development).value;
    // Read first, because without it no database is needed; shown in its place.
    let shown = reader.shown.len();
    let enabled = reader.pick("monitoring.enabled", true).value;
    let switch = reader.shown.split_off(shown);
    let database = database(reader, enabled, cores);
    let template_cache = template_cache(reader);
    let parallel_generation = parallel_generation(reader, cores);
    reader.shown.extend(switch);
    let monitoring = monitoring(reader, enabled);
    let logging = logging(reader, environment);
    Settings { environment, database, template_cache, parallel_generation, monitoring, logging }
}

/// Either a URL, or the block of the guide (a PostgreSQL URL in parts), or the embedded database.
fn database(reader: &mut Reader<'_>, monitored: bool, cores: usize) -> Database {
    const PARTS: [&str; 6] = [
        "database.host",
        "database.port",
        "database.database",
        "database.user",
        "database.password",
        "database.password_env",
    ];
    reader.in_use = monitored;
    let url = reader.find::<DatabaseUrl>("database.url", "correct it, or remove it");
    let in_file: Vec<_> = PARTS.iter().filter_map(|key| reader.document.get(key)).collect();
    if let (Some(Picked { origin: origin @ Origin::File { .. }, .. }), Some(part)) = (&url, in_file.first()) {
        let message = format!("`database.url` and `{}` name two databases", part.key);
        reader.fault("database.url", None, origin, message, "one of the two", "remove the URL, or the parts");
    }
    let block = in_file.first().map(|entry| reader.origin_of(entry)).or_else(|| reader.flag_of(&PARTS));
    let by_parts = url.is_none() && block.is_some();

    let at = reader.shown.len();
    reader.in_use = monitored && by_parts;
    let built = parts(reader);
    let built = block.filter(|_| by_parts).map(|origin| Picked { value: built, origin });
    let default = || Picked { value: DatabaseUrl(Secret::new(DEFAULT_DATABASE)), origin: Origin::Default };
    let url = url.or(built).unwrap_or_else(default);
    reader.in_use = monitored;
    reader.show("database.url", url.value.show(), url.origin);
    reader.shown[at..].rotate_right(1);

    reader.in_use = monitored && url.value.is_postgres();
    let usual = (cores as u64 * 2 + 1).max(10);
    let pool_size = reader.whole("database.pool_size", 1..=10_000, usual, Origin::Default);
    let pool_max = reader.whole("database.pool_max", 1..=10_000, (usual * 2).max(pool_size), Origin::Default);
    if let Some(entry) = reader.document.get("database.pool_max").filter(|_| pool_max < pool_size) {
        let origin = reader.origin_of(entry);
        let message = format!("`database.pool_max` ({pool_max}) is below `database.pool_size` ({pool_size})");
        let expected = format!("at least {pool_size}");
        reader.fault("database.pool_max", Some(pool_max.to_string()), &origin, message, &expected, "raise it");
    }
    reader.in_use = true;
    Database { url: url.value, pool_size, pool_max }
}

/// The URL of the `database:` block.
fn parts(reader: &mut Reader<'_>) -> DatabaseUrl {
    let text = |reader: &mut Reader<'_>, key, default: &str| reader.pick(key, default.to_owned()).value;
    let host = text(reader, "database.host", "localhost");
    let port = reader.whole("database.port", 1..=65_535, 5_432, Origin::Default);
    let database = text(reader, "database.database", "omninode_bridge");
    let user = text(reader, "database.user", "postgres");
    let variable = reader.pick("database.password_env", VariableName("POSTGRES_PASSWORD".to_owned()));
    let password = reader.find_named::<Secret>("database.password", &variable.value.0);
    if password.is_none() && variable.origin != Origin::Default && reader.in_use {
        let message = format!("the variable `{}`, which holds the password, is not set or empty", variable.value.0);
        let help = "set it in the environment or in .env; to connect without a password, remove `password_env`";
        reader.fault("database.password_env", None, &variable.origin, message, "", help);
    }
    let shown = password.as_ref().map_or(serde_json::Value::Null, |password| password.value.show());
    let origin = password.as_ref().map_or(Origin::Default, |password| password.origin.clone());
    reader.show("database.password", shown, origin);
    // An IPv6 address wants brackets; the path of a socket is encoded.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let host = if host.starts_with('[') { host } else { url_word(&host) };
    let password = password.map_or_else(String::new, |password| format!(":{}", url_word(password.value.reveal())));
    let (user, database) = (url_word(&user), url_word(&database));
    DatabaseUrl(Secret::new(format!("postgresql://{user}{password}@{host}:{port}/{database}")))
}

fn template_cache(reader: &mut Reader<'_>) -> TemplateCache {
    let enabled = reader.pick("template_cache.enabled", true).value;
    reader.in_use = enabled;
    let settings = TemplateCache {
        enabled,
        max_templates: reader.whole("template_cache.max_templates", 1..=1_000_000, 100, Origin::Default),
        max_size_mb: reader.whole("template_cache.max_size_mb", 1..=65_536, 50, Origin::Default),
        ttl: seconds(reader, "template_cache.ttl_seconds", 31_536_000, 3_600),
        enable_persistence: reader.pick("template_cache.enable_persistence", true).value,
    };
    reader.in_use = true;
    settings
}

fn parallel_generation(reader: &mut Reader<'_>, cores: usize) -> ParallelGeneration {
    let enabled = reader.pick("parallel_generation.enabled", true).value;
    reader.in_use = enabled;
    let workers = reader.pick("parallel_generation.max_workers", Workers::All);
    reader.in_use = true;
    // Whoever asks for workers on the command line gets them.
    let alone = !enabled && !matches!(workers.origin, Origin::Flag(_));
    ParallelGeneration {
        workers: if alone { 1 } else { workers.value.count(cores) },
        worker_timeout: seconds(reader, "parallel_generation.worker_timeout_seconds", 86_400, 300),
    }
}

fn monitoring(reader: &mut Reader<'_>, enabled: bool) -> Monitoring {
    reader.in_use = enabled;
    let settings = Monitoring {
        enabled,
        metric_retention_points: reader.whole(
            "monitoring.metric_retention_points",
            1..=10_000_000,
            1_000,
            Origin::Default,
        ),
        health_check_interval: seconds(reader, "monitoring.health_check_interval_seconds", 86_400, 60),
        alert_webhook_url: reader.pick_if("monitoring.alert_webhook_url"),
    };
    reader.in_use = true;
    settings
}

fn logging(reader: &mut Reader<'_>, environment: Environment) -> Logging {
    let (format, rotation) = preset(environment);
    let origin = || Origin::Preset(environment);
    Logging {
        level: reader.pick("logging.level", Level::Warning).value,
        format: reader.pick_or("logging.format", format, origin()).value,
        dir: reader.pick_if("logging.dir"),
        rotation: Rotation {
            max_bytes: reader.whole("logging.rotation.max_bytes", 1_024..=1 << 40, rotation.max_bytes, origin()),
            backup_count: reader.whole("logging.rotation.backup_count", 0..=10_000, rotation.backup_count, origin()),
            compression: reader.pick_or("logging.rotation.compression", rotation.compression, origin()).value,
        },
    }
}

fn seconds(reader: &mut Reader<'_>, key: &'static str, max: u64, default: u64) -> Duration {
    Duration::from_secs(reader.whole(key, 1..=max, default, Origin::Default))
}

/// Keys of the file whose value is a secret that stands there itself, with the advice for each.
pub(super) fn literal_secrets(reader: &Reader<'_>) -> Vec<(&'static str, Origin, &'static str)> {
    let is_reference = |text: &str| text.contains("${");
    let password_of = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        let (user, _) = rest.rsplit_once('@')?;
        user.split_once(':').map(|(_, password)| password.to_owned())
    };
    let found = [
        ("database.password", "name its variable instead: `password_env: POSTGRES_PASSWORD`"),
        ("database.url", "write `${POSTGRES_PASSWORD}` in its place"),
        ("monitoring.alert_webhook_url", "write `${ALERT_WEBHOOK_URL}` in its place"),
    ];
    let entries = found.into_iter().filter_map(|(key, help)| Some((key, reader.document.get(key)?, help)));
    let literal = entries.filter(|(key, entry, _)| match (&entry.value, *key) {
        (Value::String(text), "database.url") => password_of(text).is_some_and(|password| !is_reference(&password)),
        (Value::String(text), _) => !text.is_empty() && !is_reference(text),
        (Value::Number(_), _) => true,
        _ => false,
    });
    literal.map(|(key, entry, help)| (key, reader.origin_of(entry), help)).collect()
}
