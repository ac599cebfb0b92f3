//! Packages on disk: a new one appears whole by one rename; an existing one is updated file by file under a journal;
//! nothing that a person wrote is overwritten or removed.
//!
//! - New: staged in `OUT/.omninode/staging-*/`, then renamed to `OUT/<package>`. Nobody ever sees half of it.
//! - Existing: files that are as we left them are replaced, each by a rename; unchanged ones are not touched. The
//!   manifest records the hashes to come before the first rename, so that a killed run is completed by the next.
//! - A file that differs from both was edited: the package is refused and says which files, unless `force` (which keeps
//!   a copy).

pub mod manifest;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actors::event::{JobFailure, Written};
use actors::ports::{Package, PackageStore};
use async_trait::async_trait;
use codegen::Diagnostic;
use rustix::fs::FlockOperation;
use tokio::runtime::Handle;

use manifest::{FILE_NAME, Manifest, hash};

/// Everything of ours in OUT that is not a package.
const OWN_FOLDER: &str = ".omninode";

/// An output folder, locked for this process.
pub struct OutputFolder {
    inner: Arc<Folder>,
    /// Where the blocking work runs.
    runtime: Handle,
}

struct Folder {
    path: PathBuf,
    /// Holds the lock, and is what is synced.
    handle: File,
    staging: PathBuf,
    staged: AtomicU64,
    /// Overwrite edited files, keeping a copy.
    force: bool,
    /// Which contract each package was made of in this run.
    sources: Mutex<BTreeMap<String, Arc<str>>>,
}

impl OutputFolder {
    /// Creates the folder where it is missing, locks it, and clears what a killed run left in it.
    ///
    /// # Errors
    /// In words for the user: it cannot be created, is no folder, or another run writes to it.
    pub fn open(path: &Path, force: bool) -> Result<Self, String> {
        let shown = path.display();
        fs::create_dir_all(path).map_err(|error| format!("cannot create the output folder {shown}: {error}"))?;
        let handle = File::open(path).map_err(|error| format!("cannot open the output folder {shown}: {error}"))?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(format!(
                    "another omninode run writes to {shown}; wait for it to end, or choose another --out"
                ));
            }
            Err(error) => return Err(format!("cannot lock the output folder {shown}: {error}")),
        }
        let own = path.join(OWN_FOLDER);
        for entry in fs::read_dir(&own).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("staging-") {
                fs::remove_dir_all(entry.path()).map_err(|error| {
                    format!("cannot clear {} of an interrupted run: {error}", entry.path().display())
                })?;
            }
        }
        let staging = own.join(format!("staging-{}", std::process::id()));
        let folder = Folder {
            path: path.to_owned(),
            handle,
            staging,
            staged: AtomicU64::new(0),
            force,
            sources: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(folder), runtime: Handle::current() })
    }

    /// Makes everything written so far durable, with one sync of the file system. After a `clean` end, with nobody writing
    /// any more, what was only needed meanwhile is removed too; else the next run does it.
    ///
    /// # Errors
    /// The file system could not be synced.
    pub fn finish(&self, clean: bool) -> io::Result<()> {
        let folder = &self.inner;
        if clean {
            let _ = fs::remove_dir_all(&folder.staging);
            // Stays where there is something else in it.
            let _ = fs::remove_dir(folder.path.join(OWN_FOLDER));
        }
        sync(&folder.handle)
    }
}

#[cfg(target_os = "linux")]
fn sync(folder: &File) -> io::Result<()> {
    rustix::fs::syncfs(folder).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn sync(_: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

#[async_trait]
impl PackageStore for OutputFolder {
    async fn commit(&self, packages: Vec<Arc<Package>>) -> Vec<Result<Written, JobFailure>> {
        let count = packages.len();
        let lanes: Vec<_> = lanes(packages)
            .into_iter()
            .map(|lane| {
                let folder = Arc::clone(&self.inner);
                let work =
                    move || lane.into_iter().map(|(at, package)| (at, folder.write(&package))).collect::<Vec<_>>();
                self.runtime.spawn_blocking(work)
            })
            .collect();
        let mut results: Vec<_> = (0..count).map(|_| None).collect();
        for lane in lanes {
            for (at, result) in lane.await.unwrap_or_default() {
                results[at] = Some(result);
            }
        }
        let broken_off = || {
            let fault = Diagnostic::new("output folder", None, "writing broke off").help("run again");
            Err(JobFailure::new("io", fault))
        };
        results.into_iter().map(|result| result.unwrap_or_else(broken_off)).collect()
    }
}

/// A batch, split for as many threads as there are cores. Packages of one name stay in one lane, in order.
fn lanes(packages: Vec<Arc<Package>>) -> Vec<Vec<(usize, Arc<Package>)>> {
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(packages.len()).max(1);
    let mut lanes: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (at, package) in packages.into_iter().enumerate() {
        let lane = blake3::hash(package.name.as_bytes()).as_bytes()[0] as usize % count;
        lanes[lane].push((at, package));
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

/// What an update will do to the files of an existing package.
#[derive(Default)]
struct Changes<'a> {
    write: Vec<&'a codegen::File>,
    /// Written by us before, not planned any more, untouched since.
    remove: Vec<String>,
    /// Edited by a person, and in our way.
    edited: Vec<String>,
}

impl Folder {
    fn write(&self, package: &Package) -> Result<Written, JobFailure> {
        let started = Instant::now();
        self.claim(package)?;
        let target = self.path.join(&package.name);
        let written = match fs::symlink_metadata(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(package, &target),
            Err(error) => Err(io_failure(&target, &error)),
            Ok(found) if found.is_dir() => self.update(package, &target),
            Ok(_) => {
                Err(conflict(&target, "is in the way: it is not a folder", "move it away, or choose another --out"))
            }
        };
        let files = u32::try_from(package.files.len()).unwrap_or(u32::MAX);
        let bytes = package.files.iter().map(|file| file.content.len() as u64).sum();
        written.map(|files_written| Written { files, files_written, bytes, duration: started.elapsed() })
    }

    /// One contract for each package in a run, whatever the intake has seen.
    fn claim(&self, package: &Package) -> Result<(), JobFailure> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let first = sources.entry(package.name.clone()).or_insert_with(|| Arc::clone(&package.source));
        if *first == package.source {
            return Ok(());
        }
        let fault = format!("the package `{}` was already made from {first}", package.name);
        let help = "give each node a name of its own, or generate them into different folders";
        Err(JobFailure::new("duplicate", Diagnostic::new(&*package.source, None, fault).help(help)))
    }

    /// A package that was not there: staged, then visible as a whole.
    fn create(&self, package: &Package, target: &Path) -> Result<u32, JobFailure> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staged = self.staging.join(number.to_string());
        let made = (|| {
            fs::create_dir_all(&self.staging)?;
            fs::create_dir(&staged)?;
            // Sorted by path: the files of a folder follow each other, so that each folder is made once or twice.
            let mut folder = "";
            for file in &package.files {
                let (parent, _) = file.path.rsplit_once('/').unwrap_or(("", ""));
                if parent != folder && !parent.is_empty() {
                    fs::create_dir_all(staged.join(parent))?;
                }
                folder = parent;
                fs::write(staged.join(&file.path), &file.content)?;
            }
            fs::write(staged.join(FILE_NAME), Manifest::new(hashes(package)).to_bytes())?;
            fs::rename(&staged, target)
        })();
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&staged);
            return Err(io_failure(target, &error));
        }
        Ok(u32::try_from(package.files.len()).unwrap_or(u32::MAX))
    }

    fn update(&self, package: &Package, target: &Path) -> Result<u32, JobFailure> {
        let found =
            Manifest::read(target).map_err(|fault| conflict(target, &fault, "restore it, or move the package away"))?;
        let Some(mut manifest) = found else {
            let help = "it was not made by omninode: move it away, or choose another --out";
            return Err(conflict(target, "exists already", help));
        };
        let changes = changes(package, target, &manifest)?;
        if !changes.edited.is_empty() && !self.force {
            let files = changes.edited.join(", ");
            let help =
                "keep the edits and leave it, or run again with --force (which keeps a copy of each edited file)";
            return Err(conflict(target, &format!("was edited since it was generated: {files}"), help));
        }
        let after = Manifest::new(hashes(package));
        if changes.write.is_empty() && changes.remove.is_empty() && manifest == after {
            return Ok(0);
        }
        let done = (|| {
            keep_pending(&mut manifest, target);
            manifest.pending = after.files.clone();
            self.replace(&target.join(FILE_NAME), &manifest.to_bytes())?;
            for path in &changes.edited {
                self.keep_copy(package, path)?;
            }
            // First what leaves: a folder may take the place of a file, and the other way round.
            for path in &changes.remove {
                fs::remove_file(target.join(path))?;
                remove_empty_folders(target, path);
            }
            for file in &changes.write {
                self.replace(&target.join(&file.path), file.content.as_bytes())?;
            }
            self.replace(&target.join(FILE_NAME), &after.to_bytes())
        })();
        done.map_err(|error: io::Error| io_failure(target, &error))?;
        Ok(u32::try_from(changes.write.len()).unwrap_or(u32::MAX))
    }

    /// Writes a file beside the others and renames it over its place: it is the old one or the new one, never half.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::create_dir_all(&self.staging)?;
        let mut file = tempfile::Builder::new().permissions(new_file_permissions()).tempfile_in(&self.staging)?;
        file.write_all(content)?;
        if let Ok(found) = fs::metadata(path) {
            // The mode asked for went through the umask; one that a file has already is kept as it is.
            file.as_file().set_permissions(found.permissions())?;
        }
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// `OUT/.omninode/kept/<package>/<path>.<hash>`: a copy of what `--force` overwrites.
    fn keep_copy(&self, package: &Package, path: &str) -> io::Result<()> {
        let edited = self.path.join(&package.name).join(path);
        let content = fs::read(&edited)?;
        let name = format!("{path}.{}", &hash(&content)[..8]);
        let kept = self.path.join(OWN_FOLDER).join("kept").join(&package.name).join(name);
        self.replace(&kept, &content)?;
        tracing::warn!(file = %edited.display(), copy = %kept.display(), "an edited file is overwritten; its copy is kept");
        Ok(())
    }
}

/// The mode that a new file asks for, before the umask.
fn new_file_permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

/// What an earlier, interrupted update had written stays ours under the next one's journal.
fn keep_pending(manifest: &mut Manifest, target: &Path) {
    for (path, written) in std::mem::take(&mut manifest.pending) {
        if fs::read(target.join(&path)).is_ok_and(|content| hash(&content) == written) {
            manifest.files.insert(path, written);
        }
    }
}

/// Removes the folders on the way to a removed file, as far as they are empty.
fn remove_empty_folders(target: &Path, path: &str) {
    let mut folder = path;
    while let Some((parent, _)) = folder.rsplit_once('/') {
        if fs::remove_dir(target.join(parent)).is_err() {
            return;
        }
        folder = parent;
    }
}

fn changes<'a>(package: &'a Package, target: &Path, manifest: &Manifest) -> Result<Changes<'a>, JobFailure> {
    let mut changes = Changes::default();
    for file in &package.files {
        match read_own(target, &file.path)? {
            Some(content) if content == file.content.as_bytes() => {}
            Some(content) if !manifest.is_ours(&file.path, &hash(&content)) => {
                changes.edited.push(file.path.clone());
                changes.write.push(file);
            }
            _ => changes.write.push(file),
        }
    }
    for path in manifest.files.keys().chain(manifest.pending.keys()) {
        let planned = package.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
        if !planned
            && !changes.remove.contains(path)
            && let Ok(Some(content)) = read_own(target, path)
            && manifest.is_ours(path, &hash(&content))
        {
            changes.remove.push(path.clone());
        }
    }
    match package.files.iter().find_map(|file| in_the_way(target, &file.path, &changes.remove)) {
        Some(other) => Err(conflict(&other, "is in the way of a generated file", "move it away, then run again")),
        None => Ok(changes),
    }
}

/// What stands in the place of a file that is to be written, or of a folder on its way, and is not about to leave.
fn in_the_way(target: &Path, path: &str, leaving: &[String]) -> Option<PathBuf> {
    let leaves = |path: &str| leaving.iter().any(|leaving| leaving == path);
    for (end, _) in path.match_indices('/') {
        let folder = target.join(&path[..end]);
        if folder.is_file() && !leaves(&path[..end]) {
            return Some(folder);
        }
    }
    let place = target.join(path);
    let inside = |entry: &Path| entry.strip_prefix(target).ok().and_then(Path::to_str).is_some_and(leaves);
    let stays = |folder: &Path| {
        ignore::Walk::new(folder).flatten().any(|entry| entry.path().is_file() && !inside(entry.path()))
    };
    (place.is_dir() && stays(&place)).then_some(place)
}

/// Reads a file of the package; `None` where it is missing. Refuses to follow a link out of the package.
fn read_own(target: &Path, path: &str) -> Result<Option<Vec<u8>>, JobFailure> {
    let mut place = target.to_owned();
    for segment in path.split('/') {
        place.push(segment);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() => {
                return Err(conflict(
                    &place,
                    "is a symbolic link",
                    "replace it by a file or folder; omninode writes through no link",
                ));
            }
            Ok(_) => {}
            // A file in the place of a folder: what was looked for is not there.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(io_failure(&place, &error)),
        }
    }
    if place.is_dir() {
        return Ok(None);
    }
    fs::read(&place).map(Some).map_err(|error| io_failure(&place, &error))
}

fn hashes(package: &Package) -> BTreeMap<String, String> {
    package.files.iter().map(|file| (file.path.clone(), hash(file.content.as_bytes()))).collect()
}

fn io_failure(path: &Path, error: &io::Error) -> JobFailure {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => "check the permissions of the folder, or choose another --out",
        io::ErrorKind::StorageFull => "free some space, then run again",
        io::ErrorKind::InvalidFilename => "shorten the names in the contract, or choose a shorter --out",
        _ => "run again; nothing half-written is visible",
    };
    JobFailure::new("io", Diagnostic::new(path.display().to_string(), None, error.to_string()).help(help))
}

fn conflict(path: &Path, fault: &str, help: &str) -> JobFailure {
    JobFailure::new("conflict", Diagnostic::new(path.display().to_string(), None, fault).help(help))
}

#[cfg(test)]
mod tests;
