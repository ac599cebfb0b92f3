//! The file of a backup: plain SQL in gzip, so that the database's own program restores it too.
//!
//! ```text
//! -- omninode backup 1: postgresql, schema 9, full        what it is; then how to restore it, and BEGIN
//! -- omninode: functions                                  SQL
//! -- omninode: table NAME                                 CREATE TABLE
//! -- omninode: rows NAME                                  COPY ... FROM stdin and rows up to \.; or an INSERT on each line
//! -- omninode: after NAME ROWS                            constraints, indexes, triggers
//! -- omninode: view NAME                                  SQL
//! -- omninode: commit                                     COMMIT
//! -- omninode: end HASH                                   BLAKE3 of every line above
//! ```
//!
//! The marks are comments to the database's program. A file that was cut off has no COMMIT, so it restores nothing there either.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::super::Kind;
use super::{Counted, Fault};

const MARK: &str = "-- omninode: ";

/// How many bytes of rows are handed over at a time.
const CHUNK: usize = 256 * 1024;

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The newest migration that the database had.
    pub(super) version: i64,
    /// All tables.
    pub(super) full: bool,
}

impl Head {
    fn line(&self) -> String {
        let kind = if self.kind == Kind::Postgres { "postgresql" } else { "sqlite" };
        let extent = if self.full { "full" } else { "tables" };
        format!("-- omninode backup 1: {kind}, schema {}, {extent}\n", self.version)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("-- omninode backup 1: ")?.trim_end().split(", ");
        let kind = match words.next()? {
            "postgresql" => Kind::Postgres,
            "sqlite" => Kind::Sqlite,
            _ => return None,
        };
        let version = words.next()?.strip_prefix("schema ")?.parse().ok()?;
        Some(Self { kind, version, full: words.next()? == "full" })
    }

    fn beginning(&self) -> &'static str {
        match self.kind {
            Kind::Postgres => {
                "-- Restore it with: omninode db restore FILE\n\
                 -- or, where the tables are not there: gunzip -c FILE | psql -v ON_ERROR_STOP=1 DATABASE\n\n\
                 BEGIN;\nSET LOCAL client_encoding = 'UTF8';\nSET LOCAL standard_conforming_strings = on;\n\
                 SET LOCAL check_function_bodies = off;\n"
            }
            Kind::Sqlite => {
                "-- Restore it with: omninode db restore FILE\n\
                 -- or, where the tables are not there: gunzip -c FILE | sqlite3 -bail DATABASE\n\n\
                 PRAGMA foreign_keys = OFF;\nBEGIN IMMEDIATE;\n"
            }
        }
    }
}

pub(super) struct Writer {
    gzip: GzEncoder<BufWriter<File>>,
    sum: blake3::Hasher,
}

impl Writer {
    pub(super) fn new(file: File, head: &Head) -> io::Result<Self> {
        let gzip = GzEncoder::new(BufWriter::new(file), Compression::default());
        let mut writer = Self { gzip, sum: blake3::Hasher::new() };
        writer.bytes(head.line().as_bytes())?;
        writer.bytes(head.beginning().as_bytes())?;
        Ok(writer)
    }

    /// Whole lines.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.gzip.write_all(bytes)
    }

    /// What the text behind it is: `words` as in the head of this module.
    pub(super) fn mark(&mut self, words: &str, text: &str) -> io::Result<()> {
        self.bytes(format!("{MARK}{words}\n{text}").as_bytes())?;
        if text.is_empty() || text.ends_with('\n') { Ok(()) } else { self.bytes(b"\n") }
    }

    /// The end; the file is on the disk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.mark("commit", "COMMIT;\n")?;
        let end = format!("{MARK}end {}\n", self.sum.finalize().to_hex());
        self.gzip.write_all(end.as_bytes())?;
        let file = self.gzip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }
}

/// What a piece of the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Before the first mark: for the database's program only.
    Beginning,
    Functions,
    Table(String),
    /// PostgreSQL: the statement for the rows that follow.
    Copy(String),
    /// Some rows; of a table there are any number of such pieces, empty ones too.
    Rows(String),
    /// With the number of the table's rows.
    After(String, u64),
    View(String),
    Commit,
    End(String),
}

impl Mark {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_prefix(MARK)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match words.as_slice() {
            ["functions"] => Self::Functions,
            ["table", name] => Self::Table((*name).to_owned()),
            ["rows", name] => Self::Rows((*name).to_owned()),
            ["after", name, rows] => Self::After((*name).to_owned(), rows.parse().ok()?),
            ["view", name] => Self::View((*name).to_owned()),
            ["commit"] => Self::Commit,
            ["end", sum] => Self::End((*sum).to_owned()),
            _ => return None,
        })
    }
}

/// Reads a backup piece by piece.
pub(super) struct Reader {
    path: PathBuf,
    source: BufReader<GzDecoder<BufReader<File>>>,
    sum: blake3::Hasher,
    pub(super) head: Head,
    /// What comes next.
    mark: Mark,
    /// Between COPY and its end, where every line is a row.
    copying: bool,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let file = File::open(path).map_err(|error| Fault::of_file("cannot read", path, &error))?;
        let mut source = BufReader::with_capacity(CHUNK, GzDecoder::new(BufReader::new(file)));
        let (mut line, mut sum) = (Vec::new(), blake3::Hasher::new());
        // No other text has a first line that goes on for ever.
        let read = io::Read::take(&mut source, 1_000).read_until(b'\n', &mut line);
        let head = read.ok().and_then(|_| Head::parse(std::str::from_utf8(&line).ok()?));
        let head = head.ok_or_else(|| {
            let file = path.display();
            Fault::Refused(format!(
                "{file} is no backup that `omninode db backup` wrote; a dump of pg_dump is restored by `psql -v \
                 ON_ERROR_STOP=1 -f FILE` (`gunzip` it first if need be)"
            ))
        })?;
        sum.update(&line);
        Ok(Self { path: path.to_owned(), source, sum, head, mark: Mark::Beginning, copying: false })
    }

    fn damaged(&self, how: &dyn std::fmt::Display) -> Fault {
        Fault::Refused(format!("{} is damaged ({how}); restore another backup", self.path.display()))
    }

    /// The next piece; none behind the end, which is only reached if the sum is right.
    pub(super) fn next(&mut self) -> Result<Option<(Mark, Vec<u8>)>, Fault> {
        let mut text = Vec::new();
        if matches!(self.mark, Mark::End(_)) {
            return Ok(None);
        }
        loop {
            let start = text.len();
            let read = self.source.read_until(b'\n', &mut text);
            if read.map_err(|error| self.damaged(&error))? == 0 {
                return Err(self.damaged(&"its end is missing"));
            }
            let line = &text[start..];
            if self.copying {
                self.sum.update(line);
                if line == b"\\.\n" {
                    self.copying = false;
                    text.truncate(start);
                    return Ok(Some((self.mark.clone(), text)));
                }
            } else if let Some(mark) = Mark::parse(line) {
                match &mark {
                    Mark::End(sum) if *sum != self.sum.finalize().to_hex().as_str() => {
                        return Err(self.damaged(&"its checksum is another"));
                    }
                    Mark::End(_) => {}
                    _ => drop(self.sum.update(line)),
                }
                text.truncate(start);
                return Ok(Some((std::mem::replace(&mut self.mark, mark), text)));
            } else {
                self.sum.update(line);
                if let (Mark::Rows(name), Kind::Postgres) = (&self.mark, self.head.kind) {
                    self.copying = true;
                    return Ok(Some((Mark::Copy(name.clone()), text)));
                }
            }
            if matches!(self.mark, Mark::Rows(_)) && text.len() >= CHUNK {
                return Ok(Some((self.mark.clone(), text)));
            }
        }
    }

    /// The next of the rows that follow the statement that was read last.
    pub(super) fn rows(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        if !self.copying {
            return Ok(None);
        }
        self.next().map(|piece| piece.map(|(_, rows)| rows))
    }

    /// Reads the file to its end: what it is and holds, if nothing of it is missing or changed.
    pub(super) fn check(path: &Path) -> Result<(Head, Vec<Counted>), Fault> {
        let mut reader = Self::open(path)?;
        let mut tables = Vec::new();
        while let Some((mark, _)) = reader.next()? {
            if let Mark::After(name, rows) = mark {
                tables.push(Counted { name, rows });
            }
        }
        Ok((reader.head, tables))
    }
}
