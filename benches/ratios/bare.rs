//! The bare loop: what generating costs without actors, mailboxes, database, journal or summary.
//!
//! The same reading, planning, rendering, checking, hashing and writing, the same files to the byte, one sync of the file
//! system at the end; threads take the next contract from a counter.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow};
use codegen::{Contract, Limits, Pack, Plan, Templates};
use omninode::packages::manifest::{FILE_NAME, Manifest, hash};

/// The first argument that makes this program a bare loop: `bare-loop CONTRACTS OUT THREADS`.
pub(crate) const MODE: &str = "bare-loop";

pub(crate) const PACK_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/onex");

pub(crate) fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<()> {
    let mut next = || arguments.next().context("expected CONTRACTS OUT THREADS");
    let (contracts, out, threads) = (PathBuf::from(next()?), PathBuf::from(next()?), next()?);
    let threads: usize = threads.to_str().context("THREADS is a number")?.parse()?;
    fs::create_dir_all(&out)?;
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&contracts)? {
        found.push(entry?.path().join("contract.yaml"));
    }
    found.sort();
    let factory = Factory::load()?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(path) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            factory.generate(path, &out)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a panic"))))
    })?;
    sync(&out)
}

/// Makes everything written to the file system of `folder` durable.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    let folder = File::open(folder)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&folder)?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    drop(folder);
    Ok(())
}

/// The pack, read and compiled.
pub(crate) struct Factory {
    pub(crate) pack: Pack,
    pub(crate) templates: Templates,
}

impl Factory {
    pub(crate) fn load() -> Result<Self> {
        let read = |name: &str| fs::read(Path::new(PACK_FOLDER).join(name)).with_context(|| name.to_owned());
        let pack = Pack::parse("pack.yaml", &read("pack.yaml")?).map_err(|faults| anyhow!("{faults:?}"))?;
        let mut sources = Vec::new();
        for name in pack.templates() {
            sources.push((name, String::from_utf8(read(name)?)?));
        }
        let sources = sources.iter().map(|(name, source)| (*name, source.as_str()));
        let templates = Templates::empty().with_all(sources).map_err(|faults| anyhow!("{faults:?}"))?;
        Ok(Self { pack, templates })
    }

    pub(crate) fn plan(&self, name: &str, contract: &[u8]) -> Result<Plan> {
        let contract = Contract::read(name, contract).map_err(|faults| anyhow!("{faults:?}"))?;
        Plan::new(&contract).map_err(|faults| anyhow!("{faults:?}"))
    }

    pub(crate) fn render(&self, plan: &Plan) -> Result<Vec<codegen::File>> {
        let limits = Limits { fuel_per_file: 5_000_000, ..Limits::without_deadline() };
        codegen::render(&plan.context, &self.pack, &self.templates, &limits).map_err(|failure| anyhow!("{failure:?}"))
    }

    /// One contract, from its file to the package in `out`.
    pub(crate) fn generate(&self, contract: &Path, out: &Path) -> Result<()> {
        let text = fs::read(contract)?;
        let plan = self.plan(&contract.display().to_string(), &text)?;
        let files = self.render(&plan)?;
        codegen::check(&files).map_err(|faults| anyhow!("{faults:?}"))?;
        write(&out.join(&plan.package), &files)
    }
}

fn write(package: &Path, files: &[codegen::File]) -> Result<()> {
    fs::create_dir(package)?;
    let mut folder = "";
    for file in files {
        let (parent, _) = file.path.rsplit_once('/').unwrap_or(("", ""));
        if parent != folder && !parent.is_empty() {
            fs::create_dir_all(package.join(parent))?;
        }
        folder = parent;
        fs::write(package.join(&file.path), &file.content)?;
    }
    let hashes = files.iter().map(|file| (file.path.clone(), hash(file.content.as_bytes()))).collect();
    fs::write(package.join(FILE_NAME), Manifest::new(hashes).to_bytes())?;
    Ok(())
}
