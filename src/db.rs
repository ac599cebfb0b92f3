//! `omninode db`: the database as its operator sees it.

mod backup;
mod figures;
mod grants;
mod upkeep;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{print, say};
use crate::diagnostics;
use crate::storage::backup::Fault;
use crate::storage::{Status, Store, Target};
use crate::summary::{Format, count, size};

use backup::{BackupArgs, RestoreArgs};

/// Exit codes: done, and nothing wants attention; refused; wrong command line; the database cannot be used, or not by
/// this user; something wants attention.
const EXIT_OK: u8 = 0;
const EXIT_REFUSED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_NO_DATABASE: u8 = 3;
const EXIT_ATTENTION: u8 = 4;

const EXIT_CODES: &str = "Exit codes: 0 done, and the schema is up to date; 1 `backup`, `restore`: refused, and nothing \
was changed; 2 wrong command line or configuration; 3 the database cannot be used, or the user lacks a right; 4 something \
wants attention: `status`: migrations are pending; `rollup`: figures differ from the rows; `connections`: there is no room \
for pool_max.";

#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub struct DbArgs {
    #[command(subcommand)]
    command: Command,
    /// The database [default: sqlite://.omninode/omninode.db; also from DATABASE_URL].
    #[arg(long, value_name = "URL", global = true)]
    pub database: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Human, global = true)]
    format: Format,
}

#[derive(Subcommand)]
enum Command {
    /// Create or update tables, views and functions. Twice does no harm; two at once wait for each other.
    Migrate,
    /// Tell the version of the schema, what is pending, tables with their rows and sizes, views, and the server.
    Status,
    /// Write a backup, consistent while others write: plain SQL in gzip, restored once for a check.
    Backup(BackupArgs),
    /// Restore a backup in one transaction.
    Restore(RestoreArgs),
    #[command(flatten)]
    Upkeep(upkeep::Command),
    #[command(flatten)]
    Figures(figures::Command),
    /// Print the SQL of the database's roles, or put it in force.
    Grants(grants::GrantsArgs),
}

/// Runs the command inside an async runtime.
///
/// # Errors
/// Standard output cannot be written.
pub async fn run(args: DbArgs, database: &Target) -> std::io::Result<ExitCode> {
    let format = args.format;
    let done = match args.command {
        Command::Migrate => migrate(database, format).await.map_err(Fault::Database),
        Command::Status => status(database, format).await.map_err(Fault::Database),
        Command::Backup(args) => backup::save(database, &args, format).await.map(|text| (text, EXIT_OK)),
        Command::Restore(args) => backup::restore(database, &args, format).await.map(|text| (text, EXIT_OK)),
        Command::Upkeep(command) => upkeep::run(command, database, format).await.map_err(Fault::Database),
        Command::Figures(command) => figures::run(command, database, format).await.map_err(Fault::Database),
        Command::Grants(grants) => grants::run(grants, database, format).await.map_err(Fault::Database),
    };
    let (text, code) = done.unwrap_or_else(|fault| {
        let (fault, code) = match fault {
            Fault::Database(fault) => (fault, EXIT_NO_DATABASE),
            Fault::Refused(fault) => (fault, EXIT_REFUSED),
        };
        say(&format!("error: {}", diagnostics::printable(&fault)));
        (String::new(), code)
    });
    print(text.as_bytes()).map(|()| ExitCode::from(code))
}

fn json(report: &impl Serialize) -> String {
    // Numbers and texts: they always have a JSON form.
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Migrated {
    database: String,
    /// Files, in order.
    applied: Vec<String>,
}

async fn migrate(database: &Target, format: Format) -> Result<(String, u8), String> {
    let migrated = Migrated { applied: Store::migrate(database).await?, database: database.shown() };
    let text = match format {
        Format::Json => json(&migrated),
        Format::Human if migrated.applied.is_empty() => format!("{}: the schema is up to date\n", migrated.database),
        Format::Human => {
            let lines: String = migrated.applied.iter().map(|file| format!("  {file}\n")).collect();
            format!("{}: applied\n{lines}", migrated.database)
        }
    };
    Ok((text, EXIT_OK))
}

async fn status(database: &Target, format: Format) -> Result<(String, u8), String> {
    let status = Store::status(database).await?;
    let pending = status.as_ref().is_none_or(|status| !status.pending.is_empty());
    let text = match (&status, format) {
        (None, Format::Human) => {
            format!("{}: there is no file yet; `omninode db migrate` makes it, and so does a run\n", database.shown())
        }
        (status, Format::Json) => json(status),
        (Some(status), Format::Human) => in_words(status),
    };
    Ok((text, if pending { EXIT_ATTENTION } else { EXIT_OK }))
}

fn in_words(status: &Status) -> String {
    let version = status.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    let pending = match status.pending.as_slice() {
        [] => "up to date".to_owned(),
        files => format!("pending: {} (`omninode db migrate`)", files.join(", ")),
    };
    let bytes = |bytes: i64| size(bytes.unsigned_abs());
    let mut text = format!(
        "Database: {}\nServer:   {}\nSchema:   version {version}, {pending}\nSize:     {}\n",
        status.database,
        status.server,
        bytes(status.bytes)
    );
    let width = status.tables.iter().map(|table| table.name.len()).max().unwrap_or_default();
    if width > 0 {
        text += &format!("\n{:<width$}  {:>12}  {:>10}\n", "table", "rows", "size");
    }
    for table in &status.tables {
        let rows = format!("{}{}", if table.estimated { "about " } else { "" }, table.rows);
        text += &format!("{:<width$}  {rows:>12}  {:>10}\n", table.name, bytes(table.bytes));
    }
    if !status.views.is_empty() {
        text += &format!("\n{}: {}\n", count(status.views.len() as u64, "view"), status.views.join(", "));
    }
    diagnostics::printable(&text)
}
