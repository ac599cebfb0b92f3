//! What a program costs: it runs as the only child of a small process, this program again in a mode of its own.
//!
//! Its peak memory would otherwise be wrong: Linux hands the peak of the process that starts a program on to it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// The first argument that makes this program a meter.
pub(crate) const MODE: &str = "meter-of";

/// What one run of a program took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Seconds from its start to its end.
    pub(crate) wall: f64,
    /// Seconds of processor time, user and system, of all its threads.
    pub(crate) cpu: f64,
    /// Bytes: the most that was resident at once.
    pub(crate) peak: f64,
}

/// Runs a program under the meter. Its standard output is thrown away; it must end with code 0.
pub(crate) fn run(folder: &Path, program: &OsStr, arguments: &[&OsStr]) -> Result<Spent> {
    let mut meter = Command::new(std::env::current_exe()?);
    meter.arg(MODE).arg(program).args(arguments).current_dir(folder);
    meter.env_remove("DATABASE_URL").env_remove("LOG_LEVEL").env("NO_COLOR", "1");
    let output = meter.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{} failed: {}", program.display(), output.status);
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall, cpu, peak] = figures[..] else { bail!("the meter said `{text}`, expected three figures") };
    Ok(Spent { wall, cpu, peak })
}

/// The meter itself: runs what its arguments say and prints what that took.
pub(crate) fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<()> {
    let program = arguments.next().context("no program to measure")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let wall = started.elapsed().as_secs_f64();
    ensure!(status.success(), "{status}");
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    // Linux counts it in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1_024.0 };
    println!("{wall} {} {}", microseconds as f64 / 1e6, used.max_rss() as f64 * unit);
    Ok(())
}
