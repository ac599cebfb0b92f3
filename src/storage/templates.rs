//! The table `template_cache_metadata`: figures of templates over all runs, added up report by report.

use std::collections::{BTreeMap, BTreeSet};

use actors::metric::{TemplateRow, milliseconds};
use sqlx::postgres::PgPool;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::sqlite::STATEMENT_ROWS_MAX;
use super::{storable, unix_seconds};

/// A row of the table.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StoredTemplate {
    /// `PACK/TEMPLATE`.
    pub template_name: String,
    pub template_type: String,
    /// `embedded:PACK/TEMPLATE`, or the path of its file.
    pub file_path: String,
    pub file_hash: String,
    pub size_bytes: i64,
    pub load_time_ms: f64,
    pub access_count: i64,
    pub cache_hits: i64,
    pub cache_misses: i64,
    /// UTC, `YYYY-MM-DD HH:MM:SS.SSS`.
    pub last_accessed_at: Option<String>,
    /// Since the last report, by the database's clock.
    pub age_seconds: f64,
}

/// For how many days the id of a report is kept.
pub(super) const REPORTS_KEPT_DAYS: u32 = 30;

/// Adds reports to the rows of their templates, each once: `template_cache_reports` holds the ids of those that were
/// added within the last [`REPORTS_KEPT_DAYS`], so that one that is sent again after a commit of which nobody knows how
/// it ended is found there. (The network may be away for long between two tries.)
pub(super) async fn add(connection: &mut SqliteConnection, reports: &[&TemplateRow]) -> sqlx::Result<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let mut claimed = Vec::new();
    for chunk in reports.chunks(STATEMENT_ROWS_MAX) {
        claimed.extend(claim(connection, chunk).await?);
    }
    let sums = sums(reports, claimed.iter().filter_map(|id| Uuid::parse_str(id).ok()));
    for chunk in sums.chunks(STATEMENT_ROWS_MAX) {
        upsert(connection, chunk).await?;
    }
    sqlx::query("DELETE FROM template_cache_reports WHERE applied_at < strftime('%Y-%m-%d %H:%M:%f', 'now', ?)")
        .bind(format!("-{REPORTS_KEPT_DAYS} days"))
        .execute(connection)
        .await
        .map(drop)
}

/// Takes note of reports; the ids of those that are new.
async fn claim(connection: &mut SqliteConnection, reports: &[&TemplateRow]) -> sqlx::Result<Vec<String>> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO template_cache_reports (id) ");
    insert.push_values(reports, |mut values, report| {
        values.push_bind(report.id.to_string());
    });
    insert.push(" ON CONFLICT (id) DO NOTHING RETURNING id");
    insert.build_query_scalar().persistent(false).fetch_all(connection).await
}

/// The reports that are `claimed`, each once, as one row for each template in the order of their names: PostgreSQL refuses
/// a statement that would change a row twice, and two writers that go through them in one order cannot block each other.
pub(super) fn sums(reports: &[&TemplateRow], claimed: impl IntoIterator<Item = Uuid>) -> Vec<TemplateRow> {
    let mut claimed: BTreeSet<Uuid> = claimed.into_iter().collect();
    let mut sums: BTreeMap<&str, TemplateRow> = BTreeMap::new();
    for report in reports.iter().filter(|report| claimed.remove(&report.id)) {
        let before = sums.remove(&*report.name);
        sums.insert(&report.name, before.map_or_else(|| (*report).clone(), |before| sum(&before, report)));
    }
    sums.into_values().collect()
}

/// Two reports of one template, the second being the newer one.
fn sum(one: &TemplateRow, other: &TemplateRow) -> TemplateRow {
    TemplateRow {
        hits: one.hits + other.hits,
        misses: one.misses + other.misses,
        last_accessed: one.last_accessed.max(other.last_accessed),
        ..other.clone()
    }
}

async fn upsert(connection: &mut SqliteConnection, rows: &[TemplateRow]) -> sqlx::Result<()> {
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO template_cache_metadata (id, template_name, template_type, cache_key, file_path, file_hash, \
         size_bytes, load_time_ms, access_count, cache_hits, cache_misses, last_accessed_at) ",
    );
    insert.push_values(rows, |mut values, row| {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        values
            .push_bind(row.id.to_string())
            .push_bind(storable(&row.name).into_owned())
            .push_bind(storable(&row.kind).into_owned())
            .push_bind(storable(&row.name).into_owned())
            .push_bind(storable(&row.file).into_owned())
            .push_bind(storable(&row.hash).into_owned())
            .push_bind(count(row.bytes))
            .push_bind(milliseconds(row.load_time))
            .push_bind(count(row.hits + row.misses))
            .push_bind(count(row.hits))
            .push_bind(count(row.misses))
            .push("strftime('%Y-%m-%d %H:%M:%f', ")
            .push_bind_unseparated(row.last_accessed.map(unix_seconds))
            .push_unseparated(", 'unixepoch')");
    });
    insert.push(
        " ON CONFLICT (template_name) DO UPDATE SET \
         template_type = excluded.template_type, file_path = excluded.file_path, file_hash = excluded.file_hash, \
         size_bytes = excluded.size_bytes, load_time_ms = excluded.load_time_ms, \
         access_count = template_cache_metadata.access_count + excluded.access_count, \
         cache_hits = template_cache_metadata.cache_hits + excluded.cache_hits, \
         cache_misses = template_cache_metadata.cache_misses + excluded.cache_misses, \
         last_accessed_at = coalesce(max(template_cache_metadata.last_accessed_at, excluded.last_accessed_at), \
         excluded.last_accessed_at, template_cache_metadata.last_accessed_at), \
         updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now')",
    );
    insert.build().persistent(false).execute(connection).await.map(drop)
}

/// The figures of all templates, by name; none in a file that no run has made its own yet.
pub(super) async fn of_sqlite(pool: &SqlitePool) -> sqlx::Result<Vec<StoredTemplate>> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = 'template_cache_metadata'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(pool).await? == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT template_name, template_type, file_path, file_hash, coalesce(size_bytes, 0) AS size_bytes, \
         coalesce(load_time_ms, 0.0) AS load_time_ms, access_count, cache_hits, cache_misses, last_accessed_at, \
         (julianday('now') - julianday(updated_at)) * 86400.0 AS age_seconds \
         FROM template_cache_metadata ORDER BY template_name",
    )
    .fetch_all(pool)
    .await
}

/// As [`of_sqlite`].
pub(super) async fn of_postgres(pool: &PgPool) -> sqlx::Result<Vec<StoredTemplate>> {
    let table = "SELECT to_regclass('template_cache_metadata') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(table).fetch_one(pool).await? {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT template_name, template_type, file_path, file_hash, coalesce(size_bytes, 0)::int8 AS size_bytes, \
         coalesce(load_time_ms, 0)::float8 AS load_time_ms, coalesce(access_count, 0)::int8 AS access_count, \
         coalesce(cache_hits, 0)::int8 AS cache_hits, coalesce(cache_misses, 0)::int8 AS cache_misses, \
         to_char(last_accessed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') AS last_accessed_at, \
         coalesce(extract(epoch FROM clock_timestamp() - updated_at), 0)::float8 AS age_seconds \
         FROM template_cache_metadata ORDER BY template_name COLLATE \"C\"",
    )
    .fetch_all(pool)
    .await
}

/// Drops the figures of a template, or of all; how many rows there were.
pub(super) async fn forget_in_sqlite(pool: &SqlitePool, name: Option<&str>) -> sqlx::Result<u64> {
    let forget = match name {
        Some(name) => sqlx::query("DELETE FROM template_cache_metadata WHERE template_name = ?").bind(name),
        None => sqlx::query("DELETE FROM template_cache_metadata"),
    };
    forget.execute(pool).await.map(|done| done.rows_affected())
}

/// As [`forget_in_sqlite`].
pub(super) async fn forget_in_postgres(pool: &PgPool, name: Option<&str>) -> sqlx::Result<u64> {
    let forget = match name {
        Some(name) => sqlx::query("DELETE FROM template_cache_metadata WHERE template_name = $1").bind(name),
        None => sqlx::query("DELETE FROM template_cache_metadata"),
    };
    forget.execute(pool).await.map(|done| done.rows_affected())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use actors::metric::Row;
    use actors::ports::{MetricStore as _, StoreError};
    use uuid::Uuid;

    use super::super::SqliteStore;
    use super::*;

    fn report(id: u128, hits: u64, accessed: Option<u64>) -> Row {
        Row::Template(TemplateRow {
            id: Uuid::from_u128(id),
            name: Arc::from("onex/node.py.j2"),
            kind: "onex/py".to_owned(),
            file: "embedded:onex/node.py.j2".to_owned(),
            hash: format!("{id:064}"),
            bytes: 12_345,
            load_time: Duration::from_micros(1_500),
            hits,
            misses: 1,
            last_accessed: accessed.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at)),
        })
    }

    async fn opened(folder: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(&format!("sqlite://{}/omninode.db", folder.path().display())).await.unwrap()
    }

    #[tokio::test]
    async fn reports_of_all_processes_add_up_and_one_that_is_sent_again_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (opened(&folder).await, opened(&folder).await);
        one.write(&[report(1, 10, Some(100)), report(2, 5, None)]).await.unwrap();
        other.write(&[report(3, 7, Some(50))]).await.unwrap();
        // Nobody knew how their commits ended.
        one.write(&[report(1, 10, Some(100)), report(2, 5, None)]).await.unwrap();
        other.write(&[report(3, 7, Some(50)), report(4, 1, None)]).await.unwrap();
        let stored = of_sqlite(one.pool()).await.unwrap();
        let [row] = stored.as_slice() else { panic!("{stored:?}") };
        assert_eq!((row.cache_hits, row.cache_misses, row.access_count), (23, 4, 27));
        assert_eq!((row.load_time_ms, row.size_bytes), (1.5, 12_345));
        assert_eq!(row.file_hash, format!("{:064}", 4), "that of the newest report");
        assert_eq!(row.last_accessed_at.as_deref(), Some("1970-01-01 00:01:40.000"));
        assert!((-1.0..60.0).contains(&row.age_seconds));
        assert_eq!(forget_in_sqlite(one.pool(), Some("onex/nosuch")).await.unwrap(), 0);
        assert_eq!(forget_in_sqlite(one.pool(), Some("onex/node.py.j2")).await.unwrap(), 1);
        assert_eq!(of_sqlite(one.pool()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_batch_of_many_reports_of_one_template_counts_once_however_often_it_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        let batch: Vec<Row> = (1..=500).map(|id| report(id, 2, Some(u64::try_from(id).unwrap()))).collect();
        for _ in 0..3 {
            store.write(&batch).await.unwrap();
        }
        // One report twice in one batch.
        store.write(&[report(1, 2, None), report(501, 1, None), report(501, 1, None)]).await.unwrap();
        let row = of_sqlite(store.pool()).await.unwrap().remove(0);
        assert_eq!((row.cache_hits, row.cache_misses), (1_001, 501));
        assert_eq!(row.last_accessed_at.as_deref(), Some("1970-01-01 00:08:20.000"));
        let key: String =
            sqlx::query_scalar("SELECT cache_key FROM template_cache_metadata").fetch_one(store.pool()).await.unwrap();
        assert_eq!(key, "onex/node.py.j2");
    }

    #[tokio::test]
    async fn ids_of_reports_are_kept_for_thirty_days() {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        store.write(&[report(1, 1, None), report(2, 1, None)]).await.unwrap();
        let age = |id: u128, age: &'static str| {
            let set =
                "UPDATE template_cache_reports SET applied_at = strftime('%Y-%m-%d %H:%M:%f', 'now', ?) WHERE id = ?";
            sqlx::query(set).bind(age).bind(Uuid::from_u128(id).to_string()).execute(store.pool())
        };
        age(1, "-721 hours").await.unwrap();
        age(2, "-719 hours").await.unwrap();
        store.write(&[report(3, 1, None)]).await.unwrap();
        let kept: Vec<String> = sqlx::query_scalar("SELECT id FROM template_cache_reports ORDER BY id")
            .fetch_all(store.pool())
            .await
            .unwrap();
        assert_eq!(kept, [2, 3].map(|id| Uuid::from_u128(id).to_string()));
    }

    #[tokio::test]
    async fn what_no_other_try_can_change_is_refused_and_the_rest_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(&folder).await;
        let Row::Template(row) = report(1, 1, None) else { panic!("a template") };
        let long = Row::Template(TemplateRow { kind: "x".repeat(51), ..row });
        assert!(matches!(store.write(&[long]).await, Err(StoreError::Refused(reason)) if reason.contains("CHECK")));
        sqlx::raw_sql("DROP TABLE template_cache_metadata").execute(store.pool()).await.unwrap();
        // No row's fault: somebody is at work on the file.
        assert!(matches!(store.write(&[report(2, 1, None)]).await, Err(StoreError::Down(_))));
        store.close().await;
        assert!(matches!(store.write(&[report(3, 1, None)]).await, Err(StoreError::Down(_))));
    }
}
