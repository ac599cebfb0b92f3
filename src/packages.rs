//! Packages on disk: a new one appears whole by one rename; an existing one is updated file by file under a journal;
//! nothing that a person wrote is overwritten or removed.
//!
//! - New: staged in `OUT/.omninode/staging-*/`, then renamed to `OUT/<package>`. Nobody ever sees half of it.
//! - Existing: files that are as we left them are replaced, each by a rename; unchanged ones are not touched. The
//!   manifest records the hashes to come before the first rename, so that a killed run is completed by the next.
//! - A file that differs from both was edited, and is left alone. Only where the plan for it is not what we wrote last, the
//!   package is refused and says which files. `force` overwrites every edited file and keeps a copy.
//!
//! [`changes`] compares a plan with the disk; what is here acts on it, and [`inspect`] only tells it.

mod changes;
mod diff;
pub mod inspect;
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
use rustix::fs::{Access, FlockOperation};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;

pub use changes::State;
use changes::{Change, Comparison, compare, read_own};
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
    claims: Claims,
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
        lock(&handle, path, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            format!(
                "cannot write to the output folder {shown}: {error}; check its permissions, or choose another --out"
            )
        })?;
        let own = own_folder(path)?;
        for entry in fs::read_dir(&own).into_iter().flatten().flatten() {
            if is_staging(&entry) {
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
            claims: Claims::default(),
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
        let folder = Arc::clone(&self.inner);
        in_lanes(&self.runtime, packages, move |package| folder.write(package)).await
    }
}

/// Runs `work` on each package of a batch, on up to as many threads as there are cores; a result for each, in order.
/// Packages of one name stay on one thread, in order.
async fn in_lanes<W>(runtime: &Handle, packages: Vec<Arc<Package>>, work: W) -> Vec<Result<Written, JobFailure>>
where
    W: Fn(&Package) -> Result<Written, JobFailure> + Clone + Send + 'static,
{
    let count = packages.len();
    let lanes: Vec<_> = lanes(packages)
        .into_iter()
        .map(|lane| {
            let work = work.clone();
            let work = move || lane.into_iter().map(|(at, package)| (at, work(&package))).collect::<Vec<_>>();
            runtime.spawn_blocking(work)
        })
        .collect();
    let mut results: Vec<_> = (0..count).map(|_| None).collect();
    for lane in lanes {
        for (at, result) in lane.await.unwrap_or_default() {
            results[at] = Some(result);
        }
    }
    let broken_off = || {
        let fault = Diagnostic::new("output folder", None, "the work on it broke off").help("run again");
        Err(JobFailure::new("io", fault))
    };
    results.into_iter().map(|result| result.unwrap_or_else(broken_off)).collect()
}

/// Packages that are worth a thread of their own: waking one costs about as much as writing one of them does.
const LANE_SHARE: usize = 4;

/// A batch, split for up to as many threads as there are cores.
fn lanes(packages: Vec<Arc<Package>>) -> Vec<Vec<(usize, Arc<Package>)>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = packages.len().div_ceil(LANE_SHARE).clamp(1, cores);
    let mut lanes: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (at, package) in packages.into_iter().enumerate() {
        let lane = blake3::hash(package.name.as_bytes()).as_bytes()[0] as usize % count;
        lanes[lane].push((at, package));
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

/// Which contract each package was made of in this run: one for each, whatever the intake has seen. Kept as hashes:
/// there is one entry for each package of the run.
#[derive(Default)]
struct Claims(Mutex<BTreeMap<u64, u64>>);

impl Claims {
    fn claim(&self, package: &Package) -> Result<(), JobFailure> {
        let hash =
            |text: &str| u64::from_le_bytes(*blake3::hash(text.as_bytes()).as_bytes().first_chunk().unwrap_or(&[0; 8]));
        let source = hash(&package.source);
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *sources.entry(hash(&package.name)).or_insert(source) == source {
            return Ok(());
        }
        let fault = format!("the package `{}` was already made from another contract", package.name);
        let help = "give each node a name of its own, or generate them into different folders";
        Err(JobFailure::new("duplicate", Diagnostic::new(&*package.source, None, fault).help(help)))
    }
}

impl Folder {
    fn write(&self, package: &Package) -> Result<Written, JobFailure> {
        let started = Instant::now();
        self.claims.claim(package)?;
        let target = self.path.join(&package.name);
        let comparison = compare(package, &target, self.force)?;
        let done = match &comparison.manifest {
            None => self.create(package, &comparison, &target),
            Some(_) if comparison.is_up_to_date() => Ok(()),
            Some(manifest) => match comparison.refusal(&target) {
                Some(refusal) if !self.force => return Err(refusal),
                _ => self.update(package, &comparison, manifest.clone(), &target),
            },
        };
        done.map_err(|error| io_failure(&target, &error))?;
        Ok(written(package, &comparison, started))
    }

    /// A package that was not there: staged, then visible as a whole.
    fn create(&self, package: &Package, comparison: &Comparison<'_>, target: &Path) -> io::Result<()> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staged = self.staging.join(number.to_string());
        let made = (|| {
            create_dir_in(&self.staging, &staged)?;
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
            fs::write(staged.join(FILE_NAME), comparison.after.to_bytes())?;
            fs::rename(&staged, target)
        })();
        if made.is_err() {
            let _ = fs::remove_dir_all(&staged);
        }
        made
    }

    fn update(
        &self,
        package: &Package,
        comparison: &Comparison<'_>,
        mut manifest: Manifest,
        target: &Path,
    ) -> io::Result<()> {
        // Folders that a killed run made, and put nothing into: known as long as its journal is there.
        for path in manifest.paths().filter(|path| !comparison.after.files.contains_key(*path)) {
            remove_empty_folders(target, path);
        }
        settle(&mut manifest, target);
        manifest.pending.clone_from(&comparison.after.files);
        self.replace(&target.join(FILE_NAME), &manifest.to_bytes())?;
        for change in comparison.changes.iter().filter(|it| matches!(it.state, State::Edited | State::Conflict)) {
            self.keep_copy(package, &change.path)?;
        }
        // First what leaves: a folder may take the place of a file, and the other way round.
        for change in comparison.changes.iter().filter(|change| change.leaves()) {
            still_as_compared(target, change)?;
            let leaves = target.join(&change.path);
            fs::remove_file(&leaves).map_err(about(&leaves))?;
            remove_empty_folders(target, &change.path);
        }
        for change in &comparison.changes {
            if let Some(file) = change.planned {
                still_as_compared(target, change)?;
                self.replace(&target.join(&file.path), file.content.as_bytes())?;
            }
        }
        self.replace(&target.join(FILE_NAME), &comparison.after.to_bytes())
    }

    /// Writes a file beside the others and renames it over its place: it is the old one or the new one, never half.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(about(parent))?;
        }
        self.stage(content, path)?.persist(path).map(drop).map_err(|error| about(path)(error.error))
    }

    /// A file that has its content, but not its place yet; with the mode of the file `like`, where there is one.
    fn stage(&self, content: &[u8], like: &Path) -> io::Result<NamedTempFile> {
        fs::create_dir_all(&self.staging).map_err(about(&self.staging))?;
        let mut file = tempfile::Builder::new().permissions(new_file_permissions()).tempfile_in(&self.staging)?;
        file.write_all(content)?;
        if let Ok(found) = fs::metadata(like) {
            // The mode asked for went through the umask; one that a file has already is kept as it is.
            file.as_file().set_permissions(found.permissions())?;
        }
        Ok(file)
    }

    /// A copy of what `--force` overwrites, durable before it is overwritten.
    fn keep_copy(&self, package: &Package, path: &str) -> io::Result<()> {
        let edited = self.path.join(&package.name).join(path);
        let content = fs::read(&edited).map_err(about(&edited))?;
        let copy = self.path.join(kept(&package.name, path, &content));
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent).map_err(about(parent))?;
        }
        let staged = self.stage(&content, &edited)?;
        staged.as_file().sync_all()?;
        staged.persist(&copy).map_err(|error| about(&copy)(error.error))?;
        tracing::warn!(file = %edited.display(), copy = %copy.display(), "an edited file is overwritten; its copy is kept");
        Ok(())
    }
}

/// Where the copy of an edited file is kept, from the output folder: `.omninode/kept/<package>/<hash>/<path>`.
fn kept(package: &str, path: &str, content: &[u8]) -> String {
    format!("{OWN_FOLDER}/kept/{package}/{}/{path}", &hash(content)[..16])
}

/// `OUT/.omninode`. Nothing is removed or kept through a link.
fn own_folder(out: &Path) -> Result<PathBuf, String> {
    let own = out.join(OWN_FOLDER);
    for folder in [&own, &own.join("kept")] {
        match fs::symlink_metadata(folder) {
            Ok(found) if !found.is_dir() => {
                return Err(format!("{} is in the way: it is a link, or no folder; move it away", folder.display()));
            }
            _ => {}
        }
    }
    Ok(own)
}

/// A folder that a run made for what it is about to write: `staging-<process>`.
fn is_staging(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let process = name.to_str().and_then(|name| name.strip_prefix("staging-"));
    let numbered = process.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
    numbered && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// The same error, with the path it is about: an update touches many.
fn about(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn written(package: &Package, comparison: &Comparison<'_>, started: Instant) -> Written {
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Written {
        files: count(package.files.len()),
        files_written: count(comparison.changes.iter().filter(|change| !change.leaves()).count()),
        files_kept: count(comparison.kept.len()),
        bytes: package.files.iter().map(|file| file.content.len() as u64).sum(),
        duration: started.elapsed(),
    }
}

/// Makes `folder`, and `parent` where it is missing: only the first time.
fn create_dir_in(parent: &Path, folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent)?;
            fs::create_dir(folder)
        }
        made => made,
    }
}

/// The mode that a new file asks for, before the umask.
fn new_file_permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

/// Closes the journal of an interrupted update, as the next one needs its place. What the update had written stays ours.
/// Where it cannot be told whether it came to a file, nothing is recorded, so that no later run takes a guess for a fact.
fn settle(manifest: &mut Manifest, target: &Path) {
    let found = |path: &str| read_own(target, path).ok().flatten().map(|content| hash(&content));
    let settled = |path: &String| {
        let known = manifest.last_written(path).cloned();
        let last = known.or_else(|| found(path).filter(|found| manifest.is_ours(path, found)))?;
        Some((path.clone(), last))
    };
    *manifest = Manifest::new(manifest.paths().filter_map(settled).collect());
}

/// Between the comparison and the rename a person may have saved the file: that is an edit like any other.
fn still_as_compared(target: &Path, change: &Change<'_>) -> io::Result<()> {
    if read_own(target, &change.path).is_ok_and(|now| now == change.before) {
        return Ok(());
    }
    Err(io::Error::other(format!("{} was edited while the package was being updated", change.path)))
}

/// Removes the folders on the way to a file that is not there, as far as they are empty.
fn remove_empty_folders(target: &Path, path: &str) {
    let mut folder = path;
    while let Some((parent, _)) = folder.rsplit_once('/') {
        match fs::remove_dir(target.join(parent)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => folder = parent,
        }
    }
}

/// Locks the output folder for as long as `handle` lives; one that writes keeps out all others.
fn lock(handle: &File, path: &Path, operation: FlockOperation) -> Result<(), String> {
    let shown = path.display();
    rustix::fs::flock(handle, operation).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => {
            format!("another omninode run uses the output folder {shown}; wait for it to end, or choose another --out")
        }
        error => format!("cannot lock the output folder {shown}: {error}"),
    })
}

fn io_failure(path: &Path, error: &io::Error) -> JobFailure {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check the permissions of the folder, or choose another --out"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, then run again: nothing half-written is visible, and an update goes on where it stopped"
        }
        io::ErrorKind::InvalidFilename => "shorten the names in the contract, or choose a shorter --out",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "move away what is in the place, then run again: an update goes on where it stopped"
        }
        _ => "mend this, then run again: no file is half-written, and an update goes on where it stopped",
    };
    JobFailure::new("io", Diagnostic::new(path.display().to_string(), None, error.to_string()).help(help))
}

fn conflict(path: &Path, fault: &str, help: &str) -> JobFailure {
    JobFailure::new("conflict", Diagnostic::new(path.display().to_string(), None, fault).help(help))
}

#[cfg(test)]
mod tests;
