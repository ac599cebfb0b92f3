//! `omninode db cleanup`, `vacuum`, `reindex`, `rollup`: what goes and what stays, and who may do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use actors::metric::{EventRow, Row};
use actors::ports::MetricStore as _;
use omninode::storage::{self, Store, Target};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, SqlitePool};

use super::commands::{data, omninode};
use super::rows::event_row;
use super::{Database, run};
use crate::support::{Bench, Ended};

/// Rows of these ages, for both databases: `AGO(n)` is n days ago.
const ROWS: &str = "
INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, queue_wait_time_ms, success,
    retry_count, created_at)
VALUES ('a', 'cli', 1, 1, true, 0, AGO(1)), ('a', 'cli', 2, 1, true, 0, AGO(89)), ('a', 'cli', 3, 1, false, 1, AGO(91)),
    ('b', 'cli', 4, NULL, true, 0, AGO(90.0001)), ('b', 'cli', 5, 1, true, 0, AGO(89.9999)),
    ('b', 'cli', 6, 1, true, 0, AGO(800));
INSERT INTO generation_performance_metrics (session_id, node_type, phase, duration_ms, created_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'EFFECT', 'total', 1, AGO(1)),
    ('00000000-0000-7000-8000-000000000001', 'EFFECT', 'total', 2, AGO(89)),
    ('00000000-0000-7000-8000-000000000001', 'EFFECT', 'total', 3, AGO(91)),
    ('00000000-0000-7000-8000-000000000001', 'REDUCER', 'total', 4, AGO(91));
INSERT INTO pattern_feedback_log (session_id, pattern_name, feedback_type, created_at)
VALUES ('00000000-0000-7000-8000-000000000001', 'p', 'correct', AGO(89)),
    ('00000000-0000-7000-8000-000000000001', 'p', 'correct', AGO(91));
INSERT INTO mixin_compatibility_matrix (mixin_a, mixin_b, node_type, success_count, failure_count, created_at)
VALUES ('four', 'old', 'EFFECT', 2, 2, AGO(370)), ('five', 'old', 'EFFECT', 2, 3, AGO(370)),
    ('four', 'new', 'EFFECT', 2, 2, AGO(360)),
    ('null', 'old', 'EFFECT', NULL, NULL, AGO(370)), ('null four', 'old', 'EFFECT', 4, NULL, AGO(370)),
    ('null five', 'old', 'EFFECT', NULL, 5, AGO(370));
INSERT INTO template_cache_reports (id, applied_at) VALUES ('00000000-0000-7000-8000-00000000000a', AGO(31)),
    ('00000000-0000-7000-8000-00000000000b', AGO(29));
";

/// The rows in the words of a database.
fn rows(ago: impl Fn(&str) -> String) -> String {
    let mut parts = ROWS.split("AGO(");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (days, rest) = part.split_once(')').unwrap();
        text + &ago(days) + rest
    })
}

fn in_postgres() -> String {
    rows(|days| format!("now() - interval '{days} days'"))
}

fn in_sqlite() -> String {
    rows(|days| format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '-{days} days')"))
}

/// What is left, one line a row: the same statement on both.
const LEFT: &str =
    "SELECT 'event ' || CAST(CAST(processing_duration_ms AS INTEGER) AS TEXT) AS line FROM event_processing_metrics
    UNION ALL SELECT 'phase ' || CAST(CAST(duration_ms AS INTEGER) AS TEXT) FROM generation_performance_metrics
    UNION ALL SELECT 'feedback' FROM pattern_feedback_log
    UNION ALL SELECT mixin_a || ' ' || mixin_b FROM mixin_compatibility_matrix
    UNION ALL SELECT 'report' FROM template_cache_reports ORDER BY 1";
const STAYS: [&str; 10] = [
    "event 1",
    "event 2",
    "event 5",
    "feedback",
    "five old",
    "four new",
    "null five old",
    "phase 1",
    "phase 2",
    "report",
];

/// A database of either kind, by its URL, with a way to run SQL past the program.
pub(super) enum Place {
    File(Bench, SqlitePool),
    Server(Bench, Database),
}

impl Place {
    pub(super) async fn file() -> Self {
        let bench = Bench::new();
        Store::migrate(&Target::new(bench.database())).await.unwrap();
        let pool = SqlitePool::connect(&bench.database()).await.unwrap();
        Self::File(bench, pool)
    }

    pub(super) async fn server() -> Self {
        let database = Database::new().await;
        Store::migrate(&database.target()).await.unwrap();
        Self::Server(Bench::new(), database)
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::File(bench, _) => bench.database(),
            Self::Server(_, database) => database.url(),
        }
    }

    pub(super) fn omninode(&self, arguments: &[&str]) -> Ended {
        let (Self::File(bench, _) | Self::Server(bench, _)) = self;
        omninode(bench, &self.url(), arguments)
    }

    /// As data, with this exit code.
    #[track_caller]
    pub(super) fn asked(&self, arguments: &[&str], code: i32) -> Value {
        data(&self.omninode(&[arguments, &["--format", "json"]].concat()).expect_code(code))
    }

    /// Each database has its own text.
    pub(super) async fn run(&self, postgres: &str, sqlite: &str) {
        match self {
            Self::Server(_, database) => database.run(postgres).await,
            Self::File(_, pool) => {
                sqlx::raw_sql(AssertSqlSafe(sqlite.to_owned())).execute(pool).await.unwrap();
            }
        }
    }

    pub(super) async fn lines(&self, sql: &'static str) -> Vec<String> {
        match self {
            Self::Server(_, database) => sqlx::query_scalar(sql).fetch_all(&database.pool().await).await.unwrap(),
            Self::File(_, pool) => sqlx::query_scalar(sql).fetch_all(pool).await.unwrap(),
        }
    }

    /// With the rows above, and rollups of them.
    async fn fill(&self) {
        self.run(&in_postgres(), &in_sqlite()).await;
        self.asked(&["db", "rollup", "--rebuild"], 0);
    }
}

async fn what_is_old_goes_and_the_rest_stays(place: Place) {
    place.fill().await;
    let before = place.lines(LEFT).await;
    let dry = place.asked(&["db", "cleanup", "--dry-run"], 0);
    assert_eq!(place.lines(LEFT).await, before, "a dry run deletes nothing");
    let done = place.asked(&["db", "cleanup"], 0);
    assert_eq!((&dry["rows"], &dry["dry_run"], &done["dry_run"]), (&done["rows"], &json!(true), &json!(false)));
    let rows: Vec<_> = done["tables"].as_array().unwrap().iter().map(|table| table["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 2, 1, 3, 1], "{done}");
    let mut left = place.lines(LEFT).await;
    left.sort();
    assert_eq!(left, STAYS);
    // The views count what is there, and the rollups agree with it.
    let seen = "SELECT event_type || ' ' || CAST(total_events AS TEXT) FROM event_processing_health ORDER BY 1";
    assert_eq!(place.lines(seen).await, ["a 2", "b 1"]);
    let hours = "SELECT CAST(sum(events) AS TEXT) FROM event_processing_hourly \
                 UNION ALL SELECT CAST(sum(runs) AS TEXT) FROM generation_performance_hourly";
    assert_eq!(place.lines(hours).await, ["3", "2"]);
    let agreement = place.asked(&["db", "rollup"], 0);
    assert_eq!((&agreement["differing"], &agreement["days_rebuilt"]), (&json!(0), &Value::Null));
    // Nothing is left to do.
    assert_eq!(place.asked(&["db", "cleanup"], 0)["rows"], json!(0));
    let shorter = place.asked(&["db", "cleanup", "--older-than", "2d"], 0);
    assert_eq!(shorter["rows"], json!(2 + 1 + 1));
    assert_eq!(place.lines(hours).await, ["1", "1"]);
    assert_eq!(place.asked(&["db", "rollup"], 0)["days"], json!(1));
}

#[test]
fn rows_of_89_days_stay_and_of_91_go_on_sqlite() {
    run(async { what_is_old_goes_and_the_rest_stays(Place::file().await).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_47_rows_of_89_days_stay_and_of_91_go_and_views_and_rollups_equal_a_recount() {
    run(async { what_is_old_goes_and_the_rest_stays(Place::server().await).await });
}

/// More rows than three batches hold, over three days that go and one that goes in part.
async fn batches_follow_each_other(place: Place) {
    let insert = |at: &str, series: &str| {
        format!(
            "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success, created_at) \
             SELECT 'a', 'cli', i % 7, true, {at} FROM {series}"
        )
    };
    let postgres = insert("now() - interval '91 days' - i * interval '15 seconds'", "generate_series(1, 17000) AS i");
    let sqlite = insert(
        "strftime('%Y-%m-%d %H:%M:%f', 'now', '-91 days', '-' || (i * 15) || ' seconds')",
        "(WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 17000) SELECT i FROM place)",
    );
    place.run(&(postgres + ";" + &in_postgres()), &(sqlite + ";" + &in_sqlite())).await;
    place.asked(&["db", "rollup", "--rebuild"], 0);
    let done = place.asked(&["db", "cleanup"], 0);
    assert_eq!(done["tables"][0]["rows"], json!(17_003));
    assert_eq!(place.asked(&["db", "rollup"], 0)["differing"], json!(0));
    let hours = "SELECT CAST(sum(events) AS TEXT) FROM event_processing_hourly";
    assert_eq!(place.lines(hours).await, ["3"]);
}

/// A service goes on meanwhile: it stores rows of today, and rows that are old already.
async fn a_cleanup_is_in_nobodys_way(place: Place) {
    let many = "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success, created_at) \
                SELECT 'old', 'cli', 1, true,";
    let postgres =
        format!("{many} now() - interval '99 days' - i * interval '1 minute' FROM generate_series(1, 22000) i");
    let sqlite = format!(
        "WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 22000) \
         {many} strftime('%Y-%m-%d %H:%M:%f', 'now', '-99 days', '-' || i || ' minutes') FROM place"
    );
    place.run(&postgres, &sqlite).await;
    place.asked(&["db", "rollup", "--rebuild"], 0);
    let store = Arc::new(Store::open(&Target::new(place.url())).await.unwrap());
    let ended = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
        async move {
            let mut batches = 0;
            while !ended.load(Ordering::Relaxed) {
                let now = EventRow { created_at: SystemTime::now(), ..event_row(batches * 2 + 1) };
                store.write(&[Row::Event(now), Row::Event(event_row(batches * 2 + 2))]).await.unwrap();
                batches += 1;
            }
            batches
        }
    });
    let (place, done) = tokio::task::spawn_blocking(move || {
        let done = place.asked(&["db", "cleanup"], 0);
        (place, done)
    })
    .await
    .unwrap();
    ended.store(true, Ordering::Relaxed);
    let batches = writer.await.unwrap();
    store.close().await;
    assert!(done["tables"][0]["rows"].as_u64().unwrap() >= 22_000 && batches > 5, "{batches} batches, {done}");
    let now = "SELECT CAST(count(*) AS TEXT) FROM event_processing_metrics WHERE created_at > '2024-01-01'";
    assert_eq!(place.lines(now).await, [batches.to_string()], "what was stored meanwhile is there");
    assert_eq!(place.asked(&["db", "rollup"], 0)["differing"], json!(0));
}

#[test]
fn a_service_goes_on_storing_while_a_cleanup_runs_on_sqlite() {
    run(async { a_cleanup_is_in_nobodys_way(Place::file().await).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_service_goes_on_storing_while_a_cleanup_runs_on_postgres() {
    run(async { a_cleanup_is_in_nobodys_way(Place::server().await).await });
}

/// A store folds when it is closed. Without the lock a fold between the snapshot of a recount and its deletion would count
/// an hour twice.
#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn folding_and_counting_anew_exclude_each_other() {
    run(async {
        let place = Place::server().await;
        let target = Target::new(place.url());
        let ended = Arc::new(AtomicBool::new(false));
        let services: Vec<_> = (0..3)
            .map(|service: u128| {
                let (target, ended) = (target.clone(), Arc::clone(&ended));
                tokio::spawn(async move {
                    let mut batches: u128 = 0;
                    while !ended.load(Ordering::Relaxed) {
                        let store = Store::open(&target).await.unwrap();
                        for _ in 0..3 {
                            let now = SystemTime::now();
                            let row = EventRow { created_at: now, ..event_row(service << 64 | batches) };
                            store.write(&[Row::Event(row)]).await.unwrap();
                            batches += 1;
                        }
                        store.close().await;
                    }
                    batches
                })
            })
            .collect();
        for _ in 0..40 {
            // The next one would mend what this one has done.
            let agreement = storage::rollups(&target, true, &|_| ()).await.unwrap();
            assert_eq!(agreement.differing, 0, "{agreement:?}");
        }
        ended.store(true, Ordering::Relaxed);
        let mut batches = 0;
        for service in services {
            batches += service.await.unwrap();
        }
        let counted = "SELECT CAST(sum(events) AS TEXT) FROM event_processing_hourly";
        assert_eq!(place.lines(counted).await, [batches.to_string()]);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_cleanup_that_is_cut_off_has_done_its_part_and_another_one_does_the_rest() {
    run(async {
        let place = Place::server().await;
        let Place::Server(_, database) = &place else { panic!() };
        database
            .run(
                "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success, \
                 created_at) SELECT 'a', 'cli', i, true, now() - interval '100 days' + i * interval '10 seconds' \
                 FROM generate_series(1, 12000) AS i; \
                 CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'enough'; END $$; \
                 CREATE TRIGGER stop BEFORE DELETE ON event_processing_metrics FOR EACH ROW \
                 WHEN (OLD.processing_duration_ms = 11000) EXECUTE FUNCTION stop()",
            )
            .await;
        place.asked(&["db", "rollup", "--rebuild"], 0);
        let told = place.omninode(&["db", "cleanup"]).expect_code(3);
        assert!(told.stderr.contains("enough") && told.stdout.is_empty(), "{told:?}");
        let left = place.lines("SELECT CAST(count(*) AS TEXT) FROM event_processing_metrics").await;
        assert_eq!(left, ["2000"], "two batches are gone");
        // The rollups of whole days went with them; those of the day in which it stopped are too high.
        let agreement = place.asked(&["db", "rollup"], 4);
        assert_eq!(agreement["differing"], json!(1), "{agreement}");
        database.run("DROP TRIGGER stop ON event_processing_metrics").await;
        assert_eq!(place.asked(&["db", "cleanup"], 0)["rows"], json!(2_000));
        assert_eq!(place.asked(&["db", "rollup"], 0)["days"], json!(0));
        assert_eq!(place.lines("SELECT CAST(count(*) AS TEXT) FROM event_processing_hourly").await, ["0"]);
    });
}

#[test]
fn a_cleanup_of_several_batches_is_whole_on_sqlite() {
    run(async { batches_follow_each_other(Place::file().await).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_47_a_cleanup_of_several_batches_is_whole_on_postgres() {
    run(async { batches_follow_each_other(Place::server().await).await });
}

async fn a_difference_is_told_and_mended(place: Place) {
    place.fill().await;
    let by_hand = "DELETE FROM event_processing_metrics WHERE processing_duration_ms = 2; \
                   INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success) \
                   VALUES ('new', 'psql', 7, true); \
                   UPDATE generation_performance_metrics SET duration_ms = 5 WHERE duration_ms = 2";
    place.run(by_hand, by_hand).await;
    let told = place.asked(&["db", "rollup"], 4);
    // The day 89 days ago, for both tables, and today.
    assert_eq!(told["differing"], json!(2), "{told}");
    let words = place.omninode(&["db", "rollup"]).expect_code(4).stdout;
    assert!(words.contains("`omninode db rollup --rebuild`"), "{words}");
    let mended = place.asked(&["db", "rollup", "--rebuild"], 0);
    assert_eq!(mended["differing"], json!(0));
    assert!(mended["days_rebuilt"].as_u64().unwrap() >= 5, "{mended}");
    let hours = "SELECT event_type || ' ' || CAST(sum(events) AS TEXT) FROM event_processing_hourly GROUP BY event_type \
                 ORDER BY 1";
    assert_eq!(place.lines(hours).await, ["a 2", "b 3", "new 1"]);
    place.omninode(&["db", "rollup"]).expect_code(0);
}

#[test]
fn rollups_are_counted_anew_after_changes_by_hand_on_sqlite() {
    run(async { a_difference_is_told_and_mended(Place::file().await).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn rollups_are_counted_anew_after_changes_by_hand_on_postgres() {
    run(async { a_difference_is_told_and_mended(Place::server().await).await });
}

#[test]
fn a_vacuum_shrinks_a_file_that_a_cleanup_emptied_and_a_reindex_leaves_its_rows() {
    run(async {
        let place = Place::file().await;
        let many = "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success, created_at) \
                    WITH RECURSIVE place (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM place WHERE i < 20000) \
                    SELECT 'a', 'cli', i, true, strftime('%Y-%m-%d %H:%M:%f', 'now', '-91 days') FROM place";
        place.run("", many).await;
        place.asked(&["db", "cleanup"], 0);
        let worked = place.asked(&["db", "vacuum"], 0);
        let bytes = |when: &str| worked[0][when].as_i64().unwrap();
        assert!(bytes("bytes_after") * 4 < bytes("bytes_before"), "{worked}");
        let Place::File(bench, _) = &place else { panic!() };
        let on_disk = std::fs::metadata(bench.path("omninode.db")).unwrap().len();
        assert_eq!(i64::try_from(on_disk).unwrap(), bytes("bytes_after"));
        place.fill().await;
        let tables = place.asked(&["db", "reindex"], 0);
        assert!(tables.as_array().unwrap().len() >= 9, "{tables}");
        assert_eq!(place.lines("PRAGMA integrity_check").await, ["ok"]);
    });
}

/// Where an index lies.
const KEY: &str = "SELECT relfilenode FROM pg_class WHERE relname = 'event_processing_metrics_pkey'";

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_47_vacuum_and_reindex_do_all_our_tables_and_drop_what_a_broken_reindex_left() {
    run(async {
        let place = Place::server().await;
        let Place::Server(_, database) = &place else { panic!() };
        place.fill().await;
        database.run("DELETE FROM event_processing_metrics").await;
        let names = |worked: &Value| -> Vec<String> {
            worked.as_array().unwrap().iter().map(|line| line["table"].as_str().unwrap().to_owned()).collect()
        };
        let vacuumed = names(&place.asked(&["db", "vacuum"], 0));
        assert_eq!(vacuumed.len(), 9, "{vacuumed:?}");
        // What an interrupted REINDEX CONCURRENTLY leaves behind.
        database.run("CREATE INDEX event_processing_metrics_pkey_ccnew ON event_processing_metrics (id)").await;
        let name = "event_processing_metrics_pkey_ccnew";
        database.run(&format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")).await;
        let invalid = place.omninode(&["db", "indexes"]).expect_code(0).stdout;
        assert!(
            invalid.contains("event_processing_metrics_pkey_ccnew on event_processing_metrics  INVALID"),
            "{invalid}"
        );
        let before = database.ask(KEY);
        let reindexed = place.omninode(&["db", "reindex"]).expect_code(0);
        assert!(reindexed.stderr.contains("was left by a REINDEX that was cut off"), "{reindexed:?}");
        let after = database.ask(KEY);
        assert_ne!(before, after, "the index was built anew");
        let left = database.ask("SELECT count(*) FROM pg_class WHERE relname LIKE '%_ccnew%'");
        assert_eq!(left, "0");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_user_without_rights_is_told_the_grant_and_with_it_the_command_works() {
    run(async {
        let place = Place::server().await;
        let Place::Server(bench, database) = &place else { panic!() };
        place.fill().await;
        let (owner, user) = (format!("{}_owner", database.name), format!("{}_upkeep", database.name));
        database
            .run(&format!("CREATE ROLE {owner}; CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA public TO {user}"))
            .await;
        let tables = database.ask(
            "SELECT string_agg(format('ALTER TABLE %I OWNER TO OWNER;', tablename), ' ') FROM pg_tables \
             WHERE schemaname = 'public'",
        );
        database.run(&tables.replace("OWNER;", &format!("{owner};"))).await;
        let url = database.url_as(&user);
        for (command, done) in [
            ("cleanup --dry-run", 10),
            ("cleanup", 10),
            ("rollup", 0),
            ("rollup --rebuild", 0),
            ("vacuum", 9),
            ("reindex", 9),
        ] {
            let arguments: Vec<&str> = ["db"].into_iter().chain(command.split(' ')).collect();
            let told = omninode(bench, &url, &arguments).expect_code(3).stderr;
            let grants = told.split("run: ").nth(1).unwrap_or_else(|| panic!("{command}: {told}"));
            assert!(grants.starts_with("GRANT ") && grants.contains(&format!(" TO {user};")), "{grants}");
            let (grants, _) = grants.rsplit_once(';').unwrap();
            database.run(grants).await;
            let ended = omninode(bench, &url, &[&arguments[..], &["--format", "json"]].concat()).expect_code(0);
            let answer = data(&ended);
            let rows = answer["rows"].as_u64().or(answer.as_array().map(|lines| lines.len() as u64));
            assert_eq!(rows.unwrap_or_default(), done, "{command}: {answer}");
            if command.starts_with("rollup") {
                assert_eq!(answer["differing"], json!(0));
            }
            database
                .run(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {user}; REVOKE {owner} FROM {user}"))
                .await;
        }
        let dropped = format!("DROP OWNED BY {user}; DROP ROLE {owner}, {user}");
        database.run(&format!("REASSIGN OWNED BY {owner} TO postgres; {dropped}")).await;
    });
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    run(async {
        let place = Place::file().await;
        let told = place.omninode(&["db", "cleanup", "--older-than", "90m"]).expect_code(2).stderr;
        assert!(told.contains("`m` are minutes"), "{told}");
        let told = place.omninode(&["db", "connections"]).expect_code(2).stderr;
        assert!(told.contains("is a file"), "{told}");
        let bench = Bench::new();
        for command in ["cleanup", "vacuum", "reindex", "sizes", "indexes", "rollup"] {
            let told = omninode(&bench, &bench.database(), &["db", command]).expect_code(3).stderr;
            assert!(told.contains("there is no file yet"), "{told}");
        }
        assert!(!bench.path("omninode.db").exists());
    });
}
