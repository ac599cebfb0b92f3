//! A house with one scripted actor, on real Arbiters or on one thread with a paused clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::kit::{
    Actor, Backoff, Batch, BatchPolicy, DeadLetter, Failure, Mailbox, MailboxLimits, Message, Observer, Placement,
    Reply, RestartPolicy, Silent, Supervisor, WhenFull,
};

#[derive(Debug)]
pub(crate) enum Work {
    Number(u64),
    Question(Reply<u64>),
}

impl Message for Work {
    fn kind(&self) -> &'static str {
        "work"
    }
    fn subject(&self) -> String {
        format!("{self:?}")
    }
}

/// What the actors of a test have seen, shared by all incarnations.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) done: Mutex<Vec<u64>>,
    pub(crate) buried: Mutex<Vec<(u64, u32, String)>>,
    pub(crate) tries: Mutex<BTreeMap<u64, u32>>,
    pub(crate) drained: AtomicUsize,
    pub(crate) built: AtomicUsize,
}

impl Log {
    pub(crate) fn done(&self) -> Vec<u64> {
        self.done.lock().unwrap().clone()
    }
    pub(crate) fn sorted(&self) -> Vec<u64> {
        let mut done = self.done();
        done.sort_unstable();
        done
    }
}

pub(crate) type Script = Arc<dyn Fn(u64, u32) -> Result<(), Failure> + Send + Sync>;

/// Runs a script (number, how often it was tried) and logs.
pub(crate) struct Scripted {
    log: Arc<Log>,
    script: Script,
    policy: BatchPolicy,
    pause: Duration,
}

impl Actor for Scripted {
    type Message = Work;

    fn batch_policy(&self) -> BatchPolicy {
        self.policy
    }

    async fn handle(&mut self, batch: &Batch<Work>) -> Result<(), Failure> {
        if self.pause > Duration::ZERO {
            tokio::time::sleep(self.pause).await;
        }
        for envelope in batch {
            match &**envelope {
                Work::Question(reply) => reply.send(42),
                Work::Number(number) => {
                    let tried = {
                        let mut tries = self.log.tries.lock().unwrap();
                        let tried = tries.entry(*number).or_default();
                        *tried += 1;
                        *tried
                    };
                    (self.script)(*number, tried)?;
                }
            }
        }
        let numbers = batch.iter().filter_map(|envelope| match &**envelope {
            Work::Number(number) => Some(*number),
            Work::Question(_) => None,
        });
        self.log.done.lock().unwrap().extend(numbers);
        Ok(())
    }

    async fn bury(&mut self, letter: DeadLetter<'_, Work>) -> Result<(), Failure> {
        let Work::Number(number) = &**letter.envelope else { return Ok(()) };
        self.log.buried.lock().unwrap().push((*number, letter.last.attempt, letter.last.reason.to_string()));
        Ok(())
    }

    async fn drained(&mut self) {
        self.log.drained.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) const LIMITS: MailboxLimits = MailboxLimits { capacity: 64, attempts_max: 3 };

pub(crate) struct House {
    pub(crate) mailbox: Mailbox<Work>,
    pub(crate) supervisor: Supervisor,
    pub(crate) log: Arc<Log>,
}

pub(crate) struct Plan {
    pub(crate) placement: Placement,
    pub(crate) workers: usize,
    pub(crate) policy: BatchPolicy,
    pub(crate) restarts_max: u32,
    pub(crate) pause: Duration,
    pub(crate) observer: Arc<dyn Observer>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            placement: Placement::Threads,
            workers: 1,
            policy: BatchPolicy::ONE,
            restarts_max: 1_000,
            pause: Duration::ZERO,
            observer: Arc::new(Silent),
        }
    }
}

pub(crate) fn house(plan: &Plan, script: impl Fn(u64, u32) -> Result<(), Failure> + Send + Sync + 'static) -> House {
    let (batch_policy, pause) = (plan.policy, plan.pause);
    let log = Arc::new(Log::default());
    let script: Script = Arc::new(script);
    let mailbox = Mailbox::new("scripted", LIMITS, Arc::clone(&plan.observer));
    let mut supervisor = Supervisor::new(plan.placement, Arc::clone(&plan.observer), 1);
    for worker in 0..plan.workers {
        let (log, script) = (Arc::clone(&log), Arc::clone(&script));
        let backoff = Backoff { base: Duration::from_micros(10), max: Duration::from_millis(1) };
        let policy = RestartPolicy { backoff, ..RestartPolicy::per_minute(plan.restarts_max) };
        supervisor.start(format!("scripted-{worker}"), mailbox.inbox(), policy, move || {
            log.built.fetch_add(1, Ordering::SeqCst);
            Scripted { log: Arc::clone(&log), script: Arc::clone(&script), policy: batch_policy, pause }
        });
    }
    House { mailbox, supervisor, log }
}

impl House {
    pub(crate) async fn feed(&self, numbers: impl IntoIterator<Item = u64>) {
        let edge = self.mailbox.edge(WhenFull::Wait);
        for number in numbers {
            edge.send(Work::Number(number)).await.unwrap();
        }
    }

    pub(crate) async fn drain(&mut self) {
        self.mailbox.close();
        tokio::time::timeout(Duration::from_secs(60), self.supervisor.ended()).await.expect("drains within a minute");
        let stats = self.mailbox.stats();
        assert_eq!(stats.accepted, stats.acknowledged + stats.dead_letters, "{stats:?}");
        assert_eq!((stats.depth, stats.in_flight), (0, 0));
    }
}

pub(crate) fn threads(test: impl Future<Output = ()>) {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
    .block_on(test);
}

pub(crate) fn single(test: impl Future<Output = ()>) {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(test);
}

pub(crate) fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>().map(String::as_str);
            if !text
                .or_else(|| info.payload().downcast_ref::<&str>().copied())
                .is_some_and(|text| text.starts_with("scripted"))
            {
                shown(info);
            }
        }));
    });
}
