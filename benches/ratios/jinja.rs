//! The same templates rendered by Jinja2, from the same plans: `benches/jinja/peer.py` is the peer.
//!
//! The peer is one Python process that does a round for each line it reads and answers with its seconds. Its files are
//! compared with ours before anything is measured.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use codegen::Plan;
use serde_json::{Value, json};

use crate::Bench;
use crate::bare::{Factory, PACK_FOLDER};
use crate::corpus::Corpus;
use crate::measure::{Row, Section, Unit, alternate};

/// Where `./bench` says which Python has Jinja2 and PyYAML, or why none has.
const PYTHON: &str = "OMNINODE_BENCH_PYTHON";
const NO_PYTHON: &str = "OMNINODE_BENCH_NO_PYTHON";

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/jinja/peer.py");

pub(crate) fn bench(bench: &Bench) -> Result<Section> {
    let mut section = Section::default();
    let Some(python) = std::env::var_os(PYTHON).filter(|python| !python.is_empty()) else {
        let why = std::env::var(NO_PYTHON).unwrap_or_else(|_| "start it through `./bench`".to_owned());
        section.note(format!("Not measured: no Python with Jinja2 and PyYAML ({why})."));
        return Ok(section);
    };
    let count = bench.corpus.originals.len();
    let contracts = bench.contracts(count)?;
    let factory = Factory::load()?;
    let plans = plans(&factory, &contracts, count)?;
    let dump = bench.fresh()?.join("plans.jsonl");
    write_plans(&factory, &plans, &dump)?;
    let mut peer = Peer::start(Path::new(&python), &dump)?;

    let rounds = bench.effort.pick(3, 9);
    let peer_cell = std::cell::RefCell::new(&mut peer);
    let theirs = |order: &str| -> Result<[f64; 1]> {
        let out = bench.fresh()?;
        let seconds = peer_cell.borrow_mut().round(&format!("{order} {}", out.display()))?;
        Ok([seconds / count as f64])
    };
    let mut our_render = || render(&factory, &plans).map(|seconds| [seconds / count as f64]);
    let mut their_render = || theirs("render");
    let rendered = alternate(1, rounds, &mut [&mut our_render, &mut their_render])?;
    let mut our_whole = || whole(bench, &factory, &contracts, count).map(|seconds| [seconds / count as f64]);
    let mut with_c = || theirs("c");
    let mut pure = || theirs("pure");
    let wholes = alternate(1, rounds, &mut [&mut our_whole, &mut with_c, &mut pure])?;
    let ([[ours], [jinja]], [[our_whole], [with_c], [pure]]) = (&rendered[..], &wholes[..]) else {
        unreachable!("two and three contenders")
    };
    let row = |case: &str, series| Row::new(format!("{case}, a package"), Unit::Seconds, series);
    section.rows.push(row("render only", ours).against("Jinja2", jinja));
    section.rows.push(row("whole", our_whole).against("Jinja2, PyYAML with libyaml", with_c));
    section.rows.push(row("whole", our_whole).against("Jinja2, PyYAML in Python", pure));
    section.note(peer.greeting.clone());
    section.note(format!("{count} packages a round, one thread on each side. {}.", bench.corpus.sources));
    section.note(
        "Whole: ours reads the YAML, plans, renders, checks, hashes and writes. The peer reads the YAML, takes the plan that \
         ours made, renders and writes: it neither plans nor checks, so its true whole would be longer. Nothing is synced.",
    );
    Ok(section)
}

fn plans(factory: &Factory, contracts: &Path, count: usize) -> Result<Vec<(PathBuf, Plan)>> {
    let plan = |number| {
        let path = Corpus::place(contracts, number);
        let plan = factory.plan(&path.display().to_string(), &fs::read(&path)?)?;
        Ok((path, plan))
    };
    (0..count).map(plan).collect()
}

/// A line for each package: its contract, what templates see, and the files that we make of it.
fn write_plans(factory: &Factory, plans: &[(PathBuf, Plan)], dump: &Path) -> Result<()> {
    let mut lines = String::new();
    for (contract, plan) in plans {
        let files = factory.render(plan)?.into_iter().map(|file| (file.path, Value::String(file.content)));
        let files: serde_json::Map<String, Value> = files.collect();
        let context = serde_json::to_value(&plan.context)?;
        let line = json!({ "contract": contract, "package": plan.package, "context": context, "files": files });
        lines.extend([line.to_string().as_str(), "\n"]);
    }
    fs::write(dump, lines).with_context(|| dump.display().to_string())
}

fn render(factory: &Factory, plans: &[(PathBuf, Plan)]) -> Result<f64> {
    let started = Instant::now();
    for (_, plan) in plans {
        std::hint::black_box(factory.render(plan)?);
    }
    Ok(started.elapsed().as_secs_f64())
}

fn whole(bench: &Bench, factory: &Factory, contracts: &Path, count: usize) -> Result<f64> {
    let out = bench.fresh()?;
    let started = Instant::now();
    for number in 0..count {
        factory.generate(&Corpus::place(contracts, number), &out)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// The Python process.
struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its versions, and how many of its files are the same as ours.
    greeting: String,
}

impl Peer {
    fn start(python: &Path, plans: &Path) -> Result<Self> {
        let mut command = Command::new(python);
        command.arg(PEER).arg(plans).arg(PACK_FOLDER).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} does not start", python.display()))?;
        let orders = child.stdin.take().context("no way to tell Python what to do")?;
        let answers = BufReader::new(child.stdout.take().context("no way to hear Python")?);
        let mut peer = Self { child, orders, answers, greeting: String::new() };
        peer.greeting = peer.line()?;
        Ok(peer)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "{PEER} has ended");
        Ok(line.trim().to_owned())
    }

    /// Seconds of one round.
    fn round(&mut self, order: &str) -> Result<f64> {
        writeln!(self.orders, "{order}")?;
        let answer = self.line()?;
        answer.parse().with_context(|| format!("{PEER} said `{answer}`, expected seconds"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
