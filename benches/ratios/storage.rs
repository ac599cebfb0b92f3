//! The writer's path into the real tables, beside the barest way to get the same rows there: `COPY` on PostgreSQL, a loop of
//! inserts on SQLite. Durability is as the program has it, on both sides.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use actors::kit::{Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull};
use actors::metric::{EventRow, Phase, PhaseRow, Row, milliseconds};
use actors::metric_writer::{Config, MetricWriter, Recorder, Tally};
use actors::ports::MetricStore;
use anyhow::{Result, ensure};
use omninode::storage::{PostgresStore, SqliteStore, Target};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, QueryBuilder, Sqlite, SqliteConnection};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Bench;
use crate::measure::{Row as Line, Section, Series, Unit, alternate};

/// A superuser's URL, set by `tests/cluster`.
const SERVER: &str = "OMNINODE_TEST_POSTGRES";

/// Rows that the writer stores together.
const BATCH: usize = 1_000;

/// What `generate` makes of one node: its phases and the attempt.
fn node(number: usize) -> Vec<Row> {
    let at = SystemTime::now();
    let phase = |phase: Phase| {
        Row::Phase(PhaseRow {
            id: Uuid::now_v7(),
            session_id: Uuid::from_u128(7),
            node_type: ["EFFECT", "COMPUTE", "REDUCER", "ORCHESTRATOR"][number % 4],
            phase,
            duration: Duration::from_nanos(400_000 + (number as u64 * 7_919) % 4_000_000),
            cache_hit: !number.is_multiple_of(20),
            worker_count: 2,
            package: format!("node_number_{number}_effect"),
            created_at: at,
        })
    };
    let event = EventRow {
        id: Uuid::now_v7(),
        event_id: Uuid::now_v7(),
        attempt: 1,
        event_type: "node.generate",
        event_source: "cli",
        processing: Duration::from_nanos(2_000_000 + (number as u64 * 104_729) % 9_000_000),
        queue_wait: Duration::from_nanos((number as u64 * 1_299_709) % 30_000_000),
        error: None,
        created_at: at,
    };
    Phase::ALL.into_iter().map(phase).chain([Row::Event(event)]).collect()
}

fn nodes(count: usize) -> Vec<Vec<Row>> {
    (0..count).map(node).collect()
}

/// Rows a second from the first that is recorded until the last is stored.
fn through_the_writer(runtime: &Runtime, store: &Arc<dyn MetricStore>, nodes: Vec<Vec<Row>>) -> Result<[f64; 1]> {
    let rows = nodes.iter().map(Vec::len).sum::<usize>();
    let store = Arc::clone(store);
    let guard = runtime.enter();
    let (seconds, stored) = actix_rt::System::new().block_on(async move {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let limits = MailboxLimits { capacity: 4_096, attempts_max: 3 };
        let mailbox = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
        let mut supervisor = Supervisor::new(Placement::Threads, observer, 0);
        let tally = Arc::new(Tally::default());
        // It waits where the program drops: every row is to be stored here.
        let recorder = Recorder::new(mailbox.edge(WhenFull::Wait), Arc::clone(&tally));
        let (counted, never, kept) = (Arc::clone(&tally), CancellationToken::new(), Kept(store));
        let kept = Arc::new(kept);
        supervisor.start("metric_writer", mailbox.inbox(), RestartPolicy::per_minute(1), move || {
            let store = Arc::clone(&kept) as Arc<dyn MetricStore>;
            MetricWriter::new(Config::default(), store, Arc::clone(&counted), never.clone(), 0)
        });
        let started = Instant::now();
        for rows in nodes {
            recorder.record(rows).await;
        }
        mailbox.close();
        supervisor.ended().await;
        (started.elapsed().as_secs_f64(), tally.stored.load(Ordering::SeqCst))
    });
    drop(guard);
    ensure!(stored == rows as u64, "{stored} of {rows} rows are stored");
    Ok([rows as f64 / seconds])
}

/// A store that outlives its writer.
struct Kept(Arc<dyn MetricStore>);

#[async_trait::async_trait]
impl MetricStore for Kept {
    async fn write(&self, rows: &[Row]) -> Result<(), actors::ports::StoreError> {
        self.0.write(rows).await
    }
}

pub(crate) fn bench(bench: &Bench) -> Result<Section> {
    let mut section = Section::default();
    // The store's own; the writer's actors have theirs.
    let runtime = omninode::app::runtime();
    let rounds = bench.effort.pick(3, 7);
    sqlite(bench, &runtime, bench.effort.pick(2_000, 8_000), rounds, &mut section)?;
    match std::env::var(SERVER) {
        Ok(server) => postgres(&server, &runtime, bench.effort.pick(2_000, 8_000), rounds, &mut section)?,
        Err(_) => section.note("No PostgreSQL: `tests/cluster cargo bench --bench ratios -- storage` starts one."),
    }
    section.note(
        "Ours is the whole way: the actor's mailbox, batches of 1,000 rows, the rollups by hour, the check for rows that \
         were sent before. A row is of the size that `generate` makes: six phases and one attempt for each node.",
    );
    Ok(section)
}

fn line(case: &str, ours: &[Series; 1], peer: &str, theirs: &[Series; 1], least: f64) -> Line {
    Line::new(case, Unit::PerSecond, &ours[0]).against(peer, &theirs[0]).ratio_at_least(least)
}

fn sqlite(bench: &Bench, runtime: &Runtime, count: usize, rounds: usize, section: &mut Section) -> Result<()> {
    let folder = bench.fresh()?;
    let url = format!("sqlite://{}/omninode.db", folder.display());
    let store = runtime.block_on(SqliteStore::open(&url)).map_err(anyhow::Error::msg)?;
    let store: Arc<dyn MetricStore> = Arc::new(store);
    let measured = alternate(
        1,
        rounds,
        &mut [&mut || through_the_writer(runtime, &store, nodes(count)), &mut || {
            let nodes = nodes(count);
            runtime.block_on(bare_inserts(&url, &nodes))
        }],
    )?;
    runtime.block_on(store.close());
    section.rows.push(line("SQLite, rows", &measured[0], "loop of multi-row inserts", &measured[1], 0.8));
    Ok(())
}

/// The same rows by statements of a hundred rows in transactions of a batch, and nothing else.
async fn bare_inserts(url: &str, nodes: &[Vec<Row>]) -> Result<[f64; 1]> {
    let options: SqliteConnectOptions = url.parse()?;
    let options = options.synchronous(sqlx::sqlite::SqliteSynchronous::Normal).foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let rows: Vec<&Row> = nodes.iter().flatten().collect();
    let started = Instant::now();
    for batch in rows.chunks(BATCH) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let phases: Vec<&PhaseRow> =
            batch.iter().filter_map(|row| if let Row::Phase(row) = row { Some(row) } else { None }).collect();
        for chunk in phases.chunks(100) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO generation_performance_metrics (id, session_id, node_type, phase, duration_ms, cache_hit, \
                 parallel_execution, worker_count, metadata, created_at) ",
            );
            insert.push_values(chunk, |mut values, row| {
                values
                    .push_bind(row.id.to_string())
                    .push_bind(row.session_id.to_string())
                    .push_bind(row.node_type)
                    .push_bind(row.phase.as_str())
                    .push_bind(milliseconds(row.duration))
                    .push_bind(row.cache_hit)
                    .push_bind(row.worker_count > 1)
                    .push_bind(row.worker_count)
                    .push_bind(format!("{{\"package\":\"{}\"}}", row.package))
                    .push("strftime('%Y-%m-%d %H:%M:%f', ")
                    .push_bind_unseparated(seconds(row.created_at))
                    .push_unseparated(", 'unixepoch')");
            });
            insert.build().persistent(chunk.len() == 100).execute(&mut *transaction).await?;
        }
        let events: Vec<&EventRow> =
            batch.iter().filter_map(|row| if let Row::Event(row) = row { Some(row) } else { None }).collect();
        for chunk in events.chunks(100) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO event_processing_metrics (id, event_id, attempt, event_type, event_source, \
                 processing_duration_ms, queue_wait_time_ms, success, retry_count, created_at) ",
            );
            insert.push_values(chunk, |mut values, row| {
                values
                    .push_bind(row.id.to_string())
                    .push_bind(row.event_id.to_string())
                    .push_bind(row.attempt)
                    .push_bind(row.event_type)
                    .push_bind(row.event_source)
                    .push_bind(milliseconds(row.processing))
                    .push_bind(milliseconds(row.queue_wait))
                    .push_bind(true)
                    .push_bind(0)
                    .push("strftime('%Y-%m-%d %H:%M:%f', ")
                    .push_bind_unseparated(seconds(row.created_at))
                    .push_unseparated(", 'unixepoch')");
            });
            insert.build().persistent(chunk.len() == 100).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let taken = started.elapsed().as_secs_f64();
    connection.close().await?;
    Ok([rows.len() as f64 / taken])
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn postgres(server: &str, runtime: &Runtime, count: usize, rounds: usize, section: &mut Section) -> Result<()> {
    let url: sqlx::Result<String> = runtime.block_on(async {
        let mut connection = PgConnection::connect(server).await?;
        connection.execute("DROP DATABASE IF EXISTS omninode_bench").await?;
        connection.execute("CREATE DATABASE omninode_bench").await?;
        // Over its socket: on TCP the many small messages of `COPY` wait for acknowledgements, 40 ms each time.
        let (folder, port): (String, String) =
            sqlx::query_as("SELECT current_setting('unix_socket_directories'), current_setting('port')")
                .fetch_one(&mut connection)
                .await?;
        connection.close().await?;
        let folder = folder.split(',').next().unwrap_or_default().trim();
        Ok(format!("postgresql:///omninode_bench?user=postgres&host={folder}&port={port}"))
    });
    let url = url?;
    let store = runtime.block_on(PostgresStore::open(&Target::new(&url))).map_err(anyhow::Error::msg)?;
    let store: Arc<dyn MetricStore> = Arc::new(store);
    let copied = |batch: usize| {
        let nodes = nodes(count);
        runtime.block_on(copy(&url, &nodes, batch))
    };
    let measured = alternate(
        1,
        rounds,
        &mut [&mut || through_the_writer(runtime, &store, nodes(count)), &mut || copied(BATCH), &mut || {
            copied(usize::MAX)
        }],
    )?;
    runtime.block_on(store.close());
    let [ours, batches, whole] = measured.as_slice() else { anyhow::bail!("three contenders") };
    section.rows.push(line("PostgreSQL, rows", ours, "COPY, committed by 1,000 rows", batches, 0.7));
    section.rows.push(Line::new("PostgreSQL, rows", Unit::PerSecond, &ours[0]).against("one COPY of all", &whole[0]));
    Ok(())
}

/// The same rows by `COPY`, in transactions of so many rows; their text is made before the clock runs.
async fn copy(url: &str, nodes: &[Vec<Row>], batch: usize) -> Result<[f64; 1]> {
    const PHASES: &str = "COPY generation_performance_metrics (id, session_id, node_type, phase, duration_ms, cache_hit, \
                          parallel_execution, worker_count, metadata, created_at) FROM STDIN";
    const EVENTS: &str = "COPY event_processing_metrics (id, event_id, attempt, event_type, event_source, \
                          processing_duration_ms, queue_wait_time_ms, success, error_type, error_message, retry_count, \
                          created_at) FROM STDIN";
    let mut connection = PgConnection::connect(url).await?;
    let rows: Vec<&Row> = nodes.iter().flatten().collect();
    let zero = Duration::ZERO;
    let time = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(zero);
        let (day, micros) = (since.as_secs() % 86_400, since.subsec_micros());
        // Today is as good a day as any.
        format!("2026-01-01 {:02}:{:02}:{:02}.{micros:06}+00", day / 3_600, day / 60 % 60, day % 60)
    };
    let mut texts = Vec::new();
    for batch in rows.chunks(batch.min(rows.len())) {
        let (mut phases, mut events) = (String::new(), String::new());
        for row in batch {
            match row {
                Row::Phase(row) => writeln!(
                    phases,
                    "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{{\"package\": \"{}\"}}\t{}",
                    row.id,
                    row.session_id,
                    row.node_type,
                    row.phase.as_str(),
                    milliseconds(row.duration),
                    row.cache_hit,
                    row.worker_count > 1,
                    row.worker_count,
                    row.package,
                    time(row.created_at)
                )?,
                Row::Event(row) => writeln!(
                    events,
                    "{}\t{}\t{}\t{}\t{}\t{}\t{}\ttrue\t\\N\t\\N\t0\t{}",
                    row.id,
                    row.event_id,
                    row.attempt,
                    row.event_type,
                    row.event_source,
                    milliseconds(row.processing),
                    milliseconds(row.queue_wait),
                    time(row.created_at)
                )?,
                Row::Template(_) => {}
            }
        }
        texts.push((phases, events));
    }
    let started = Instant::now();
    for (phases, events) in &texts {
        connection.execute("BEGIN").await?;
        for (statement, text) in [(PHASES, phases), (EVENTS, events)] {
            let mut copy = connection.copy_in_raw(statement).await?;
            copy.send(text.as_bytes()).await?;
            copy.finish().await?;
        }
        connection.execute("COMMIT").await?;
    }
    let taken = started.elapsed().as_secs_f64();
    let stored: i64 = sqlx::query_scalar(AssertSqlSafe("SELECT count(*) FROM event_processing_metrics".to_owned()))
        .fetch_one(&mut connection)
        .await?;
    ensure!(stored >= nodes.len() as i64, "{stored} events are there");
    connection.close().await?;
    Ok([rows.len() as f64 / taken])
}
