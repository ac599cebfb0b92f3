//! The configuration: typed settings from layers. Flags win over the environment, that over `.env`, that over the file,
//! that over defaults. The only place where the environment is read for settings, and the only one that knows serde_yaml.
//!
//! ```text
//! document   the file: values and places        dotenv   the .env file
//! variables  the environment as a value, ${NAME} in texts
//! kind       what a setting can be              origin   where a value comes from, what is told of it
//! reader     one setting from the first that gives it; every fault is collected
//! settings   all settings: key, kind, default
//! show       what `config check` and `config show` print
//! ```
//!
//! All faults are found in one go, each with its place, and none of them holds a secret.

mod document;
mod dotenv;
mod kind;
mod origin;
mod reader;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod variables;

use std::path::{Path, PathBuf};

use codegen::Diagnostic;

use document::Document;
use dotenv::DotEnv;
use reader::Reader;

pub use kind::{DatabaseUrl, Environment, Level, LogFormat, WebhookUrl, Workers};
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
    document: Document,
    env_file: Option<String>,
}

/// Reads the files and all settings.
pub fn load(sources: Sources) -> Loaded {
    let Sources { folder, file, env_file, flags, mut variables, cores } = sources;
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let path = file.or_else(|| Some(folder.join(DEFAULT_FILE)).filter(|path| path.exists()));
    let document = match path.as_deref().map(Document::open) {
        None => Document::default(),
        Some(Ok(document)) => document,
        Some(Err(broken)) => {
            faults.push(Fault::of_file(broken.1));
            broken.0
        }
    };
    let path = env_file.or_else(|| Some(folder.join(DEFAULT_ENV_FILE)).filter(|path| path.is_file()));
    if let Some(path) = &path {
        let (file, told) = open_env_file(path);
        variables.file = file;
        faults.extend(told.into_iter().map(Fault::of_file));
        warnings.extend(readable_by_others(path).map(Fault::of_file));
    }
    let mut reader = Reader::new(&flags, &variables, &document);
    let settings = settings::read(&mut reader, cores);
    reader.refuse_unknown();
    for (key, origin, help) in settings::literal_secrets(&reader) {
        let (file, place) = origin.whereabouts();
        let diagnostic =
            Diagnostic::new(file, place, format!("`{key}` holds a secret that stands in the file")).help(help);
        warnings.push(Fault { key: key.to_owned(), found: None, diagnostic });
    }
    faults.extend(reader.faults);
    // Those of the file first, in its order; then whatever has no place.
    faults
        .sort_by_key(|fault| (fault.diagnostic.place.is_none(), fault.diagnostic.file.clone(), fault.diagnostic.place));
    let shown = reader.shown;
    Loaded { settings, shown, faults, warnings, document, env_file: path.map(|path| path.display().to_string()) }
}

fn open_env_file(path: &Path) -> (DotEnv, Vec<Diagnostic>) {
    let file = path.display().to_string();
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => dotenv::parse(&file, &text),
        Ok(Err(_)) => {
            let fault = Diagnostic::new(file, None, "not UTF-8 text").help("save the file as UTF-8");
            (DotEnv::default(), vec![fault])
        }
        Err(error) => {
            let fault = Diagnostic::new(file, None, format!("cannot read it: {error}"));
            (DotEnv::default(), vec![fault.help("name another file with --env-file F, or make it readable")])
        }
    }
}

/// A `.env` file holds passwords: its group and others have no business there.
fn readable_by_others(path: &Path) -> Option<Diagnostic> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let file = path.display().to_string();
    let fault = Diagnostic::new(file.clone(), None, format!("others can read this file (mode {mode:04o})"));
    (mode & 0o044 != 0).then(|| fault.expected("mode 0600").help(format!("chmod 600 {file}")))
}
