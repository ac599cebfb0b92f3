//! Backups: everything that is in the tables, as one transaction sees it while others write, in a file that the database's
//! own program restores too; and back.
//!
//! The schema in the file is the one that the database states, not that of this program: a backup from before an update is
//! restored as it was, and migrated then. A backup counts once it was restored: into a schema that is never committed
//! (PostgreSQL), or a file that is thrown away (SQLite), where the rows of each table are counted.

mod file;
mod postgres;
mod sqlite;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::migrations::{Applied, POSTGRES, SQLITE};
use super::{Kind, SCHEMA_VERSION, Target};
use file::Reader;

/// Why there is no backup, or nothing was restored: the database cannot be used, or it or the file is not as it must be.
#[derive(Debug)]
pub enum Fault {
    Database(String),
    Refused(String),
}

impl Fault {
    fn of_file(what: &str, path: &Path, error: &dyn fmt::Display) -> Self {
        Self::Refused(format!("{what} {}: {error}", path.display()))
    }
}

/// A table, and how many rows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub name: String,
    pub rows: u64,
}

/// A backup that was written.
#[derive(Debug, Serialize)]
pub struct Saved {
    pub path: PathBuf,
    pub bytes: u64,
    pub tables: Vec<Counted>,
    /// Why it could not be restored for a check; none where it was.
    pub unverified: Option<String>,
}

/// The tables whose rows say the same in another way are saved and restored with them.
const COMPANIONS: [(&str, &str); 3] = [
    ("event_processing_metrics", "event_processing_hourly"),
    ("generation_performance_metrics", "generation_performance_hourly"),
    ("template_cache_metadata", "template_cache_reports"),
];

/// The tables of ours that are asked for, in the order of their creation; all where none is named.
fn chosen(asked: &[String]) -> Result<Vec<&'static str>, Fault> {
    let tables = POSTGRES.tables();
    if let Some(unknown) = asked.iter().find(|name| !tables.contains(&name.as_str())) {
        return Err(Fault::Refused(format!("there is no table `{unknown}`; the tables are {}", tables.join(", "))));
    }
    let is_asked = |name: &str| asked.iter().any(|asked| asked == name);
    let wanted = |name: &&str| {
        let leader = COMPANIONS.iter().find(|(_, companion)| companion == name).map(|(leader, _)| *leader);
        asked.is_empty() || is_asked(name) || leader.is_some_and(is_asked)
    };
    Ok(tables.into_iter().filter(wanted).collect())
}

/// The version of a database that can be saved: it is known here, and none of the tables is missing that it says to have.
fn version_of(target: &Target, applied: &Applied, wanted: &[&str], there: &[&str], full: bool) -> Result<i64, Fault> {
    let (database, version) = (target.shown(), applied.versions.iter().copied().max());
    let Some(version) = version else {
        return Err(Fault::Refused(format!("{database} has no tables of omninode; `omninode db migrate` makes them")));
    };
    if version > SCHEMA_VERSION {
        return Err(Fault::Refused(format!(
            "{database} has version {version} of the schema, and this program knows {SCHEMA_VERSION}: it would miss what is \
             new; use a newer omninode"
        )));
    }
    let of_version = POSTGRES.tables_of(&applied.versions);
    let lost = |name: &&&str| !there.contains(*name) && (!full || of_version.contains(*name));
    match wanted.iter().find(lost) {
        // Old backups must not go in favour of one that lacks it.
        Some(lost) => Err(Fault::Refused(format!(
            "{database} has no table `{lost}`; bring it back (`omninode db restore latest --tables {lost}`), or name the \
             tables to save with --tables"
        ))),
        None => Ok(version),
    }
}

impl Target {
    /// What backups of this database begin their names with: the name of the database, or of its file.
    ///
    /// # Errors
    /// The URL names no database.
    pub fn name(&self) -> Result<String, String> {
        let name = match self.kind()? {
            Kind::Postgres => super::postgres::Server::of(self)?.database().to_owned(),
            Kind::Sqlite => {
                let file = super::sqlite::file_of(self.url.reveal())?;
                file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
        };
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        Ok(name.trim_start_matches('.').chars().map(plain).collect())
    }
}

/// Writes a backup of these tables (all where none is named) to `path`, which must not be there yet: it appears whole.
///
/// # Errors
/// Nothing is there then.
pub async fn save(target: &Target, tables: &[String], path: &Path) -> Result<Saved, Fault> {
    let kind = target.kind().map_err(Fault::Refused)?;
    let wanted = chosen(tables)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unwritten = |error: std::io::Error| Fault::of_file("cannot write", path, &error);
    // For its owner's eyes only; gone if this ends with an error.
    let file = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix(".tmp").tempfile_in(folder);
    let file = file.map_err(unwritten)?;
    let handle = file.as_file().try_clone().map_err(unwritten)?;
    let full = tables.is_empty();
    let unverified = match kind {
        Kind::Postgres => {
            postgres::write(target, &wanted, full, handle, &unwritten).await?;
            postgres::verify(target, file.path()).await?
        }
        Kind::Sqlite => {
            sqlite::write(target, &wanted, full, handle, &unwritten).await?;
            sqlite::verify(folder, file.path()).await?;
            None
        }
    };
    let (_, tables) = Reader::check(file.path())?;
    file.persist_noclobber(path).map_err(|error| unwritten(error.error))?;
    let bytes = path.metadata().map_err(unwritten)?.len();
    // The name is on the disk too.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritten)?;
    Ok(Saved { path: path.to_owned(), bytes, tables, unverified })
}

/// How something is restored.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// These tables only; all of the backup where none is named.
    pub tables: &'a [String],
    /// Rows that are there are replaced.
    pub clean: bool,
}

/// Restores a backup, in one transaction; the tables, with the rows that they have now.
///
/// # Errors
/// Nothing was changed, unless the message says so.
pub async fn restore(target: &Target, path: &Path, wish: Wish<'_>) -> Result<Vec<Counted>, Fault> {
    let (head, there) = Reader::check(path)?;
    let kind = target.kind().map_err(Fault::Refused)?;
    let file = path.display();
    if head.kind != kind {
        let [of, other] = if kind == Kind::Sqlite { ["PostgreSQL", "SQLite"] } else { ["SQLite", "PostgreSQL"] };
        return Err(Fault::Refused(format!("{file} is of {of}, and {} is {other}; name another", target.shown())));
    }
    if head.version > SCHEMA_VERSION {
        let version = head.version;
        return Err(Fault::Refused(format!(
            "{file} has version {version} of the schema, and this program knows {SCHEMA_VERSION}; use a newer omninode"
        )));
    }
    let wanted: Vec<&'static str> =
        chosen(wish.tables)?.into_iter().filter(|name| there.iter().any(|table| table.name == *name)).collect();
    let missing = |asked: &&String| !wanted.contains(&asked.as_str());
    if let Some(missing) = wish.tables.iter().find(missing) {
        return Err(Fault::Refused(format!("{file} does not hold the table `{missing}`")));
    }
    let plan =
        Plan { path, whole: head.full && wish.tables.is_empty(), wanted, version: head.version, clean: wish.clean };
    match kind {
        Kind::Postgres => postgres::restore(target, &plan).await,
        Kind::Sqlite => sqlite::restore(target, &plan).await,
    }
}

/// What is to be restored from where.
struct Plan<'a> {
    path: &'a Path,
    /// The whole database, with its schema.
    whole: bool,
    wanted: Vec<&'static str>,
    version: i64,
    clean: bool,
}

impl Plan<'_> {
    /// The tables of which nothing may be left.
    fn replaced(&self) -> Vec<&'static str> {
        if self.whole { SQLITE.tables() } else { self.wanted.clone() }
    }

    /// Those tables hold rows already.
    fn occupied(&self, target: &Target, tables: &[&str]) -> Result<(), Fault> {
        if tables.is_empty() || self.clean {
            return Ok(());
        }
        let (database, tables) = (target.shown(), tables.join(", "));
        Err(Fault::Refused(format!(
            "{database} holds rows in {tables}; --clean replaces them, --tables LIST restores other tables only"
        )))
    }

    /// A part fits only beside tables of the same version.
    fn fits(&self, newest: Option<i64>) -> Result<(), Fault> {
        if self.whole || newest == Some(self.version) {
            return Ok(());
        }
        let (file, here) = (self.path.display(), newest.unwrap_or_default());
        Err(Fault::Refused(format!(
            "{file} has version {} of the schema, and the database version {here}; restore it whole into a database of its \
             own, run `omninode db migrate` there, and take the tables from it",
            self.version
        )))
    }
}
