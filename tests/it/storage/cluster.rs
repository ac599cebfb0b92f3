//! PostgreSQL for tests: a database of one's own in the cluster of `./test`, or a whole cluster of one's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use omninode::storage::Target;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A superuser's URL in the cluster of `./test`.
const SERVER: &str = "OMNINODE_TEST_POSTGRES";

/// Its programs.
const PROGRAMS: &str = "OMNINODE_TEST_POSTGRES_BIN";

#[track_caller]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this test by ./test storage"))
}

/// A database that nobody else knows, dropped in the end.
pub(crate) struct Database {
    server: String,
    pub(crate) name: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = Self { server: variable(SERVER), name: format!("test_{}_{number}", std::process::id()) };
        database.on_server(&format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    pub(crate) async fn on_server(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.url_of(&self.name)
    }

    /// Of another database of the cluster.
    pub(crate) fn url_of(&self, name: &str) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{name}")
    }

    /// As another user.
    pub(crate) fn url_as(&self, user: &str) -> String {
        self.url().replacen("postgres@", &format!("{user}@"), 1)
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(self.url())
    }

    pub(crate) async fn pool(&self) -> PgPool {
        PgPool::connect(&self.url()).await.unwrap()
    }

    /// Runs statements, several if need be.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        connection.close().await.unwrap();
    }

    /// `psql` with these arguments, as a user types it, in this database.
    pub(crate) fn psql<I: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        psql(&self.url(), arguments)
    }

    /// Applies a file, alone, stopping at the first error.
    #[track_caller]
    pub(crate) fn apply(&self, file: &Path) -> String {
        let ended = self.psql(["-v", "ON_ERROR_STOP=1", "-q", "-f", file.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{}: {told}", file.display());
        told
    }

    /// What `psql -At` prints for a query.
    #[track_caller]
    pub(crate) fn ask(&self, sql: &str) -> String {
        let ended = self.psql(["-At", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        assert!(ended.status.success(), "{}\n{sql}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = psql(&self.server, ["-q", "-c", &sql]);
    }
}

pub(crate) fn psql<I: AsRef<std::ffi::OsStr>>(url: &str, arguments: impl IntoIterator<Item = I>) -> Output {
    Command::new("psql").arg(url).args(["-X"]).args(arguments).output().expect("psql is installed")
}

/// A server that a test may stop, on a free port, with its data in a fresh folder.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    pub(crate) port: u16,
    settings: String,
}

impl Cluster {
    /// Starts one; `prepare` may put files into the data folder first.
    pub(crate) fn start(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("omninode-cluster").tempdir_in("/tmp").unwrap();
        let programs = PathBuf::from(variable(PROGRAMS));
        let mut cluster = Self { folder, programs, port: 0, settings: settings.to_owned() };
        cluster.give(cluster.folder.path());
        let data = cluster.data();
        let options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"];
        cluster.must("initdb", &[&["-D", data.to_str().unwrap()][..], &options].concat());
        prepare(&data);
        for entry in std::fs::read_dir(&data).unwrap() {
            cluster.give(&entry.unwrap().path());
        }
        // Below the ports that the system gives to connections: nobody is given this one while the server is stopped.
        let started = (0..5).any(|_| {
            cluster.port = fastrand::u16(20_000..32_000);
            cluster.started().status.success()
        });
        assert!(started, "{}", cluster.log());
        cluster
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// `fast` or `immediate`.
    pub(crate) fn stop(&self, how: &str) {
        self.must("pg_ctl", &["-D", self.data().to_str().unwrap(), "-m", how, "-w", "stop"]);
    }

    pub(crate) fn resume(&self) {
        let ended = self.started();
        assert!(ended.status.success(), "{}\n{}", String::from_utf8_lossy(&ended.stderr), self.log());
    }

    fn started(&self) -> Output {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 {}",
            self.port,
            self.folder.path().display(),
            self.settings
        );
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
        self.run("pg_ctl", &["-D", data, "-o", &options, "-l", log, "-w", "-t", "60", "start"])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// To the user as whom the server runs.
    fn give(&self, path: &Path) {
        if let Some(user) = server_user() {
            assert!(Command::new("chown").arg(user).arg(path).status().unwrap().success());
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = match server_user() {
            None => Command::new(program),
            Some(user) => as_user(user, &program),
        };
        // `pg_ctl` hands its output on to the server, which keeps it open.
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("out")).unwrap();
        let command = command.current_dir("/").args(arguments).stdin(std::process::Stdio::null());
        let status = command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        Output { status, stdout: Vec::new(), stderr: std::fs::read(self.folder.path().join("out")).unwrap() }
    }

    #[track_caller]
    fn must(&self, program: &str, arguments: &[&str]) {
        let ended = self.run(program, arguments);
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{program}: {told}\n{}", self.log());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run("pg_ctl", &["-D", self.data().to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
    }
}

/// As `tests/cluster` does: `runuser` asks PAM, which refuses in some containers.
fn as_user(user: &str, program: &Path) -> Command {
    let group = Command::new("id").args(["-g", user]).output().unwrap().stdout;
    let group = String::from_utf8(group).unwrap();
    let mut command = if Command::new("setpriv").arg("--version").output().is_ok() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", group.trim(), "--clear-groups", "--"]);
        command
    } else {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--"]);
        command
    };
    command.arg(program);
    command
}

/// The server does not run as root.
fn server_user() -> Option<&'static str> {
    let is_root = rustix::process::geteuid().is_root();
    let known = |user: &str| Command::new("id").arg(user).output().is_ok_and(|ended| ended.status.success());
    is_root.then(|| if known("postgres") { "postgres" } else { "nobody" })
}
