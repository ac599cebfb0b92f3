//! Every setting there is: what it can be, its default, and when it is in use.

use std::time::Duration;

use crate::secret::{Secret, mask_url};

use super::address::{DatabaseUrl, Host, WebhookUrl};
use super::keys::variable_of;
use super::kind::{Environment, Kind as _, Level, LogFormat, SslMode, VariableName, Whole, Workers};
use super::origin::{Fault, Origin, Picked};
use super::reader::{REMOVE, Reader};
use super::variables::{url_word, without_references};

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
    /// Of PostgreSQL: connections that a service keeps open, and connections at most.
    pub pool_size: u64,
    pub pool_max: u64,
    /// Of PostgreSQL: what takes longer is ended.
    pub command_timeout: Duration,
    /// Of PostgreSQL, where the URL names none.
    pub ssl_mode: Option<SslMode>,
    /// The same: a file with the certificate of who signed the server's.
    pub ssl_root_cert: Option<String>,
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
    let environment = reader.pick("environment", true, Environment::Development).value;
    let monitored = reader.pick("monitoring.enabled", true, true).value;
    Settings {
        environment,
        database: database(reader, monitored, cores),
        template_cache: template_cache(reader),
        parallel_generation: parallel_generation(reader, cores),
        monitoring: monitoring(reader, monitored),
        logging: logging(reader, environment),
    }
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
    const URL: &str = "database.url";
    let given = reader.find::<DatabaseUrl>(URL, monitored, variable_of(URL), REMOVE);
    let block = reader.given(&PARTS);
    if let (Some(url), Some((part, origin))) = (&given, &block)
        // A URL of the environment beats the block of a file; but whoever writes a part on the command line wants it used.
        && (matches!(url.origin, Origin::File { .. }) || matches!(origin, Origin::Flag(_)))
    {
        let help = format!("remove the URL ({}), or the parts ({origin})", url.origin);
        let fault = Fault::new(part, origin, format!("`{URL}` and `{part}` name two databases"));
        reader.faults.push(fault.expected("one of the two").help(help));
    }
    let by_parts = reader.given(&[URL]).is_none() && block.is_some();
    let built = parts(reader, monitored && by_parts);
    let (default, origin) = match block {
        Some((_, origin)) if by_parts => (built, origin),
        _ => (DatabaseUrl(Secret::new(DEFAULT_DATABASE)), Origin::Default),
    };
    let url = given.unwrap_or(Picked { value: default, origin });
    reader.show(URL, monitored, url.value.show(), url.origin);
    let on_server = monitored && url.value.is_postgres();
    let (pool_size, pool_max) = pool(reader, on_server, cores);
    let timeout = reader.pick("database.command_timeout_seconds", on_server, Whole::<1, 86_400>(60));
    let ssl_mode = reader.pick_if::<SslMode>("database.ssl_mode", on_server, "");
    let root_cert = reader.pick_if::<String>("database.ssl_root_cert", on_server, "");
    Database {
        url: url.value,
        pool_size,
        pool_max,
        command_timeout: Duration::from_secs(timeout.value.0),
        ssl_mode: ssl_mode.map(|mode| mode.value),
        ssl_root_cert: root_cert.map(|file| file.value),
    }
}

/// Connections kept open, and connections at most. Where only one is given, the other goes along with it.
fn pool(reader: &mut Reader<'_>, in_use: bool, cores: usize) -> (u64, u64) {
    type Connections = Whole<1, 10_000>;
    const SIZE: &str = "database.pool_size";
    const MAX: &str = "database.pool_max";
    let usual = (cores as u64 * 2 + 1).clamp(10, 5_000);
    let max = reader.find::<Connections>(MAX, in_use, "", REMOVE);
    let size = max.as_ref().map_or(usual, |max| max.value.0.min(usual));
    let size = reader.pick::<Connections>(SIZE, in_use, Whole(size));
    let default = || Picked { value: Whole((usual * 2).max(size.value.0)), origin: Origin::Default };
    let max = max.unwrap_or_else(default);
    reader.show(MAX, in_use, max.value.show(), max.origin.clone());
    let (most, kept) = (max.value.0, size.value.0);
    if most < kept {
        let message = format!("`{MAX}` ({most}) is below `{SIZE}` ({kept}, {})", size.origin);
        let fault = Fault::new(MAX, &max.origin, message)
            .expected(format!("at least {kept}"))
            .help("raise it, or lower the other");
        reader.faults.push(Fault { found: Some(most.to_string()), ..fault });
    }
    (kept, most)
}

/// The URL of the `database:` block.
fn parts(reader: &mut Reader<'_>, in_use: bool) -> DatabaseUrl {
    let host = reader.pick("database.host", in_use, Host("localhost".to_owned())).value.in_url();
    let port = reader.pick("database.port", in_use, Whole::<1, 65_535>(5_432)).value.0;
    let word =
        |reader: &mut Reader<'_>, key, default: &str| url_word(&reader.pick(key, in_use, default.to_owned()).value);
    let database = word(reader, "database.database", "omninode_bridge");
    let user = word(reader, "database.user", "postgres");
    let variable = reader.pick("database.password_env", in_use, VariableName("POSTGRES_PASSWORD".to_owned()));
    let password = reader.pick_if::<Secret>("database.password", in_use, &variable.value.0);
    if password.is_none() && variable.origin != Origin::Default && in_use {
        let message =
            format!("the variable `{}`, which holds the password, is not set or empty", variable.value.shown());
        let help = "set it in the environment or in .env; to connect without a password, remove `password_env`";
        reader.faults.push(Fault::new("database.password_env", &variable.origin, message).help(help));
    }
    let password = password.map_or_else(String::new, |password| format!(":{}", url_word(password.value.reveal())));
    DatabaseUrl(Secret::new(format!("postgresql://{user}{password}@{host}:{port}/{database}")))
}

fn template_cache(reader: &mut Reader<'_>) -> TemplateCache {
    let enabled = reader.pick("template_cache.enabled", true, true).value;
    let ttl = reader.pick("template_cache.ttl_seconds", enabled, Whole::<1, 31_536_000>(3_600));
    TemplateCache {
        enabled,
        max_templates: reader.pick("template_cache.max_templates", enabled, Whole::<1, 1_000_000>(100)).value.0,
        max_size_mb: reader.pick("template_cache.max_size_mb", enabled, Whole::<1, 65_536>(50)).value.0,
        ttl: Duration::from_secs(ttl.value.0),
        enable_persistence: reader.pick("template_cache.enable_persistence", enabled, true).value,
    }
}

fn parallel_generation(reader: &mut Reader<'_>, cores: usize) -> ParallelGeneration {
    let enabled = reader.pick("parallel_generation.enabled", true, true).value;
    let workers = reader.pick("parallel_generation.max_workers", enabled, Workers::All);
    let timeout = reader.pick("parallel_generation.worker_timeout_seconds", true, Whole::<1, 86_400>(300));
    // Whoever asks for workers on the command line gets them.
    let alone = !enabled && !matches!(workers.origin, Origin::Flag(_));
    ParallelGeneration {
        workers: if alone { 1 } else { workers.value.count(cores) },
        worker_timeout: Duration::from_secs(timeout.value.0),
    }
}

fn monitoring(reader: &mut Reader<'_>, enabled: bool) -> Monitoring {
    const HOOK: &str = "monitoring.alert_webhook_url";
    let points = reader.pick("monitoring.metric_retention_points", enabled, Whole::<1, 10_000_000>(1_000));
    let interval = reader.pick("monitoring.health_check_interval_seconds", enabled, Whole::<1, 86_400>(60));
    let hook = reader.pick_if(HOOK, enabled, variable_of(HOOK));
    Monitoring {
        enabled,
        metric_retention_points: points.value.0,
        health_check_interval: Duration::from_secs(interval.value.0),
        alert_webhook_url: hook.map(|hook| hook.value),
    }
}

fn logging(reader: &mut Reader<'_>, environment: Environment) -> Logging {
    const DIR: &str = "logging.dir";
    let (format, Rotation { max_bytes, backup_count, compression }) = preset(environment);
    let from = || Origin::Preset(environment);
    let max_bytes = Whole::<1_024, { 1 << 40 }>(max_bytes);
    let backup_count = Whole::<0, 10_000>(backup_count);
    Logging {
        level: reader.pick("logging.level", true, Level::Warning).value,
        format: reader.pick_or("logging.format", true, format, from()).value,
        dir: reader.pick_if(DIR, true, variable_of(DIR)).map(|dir| dir.value),
        rotation: Rotation {
            max_bytes: reader.pick_or("logging.rotation.max_bytes", true, max_bytes, from()).value.0,
            backup_count: reader.pick_or("logging.rotation.backup_count", true, backup_count, from()).value.0,
            compression: reader.pick_or("logging.rotation.compression", true, compression, from()).value,
        },
    }
}

/// Warnings of secrets that stand in the file themselves. Of those with a fault that is enough.
pub(super) fn literal_secrets(reader: &Reader<'_>) -> Vec<Fault> {
    let found = [
        ("database.password", "name its variable instead: `password_env: POSTGRES_PASSWORD`"),
        ("database.url", "write `${POSTGRES_PASSWORD}` in its place"),
        ("monitoring.alert_webhook_url", "write `${ALERT_WEBHOOK_URL}` in its place"),
    ];
    let warning = |(key, help): (&str, &str)| {
        let entry = reader.document.get(key)?;
        let text = entry.value.as_str()?;
        let written = without_references(text);
        let literal = if key == "database.url" { mask_url(&written) != written } else { written == text };
        let told = reader.faults.iter().any(|fault| fault.key == key);
        let message = format!("`{key}` holds a secret that stands in the file");
        (literal && !written.is_empty() && !told).then(|| Fault::new(key, &reader.origin_of(entry), message).help(help))
    };
    found.into_iter().filter_map(warning).collect()
}
