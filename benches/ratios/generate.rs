//! `omninode generate` of thousands of contracts, against the bare loop: what the actors, the mailboxes, the journal and the
//! database cost together.
//!
//! Both sides are processes of the release build. Each round has a new output folder and a new database on one file system;
//! what the round before wrote is synced first, outside the clock.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::Bench;
use crate::bare;
use crate::measure::{Row, Section, Unit, alternate, shown};
use crate::meter::{self, Spent};

pub(crate) const OMNINODE: &str = env!("CARGO_BIN_EXE_omninode");

/// Contracts of which both sides' trees are compared.
const COMPARED: usize = 500;

pub(crate) fn bench(bench: &Bench) -> Result<Section> {
    let (count, rounds) = bench.effort.pick((500, 3), (5_000, 3));
    let contracts = bench.contracts(count)?;
    let mut section = Section::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let files = compare_trees(bench, &bench.contracts(COMPARED)?)?;
    let before = file_cost(bench)?;
    let mut workers = vec![1, cores];
    workers.dedup();
    for workers in workers {
        let figures = |spent: Spent| [spent.wall, spent.cpu];
        let mut ours = || omninode(bench, &contracts, workers).map(figures);
        let mut bare = || bare_loop_into(&bench.fresh()?, &contracts, workers).map(figures);
        let measured = alternate(0, rounds, &mut [&mut ours, &mut bare])?;
        let [[our_wall, our_cpu], [bare_wall, bare_cpu]] = &measured[..] else { unreachable!("two contenders") };
        let case =
            |what: &str| format!("{count} contracts, {workers} worker{}, {what}", if workers == 1 { "" } else { "s" });
        section.rows.push(
            Row::new(case("wall time"), Unit::Seconds, our_wall).against("bare loop", bare_wall).ratio_at_least(0.85),
        );
        section.rows.push(Row::new(case("processor time"), Unit::Seconds, our_cpu).against("bare loop", bare_cpu));
    }
    let after = file_cost(bench)?;
    let microseconds = |seconds| shown(Unit::Seconds, seconds);
    section.note(format!(
        "A file of 1 KiB took {} to create before the rounds and {} after them; where the two differ by far, something else \
         kept the file system busy, or much was removed from it a moment before.",
        microseconds(before),
        microseconds(after),
    ));
    section.note(format!("Contracts: {}; multiplied under new names.", bench.corpus.sources));
    section.note(format!(
        "Both made the same {files} files of {COMPARED} contracts, byte for byte, before the clock ran."
    ));
    Ok(section)
}

/// A round of ours: from the start of the process to its end, everything synced.
pub(crate) fn omninode(bench: &Bench, contracts: &Path, workers: usize) -> Result<Spent> {
    omninode_into(&bench.fresh()?, contracts, workers)
}

fn omninode_into(fresh: &Path, contracts: &Path, workers: usize) -> Result<Spent> {
    let (out, database) = (fresh.join("out"), format!("sqlite://{}/omninode.db", fresh.display()));
    let workers = workers.to_string();
    let arguments: [&OsStr; 8] = [
        "generate".as_ref(),
        contracts.as_ref(),
        "--out".as_ref(),
        out.as_ref(),
        "--workers".as_ref(),
        workers.as_ref(),
        "--database".as_ref(),
        database.as_ref(),
    ];
    meter::run(fresh, OMNINODE.as_ref(), &arguments)
}

fn bare_loop_into(fresh: &Path, contracts: &Path, threads: usize) -> Result<Spent> {
    let (out, threads) = (fresh.join("out"), threads.to_string());
    let arguments: [&OsStr; 4] = [bare::MODE.as_ref(), contracts.as_ref(), out.as_ref(), threads.as_ref()];
    meter::run(fresh, std::env::current_exe()?.as_ref(), &arguments)
}

/// Seconds to create a small file, as the mean of a thousand: whether the file system is at rest.
fn file_cost(bench: &Bench) -> Result<f64> {
    let folder = bench.fresh()?;
    let started = Instant::now();
    for number in 0..1_000 {
        fs::write(folder.join(number.to_string()), [b'x'; 1_024])?;
    }
    Ok(started.elapsed().as_secs_f64() / 1_000.0)
}

/// Makes sure that the two do the same work: their trees are equal. How many files they have.
fn compare_trees(bench: &Bench, contracts: &Path) -> Result<usize> {
    let (ours, theirs) = (bench.fresh()?, bench.fresh()?);
    omninode_into(&ours, contracts, 1)?;
    bare_loop_into(&theirs, contracts, 1)?;
    let (ours, theirs) = (tree(&ours.join("out"))?, tree(&theirs.join("out"))?);
    let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs).map(|((path, _), _)| path);
    ensure!(ours == theirs, "the bare loop made other files than omninode; the first is {differs:?}");
    Ok(ours.len())
}

/// Every file below `folder`, with the hash of its content.
fn tree(folder: &Path) -> Result<Vec<(String, blake3::Hash)>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(&inside).with_context(|| inside.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.display().to_string();
                files.push((name, blake3::hash(&fs::read(&path)?)));
            }
        }
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(files)
}
