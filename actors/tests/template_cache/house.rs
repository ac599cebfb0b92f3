//! A cache with its metric writer over packs in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use actors::event::JobFailure;
use actors::kit::{
    Edge, Mailbox, MailboxLimits, Observer, Placement, RestartPolicy, Silent, Supervisor, WhenFull, ask,
};
use actors::metric::{Row, TemplateRow};
use actors::metric_writer::{self, MetricWriter, Recorder, Tally};
use actors::ports::{Clock, MANIFEST, MetricStore, Origin, PackText, Stamp, StoreError, TemplateSource};
use actors::template_cache::{Config, Message, Snapshot, Stats, TemplateCache, UnknownTemplate, Warmed};
use async_trait::async_trait;
use codegen::{Contract, Limits, Plan};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A disk of packs in memory, with stamps as a file system gives them, or a binary that holds them.
#[derive(Default)]
pub(crate) struct World {
    /// By pack and file.
    files: Mutex<BTreeMap<(String, String), (String, Stamp)>>,
    on_disk: bool,
    ids: AtomicUsize,
    /// Reads of templates.
    pub(crate) reads: AtomicUsize,
    /// Looks at stamps.
    pub(crate) looks: AtomicUsize,
    rows: Mutex<Vec<Row>>,
    /// Packs whose disk gives no answer.
    pub(crate) hanging: Mutex<BTreeSet<String>>,
    /// Packs that break their reader.
    pub(crate) explosive: Mutex<BTreeSet<String>>,
    /// Called before a template is read.
    pub(crate) before_read: Mutex<Option<BeforeRead>>,
}

type BeforeRead = Box<dyn Fn(&World) + Send>;

impl World {
    pub(crate) fn embedded() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn on_disk() -> Arc<Self> {
        Arc::new(Self { on_disk: true, ..Self::default() })
    }

    /// Writes a file in place: its inode stays.
    pub(crate) fn write(&self, pack: &str, name: &str, text: &str) {
        let id = self.ids.fetch_add(1, Ordering::SeqCst) as u64;
        let mut files = self.files.lock().unwrap();
        let known = files.get(&(pack.to_owned(), name.to_owned())).map(|(_, stamp)| stamp.inode);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(id + 1);
        let inode = known.unwrap_or(id);
        let stamp = Stamp { modified: at, changed: at, bytes: text.len() as u64, device: 1, inode, settled: true };
        files.insert((pack.to_owned(), name.to_owned()), (text.to_owned(), stamp));
    }

    /// Changes the text of a file and leaves its stamp as it is.
    pub(crate) fn write_unseen(&self, pack: &str, name: &str, text: &str) {
        self.files.lock().unwrap().get_mut(&(pack.to_owned(), name.to_owned())).unwrap().0 = text.to_owned();
    }

    pub(crate) fn change_stamp(&self, pack: &str, name: &str, change: impl Fn(&mut Stamp)) {
        change(&mut self.files.lock().unwrap().get_mut(&(pack.to_owned(), name.to_owned())).unwrap().1);
    }

    pub(crate) fn delete(&self, pack: &str, name: &str) {
        self.files.lock().unwrap().remove(&(pack.to_owned(), name.to_owned()));
    }

    /// A pack that makes a file of each template.
    pub(crate) fn pack(&self, pack: &str, templates: &[(&str, &str)]) {
        let names: Vec<&str> = templates.iter().map(|(name, _)| *name).collect();
        self.manifest(pack, &names);
        for (name, text) in templates {
            self.write(pack, name, text);
        }
    }

    pub(crate) fn manifest(&self, pack: &str, names: &[&str]) {
        let rule = |name: &&str| format!("  - {{path: {name}.txt, template: {name}}}\n");
        let files: String = names.iter().map(rule).collect();
        self.write(pack, MANIFEST, &format!("name: p\nversion: '1'\ndescription: d\nfiles:\n{files}"));
    }

    /// `count` templates of a few bytes.
    pub(crate) fn small_pack(&self, pack: &str, count: usize) {
        let names: Vec<String> = (0..count).map(|number| format!("t{number:03}")).collect();
        self.pack(pack, &names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
    }

    /// What a job must get of a pack: the text of each template that its manifest names; none where one is not there.
    pub(crate) fn now(&self, pack: &str) -> Option<BTreeMap<String, String>> {
        let files = self.files.lock().unwrap();
        let (manifest, _) = files.get(&(pack.to_owned(), MANIFEST.to_owned()))?;
        let named = manifest.split("template: ").skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
        let text = |name: &str| Some((name.to_owned(), files.get(&(pack.to_owned(), name.to_owned()))?.0.clone()));
        named.map(text).collect()
    }

    pub(crate) fn reports(&self) -> Vec<TemplateRow> {
        let rows = self.rows.lock().unwrap();
        let reports = rows.iter().filter_map(|row| if let Row::Template(row) = row { Some(row.clone()) } else { None });
        reports.collect()
    }

    async fn hang(&self, pack: &str) {
        let hangs = self.hanging.lock().unwrap().contains(pack);
        if hangs {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
    }

    fn text(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        assert!(!self.explosive.lock().unwrap().contains(pack), "injected");
        let files = self.files.lock().unwrap();
        let Some((text, stamp)) = files.get(&(pack.to_owned(), name.to_owned())) else {
            let fault = codegen::Diagnostic::new(format!("{pack}/{name}"), None, "it is not there");
            return Err(JobFailure::new("template", fault.help("put it there")));
        };
        let file = format!("{pack}/{name}");
        let path = format!("/{file}");
        let origin = if self.on_disk { Origin::File { path, stamp: *stamp } } else { Origin::Embedded };
        Ok(PackText { name: Arc::from(file.as_str()), file, origin, bytes: Arc::from(text.as_bytes()) })
    }
}

#[async_trait]
impl TemplateSource for World {
    async fn manifest(&self, pack: &str) -> Result<PackText, JobFailure> {
        self.hang(pack).await;
        self.text(pack, MANIFEST)
    }
    async fn template(&self, pack: &str, name: &str) -> Result<PackText, JobFailure> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.hang(pack).await;
        let before = self.before_read.lock().unwrap().take();
        let read = self.text(pack, name);
        if let Some(before) = before {
            before(self);
        }
        // A disk takes its time: others ask meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        read
    }
    async fn stamps(&self, pack: &str, names: &[Arc<str>]) -> Vec<Option<Stamp>> {
        assert!(self.on_disk, "a pack in the binary is never looked at");
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.hang(pack).await;
        let files = self.files.lock().unwrap();
        names.iter().map(|name| files.get(&(pack.to_owned(), name.to_string())).map(|(_, stamp)| *stamp)).collect()
    }
}

#[async_trait]
impl MetricStore for World {
    async fn write(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.rows.lock().unwrap().extend_from_slice(rows);
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        Uuid::from_u128(self.ids.fetch_add(1, Ordering::SeqCst) as u128)
    }
}

pub(crate) struct House {
    edge: Edge<Message>,
    cache: Mailbox<Message>,
    writer: Mailbox<metric_writer::Message>,
    supervisors: [Supervisor; 2],
    context: Plan,
}

const DEADLINE: Duration = Duration::from_secs(60);

impl House {
    fn new(config: Config, world: &Arc<World>) -> Self {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let limits = MailboxLimits { capacity: 1_000, attempts_max: 1 };
        let cache = Mailbox::new("template_cache", limits, Arc::clone(&observer));
        let writer = Mailbox::new("metric_writer", limits, Arc::clone(&observer));
        let policy = RestartPolicy::per_minute(20);
        let supervisor = || Supervisor::new(Placement::Single, Arc::clone(&observer), 0);
        let mut supervisors = [supervisor(), supervisor()];
        let tally = Arc::new(Tally::default());
        let recorder = Recorder::new(writer.edge(WhenFull::Drop), Arc::clone(&tally));
        let own = Arc::clone(world);
        supervisors[0].start("template_cache", cache.inbox(), policy, move || {
            TemplateCache::new(config, Arc::clone(&own) as _, Arc::clone(&own) as _, recorder.clone())
        });
        let (own, never) = (Arc::clone(world), CancellationToken::new());
        supervisors[1].start("metric_writer", writer.inbox(), policy, move || {
            let settings = metric_writer::Config::default();
            MetricWriter::new(settings, Arc::clone(&own) as _, Arc::clone(&tally), never.clone(), 0)
        });
        let contract = "name: node_x\nnode_type: COMPUTE\ncontract_version: {major: 1, minor: 0, patch: 0}\n";
        let contract = Contract::read("c.yaml", contract.as_bytes());
        let context = contract.and_then(|contract| Plan::new(&contract)).expect("a contract that is right");
        Self { edge: cache.edge(WhenFull::Wait), cache, writer, supervisors, context }
    }

    pub(crate) async fn try_get(&self, pack: &str) -> Result<Snapshot, JobFailure> {
        let pack = Arc::from(pack);
        ask(&self.edge, DEADLINE, |reply| Message::Get { pack, reply }).await.expect("an answer")
    }

    pub(crate) async fn get(&self, pack: &str) -> Snapshot {
        self.try_get(pack).await.unwrap_or_else(|failure| panic!("{}", failure.message()))
    }

    /// Hits and misses of one job.
    pub(crate) async fn used(&self, pack: &str) -> (u32, u32) {
        let used = self.get(pack).await.used;
        (used.hits, used.misses)
    }

    /// What a job renders, by template.
    pub(crate) fn rendered(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        let limits = Limits::without_deadline();
        let files = codegen::render(&self.context.context, &snapshot.pack, &snapshot.templates, &limits).unwrap();
        files.into_iter().map(|file| (file.path.trim_end_matches(".txt").to_owned(), file.content)).collect()
    }

    pub(crate) async fn warm(&self, pack: &str) -> Result<Warmed, JobFailure> {
        let pack = Arc::from(pack);
        ask(&self.edge, DEADLINE, |reply| Message::Warm { pack, reply }).await.expect("an answer")
    }

    pub(crate) async fn invalidate(&self, name: Option<&str>) -> Result<usize, UnknownTemplate> {
        let name = name.map(str::to_owned);
        ask(&self.edge, DEADLINE, |reply| Message::Invalidate { name, reply }).await.expect("an answer")
    }

    pub(crate) async fn stats(&self) -> Stats {
        ask(&self.edge, DEADLINE, |reply| Message::Stats { reply }).await.expect("an answer")
    }

    /// Names of what is cached now.
    pub(crate) async fn cached(&self) -> BTreeSet<String> {
        let templates = self.stats().await.templates;
        templates.into_iter().filter(|template| template.cached).map(|template| template.name.to_string()).collect()
    }

    async fn drain(mut self) {
        self.cache.close();
        self.supervisors[0].ended().await;
        self.writer.close();
        self.supervisors[1].ended().await;
    }
}

/// Runs a test in a house of its own, and drains it.
pub(crate) fn run<T>(config: Config, world: &Arc<World>, test: impl AsyncFnOnce(&House) -> T) -> T {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(async {
        let house = House::new(config, world);
        let result = test(&house).await;
        house.drain().await;
        result
    })
}
