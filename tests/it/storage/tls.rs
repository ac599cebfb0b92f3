//! A server with TLS: its certificate is looked at as the mode says.

use std::path::{Path, PathBuf};
use std::process::Command;

use omninode::storage::{PostgresStore, Target};

use super::{Cluster, run};
use crate::support::{Bench, Ended};

fn openssl(folder: &Path, arguments: &[&str]) {
    let ended = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl is installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// An authority, and a certificate for `localhost` that it has signed.
fn certificates(folder: &Path) {
    for (name, subject) in [("ca", "/CN=Test authority"), ("other", "/CN=Another authority")] {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        openssl(
            folder,
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                subject,
                "-keyout",
                &key,
                "-out",
                &certificate,
            ],
        );
    }
    openssl(
        folder,
        &[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ],
    );
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    );
}

struct Server {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let cluster = Cluster::start("-c ssl=on", |data| {
            for file in ["server.key", "server.crt"] {
                std::fs::copy(folder.path().join(file), data.join(file)).unwrap();
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(data.join(file), std::fs::Permissions::from_mode(0o600)).unwrap();
            }
            let rules =
                "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhostnossl all all 127.0.0.1/32 reject\n";
            std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        });
        Self { cluster, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn open(&self, host: &str, query: &str) -> Result<(), String> {
        let url = format!("postgresql://postgres:hunter2@{host}:{}/postgres{query}", self.cluster.port);
        let opened = PostgresStore::open(&Target::new(url)).await;
        let store = opened.inspect_err(|told| assert!(!told.contains("hunter2"), "{told}"))?;
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(store.pool()).await.unwrap(), "{query}");
        Ok(())
    }
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_53_the_certificate_of_the_server_is_checked_as_the_mode_says() {
    omninode::app::choose_tls();
    run(async {
        let server = Server::start();
        let verify = |mode: &str, root: &str| format!("?sslmode={mode}&sslrootcert={}", server.file(root).display());
        for query in [
            "?sslmode=require".to_owned(),
            String::new(),
            verify("require", "ca.pem"),
            verify("verify-ca", "ca.pem"),
            verify("verify-full", "ca.pem"),
        ] {
            assert_eq!(server.open("localhost", &query).await, Ok(()), "{query}");
        }
        // Another authority; one that nobody knows; another name than the certificate has.
        for (host, query) in [
            ("localhost", verify("verify-full", "other.pem")),
            ("localhost", verify("verify-ca", "other.pem")),
            ("localhost", verify("require", "other.pem")),
            ("localhost", "?sslmode=verify-full".to_owned()),
            ("127.0.0.1", verify("verify-full", "ca.pem")),
        ] {
            let told = server.open(host, &query).await.unwrap_err();
            assert!(
                told.contains("the certificate of the PostgreSQL server") && told.contains("sslrootcert"),
                "{told}"
            );
        }
        assert_eq!(server.open("127.0.0.1", &verify("verify-ca", "ca.pem")).await, Ok(()), "the name is not asked for");
        // This server lets nobody in without.
        let told = server.open("localhost", "?sslmode=disable").await.unwrap_err();
        assert!(told.contains("pg_hba.conf"), "{told}");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_53_a_server_without_tls_is_refused_where_it_was_asked_for() {
    omninode::app::choose_tls();
    run(async {
        let cluster = Cluster::start("", |_| {});
        for query in ["?sslmode=require", "?sslmode=verify-full"] {
            let url = cluster.url() + query;
            let told = PostgresStore::open(&Target::new(url)).await.err().unwrap();
            assert!(told.contains("offers no TLS") && told.contains("sslmode=disable"), "{told}");
        }
        let named = Target { ssl_mode: Some("require".to_owned()), ..Target::new(cluster.url()) };
        assert!(PostgresStore::open(&named).await.err().unwrap().contains("offers no TLS"));
        assert!(PostgresStore::open(&Target::new(cluster.url())).await.is_ok(), "on this machine nobody listens");
    });
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_53_the_mode_and_the_authority_come_from_the_file_too_and_the_url_is_stronger() {
    let server = Server::start();
    let bench = Bench::new();
    let status = |host: &str, query: &str, settings: &str| {
        bench.write("configs/deployment.yaml", format!("database: {{{settings}}}\n"));
        let url = format!("postgresql://postgres@{host}:{}/postgres{query}", server.cluster.port);
        Ended::of(&bench.program().args(["db", "status"]).env("DATABASE_URL", url).output().unwrap())
    };
    let (ca, other) = (server.file("ca.pem"), server.file("other.pem"));
    let (ca, other) = (ca.display(), other.display());
    // The schema is pending: whoever says so was let in.
    let right = format!("ssl_mode: verify-full, ssl_root_cert: '{ca}'");
    status("localhost", "", &right).expect_code(4);
    let told = status("127.0.0.1", "", &right).expect_code(3).stderr;
    assert!(told.contains("the certificate of the PostgreSQL server"), "another name than the certificate has: {told}");
    let wrong = format!("ssl_mode: verify-full, ssl_root_cert: '{other}'");
    let told = status("localhost", "", &wrong).expect_code(3).stderr;
    assert!(told.contains("the certificate of the PostgreSQL server"), "another authority: {told}");
    status("localhost", &format!("?sslrootcert={ca}"), &wrong).expect_code(4);
    status("localhost", "?sslmode=verify-ca", &right).expect_code(4);
    // As libpq does: an authority that is named is asked.
    let told = status("localhost", "", &format!("ssl_mode: require, ssl_root_cert: '{other}'")).expect_code(3).stderr;
    assert!(told.contains("the certificate of the PostgreSQL server"), "{told}");
    let of_environment = |file: &str| {
        let url = format!("postgresql://postgres@localhost:{}/postgres?sslmode=require", server.cluster.port);
        let mut command = bench.program();
        command.args(["db", "status", "--database", &url]).env("PGSSLROOTCERT", file);
        Ended::of(&command.output().unwrap())
    };
    bench.write("configs/deployment.yaml", "");
    of_environment(&ca.to_string()).expect_code(4);
    let told = of_environment(&other.to_string()).expect_code(3).stderr;
    assert!(told.contains("the certificate of the PostgreSQL server"), "{told}");
    let told = of_environment("/nosuch/ca.pem").expect_code(3).stderr;
    assert!(told.contains("is not there") && told.contains("PGSSLROOTCERT"), "{told}");
    let told = status("localhost", "", "ssl_root_cert: /nosuch/ca.pem").expect_code(3).stderr;
    assert!(told.contains("there is no file /nosuch/ca.pem"), "{told}");
    let told = status("localhost", "", "ssl_mode: verify").expect_code(2).stderr;
    assert!(told.contains("configs/deployment.yaml:1:") && told.contains("verify-full"), "{told}");
    let shown = Ended::of(&bench.program().args(["config", "show"]).output().unwrap());
    assert_eq!(shown.code, Some(1), "{shown:?}");
}

#[test]
#[ignore = "needs a PostgreSQL: ./test storage"]
fn guide_53_another_machine_without_tls_is_refused_unless_that_is_named_and_then_warned_of() {
    let cluster = Cluster::start("", |data| {
        std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhost all all 0.0.0.0/0 trust\n").unwrap();
    });
    let bench = Bench::new();
    // An address that says nothing of this machine, and is answered by it.
    let url = format!("postgresql://postgres@0.0.0.0:{}/postgres", cluster.port);
    let status = |query: &str, set: &str| {
        let mut command = bench.program();
        command.args(["db", "status", "--database", &format!("{url}{query}"), "--set", set]);
        Ended::of(&command.output().unwrap())
    };
    let any = "logging.level=WARNING";
    let refused = status("", any).expect_code(3).stderr;
    assert!(refused.contains("offers no TLS") && refused.contains("sslmode=disable"), "{refused}");
    for (query, set, how) in [
        ("?sslmode=disable", any, "is not encrypted"),
        ("?sslmode=prefer", any, "may be unencrypted"),
        ("", "database.ssl_mode=disable", "is not encrypted"),
    ] {
        let let_in = status(query, set).expect_code(4).stderr;
        assert!(let_in.contains(how) && let_in.contains("0.0.0.0") && let_in.lines().count() == 1, "{let_in}");
    }
    let refused = status("?sslmode=verify-full", "database.ssl_mode=disable").expect_code(3).stderr;
    assert!(refused.contains("offers no TLS"), "the URL is stronger: {refused}");
}
