//! Row 38: how many connections by default, and what a statement that takes too long is told.

use std::time::Duration;

use actors::ports::{MetricStore as _, StoreError};
use omninode::storage::{PostgresStore, Store, Target};
use serde_json::Value;

use super::rows::event;
use super::{Database, run};
use crate::support::{Bench, Ended};

#[test]
fn guide_38_the_pool_follows_the_cores_and_a_command_ends_after_a_minute_unless_somebody_says_otherwise() {
    let bench = Bench::new();
    let mut command = bench.program();
    command.args(["config", "show", "--format", "json"]).env("DATABASE_URL", "postgresql://me@localhost/d");
    let shown = Ended::of(&command.output().unwrap()).expect_code(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let value = |key: &str| {
        let setting = shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
        assert_eq!((&setting["origin"], &setting["in_use"]), (&"default".into(), &true.into()), "{key}");
        setting["value"].as_u64().unwrap()
    };
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    let usual = (cores * 2 + 1).max(10);
    assert_eq!((value("database.pool_size"), value("database.pool_max")), (usual, usual * 2));
    assert_eq!(value("database.command_timeout_seconds"), 60);
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_38_a_write_that_waits_too_long_is_ended_and_names_the_setting_and_what_waited_can_be_stored_again() {
    run(async {
        let database = Database::new().await;
        let target = Target { command_timeout: Duration::from_millis(500), ..database.target() };
        Store::migrate(&target).await.unwrap();
        let store = PostgresStore::open(&target).await.unwrap();
        let pool = database.pool().await;
        let mut holder = pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE event_processing_metrics").execute(&mut *holder).await.unwrap();
        let Err(StoreError::Down(told)) = store.write(&[event(1)]).await else { panic!("it waits for a table") };
        assert!(told.contains("database.command_timeout_seconds") && told.contains("statement timeout"), "{told}");
        // The same by a command.
        let bench = Bench::new();
        let mut command = bench.program();
        command.args(["db", "status", "--set", "database.command_timeout_seconds=1", "--database", &database.url()]);
        let told = Ended::of(&command.output().unwrap()).expect_code(3).stderr;
        assert!(told.contains("database.command_timeout_seconds"), "{told}");
        holder.rollback().await.unwrap();
        store.write(&[event(1)]).await.unwrap();
        assert_eq!(database.ask("SELECT count(*) FROM event_processing_metrics"), "1");
    });
}
