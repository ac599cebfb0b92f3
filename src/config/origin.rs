//! Where settings come from, and what is told of them.

use codegen::{Diagnostic, Place};
use serde::Serialize;

use super::kind::Environment;

/// A setting given on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// `--workers`, or `--set` with its key.
    pub name: String,
    /// Empty where a `--set` is no KEY=VALUE.
    pub key: String,
    pub value: String,
}

impl Flag {
    /// From the text after `--set`. A key is repeated only if it looks like one: it may be half of a URL.
    pub fn set(text: &str) -> Self {
        let is_key =
            |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b));
        let (key, value) = text.split_once('=').filter(|(key, _)| is_key(key.trim())).unwrap_or_default();
        let key = key.trim();
        Self { name: format!("--set {key}").trim_end().to_owned(), key: key.to_owned(), value: value.to_owned() }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Environment(String),
    DotEnv { name: String, file: String, place: Place },
    File { file: String, place: Place },
    Preset(Environment),
    Default,
}

impl Origin {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Environment(_) => "environment",
            Self::DotEnv { .. } => ".env",
            Self::File { .. } => "file",
            Self::Preset(_) => "preset",
            Self::Default => "default",
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::DotEnv { name, file, place } => write!(f, "{file}:{} {name}", place.line),
            Self::File { file, place } => write!(f, "{file}:{}", place.line),
            Self::Preset(environment) => write!(f, "preset of {}", environment.as_str()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What is wrong with a setting, or worth a warning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// The path of keys; empty where the fault is that of a whole file.
    pub key: String,
    /// The value, unless it may be a secret.
    pub found: Option<String>,
    /// As [`Origin::kind`] says it.
    pub origin: &'static str,
    /// Of a flag or a variable, its name stands in place of a file.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
}

impl Fault {
    pub(super) fn new(key: &str, origin: &Origin, message: impl Into<String>) -> Self {
        let (file, place) = match origin {
            Origin::DotEnv { file, place, .. } | Origin::File { file, place } => (file.clone(), Some(*place)),
            origin => (origin.to_string(), None),
        };
        let diagnostic = Diagnostic::new(file, place, message);
        Self { key: key.to_owned(), found: None, origin: origin.kind(), diagnostic }
    }

    /// Of a whole file: the configuration (`file`) or the variables (`.env`).
    pub(super) fn of_file(origin: &'static str, diagnostic: Diagnostic) -> Self {
        Self { key: String::new(), found: None, origin, diagnostic }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.diagnostic.expected = expected.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.diagnostic.help = help.into();
        self
    }
}

/// A setting as `config show` prints it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub key: &'static str,
    /// Secrets are masked.
    pub value: serde_json::Value,
    pub origin: Origin,
    /// False where another setting takes its place or switches it off.
    pub in_use: bool,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picked<T> {
    pub value: T,
    pub origin: Origin,
}
