//! A planned package beside what is on the disk: the one comparison that a run acts on and an inspection tells.
//!
//! Each file is held against the plan and against the manifest, which says what we wrote. What differs from the plan is
//! stale where it is as we left it. Where it is not, a person edited it: the edit is kept as long as the plan is still what
//! we wrote there last, and in conflict with the plan once it is not. Nothing here writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use actors::event::JobFailure;
use actors::ports::Package;
use serde::Serialize;

use super::manifest::{FILE_NAME, Manifest, hash};
use super::{conflict, io_failure};

/// How a file in the folder of a package differs from the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Planned, and not there.
    Missing,
    /// As we left it, and the plan has other bytes for it or none.
    Stale,
    /// A person changed it, and the plan is what we wrote there last: a run leaves it alone.
    Edited,
    /// A person changed or added it, and the plan is not, or may not be, what we wrote there last: in the way of the plan.
    Conflict,
    /// Neither planned nor as we left it: a person's own. A run leaves it alone.
    Unknown,
}

/// A file that is not as planned.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) path: String,
    pub(super) state: State,
    /// What is there now.
    pub(super) before: Option<Vec<u8>>,
    /// What is to be there; `None` where the file leaves.
    pub(super) planned: Option<&'a codegen::File>,
}

impl Change<'_> {
    pub(super) fn leaves(&self) -> bool {
        self.planned.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Comparison<'a> {
    /// What we wrote there; `None` where the package is not there.
    pub(super) manifest: Option<Manifest>,
    /// The manifest to come.
    pub(super) after: Manifest,
    /// Sorted by path; files that are as planned and kept edits are left out.
    pub(super) changes: Vec<Change<'a>>,
    /// Edited files that are left alone, sorted by path: none where `--force` overwrites them.
    pub(super) kept: Vec<&'a str>,
}

impl Comparison<'_> {
    pub(super) fn is_up_to_date(&self) -> bool {
        self.changes.is_empty() && self.manifest.as_ref() == Some(&self.after)
    }

    /// Why a run without `--force` leaves the package as it is.
    pub(super) fn refusal(&self, target: &Path) -> Option<JobFailure> {
        let conflicts = self.changes.iter().filter(|change| change.state == State::Conflict);
        let paths: Vec<&str> = conflicts.map(|change| change.path.as_str()).collect();
        let fault = format!("was edited or added to, and something else is planned there now: {}", paths.join(", "));
        let help = "move each such file away, run again and take your changes over; or run with --force, which overwrites \
                    all edited files and keeps a copy of each";
        (!paths.is_empty()).then(|| conflict(target, &fault, help))
    }
}

/// Compares a planned package with the folder `target`. With `force` no edit is kept.
///
/// # Errors
/// Something that is no plain file or folder of ours is in the way, or cannot be read; with what to do.
pub(super) fn compare<'a>(package: &'a Package, target: &Path, force: bool) -> Result<Comparison<'a>, JobFailure> {
    let manifest = find(target)?;
    let hashes = package.files.iter().map(|file| (file.path.clone(), hash(file.content.as_bytes()))).collect();
    let after = Manifest::new(hashes);
    let (mut changes, mut kept) = (Vec::new(), Vec::new());
    for file in &package.files {
        let before = match &manifest {
            Some(_) => read_own(target, &file.path)?,
            None => None,
        };
        let state = match (&before, &manifest) {
            (Some(content), _) if content == file.content.as_bytes() => continue,
            (Some(content), Some(manifest)) => state_of(&file.path, content, manifest, &after),
            _ => State::Missing,
        };
        if state == State::Edited && !force {
            kept.push(file.path.as_str());
            continue;
        }
        changes.push(Change { path: file.path.clone(), state, before, planned: Some(file) });
    }
    if let Some(manifest) = &manifest {
        changes.extend(leaving(package, target, manifest)?);
        changes.sort_by(|one, other| one.path.cmp(&other.path));
        let left: Vec<&str> = changes.iter().filter(|change| change.leaves()).map(|left| &*left.path).collect();
        let way = Way { target, manifest, left: &left };
        if let Some(other) = package.files.iter().find_map(|file| way.blocked(&file.path)) {
            return Err(conflict(&other, "is in the way of a generated file", "move it away, then run again"));
        }
    }
    Ok(Comparison { manifest, after, changes, kept })
}

/// How a file that is there differs from the plan, which is `after`.
fn state_of(path: &str, content: &[u8], manifest: &Manifest, after: &Manifest) -> State {
    match () {
        () if manifest.is_ours(path, &hash(content)) => State::Stale,
        () if manifest.last_written(path) == after.files.get(path) => State::Edited,
        () => State::Conflict,
    }
}

/// The manifest of the package at `target`; `None` where nothing is there.
fn find(target: &Path) -> Result<Option<Manifest>, JobFailure> {
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_failure(target, &error)),
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let help = "move it away, or choose another --out";
            return Err(conflict(target, "is in the way: it is not a folder", help));
        }
    }
    let found =
        Manifest::read(target).map_err(|fault| conflict(target, &fault, "restore it, or move the package away"))?;
    found.map(Some).ok_or_else(|| {
        let fault = format!("exists already, without a {FILE_NAME}");
        let help = "restore that file if omninode made the package; else move the folder away, or choose another --out";
        conflict(target, &fault, help)
    })
}

/// Files that we wrote, that are not planned any more and untouched since. Edited ones stay, and are a person's now.
fn leaving<'a>(package: &Package, target: &Path, manifest: &Manifest) -> Result<Vec<Change<'a>>, JobFailure> {
    let planned = |path: &str| package.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    let mut leaving: Vec<Change<'_>> = Vec::new();
    for path in manifest.paths().filter(|path| !planned(path)) {
        let content = match read_own(target, path) {
            Ok(content) => content,
            // What cannot be read may be ours, and is not forgotten; what is no file any more is a person's.
            Err(failure) if failure.cause == "io" => return Err(failure),
            Err(_) => None,
        };
        if let Some(content) = content.filter(|content| manifest.is_ours(path, &hash(content))) {
            leaving.push(Change { path: path.clone(), state: State::Stale, before: Some(content), planned: None });
        }
    }
    Ok(leaving)
}

/// The way to the files that are to be written.
struct Way<'a> {
    target: &'a Path,
    manifest: &'a Manifest,
    /// Files that are about to leave.
    left: &'a [&'a str],
}

impl Way<'_> {
    /// What stands in the place of a file, or of a folder on its way, and is not about to leave.
    fn blocked(&self, path: &str) -> Option<PathBuf> {
        for (end, _) in path.match_indices('/') {
            let folder = self.target.join(&path[..end]);
            let is_no_folder = fs::symlink_metadata(&folder).is_ok_and(|found| !found.is_dir());
            if is_no_folder && !self.left.contains(&&path[..end]) {
                return Some(folder);
            }
        }
        let place = self.target.join(path);
        (place.is_dir() && self.stays(&place)).then_some(place)
    }

    /// Whether something remains of a folder when what leaves has left.
    fn stays(&self, folder: &Path) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return true };
        let mut empty = true;
        for entry in entries {
            empty = false;
            let Ok(entry) = entry else { return true };
            let path = entry.path();
            let remains = match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.stays(&path),
                _ => self.inside(&path).is_none_or(|path| !self.left.contains(&path)),
            };
            if remains {
                return true;
            }
        }
        // An empty folder is a person's, unless a killed run made it for a file of ours.
        let ours = |inside: &str| {
            self.manifest.paths().any(|path| path.strip_prefix(inside).is_some_and(|it| it.starts_with('/')))
        };
        empty && !self.inside(folder).is_some_and(ours)
    }

    fn inside<'p>(&self, path: &'p Path) -> Option<&'p str> {
        path.strip_prefix(self.target).ok()?.to_str()
    }
}

/// Reads a file of the package; `None` where it is missing. Refuses to follow a link out of the package, and what would
/// block or has no content of its own (pipes, devices).
pub(super) fn read_own(target: &Path, path: &str) -> Result<Option<Vec<u8>>, JobFailure> {
    let mut place = target.to_owned();
    let mut found = None;
    for segment in path.split('/') {
        place.push(segment);
        match fs::symlink_metadata(&place) {
            Ok(kind) if kind.is_symlink() => {
                let help = "replace it by a file or folder; omninode writes through no link";
                return Err(conflict(&place, "is a symbolic link", help));
            }
            Ok(kind) => found = Some(kind.file_type()),
            // A file in the place of a folder: what was looked for is not there.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(io_failure(&place, &error)),
        }
    }
    match found {
        Some(kind) if kind.is_file() => fs::read(&place).map(Some).map_err(|error| io_failure(&place, &error)),
        // Whether it is in the way is seen once it is known what leaves.
        Some(kind) if kind.is_dir() => Ok(None),
        _ => Err(conflict(&place, "is neither a file nor a folder", "move it away, then run again")),
    }
}
