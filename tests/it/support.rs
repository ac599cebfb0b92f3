//! A scratch folder, the binary, and small contracts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The variables that the program reads.
pub(crate) const VARIABLES: [&str; 6] =
    ["POSTGRES_PASSWORD", "DATABASE_URL", "MONITORING_ENABLED", "ALERT_WEBHOOK_URL", "LOG_LEVEL", "LOG_DIR"];

/// A scratch folder with an output folder and a database of its own.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    pub(crate) fn database(&self) -> String {
        format!("sqlite://{}", self.path("omninode.db").display())
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program in the scratch folder, with an environment that says nothing to it.
    pub(crate) fn program(&self) -> Command {
        // Another build of it, such as the release binary, where the environment names one.
        let binary = std::env::var_os("OMNINODE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_omninode").into());
        let mut command = Command::new(binary);
        command.current_dir(self.folder.path()).env("NO_COLOR", "1");
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
    }

    /// `omninode generate` into `out`, in the scratch folder.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.program();
        command.arg("generate").args(arguments);
        command.arg("--out").arg(self.out()).arg("--database").arg(self.database());
        command
    }

    /// Another command of the program than `generate`, in the scratch folder.
    pub(crate) fn omninode<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omninode"));
        command.current_dir(self.folder.path()).env("DATABASE_URL", self.database()).env("NO_COLOR", "1");
        Ended::of(&command.env_remove("LOG_LEVEL").args(arguments).output().unwrap())
    }

    pub(crate) fn generate<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap())
    }

    /// As [`Self::generate`], with the summary as data.
    pub(crate) fn summary<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> (Ended, serde_json::Value) {
        let ended = Ended::of(&self.command(arguments).args(["--format", "json"]).output().unwrap());
        let summary = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        (ended, summary)
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Every file under a folder with its content; the folder's own bookkeeping (`.omninode/`) left out.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path != root.join(".omninode") {
                    visit(root, &path, files);
                }
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    if folder.exists() {
        visit(folder, folder, &mut files);
    }
    files
}

/// The packages in an output folder.
pub(crate) fn packages(out: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(out).map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    let mut names: Vec<_> = entries.into_iter().flatten().filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// A small contract that is right.
pub(crate) fn contract(name: &str) -> String {
    format!(
        "name: {name}\nnode_type: COMPUTE_GENERIC\ncontract_version: {{major: 1, minor: 0, patch: 0}}\n\
         description: Adds numbers.\ninput_model: ModelSumInput\noutput_model: ModelSumOutput\n\
         handler_routing:\n  routing_strategy: operation_match\n  handlers:\n    - operation: sum\n      \
         handler: {{name: HandlerSum, module: shop.nodes.{name}.handlers.handler_sum}}\n\
         definitions:\n  ModelSumInput:\n    type: object\n    properties:\n      \
         numbers: {{type: array, items: {{type: number}}}}\n    required: [numbers]\n  \
         ModelSumOutput:\n    type: object\n    properties:\n      sum: {{type: number}}\n    required: [sum]\n"
    )
}

/// `count` small contracts, `c000/contract.yaml` and on.
pub(crate) fn corpus(bench: &Bench, count: usize) -> PathBuf {
    for number in 0..count {
        bench.write(
            &format!("contracts/c{number:03}/contract.yaml"),
            contract(&format!("node_sum_{number:03}_compute")),
        );
    }
    bench.path("contracts")
}

/// Runs a query on the database of a bench and gives back the first column of each row.
pub(crate) fn query(bench: &Bench, sql: &'static str) -> Vec<f64> {
    let url = bench.database();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
    })
}
