//! Template packs: those in the binary, and a user's own in a folder.

mod embedded;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actors::event::JobFailure;
use actors::ports::{PackText, TemplateSource};
use async_trait::async_trait;
use codegen::Diagnostic;
use tokio::runtime::Handle;

const MANIFEST: &str = "pack.yaml";

/// Bytes of one file of a pack.
const FILE_BYTES_MAX: u64 = 1 << 20;

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

    async fn text(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        if let Some((_, files)) = embedded::PACKS.iter().find(|(known, _)| *known == pack) {
            let file = format!("templates/{pack}/{name}");
            let found = files.iter().find(|(known, _)| *known == name);
            let (_, text) = found.ok_or_else(|| missing(&file, "the pack has no such template"))?;
            return Ok(PackText { file, bytes: Arc::from(text.as_bytes()) });
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
}

/// Reads a file of a folder pack. The pack is not trusted: no step of the name may leave the folder or be a link, and a
/// file may not be large.
fn read_jailed(folder: &Path, name: &str) -> Result<PackText, JobFailure> {
    let mut path = folder.to_owned();
    for segment in name.split('/') {
        if matches!(segment, "" | "." | "..") || segment.contains('\\') {
            return Err(missing(&format!("{}/{name}", folder.display()), "the name leads out of the pack"));
        }
        path.push(segment);
        let shown = path.display().to_string();
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                return Err(missing(&shown, "a symbolic link; packs may not hold links"));
            }
            Ok(_) => {}
            Err(error) if name == MANIFEST && error.kind() == std::io::ErrorKind::NotFound => {
                let known = Packs::embedded().collect::<Vec<_>>().join(", ");
                let fault = format!("no such template pack; expected a folder with a {MANIFEST}, or one of: {known}");
                return Err(missing(&folder.display().to_string(), &fault));
            }
            Err(error) => return Err(missing(&shown, &error.to_string())),
        }
    }
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(&path).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match opened {
        Err(error) => Err(missing(&file, &error.to_string())),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(missing(&file, &format!("larger than {FILE_BYTES_MAX} bytes, the limit for a file of a pack")))
        }
        Ok(_) => Ok(PackText { file, bytes: Arc::from(bytes) }),
    }
}

fn missing(file: &str, fault: &str) -> JobFailure {
    JobFailure::new("template", Diagnostic::new(file, None, fault).help("check --pack and the pack's files"))
}
