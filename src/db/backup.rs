//! `omninode db backup` and `db restore`: which file, how long it is kept, and what is told. Neither asks anything, so that
//! they run from cron.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;

use super::json;
use crate::app::say;
use crate::storage::Target;
use crate::storage::backup::{self, Counted, Fault, Saved, Wish};
use crate::summary::{Format, count};

/// Where backups go, if nobody says.
const FOLDER: &str = ".omninode/backups";

#[derive(Args)]
pub(super) struct BackupArgs {
    /// The folder of the backups; made where it is not there.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// After the backup, delete those of this database in DIR that are older, such as 30d or 2weeks.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    keep: Option<Duration>,
    /// These tables only, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    tables: Vec<String>,
}

#[derive(Args)]
pub(super) struct RestoreArgs {
    /// A backup, or `latest`: the newest whole one of this database in DIR.
    #[arg(value_name = "FILE|latest")]
    file: PathBuf,
    /// Where `latest` is looked for.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// Replace rows that are there; without it they are a reason to refuse.
    #[arg(long)]
    clean: bool,
    /// These tables of the backup only, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    tables: Vec<String>,
}

/// What a backup's name says: `NAME_20261124_020000.sql.gz`; of some tables only, `..._tables.sql.gz`.
#[derive(Debug, PartialEq, Eq)]
struct Dated {
    at: SystemTime,
    whole: bool,
}

impl Dated {
    /// The name of one made now: UTC, so that no hour comes twice a year.
    fn name(database: &str, at: SystemTime, whole: bool) -> String {
        let at = humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':', 'Z'], "").replace('T', "_");
        format!("{database}_{at}{}.sql.gz", if whole { "" } else { "_tables" })
    }

    /// None of a file that is not a backup of this database.
    fn parse(database: &str, name: &str) -> Option<Self> {
        let words = name.strip_prefix(database)?.strip_prefix('_')?.strip_suffix(".sql.gz")?;
        let (words, whole) = words.strip_suffix("_tables").map_or((words, true), |words| (words, false));
        let is_date = |(place, byte): (usize, u8)| if place == 8 { byte == b'_' } else { byte.is_ascii_digit() };
        if words.len() != 15 || !words.bytes().enumerate().all(is_date) {
            return None;
        }
        let part = |from: usize, length: usize| &words[from..from + length];
        let (year, month, day) = (part(0, 4), part(4, 2), part(6, 2));
        let (hour, minute, second) = (part(9, 2), part(11, 2), part(13, 2));
        let at = humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()?;
        Some(Self { at, whole })
    }
}

/// The backups of a database in a folder; those that were never finished with them, under their hidden names.
fn backups(folder: &Path, database: &str) -> std::io::Result<Vec<(PathBuf, Dated, bool)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let unfinished = name.strip_prefix('.').filter(|name| name.ends_with(".tmp"));
        let finished = unfinished.map_or(name, |name| &name[..name.find(".sql.gz").map_or(0, |at| at + 7)]);
        let dated = Dated::parse(database, finished);
        let is_unfinished = unfinished.is_some();
        found.extend(dated.filter(|_| path.is_file()).map(|dated| (path, dated, is_unfinished)));
    }
    Ok(found)
}

#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    saved: Saved,
    /// Older backups that went.
    deleted: Vec<PathBuf>,
}

/// Makes a backup and, only then, deletes old ones; one line.
pub(super) async fn save(target: &Target, args: &BackupArgs, format: Format) -> Result<String, Fault> {
    let database = target.name().map_err(Fault::Refused)?;
    let folder = &args.dir;
    let mut made = std::fs::DirBuilder::new();
    let made = made.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Fault::Refused(format!("cannot create {}: {error}", folder.display())))?;
    let now = SystemTime::now();
    let path = folder.join(Dated::name(&database, now, args.tables.is_empty()));
    let saved = backup::save(target, &args.tables, &path).await?;
    if let Some(why) = &saved.unverified {
        say(&format!("warning: the backup was not restored for a check: {why}"));
    }
    let mut deleted = Vec::new();
    if let Some(keep) = args.keep {
        let old = backups(folder, &database).unwrap_or_default().into_iter();
        let old = old.filter(|(path, dated, _)| *path != saved.path && dated.at + keep < now);
        for (path, ..) in old {
            match std::fs::remove_file(&path) {
                Ok(()) => deleted.push(path),
                Err(error) => say(&format!("warning: cannot delete {}: {error}", path.display())),
            }
        }
        deleted.sort();
    }
    let done = Done { saved, deleted };
    Ok(match format {
        Format::Json => json(&done),
        Format::Human => format!("Backup completed: {}\n", done.saved.path.display()),
    })
}

#[derive(Serialize)]
struct Restored {
    path: PathBuf,
    database: String,
    tables: Vec<Counted>,
}

/// Restores a backup; a line for each table.
pub(super) async fn restore(target: &Target, args: &RestoreArgs, format: Format) -> Result<String, Fault> {
    let path = match args.file.to_str() {
        Some("latest") => latest(target, &args.dir)?,
        _ => args.file.clone(),
    };
    let tables = backup::restore(target, &path, Wish { tables: &args.tables, clean: args.clean }).await?;
    let restored = Restored { path, database: target.shown(), tables };
    if format == Format::Json {
        return Ok(json(&restored));
    }
    let lines: String =
        restored.tables.iter().map(|table| format!("  {:<32} {}\n", table.name, count(table.rows, "row"))).collect();
    Ok(format!("Restore completed: {} into {}\n{lines}", restored.path.display(), restored.database))
}

fn latest(target: &Target, folder: &Path) -> Result<PathBuf, Fault> {
    let database = target.name().map_err(Fault::Refused)?;
    let found = backups(folder, &database);
    let found = found.map_err(|error| Fault::Refused(format!("cannot read {}: {error}", folder.display())))?;
    let whole = found.into_iter().filter(|(_, dated, unfinished)| dated.whole && !unfinished);
    let newest = whole.max_by_key(|(_, dated, _)| dated.at).map(|(path, ..)| path);
    newest.ok_or_else(|| {
        Fault::Refused(format!(
            "{} holds no backup {database}_DATE_TIME.sql.gz; name a file or --dir",
            folder.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_of_what_and_other_files_say_nothing() {
        let at = humantime::parse_rfc3339("2026-11-24T02:00:03Z").unwrap();
        assert_eq!(Dated::name("omninode_bridge", at, true), "omninode_bridge_20261124_020003.sql.gz");
        for whole in [true, false] {
            let name = Dated::name("omninode", at, whole);
            assert_eq!(Dated::parse("omninode", &name), Some(Dated { at, whole }));
        }
        for other in [
            "omninode_bridge_20261124_020003.sql.gz",
            "omninode_20261124_020003.sql",
            "omninode_20261124-020003.sql.gz",
            "omninode_20261324_020003.sql.gz",
            "omninode_20261124_0200033.sql.gz",
            "omninode_2026112é_02000.sql.gz",
            "omninode_latest.sql.gz",
            "xomninode_20261124_020003.sql.gz",
        ] {
            assert_eq!(Dated::parse("omninode", other), None, "{other}");
        }
    }
}
