//! Row 53: a node type that is none is refused wherever one comes in.

use sqlx::{PgPool, SqlitePool};

use crate::storage::{Database, run};
use crate::support::{Bench, Ended, contract};

const TYPES: [(&str, bool); 8] = [
    ("EFFECT", true),
    ("COMPUTE", true),
    ("REDUCER", true),
    ("ORCHESTRATOR", true),
    ("WIDGET", false),
    ("effect", false),
    ("", false),
    ("EFFECT'; DROP TABLE mixin_compatibility_matrix; --", false),
];

#[test]
fn guide_53_the_command_line_refuses_a_node_type_outside_the_four() {
    for (node_type, right) in TYPES {
        // Here small letters are taken for what they mean.
        let right = right || node_type == "effect";
        let bench = Bench::new();
        let text = contract("node_a_compute").replace("COMPUTE_GENERIC", &format!("\"{node_type}\""));
        bench.write("contracts/contract.yaml", text);
        let ended = bench.generate(["contracts"]).expect_code(i32::from(!right));
        let told = "EFFECT, COMPUTE, REDUCER or ORCHESTRATOR";
        assert_eq!(ended.stderr.contains(told), !right, "{node_type}: {}", ended.stderr);
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_53_the_table_refuses_a_node_type_outside_the_four() {
    const INSERT: &str = "INSERT INTO mixin_compatibility_matrix (id, mixin_a, mixin_b, node_type) VALUES ";
    run(async {
        let database = Database::new().await;
        omninode::storage::Store::migrate(&database.target()).await.unwrap();
        let pool: PgPool = database.pool().await;
        let bench = Bench::new();
        Ended::of(&bench.program().args(["db", "migrate", "--database", &bench.database()]).output().unwrap())
            .expect_code(0);
        let file = SqlitePool::connect(&bench.database()).await.unwrap();
        for (node_type, right) in TYPES {
            let on_server = sqlx::query(sqlx::AssertSqlSafe(format!("{INSERT} (gen_random_uuid(), 'a', 'b', $1)")));
            let on_server = on_server.bind(node_type).execute(&pool).await;
            let in_file = sqlx::query(sqlx::AssertSqlSafe(format!("{INSERT} (hex(randomblob(16)), 'a', 'b', ?)")));
            let in_file = in_file.bind(node_type).execute(&file).await;
            assert_eq!((on_server.is_ok(), in_file.is_ok()), (right, right), "{node_type}");
            for error in [on_server.err(), in_file.err()].into_iter().flatten() {
                let kind = error.as_database_error().unwrap().kind();
                assert_eq!(kind, sqlx::error::ErrorKind::CheckViolation, "{error}");
            }
        }
    });
}
