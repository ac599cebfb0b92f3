//! Finds contracts: files as they are named, folders walked, standard input.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use actors::event::JobFailure;
use codegen::Diagnostic;
use codegen::yaml::INPUT_BYTES_MAX;

use crate::packages::manifest;

/// How standard input is named on the command line, and in messages.
pub const STDIN: &str = "-";
const STDIN_NAME: &str = "<stdin>";

/// A contract that was found, or a path that gave none.
#[derive(Debug)]
pub struct Found {
    /// As it stands in messages: the path as the user would type it.
    pub name: String,
    pub contract: Result<Origin, JobFailure>,
}

/// Where the text of a contract is.
#[derive(Debug)]
pub enum Origin {
    File(PathBuf),
    /// Read already: standard input can be read once only.
    Text(Vec<u8>),
}

impl Origin {
    /// The text; refuses what is larger than a contract may be, without reading it whole.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, JobFailure> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let file = std::fs::File::open(path).map_err(|error| unreadable(name, &error))?;
                read_limited(file, name)
            }
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
            if found.iter().any(|found| found.name == STDIN_NAME) {
                continue;
            }
            let text = read_limited(std::io::stdin().lock(), STDIN_NAME);
            found.push(Found { name: STDIN_NAME.to_owned(), contract: text.map(Origin::Text) });
        } else if path.is_dir() {
            walk(path, out, &mut found);
        } else {
            let name = path.display().to_string();
            let contract = match std::fs::metadata(path) {
                Ok(kind) if kind.is_file() => Ok(Origin::File(path.clone())),
                // A pipe: it gives its text once.
                Ok(_) => Origin::File(path.clone()).read(&name).map(Origin::Text),
                Err(error) => Err(unreadable(&name, &error)),
            };
            found.push(Found { name, contract });
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|found| match &found.contract {
        Ok(Origin::File(path)) => seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())),
        _ => true,
    });
    refuse_clashes(&mut found);
    found
}

/// `contract.yaml`, `contract.yml`, and names that end in `.contract.yaml` or `_contract.yaml`.
fn is_contract_name(name: &str) -> bool {
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
    stem.is_some_and(|stem| stem == "contract" || stem.ends_with(".contract") || stem.ends_with("_contract"))
}

fn walk(folder: &Path, out: &Path, found: &mut Vec<Found>) {
    let out = std::fs::canonicalize(out).ok();
    let walker = ignore::WalkBuilder::new(folder)
        .require_git(false)
        .add_custom_ignore_filename(".omninodeignore")
        .sort_by_file_path(Path::cmp)
        .filter_entry(move |entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            // The folder that the user named is walked even if it is such a one.
            !folder || entry.depth() == 0 || !is_output(entry.path(), out.as_deref())
        })
        .build();
    for entry in walker {
        match entry {
            Ok(entry) => {
                let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
                if is_file && entry.file_name().to_str().is_some_and(is_contract_name) {
                    let name = entry.path().display().to_string();
                    found.push(Found { name, contract: Ok(Origin::File(entry.into_path())) });
                }
            }
            Err(error) => found.push(walk_failure(folder, &error)),
        }
    }
}

fn is_output(path: &Path, out: Option<&Path>) -> bool {
    path.join(manifest::FILE_NAME).is_file()
        || out.is_some_and(|out| std::fs::canonicalize(path).is_ok_and(|path| path == out))
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
    Found { name: at, contract: Err(failure) }
}

/// How many others a duplicate names.
const OTHERS_NAMED_MAX: usize = 3;

/// Two contracts of one name would write one package: neither is generated, and both say so.
fn refuse_clashes(found: &mut [Found]) {
    let mut by_package: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, found) in found.iter().enumerate() {
        let text = found.contract.as_ref().ok().and_then(|origin| origin.read(&found.name).ok());
        if let Some(package) = text.as_deref().and_then(codegen::peek_package) {
            by_package.entry(package).or_default().push(index);
        }
    }
    for (package, indices) in by_package.into_iter().filter(|(_, indices)| indices.len() > 1) {
        for &index in &indices {
            let others = indices.iter().filter(|other| **other != index);
            let named: Vec<&str> = others.take(OTHERS_NAMED_MAX).map(|&other| found[other].name.as_str()).collect();
            let more = match indices.len() - 1 - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let fault = format!("the package `{package}` would also be made from {}{more}", named.join(", "));
            let help = "give each node a name of its own, or generate them into different folders";
            let diagnostic = Diagnostic::new(found[index].name.clone(), None, fault).help(help);
            found[index].contract = Err(JobFailure::new("duplicate", diagnostic));
        }
    }
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
        let shorten = |found: &Found| Path::new(&found.name).strip_prefix(folder).unwrap().display().to_string();
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
        assert!(found.iter().all(|found| found.contract.is_ok()));
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
            found.iter().filter_map(|found| found.contract.as_ref().err()).map(JobFailure::message).collect();
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
        assert!(found[0].contract.as_ref().unwrap_err().message().contains("none.yaml: no such file"));
        let origin = found[1].contract.as_ref().unwrap();
        assert!(origin.read("contract.yaml").unwrap_err().message().contains("larger than 4 MiB"));
    }
}
