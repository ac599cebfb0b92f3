//! The manifest of a package, `<package>/.omninode.json`: which files are ours, and what they looked like when we wrote
//! them.

use std::collections::BTreeMap;
use std::path::Path;

use codegen::path::refusal;
use serde::{Deserialize, Serialize};

pub const FILE_NAME: &str = ".omninode.json";
const FORMAT: u32 = 1;

/// A hash of a file's bytes, in hex.
pub type Hash = String;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// Path inside the package to the hash of what we wrote.
    pub files: BTreeMap<String, Hash>,
    /// What an update is about to write. Recorded before the first file changes: after a kill, old and pending both
    /// count as ours, and the next run completes the update.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, Hash>,
}

impl Manifest {
    pub fn new(files: BTreeMap<String, Hash>) -> Self {
        Self { format: FORMAT, files, pending: BTreeMap::new() }
    }

    /// Reads the manifest of a package folder; `None` where it has none.
    ///
    /// # Errors
    /// It cannot be read, or is not one that this version understands; in words for the user.
    pub fn read(package: &Path) -> Result<Option<Self>, String> {
        let path = package.join(FILE_NAME);
        let bytes = match std::fs::symlink_metadata(&path) {
            // A pipe would block, a link leads elsewhere.
            Ok(found) if !found.is_file() => return Err(format!("{FILE_NAME} is no plain file")),
            Ok(_) => std::fs::read(&path),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{FILE_NAME} cannot be read: {error}")),
        };
        /// Read first: a later format may have other fields.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| format!("{FILE_NAME} is damaged: {error}");
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format != FORMAT {
            let update = if format > FORMAT { ": it was written by a later omninode" } else { "" };
            return Err(format!("{FILE_NAME} has format {format}, expected {FORMAT}{update}"));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        // Its paths are deleted and replaced: one that leads out of the package was not written by us.
        let refused = manifest.paths().find_map(|path| Some(format!("`{}`: {}", path.escape_debug(), refusal(path)?)));
        match refused {
            Some(refused) => Err(format!("{FILE_NAME} names {refused}")),
            None => Ok(Some(manifest)),
        }
    }

    /// Every path that is or may be ours, each once.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.files.keys().chain(self.pending.keys().filter(|path| !self.files.contains_key(*path)))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with text keys always have a JSON form.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// What we wrote there last; `None` where that is nothing, or cannot be told: an interrupted update that was to write
    /// something else, or to remove the file, may or may not have come to it.
    pub fn last_written(&self, path: &str) -> Option<&Hash> {
        let last = self.files.get(path);
        last.filter(|_| self.pending.is_empty() || self.pending.get(path) == last)
    }

    /// Whether a file that looks like `hash` is as we left it, before or in an interrupted update.
    pub fn is_ours(&self, path: &str, hash: &str) -> bool {
        [self.files.get(path), self.pending.get(path)].into_iter().flatten().any(|ours| ours == hash)
    }
}

pub fn hash(bytes: &[u8]) -> Hash {
    blake3::hash(bytes).to_hex().to_string()
}
