//! What a database is like: sizes, indexes, connections. Nothing is changed.

use clap::Subcommand;

use super::{EXIT_ATTENTION, EXIT_OK, EXIT_USAGE, json};
use crate::app::say;
use crate::diagnostics::printable;
use crate::storage::{self, Connections, Indexes, Sizes, Target};
use crate::summary::{Format, count, size};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Tell how large the database and its tables are.
    Sizes,
    /// Tell how often each index is read, and which ones nobody reads.
    Indexes,
    /// Tell who is connected to the server, and whether there is room for our pools; exit 4 where there is not.
    Connections {
        /// Processes that use this database at once, each with `database.pool_max` connections.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        processes: u32,
    },
}

/// What is printed, and the exit code.
pub(super) async fn run(command: Command, database: &Target, format: Format) -> Result<(String, u8), String> {
    match command {
        Command::Sizes => {
            let sizes = storage::sizes(database).await?;
            Ok((if format == Format::Json { json(&sizes) } else { sizes_in_words(&sizes) }, EXIT_OK))
        }
        Command::Indexes => {
            let indexes = storage::indexes(database).await?;
            Ok((if format == Format::Json { json(&indexes) } else { indexes_in_words(&indexes) }, EXIT_OK))
        }
        Command::Connections { processes } => {
            let Some(connections) = storage::connections(database, processes).await? else {
                say(&format!("error: {} is a file: it has no connections to count", database.shown()));
                return Ok((String::new(), EXIT_USAGE));
            };
            let code = if warn(&connections) { EXIT_ATTENTION } else { EXIT_OK };
            let text = if format == Format::Json { json(&connections) } else { connections_in_words(&connections) };
            Ok((text, code))
        }
    }
}

fn bytes(bytes: i64) -> String {
    size(bytes.unsigned_abs())
}

fn sizes_in_words(sizes: &Sizes) -> String {
    let mut text = format!("Database: {}\n\n", bytes(sizes.bytes));
    text += &format!("{:<31}  {:>10}  {:>10}  {:>10}  {:>10}\n", "table", "size", "rows", "indexes", "dead rows");
    for table in &sizes.tables {
        let dead = table.dead_rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
        text += &format!(
            "{:<31}  {:>10}  {:>10}  {:>10}  {dead:>10}\n",
            table.table,
            bytes(table.bytes),
            bytes(table.row_bytes),
            bytes(table.index_bytes)
        );
    }
    text
}

fn indexes_in_words(indexes: &Indexes) -> String {
    let mut text = format!("{:>10}  {:>12}  {:>10}  index\n", "scans", "rows read", "size");
    let or_none = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for index in &indexes.indexes {
        let remark = match index {
            index if !index.valid => "  INVALID: `omninode db reindex` drops what a broken-off one left",
            index if index.is_never_used() => "  never used",
            index if index.unique && index.scans == Some(0) => "  never read; keeps values unique",
            _ => "",
        };
        text += &format!(
            "{:>10}  {:>12}  {:>10}  {} on {}{remark}\n",
            or_none(index.scans),
            or_none(index.tuples_read),
            bytes(index.bytes),
            index.index,
            index.table
        );
    }
    text += &match &indexes.since {
        Some(since) => format!("\nReads are counted since {since}.\n"),
        None if indexes.indexes.iter().any(|index| index.scans.is_some()) => String::new(),
        None => "\nSQLite does not count how often an index is read.\n".to_owned(),
    };
    printable(&text)
}

fn connections_in_words(connections: &Connections) -> String {
    let Connections { limit, reserved, used, in_database, ours, ours_idle, room, pool_max, processes, .. } =
        connections;
    let own = connections.own_limit.map_or_else(String::new, |own| format!("; {own} for this role or database"));
    let oldest = connections.idle_in_transaction_max_seconds;
    let oldest = oldest.map_or_else(String::new, |seconds| format!(", the oldest for {seconds:.0} s"));
    let mut text = format!(
        "Limit:        {limit} connections, {reserved} of them reserved{own}\n\
         Used:         {used}, {in_database} in this database, this command's own among them\n\
         Ours:         {ours}, {ours_idle} idle, {} idle in a transaction\n\
         Waiting:      {} idle in a transaction{oldest}\n\
         Room for us:  {room}; wanted: {} (pool_max {pool_max} x {processes})\n\n",
        connections.ours_idle_in_transaction,
        connections.idle_in_transaction,
        connections.wanted(),
    );
    text += &format!("{:>6}  {:>6}  {:>6}  {:>14}  application\n", "all", "active", "idle", "in transaction");
    for line in &connections.by_application {
        text += &format!(
            "{:>6}  {:>6}  {:>6}  {:>14}  {}\n",
            line.connections, line.active, line.idle, line.idle_in_transaction, line.application
        );
    }
    if connections.hidden > 0 {
        text += &format!(
            "\nThe state of {} is hidden from this user; to see it: GRANT pg_read_all_stats TO its role.\n",
            count(connections.hidden.unsigned_abs(), "connection")
        );
    }
    printable(&text)
}

/// On standard error; whether there is something to warn of.
fn warn(connections: &Connections) -> bool {
    let Connections { room, pool_max, processes, limit, .. } = connections;
    if connections.wanted() <= *room {
        return false;
    }
    say(&format!(
        "warning: database.pool_max {pool_max} x {processes} may open {} connections, and there is room for {room}: \
         lower pool_max, or raise max_connections ({limit}) on the server",
        connections.wanted()
    ));
    true
}
