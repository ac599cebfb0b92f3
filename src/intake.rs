//! Finds contracts: files as they are named, folders walked, standard input.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use actors::event::JobFailure;
use codegen::Diagnostic;
use codegen::yaml::INPUT_BYTES_MAX;

use crate::packages::manifest;

/// How standard input is named on the command line, and in messages.
pub const STDIN: &str = "-";
const STDIN_NAME: &str = "<stdin>";

/// A contract that was found, or a path that gave none.
#[derive(Debug)]
pub enum Found {
    File(PathBuf),
    /// Read already: standard input and pipes can be read once only.
    Text {
        name: String,
        text: Vec<u8>,
    },
    Failed {
        name: String,
        failure: JobFailure,
    },
}

impl Found {
    /// As it stands in messages: the path as the user would type it.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::File(path) => path.to_string_lossy(),
            Self::Text { name, .. } | Self::Failed { name, .. } => Cow::Borrowed(name),
        }
    }

    /// The text; refuses what is larger than a contract may be, without reading it whole.
    ///
    /// # Errors
    /// Why there is no text.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, JobFailure> {
        match self {
            Self::Failed { failure, .. } => Err(failure.clone()),
            Self::Text { text, .. } => Ok(Cow::Borrowed(text)),
            Self::File(path) => {
                let file = std::fs::File::open(path).map_err(|error| unreadable(&self.name(), &error))?;
                read_limited(file, &self.name()).map(Cow::Owned)
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Text { name, .. } | Self::Failed { name, .. } => Path::new(name),
        }
    }

    fn of_text(name: String, text: Result<Vec<u8>, JobFailure>) -> Self {
        match text {
            Ok(text) => Self::Text { name, text },
            Err(failure) => Self::Failed { name, failure },
        }
    }
}

fn read_limited(reader: impl std::io::Read, name: &str) -> Result<Vec<u8>, JobFailure> {
    let mut bytes = Vec::new();
    let limit = INPUT_BYTES_MAX as u64;
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    if bytes.len() <= INPUT_BYTES_MAX {
        return Ok(bytes);
    }
    let fault = format!("larger than {} MiB, the limit for a contract", limit >> 20);
    let help = "check that it is a contract; if it is, split it";
    Err(JobFailure::new("contract", Diagnostic::new(name, None, fault).help(help)))
}

fn unreadable(name: &str, error: &std::io::Error) -> JobFailure {
    let (fault, help) = match error.kind() {
        std::io::ErrorKind::NotFound => ("no such file or folder".to_owned(), "check the path"),
        std::io::ErrorKind::PermissionDenied => ("permission denied".to_owned(), "make it readable for this user"),
        _ => (format!("cannot be read: {error}"), "check the path"),
    };
    JobFailure::new("io", Diagnostic::new(name, None, fault).help(help))
}

/// Everything under `paths`, in the order of the paths and sorted within each, each file once. Generated packages and
/// `out` are passed over. Contracts that would become the same package are failures that name each other.
pub fn discover(paths: &[PathBuf], out: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN {
            // It can be read once only.
            if found.iter().any(|found| found.name() == STDIN_NAME) {
                continue;
            }
            let text = read_limited(std::io::stdin().lock(), STDIN_NAME);
            found.push(Found::of_text(STDIN_NAME.to_owned(), text));
        } else if path.is_dir() {
            walk(path, out, &mut found);
        } else {
            let file = Found::File(path.clone());
            let name = file.name().into_owned();
            found.push(match std::fs::metadata(path) {
                Ok(kind) if kind.is_file() => file,
                // A pipe: it gives its text once.
                Ok(_) => Found::of_text(name, file.read().map(Cow::into_owned)),
                Err(error) => Found::Failed { failure: unreadable(&name, &error), name },
            });
        }
    }
    // Within one folder no file is met twice: links are not followed.
    if paths.len() > 1 {
        let mut seen = BTreeSet::new();
        found.retain(|found| match found {
            Found::File(path) => seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())),
            _ => true,
        });
    }
    refuse_clashes(&mut found);
    found.shrink_to_fit();
    found
}

/// `contract.yaml`, `contract.yml`, and names that end in `.contract.yaml` or `_contract.yaml`.
fn is_contract_name(name: &str) -> bool {
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
    stem.is_some_and(|stem| stem == "contract" || stem.ends_with(".contract") || stem.ends_with("_contract"))
}

/// On all cores; sorted, as a walk in order would find them.
fn walk(folder: &Path, out: &Path, found: &mut Vec<Found>) {
    let out = std::fs::metadata(out).ok().map(|out| identity(&out));
    let walker = ignore::WalkBuilder::new(folder)
        .require_git(false)
        .add_custom_ignore_filename(".omninodeignore")
        .filter_entry(move |entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            // The folder that the user named is walked even if it is such a one.
            !folder || entry.depth() == 0 || !is_output(entry.path(), out)
        })
        .threads(cores())
        .build_parallel();
    let (sender, met) = mpsc::channel();
    walker.run(|| {
        let sender = sender.clone();
        Box::new(move |entry| {
            // The receiver outlives the walk.
            let _ = of_entry(folder, entry).map(|found| sender.send(found));
            ignore::WalkState::Continue
        })
    });
    drop(sender);
    let before = found.len();
    found.extend(met);
    found[before..].sort_by(|one, other| one.path().cmp(other.path()));
}

fn of_entry(folder: &Path, entry: Result<ignore::DirEntry, ignore::Error>) -> Option<Found> {
    match entry {
        Ok(entry) => {
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            let is_contract = is_file && entry.file_name().to_str().is_some_and(is_contract_name);
            is_contract.then(|| Found::File(entry.into_path()))
        }
        Err(error) => Some(walk_failure(folder, &error)),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn is_output(path: &Path, out: Option<(u64, u64)>) -> bool {
    path.join(manifest::FILE_NAME).is_file()
        || out.is_some_and(|out| std::fs::metadata(path).is_ok_and(|folder| identity(&folder) == out))
}

/// Device and inode: a folder is the same one under any path.
fn identity(folder: &std::fs::Metadata) -> (u64, u64) {
    (folder.dev(), folder.ino())
}

fn walk_failure(folder: &Path, error: &ignore::Error) -> Found {
    let mut at = folder.display().to_string();
    let mut inner = error;
    loop {
        inner = match inner {
            ignore::Error::WithPath { path, err } => {
                at = path.display().to_string();
                err
            }
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => err,
            _ => break,
        };
    }
    let failure = match inner.io_error() {
        Some(error) => unreadable(&at, error),
        None => JobFailure::new("io", Diagnostic::new(at.clone(), None, inner.to_string()).help("mend or remove it")),
    };
    Found::Failed { name: at, failure }
}

/// Contracts that are worth a thread.
const SHARE_MIN: usize = 64;

/// How many others a duplicate names.
const OTHERS_NAMED_MAX: usize = 3;

/// Two contracts of one name would write one package: neither is generated, and both say so.
fn refuse_clashes(found: &mut [Found]) {
    // Of a run of thousands only this much is kept of each: the hash of its package, and which one it is.
    let mut packages: Vec<(u64, usize)> = peek_all(found);
    packages.sort_unstable();
    for alike in packages.chunk_by(|one, other| one.0 == other.0).filter(|alike| alike.len() > 1) {
        let mut by_package: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &(_, index) in alike {
            if let Some(package) = peek(&found[index]) {
                by_package.entry(package).or_default().push(index);
            }
        }
        for (package, indices) in by_package.into_iter().filter(|(_, indices)| indices.len() > 1) {
            refuse_all(found, &package, &indices);
        }
    }
}

fn refuse_all(found: &mut [Found], package: &str, indices: &[usize]) {
    let names: Vec<String> = indices.iter().map(|&index| found[index].name().into_owned()).collect();
    for (at, &index) in indices.iter().enumerate() {
        let others = names.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, name)| name.as_str());
        let named: Vec<&str> = others.take(OTHERS_NAMED_MAX).collect();
        let more = match names.len() - 1 - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let fault = format!("the package `{package}` would also be made from {}{more}", named.join(", "));
        let help = "give each node a name of its own, or generate them into different folders";
        let failure = JobFailure::new("duplicate", Diagnostic::new(&*names[at], None, fault).help(help));
        found[index] = Found::Failed { name: names[at].clone(), failure };
    }
}

/// The package that a contract would become.
fn peek(found: &Found) -> Option<String> {
    found.read().ok().as_deref().and_then(codegen::peek_package)
}

/// The hash of the package that each contract would become, and its index; read on all cores, as nothing else can begin
/// before.
fn peek_all(found: &[Found]) -> Vec<(u64, usize)> {
    let hash = RandomState::new();
    let peek = |(index, found)| peek(found).map(|package| (hash.hash_one(package), index));
    let share = found.len().div_ceil(cores()).max(SHARE_MIN);
    if found.len() <= share {
        return found.iter().enumerate().filter_map(peek).collect();
    }
    let shares = |at: usize| found.iter().enumerate().skip(at * share).take(share).filter_map(peek);
    std::thread::scope(|scope| {
        let shares = &shares;
        let peeked = (0..cores()).map(|at| (at, scope.spawn(move || shares(at).collect::<Vec<_>>())));
        let peeked: Vec<_> = peeked.collect();
        // One that panicked is looked at once more, where the panic is seen.
        peeked.into_iter().flat_map(|(at, peeked)| peeked.join().unwrap_or_else(|_| shares(at).collect())).collect()
    })
}

/// The text of a contract once more, for a message that shows a line of it; only what can be read again and is not large.
pub fn reread(name: &str) -> Option<String> {
    let kind = std::fs::metadata(name).ok().filter(|kind| kind.is_file())?;
    if kind.len() > INPUT_BYTES_MAX as u64 {
        return None;
    }
    std::fs::read_to_string(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(folder: &Path, found: &[Found]) -> Vec<String> {
        let shorten = |found: &Found| Path::new(&*found.name()).strip_prefix(folder).unwrap().display().to_string();
        found.iter().map(shorten).collect()
    }

    #[test]
    fn a_folder_is_walked_in_order_past_ignored_files_outputs_and_packages() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for path in [
            "b/contract.yaml",
            "a/contract.yml",
            "a/x.contract.yaml",
            "ignored/contract.yaml",
            "out/n/contract.yaml",
            "made/contract.yaml",
            "a/other.yaml",
            ".hidden/contract.yaml",
        ] {
            write(at, path, &format!("name: n{}\n", path.len()));
        }
        write(at, ".gitignore", "ignored/\n");
        write(at, "made/.omninode.json", "{}");
        let found = discover(&[at.to_owned(), at.join("b/contract.yaml")], &at.join("out"));
        assert_eq!(names(at, &found), ["a/contract.yml", "a/x.contract.yaml", "b/contract.yaml"]);
        assert!(found.iter().all(|found| matches!(found, Found::File(_))));
    }

    #[test]
    fn two_contracts_of_one_name_are_both_refused_and_name_each_other() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/contract.yaml", "name: node-x\n");
        write(folder.path(), "b/contract.yaml", "node_type: x\nname: 'node_x'\n");
        write(folder.path(), "c/contract.yaml", "name: node_y\n");
        write(folder.path(), "d/contract.yaml", "x: &n node_z\nname: *n\n");
        write(folder.path(), "e/contract.yaml", "node_name: node_z\n");
        let found = discover(&[folder.path().to_owned()], Path::new("nowhere"));
        let faults: Vec<_> =
            found.iter().filter_map(|found| found.read().err()).map(|failure| failure.message()).collect();
        assert_eq!(faults.len(), 4);
        assert!(faults[2].contains("e/contract.yaml") && faults[3].contains("d/contract.yaml"), "{faults:?}");
        assert!(faults[0].contains("b/contract.yaml") && faults[1].contains("a/contract.yaml"), "{faults:?}");
    }

    #[test]
    fn a_missing_path_and_a_file_that_is_too_large_are_failures_with_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("contract.yaml");
        std::fs::File::create(&large).unwrap().set_len(100 << 20).unwrap();
        let found = discover(&[folder.path().join("none.yaml"), large], Path::new("nowhere"));
        assert!(found[0].read().unwrap_err().message().contains("none.yaml: no such file"));
        assert!(found[1].read().unwrap_err().message().contains("larger than 4 MiB"));
    }
}
