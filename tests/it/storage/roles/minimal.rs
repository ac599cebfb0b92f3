//! Nothing too much and nothing too little: with all grants of the application its statements run, and without any one
//! of them some statement does not.

use omninode::storage::Access;
use serde_json::Value;

use super::*;

/// The application at work: everything that it does with its database. What was refused.
struct Application {
    url: String,
    /// Opened with all grants, so that writing itself is tried, not the look at the grants before.
    store: PostgresStore,
    rows: std::cell::Cell<u128>,
}

impl Application {
    async fn refusals(&self) -> Vec<String> {
        let mut refused = Vec::new();
        let number = self.rows.replace(self.rows.get() + 1);
        let rows = [event(number), phase(1_000 + number), template(2_000 + number, "own/a.py.j2")];
        refused.extend(self.store.write(&rows).await.err().map(|error| error.to_string()));
        refused.extend(Store::status(&Target::new(self.url.clone())).await.err());
        let open = Store::open_existing(&Target::new(self.url.clone()), Access::Write).await;
        match open {
            Ok(store) => {
                let store = store.unwrap();
                refused.extend(store.templates().await.err());
                refused.extend(store.forget_templates(None).await.err());
                store.close().await;
            }
            Err(error) => refused.push(error),
        }
        for statement in [
            "SELECT update_mixin_compatibility('b', 'a', 'EFFECT', true), update_mixin_compatibility('a', 'b', 'EFFECT', false)",
            "SELECT record_pattern_feedback(gen_random_uuid(), 'crud', 0.5, 'crud', 'correct')",
            // Folding the rollups: the store does it now and then, and goes on where it cannot.
            "DELETE FROM event_processing_hourly WHERE hour < to_timestamp(0)",
            "DELETE FROM generation_performance_hourly WHERE hour < to_timestamp(0)",
        ] {
            refused
                .extend(sqlx::query(statement).execute(self.store.pool()).await.err().map(|error| error.to_string()));
        }
        refused
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_52_the_applications_statements_need_each_of_its_grants_and_no_other() {
    run(async {
        let house = House::migrated().await;
        // What everybody has is no help.
        house.sql("REVOKE ALL ON DATABASE omninode_bridge FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
        let granted =
            house.omninode(&house.url(), &["db", "grants", "--apply", "--format", "json"]).expect_code(0).stdout;
        let granted: Value = serde_json::from_str(&granted).unwrap();
        assert_eq!((&granted["applied"], &granted["roles"][0]["name"]), (&Value::Bool(true), &APPLICATION.into()));
        house.passwords(&[APPLICATION]).await;
        let url = house.url_as(APPLICATION);
        let store = PostgresStore::open(&Target::new(url.clone())).await.unwrap();
        let application = Application { url: url.clone(), store, rows: std::cell::Cell::new(1) };
        assert_eq!(application.refusals().await, [""; 0]);

        let mut tried = 0;
        for (table, verbs) in granted["roles"][0]["grants"].as_object().unwrap() {
            for verb in verbs.as_array().unwrap().iter().map(|verb| verb.as_str().unwrap()) {
                house.sql(&format!("REVOKE {verb} ON {table} FROM {APPLICATION}")).await;
                let refused = application.refusals().await;
                let named = |told: &String| told.contains(&format!("permission denied for {}", kind(table)));
                assert!(refused.iter().any(named), "no statement needs {verb} on {table}: {refused:?}");
                house.sql(&format!("GRANT {verb} ON {table} TO {APPLICATION}")).await;
                tried += 1;
            }
        }
        assert!(tried > 15, "{tried}");
        assert_eq!(application.refusals().await, [""; 0]);
        for (what, told) in [
            ("CONNECT ON DATABASE omninode_bridge", "permission denied for database"),
            ("USAGE ON SCHEMA public", "may use no schema"),
        ] {
            house.sql(&format!("REVOKE {what} FROM {APPLICATION}")).await;
            let refused = PostgresStore::open(&Target::new(url.clone())).await.err().unwrap();
            assert!(refused.contains(told), "{refused}");
            house.sql(&format!("GRANT {what} TO {APPLICATION}")).await;
        }
        application.store.close().await;
    });
}

/// As the server calls it.
fn kind(table: &str) -> String {
    if table == "schema_views" { "view schema_views".to_owned() } else { format!("table {table}") }
}
