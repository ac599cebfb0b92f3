//! A PostgreSQL that goes away while rows are written: everything that waited is stored exactly once afterwards, and what did
//! not find room is counted.
//!
//! The server is away for a moment. For a minute, by hand: `OMNINODE_OUTAGE_SECONDS=60 ./test storage outages`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::metric_writer::Recorder;
use actors::ports::MetricStore as _;
use omninode::storage::{PostgresStore, Target};
use sqlx::{Connection as _, PgConnection};

use super::rows::{Ends, event, phase, template, written};
use super::{Cluster, Database, run};

/// Rows of so many events, in messages of three.
async fn record(recorder: &Recorder, numbers: std::ops::Range<u128>, pause: Duration) {
    for number in numbers {
        let rows = vec![event(number), phase(1_000_000 + number), template(2_000_000 + number, "own/a.py.j2")];
        recorder.record(rows).await;
        if number % 50 == 0 {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Events, phases, and what the reports of the template came to.
async fn stored(url: &str) -> (u64, u64, u64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM event_processing_metrics), (SELECT count(*) FROM generation_performance_metrics), \
         (SELECT coalesce(sum(access_count), 0)::int8 FROM template_cache_metadata)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let number = |count: i64| u64::try_from(count).unwrap();
    (number(counts.0), number(counts.1), number(counts.2) / 4)
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn killed_backends_under_load_lose_nothing_and_double_nothing() {
    run(async {
        let database = Database::new().await;
        let store = Arc::new(PostgresStore::open(&database.target()).await.unwrap());
        let ends = written(Arc::clone(&store) as _, 16_384, async |recorder| {
            let kill = async {
                let mut killer = PgConnection::connect(&database.url()).await.unwrap();
                let mut killed = 0;
                for _ in 0..60 {
                    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                                WHERE application_name = 'omninode' AND datname = current_database()";
                    killed += sqlx::query_scalar::<_, i64>(kill).fetch_one(&mut killer).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
                assert!(killed > 5, "only {killed} were killed");
            };
            tokio::join!(record(recorder, 1..5_001, Duration::from_millis(15)), kill);
        })
        .await;
        assert_eq!(ends, Ends { stored: 15_000, refused: 0, dropped: 0 });
        assert_eq!(stored(&database.url()).await, (5_000, 5_000, 5_000));
    });
}

/// A server that is stopped, `how`, while rows come in.
async fn stopped(how: &str) {
    let cluster = Cluster::start("", |_| {});
    let store = Arc::new(PostgresStore::open(&Target::new(cluster.url())).await.unwrap());
    let outage = std::env::var("OMNINODE_OUTAGE_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    let mut next = 4_001;
    let ends = written(Arc::clone(&store) as _, 1_024, async |recorder| {
        record(recorder, 1..501, Duration::from_millis(10)).await;
        cluster.stop(how);
        let until = Instant::now() + Duration::from_secs(outage);
        // More than finds room while nobody takes anything.
        record(recorder, 501..next, Duration::from_millis(20)).await;
        while Instant::now() < until {
            record(recorder, next..next + 500, Duration::from_millis(20)).await;
            next += 500;
        }
        cluster.resume();
        record(recorder, next..next + 500, Duration::from_millis(10)).await;
        next += 500;
    })
    .await;
    let sent = 3 * u64::try_from(next - 1).unwrap();
    println!("{ends:?} of {sent} rows");
    assert_eq!((ends.refused, ends.stored + ends.dropped), (0, sent), "{ends:?}");
    assert!(ends.dropped > 0 && ends.stored > 3 * 1_024, "{ends:?}");
    let (events, phases, reports) = stored(&cluster.url()).await;
    assert_eq!(events + phases + reports, ends.stored, "what was counted as stored is there, once");
    assert_eq!((events, events), (phases, reports));
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_server_that_is_stopped_fast_gets_everything_that_waited_once_it_is_back() {
    run(stopped("fast"));
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_server_that_is_stopped_at_once_gets_everything_that_waited_once_it_is_back() {
    run(stopped("immediate"));
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn while_all_connections_of_the_pool_are_in_use_rows_wait_and_then_they_are_stored() {
    run(async {
        let database = Database::new().await;
        let target = Target { pool_max: 2, ..database.target() };
        let store = Arc::new(PostgresStore::open(&target).await.unwrap());
        let both = [store.pool().acquire().await.unwrap(), store.pool().acquire().await.unwrap()];
        let told = store.write(&[event(9_999)]).await.unwrap_err().to_string();
        assert!(told.contains("no connection within 5 s") && told.contains("all are in use"), "{told}");
        let ends = written(Arc::clone(&store) as _, 4_096, async |recorder| {
            record(recorder, 1..201, Duration::ZERO).await;
            drop(both);
        })
        .await;
        assert_eq!(ends, Ends { stored: 600, refused: 0, dropped: 0 });
        assert_eq!(stored(&database.url()).await, (200, 200, 200));
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_38_the_pool_keeps_its_size_when_idle_and_stays_within_its_limit_under_load() {
    run(async {
        let database = Database::new().await;
        let target = Target { pool_size: 3, pool_max: 5, ..database.target() };
        let store = Arc::new(PostgresStore::open(&target).await.unwrap());
        let connections = "SELECT count(*) FROM pg_stat_activity \
                           WHERE application_name = 'omninode' AND datname = current_database()";
        let mut kept = 0;
        for _ in 0..100 {
            kept = database.ask(connections).parse().unwrap();
            if kept >= 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(kept, 3, "kept when idle");
        let writes: Vec<_> = (0..40u128)
            .map(|batch| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let rows: Vec<_> = (batch * 500..batch * 500 + 500).map(event).collect();
                    store.write(&rows).await
                })
            })
            .collect();
        let mut most = 0;
        while !writes.iter().all(tokio::task::JoinHandle::is_finished) {
            most = most.max(database.ask(connections).parse::<u32>().unwrap());
        }
        for write in writes {
            write.await.unwrap().unwrap();
        }
        assert!((3..=5).contains(&most), "{most}");
        assert_eq!(stored(&database.url()).await.0, 20_000);
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_40_after_ten_thousand_events_with_faults_no_connection_is_in_use() {
    run(async {
        let database = Database::new().await;
        let target = Target { pool_max: 4, ..database.target() };
        let store = Arc::new(PostgresStore::open(&target).await.unwrap());
        let ends = written(Arc::clone(&store) as _, 16_384, async |recorder| {
            for number in 1..=10_000 {
                let long = template(number, &"x".repeat(201));
                let row = if number % 500 == 0 { long } else { event(number) };
                recorder.record(vec![row]).await;
            }
        });
        // Writes that nobody waits for any longer.
        let hasty = async {
            for batch in 0..20u128 {
                let rows: Vec<_> = (50_000 + batch * 100..50_100 + batch * 100).map(event).collect();
                let _ = tokio::time::timeout(Duration::from_micros(300), store.write(&rows)).await;
            }
        };
        let (ends, ()) = tokio::join!(ends, hasty);
        assert_eq!(ends, Ends { stored: 9_980, refused: 20, dropped: 0 });
        let states = "SELECT coalesce(string_agg(DISTINCT state, ','), 'none') FROM pg_stat_activity \
                      WHERE application_name = 'omninode' AND datname = current_database()";
        let mut found = String::new();
        for _ in 0..100 {
            found = database.ask(states);
            if ["idle", "none"].contains(&found.as_str()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(["idle", "none"].contains(&found.as_str()), "{found}");
    });
}
