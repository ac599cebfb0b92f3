//! What a setting can be: how each kind of value is read, and how it is shown.

use std::num::NonZeroUsize;

use serde_json::json;
use serde_yaml::Value;
use url::Url;

use crate::secret::{MASK, Secret, mask_path, mask_url};

use super::dotenv::is_name;

/// A type that a setting can have. Values of a file have their YAML type; those of flags and variables are text.
pub(super) trait Kind: Sized {
    /// What is right, for messages.
    const EXPECTED: &'static str;
    /// The words among it, for suggestions.
    const WORDS: &'static [&'static str] = &[];
    /// What was found is not repeated in messages.
    const SECRET: bool = false;
    /// What to do about a wrong one, where there is more to say than the default.
    const HELP: &'static str = "";

    /// None where it is not what was expected.
    fn read(value: &Value) -> Option<Self>;

    fn show(&self) -> serde_json::Value;
}

impl Kind for bool {
    const EXPECTED: &'static str = "true or false";
    const WORDS: &'static [&'static str] = &["true", "false", "yes", "no", "on", "off"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            // `yes` and `on` are text to YAML 1.2 and true to YAML 1.1, with which the guide's files were written.
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn show(&self) -> serde_json::Value {
        json!(self)
    }
}

/// Text that is not empty.
impl Kind for String {
    const EXPECTED: &'static str = "text";

    fn read(value: &Value) -> Option<Self> {
        text(value).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn show(&self) -> serde_json::Value {
        json!(self)
    }
}

/// A password. A number is none: `1e5` without quotes is not what its author typed.
impl Kind for Secret {
    const EXPECTED: &'static str = "text";
    const SECRET: bool = true;
    const HELP: &'static str = "put quotes around it, or name its variable instead: `password_env: POSTGRES_PASSWORD`";

    fn read(value: &Value) -> Option<Self> {
        text(value).map(Self::new)
    }

    fn show(&self) -> serde_json::Value {
        json!(MASK)
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text) } else { None }
}

/// A whole number from a range; text of digits is one too.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// Enums that are one word in a file: each with its words in order.
macro_rules! words {
    ($kind:ident, $expected:literal, $($word:literal => $variant:ident),+) => {
        impl Kind for $kind {
            const EXPECTED: &'static str = $expected;
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn read(value: &Value) -> Option<Self> {
                let found = text(value)?;
                $(if found.eq_ignore_ascii_case($word) { return Some(Self::$variant); })+
                None
            }

            fn show(&self) -> serde_json::Value {
                json!(self.as_str())
            }
        }

        impl $kind {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

/// Where the program runs; picks the defaults that differ there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Development,
    Staging,
    Production,
}

words!(Environment, "development, staging or production",
    "development" => Development, "staging" => Staging, "production" => Production);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

words!(Level, "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "DEBUG" => Debug, "INFO" => Info, "WARNING" => Warning, "ERROR" => Error, "CRITICAL" => Critical);

impl Level {
    /// The level's name to tracing, which knows nothing above an error.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error | Self::Critical => "error",
        }
    }
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

words!(LogFormat, "text or json", "text" => Text, "json" => Json);

/// How many generator workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// Half of the cores, one at least.
    Half,
    /// One for each core.
    All,
    /// Two for each core.
    Double,
    Count(NonZeroUsize),
}

/// More threads than this never helped anybody.
pub(super) const WORKERS_MAX: usize = 1_024;

impl Workers {
    pub fn count(self, cores: usize) -> usize {
        let workers = match self {
            Self::Half => cores / 2,
            Self::All => cores,
            Self::Double => cores.saturating_mul(2),
            Self::Count(count) => count.get(),
        };
        workers.clamp(1, WORKERS_MAX)
    }
}

impl Kind for Workers {
    const EXPECTED: &'static str = "a whole number from 1 to 1024, or half, all or double (of the cores)";
    const WORDS: &'static [&'static str] = &["half", "all", "double"];

    fn read(value: &Value) -> Option<Self> {
        match text(value).map(str::to_ascii_lowercase).as_deref() {
            Some("half") => Some(Self::Half),
            Some("all") => Some(Self::All),
            Some("double") => Some(Self::Double),
            _ => {
                let count = usize::try_from(whole(value)?).ok().filter(|count| *count <= WORKERS_MAX)?;
                NonZeroUsize::new(count).map(Self::Count)
            }
        }
    }

    fn show(&self) -> serde_json::Value {
        match self {
            Self::Half => json!("half"),
            Self::All => json!("all"),
            Self::Double => json!("double"),
            Self::Count(count) => json!(count),
        }
    }
}

/// The name of an environment variable. A person may have put the secret itself here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VariableName(pub(super) String);

impl Kind for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable (letters, digits and `_`)";
    const SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        text(value).filter(|text| is_name(text)).map(|text| Self(text.to_owned()))
    }

    fn show(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// A database by its URL, password included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub Secret);

impl DatabaseUrl {
    pub fn is_postgres(&self) -> bool {
        self.0.reveal().starts_with("postgres")
    }
}

impl Kind for DatabaseUrl {
    const EXPECTED: &'static str = "sqlite://PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE";
    const SECRET: bool = true;
    const HELP: &'static str = "encode what is special in a password (`/` is `%2F`), or write `${POSTGRES_PASSWORD}` in \
                                its place: that is encoded";

    fn read(value: &Value) -> Option<Self> {
        let url = text(value)?;
        let is_right = match url.split_once(':')? {
            ("sqlite", path) => !path.trim_start_matches('/').is_empty(),
            ("postgres" | "postgresql", rest) => rest.starts_with("//") && Url::parse(url).is_ok(),
            _ => false,
        };
        is_right.then(|| Self(Secret::new(url)))
    }

    fn show(&self) -> serde_json::Value {
        let url = self.0.reveal();
        if self.is_postgres() { json!(mask_url(url)) } else { json!(url) }
    }
}

/// Where alerts are posted; the path of such a URL is its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(pub Secret);

impl Kind for WebhookUrl {
    const EXPECTED: &'static str = "https://HOST/PATH (or http://)";
    const SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        let url = Url::parse(text(value)?).ok()?;
        // Also the check that there is a host: `Url` refuses these schemes without one.
        matches!(url.scheme(), "http" | "https").then(|| Self(Secret::new(url)))
    }

    fn show(&self) -> serde_json::Value {
        json!(mask_path(self.0.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<K: Kind>(yaml: &str) -> Option<K> {
        K::read(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn words_are_read_in_any_case_and_other_words_are_not() {
        assert_eq!(read::<Level>("critical"), Some(Level::Critical));
        assert_eq!(read::<Level>("Warning"), Some(Level::Warning));
        assert_eq!(read::<Level>("LOUD"), None);
        assert_eq!(read::<Level>("10"), None);
        assert_eq!(read::<LogFormat>("JSON"), Some(LogFormat::Json));
        assert_eq!(read::<bool>("on"), Some(true));
        assert_eq!(read::<bool>("'0'"), Some(false));
        assert_eq!(read::<bool>("maybe"), None);
        assert_eq!(read::<bool>("1"), None, "a number in a file is no switch");
    }

    #[test]
    fn workers_are_a_number_or_a_share_of_the_cores() {
        for (written, cores, workers) in [
            ("half", 8, 4),
            ("half", 1, 1),
            ("Half", 3, 1),
            ("all", 6, 6),
            ("double", 6, 12),
            ("double", 4_000, WORKERS_MAX),
            ("5", 2, 5),
            ("'7'", 2, 7),
        ] {
            assert_eq!(read::<Workers>(written).map(|read| read.count(cores)), Some(workers), "{written} of {cores}");
        }
        for wrong in ["0", "-1", "1.5", "1025", "many", "''", "'99999999999999999999'"] {
            assert_eq!(read::<Workers>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn urls_are_checked_and_never_shown_whole() {
        let url: DatabaseUrl = read("postgresql://me:hunter2@host:5432/db").unwrap();
        assert!(url.is_postgres() && !format!("{url:?} {}", url.show()).contains("hunter2"));
        assert_eq!(url.show(), "postgresql://me:***@host:5432/db");
        for wrong in ["mysql://host/db", "postgresql://me:a/b@host/db", "sqlite://", "db", "7"] {
            assert_eq!(read::<DatabaseUrl>(wrong), None, "{wrong}");
        }
        assert_eq!(
            read::<WebhookUrl>("https://hooks.slack.com/services/key").unwrap().show(),
            "https://hooks.slack.com/***"
        );
        for wrong in ["ftp://host/x", "https://", "host/x", "1"] {
            assert_eq!(read::<WebhookUrl>(wrong), None, "{wrong}");
        }
    }
}
