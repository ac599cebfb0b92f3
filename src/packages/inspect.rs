//! The read-only store: what a run would do to the packages, and how they differ from their plan. It creates nothing and
//! changes nothing; where the output folder is there, it holds a shared lock on it, so that no run writes meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actors::event::{JobFailure, Written};
use actors::ports::{Package, PackageStore};
use async_trait::async_trait;
use rustix::fs::FlockOperation;
use serde::{Serialize, Serializer};
use tokio::runtime::Handle;

use super::changes::{Change, Comparison, State, compare};
use super::manifest::FILE_NAME;
use super::{Claims, diff, in_lanes, kept, lock, own_folder, written};

/// Folders that tools make inside a package and that nobody wrote by hand.
const CACHES: [&str; 5] = ["__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"];

/// What is wanted to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What would a run do?
    DryRun,
    /// The same, as a patch.
    Diff,
    /// Is every file as planned?
    Check,
}

/// What a run would do with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    New,
    Changed,
    Unchanged,
    /// Files of it are in conflict with the plan, and `--force` is not given.
    Refused,
}

/// What a run would do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Replace,
    Remove,
    /// A person's content; a copy of it is kept.
    Overwrite,
    /// Nothing: it is a person's.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// Inside the package.
    pub path: String,
    pub state: State,
    pub action: Action,
    /// Where `--force` would keep the copy, from the output folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspected {
    pub package: String,
    /// Its contract.
    pub source: String,
    pub verdict: Verdict,
    /// Files that are planned, whether they change or not.
    pub planned: usize,
    /// What is not as planned, sorted by path, kept edits included. The manifest stands here where nothing else changes.
    pub files: Vec<FileLine>,
    /// For [`Question::Diff`]: the patch, as bytes because an edited file need not be text.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub diff: Option<Vec<u8>>,
}

fn as_text<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()))
}

/// An output folder that is only looked at.
pub struct Inspection {
    inner: Arc<Reader>,
    runtime: Handle,
}

struct Reader {
    path: PathBuf,
    question: Question,
    force: bool,
    claims: Claims,
    found: Mutex<BTreeMap<String, Inspected>>,
    /// Held as long as this lives.
    _lock: Option<File>,
}

impl Inspection {
    /// Looks at `path`, which need not exist.
    ///
    /// # Errors
    /// In words for the user: it cannot be read, is no folder, or a run writes to it.
    pub fn open(path: &Path, question: Question, force: bool) -> Result<Self, String> {
        let lock = match File::open(path) {
            Ok(handle) if handle.metadata().is_ok_and(|found| found.is_dir()) => {
                lock(&handle, path, FlockOperation::NonBlockingLockShared)?;
                Some(handle)
            }
            Ok(_) => return Err(format!("the output folder {} is not a folder", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => None,
            Err(error) => return Err(format!("cannot open the output folder {}: {error}", path.display())),
        };
        own_folder(path)?;
        let (claims, found) = (Claims::default(), Mutex::default());
        let reader = Reader { path: path.to_owned(), question, force, claims, found, _lock: lock };
        Ok(Self { inner: Arc::new(reader), runtime: Handle::current() })
    }

    /// The packages seen so far, sorted by name, however many workers made them.
    pub fn take(&self) -> Vec<Inspected> {
        let mut found = self.inner.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *found).into_values().collect()
    }
}

#[async_trait]
impl PackageStore for Inspection {
    async fn commit(&self, packages: Vec<Arc<Package>>) -> Vec<Result<Written, JobFailure>> {
        let reader = Arc::clone(&self.inner);
        in_lanes(&self.runtime, packages, move |package| reader.inspect(package)).await
    }
}

impl Reader {
    fn inspect(&self, package: &Package) -> Result<Written, JobFailure> {
        let started = Instant::now();
        self.claims.claim(package)?;
        let target = self.path.join(&package.name);
        let comparison = compare(package, &target, self.force)?;
        let refusal = comparison.refusal(&target).filter(|_| !self.force);
        let verdict = match &comparison.manifest {
            None => Verdict::New,
            Some(_) if refusal.is_some() => Verdict::Refused,
            Some(_) if comparison.is_up_to_date() => Verdict::Unchanged,
            Some(_) => Verdict::Changed,
        };
        let mut files: Vec<FileLine> = comparison.changes.iter().map(|change| self.line(package, change)).collect();
        if verdict == Verdict::Changed && files.is_empty() {
            let path = FILE_NAME.to_owned();
            files.push(FileLine { path, state: State::Stale, action: Action::Replace, copy: None });
        }
        files.extend(comparison.kept.iter().map(|path| left_alone((*path).to_owned(), State::Edited)));
        if self.question == Question::Check && verdict != Verdict::New {
            files.extend(unknown(package, &target, &comparison));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let patch = || match verdict {
            Verdict::New | Verdict::Changed => diff::of_package(&package.name, &comparison, record(&target).as_deref()),
            Verdict::Unchanged | Verdict::Refused => Vec::new(),
        };
        let diff = (self.question == Question::Diff).then(patch);
        let inspected = Inspected {
            package: package.name.clone(),
            source: package.source.to_string(),
            verdict,
            planned: package.files.len(),
            files,
            diff,
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(package.name.clone(), inspected);
        match refusal {
            // A check tells of conflicts, and is not stopped by them.
            Some(refusal) if self.question != Question::Check => Err(refusal),
            _ => Ok(written(package, &comparison, started)),
        }
    }

    fn line(&self, package: &Package, change: &Change<'_>) -> FileLine {
        let action = match change.state {
            _ if change.leaves() => Action::Remove,
            State::Missing => Action::Create,
            State::Stale => Action::Replace,
            State::Edited | State::Conflict if self.force => Action::Overwrite,
            State::Edited | State::Conflict | State::Unknown => Action::Leave,
        };
        let content = change.before.as_deref().filter(|_| action == Action::Overwrite);
        let copy = content.map(|content| kept(&package.name, &change.path, content));
        FileLine { path: change.path.clone(), state: change.state, action, copy }
    }
}

/// The line of a file that a run does not touch.
fn left_alone(path: String, state: State) -> FileLine {
    FileLine { path, state, action: Action::Leave, copy: None }
}

/// The manifest as it is on the disk.
fn record(target: &Path) -> Option<Vec<u8>> {
    fs::read(target.join(FILE_NAME)).ok()
}

/// Files in the folder of a package that are neither planned nor ours.
fn unknown(package: &Package, target: &Path, comparison: &Comparison<'_>) -> Vec<FileLine> {
    let cache = |entry: &ignore::DirEntry| entry.file_name().to_str().is_some_and(|name| CACHES.contains(&name));
    let walker = ignore::WalkBuilder::new(target).standard_filters(false).filter_entry(move |it| !cache(it)).build();
    let mut found = Vec::new();
    // What cannot be looked into is no fault of the packages.
    for entry in walker.flatten().filter(|entry| !entry.file_type().is_some_and(|kind| kind.is_dir())) {
        let Ok(inside) = entry.path().strip_prefix(target) else { continue };
        let path = inside.to_string_lossy().into_owned();
        let planned = package.files.binary_search_by(|file| file.path.cmp(&path)).is_ok();
        let told = || comparison.changes.iter().any(|change| change.path == path);
        if path != FILE_NAME && !planned && !told() {
            found.push(left_alone(path, State::Unknown));
        }
    }
    found
}
