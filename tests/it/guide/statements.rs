//! Rows 25 to 30, 34 and 48, and every other statement of the guide: run as it is printed, on the rows of `fixture.sql`,
//! with the answers that stand beside it in `statements.sql`.

use std::path::Path;

use omninode::storage::{Store, Target};
use sqlx::{AssertSqlSafe, Column as _, Row as _, SqlitePool, TypeInfo as _, ValueRef as _};

use crate::storage::{Cluster, Database, psql, run};
use crate::support::{Bench, Ended, corpus};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guide");

/// A statement and its answer; `statements.sql` says how they are written.
#[derive(Debug, Default, Clone)]
struct Block {
    /// `guide 441-442: Template cache efficiency`
    head: String,
    on: Vec<String>,
    columns: Vec<String>,
    sql: String,
    expect: String,
    rows: Vec<Vec<String>>,
}

impl Block {
    /// Which lines of the guide it is.
    fn lines(&self) -> &str {
        self.head.split([' ', ':']).nth(1).unwrap()
    }

    fn is_guides(&self) -> bool {
        self.head.starts_with("guide ")
    }
}

fn blocks() -> Vec<Block> {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("statements.sql")).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        let words = |list: &str| list.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let is_head = |rest: &&str| {
            let number = rest.strip_prefix("guide ").or_else(|| rest.strip_prefix("corrected "));
            number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let comment = line.strip_prefix("-- ");
        if let Some(head) = comment.filter(is_head) {
            blocks.push(Block { head: head.to_owned(), ..Block::default() });
            continue;
        }
        let Some(block) = blocks.last_mut() else { continue };
        match comment {
            Some(rest) if rest.starts_with("on: ") => block.on = words(&rest[4..]),
            Some(rest) if rest.starts_with("columns: ") => block.columns = words(&rest[9..]),
            Some(rest) if rest.starts_with("expect ") => block.expect = rest[7..].to_owned(),
            Some(rest) if !block.expect.is_empty() => {
                block.rows.push(rest.trim_start().split('|').map(str::to_owned).collect());
            }
            _ if block.expect.is_empty() => block.sql += &format!("{line}\n"),
            _ => {}
        }
    }
    blocks
}

/// The rows, with their times as the database writes them.
fn fixture(ago: impl Fn(&str) -> String) -> String {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("fixture.sql")).unwrap();
    let (mut whole, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').expect("a bracket is closed");
        whole += before;
        whole += &if inside.starts_with(|c: char| c.is_ascii_digit()) { ago(inside) } else { format!("{{{inside}}}") };
        rest = after;
    }
    whole + rest
}

fn on_postgres(age: &str) -> String {
    format!("now() - interval '{age}'")
}

fn on_sqlite(age: &str) -> String {
    format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '-{age}')")
}

/// What a statement gave.
struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// What `psql` printed instead of rows.
    text: String,
    error: String,
}

fn by_psql(url: &str, block: &Block) -> Answer {
    let format = ["-A", "-F", "|", "-P", "footer=off", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"];
    let ended = psql(url, format.into_iter().chain(["-c", &block.sql]));
    let text = String::from_utf8(ended.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    let rows = lines.collect();
    // Notices are no error.
    let error = if ended.status.success() { Vec::new() } else { ended.stderr };
    Answer { columns, rows, text, error: String::from_utf8(error).unwrap() }
}

async fn by_sqlite(pool: &SqlitePool, block: &Block) -> Answer {
    let found = sqlx::query(AssertSqlSafe(block.sql.clone())).fetch_all(pool).await.unwrap();
    let cell = |row: &sqlx::sqlite::SqliteRow, at: usize| {
        let value = row.try_get_raw(at).unwrap();
        let kind = if value.is_null() { "NULL".to_owned() } else { value.type_info().name().to_owned() };
        match kind.as_str() {
            "NULL" => String::new(),
            "INTEGER" => row.get_unchecked::<i64, _>(at).to_string(),
            "REAL" => row.get_unchecked::<f64, _>(at).to_string(),
            _ => row.get_unchecked::<String, _>(at),
        }
    };
    let columns: Vec<String> = found
        .first()
        .map_or_else(Vec::new, |row| row.columns().iter().map(|column| column.name().to_owned()).collect());
    let rows = found.iter().map(|row| (0..columns.len()).map(|at| cell(row, at)).collect()).collect();
    Answer { columns, rows, text: String::new(), error: String::new() }
}

/// Cells that are numbers on both sides are compared as numbers.
fn same_cell(found: &str, expected: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    match (number(found), number(expected)) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        _ => found == expected,
    }
}

#[track_caller]
fn check(block: &Block, answer: &Answer) {
    let Answer { columns, rows, text, error } = answer;
    let told = format!("{}\n{}\n{text}{rows:?}\n{error}", block.head, block.sql);
    let (kind, rest) = block.expect.split_once(' ').unwrap_or((&block.expect, ""));
    if kind == "error" {
        let (code, message) = rest.split_once(": ").unwrap();
        assert!(error.contains(code) && error.contains(message), "{told}");
        return;
    }
    assert_eq!(error, "", "{told}");
    match kind {
        "done" => {}
        "count" => assert!(text.trim_end().ends_with(&format!(" {rest}")), "{told}"),
        "match" => assert!(matches(text.trim_end().lines().last().unwrap_or_default(), rest), "{told}"),
        "rows" => {
            let place =
                |name: &String| columns.iter().position(|column| column == name).expect("a column by this name");
            let places: Vec<usize> = match block.columns.as_slice() {
                [] => (0..columns.len()).collect(),
                names => names.iter().map(place).collect(),
            };
            let picked = |row: &Vec<String>| places.iter().map(|at| row[*at].clone()).collect::<Vec<_>>();
            let (mut found, mut expected): (Vec<_>, _) = (rows.iter().map(picked).collect(), block.rows.clone());
            if rest == "in any order" {
                found.sort();
                expected.sort();
            }
            let same = |(found, expected): (&Vec<String>, &Vec<String>)| {
                found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| same_cell(a, b))
            };
            assert!(found.len() == expected.len() && found.iter().zip(&expected).all(same), "{found:#?}\n{told}");
        }
        other => panic!("`{other}` is not explained in statements.sql"),
    }
}

/// The few expressions that statements.sql has: anchors, and classes of digits.
fn matches(text: &str, expression: &str) -> bool {
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match expression {
        "^[1-9][0-9]*$" => digits(text),
        "^[1-9][0-9]* (kB|MB|GB)$" => {
            text.split_once(' ').is_some_and(|(number, unit)| digits(number) && ["kB", "MB", "GB"].contains(&unit))
        }
        "^PostgreSQL [1-9][0-9]" => text.strip_prefix("PostgreSQL ").is_some_and(|rest| digits(&rest[..2])),
        plain => text.contains(plain),
    }
}

/// Runs the statements of these lines, each on every database that understands it.
fn answers_are_right(lines: &[&str]) {
    run(async {
        let blocks: Vec<Block> = blocks().into_iter().filter(|block| lines.contains(&block.lines())).collect();
        assert!(blocks.len() >= lines.len(), "{lines:?}");
        let database = Database::new().await;
        Store::migrate(&database.target()).await.unwrap();
        database.run(&fixture(on_postgres)).await;
        for block in &blocks {
            check(block, &by_psql(&database.url(), block));
        }
        for block in blocks.iter().filter(|block| block.on.iter().any(|name| name == "sqlite")) {
            check(block, &by_sqlite(&filled_file().await.1, block).await);
        }
    });
}

async fn filled_file() -> (Bench, SqlitePool) {
    let bench = Bench::new();
    Store::migrate(&Target::new(bench.database())).await.unwrap();
    let pool = SqlitePool::connect(&bench.database()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(fixture(on_sqlite))).execute(&pool).await.unwrap();
    (bench, pool)
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_25_cache_efficiency_by_type_is_right_on_both_databases() {
    answers_are_right(&["441-442"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_26_the_durations_of_the_last_hour_are_right() {
    answers_are_right(&["445-454"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_27_pairs_of_mixins_are_one_row_in_either_order_on_both_databases() {
    answers_are_right(&["457-459"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_28_the_precision_of_patterns_counts_what_was_correct_or_incorrect_on_both_databases() {
    answers_are_right(&["462-464"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_29_the_latency_of_events_is_wait_and_processing_on_both_databases() {
    answers_are_right(&["467-468", "676-678"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_30_the_five_free_queries_have_the_right_answers() {
    answers_are_right(&["475-482", "485-494", "497-506", "640-648", "681-689"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_30_after_one_real_run_the_free_queries_have_rows_and_no_template_is_called_low() {
    run(async {
        let database = Database::new().await;
        let bench = Bench::new();
        let contracts = corpus(&bench, 20);
        let mut command = bench.program();
        command.arg("generate").arg(contracts).args(["--out", "out", "--database", &database.url()]);
        Ended::of(&command.output().unwrap()).expect_code(0);
        let queries = ["475-482", "485-494", "497-506", "640-648", "681-689"];
        for block in blocks().iter().filter(|block| queries.contains(&block.lines())) {
            let answer = by_psql(&database.url(), block);
            // Its templates came from the cache.
            assert_eq!(answer.rows.is_empty(), block.lines() == "497-506", "{}\n{}", block.sql, answer.text);
        }
        let waits = database.ask("SELECT count(*) FROM event_processing_metrics WHERE queue_wait_time_ms > 0");
        assert_eq!(waits, "20");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_48_the_index_statement_fails_as_it_must_and_the_corrected_one_lists_every_index() {
    answers_are_right(&["880-892"]);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_34_every_statement_of_the_guide_works_from_the_first_to_the_last_sizes_and_connections_among_them() {
    run(async {
        // On a server of its own: the database has its name, and a user is made.
        let cluster = Cluster::start("", |_| {});
        let url = cluster.url_of("omninode_bridge");
        for block in &blocks() {
            if block.lines() != "53" {
                check(block, &by_psql(&url, block));
                continue;
            }
            check(block, &by_psql(&cluster.url(), block));
            Store::migrate(&Target::new(&url)).await.unwrap();
            let filled = psql(&url, ["-q", "-v", "ON_ERROR_STOP=1", "-c", &fixture(on_postgres)]);
            assert!(filled.status.success(), "{filled:?}");
        }
    });
}

#[tokio::test]
async fn every_statement_that_sqlite_understands_has_the_right_answer_there() {
    let (_bench, pool) = filled_file().await;
    let on_sqlite = |block: &&Block| block.on.iter().any(|name| name == "sqlite");
    let blocks = blocks();
    // The last one counts what is left after deletions.
    let blocks: Vec<&Block> = blocks.iter().filter(on_sqlite).filter(|block| block.lines() != "1164").collect();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    for block in blocks {
        check(block, &by_sqlite(&pool, block).await);
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn an_insert_of_four_columns_lands_and_every_view_sees_it_on_both_databases() {
    // The guide's, lines 1249 to 1262.
    const COLUMNS: &str =
        "INSERT INTO event_processing_metrics (event_type, event_source, processing_duration_ms, success) ";
    const SEEN: &str = "SELECT event_type || ' ' || total_events || ' ' || CAST(p95_latency_ms AS INTEGER) \
                        FROM event_processing_health WHERE event_type = 'x''; DROP TABLE event_processing_metrics'";
    let hostile = "x'; DROP TABLE event_processing_metrics";
    let seen = format!("{hostile} 1 150");
    run(async {
        let database = Database::new().await;
        Store::migrate(&database.target()).await.unwrap();
        let pool = database.pool().await;
        let insert = sqlx::query(AssertSqlSafe(format!("{COLUMNS} VALUES ($1, $2, $3, $4)")));
        insert.bind(hostile).bind("api").bind(150).bind(true).execute(&pool).await.unwrap();
        assert_eq!(database.ask(SEEN), seen);
        let defaults = "SELECT retry_count, batch_size, attempt, queue_wait_time_ms IS NULL, \
                        created_at > now() - interval '1 minute' FROM event_processing_metrics";
        assert_eq!(database.ask(defaults), "0|1|1|t|t");
        let bench = Bench::new();
        Store::migrate(&Target::new(bench.database())).await.unwrap();
        let pool = SqlitePool::connect(&bench.database()).await.unwrap();
        let insert = sqlx::query(AssertSqlSafe(format!("{COLUMNS} VALUES (?, ?, ?, ?)")));
        insert.bind(hostile).bind("api").bind(150).bind(true).execute(&pool).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, String>(SEEN).fetch_one(&pool).await.unwrap(), seen);
    });
}

#[test]
fn the_list_of_statements_is_read_as_it_is_written() {
    let blocks = blocks();
    assert_eq!(blocks.iter().filter(|block| block.is_guides()).count(), 46, "30 in SQL blocks, 16 in shell blocks");
    for block in &blocks {
        assert!(!block.sql.trim().is_empty() && !block.expect.is_empty() && !block.on.is_empty(), "{block:?}");
        assert_eq!(block.expect.starts_with("rows"), !block.rows.is_empty(), "{block:?}");
    }
    assert!(!fixture(on_sqlite).contains(" minutes}") && fixture(on_postgres).contains("interval '90 minutes'"));
    assert!(fixture(on_sqlite).contains("'{\"package\""));
}
