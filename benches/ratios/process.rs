//! A whole process: the processor time of a small run, and the peak memory of larger and larger ones.

use std::ffi::OsStr;

use anyhow::Result;

use crate::Bench;
use crate::generate::{OMNINODE, omninode};
use crate::measure::{Goal, Row, Section, Unit, alternate};
use crate::meter;

const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/price_quote_compute/contract.yaml");

/// One small contract into a new output folder, the database there already; beside it the least a process can do.
pub(crate) fn cold(bench: &Bench) -> Result<Section> {
    let fresh = bench.fresh()?;
    let database = format!("sqlite://{}/omninode.db", fresh.display());
    let mut runs = 0;
    let mut run = || {
        runs += 1;
        let out = runs.to_string();
        let arguments: [&OsStr; 6] = [
            "generate".as_ref(),
            CONTRACT.as_ref(),
            "--out".as_ref(),
            out.as_ref(),
            "--database".as_ref(),
            database.as_ref(),
        ];
        meter::run(&fresh, OMNINODE.as_ref(), &arguments).map(|spent| [spent.cpu, spent.wall])
    };
    let mut version =
        || meter::run(&fresh, OMNINODE.as_ref(), &["--version".as_ref()]).map(|spent| [spent.cpu, spent.wall]);
    // The first round makes the database.
    let measured = alternate(1, bench.effort.pick(40, 300), &mut [&mut run, &mut version])?;
    let [[cpu, wall], [version_cpu, version_wall]] = &measured[..] else { unreachable!("two contenders") };
    let mut section = Section::default();
    let least = "`omninode --version`";
    section
        .rows
        .push(Row::new("one contract, processor time", Unit::Seconds, cpu).against(least, version_cpu).at_most(0.015));
    section.rows.push(Row::new("one contract, wall time", Unit::Seconds, wall).against(least, version_wall));
    Ok(section)
}

/// Ten times the contracts must not take more memory.
pub(crate) fn memory(bench: &Bench) -> Result<Section> {
    let counts: &[usize] = bench.effort.pick(&[100, 1_000], &[100, 1_000, 10_000]);
    let rounds = 2;
    let mut folders = Vec::new();
    for &count in counts {
        folders.push(bench.contracts(count)?);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runs: Vec<_> =
        folders.iter().map(|contracts| move || omninode(bench, contracts, cores).map(|spent| [spent.peak])).collect();
    let mut contenders: Vec<&mut dyn FnMut() -> Result<[f64; 1]>> = Vec::new();
    for run in &mut runs {
        contenders.push(run);
    }
    let measured = alternate(0, rounds, &mut contenders)?;
    let mut section = Section::default();
    let Some([few]) = measured.first() else { return Ok(section) };
    for ([peak], count) in measured.iter().zip(counts).skip(1) {
        let growth = peak.with(few, |many, few| many / few).median();
        let goal = Goal { said: "at most 1.2 times".to_owned(), met: growth <= 1.2 };
        let row = Row::new(format!("{count} contracts, peak memory"), Unit::Bytes, peak);
        section.rows.push(row.against(format!("ours at {}", counts[0]), few).goal(goal));
    }
    Ok(section)
}
