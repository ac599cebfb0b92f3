//! A server with TLS: its certificate is looked at as the mode says.

use std::path::{Path, PathBuf};
use std::process::Command;

use omninode::storage::{PostgresStore, Target};

use super::{Cluster, run};

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
