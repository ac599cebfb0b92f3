//! The rows by hour that a batch adds are those that a recount of the tables gives: the migration that makes the tables of
//! rollups counts what is there, so it is the recount.

use std::time::{Duration, SystemTime};

use actors::metric::{EventRow, Phase, PhaseRow, Row};
use actors::ports::MetricStore as _;
use omninode::storage::{PostgresStore, SqliteStore, Target};
use sqlx::{AssertSqlSafe, SqlitePool};

use super::rows::{event_row, phase_row};
use super::{Database, run};
use crate::support::Bench;

/// Rows over five hours, with durations of all sizes.
fn rows(seed: u64) -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut duration = |octaves: u32| Duration::from_nanos(random.u64(0..1 << (4 + octaves % 44)));
    let at =
        |number: u32| SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + u64::from(number) * 4_321);
    let event = |(number, processing, wait): (u32, Duration, Duration)| {
        let error = (number % 7 == 0).then(|| ("io".to_owned(), "away".to_owned()));
        let event_type = ["node.generate", "node.retry"][number as usize % 2];
        let row = event_row(u128::from(number) + 1);
        let attempt = 1 + number % 3;
        Row::Event(EventRow { attempt, event_type, processing, queue_wait: wait, error, created_at: at(number), ..row })
    };
    let phase = |(number, duration): (u32, Duration)| {
        let node_type = ["EFFECT", "COMPUTE", "REDUCER"][number as usize % 3];
        let (phase, worker_count) = (Phase::ALL[number as usize % 6], 1 + number % 2);
        let row = phase_row(u128::from(number) + 100_001);
        let cache_hit = number % 5 > 0;
        Row::Phase(PhaseRow { node_type, phase, worker_count, cache_hit, duration, created_at: at(number), ..row })
    };
    let events: Vec<_> = (0..4_000).map(|number| (number, duration(number), duration(number / 3))).collect();
    let phases: Vec<_> = (0..4_000).map(|number| (number, duration(number))).collect();
    let rows = events.into_iter().map(event).chain(phases.into_iter().map(phase));
    rows.chain([999_600_000, 999_999_600].into_iter().flat_map(at_the_end_of_an_hour)).collect()
}

/// An event and a phase so late in an hour that a database which rounds has them in the next one.
fn at_the_end_of_an_hour(nanoseconds: u32) -> [Row; 2] {
    let created_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000 - 800 + 3_599, nanoseconds);
    let id = 1_000_000_000 + u128::from(nanoseconds);
    [Row::Event(EventRow { created_at, ..event_row(id) }), Row::Phase(PhaseRow { created_at, ..phase_row(2 * id) })]
}

/// Batches that overlap, and some that come again.
async fn send(store: &dyn actors::ports::MetricStore, rows: &[Row]) {
    for from in (0..rows.len()).step_by(700) {
        let batch = &rows[from..rows.len().min(from + 1_000)];
        store.write(batch).await.unwrap();
        if from % 3 == 0 {
            store.write(batch).await.unwrap();
        }
    }
}

const POSTGRES_EVENTS: &str = "SELECT jsonb_agg(line ORDER BY line) FROM (
    SELECT jsonb_build_array(hour, event_type, sum(events), sum(failures), sum(retries), sum(waits),
        round(sum(wait_ms)::numeric, 3), max(wait_max_ms), round(sum(processing_ms)::numeric, 3),
        (SELECT jsonb_object_agg(slot, n) FROM (SELECT slot, sum(n) AS n FROM event_processing_hourly AS part,
            unnest(latency_slots, latency_counts) AS counted (slot, n)
            WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY 1) AS slots),
        (SELECT jsonb_object_agg(slot, n) FROM (SELECT slot, sum(n) AS n FROM event_processing_hourly AS part,
            unnest(wait_slots, wait_counts) AS counted (slot, n)
            WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY 1) AS slots)) AS line
    FROM event_processing_hourly AS whole GROUP BY hour, event_type) AS lines";
const POSTGRES_PHASES: &str = "SELECT jsonb_agg(line ORDER BY line) FROM (
    SELECT jsonb_build_array(hour, node_type, phase, parallel_execution, sum(runs), sum(cache_hits), sum(workers),
        round(sum(duration_ms)::numeric, 3),
        (SELECT jsonb_object_agg(slot, n) FROM (SELECT slot, sum(n) AS n FROM generation_performance_hourly AS part,
            unnest(duration_slots, duration_counts) AS counted (slot, n)
            WHERE part.hour = whole.hour AND part.node_type = whole.node_type AND part.phase = whole.phase
                AND part.parallel_execution = whole.parallel_execution GROUP BY 1) AS slots)) AS line
    FROM generation_performance_hourly AS whole GROUP BY hour, node_type, phase, parallel_execution) AS lines";
const SQLITE_EVENTS: &str = "SELECT group_concat(line, char(10)) FROM (
    SELECT hour || event_type || sum(events) || '|' || sum(failures) || '|' || sum(retries) || '|' || sum(waits) || '|'
        || round(sum(wait_ms), 3) || '|' || max(wait_max_ms) || '|' || round(sum(processing_ms), 3) || '|'
        || (SELECT json_group_array(slot || ':' || n) FROM (SELECT CAST(key AS INTEGER) AS slot, sum(value) AS n
            FROM event_processing_hourly AS part, json_each(part.latency_histogram)
            WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY 1 ORDER BY 1))
        || (SELECT json_group_array(slot || ':' || n) FROM (SELECT CAST(key AS INTEGER) AS slot, sum(value) AS n
            FROM event_processing_hourly AS part, json_each(part.wait_histogram)
            WHERE part.hour = whole.hour AND part.event_type = whole.event_type GROUP BY 1 ORDER BY 1)) AS line
    FROM event_processing_hourly AS whole GROUP BY hour, event_type ORDER BY 1)";
const SQLITE_PHASES: &str = "SELECT group_concat(line, char(10)) FROM (
    SELECT hour || node_type || phase || parallel_execution || '|' || sum(runs) || '|' || sum(cache_hits) || '|'
        || sum(workers) || '|' || round(sum(duration_ms), 3) || '|'
        || (SELECT json_group_array(slot || ':' || n) FROM (SELECT CAST(key AS INTEGER) AS slot, sum(value) AS n
            FROM generation_performance_hourly AS part, json_each(part.duration_histogram)
            WHERE part.hour = whole.hour AND part.node_type = whole.node_type AND part.phase = whole.phase
                AND part.parallel_execution = whole.parallel_execution GROUP BY 1 ORDER BY 1)) AS line
    FROM generation_performance_hourly AS whole GROUP BY hour, node_type, phase, parallel_execution ORDER BY 1)";

/// The most rows that one hour and kind have; phases have one for each way of running.
const CROWD: &str =
    "SELECT max(n) FROM (SELECT count(*) AS n FROM generation_performance_hourly GROUP BY hour, node_type, phase
    UNION ALL SELECT count(*) + 1 FROM event_processing_hourly GROUP BY hour, event_type) AS crowds";

const FILE: &str = "0009_hourly_rollups.sql";

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn what_batches_add_by_hour_on_postgres_is_what_a_recount_gives() {
    run(async {
        let database = Database::new().await;
        let store = PostgresStore::open(&database.target()).await.unwrap();
        send(&store, &rows(1)).await;
        let added = [POSTGRES_EVENTS, POSTGRES_PHASES].map(|sql| database.ask(sql));
        assert!(database.ask(CROWD).parse::<u32>().unwrap() > 2);
        store.close().await;
        assert!(database.ask(CROWD).parse::<u32>().unwrap() <= 2, "folded when it is closed");
        assert_eq!([POSTGRES_EVENTS, POSTGRES_PHASES].map(|sql| database.ask(sql)), added);
        database
            .run(
                "DROP TABLE event_processing_hourly, generation_performance_hourly; \
                 DROP FUNCTION histogram_slot CASCADE; DROP FUNCTION histogram_value CASCADE; \
                 DELETE FROM schema_migrations WHERE version = 9",
            )
            .await;
        database.apply(&super::schema::files().into_iter().find(|file| file.ends_with(FILE)).unwrap());
        let counted = [POSTGRES_EVENTS, POSTGRES_PHASES].map(|sql| database.ask(sql));
        assert!(added[0].len() > 10_000, "{}", added[0]);
        assert!(added == counted, "added:   {:.900}\ncounted: {:.900}", added[0], counted[0]);
    });
}

#[test]
fn what_batches_add_by_hour_on_sqlite_is_what_a_recount_gives() {
    run(async {
        let bench = Bench::new();
        let store = SqliteStore::open(&bench.database()).await.unwrap();
        send(&store, &rows(2)).await;
        let pool = SqlitePool::connect(&bench.database()).await.unwrap();
        let ask = async || -> [String; 2] {
            let events = sqlx::query_scalar(SQLITE_EVENTS).fetch_one(&pool).await.unwrap();
            [events, sqlx::query_scalar(SQLITE_PHASES).fetch_one(&pool).await.unwrap()]
        };
        let added = ask().await;
        let crowd = async || sqlx::query_scalar::<_, u32>(CROWD).fetch_one(&pool).await.unwrap();
        assert!(crowd().await > 2);
        store.close().await;
        assert!(crowd().await <= 2, "folded when it is closed");
        assert_eq!(ask().await, added);
        let file = format!("{}/migrations/sqlite/{FILE}", env!("CARGO_MANIFEST_DIR"));
        let again = "DELETE FROM event_processing_hourly; DELETE FROM generation_performance_hourly; \
                     DELETE FROM schema_migrations WHERE version = 9;";
        let again = format!("{again}{}", std::fs::read_to_string(file).unwrap());
        sqlx::raw_sql(AssertSqlSafe(again)).execute(&pool).await.unwrap();
        let counted = ask().await;
        assert!(added[0].len() > 10_000, "{}", added[0]);
        assert!(added == counted, "added:   {:.900}\ncounted: {:.900}", added[0], counted[0]);
    });
}

#[test]
fn rows_whose_time_sqlite_cannot_read_stop_neither_the_migration_nor_a_recount() {
    run(async {
        let bench = Bench::new();
        let store = SqliteStore::open(&bench.database()).await.unwrap();
        send(&store, &rows(3)).await;
        store.close().await;
        let pool = SqlitePool::connect(&bench.database()).await.unwrap();
        for table in ["event_processing_metrics", "generation_performance_metrics"] {
            let unreadable = "SET created_at = '11/24/2025 10:00' WHERE id = (SELECT min(id) FROM";
            let sql = AssertSqlSafe(format!("UPDATE {table} {unreadable} {table})"));
            assert_eq!(sqlx::query(sql).execute(&pool).await.unwrap().rows_affected(), 1);
        }
        let forget = "DELETE FROM event_processing_hourly; DELETE FROM generation_performance_hourly;";
        let counted = "SELECT (SELECT sum(events) FROM event_processing_hourly), \
                       (SELECT sum(runs) FROM generation_performance_hourly)";
        let counted = async || sqlx::query_as::<_, (i64, i64)>(counted).fetch_one(&pool).await.unwrap();
        let again = format!("{forget} DELETE FROM schema_migrations WHERE version = 9");
        sqlx::raw_sql(AssertSqlSafe(again)).execute(&pool).await.unwrap();
        SqliteStore::open(&bench.database()).await.unwrap().close().await;
        assert_eq!(counted().await, (4_001, 4_001));
        sqlx::raw_sql(forget).execute(&pool).await.unwrap();
        let target = Target::new(bench.database());
        let agreement = omninode::storage::rollups(&target, true, &|_| ()).await.unwrap();
        assert_eq!((agreement.differing, counted().await), (0, (4_001, 4_001)));
    });
}
