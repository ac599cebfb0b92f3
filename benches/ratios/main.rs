//! `./bench`: how fast omninode is beside what it could be compared with. See `benches/README.md`.

mod bare;
mod cache;
mod corpus;
mod generate;
mod jinja;
mod machine;
mod mailbox;
mod measure;
mod meter;
mod process;
mod restart;
mod storage;

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use corpus::Corpus;
use measure::{Effort, Section};

/// Measures omninode against its peers, in turn, and prints the ratios.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    /// Which benches; all without a name.
    #[arg(value_name = "NAME")]
    names: Vec<Name>,
    /// A look in about a minute, not figures to keep.
    #[arg(long)]
    quick: bool,
    /// A folder of further contracts, where it is there.
    #[arg(long, value_name = "DIR", default_value = "../shared/contracts")]
    contracts: PathBuf,
    /// Where files are written: on a file system of a real disk, with some 10 GB free (1 GB for a quick look).
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Mailbox,
    Restart,
    Cache,
    Cold,
    Jinja,
    Generate,
    Memory,
    Storage,
}

impl Name {
    fn run(self, bench: &Bench) -> Result<Section> {
        match self {
            Self::Mailbox => mailbox::bench(bench.effort),
            Self::Restart => restart::bench(bench.effort),
            Self::Cache => cache::bench(bench),
            Self::Cold => process::cold(bench),
            Self::Jinja => jinja::bench(bench),
            Self::Generate => generate::bench(bench),
            Self::Memory => process::memory(bench),
            Self::Storage => storage::bench(bench),
        }
    }
}

/// What the benches share.
struct Bench {
    effort: Effort,
    corpus: Corpus,
    /// Everything that is written goes here, on one file system. Nothing is removed before the end: ext4 passes over the
    /// places of files that were removed in the last minute, one by one, so that the next round would pay for it.
    folder: PathBuf,
    folders: Cell<usize>,
}

impl Bench {
    /// A new folder; what was written before is synced first, so that nobody else pays for it.
    fn fresh(&self) -> Result<PathBuf> {
        self.folders.set(self.folders.get() + 1);
        let folder = self.folder.join(self.folders.get().to_string());
        fs::create_dir(&folder)?;
        bare::sync(&folder)?;
        Ok(folder)
    }

    /// A folder with so many contracts; made once.
    fn contracts(&self, count: usize) -> Result<PathBuf> {
        let folder = self.folder.join(format!("contracts-{count}"));
        if !folder.exists() {
            self.corpus.write(count, &folder)?;
        }
        Ok(folder)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(mode) if mode == meter::MODE => return meter::main(arguments),
        Some(mode) if mode == bare::MODE => return bare::main(arguments),
        _ => {}
    }
    let cli = Cli::parse();
    let folder = cli.folder.join(format!("bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let (effort, corpus) = (Effort { quick: cli.quick }, Corpus::load(&cli.contracts)?);
    let bench = Bench { effort, corpus, folder: fs::canonicalize(folder)?, folders: Cell::new(0) };
    println!("{}", machine::describe(&bench.folder, cli.quick));
    let ended = run(&bench, &cli.names);
    eprintln!("removing what was written ...");
    fs::remove_dir_all(&bench.folder)?;
    ended
}

fn run(bench: &Bench, names: &[Name]) -> Result<()> {
    let names = if names.is_empty() { Name::value_variants() } else { names };
    for name in names {
        let title = name.to_possible_value().map(|name| name.get_name().to_owned()).unwrap_or_default();
        eprintln!("{title} ...");
        let started = Instant::now();
        let section = name.run(bench)?;
        println!("\n## {title}\n\n{section}");
        eprintln!("{title}: {:.0} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}
