//! What a user is told when a PostgreSQL server cannot be used.

use omninode::storage::{PostgresStore, Target};
use sqlx::Connection as _;

use super::{Cluster, Database, run};
use crate::support::{Bench, contract, packages};

/// Why a database cannot be opened.
async fn told(url: &str) -> String {
    PostgresStore::open(&Target::new(url)).await.err().unwrap_or_else(|| panic!("{url} can be opened"))
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn nobody_there_wrong_password_unknown_database_and_too_many_connections_are_four_messages_with_what_to_do() {
    run(async {
        let cluster = Cluster::start("-c max_connections=4 -c superuser_reserved_connections=1", |data| {
            let rules =
                "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all me 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        });
        let mut owner = sqlx::PgConnection::connect(&cluster.url()).await.unwrap();
        let password = "pa/ss+wo@rd";
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE me LOGIN PASSWORD '{password}'")))
            .execute(&mut owner)
            .await
            .unwrap();
        let port = cluster.port;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = told(&format!("postgresql://me:hunter2@127.0.0.1:{free}/postgres")).await;
        assert!(refused.contains(&format!("no PostgreSQL server listens at 127.0.0.1:{free}; start it")), "{refused}");
        let wrong = told(&format!("postgresql://me:hunter2@127.0.0.1:{port}/postgres")).await;
        assert!(wrong.contains("refuses the password of `me`; check POSTGRES_PASSWORD"), "{wrong}");
        let unknown = told(&format!("postgresql://me:pa%2Fss%2Bwo%40rd@127.0.0.1:{port}/nosuch")).await;
        assert!(unknown.contains("-c 'CREATE DATABASE nosuch;'"), "{unknown}");
        let stranger = told(&format!("postgresql://stranger:hunter2@127.0.0.1:{port}/postgres")).await;
        assert!(stranger.contains("lets `stranger` not in") && stranger.contains("pg_hba.conf"), "{stranger}");
        let mut others = Vec::new();
        for _ in 0..2 {
            others.push(sqlx::PgConnection::connect(&cluster.url()).await.unwrap());
        }
        let full = told(&format!("postgresql://me:pa%2Fss%2Bwo%40rd@127.0.0.1:{port}/postgres")).await;
        assert!(full.contains("too many connections") && full.contains("database.pool_max"), "{full}");
        for message in [refused, wrong, unknown, stranger, full] {
            assert!(
                !message.contains("hunter2") && !message.contains("pa%2F") && !message.contains(password),
                "{message}"
            );
        }
        drop(others);
        let socket = told("postgresql://me@%2Fnosuch%2Ffolder/postgres").await;
        assert!(socket.contains("no PostgreSQL server listens at /nosuch/folder/.s.PGSQL.5432"), "{socket}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_38_a_statement_or_an_idle_transaction_that_takes_too_long_ends_and_says_so() {
    run(async {
        let database = Database::new().await;
        let second = std::time::Duration::from_secs(1);
        let target = Target { command_timeout: second, ..database.target() };
        let store = PostgresStore::open(&target).await.unwrap();
        let slept = sqlx::query("SELECT pg_sleep(20)").execute(store.pool()).await.unwrap_err();
        assert!(slept.to_string().contains("statement timeout"), "{slept}");
        let mut idle = store.pool().begin().await.unwrap();
        sqlx::query("SELECT 1").execute(&mut *idle).await.unwrap();
        tokio::time::sleep(second * 2).await;
        assert!(sqlx::query("SELECT 1").execute(&mut *idle).await.is_err());
        // The pool is none the worse for it.
        sqlx::query("SELECT 1").execute(store.pool()).await.unwrap();
        let named = database.ask(
            "SELECT DISTINCT application_name FROM pg_stat_activity \
                                  WHERE datname = current_database() AND pid <> pg_backend_pid() \
                                  AND backend_type = 'client backend'",
        );
        assert_eq!(named, "omninode");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn generate_warns_of_a_database_that_cannot_be_used_and_ends_by_its_packages() {
    run(async {
        let database = Database::new().await;
        let bench = Bench::new();
        bench.write("contracts/a/contract.yaml", contract("node_a_compute"));
        let url = database.url_of("nosuch_at_all").replacen("postgres@", "postgres:hunter2@", 1);
        let mut command = bench.program();
        command.args(["generate", "contracts", "--out", "out", "--database", &url]);
        let ended = crate::support::Ended::of(&command.output().unwrap()).expect_code(0);
        assert!(ended.stderr.contains("CREATE DATABASE nosuch_at_all;"), "{}", ended.stderr);
        assert!(ended.stderr.contains("measurements of this run are not stored"), "{}", ended.stderr);
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
        assert_eq!(packages(&bench.out()), ["node_a_compute"]);
    });
}
