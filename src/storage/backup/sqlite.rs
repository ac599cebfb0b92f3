//! Backups of an SQLite file: its tables as one read transaction sees them, as statements with their values in them.

use std::fs::File;
use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::super::Target;
use super::super::migrations::{Applied, SQLITE};
use super::super::sqlite::{SqliteStore, applied, connected, explain, file_of};
use super::file::{Head, Mark, Reader, Writer};
use super::{Counted, Fault, Plan};

/// How long a statement may get before the next row begins another one.
const STATEMENT: usize = 64 * 1024;

/// A value as SQL on one line: a text with a line feed (or a NUL, at which `quote` ends) as its bytes.
const VALUE: &str = "CASE WHEN typeof(@) = 'text' AND (instr(@, char(10)) OR instr(@, char(0))) \
    THEN 'CAST(' || quote(CAST(@ AS BLOB)) || ' AS TEXT)' ELSE quote(@) END";

/// A file, and its errors in words.
struct Session<'a> {
    connection: SqliteConnection,
    file: &'a Path,
}

impl<'a> Session<'a> {
    async fn of(file: &'a Path, create: bool) -> Result<Self, Fault> {
        let connection = connected(file, create).await.map_err(Fault::Database)?;
        Ok(Self { connection, file })
    }

    fn told(&self, error: &sqlx::Error) -> Fault {
        Fault::Database(explain(self.file, error))
    }

    async fn run(&mut self, sql: impl Into<String>) -> Result<(), Fault> {
        let ran = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut self.connection).await;
        ran.map(drop).map_err(|error| self.told(&error))
    }

    async fn rows(&mut self, table: &str) -> Result<u64, Fault> {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut self.connection).await.map_err(|e| self.told(&e))?;
        Ok(rows.unsigned_abs())
    }

    /// What the file holds of this type and table, as name and statement.
    async fn schema(&mut self, kind: &str, table: &str) -> Result<Vec<(String, String)>, Fault> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = ? AND (tbl_name = ? OR type = 'view') \
                   AND sql IS NOT NULL ORDER BY rowid";
        let found = sqlx::query_as(sql).bind(kind).bind(table).fetch_all(&mut self.connection).await;
        found.map_err(|error| self.told(&error))
    }

    async fn existing(&mut self, tables: &[&'static str]) -> Result<Vec<&'static str>, Fault> {
        let mut there = Vec::new();
        for table in tables.iter().copied() {
            if !self.schema("table", table).await?.is_empty() {
                there.push(table);
            }
        }
        Ok(there)
    }

    async fn applied(&mut self) -> Result<Applied, Fault> {
        applied(&mut self.connection).await.map_err(|error| self.told(&error))
    }

    async fn newest(&mut self) -> Result<Option<i64>, Fault> {
        Ok(self.applied().await?.versions.into_iter().max())
    }

    /// Those that hold rows.
    async fn filled(&mut self, tables: &[&'static str]) -> Result<Vec<&'static str>, Fault> {
        let mut filled = Vec::new();
        for table in tables.iter().copied().filter(|table| *table != "schema_migrations") {
            if self.rows(&format!("(SELECT 1 FROM {table} LIMIT 1) AS first")).await? > 0 {
                filled.push(table);
            }
        }
        Ok(filled)
    }

    /// To be asked before a file is left: the last who closes it folds the log into it.
    async fn close(self) {
        let _ = self.connection.close().await;
    }
}

fn named(target: &Target) -> Result<std::path::PathBuf, Fault> {
    file_of(target.url.reveal()).map_err(Fault::Refused)
}

/// Writes these tables as one read transaction has them.
pub(super) async fn write(
    target: &Target,
    wanted: &[&'static str],
    full: bool,
    file: File,
    unwritten: &dyn Fn(std::io::Error) -> Fault,
) -> Result<(), Fault> {
    let path = named(target)?;
    if !path.exists() {
        return Err(Fault::Database(format!("{}: there is no file", target.shown())));
    }
    let mut session = Session::of(&path, false).await?;
    // From the first look on it sees one state; who writes goes on beside it.
    session.run("BEGIN").await?;
    let tables = session.existing(wanted).await?;
    let applied = session.applied().await?;
    let version = super::version_of(target, &applied, wanted, &tables, full)?;
    let mut out = Writer::new(file, &Head { kind: super::Kind::Sqlite, version, full }).map_err(unwritten)?;
    for table in &tables {
        write_table(&mut session, table, &mut out, unwritten).await?;
    }
    // A dropped table leaves its views where they are.
    let views = if full { session.schema("view", "").await? } else { Vec::new() };
    for (name, sql) in views.iter().filter(|(name, _)| SQLITE.views().contains(&name.as_str())) {
        let sql = format!("DROP VIEW IF EXISTS {name};\n{sql};");
        out.mark(&format!("view {name}"), &sql).map_err(unwritten)?;
    }
    session.run("COMMIT").await?;
    session.close().await;
    out.finish().map_err(unwritten)
}

async fn write_table(
    session: &mut Session<'_>,
    table: &str,
    out: &mut Writer,
    unwritten: &dyn Fn(std::io::Error) -> Fault,
) -> Result<(), Fault> {
    let made: String = session.schema("table", table).await?.into_iter().map(|(_, sql)| sql + ";\n").collect();
    out.mark(&format!("table {table}"), &made).map_err(unwritten)?;
    out.mark(&format!("rows {table}"), "").map_err(unwritten)?;
    let columns = sqlx::query_scalar("SELECT name FROM pragma_table_info(?) ORDER BY cid").bind(table);
    let columns: Vec<String> =
        columns.fetch_all(&mut session.connection).await.map_err(|error| session.told(&error))?;
    let columns: Vec<String> = columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let values: Vec<String> = columns.iter().map(|name| VALUE.replace('@', name)).collect();
    let select = format!("SELECT '(' || {} || ')' FROM {table}", values.join(" || ',' || "));
    let insert = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
    let (mut statement, mut written) = (String::new(), 0);
    {
        let file = session.file;
        let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(select)).fetch(&mut session.connection);
        while let Some(row) = rows.try_next().await.map_err(|error| Fault::Database(explain(file, &error)))? {
            statement.push_str(if statement.is_empty() { &insert } else { "," });
            statement.push_str(&row);
            written += 1;
            if statement.len() >= STATEMENT {
                statement.push_str(";\n");
                out.bytes(statement.as_bytes()).map_err(unwritten)?;
                statement.clear();
            }
        }
    }
    if !statement.is_empty() {
        out.bytes(format!("{statement};\n").as_bytes()).map_err(unwritten)?;
    }
    let rows = session.rows(table).await?;
    if rows != written {
        return Err(Fault::Database(format!("{table} has {rows} rows, and {written} were read; try again")));
    }
    let mut completed = String::new();
    for kind in ["index", "trigger"] {
        completed.extend(session.schema(kind, table).await?.into_iter().map(|(_, sql)| sql + ";\n"));
    }
    out.mark(&format!("after {table} {rows}"), &completed).map_err(unwritten)
}

/// Restores a backup into a file that is thrown away; its name begins with that of the backup, as whoever is killed here
/// leaves it to the next who deletes old ones.
pub(super) async fn verify(folder: &Path, path: &Path) -> Result<(), Fault> {
    let name = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let scratch = tempfile::Builder::new().prefix(&name).suffix(".tmp").tempfile_in(folder);
    let scratch = scratch.map_err(|error| Fault::of_file("cannot write in", folder, &error))?;
    let file = scratch.path();
    let mut session = Session::of(file, false).await?;
    session.run("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN").await?;
    let loaded = load(&mut session, path, |_| true).await;
    session.close().await;
    let because = |fault| match fault {
        Fault::Database(told) | Fault::Refused(told) => {
            Fault::Database(format!("the backup cannot be restored: {told}"))
        }
    };
    loaded.map(drop).map_err(because)
}

/// Runs a backup, as `sqlite3` would, in the transaction of the session; the tables with the rows that they have then.
async fn load(session: &mut Session<'_>, path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<Counted>, Fault> {
    let mut reader = Reader::open(path)?;
    let mut loaded = Vec::new();
    while let Some((mark, text)) = reader.next()? {
        let sql = String::from_utf8(text).map_err(|_| Fault::Refused("the backup is not UTF-8".to_owned()))?;
        match mark {
            Mark::Table(name) | Mark::Rows(name) if wanted(&name) => session.run(sql).await?,
            Mark::After(name, expected) if wanted(&name) => {
                session.run(sql).await?;
                let rows = session.rows(&name).await?;
                if rows != expected {
                    let fault = format!("{name} has {rows} rows, and the backup {expected}");
                    return Err(Fault::Database(fault));
                }
                loaded.push(Counted { name, rows });
            }
            Mark::View(_) => session.run(sql).await?,
            _ => {}
        }
    }
    Ok(loaded)
}

/// Replaces what the plan says in one transaction, then brings the schema up to date.
pub(super) async fn restore(target: &Target, plan: &Plan<'_>) -> Result<Vec<Counted>, Fault> {
    let file = named(target)?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| Fault::of_file("cannot create", folder, &error))?;
    }
    if !plan.whole && !file.exists() {
        SqliteStore::migrate_file(target.url.reveal()).await.map_err(Fault::Database)?;
    }
    let mut session = Session::of(&file, true).await?;
    session.run("BEGIN IMMEDIATE").await?;
    plan.fits(session.newest().await?)?;
    let replaced = session.existing(&plan.replaced()).await?;
    plan.occupied(target, &session.filled(&replaced).await?)?;
    for table in replaced {
        session.run(format!("DROP TABLE {table}")).await?;
    }
    let loaded = load(&mut session, plan.path, |table| plan.wanted.contains(&table)).await?;
    session.run("COMMIT").await?;
    session.close().await;
    let migrated = SqliteStore::migrate_file(target.url.reveal()).await;
    migrated
        .map_err(|fault| Fault::Database(format!("the rows are restored, the schema is not up to date: {fault}")))?;
    Ok(loaded)
}
