//! Role x table x verb: each cell is a statement, run as that role.

use std::collections::BTreeSet;

use super::*;

/// What each role may do: s(elect), i(nsert), u(pdate), d(elete), of the application, maintenance and read-only.
const TABLES: [(&str, [&str; 3]); 10] = [
    ("schema_migrations", ["s", "s", "s"]),
    ("mixin_compatibility_matrix", ["siu", "sd", "s"]),
    ("pattern_feedback_log", ["si", "sd", "s"]),
    ("generation_performance_metrics", ["si", "sd", "s"]),
    ("template_cache_metadata", ["siud", "s", "s"]),
    ("event_processing_metrics", ["si", "sd", "s"]),
    ("template_cache_reports", ["sid", "sd", "s"]),
    ("event_processing_hourly", ["sid", "sid", "s"]),
    ("generation_performance_hourly", ["sid", "sid", "s"]),
    // A view that every command asks.
    ("schema_views", ["s", "s", "s"]),
];

/// Whether the server lets this role do it.
async fn allowed(connection: &mut PgConnection, statement: &str) -> bool {
    let mut transaction = connection.begin().await.unwrap();
    let done = transaction.execute(AssertSqlSafe(statement.to_owned())).await;
    transaction.rollback().await.unwrap();
    match done {
        Ok(_) => true,
        // A value that is missing is found after the right to insert one.
        Err(error) => match error.as_database_error().unwrap().code().unwrap().as_ref() {
            "42501" => false,
            "23502" => true,
            _ => panic!("{error}: {statement}"),
        },
    }
}

/// The verbs that a role has on a table.
async fn verbs(connection: &mut PgConnection, table: &str, is_view: bool) -> String {
    let key = match table {
        "schema_migrations" => "version",
        "schema_views" => "revision",
        _ => "id",
    };
    let mut found = String::new();
    for (verb, statement) in [
        ('s', format!("SELECT count(*) FROM {table}")),
        ('i', format!("INSERT INTO {table} DEFAULT VALUES")),
        ('u', format!("UPDATE {table} SET {key} = DEFAULT WHERE false")),
        ('d', format!("DELETE FROM {table} WHERE false")),
        ('t', format!("TRUNCATE {table}")),
        ('a', format!("ALTER TABLE {table} ADD COLUMN tried integer")),
        (
            'g',
            format!(
                "CREATE TRIGGER tried BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION normalise_mixin_pair()"
            ),
        ),
        ('r', format!("REINDEX TABLE {table}")),
    ] {
        // A view has no rows to write and no index.
        if (!is_view || verb == 's') && allowed(connection, &statement).await {
            found.push(verb);
        }
    }
    found
}

/// The tables with which `VACUUM` or `ANALYZE` does something; of others the server says that it skips them.
fn maintained(url: &str, command: &str, tables: &[&str]) -> BTreeSet<String> {
    let commands = tables.iter().flat_map(|table| ["-c".to_owned(), format!("{command} {table}")]);
    let ended = psql(url, ["-v".to_owned(), "ON_ERROR_STOP=1".to_owned()].into_iter().chain(commands));
    assert!(ended.status.success());
    let told = String::from_utf8(ended.stderr).unwrap();
    let skipped =
        |table: &str| told.lines().any(|line| line.contains(&format!("\"{table}\"")) && line.contains("skipping"));
    tables.iter().filter(|table| !skipped(table)).map(|table| (*table).to_owned()).collect()
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_52_each_role_may_do_what_it_is_for_with_each_table_and_nothing_else() {
    run(async {
        let house = House::migrated().await;
        house.omninode(&house.url(), &["db", "grants", "--apply", "--owner", OWNER]).expect_code(0);
        let without = PgConnection::connect(&house.url_as(APPLICATION)).await.unwrap_err();
        assert_eq!(without.as_database_error().unwrap().code().unwrap(), "28P01", "a new role has no password");
        let roles = [APPLICATION, MAINTENANCE, READ_ONLY, OWNER];
        house.passwords(&roles).await;
        let wrong = house.url_as(APPLICATION).replace("app-password", "app-passwort");
        assert!(PgConnection::connect(&wrong).await.is_err(), "passwords are asked for");

        let tables: Vec<&str> =
            TABLES.iter().map(|(table, _)| *table).filter(|table| *table != "schema_views").collect();
        let mut there: Vec<String> = house
            .ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            .lines()
            .map(str::to_owned)
            .collect();
        there.sort();
        let mut known = tables.clone();
        known.sort_unstable();
        assert_eq!(there, known, "a table without a line in TABLES");
        let views = house.ask("SELECT viewname FROM pg_views WHERE schemaname = 'public'");
        let version: i32 = house.ask("SHOW server_version_num").parse().unwrap();
        // Before 17 only the owner may.
        let maintainable = version >= 170_000;

        let mut cells = 0;
        for (at, role) in roles.into_iter().enumerate() {
            let mut connection = PgConnection::connect(&house.url_as(role)).await.unwrap();
            for (table, expected) in TABLES {
                let is_view = table == "schema_views";
                let expected = match expected.get(at) {
                    Some(verbs) if role == MAINTENANCE && maintainable && !is_view => format!("{verbs}r"),
                    Some(verbs) => (*verbs).to_owned(),
                    None if is_view => "s".to_owned(),
                    None => "siudtagr".to_owned(),
                };
                assert_eq!(verbs(&mut connection, table, is_view).await, expected, "{role} {table}");
                cells += if is_view { 1 } else { 8 };
            }
            for view in views.lines().filter(|view| *view != "schema_views") {
                let may = allowed(&mut connection, &format!("SELECT count(*) FROM {view}")).await;
                assert_eq!(may, [READ_ONLY, OWNER].contains(&role), "{role} {view}");
                cells += 1;
            }
            for command in ["VACUUM", "ANALYZE"] {
                let may = role == OWNER || role == MAINTENANCE && maintainable;
                let expected = tables.iter().filter(|_| may).map(|table| (*table).to_owned()).collect();
                assert_eq!(maintained(&house.url_as(role), command, &tables), expected, "{role} {command}");
                cells += tables.len();
            }
            assert_eq!(allowed(&mut connection, "CREATE TABLE mine ()").await, role == OWNER, "{role}");
            assert!(!allowed(&mut connection, "CREATE ROLE mine").await, "{role}");
            connection.close().await.unwrap();
        }
        println!("{cells} cells of role x table x verb");
    });
}
