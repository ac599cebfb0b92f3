//! The command line: what can be asked, and which exit code answers.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use actors::template_cache;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::app;
use crate::cache::{self, CacheArgs};
use crate::config::{self, Flag, Loaded, Settings, Sources, Variables};
use crate::db::{self, DbArgs};
use crate::generate::{self, EXIT_INTERRUPTED};
use crate::packages::inspect::Question;
use crate::report;
use crate::storage::Target;
use crate::summary::{Format, Status};

/// Every contract gave a package.
pub const EXIT_OK: u8 = 0;
/// Some contracts gave none; the others did.
pub const EXIT_FAILED: u8 = 1;
/// The command line or the configuration is wrong, or there is nothing to do.
pub const EXIT_USAGE: u8 = 2;
/// omninode itself could not do its work: the output folder, or an actor that was given up.
pub const EXIT_BROKEN: u8 = 3;
/// `--check`: files are missing or stale; a run mends it.
pub const EXIT_OUT_OF_DATE: u8 = 4;
/// `--check`: edits or something else are in the way of the plan; a person has to decide.
pub const EXIT_CONFLICT: u8 = 5;

const EXIT_CODES: &str = "Exit codes: 0 every contract gave a package; 1 some gave none; 2 wrong command line or \
configuration, or no contract found; 3 omninode could not do its work (output folder, actor given up); 130 interrupted. \
With --check: 0 everything is as planned, but for edits that a run keeps; 4 files are missing or stale, and a run mends \
it; 5 edits or something else are in conflict with the plan, and a person has to decide.";
const CONFIG_EXIT_CODES: &str = "Exit codes: 0 the configuration is right; 1 it has faults; 2 wrong command line; 3 the \
answer could not be written.";

// Nothing here has a Debug: a flag may hold a password.
/// Turns generation events (ONEX node contracts) into code, through supervised actors.
#[derive(Parser)]
#[command(name = "omninode", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate node packages from contracts.
    #[command(after_help = EXIT_CODES)]
    Generate(GenerateArgs),
    /// Show, check and clear the template cache.
    Cache(CacheCommand),
    /// Create, update and look at the database.
    Db(DbCommand),
    /// Check and show the configuration.
    #[command(subcommand, after_help = CONFIG_EXIT_CODES)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, in roff.
    Man,
}

#[derive(Args)]
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
    /// Generator workers, each on a thread of its own: a number, or half, all or double of the cores [default: all].
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Seconds after which a contract is given up [default: 300].
    #[arg(long, value_name = "SECONDS")]
    worker_timeout: Option<String>,
    /// Overwrite every file that was edited since it was generated; a copy of each is kept in OUT/.omninode/kept. Without
    /// it an edit stays, and a package is refused where the plan for an edited file has changed.
    #[arg(long)]
    force: bool,
    /// Write nothing; say what a run would do.
    #[arg(long, conflicts_with_all = ["diff", "check"])]
    dry_run: bool,
    /// Write nothing; print what a run would change, as a patch for `git apply` in DIR.
    #[arg(long, conflicts_with = "check")]
    diff: bool,
    /// Write nothing; say which files are missing, stale, edited, in conflict or unknown, and exit by that.
    #[arg(long)]
    check: bool,
    /// Where measurements are stored; not opened by --dry-run, --diff and --check [default:
    /// sqlite://.omninode/omninode.db; also from DATABASE_URL].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    #[arg(long, value_enum, default_value_t = report::Format::Human)]
    format: report::Format,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
struct CacheCommand {
    #[command(flatten)]
    args: CacheArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
struct DbCommand {
    #[command(flatten)]
    args: DbArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Tell every fault of the configuration at once; exit 1 where there is one.
    Check(ConfigShowArgs),
    /// Print every setting with where it comes from; secrets are masked.
    Show(ConfigShowArgs),
}

#[derive(Args)]
struct ConfigShowArgs {
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Where settings come from.
#[derive(Args)]
struct ConfigArgs {
    /// The configuration file [default: configs/deployment.yaml, where it exists].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Variables for what the environment does not set [default: .env, where it exists].
    #[arg(long, value_name = "FILE", global = true)]
    env_file: Option<PathBuf>,
    /// One setting, over environment and files: --set logging.level=DEBUG. A flag of the command itself is stronger.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
}

impl Cli {
    /// Runs the command; must not be called inside an async runtime.
    ///
    /// # Errors
    /// Where the outside world refused something that no other message covers.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Generate(args) => Ok(ExitCode::from(args.run())),
            Command::Cache(command) => command.run(),
            Command::Db(command) => command.run(),
            Command::Config(command) => Ok(ExitCode::from(command.run()?)),
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
    fn run(self) -> u8 {
        if let Some(fault) = self.senseless() {
            app::say(&format!("error: {fault}"));
            return EXIT_USAGE;
        }
        let Some(settings) = self.config.settle([
            ("--workers", "parallel_generation.max_workers", &self.workers),
            ("--worker-timeout", "parallel_generation.worker_timeout_seconds", &self.worker_timeout),
            ("--database", "database.url", &self.database),
        ]) else {
            return EXIT_USAGE;
        };
        let options = self.options(&settings);
        let runner = actix_rt::System::with_tokio_rt(app::runtime);
        let ended = runner.block_on(generate::run(options));
        // Its end would wait for a read or write that hangs; what was not done is named already.
        std::mem::forget(runner);
        match ended {
            Ok(Status::Complete) => EXIT_OK,
            Ok(Status::Failed) => EXIT_FAILED,
            Ok(Status::Interrupted) => EXIT_INTERRUPTED,
            Ok(Status::Broken) => EXIT_BROKEN,
            Ok(Status::OutOfDate) => EXIT_OUT_OF_DATE,
            Ok(Status::Conflict) => EXIT_CONFLICT,
            Err(error) => {
                app::say(&format!("error: {error}"));
                if error.is_usage() { EXIT_USAGE } else { EXIT_BROKEN }
            }
        }
    }

    /// What cannot be meant, with what to do.
    fn senseless(&self) -> Option<&'static str> {
        if self.check && self.force {
            return Some("--check overwrites nothing, so --force has no sense with it; leave one of the two out");
        }
        let sarif = self.format == report::Format::Sarif && !self.check;
        sarif.then_some("--format sarif tells what a check found; add --check, or choose --format json")
    }

    fn question(&self) -> Option<Question> {
        let asked = [(self.dry_run, Question::DryRun), (self.diff, Question::Diff), (self.check, Question::Check)];
        asked.into_iter().find_map(|(asked, question)| asked.then_some(question))
    }

    fn options(self, settings: &Settings) -> generate::Options {
        generate::Options {
            question: self.question(),
            paths: self.paths,
            out: self.out,
            pack: self.pack,
            workers: settings.parallel_generation.workers,
            worker_timeout: settings.parallel_generation.worker_timeout,
            force: self.force,
            template_cache: template_cache(settings),
            monitoring: settings.monitoring.enabled,
            database: database(settings),
            format: self.format,
            fault: None,
        }
    }
}

impl CacheCommand {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Some(settings) = self.config.settle([("--database", "database.url", &self.args.database)]) else {
            return Ok(ExitCode::from(EXIT_USAGE));
        };
        let runner = actix_rt::System::with_tokio_rt(app::runtime);
        runner.block_on(cache::run(self.args, &database(&settings), template_cache(&settings)))
    }
}

impl DbCommand {
    fn run(self) -> anyhow::Result<ExitCode> {
        let Some(settings) = self.config.settle([("--database", "database.url", &self.args.database)]) else {
            return Ok(ExitCode::from(EXIT_USAGE));
        };
        Ok(app::runtime().block_on(db::run(self.args, &database(&settings)))?)
    }
}

/// The database for a command: none of them needs a connection that nobody uses.
fn database(settings: &Settings) -> Target {
    let wanted = &settings.database;
    Target {
        url: wanted.url.0.clone(),
        pool_size: 0,
        pool_max: u32::try_from(wanted.pool_max).unwrap_or(u32::MAX),
        command_timeout: wanted.command_timeout,
        ssl_mode: wanted.ssl_mode.map(|mode| mode.as_str().to_owned()),
        ssl_root_cert: wanted.ssl_root_cert.clone().map(PathBuf::from),
    }
}

fn template_cache(settings: &Settings) -> template_cache::Config {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let wanted = &settings.template_cache;
    template_cache::Config {
        enabled: wanted.enabled,
        templates_max: size(wanted.max_templates),
        bytes_max: size(wanted.max_size_mb << 20),
        ttl: wanted.ttl,
        persistence: wanted.enable_persistence,
    }
}

impl ConfigArgs {
    /// The settings that hold for a command with these flags of its own (name, key, value), with the log set up by them.
    /// None where they have faults, which are told.
    fn settle<const N: usize>(&self, flags: [(&str, &str, &Option<String>); N]) -> Option<Settings> {
        let flags = flags.into_iter().filter_map(|(name, key, value)| {
            Some(Flag { name: name.to_owned(), key: key.to_owned(), value: value.clone()? })
        });
        let loaded = self.load(flags.collect());
        tell(&loaded);
        if !loaded.faults.is_empty() {
            return None;
        }
        let logging = &loaded.settings.logging;
        app::init_log(logging.level.filter(), logging.format == config::LogFormat::Json);
        Some(loaded.settings)
    }

    /// Reads the configuration; `flags` of the command win over `--set`, and of two `--set` the later one wins.
    fn load(&self, mut flags: Vec<Flag>) -> Loaded {
        flags.extend(self.set.iter().rev().map(|text| Flag::set(text)));
        config::load(Sources {
            folder: PathBuf::new(),
            file: self.config.clone(),
            env_file: self.env_file.clone(),
            flags,
            variables: Variables::of_process(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }
}

impl ConfigCommand {
    fn run(self) -> std::io::Result<u8> {
        let (args, is_check) = match self {
            Self::Check(args) => (args, true),
            Self::Show(args) => (args, false),
        };
        let loaded = args.config.load(Vec::new());
        let is_right = loaded.faults.is_empty();
        let text = match (is_check, args.format) {
            (true, Format::Human) => loaded.verdict(),
            (true, Format::Json) => loaded.check_as_json(),
            // Of a configuration with faults nobody can say what is in force.
            (false, Format::Human) if !is_right => String::new(),
            (false, Format::Json) if !is_right => loaded.check_as_json(),
            (false, Format::Human) => loaded.settings_in_words(),
            (false, Format::Json) => loaded.settings_as_json(),
        };
        if !(args.format == Format::Json && (is_check || !is_right)) {
            tell(&loaded);
        }
        match std::io::stdout().write_all(text.as_bytes()) {
            // Whoever reads it had enough.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
        Ok(if is_right { EXIT_OK } else { EXIT_FAILED })
    }
}

/// What is wrong with the configuration, on standard error.
fn tell(loaded: &Loaded) {
    let colour = app::colour();
    for text in loaded.warnings_in_words(colour).iter().chain(&loaded.faults_in_words(colour)) {
        app::say(&format!("{text}\n"));
    }
}
