//! The configuration: typed settings from layers. Flags win over the environment, that over `.env`, that over the file,
//! that over defaults. The only place where the environment is read for settings, and the only one that knows serde_yaml.
//!
//! ```text
//! files      the two files, within bounds
//! document   the configuration file: values and places, and what of it may be shown
//! dotenv     the .env file                       variables  the environment as a value, ${NAME} in texts
//! keys       every key there is                  kind, address  what a setting can be
//! reader     one setting from the first that gives it; every fault is collected
//! settings   all settings: key, kind, default    origin     where a value comes from, what is told of it
//! show       what `config check` and `config show` print
//! ```
//!
//! All faults are found in one go, each with its place, and none of them holds a secret.

mod address;
mod document;
mod dotenv;
mod files;
mod keys;
mod kind;
mod origin;
mod reader;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod variables;

use std::path::PathBuf;

use document::Document;
use reader::Reader;

pub use address::{DatabaseUrl, WebhookUrl};
pub use kind::{Environment, Level, LogFormat, SslMode, Workers};
pub use origin::{Fault, Flag, Origin, Shown};
pub use settings::{Database, Logging, Monitoring, ParallelGeneration, Rotation, Settings, TemplateCache};
pub use variables::Variables;

/// Read where no file is named, if it is there.
pub const DEFAULT_FILE: &str = "configs/deployment.yaml";
/// The same for variables.
pub const DEFAULT_ENV_FILE: &str = ".env";

/// Everything that can give a setting.
pub struct Sources {
    /// Where the two default files are looked for: the working directory is the empty path.
    pub folder: PathBuf,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--env-file`.
    pub env_file: Option<PathBuf>,
    /// Of two for one key the first wins.
    pub flags: Vec<Flag>,
    pub variables: Variables,
    /// What `half`, `all` and `double` workers are relative to.
    pub cores: usize,
}

/// What was read. The settings count only where there are no faults.
pub struct Loaded {
    pub settings: Settings,
    pub shown: Vec<Shown>,
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
    /// The files that were looked into, as the user named them.
    file: Option<String>,
    env_file: Option<String>,
    /// The configuration as messages show it, without secrets.
    source: Option<String>,
}

/// Reads the files and all settings.
pub fn load(sources: Sources) -> Loaded {
    let Sources { folder, file, env_file, flags, mut variables, cores } = sources;
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let (document, file) = match files::open(file.as_deref(), &folder.join(DEFAULT_FILE), "--config") {
        None => (Document::default(), None),
        Some(opened) => {
            let read = opened.content.and_then(|bytes| Document::parse(&opened.name, &bytes));
            let document = read.unwrap_or_else(|fault| {
                faults.push(Fault::of_file("file", fault));
                Document::default()
            });
            (document, Some(opened.name))
        }
    };
    let is_named = env_file.is_some();
    let env_file = files::open(env_file.as_deref(), &folder.join(DEFAULT_ENV_FILE), "--env-file");
    let env_file = env_file.map(|opened| {
        match opened.content.and_then(|bytes| files::utf8(&opened.name, bytes)) {
            Err(fault) => faults.push(Fault::of_file(".env", fault)),
            Ok(text) => {
                let (file, told) = dotenv::parse(&opened.name, &text);
                variables.file = file;
                for told in told {
                    // In a file that nobody named, such a line may be another program's.
                    let told_to = if told.foreign && !is_named { &mut warnings } else { &mut faults };
                    told_to.push(Fault::of_file(".env", told.diagnostic));
                }
                warnings.extend(opened.open_to_others.map(|fault| Fault::of_file(".env", fault)));
            }
        }
        opened.name
    });
    let mut reader = Reader::new(&flags, &variables, &document);
    let settings = settings::read(&mut reader, cores);
    reader.refuse_unknown();
    warnings.extend(settings::literal_secrets(&reader));
    let source = document.masked(&reader.open);
    faults.extend(reader.faults);
    // Those of the file first, in its order; then whatever has no place.
    faults
        .sort_by_key(|fault| (fault.diagnostic.place.is_none(), fault.diagnostic.file.clone(), fault.diagnostic.place));
    let mut shown = reader.shown;
    shown.sort_by_key(|shown| keys::position(shown.key));
    Loaded { settings, shown, faults, warnings, file, env_file, source }
}
