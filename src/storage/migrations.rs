//! The schema as files of the binary: numbered ones, each applied once, and one of views and functions, applied whenever it
//! is another than the database has. Every file may also be applied by hand (`psql -f`): what a database has is asked of the
//! database, never remembered elsewhere.

use std::collections::BTreeSet;

/// A file of `migrations/`.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl File {
    /// Its number, the first word of its name.
    pub(super) fn version(&self) -> i64 {
        self.name.split('_').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}

/// The files of one database.
pub(super) struct Files {
    /// In order.
    pub(super) numbered: &'static [File],
    pub(super) views: File,
}

macro_rules! files {
    ($folder:literal: $($name:literal),+) => {
        Files {
            numbered: &[$(File {
                name: $name,
                sql: include_str!(concat!("../../migrations/", $folder, "/", $name)),
            }),+],
            views: File { name: "views.sql", sql: include_str!(concat!("../../migrations/", $folder, "/views.sql")) },
        }
    };
}

pub(super) const SQLITE: Files = files!("sqlite":
    "0006_phase7_schema_enhancements.sql", "0007_template_cache_reports.sql", "0008_adopt_replaced_system.sql",
    "0009_hourly_rollups.sql");

pub(super) const POSTGRES: Files = files!("postgres":
    "0006_phase7_schema_enhancements.sql", "0007_template_cache_reports.sql", "0008_adopt_replaced_system.sql",
    "0009_hourly_rollups.sql");

/// The newest number that this program knows.
pub const SCHEMA_VERSION: i64 = 9;

/// Tables by which a version is known as ours: other programs number their migrations in a table of the same name.
pub(super) const SIGNS: [(i64, &str); 2] = [(7, "template_cache_reports"), (9, "event_processing_hourly")];

/// What a database says of its schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) versions: Vec<i64>,
    /// The revision of the views; none where they were never made.
    pub(super) revision: Option<i64>,
    /// Views of our file that are there.
    pub(super) views: usize,
    /// Which tables of [`SIGNS`] are there.
    pub(super) signs: Vec<String>,
}

impl Applied {
    /// Itself, unless a version that it notes is somebody else's: ours would never be applied.
    pub(super) fn ours(self) -> sqlx::Result<Self> {
        let is_there = |table: &str| self.signs.iter().any(|sign| sign == table);
        match SIGNS.iter().find(|(version, table)| self.versions.contains(version) && !is_there(table)) {
            None => Ok(self),
            Some((version, table)) => Err(sqlx::Error::Configuration(
                format!(
                    "schema_migrations holds a version {version} that is not omninode's: there is no table {table}; \
                     another program writes there, so give omninode a database of its own, or, if that program is gone, \
                     make a backup, `DELETE FROM schema_migrations WHERE version >= {version}` and run `omninode db \
                     migrate` (if the table was dropped: restore it from a backup)"
                )
                .into(),
            )),
        }
    }
}

impl Files {
    /// What has yet to be applied. Views of a newer program are left to it.
    pub(super) fn pending(&self, applied: &Applied) -> Vec<&File> {
        let mut pending: Vec<&File> =
            self.numbered.iter().filter(|file| !applied.versions.contains(&file.version())).collect();
        let stale = applied.revision.is_none_or(|revision| revision < self.revision());
        let newer = applied.revision.is_some_and(|revision| revision > self.revision());
        // A dropped table has taken its views along.
        if stale || !pending.is_empty() || (!newer && applied.views < self.views().len()) {
            pending.push(&self.views);
        }
        pending
    }

    /// The number that stands in the view `schema_views`: another one with every change of the file.
    pub(super) fn revision(&self) -> i64 {
        let after = self.views.sql.split_once("schema_views AS SELECT ").map_or("", |(_, after)| after);
        after.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    pub(super) fn views(&self) -> Vec<&'static str> {
        names(self.views.sql, &["CREATE OR REPLACE VIEW ", "CREATE VIEW "])
    }

    /// Of all files, each once.
    pub(super) fn functions(&self) -> BTreeSet<&'static str> {
        let files = self.numbered.iter().chain([&self.views]);
        files.flat_map(|file| names(file.sql, &["CREATE OR REPLACE FUNCTION ", "CREATE FUNCTION "])).collect()
    }

    pub(super) fn tables(&self) -> Vec<&'static str> {
        self.tables_of(&self.numbered.iter().map(File::version).collect::<Vec<_>>())
    }

    /// The tables that these versions make.
    pub(super) fn tables_of(&self, versions: &[i64]) -> Vec<&'static str> {
        self.numbered
            .iter()
            .filter(|file| versions.contains(&file.version()))
            .flat_map(|file| names(file.sql, &["CREATE TABLE IF NOT EXISTS ", "CREATE TABLE "]))
            .collect()
    }
}

/// The names that stand behind one of these words at the beginning of a line.
fn names(sql: &'static str, words: &[&str]) -> Vec<&'static str> {
    let name = |line: &'static str| words.iter().find_map(|word| line.trim_start().strip_prefix(word));
    let end = |c: char| !(c.is_alphanumeric() || c == '_');
    sql.lines().filter_map(name).filter_map(|rest| rest.split(end).next()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BOTH: [(&str, Files); 2] = [("sqlite", SQLITE), ("postgres", POSTGRES)];

    #[test]
    fn the_binary_holds_every_file_of_the_folders_and_nothing_else_is_there() {
        for (folder, files) in BOTH {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let there: BTreeSet<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let known = files.numbered.iter().chain([&files.views]).map(|file| file.name.to_owned()).collect();
            assert_eq!(there, known, "{}", folder.display());
        }
    }

    #[test]
    fn both_databases_have_the_same_files_tables_and_views() {
        let names = |files: &Files| files.numbered.iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(names(&SQLITE), names(&POSTGRES));
        assert_eq!(SQLITE.tables(), POSTGRES.tables());
        let views = |files: &Files| files.views().into_iter().collect::<BTreeSet<_>>();
        assert_eq!(views(&SQLITE), views(&POSTGRES));
        for (name, files) in BOTH {
            let versions: Vec<i64> = files.numbered.iter().map(File::version).collect();
            assert!(versions.is_sorted() && versions.last() == Some(&SCHEMA_VERSION), "{name}: {versions:?}");
            assert!(versions.first() == Some(&6) && files.revision() > 0, "{name}");
            assert!(views(&files).contains("schema_views"), "{name}");
        }
    }

    #[test]
    fn a_changed_file_of_views_has_another_revision() {
        // With each change: raise the number in `schema_views`, and put the new sum here.
        let sums = BOTH.map(|(_, files)| {
            let sum = blake3::hash(files.views.sql.as_bytes()).to_hex();
            format!("{} {}", files.revision(), &sum[..16])
        });
        assert_eq!(sums, VIEWS);
    }

    const VIEWS: [&str; 2] = ["1 6227c87fb3255b9b", "1 5b15842aa25e69fc"];

    #[test]
    fn a_version_is_ours_only_with_its_table() {
        for (version, table) in SIGNS {
            for files in [&SQLITE, &POSTGRES] {
                assert!(files.tables_of(&[version]).contains(&table), "{table}");
            }
            let noted = Applied { versions: vec![6, version], ..Applied::default() };
            let told = noted.clone().ours().unwrap_err().to_string();
            assert!(told.contains(&format!("holds a version {version} that is not omninode's")), "{told}");
            Applied { signs: vec![table.to_owned()], ..noted }.ours().unwrap();
        }
        Applied { versions: vec![6, 8, 10], ..Applied::default() }.ours().unwrap();
    }

    #[test]
    fn what_is_pending_follows_from_what_the_database_has() {
        let files = &POSTGRES;
        let all = Applied {
            versions: files.numbered.iter().map(File::version).collect(),
            revision: Some(files.revision()),
            views: files.views().len(),
            ..Applied::default()
        };
        let pending = |applied: &Applied| files.pending(applied).iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(pending(&Applied::default()).len(), files.numbered.len() + 1);
        assert_eq!(pending(&all), [""; 0]);
        assert_eq!(pending(&Applied { revision: Some(files.revision() - 1), ..all.clone() }), ["views.sql"]);
        assert_eq!(pending(&Applied { views: all.views - 1, ..all.clone() }), ["views.sql"]);
        let newer = Applied { versions: (1..1_000).collect(), revision: Some(1_000), ..Applied::default() };
        assert_eq!(pending(&newer), [""; 0], "of a newer program");
        let last = Applied { versions: vec![6], ..all };
        assert_eq!(pending(&last).first(), Some(&files.numbered[1].name));
    }
}
