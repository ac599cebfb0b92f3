//! The conformance suite: the same tests on every store, with the same answers.

use std::time::{Duration, SystemTime};

use actors::metric::{EventRow, PhaseRow, Row, TemplateRow};
use actors::ports::StoreError;
use uuid::Uuid;

use super::rows::{Ends, event, event_row, phase, phase_row, template, template_row, written};
use super::run;
use super::subject::{Event, Phase, Subject, Template};

macro_rules! suite {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[test]
            fn $promise() {
                super::run(async { super::$promise(&super::Subject::memory()).await });
            })+
        }
        mod sqlite {
            $(#[test]
            fn $promise() {
                super::run(async { super::$promise(&super::Subject::sqlite().await).await });
            })+
        }
        mod postgres {
            $(#[test]
            #[ignore = "needs a PostgreSQL: ./test storage"]
            fn $promise() {
                super::run(async { super::$promise(&super::Subject::postgres().await).await });
            })+
        }
    };
}

suite! {
    an_event_keeps_its_values,
    a_phase_keeps_its_values,
    rows_that_are_sent_again_are_stored_once,
    rows_of_writers_at_once_are_stored_once,
    a_batch_with_a_row_that_is_refused_leaves_nothing_behind,
    one_refused_row_costs_one_row,
    a_batch_of_thousands_is_stored_whole,
    reports_of_templates_add_up_each_once,
    a_text_with_a_zero_byte_is_stored_without_it,
    a_closed_store_takes_nothing_more,
}

async fn an_event_keeps_its_values(subject: &Subject) {
    let failed = EventRow {
        attempt: 3,
        processing: Duration::from_secs(86_400),
        queue_wait: Duration::ZERO,
        error: Some(("contract".to_owned(), "a.yaml:1:1: „ß\" 'x' \\n\n\t∅".to_owned())),
        ..event_row(2)
    };
    subject.write(&[event(1), Row::Event(failed)]).await;
    let first = Event {
        event_id: Uuid::from_u128(1).to_string(),
        attempt: 1,
        event_type: "node.generate".to_owned(),
        event_source: "cli".to_owned(),
        processing_duration_ms: 1.25,
        queue_wait_time_ms: 0.375,
        success: true,
        error_type: None,
        error_message: None,
        retry_count: 0,
        created: 1_700_000_000_123,
    };
    let second = Event {
        event_id: Uuid::from_u128(2).to_string(),
        attempt: 3,
        event_type: "node.generate".to_owned(),
        event_source: "cli".to_owned(),
        processing_duration_ms: 86_400_000.0,
        queue_wait_time_ms: 0.0,
        success: false,
        error_type: Some("contract".to_owned()),
        error_message: Some("a.yaml:1:1: „ß\" 'x' \\n\n\t∅".to_owned()),
        retry_count: 2,
        created: 1_700_000_000_123,
    };
    assert_eq!(subject.events().await, [first, second]);
}

async fn a_phase_keeps_its_values(subject: &Subject) {
    let alone = PhaseRow { worker_count: 1, cache_hit: false, duration: Duration::from_nanos(250), ..phase_row(2) };
    subject.write(&[phase(1), Row::Phase(alone)]).await;
    let first = Phase {
        session_id: Uuid::from_u128(9).to_string(),
        node_type: "EFFECT".to_owned(),
        phase: "code_gen".to_owned(),
        duration_ms: 0.412,
        cache_hit: true,
        parallel_execution: true,
        worker_count: 2,
        package: "node_\"x\"".to_owned(),
        created: 1_700_000_000_123,
    };
    let stored = subject.phases().await;
    assert_eq!(stored[0], first);
    let second = Phase { duration_ms: 0.00025, cache_hit: false, parallel_execution: false, worker_count: 1, ..first };
    assert_eq!(stored[1..], [second]);
}

async fn rows_that_are_sent_again_are_stored_once(subject: &Subject) {
    let rows = [event(1), phase(2), event(3), template(4, "own/a.py.j2")];
    for _ in 0..3 {
        subject.write(&rows).await;
    }
    // Some were stored before, one stands twice in the batch, one has other values under a known id.
    let other = EventRow { attempt: 7, ..event_row(1) };
    subject.write(&[event(3), event(5), event(5), Row::Event(other), phase(2), phase(6)]).await;
    assert_eq!(subject.counts().await, (3, 2, 1));
    assert_eq!(subject.events().await[0].attempt, 1, "what was stored first stays");
    assert_eq!(subject.templates().await[0].access_count, 4);
}

async fn rows_of_writers_at_once_are_stored_once(subject: &Subject) {
    let batch = |from: u128| -> Vec<Row> {
        let rows = (from..from + 300).map(event).chain((from..from + 300).map(|number| phase(10_000 + number)));
        rows.chain((0..6).map(|name| template(20_000 + from + name, &format!("own/{name}.py.j2")))).collect()
    };
    // Each half of a batch is in another one too.
    let batches = [batch(0), batch(150), batch(300), batch(450)];
    let writes = batches.iter().map(|rows| async {
        for _ in 0..2 {
            // Two that lock each other out are told so, and try again, as the writer does.
            while let Err(StoreError::Down(_)) = subject.store.write(rows).await {}
        }
    });
    let all = async {
        let mut writes: Vec<_> = writes.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            writes.retain_mut(|write| write.as_mut().poll(context).is_pending());
            if writes.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    };
    tokio::time::timeout(Subject::patience(), all).await.expect("no writer waits for ever");
    assert_eq!(subject.counts().await, (750, 750, 6));
    let counts: Vec<_> = subject.templates().await.iter().map(|template| template.access_count).collect();
    assert_eq!(counts, [16; 6]);
}

/// Too long for its column, in characters.
const LONG: &str =
    "ß234567890ß234567890ß234567890ß234567890ß234567890ß234567890ß234567890ß234567890ß234567890ß2345678901";

/// One of each kind of row that no try can store.
fn refused() -> Vec<Row> {
    let event = |change: fn(&mut EventRow)| {
        let mut row = event_row(900);
        change(&mut row);
        Row::Event(row)
    };
    let template = |change: fn(&mut TemplateRow)| {
        let mut row = template_row(900, "own/x.py.j2");
        change(&mut row);
        Row::Template(row)
    };
    vec![
        event(|row| row.event_type = LONG),
        event(|row| row.event_source = LONG),
        event(|row| row.error = Some((LONG.to_owned(), String::new()))),
        event(|row| row.attempt = 0),
        Row::Phase(PhaseRow { node_type: LONG, ..phase_row(900) }),
        Row::Phase(PhaseRow { worker_count: 0, ..phase_row(900) }),
        template(|row| row.name = "x".repeat(201).into()),
        template(|row| row.kind = "x".repeat(51)),
        template(|row| row.hash = "x".repeat(65)),
    ]
}

async fn a_batch_with_a_row_that_is_refused_leaves_nothing_behind(subject: &Subject) {
    assert_eq!(LONG.chars().count(), 101);
    for bad in refused() {
        let rows = [event(1), phase(2), template(3, "own/a.py.j2"), bad.clone(), event(4)];
        let written = subject.store.write(&rows).await;
        assert!(matches!(written, Err(StoreError::Refused(_))), "{written:?} of {bad:?}");
        assert_eq!(subject.counts().await, (0, 0, 0), "{bad:?}");
    }
    // As long as the column is wide.
    let hundred: String = LONG.chars().take(100).collect();
    subject.write(&[Row::Event(EventRow { error: Some((hundred, String::new())), ..event_row(1) })]).await;
    assert_eq!(subject.counts().await, (1, 0, 0));
}

async fn one_refused_row_costs_one_row(subject: &Subject) {
    let bad = refused();
    let count = bad.len() as u64;
    let ends = written(subject.store.clone(), 4_096, async |recorder| {
        for number in 1..=500 {
            recorder.record(vec![event(number), phase(1_000 + number)]).await;
        }
        for (number, row) in (2_000..).zip(bad) {
            recorder.record(vec![event(number), row]).await;
        }
    })
    .await;
    assert_eq!(ends, Ends { stored: 1_000 + count, refused: count, dropped: 0 });
    assert_eq!(subject.counts().await, (500 + refused().len(), 500, 0));
}

async fn a_batch_of_thousands_is_stored_whole(subject: &Subject) {
    let templates = (0..300).map(|number| template(9_000 + number, &format!("own/{number}.py.j2")));
    let rows: Vec<Row> = (1..=2_500).map(event).chain((3_000..4_200).map(phase)).chain(templates).collect();
    subject.write(&rows).await;
    assert_eq!(subject.counts().await, (2_500, 1_200, 300));
    subject.write(&[]).await;
}

async fn reports_of_templates_add_up_each_once(subject: &Subject) {
    let report = |id: u128, hits: u64, accessed: Option<u64>| {
        let accessed = accessed.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        Row::Template(TemplateRow { hits, last_accessed: accessed, ..template_row(id, "own/a.py.j2") })
    };
    subject.write(&[report(1, 10, Some(100)), report(2, 5, None)]).await;
    subject.write(&[report(3, 7, Some(50))]).await;
    // Nobody knew how their commits ended; one stands twice in a batch.
    subject.write(&[report(1, 10, Some(100)), report(2, 5, None)]).await;
    subject.write(&[report(3, 7, Some(50)), report(4, 1, None), report(4, 1, None)]).await;
    let sum = Template {
        template_name: "own/a.py.j2".to_owned(),
        file_hash: format!("{:064}", 4),
        load_time_ms: 1.5,
        access_count: 27,
        cache_hits: 23,
        cache_misses: 4,
        accessed: Some(100_000),
    };
    assert_eq!(subject.templates().await, [sum]);
}

async fn a_text_with_a_zero_byte_is_stored_without_it(subject: &Subject) {
    let error = Some(("io".to_owned(), "a\0b".to_owned()));
    let package = PhaseRow { package: std::sync::Arc::from("x\0y"), ..phase_row(2) };
    subject.write(&[Row::Event(EventRow { error, ..event_row(1) }), Row::Phase(package)]).await;
    assert_eq!(subject.events().await[0].error_message.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(subject.phases().await[0].package, "x\u{fffd}y");
}

async fn a_closed_store_takes_nothing_more(subject: &Subject) {
    subject.write(&[event(1)]).await;
    subject.store.close().await;
    let written = subject.store.write(&[event(2)]).await;
    assert!(matches!(written, Err(StoreError::Down(_))), "{written:?}");
    assert_eq!(subject.counts().await, (1, 0, 0));
}

/// A trigger of the database's owner that takes no row of one source.
async fn a_row_that_a_trigger_refuses_costs_one_row(subject: &Subject, trigger: &str) {
    subject.run(trigger).await;
    let alone = subject.store.write(&[Row::Event(EventRow { event_source: "banned", ..event_row(900) })]).await;
    assert!(matches!(&alone, Err(StoreError::Refused(why)) if why.contains("no such source")), "{alone:?}");
    let ends = written(subject.store.clone(), 1_024, async |recorder| {
        for number in 1..=50 {
            let event_source = if number == 25 { "banned" } else { "cli" };
            recorder.record(vec![Row::Event(EventRow { event_source, ..event_row(number) })]).await;
        }
    })
    .await;
    assert_eq!(ends, Ends { stored: 49, refused: 1, dropped: 0 });
    assert_eq!(subject.counts().await, (49, 0, 0));
}

#[test]
fn on_sqlite_a_row_that_a_trigger_refuses_costs_one_row() {
    let trigger = "CREATE TRIGGER banned BEFORE INSERT ON event_processing_metrics WHEN new.event_source = 'banned' \
                   BEGIN SELECT raise(ABORT, 'no such source'); END";
    run(async { a_row_that_a_trigger_refuses_costs_one_row(&Subject::sqlite().await, trigger).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn on_postgres_a_row_that_a_trigger_refuses_costs_one_row() {
    let trigger = "CREATE FUNCTION banned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   IF new.event_source = 'banned' THEN RAISE EXCEPTION 'no such source'; END IF; RETURN new; END $$; \
                   CREATE TRIGGER banned BEFORE INSERT ON event_processing_metrics FOR EACH ROW \
                   EXECUTE FUNCTION banned()";
    run(async { a_row_that_a_trigger_refuses_costs_one_row(&Subject::postgres().await, trigger).await });
}

/// A report comes again after the network was away; `ages` sets how old its id is.
async fn a_report_counts_once_for_thirty_days(subject: &Subject, ages: impl Fn(u32) -> String) {
    let hits = async || subject.templates().await[0].cache_hits;
    for (days, counted) in [(29, 3), (31, 6)] {
        subject.write(&[template(1, "own/a.py.j2")]).await;
        subject.run(&ages(days)).await;
        // Whatever is too old goes with the next report.
        subject.write(&[template(2, "own/b.py.j2")]).await;
        subject.write(&[template(1, "own/a.py.j2")]).await;
        assert_eq!(hits().await, counted, "after {days} days");
    }
}

#[test]
fn on_sqlite_a_report_counts_once_for_thirty_days() {
    let ages = |days| {
        format!("UPDATE template_cache_reports SET applied_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-{days} days')")
    };
    run(async { a_report_counts_once_for_thirty_days(&Subject::sqlite().await, ages).await });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn on_postgres_a_report_counts_once_for_thirty_days() {
    let ages = |days| format!("UPDATE template_cache_reports SET applied_at = now() - interval '{days} days'");
    run(async { a_report_counts_once_for_thirty_days(&Subject::postgres().await, ages).await });
}
