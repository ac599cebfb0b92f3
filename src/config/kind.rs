//! What a setting can be: how each kind of value is read, and how it is shown.

use serde_json::json;
use serde_yaml::Value;
use tracing::level_filters::LevelFilter;

use crate::secret::{MASK, Secret};

use super::dotenv::is_name;

/// A type that a setting can have. Values of a file have their YAML type; those of flags and variables are text.
pub(super) trait Kind: Sized {
    const EXPECTED: &'static str = "";
    const SECRET: bool = false;
    /// The words among what is right, for suggestions.
    const WORDS: &'static [&'static str] = &[];

    /// What is right, for messages.
    fn expected() -> String {
        Self::EXPECTED.to_owned()
    }

    /// # Errors
    /// What to do about a wrong one; empty where nothing can be said beyond what is right.
    fn read(value: &Value) -> Result<Self, String>;

    fn show(&self) -> serde_json::Value;

    /// Whether a text given for it is a secret, be it right or wrong: no message repeats it.
    fn hides(_text: &str) -> bool {
        Self::SECRET
    }
}

impl Kind for bool {
    const WORDS: &'static [&'static str] = &["true", "false", "yes", "no", "on", "off"];

    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(value) => Ok(*value),
            // `yes` and `on` are text to YAML 1.2 and true to YAML 1.1, with which the guide's files were written.
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(String::new()),
            },
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> serde_json::Value {
        json!(self)
    }
}

/// Text that is not empty.
impl Kind for String {
    const EXPECTED: &'static str = "text";

    fn read(value: &Value) -> Result<Self, String> {
        let text = text(value)?;
        if text.is_empty() { Err(String::new()) } else { Ok(text.to_owned()) }
    }

    fn show(&self) -> serde_json::Value {
        json!(self)
    }
}

/// A password.
impl Kind for Secret {
    const EXPECTED: &'static str = "text";
    const SECRET: bool = true;

    fn read(value: &Value) -> Result<Self, String> {
        text(value).map(Self::new)
    }

    fn show(&self) -> serde_json::Value {
        json!(MASK)
    }
}

/// A number is no text: `0x10` without quotes is not what its author typed.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Err("put quotes around it".to_owned()),
        _ => Err(String::new()),
    }
}

/// A whole number from a range; text of digits is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> Kind for Whole<MIN, MAX> {
    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn read(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| (MIN..=MAX).contains(number)).map(Self).ok_or_else(String::new)
    }

    fn show(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// Enums that are one word in a file: each with its words in order. A word after a `|` is read, and not suggested.
macro_rules! words {
    ($kind:ident, $expected:literal, $($word:literal $(| $other:literal)? => $variant:ident),+) => {
        impl Kind for $kind {
            const EXPECTED: &'static str = $expected;
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn read(value: &Value) -> Result<Self, String> {
                let found = text(value).map_err(|_| String::new())?;
                let is = |word: &str| found.eq_ignore_ascii_case(word);
                $(if is($word) $(|| is($other))? { return Ok(Self::$variant); })+
                Err(String::new())
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
    "DEBUG" | "TRACE" => Debug, "INFO" => Info, "WARNING" | "WARN" => Warning, "ERROR" => Error,
    "CRITICAL" | "FATAL" => Critical);

impl Level {
    /// The level to tracing, which knows nothing above an error.
    pub fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error | Self::Critical => LevelFilter::ERROR,
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

/// Whether the connection to a PostgreSQL server is encrypted, and whom the server must prove to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

words!(SslMode, "disable, prefer, require, verify-ca or verify-full",
    "disable" => Disable, "prefer" => Prefer, "require" => Require, "verify-ca" => VerifyCa, "verify-full" => VerifyFull);

/// How many generator workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// Half of the cores, one at least.
    Half,
    /// One for each core.
    All,
    /// Two for each core.
    Double,
    Count(u64),
}

/// More threads than this never helped anybody.
const WORKERS_MAX: u64 = 1_024;

impl Workers {
    pub fn count(self, cores: usize) -> usize {
        let cores = cores as u64;
        let workers = match self {
            Self::Half => cores / 2,
            Self::All => cores,
            Self::Double => cores.saturating_mul(2),
            Self::Count(count) => count,
        };
        usize::try_from(workers.clamp(1, WORKERS_MAX)).unwrap_or(1)
    }
}

impl Kind for Workers {
    const WORDS: &'static [&'static str] = &["half", "all", "double"];

    fn expected() -> String {
        format!("{}, or half, all or double (of the cores)", Whole::<1, WORKERS_MAX>::expected())
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("half") => Ok(Self::Half),
            Some("all") => Ok(Self::All),
            Some("double") => Ok(Self::Double),
            _ => Whole::<1, WORKERS_MAX>::read(value).map(|count| Self::Count(count.0)),
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

impl VariableName {
    /// The name, where nobody could take it for a password.
    pub(super) fn shown(&self) -> &str {
        if Self::hides(&self.0) { MASK } else { &self.0 }
    }
}

impl Kind for VariableName {
    const EXPECTED: &'static str = "the name of an environment variable (letters, digits and `_`)";

    fn read(value: &Value) -> Result<Self, String> {
        let name = text(value)?;
        if is_name(name) { Ok(Self(name.to_owned())) } else { Err(String::new()) }
    }

    fn show(&self) -> serde_json::Value {
        json!(self.shown())
    }

    fn hides(text: &str) -> bool {
        !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<K: Kind>(yaml: &str) -> Option<K> {
        K::read(&serde_yaml::from_str(yaml).unwrap()).ok()
    }

    #[test]
    fn words_are_read_in_any_case_and_other_words_are_not() {
        assert_eq!(read::<Level>("critical"), Some(Level::Critical));
        assert_eq!(read::<Level>("Warning"), Some(Level::Warning));
        assert_eq!(read::<Level>("warn"), Some(Level::Warning));
        assert_eq!(read::<Level>("Fatal"), Some(Level::Critical));
        assert_eq!(read::<Level>("trace"), Some(Level::Debug));
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
            ("double", 4_000, 1_024),
            ("5", 2, 5),
            ("'7'", 2, 7),
        ] {
            assert_eq!(read::<Workers>(written).map(|read| read.count(cores)), Some(workers), "{written} of {cores}");
        }
        for wrong in ["0", "-1", "1.5", "1025", "many", "''", "'99999999999999999999'"] {
            assert_eq!(read::<Workers>(wrong), None, "{wrong}");
        }
    }
}
