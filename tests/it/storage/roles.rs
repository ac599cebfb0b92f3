//! The roles of a server, each tried by logging in as it with its password.

mod matrix;
mod minimal;

use std::path::Path;

use actors::ports::MetricStore as _;
use omninode::storage::{PostgresStore, Store, Target};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::rows::{event, phase, template};
use super::{Cluster, psql, run};
use crate::support::{Bench, Ended, contract};

const OWNER: &str = "omninode_owner";
const APPLICATION: &str = "omniclaude_app";
const MAINTENANCE: &str = "omninode_maintenance";
const READ_ONLY: &str = "omninode_readonly";

/// A name that has to be quoted in every way.
const WEIRD: &str = "we ird\"'r\\n";

/// The block of the operations guide, lines 1211 to 1226.
const GUIDE: &str = "-- Create dedicated application user
CREATE USER omniclaude_app WITH PASSWORD 'secure-password';

-- Grant minimal required permissions
GRANT CONNECT ON DATABASE omninode_bridge TO omniclaude_app;
GRANT USAGE ON SCHEMA public TO omniclaude_app;

-- Grant table permissions
GRANT SELECT, INSERT, UPDATE ON TABLE mixin_compatibility_matrix TO omniclaude_app;
GRANT SELECT, INSERT ON TABLE pattern_feedback_log TO omniclaude_app;
GRANT SELECT, INSERT ON TABLE generation_performance_metrics TO omniclaude_app;
GRANT SELECT, INSERT, UPDATE ON TABLE template_cache_metadata TO omniclaude_app;
GRANT SELECT, INSERT ON TABLE event_processing_metrics TO omniclaude_app;

-- Grant view permissions
GRANT SELECT ON ALL TABLES IN SCHEMA public TO omniclaude_app;
";

/// A cluster that asks everybody but its superuser for a password, with a database `omninode_bridge`.
struct House {
    cluster: Cluster,
    bench: Bench,
}

impl House {
    async fn new() -> Self {
        let cluster = Cluster::start("-c password_encryption=scram-sha-256", |data: &Path| {
            let rules = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                         host all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        });
        let bench = Bench::new();
        bench.write("contracts/a/contract.yaml", contract("node_a_compute"));
        let house = Self { cluster, bench };
        house.on("postgres", "CREATE DATABASE omninode_bridge").await;
        house
    }

    async fn migrated() -> Self {
        let house = Self::new().await;
        Store::migrate(&Target::new(house.url())).await.unwrap();
        house
    }

    /// Of the superuser.
    fn url(&self) -> String {
        self.cluster.url_of("omninode_bridge")
    }

    fn url_as(&self, role: &str) -> String {
        format!("postgresql://{role}:{role}-password@127.0.0.1:{}/omninode_bridge", self.cluster.port)
    }

    async fn on(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.cluster.url_of(database)).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        connection.close().await.unwrap();
    }

    /// As the superuser.
    async fn sql(&self, sql: &str) {
        self.on("omninode_bridge", sql).await;
    }

    #[track_caller]
    fn ask(&self, sql: &str) -> String {
        let ended = psql(&self.url(), ["-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        assert!(ended.status.success(), "{}\n{sql}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim_end().to_owned()
    }

    async fn passwords(&self, roles: &[&str]) {
        for role in roles {
            self.sql(&format!("ALTER ROLE {role} PASSWORD '{role}-password'")).await;
        }
    }

    fn omninode(&self, url: &str, arguments: &[&str]) -> Ended {
        let mut command = self.bench.program();
        Ended::of(&command.args(arguments).args(["--database", url]).output().unwrap())
    }

    /// One package; what is said beside it.
    #[track_caller]
    fn generate(&self, url: &str) -> String {
        self.omninode(url, &["generate", "contracts", "--out", "out"]).expect_code(0).stderr
    }

    /// What the roles may do, as the server has it.
    fn privileges(&self) -> String {
        self.ask(
            "SELECT format('%s %s %s', relname, relowner::regrole, relacl) FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname COLLATE \"C\"",
        )
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_52_the_block_runs_as_it_stands_and_what_it_lacks_is_named_with_the_command_that_mends_it() {
    run(async {
        let house = House::migrated().await;
        house.bench.write("grants.sql", GUIDE);
        let file = house.bench.path("grants.sql");
        let ended = psql(&house.url(), ["-v", "ON_ERROR_STOP=1", "-q", "-f", file.to_str().unwrap()]);
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        let url = house.url_as(APPLICATION).replace("omniclaude_app-password", "secure-password");

        let told = house.generate(&url);
        let command = "omninode db grants --apply --app-user omniclaude_app";
        let missing = "the user omniclaude_app of the database lacks INSERT, DELETE on event_processing_hourly, \
                       generation_performance_hourly, template_cache_reports; let the owner of the tables run";
        assert_eq!(
            told,
            format!("warning: {missing} `{command}`; measurements of this run are not stored\n"),
            "one line, and all of it"
        );
        assert_eq!(house.ask("SELECT count(*) FROM event_processing_metrics"), "0");
        // Reading is enough for these.
        house.omninode(&url, &["db", "status"]).expect_code(0);
        house.omninode(&url, &["cache", "stats"]).expect_code(0);
        let refused = house.omninode(&url, &["cache", "invalidate", "all"]).expect_code(3).stderr;
        assert!(refused.contains("permission denied") && refused.contains("omninode db grants"), "{refused}");

        let words: Vec<&str> = command.split(' ').skip(1).collect();
        house.omninode(&house.url(), &words).expect_code(0);
        assert_eq!(house.generate(&url), "");
        assert_eq!(house.ask("SELECT count(*) FROM event_processing_metrics"), "1");
        house.omninode(&url, &["cache", "invalidate", "all"]).expect_code(0);

        // So many batches that the rollups are folded, which is tried in silence.
        let store = PostgresStore::open(&Target::new(url)).await.unwrap();
        for number in 0..70 {
            let rows = [event(number), phase(1_000 + number), template(2_000 + number, "own/a.py.j2")];
            assert_eq!(store.write(&rows).await, Ok(()));
        }
        store.close().await;
        for counted in ["sum(events) FROM event_processing_hourly", "sum(runs) FROM generation_performance_hourly"] {
            let then = "WHERE hour < now() - interval '1 day'";
            assert_eq!(house.ask(&format!("SELECT count(*), {counted} {then}")), "1|70", "{counted}");
        }
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_52_the_application_stores_rows_and_looks_at_the_schema_without_changing_it() {
    run(async {
        let house = House::migrated().await;
        house.omninode(&house.url(), &["db", "grants", "--apply"]).expect_code(0);
        house.passwords(&[APPLICATION, READ_ONLY]).await;
        let url = house.url_as(APPLICATION);
        assert_eq!(house.generate(&url), "");
        assert_eq!(house.ask("SELECT count(*) FROM generation_performance_metrics"), "6");
        assert_eq!(house.ask("SELECT count(*) > 0 FROM event_processing_hourly"), "t");
        let status = house.omninode(&url, &["db", "status"]).expect_code(0).stdout;
        assert!(status.contains("up to date"), "{status}");
        house.omninode(&url, &["db", "migrate"]).expect_code(0);
        house.passwords(&[MAINTENANCE]).await;
        for role in [MAINTENANCE, READ_ONLY] {
            house.omninode(&house.url_as(role), &["db", "status"]).expect_code(0);
        }

        let only_reads = house.generate(&house.url_as(READ_ONLY));
        assert!(
            only_reads.contains("the user omninode_readonly of the database lacks INSERT on event_"),
            "{only_reads}"
        );

        // A program that knows more than the database has.
        let before = house.privileges();
        house.sql("DELETE FROM schema_migrations WHERE version = 9").await;
        let pending = "lacks 0009_hourly_rollups.sql, views.sql, and its user may not change that: the tables belong to \
                       postgres; run `omninode db migrate` as postgres";
        let told = house.generate(&url);
        assert!(told.contains(pending) && told.lines().count() == 1, "{told}");
        let told = house.omninode(&url, &["db", "migrate"]).expect_code(3).stderr;
        assert!(told.contains(pending) && told.lines().count() == 1, "{told}");
        let told = house.omninode(&house.url(), &["db", "grants", "--apply"]).expect_code(3).stderr;
        assert!(told.contains("run `omninode db migrate` first"), "{told}");
        assert_eq!(house.privileges(), before);
        house.sql("INSERT INTO schema_migrations (version, description) VALUES (9, 'Hourly rollups')").await;
        // Rows are stored without the newest views.
        house.sql("DROP VIEW performance_metrics_summary").await;
        let told = house.generate(&url);
        assert!(told.contains("views are not up to date") && !told.contains("not stored"), "{told}");
        assert_eq!(house.ask("SELECT count(*) FROM event_processing_metrics"), "2");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn whoever_may_make_no_tables_is_told_so_in_one_line() {
    run(async {
        let house = House::new().await;
        house.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE omniclaude_app LOGIN").await;
        house.passwords(&[APPLICATION]).await;
        let url = house.url_as(APPLICATION);
        let told = house.omninode(&url, &["db", "migrate"]).expect_code(3).stderr;
        let why = "it may make no tables in the schema public; let the owner of the database run `omninode db migrate`, \
                   or `GRANT CREATE ON SCHEMA public TO omniclaude_app`";
        assert!(told.contains(why) && told.lines().count() == 1, "{told}");
        assert!(house.generate(&url).contains(why));
        house.sql("REVOKE USAGE ON SCHEMA public FROM PUBLIC").await;
        let told = house.omninode(&url, &["db", "migrate"]).expect_code(3).stderr;
        assert!(told.contains("it may use no schema; let the owner of the database run `GRANT USAGE ON"), "{told}");
        assert_eq!(house.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn what_is_printed_is_what_is_applied_and_twice_does_no_harm() {
    run(async {
        let house = House::migrated().await;
        let arguments = ["db", "grants", "--app-user", WEIRD, "--owner", OWNER];
        let printed = house.omninode(&house.url(), &arguments).expect_code(0).stdout;
        let before = house.privileges();
        house.omninode(&house.url(), &[&arguments[..], &["--apply"]].concat()).expect_code(0);
        let applied = house.privileges();
        assert!(applied != before && applied.contains("we ird") && applied.contains(OWNER), "{applied}");
        // What somebody gave besides goes again, and what somebody took away comes back.
        house.sql("GRANT TRUNCATE, UPDATE ON event_processing_metrics TO omninode_readonly").await;
        house.sql("REVOKE ALL ON template_cache_reports FROM omninode_maintenance").await;
        assert_ne!(house.privileges(), applied);
        let file = house.bench.write("roles.sql", printed);
        for _ in 0..2 {
            let ended = psql(&house.url(), ["-v", "ON_ERROR_STOP=1", "-q", "-f", file.to_str().unwrap()]);
            assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
            let sorted = |text: &str| {
                let mut chars: Vec<char> = text.chars().collect();
                chars.sort_unstable();
                chars
            };
            // Lists of privileges have no order of their own.
            assert_eq!(sorted(&house.privileges()), sorted(&applied));
        }
        // The owner renews what a migration made anew.
        house.passwords(&[OWNER]).await;
        house.sql("DROP VIEW schema_views").await;
        let owner = house.url_as(OWNER);
        house.omninode(&owner, &["db", "migrate"]).expect_code(0);
        assert_eq!(house.ask("SELECT has_table_privilege('omninode_readonly', 'schema_views', 'SELECT')"), "f");
        house.omninode(&owner, &["db", "grants", "--apply", "--app-user", WEIRD]).expect_code(0);
        assert_eq!(house.ask("SELECT has_table_privilege('omninode_readonly', 'schema_views', 'SELECT')"), "t");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn a_role_that_no_grant_limits_and_a_user_who_may_not_grant_are_refused_and_nothing_changes() {
    run(async {
        let house = House::migrated().await;
        let before = house.privileges();
        let refused = |url: &str, arguments: &[&str], why: &str| {
            let arguments = [&["db", "grants", "--apply"], arguments].concat();
            let told = house.omninode(url, &arguments).expect_code(3).stderr;
            assert!(told.contains(why) && !told.contains("password"), "{told}");
            assert_eq!(house.privileges(), before, "{arguments:?}");
        };
        let superuser = house.url();
        refused(&superuser, &["--app-user", "postgres"], "postgres owns tables or is a superuser");
        refused(&superuser, &["--maintenance-user", "postgres"], "postgres owns tables or is a superuser");
        refused(&superuser, &["--app-user", "me", "--read-only-user", "me"], "`me` is named for two roles");
        house.sql("CREATE ROLE stranger LOGIN").await;
        house.passwords(&["stranger"]).await;
        refused(&house.url_as("stranger"), &[], "as the owner of the database and of its tables, or as a superuser");
        assert_eq!(house.ask("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'omni%' OR rolname = 'me'"), "0");
        // The roles are there, but nobody of ours.
        house.sql("CREATE ROLE omniclaude_app; CREATE ROLE omninode_maintenance; CREATE ROLE omninode_readonly").await;
        refused(&house.url_as("stranger"), &[], "as the owner of the database and of its tables, or as a superuser");
        for wrong in ["", "pg_mine", "public", "a\nb", "a$$b"] {
            house.omninode(&superuser, &["db", "grants", "--app-user", wrong]).expect_code(2);
        }
        let file = house.bench.database();
        let told = house.omninode(&file, &["db", "grants"]).expect_code(3).stderr;
        assert!(told.contains("has no roles") && !house.bench.path("omninode.db").exists(), "{told}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn no_superuser_is_needed_by_who_owns_the_database_and_may_make_roles() {
    run(async {
        let house = House::new().await;
        house.sql("CREATE ROLE admin LOGIN CREATEROLE; ALTER DATABASE omninode_bridge OWNER TO admin").await;
        // Before 15 the schema is a superuser's, and everybody may use it.
        house.sql("ALTER SCHEMA public OWNER TO admin").await;
        house.passwords(&["admin"]).await;
        let admin = house.url_as("admin");
        house.omninode(&admin, &["db", "migrate"]).expect_code(0);
        house.omninode(&admin, &["db", "grants", "--apply"]).expect_code(0);
        house.omninode(&admin, &["db", "grants", "--apply", "--owner", OWNER]).expect_code(0);
        assert_eq!(house.ask("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"), OWNER);
        assert_eq!(house.ask("SELECT DISTINCT viewowner FROM pg_views WHERE schemaname = 'public'"), OWNER);
        let functions = "SELECT DISTINCT proowner::regrole FROM pg_proc WHERE pronamespace = 'public'::regnamespace";
        assert_eq!(house.ask(functions), OWNER);
        house.passwords(&[APPLICATION]).await;
        assert_eq!(house.generate(&house.url_as(APPLICATION)), "");
        assert_eq!(house.ask("SELECT count(*) FROM event_processing_metrics"), "1");
        // Who gave them away is a member of the owner's role, and may go on.
        house.omninode(&admin, &["db", "grants", "--apply", "--owner", OWNER]).expect_code(0);
    });
}
