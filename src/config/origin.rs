//! Where settings come from, and what is told of them.

use codegen::{Diagnostic, Place};
use serde::Serialize;

use super::kind::Environment;

/// A setting given on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// `--workers`, or `--set` with its key.
    pub name: String,
    pub key: String,
    pub value: String,
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

    /// The file (or what else it is) and the place in it, as diagnostics name them.
    pub(super) fn whereabouts(&self) -> (String, Option<Place>) {
        match self {
            Self::DotEnv { file, place, .. } | Self::File { file, place } => (file.clone(), Some(*place)),
            origin => (origin.to_string(), None),
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
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
}

impl Fault {
    pub(super) fn of_file(diagnostic: Diagnostic) -> Self {
        Self { key: String::new(), found: None, diagnostic }
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
