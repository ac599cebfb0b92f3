//! Template packs: those in the binary, and a user's own in a folder.
//!
//! In figures a template is called `PACK/TEMPLATE`. An embedded pack has its own name there; a folder is called
//! `NAME@HASH`, its last segment and a hash of its whole path, because two folders may have one name.

mod embedded;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actors::event::JobFailure;
use actors::ports::{MANIFEST, Origin, PackText, Stamp, TemplateSource};
use async_trait::async_trait;
use codegen::Diagnostic;
use rustix::fs::OFlags;
use tokio::runtime::Handle;

/// Bytes of one file of a pack.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How long a file must have been left alone for its stamp to be trusted: the coarsest clock of a file system in use
/// ticks every 2 s (FAT); those of Linux tick every 10 ms at most.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Times that a file which changes while it is read is read again.
const READS_MAX: usize = 5;

/// Characters of a folder's own name in the name of its pack.
const LABEL_CHARS_MAX: usize = 24;

/// Characters of a template's name in figures; a longer one ends in a hash.
const NAME_CHARS_MAX: usize = 200;

/// Of these, characters of its ending, such as `py.j2`.
const ENDING_CHARS_MAX: usize = 16;

/// Knows a pack by the name of an embedded one, or by the path of its folder.
pub struct Packs {
    /// Where the blocking reads run.
    runtime: Handle,
}

impl Packs {
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Names of the packs in the binary.
    pub fn embedded() -> impl Iterator<Item = &'static str> {
        embedded::PACKS.iter().map(|(name, _)| *name)
    }

    /// `PACK/TEMPLATE` of every template in the binary.
    pub fn embedded_templates() -> impl Iterator<Item = String> {
        let files = embedded::PACKS.iter().flat_map(|(pack, files)| files.iter().map(move |(file, _)| (pack, file)));
        files.filter(|(_, file)| **file != MANIFEST).map(|(pack, file)| format!("{pack}/{file}"))
    }

    async fn text(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        if let Some((_, files)) = embedded::PACKS.iter().find(|(known, _)| *known == pack) {
            let file = format!("templates/{pack}/{name}");
            let found = files.iter().find(|(known, _)| *known == name);
            let (_, text) = found.ok_or_else(|| missing(&file, "the pack has no such template"))?;
            let (name, bytes) = (Arc::from(format!("{pack}/{name}")), Arc::from(text.as_bytes()));
            return Ok(PackText { file, name, origin: Origin::Embedded, bytes });
        }
        if pack.is_empty() {
            return Err(missing("--pack", "no pack is named; expected the name of one, or a folder"));
        }
        let (folder, name) = (PathBuf::from(pack), name.to_owned());
        let read = self.runtime.spawn_blocking(move || read_jailed(&folder, &name)).await;
        read.unwrap_or_else(|error| Err(missing(pack, &format!("reading it broke off: {error}"))))
    }
}

#[async_trait]
impl TemplateSource for Packs {
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure> {
        self.text(pack, MANIFEST).await
    }

    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        self.text(pack, name).await
    }

    async fn stamps(&self, pack: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>> {
        let (folder, names) = (PathBuf::from(pack), names.to_vec());
        let count = names.len();
        let looked = self.runtime.spawn_blocking(move || {
            let now = SystemTime::now();
            let look = |name: &Arc<str>| Some(stamp(&jailed(&folder, name).ok()?.1, now));
            names.iter().map(look).collect()
        });
        looked.await.unwrap_or_else(|_| vec![None; count])
    }
}

/// Where a file of a folder pack is, and what is there: a plain file. The pack is not trusted: no step of the name may
/// leave the folder or be a link.
fn jailed(folder: &Path, name: &str) -> Result<(PathBuf, Metadata), JobFailure> {
    let mut path = folder.to_owned();
    let mut found = None;
    for segment in name.split('/') {
        if matches!(segment, "" | "." | "..") || segment.contains('\\') {
            return Err(missing(&format!("{}/{name}", folder.display()), "the name leads out of the pack"));
        }
        path.push(segment);
        match std::fs::symlink_metadata(&path) {
            Ok(step) if step.is_symlink() => {
                return Err(missing(&path.display().to_string(), "a symbolic link; packs may not hold links"));
            }
            Ok(step) => found = Some(step),
            Err(error) if name == MANIFEST && error.kind() == io::ErrorKind::NotFound => {
                let known = Packs::embedded().collect::<Vec<_>>().join(", ");
                let fault = format!("no such template pack; expected a folder with a {MANIFEST}, or one of: {known}");
                return Err(missing(&folder.display().to_string(), &fault));
            }
            Err(error) => return Err(missing(&path.display().to_string(), &error.to_string())),
        }
    }
    match found.filter(Metadata::is_file) {
        Some(file) => Ok((path, file)),
        None => Err(missing(&path.display().to_string(), "not a plain file")),
    }
}

fn read_jailed(folder: &Path, name: &str) -> Result<PackText, JobFailure> {
    let (path, _) = jailed(folder, name)?;
    let file = path.display().to_string();
    let (bytes, stamp) = read_whole(&path).map_err(|error| missing(&file, &error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(missing(&file, &format!("larger than {FILE_BYTES_MAX} bytes, the limit for a file of a pack")));
    }
    let folder = folder.canonicalize().map_err(|error| missing(&file, &error.to_string()))?;
    let origin = Origin::File { path: folder.join(name).display().to_string(), stamp };
    Ok(PackText { file, name: Arc::from(qualified(&folder, name)), origin, bytes: Arc::from(bytes) })
}

/// The bytes of a file, one more than the limit at most, and the stamp under which all of them were read.
fn read_whole(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    for _ in 0..READS_MAX {
        // Before the first look: what changes from now on must be younger than a settled stamp.
        let now = SystemTime::now();
        let opened: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let before = stamp(&opened.metadata()?, now);
        let mut bytes = Vec::new();
        (&opened).take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if stamp(&opened.metadata()?, now) == before {
            return Ok((bytes, before));
        }
    }
    Err(io::Error::other("it changes all the time while it is read"))
}

fn stamp(found: &Metadata, now: SystemTime) -> Stamp {
    let changed = time(found.ctime(), found.ctime_nsec());
    Stamp {
        modified: time(found.mtime(), found.mtime_nsec()),
        changed,
        bytes: found.size(),
        device: found.dev(),
        inode: found.ino(),
        // A change in the future is one of a clock that is not ours: not to be trusted.
        settled: now.duration_since(changed).is_ok_and(|age| age > SETTLED_AFTER),
    }
}

/// A time of the file system.
fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { SystemTime::UNIX_EPOCH - whole } else { SystemTime::UNIX_EPOCH + whole };
    second + Duration::from_nanos(nanoseconds.unsigned_abs())
}

/// `NAME@HASH/TEMPLATE` of a template of a folder, whose path is canonical.
fn qualified(folder: &Path, template: &str) -> String {
    let own = folder.file_name().map_or_else(|| "pack".to_owned(), |name| name.to_string_lossy().into_owned());
    let plain = |char: char| if char.is_ascii_alphanumeric() || "._-".contains(char) { char } else { '-' };
    let label: String = own.chars().take(LABEL_CHARS_MAX).map(plain).collect();
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex()[..12].to_owned();
    let name = format!("{label}@{}/{template}", hash(folder.as_os_str().as_encoded_bytes()));
    if name.chars().count() <= NAME_CHARS_MAX {
        return name;
    }
    // Its ending stays: it tells what the template makes.
    let file = template.rsplit('/').next().unwrap_or_default();
    let ending = file.split_once('.').map_or("", |(_, ending)| ending);
    let ending: String = ending.chars().rev().take(ENDING_CHARS_MAX).collect::<Vec<_>>().into_iter().rev().collect();
    let begin: String = name.chars().take(NAME_CHARS_MAX - 14 - ENDING_CHARS_MAX).collect();
    format!("{begin}~{}.{ending}", hash(name.as_bytes()))
}

fn missing(file: &str, fault: &str) -> JobFailure {
    JobFailure::new("template", Diagnostic::new(file, None, fault).help("check --pack and the pack's files"))
}

#[cfg(test)]
mod tests;
