//! `omninode db sizes`, `indexes`, `connections` beside what psql says, and a server with the settings of `configs/`.

use std::collections::BTreeMap;

use omninode::storage::{PostgresStore, Store, Target};
use serde_json::{Value, json};

use super::commands::{data, omninode};
use super::upkeep::Place;
use super::{Cluster, psql, run};
use crate::support::{Bench, Ended};

const FIVE: &str = "'mixin_compatibility_matrix', 'pattern_feedback_log', 'generation_performance_metrics', \
    'template_cache_metadata', 'event_processing_metrics'";

fn lines(answer: &Value) -> &Vec<Value> {
    answer.as_array().unwrap()
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_34_sizes_are_those_that_psql_prints_and_no_table_with_rows_has_none() {
    run(async {
        let place = Place::server().await;
        let Place::Server(_, database) = &place else { panic!() };
        database
            .run(
                "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success) \
                 SELECT 'a', 'psql', i, true FROM generate_series(1, 5000) AS i",
            )
            .await;
        let sizes = place.asked(&["db", "sizes"], 0);
        let told: BTreeMap<&str, i64> = lines(&sizes["tables"])
            .iter()
            .map(|line| (line["table"].as_str().unwrap(), line["bytes"].as_i64().unwrap()))
            .collect();
        let psql = database.ask(&format!(
            "SELECT tablename, pg_total_relation_size(schemaname||'.'||tablename) FROM pg_tables WHERE tablename IN ({FIVE})"
        ));
        assert_eq!(psql.lines().count(), 5);
        for line in psql.lines() {
            let (table, bytes) = line.split_once('|').unwrap();
            assert_eq!(told[table].to_string(), bytes, "{table}");
        }
        assert!(told["event_processing_metrics"] > 500_000 && told.len() == 9, "{told:?}");
        for line in lines(&sizes["tables"]) {
            let part = |name: &str| line[name].as_i64().unwrap();
            assert_eq!(part("bytes"), part("row_bytes") + part("index_bytes"), "{line}");
        }
        assert_eq!(sizes["bytes"].to_string(), database.ask("SELECT pg_database_size(current_database())"));
        let words = place.omninode(&["db", "sizes"]).expect_code(0).stdout;
        assert!(words.lines().nth(3).unwrap().starts_with("event_processing_metrics"), "the largest first: {words}");
    });
}

#[test]
fn sizes_of_a_file_add_up() {
    run(async {
        let place = Place::file().await;
        let sizes = place.asked(&["db", "sizes"], 0);
        let tables = lines(&sizes["tables"]);
        assert_eq!(tables.len(), 9, "{sizes}");
        let part = |line: &Value, name: &str| line[name].as_i64().unwrap();
        assert!(tables.iter().all(|line| part(line, "bytes") == part(line, "row_bytes") + part(line, "index_bytes")));
        let sum: i64 = tables.iter().map(|line| part(line, "bytes")).sum();
        assert!(sum > 0 && sum <= sizes["bytes"].as_i64().unwrap(), "{sizes}");
        let indexes = place.asked(&["db", "indexes"], 0);
        let names: Vec<_> = lines(&indexes["indexes"]).iter().map(|line| line["index"].as_str().unwrap()).collect();
        assert!(names.contains(&"idx_event_processing_created_at") && names.len() >= 10, "{names:?}");
        assert!(lines(&indexes["indexes"]).iter().all(|line| line["scans"].is_null()));
        let words = place.omninode(&["db", "indexes"]).expect_code(0).stdout;
        assert!(words.contains("SQLite does not count") && !words.contains("never used"), "{words}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_48_indexes_agree_with_the_corrected_statement_and_mark_what_is_never_used() {
    run(async {
        let place = Place::server().await;
        let Place::Server(_, database) = &place else { panic!() };
        database
            .run(
                "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success) \
                 SELECT 'a', 'psql', i, true FROM generate_series(1, 5000) AS i; ANALYZE event_processing_metrics",
            )
            .await;
        // Both in one session, which has counted them when it ends.
        database
            .ask("SET enable_seqscan = off; SELECT count(*) FROM event_processing_metrics WHERE created_at < now()");
        let counted = || {
            database.ask(&format!(
                "SELECT indexrelname, idx_scan, idx_tup_read, idx_tup_fetch FROM pg_stat_user_indexes \
                 WHERE schemaname = 'public' AND relname IN ({FIVE}) ORDER BY indexrelname"
            ))
        };
        let told = || {
            let indexes = place.asked(&["db", "indexes"], 0);
            let ours = lines(&indexes["indexes"]).iter().filter(|line| FIVE.contains(line["table"].as_str().unwrap()));
            let mut ours: Vec<String> = ours
                .map(|line| {
                    format!(
                        "{}|{}|{}|{}",
                        line["index"].as_str().unwrap(),
                        line["scans"],
                        line["tuples_read"],
                        line["tuples_fetched"]
                    )
                })
                .collect();
            ours.sort();
            ours.join("\n")
        };
        assert_eq!(told(), counted());
        let words = place.omninode(&["db", "indexes"]).expect_code(0).stdout;
        let line = |name: &str| words.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{words}"));
        assert!(!line("idx_event_processing_created_at").contains("never"), "{words}");
        assert!(line("idx_generation_performance_created_at").ends_with("never used"), "{words}");
        assert!(line("mixin_compatibility_matrix_unique").ends_with("never read; keeps values unique"), "{words}");
    });
}

/// On a server of its own, where nobody else connects.
#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_34_connections_are_those_of_the_server_and_a_pool_that_does_not_fit_is_warned_of() {
    run(async {
        let cluster = Cluster::start("-c max_connections=20 -c superuser_reserved_connections=3", |_| {});
        let (url, bench) = (cluster.url(), Bench::new());
        Store::migrate(&Target::new(&url)).await.unwrap();
        let asked = |more: &[&str], code: i32| -> (Value, Ended) {
            let ended = omninode(&bench, &url, &[&["db", "connections", "--format", "json"], more].concat());
            let ended = ended.expect_code(code);
            (data(&ended), ended)
        };
        let (alone, _) = asked(&["--set", "database.pool_max=17"], 0);
        assert_eq!(
            (&alone["limit"], &alone["reserved"], &alone["used"], &alone["ours"], &alone["room"]),
            (&json!(20), &json!(3), &json!(1), &json!(1), &json!(17))
        );
        assert_eq!(alone["in_database"], json!(1), "as the guide counts: {alone}");
        // Somebody else, and one of ours in a transaction that nobody ends.
        let other = Other::connect(&url, "other").await;
        let waiting = Other::connect(&url, "omninode").await;
        waiting.begin().await;
        let (told, ended) = asked(&["--set", "database.pool_max=17"], 4);
        assert_eq!((&told["room"], &told["ours"], &told["used"]), (&json!(16), &json!(2), &json!(3)));
        assert_eq!((&told["idle_in_transaction"], &told["ours_idle_in_transaction"]), (&json!(1), &json!(1)));
        assert!(told["idle_in_transaction_max_seconds"].as_f64().unwrap() >= 0.0);
        assert!(
            ended.stderr.contains("pool_max 17 x 1 may open 17 connections, and there is room for 16"),
            "{ended:?}"
        );
        asked(&["--set", "database.pool_max=8", "--processes", "2"], 0);
        asked(&["--set", "database.pool_max=8", "--processes", "3"], 4);
        // A user of no rights sees who is there, but not what they do.
        let made = psql(&url, ["-c", "CREATE ROLE plain LOGIN CONNECTION LIMIT 5"]);
        assert!(made.status.success());
        let plain = url.replacen("postgres@", "plain@", 1);
        let words =
            omninode(&bench, &plain, &["db", "connections", "--set", "database.pool_max=5"]).expect_code(0).stdout;
        assert!(words.contains("Room for us:  5;") && words.contains("pg_read_all_stats"), "{words}");
        drop((other, waiting));
    });
}

struct Other(sqlx::PgPool);

impl Other {
    async fn connect(url: &str, name: &str) -> Self {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
        Self(pool.connect_with(options.application_name(name)).await.unwrap())
    }

    async fn begin(&self) {
        let mut connection = self.0.acquire().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut *connection).await.unwrap();
        // Stays as it is: the pool would look whether it is fit.
        std::mem::forget(connection);
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_40_after_refused_rows_every_connection_of_the_pool_is_idle_and_none_in_a_transaction() {
    run(async {
        let cluster = Cluster::start("", |_| {});
        let (url, bench) = (cluster.url(), Bench::new());
        let store = PostgresStore::open(&Target::new(&url)).await.unwrap();
        let write = |number: u128| {
            let mut row = super::rows::event_row(number + 1);
            // The column takes 100 characters: every tenth batch is refused.
            row.event_source = if number.is_multiple_of(10) { LONG } else { "cli" };
            actors::metric::Row::Event(row)
        };
        for number in 0..200 {
            let written = actors::ports::MetricStore::write(&store, &[write(number)]).await;
            assert_eq!(written.is_err(), number.is_multiple_of(10));
        }
        let told = data(&omninode(&bench, &url, &["db", "connections", "--format", "json"]));
        assert_eq!((&told["idle_in_transaction"], &told["ours_idle_in_transaction"]), (&json!(0), &json!(0)));
        assert_eq!(
            told["ours"].as_i64().unwrap(),
            told["ours_idle"].as_i64().unwrap() + 1,
            "all but the one that asks: {told}"
        );
        assert_eq!(store.pool().num_idle(), store.pool().size() as usize);
    });
}

const LONG: &str = "a source with a name that is longer than any that the column takes, which has room for a hundred \
    characters and not for one more";

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_server_starts_with_the_settings_of_configs_and_has_them() {
    run(async {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/postgresql.conf");
        let text = std::fs::read_to_string(file).unwrap();
        let cluster = Cluster::start("", |data| {
            let own = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
            std::fs::write(data.join("postgresql.conf"), format!("{own}\ninclude 'omninode.conf'\n")).unwrap();
            std::fs::copy(file, data.join("omninode.conf")).unwrap();
        });
        let settings: Vec<(&str, &str)> = text
            .lines()
            .map(|line| line.split('#').next().unwrap().trim())
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once('=').map(|(name, value)| (name.trim(), value.trim())).unwrap())
            .collect();
        // The guide's 13 but one.
        assert_eq!(settings.len(), 12, "{settings:?}");
        for (name, value) in settings {
            let shown = psql(&cluster.url(), ["-At", "-c", &format!("SHOW {name}")]);
            let shown = String::from_utf8(shown.stdout).unwrap();
            let milliseconds = value.parse::<u32>().ok().filter(|_| name == "log_min_duration_statement");
            let expected = milliseconds.map_or_else(|| value.to_owned(), |value| format!("{}s", value / 1_000));
            assert_eq!(shown.trim_end(), expected, "{name}");
        }
        assert!(!text.lines().any(|line| line.trim_start().starts_with("max_prepared_transactions")));
    });
}
