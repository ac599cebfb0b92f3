//! What changes a database without changing what it says: old rows, room, indexes, rollups. All of it while others go on.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::{EXIT_ATTENTION, EXIT_OK, json};
use crate::app::say;
use crate::progress::bar;
use crate::storage::{self, Agreement, Cleaned, Step, Target, Worked};
use crate::summary::{Format, count, size};

/// Rows of a shorter time are deleted by nobody who means it: `90m` are minutes.
const OLDER_THAN_MIN: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Delete old rows, some thousand at a time: measurements and feedback by age, pairs of mixins over a year old with
    /// fewer than 5 tests. Their rollups go with them.
    Cleanup {
        /// The age of measurements and feedback: days, weeks, months, such as 90d. One day at least.
        #[arg(long, value_name = "AGE", default_value = "90d", value_parser = age)]
        older_than: Duration,
        /// Delete nothing; count.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the room of deleted rows usable again, and bring the statistics of the planner up to date. An SQLite file
    /// shrinks, and is locked meanwhile.
    Vacuum,
    /// Build the indexes anew; on PostgreSQL rows are read and written meanwhile.
    Reindex,
    /// Look whether the rollups by hour agree with the rows; exit 4 where they do not.
    Rollup {
        /// Count them anew, a day at a time; after rows were inserted or deleted by hand.
        #[arg(long)]
        rebuild: bool,
    },
}

fn age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a number with a unit, such as 90d, 12w or 3months"))?;
    if age < OLDER_THAN_MIN {
        return Err("that is less than a day; `m` are minutes, `d` days, `months` months".to_owned());
    }
    Ok(age)
}

/// What is printed, and the exit code.
pub(super) async fn run(command: Command, database: &Target, format: Format) -> Result<(String, u8), String> {
    let bar = bar(format == Format::Human);
    let told = |step: Step<'_>| {
        bar.set_length(step.total);
        bar.set_position(step.done);
        bar.set_message(step.name.to_owned());
    };
    let done = match command {
        Command::Cleanup { older_than, dry_run } => {
            let cleaned = storage::cleanup(database, older_than, dry_run, &told).await;
            bar.finish_and_clear();
            (cleanup_shown(cleaned?, dry_run, database, format), EXIT_OK)
        }
        Command::Vacuum | Command::Reindex => {
            let worked = match command {
                Command::Vacuum => storage::vacuum(database, &told).await,
                _ => storage::reindex(database, &told).await,
            };
            bar.finish_and_clear();
            (worked_shown(&worked?, format), EXIT_OK)
        }
        Command::Rollup { rebuild } => {
            let agreement = storage::rollups(database, rebuild, &told).await;
            bar.finish_and_clear();
            let agreement = agreement?;
            (rollup_shown(&agreement, format), if agreement.differing > 0 { EXIT_ATTENTION } else { EXIT_OK })
        }
    };
    Ok(done)
}

/// What `cleanup` prints as data.
#[derive(Serialize)]
struct CleanedReport {
    database: String,
    dry_run: bool,
    rows: u64,
    #[serde(flatten)]
    cleaned: Cleaned,
}

fn cleanup_shown(cleaned: Cleaned, dry_run: bool, database: &Target, format: Format) -> String {
    let rows = cleaned.tables.iter().map(|table| table.rows).sum();
    if format == Format::Json {
        return json(&CleanedReport { database: database.shown(), dry_run, rows, cleaned });
    }
    let mut text = format!("{:<31}  {:>12}  older than\n", "table", if dry_run { "would go" } else { "gone" });
    for table in &cleaned.tables {
        text += &format!("{:<31}  {:>12}  {} UTC\n", table.table, table.rows, table.before);
    }
    if !dry_run && rows > 0 {
        say(&format!("{} deleted; `omninode db vacuum` makes their room usable again", count(rows, "row")));
    }
    text
}

fn worked_shown(worked: &[Worked], format: Format) -> String {
    if format == Format::Json {
        return json(&worked);
    }
    let mut text = format!("{:<31}  {:>10}  {:>10}  {:>10}\n", "table", "before", "after", "time");
    for Worked { table, duration_ms, bytes_before, bytes_after } in worked {
        let (before, after) = (size(bytes_before.unsigned_abs()), size(bytes_after.unsigned_abs()));
        text += &format!("{table:<31}  {before:>10}  {after:>10}  {duration_ms:>7.1} ms\n");
    }
    text
}

fn rollup_shown(agreement: &Agreement, format: Format) -> String {
    if format == Format::Json {
        return json(agreement);
    }
    let days = count(agreement.days.unsigned_abs(), "day");
    let rebuilt = match agreement.days_rebuilt {
        Some(days) => format!("{} counted anew. ", count(days, "day")),
        None => String::new(),
    };
    match (&agreement.first, &agreement.last) {
        (Some(first), Some(last)) => format!(
            "{rebuilt}Rows of {days}; the rollups of {} differ, from {first} to {last}: `omninode db rollup --rebuild`\n",
            count(agreement.differing.unsigned_abs(), "day")
        ),
        _ => format!("{rebuilt}Rows of {days}; the rollups agree with them\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_day_at_least_and_minutes_are_not_taken_for_months() {
        for (text, days) in [("90d", 90.0), ("1day", 1.0), ("2w", 14.0), ("3months", 91.32), ("1y", 365.25)] {
            let age = age(text).unwrap().as_secs_f64() / 86_400.0;
            assert!((age - days).abs() < 0.01, "{text}: {age}");
        }
        assert!(age("90m").unwrap_err().contains("`m` are minutes"));
        assert!(age("90").unwrap_err().contains("such as 90d"));
        assert!(age("23h").is_err());
    }
}
