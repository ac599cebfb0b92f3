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

use std::fs;
use std::path::{Path, PathBuf};
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
        }
    }
}

/// What the benches share.
struct Bench {
    effort: Effort,
    corpus: Corpus,
    /// Everything that is written goes here, on one file system.
    folder: PathBuf,
}

impl Bench {
    fn path(&self, inside: &str) -> PathBuf {
        self.folder.join(inside)
    }

    /// An empty folder; what was in it is removed, and synced away, so that nobody else pays for it.
    fn fresh(&self, inside: &str) -> Result<PathBuf> {
        let folder = self.path(inside);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        bare::sync(&folder)?;
        Ok(folder)
    }

    /// A folder with so many contracts; made once.
    fn contracts(&self, count: usize) -> Result<PathBuf> {
        let folder = self.path(&format!("contracts-{count}"));
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
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let bench = Bench { effort: Effort { quick: cli.quick }, corpus: Corpus::load(&cli.contracts)?, folder };
    println!("{}", machine::describe(&bench.folder, cli.quick));
    let names = if cli.names.is_empty() { Name::value_variants() } else { &cli.names };
    for name in names {
        let title = name.to_possible_value().map(|name| name.get_name().to_owned()).unwrap_or_default();
        eprintln!("{title} ...");
        let started = Instant::now();
        let section = name.run(&bench)?;
        println!("\n## {title}\n\n{section}");
        eprintln!("{title}: {:.0} s", started.elapsed().as_secs_f64());
    }
    fs::remove_dir_all(&bench.folder)?;
    Ok(())
}
