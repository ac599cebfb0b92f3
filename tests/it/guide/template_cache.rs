//! Rows 18, 35, 36, 37 and 49 where a user sees them: the program, its database, and packs on a real disk.

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use actors::event::JobFailure;
use actors::kit::{
    Edge, Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull, ask,
};
use actors::metric_writer::{Recorder, Tally};
use actors::ports::{PackText, Stamp, TemplateSource};
use actors::template_cache::{Config, Message, TemplateCache};
use async_trait::async_trait;
use codegen::{Contract, Limits, Plan};
use omninode::clock::SystemClock;
use omninode::packs::Packs;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::runtime::Handle;

use crate::support::{Bench, contract, corpus};

/// Templates of the pack in the binary.
fn embedded() -> u64 {
    Packs::embedded_templates().count() as u64
}

fn stats(bench: &Bench, more: &[&str]) -> serde_json::Value {
    let ended = bench.omninode([&["cache", "stats", "--format", "json"], more].concat()).expect_code(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn own_pack(bench: &Bench, name: &str) -> PathBuf {
    bench.write(
        &format!("{name}/pack.yaml"),
        "name: own\nversion: '1'\nfiles:\n  - {path: a.py, template: a.py.j2}\n  - {path: b.md, template: b.md.j2}\n",
    );
    bench.write(&format!("{name}/a.py.j2"), "A = 1\n");
    bench.write(&format!("{name}/b.md.j2"), "b\n");
    bench.path(name)
}

#[test]
fn guide_18_figures_of_templates_add_up_over_runs_one_after_the_other_and_at_once() {
    let bench = Bench::new();
    let folder = corpus(&bench, 10);
    bench.generate([&folder]).expect_code(0);
    let first = stats(&bench, &["--per-template"]);
    let lines = first["templates"].as_array().unwrap();
    assert_eq!(lines.len() as u64, embedded());
    let node = lines.iter().find(|line| line["name"] == "onex/node.py.j2").unwrap();
    assert_eq!(
        (&node["template_type"], &node["source"], &node["hits"]),
        (&"onex/py".into(), &"embedded".into(), &10.into())
    );
    assert_eq!((&node["misses"], node["hash"].as_str().unwrap().len()), (&0.into(), 64));
    assert!(node["load_time_ms"].as_f64().unwrap() > 0.0 && node["size_bytes"].as_u64().unwrap() > 10_000, "{node}");
    bench.generate([&folder]).expect_code(0);
    assert_eq!(stats(&bench, &[])["hits"].as_u64(), Some(20 * embedded()));
    let outs = ["one", "two", "three"].map(|name| bench.path(name));
    let runs: Vec<_> = outs
        .iter()
        .map(|out| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_omninode"));
            command.arg("generate").arg(&folder).arg("--out").arg(out).arg("--database").arg(bench.database());
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    runs.into_iter().for_each(|mut run| assert!(run.wait().unwrap().success()));
    assert_eq!(stats(&bench, &[])["hits"].as_u64(), Some(50 * embedded()), "none of three at once overwrote another's");
}

#[test]
fn guide_35_the_stored_figures_are_those_of_ten_generations_and_say_how_old_they_are() {
    let bench = Bench::new();
    let nothing = bench.omninode(["cache", "stats"]).expect_code(0);
    assert!(nothing.stdout.contains("No service is running, and no run has stored"), "{nothing:?}");
    assert!(!bench.path("omninode.db").exists(), "asking creates no database");
    bench.generate([corpus(&bench, 10)]).expect_code(0);
    let found = stats(&bench, &[]);
    let hits = 10 * embedded();
    assert_eq!((found["hits"].as_u64(), found["misses"].as_u64()), (Some(hits), Some(0)));
    assert_eq!((found["hit_rate"].as_f64(), found["known_templates"].as_u64()), (Some(1.0), Some(embedded())));
    assert!(found["cached_templates"].is_null(), "only a service knows it");
    assert_eq!((&found["service"], found["max_templates"].as_u64()), (&false.into(), Some(100)));
    let age = found["age_seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
    let text = bench.omninode(["cache", "stats"]).expect_code(0).stdout;
    for part in [
        "No service is running".to_owned(),
        " ago.".to_owned(),
        "Hit rate: 100.0 %".to_owned(),
        format!("Hits: {hits}, Misses: 0"),
        format!("Known templates: {}, ", embedded()),
        "A cache holds at most: 100 templates, 50 MB".to_owned(),
    ] {
        assert!(text.contains(&part), "`{part}` is missing in\n{text}");
    }
}

#[test]
fn guide_35_stored_figures_are_read_while_another_process_writes_and_where_nothing_can_be_written() {
    let bench = Bench::new();
    bench.generate([corpus(&bench, 1)]).expect_code(0);
    let files = || {
        let mut names: Vec<_> = bench.path("").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with("omninode.db"));
        names
    };
    assert_eq!(stats(&bench, &[])["hits"].as_u64(), Some(embedded()));
    assert_eq!(files(), ["omninode.db"], "reading leaves nothing beside the file");
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let options = SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect(&bench.database()).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE; UPDATE template_cache_metadata SET cache_hits = 0")
            .execute(&mut *connection)
            .await
            .unwrap();
        assert_eq!(stats(&bench, &[])["hits"].as_u64(), Some(embedded()), "what was committed");
        sqlx::raw_sql("ROLLBACK; DROP TABLE template_cache_metadata").execute(&mut *connection).await.unwrap();
        drop(connection);
        pool.close().await;
    });
    let file = bench.path("omninode.db");
    let mut permissions = file.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).unwrap();
    let nothing = bench.omninode(["cache", "stats"]).expect_code(0);
    assert!(nothing.stdout.contains("no run has stored"), "a missing table holds nothing: {nothing:?}");
}

#[test]
fn guide_36_templates_are_listed_with_the_file_touched_last_first() {
    let bench = Bench::new();
    let folder = corpus(&bench, 2);
    let (one, two) = (own_pack(&bench, "x/own"), own_pack(&bench, "y/own"));
    for pack in [Path::new("onex"), &one, &two] {
        bench.generate([folder.as_os_str(), "--force".as_ref(), "--pack".as_ref(), pack.as_os_str()]).expect_code(0);
    }
    let touch = |path: PathBuf, seconds: u64| {
        let at = SystemTime::now() + Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
    };
    touch(one.join("b.md.j2"), 10);
    touch(two.join("a.py.j2"), 20);
    let found = stats(&bench, &["--per-template"]);
    let lines = found["templates"].as_array().unwrap();
    let sources: Vec<_> = lines.iter().map(|line| line["source"].as_str().unwrap()).collect();
    let real = |path: PathBuf| path.canonicalize().unwrap().display().to_string();
    assert_eq!(sources[..2], [real(two.join("a.py.j2")), real(one.join("b.md.j2"))]);
    assert!(sources[4..].iter().all(|source| *source == "embedded"));
    assert_eq!(lines.len() as u64, embedded() + 4, "two folders of one name are two packs");
    assert!(lines[0]["changed_at"].as_str().unwrap().ends_with('Z') && lines[4]["changed_at"].is_null());
    let text = bench.omninode(["cache", "stats", "--per-template"]).expect_code(0).stdout;
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("template ")).collect();
    for part in ["changed at", "hash", "hits", "misses", "source"] {
        assert!(lines[0].contains(part), "{text}");
    }
    assert!(lines[1].contains("own@") && lines[1].contains("/a.py.j2") && lines[1].contains("y/own"), "{text}");
}

#[test]
fn guide_37_a_generation_has_no_miss_because_the_pack_is_warmed_up_before_it() {
    let bench = Bench::new();
    let (_, summary) = bench.summary([corpus(&bench, 5)]);
    assert_eq!(summary["cache_hit_rate"].as_f64(), Some(1.0));
    assert_eq!(stats(&bench, &[])["misses"].as_u64(), Some(0));
}

#[test]
fn guide_37_a_warm_up_compiles_whole_packs_and_tells_all_their_faults() {
    let bench = Bench::new();
    let pack = own_pack(&bench, "own");
    let warmed = bench.omninode(["cache", "warm"]).expect_code(0).stdout;
    assert!(warmed.contains(&format!("onex: {} templates, ", embedded())) && warmed.contains(" ms"), "{warmed}");
    bench.omninode(["cache", "warm", "own"]).expect_code(0);
    std::fs::write(pack.join("a.py.j2"), "ok\n{{ a").unwrap();
    std::fs::write(pack.join("b.md.j2"), "{% if %}").unwrap();
    let ended = bench.omninode(["cache", "warm", "onex", "own"]).expect_code(1);
    assert!(ended.stdout.contains("own: 2 faults"), "{ended:?}");
    assert!(ended.stderr.contains("own/a.py.j2:2:") && ended.stderr.contains("own/b.md.j2:1:"), "{}", ended.stderr);
    let lines: serde_json::Value =
        serde_json::from_str(&bench.omninode(["cache", "warm", "own", "--format", "json"]).expect_code(1).stdout)
            .unwrap();
    assert_eq!(lines[0]["faults"].as_array().unwrap().len(), 2);
    let unknown = bench.omninode(["cache", "warm", "nowhere"]).expect_code(1);
    assert!(unknown.stderr.contains("no such template pack"), "{unknown:?}");
    assert!(!bench.path("omninode.db").exists(), "a check stores nothing");
}

#[test]
fn a_fault_of_a_template_is_shown_once_with_its_line_and_the_contracts_that_it_concerns() {
    let bench = Bench::new();
    let pack = own_pack(&bench, "own");
    std::fs::write(pack.join("a.py.j2"), "A = 1\n{{ a + }}\n").unwrap();
    let folder = corpus(&bench, 12);
    let ended = bench.generate([folder.as_os_str(), "--pack".as_ref(), pack.as_os_str()]).expect_code(1);
    assert_eq!(ended.stderr.matches("{{ a + }}").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("12 contracts have failed over"), "{}", ended.stderr);
    let none = bench.generate([folder.as_os_str(), "--pack".as_ref(), "".as_ref()]).expect_code(2);
    assert!(none.stderr.contains("no pack is named"), "{}", none.stderr);
}

#[test]
fn guide_49_without_a_service_an_invalidation_drops_stored_figures_and_says_so() {
    let bench = Bench::new();
    bench.generate([corpus(&bench, 1)]).expect_code(0);
    let one = bench.omninode(["cache", "invalidate", "onex/node.py.j2"]).expect_code(0).stdout;
    assert!(one.contains("No service is running") && one.contains("begins with an empty cache"), "{one}");
    assert!(one.contains("The stored figures of onex/node.py.j2 were dropped"), "{one}");
    assert_eq!(stats(&bench, &[])["known_templates"].as_u64(), Some(embedded() - 1));
    for (name, says) in [
        ("onex/nod.py.j2", "did you mean `onex/node.py.j2`?"),
        ("node.py.j2", "did you mean `onex/node.py.j2`?"),
        ("EFFECT_template", "one set of templates serves all node kinds"),
        ("zzz", "--per-template"),
    ] {
        let refused = bench.omninode(["cache", "invalidate", name]).expect_code(2);
        assert!(refused.stderr.contains(says) && refused.stderr.contains(name), "{refused:?}");
    }
    assert_eq!(stats(&bench, &[])["known_templates"].as_u64(), Some(embedded() - 1), "a refusal drops nothing");
    let all = bench.omninode(["cache", "invalidate", "all", "--format", "json"]).expect_code(0).stdout;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["figures_dropped"].as_u64(), Some(embedded() - 1));
    assert_eq!(stats(&bench, &[])["known_templates"].as_u64(), Some(0));
}

/// Real packs, with the reads counted.
struct Counted {
    packs: Packs,
    reads: AtomicUsize,
}

#[async_trait]
impl TemplateSource for Counted {
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.packs.manifest(pack).await
    }
    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.packs.template(pack, name).await
    }
    async fn stamps(&self, pack: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>> {
        self.packs.stamps(pack, names).await
    }
}

struct House {
    edge: Edge<Message>,
    plan: Plan,
}

impl House {
    async fn rendered(&self, pack: &Path) -> BTreeMap<String, String> {
        let pack = Arc::from(pack.to_str().unwrap());
        let answer = ask(&self.edge, Duration::from_secs(60), |reply| Message::Get { pack, reply }).await.unwrap();
        let snapshot = answer.unwrap_or_else(|failure| panic!("{}", failure.message()));
        let limits = Limits::without_deadline();
        let files = codegen::render(&self.plan.context, &snapshot.pack, &snapshot.templates, &limits).unwrap();
        files.into_iter().map(|file| (file.path, file.content)).collect()
    }
}

/// A cache on a thread of its own, over packs on the real disk.
fn with_real_packs(test: impl AsyncFnOnce(&House, &Counted)) {
    actix_rt::System::with_tokio_rt(omninode::app::runtime).block_on(async {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let limits = MailboxLimits { capacity: 8, attempts_max: 1 };
        let mailbox = Mailbox::new("template_cache", limits, Arc::clone(&observer));
        let unread = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
        let mut supervisor = Supervisor::new(Placement::Threads, observer, 0);
        let source = Arc::new(Counted { packs: Packs::new(Handle::current()), reads: AtomicUsize::new(0) });
        let own = Arc::clone(&source);
        supervisor.start("template_cache", mailbox.inbox(), RestartPolicy::per_minute(1), move || {
            let figures = Recorder::new(unread.edge(WhenFull::Drop), Arc::new(Tally::default()));
            let config = Config { persistence: false, ..Config::default() };
            TemplateCache::new(config, Arc::clone(&own) as _, Arc::new(SystemClock), figures)
        });
        let plan = Contract::read("c.yaml", contract("node_x_compute").as_bytes()).and_then(|read| Plan::new(&read));
        let house = House { edge: mailbox.edge(WhenFull::Wait), plan: plan.unwrap() };
        test(&house, &source).await;
        mailbox.close();
        supervisor.ended().await;
    });
}

/// Each change comes at once after a job, in the same tick of the file system's clock or not, and hides as well as it can.
#[test]
fn guide_49_no_change_of_a_file_on_a_real_disk_is_ever_missed() {
    let bench = Bench::new();
    let pack = own_pack(&bench, "own");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    with_real_packs(async |house, _| {
        let file = pack.join("a.py.j2");
        for round in 0..1_000 {
            let text = format!("A = {round:06}\n");
            let modified = file.metadata().unwrap().modified().unwrap();
            match random.u32(0..4) {
                0 => std::fs::write(&file, &text).unwrap(),
                1 => {
                    let aside = pack.join("aside");
                    std::fs::write(&aside, &text).unwrap();
                    std::fs::rename(&aside, &file).unwrap();
                }
                2 => {
                    std::fs::remove_file(&file).unwrap();
                    std::fs::write(&file, &text).unwrap();
                }
                _ => {
                    // Same size, same inode, and the old time put back.
                    std::fs::write(&file, &text).unwrap();
                    let times = FileTimes::new().set_modified(modified);
                    File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
                }
            }
            assert_eq!(house.rendered(&pack).await["a.py"], text, "seed {seed}, round {round}");
        }
    });
}

#[test]
fn guide_36_a_pack_that_was_left_alone_is_not_read_again_and_a_change_of_it_is_still_seen() {
    let bench = Bench::new();
    let pack = own_pack(&bench, "own");
    with_real_packs(async |house, source| {
        // However long the house took to begin: its files are young.
        own_pack(&bench, "own");
        house.rendered(&pack).await;
        // The clock is the file system's: its stamps must age.
        std::thread::sleep(Duration::from_millis(2_100));
        house.rendered(&pack).await;
        let reads = source.reads.load(Ordering::SeqCst);
        assert_eq!(reads, 6, "manifest and two templates: loaded, and read once more when they had aged");
        for _ in 0..50 {
            house.rendered(&pack).await;
        }
        assert_eq!(source.reads.load(Ordering::SeqCst), reads);
        // Of the same size and with the old time put back: in place, and by another file in its place.
        let put_back = |path: &Path, modified: SystemTime| {
            let times = FileTimes::new().set_modified(modified);
            File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        };
        let (a, b, aside) = (pack.join("a.py.j2"), pack.join("b.md.j2"), pack.join("aside"));
        let modified = |path: &Path| path.metadata().unwrap().modified().unwrap();
        let before = modified(&a);
        std::fs::write(&a, "A = 2\n").unwrap();
        put_back(&a, before);
        std::fs::write(&aside, "c\n").unwrap();
        put_back(&aside, modified(&b));
        std::fs::rename(&aside, &b).unwrap();
        let rendered = house.rendered(&pack).await;
        assert_eq!((rendered["a.py"].as_str(), rendered["b.md"].as_str()), ("A = 2\n", "c\n"));
        assert_eq!(source.reads.load(Ordering::SeqCst), reads + 2, "and only these files");
    });
}
