//! The command line: what can be asked, and which exit code answers.

use std::path::PathBuf;
use std::process::ExitCode;

use actors::template_cache;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::app;
use crate::cache::{self, CacheArgs};
use crate::generate::{self, EXIT_INTERRUPTED};
use crate::packages::inspect::Question;
use crate::report::Format;
use crate::storage;
use crate::summary::Status;

/// Every contract gave a package.
pub const EXIT_OK: u8 = 0;
/// Some contracts gave none; the others did.
pub const EXIT_FAILED: u8 = 1;
/// The command line is wrong, or there is nothing to do.
pub const EXIT_USAGE: u8 = 2;
/// omninode itself could not do its work: the output folder, or an actor that was given up.
pub const EXIT_BROKEN: u8 = 3;
/// `--check`: files are missing or stale; a run mends it.
pub const EXIT_OUT_OF_DATE: u8 = 4;
/// `--check`: files were edited; a person has to decide.
pub const EXIT_EDITED: u8 = 5;

const EXIT_CODES: &str = "Exit codes: 0 every contract gave a package; 1 some gave none; 2 wrong command line or no contract \
found; 3 omninode could not do its work (output folder, actor given up); 130 interrupted. With --check: 0 everything is \
as planned; 4 files are missing or stale, and a run mends it; 5 files were edited, and a person has to decide.";

/// Turns generation events (ONEX node contracts) into code, through supervised actors.
#[derive(Debug, Parser)]
#[command(name = "omninode", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate node packages from contracts.
    #[command(after_help = EXIT_CODES)]
    Generate(GenerateArgs),
    /// Show, check and clear the template cache.
    Cache(CacheArgs),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, in roff.
    Man,
}

#[derive(Debug, Args)]
struct GenerateArgs {
    /// Contract files, folders to walk (ignore files are respected), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where the packages go, one folder each.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Template pack: the name of a built-in one, or a folder with a pack.yaml.
    #[arg(long, value_name = "PACK", default_value = "onex")]
    pack: String,
    /// Generator workers, each on a thread of its own [default: one for each core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Seconds after which a contract is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    worker_timeout: u32,
    /// Overwrite files that were edited since they were generated; a copy of each is kept in OUT/.omninode/kept.
    #[arg(long)]
    force: bool,
    /// Write nothing; say what a run would do.
    #[arg(long, conflicts_with_all = ["diff", "check"])]
    dry_run: bool,
    /// Write nothing; print what a run would change, as a patch for `git apply` in DIR.
    #[arg(long, conflicts_with = "check")]
    diff: bool,
    /// Write nothing; say which files are missing, stale, edited or unknown, and exit by that.
    #[arg(long)]
    check: bool,
    /// Where measurements are stored; not opened by --dry-run, --diff and --check.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, default_value = storage::DEFAULT_URL)]
    database: String,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

impl Cli {
    /// Runs the command; must not be called inside an async runtime.
    ///
    /// # Errors
    /// Where the outside world refused something that no other message covers.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Generate(args) => {
                if let Some(fault) = args.senseless() {
                    app::say(&format!("error: {fault}"));
                    return Ok(ExitCode::from(EXIT_USAGE));
                }
                let options = args.options();
                let runner = actix_rt::System::with_tokio_rt(app::runtime);
                let code = match runner.block_on(generate::run(options)) {
                    Ok(Status::Complete) => EXIT_OK,
                    Ok(Status::Failed) => EXIT_FAILED,
                    Ok(Status::Interrupted) => EXIT_INTERRUPTED,
                    Ok(Status::Broken) => EXIT_BROKEN,
                    Ok(Status::OutOfDate) => EXIT_OUT_OF_DATE,
                    Ok(Status::Edited) => EXIT_EDITED,
                    Err(error) => {
                        app::say(&format!("error: {error}"));
                        if error.is_usage() { EXIT_USAGE } else { EXIT_BROKEN }
                    }
                };
                Ok(ExitCode::from(code))
            }
            Command::Cache(args) => {
                let runner = actix_rt::System::with_tokio_rt(app::runtime);
                runner.block_on(cache::run(args, template_cache::Config::default()))
            }
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "omninode", &mut std::io::stdout());
                Ok(ExitCode::SUCCESS)
            }
            Command::Man => {
                clap_mangen::Man::new(Self::command()).render(&mut std::io::stdout())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl GenerateArgs {
    /// What cannot be meant, with what to do.
    fn senseless(&self) -> Option<&'static str> {
        if self.check && self.force {
            return Some("--check overwrites nothing, so --force has no sense with it; leave one of the two out");
        }
        let sarif = self.format == Format::Sarif && !self.check;
        sarif.then_some("--format sarif tells what a check found; add --check, or choose --format json")
    }

    fn question(&self) -> Option<Question> {
        let asked = [(self.dry_run, Question::DryRun), (self.diff, Question::Diff), (self.check, Question::Check)];
        asked.into_iter().find_map(|(asked, question)| asked.then_some(question))
    }

    fn options(self) -> generate::Options {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        generate::Options {
            question: self.question(),
            paths: self.paths,
            out: self.out,
            pack: self.pack,
            workers: self.workers.map_or_else(cores, usize::from),
            worker_timeout: std::time::Duration::from_secs(u64::from(self.worker_timeout)),
            force: self.force,
            database: if self.database.is_empty() { storage::DEFAULT_URL.to_owned() } else { self.database },
            format: self.format,
            fault: None,
        }
    }
}
