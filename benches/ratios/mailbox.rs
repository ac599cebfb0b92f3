//! Messages through a mailbox: one sender, one consumer, a thread each, the same payload, the same bound.
//!
//! Ours is a real supervised actor: bounded, every message in a slot until it is acknowledged, stamped when it is sent and
//! taken and done. The peers have none of that: actix's `do_send` has no bound, a panic behind a channel loses what was
//! received.

#![expect(clippy::disallowed_methods, reason = "actix is a peer here, driven as its users drive it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Actor as _;
use actix_rt::{Arbiter, System};
use actors::kit::{
    self, Batch, BatchPolicy, Edge, Failure, Mailbox, MailboxLimits, Placement, Reply, RestartPolicy, Silent,
    Supervisor, WhenFull, ask,
};
use anyhow::{Result, anyhow};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::measure::{Effort, Row, Section, Unit, alternate};

/// Messages that may wait, where there is a bound.
const CAPACITY: usize = 1_024;
const BATCH: usize = 64;

/// What travels: about the size of a small command.
type Payload = [u64; 4];

pub(crate) fn bench(effort: Effort) -> Result<Section> {
    let mut section = Section::default();
    let (count, trips) = effort.pick((200_000, 10_000), (1_000_000, 50_000));
    let rounds = effort.pick(5, 15);
    for (case, batch) in [("one by one", 1), ("in batches of 64", BATCH)] {
        let rate = |seconds: f64| [count as f64 / seconds];
        let mut ours = || ours(count, batch).map(rate);
        let mut actix = || actix(count).map(rate);
        let mut tokio = || tokio(count, batch).map(rate);
        let mut flume = || flume(count, batch).map(rate);
        let measured = alternate(1, rounds, &mut [&mut ours, &mut actix, &mut tokio, &mut flume])?;
        let [[ours], [actix], [tokio], [flume]] = &measured[..] else { unreachable!("four contenders") };
        let row = || Row::new(format!("messages, {case}"), Unit::PerSecond, ours);
        section.rows.push(row().against("actix `do_send` (no bound)", actix).ratio_at_least(1.0));
        section.rows.push(row().against("tokio mpsc, bounded", tokio));
        section.rows.push(row().against("flume, bounded", flume));
    }
    let each = |seconds: f64| [seconds / trips as f64];
    let mut ours = || our_trips(trips).map(each);
    let mut actix = || actix_trips(trips).map(each);
    let mut tokio = || tokio_trips(trips).map(each);
    let mut flume = || flume_trips(trips).map(each);
    let measured = alternate(1, rounds, &mut [&mut ours, &mut actix, &mut tokio, &mut flume])?;
    let [[ours], [actix], [tokio], [flume]] = &measured[..] else { unreachable!("four contenders") };
    let row = || Row::new("ask and answer", Unit::Seconds, ours);
    section.rows.push(row().against("actix `send().await`", actix).ratio_at_least(1.0));
    section.rows.push(row().against("tokio mpsc + oneshot", tokio));
    section.rows.push(row().against("flume + oneshot", flume));
    section.note(format!(
        "{count} messages of {} bytes through a bound of {CAPACITY}, {trips} questions one after the other; one sender and \
         one consumer, a thread each.",
        size_of::<Payload>()
    ));
    section.note("Batches: actix hands out one message at a time, so it stands beside our batches as it is.");
    Ok(section)
}

#[derive(Debug)]
enum Message {
    Tell(Payload),
    Ask(Payload, Reply<u64>),
}

impl kit::Message for Message {
    fn kind(&self) -> &'static str {
        "bench"
    }
    fn subject(&self) -> String {
        "a message of the bench".to_owned()
    }
}

/// Counts, and says when it has seen the last one.
struct Ours {
    batch: usize,
    left: u64,
    done: Arc<Notify>,
}

impl kit::Actor for Ours {
    type Message = Message;

    fn batch_policy(&self) -> BatchPolicy {
        BatchPolicy { messages_max: self.batch, linger: Duration::ZERO }
    }

    async fn handle(&mut self, batch: &Batch<Message>) -> Result<(), Failure> {
        for envelope in batch {
            match &**envelope {
                Message::Tell(payload) => {
                    self.left -= payload[0];
                    if self.left == 0 {
                        self.done.notify_one();
                    }
                }
                Message::Ask(payload, reply) => reply.send(payload[0]),
            }
        }
        Ok(())
    }
}

/// Starts our actor on a thread of its own, lets `work` use it, and drains it; the seconds that `work` took.
fn with_ours(batch: usize, left: u64, work: impl AsyncFnOnce(Edge<Message>, Arc<Notify>) -> Result<()>) -> Result<f64> {
    System::new().block_on(async {
        let limits = MailboxLimits { capacity: CAPACITY, attempts_max: 3 };
        let mailbox = Mailbox::new("bench", limits, Arc::new(Silent));
        let mut supervisor = Supervisor::new(Placement::Threads, Arc::new(Silent), 0);
        let done = Arc::new(Notify::new());
        let told = Arc::clone(&done);
        supervisor.start("bench", mailbox.inbox(), RestartPolicy::per_minute(0), move || Ours {
            batch,
            left,
            done: Arc::clone(&told),
        });
        let started = Instant::now();
        work(mailbox.edge(WhenFull::Wait), done).await?;
        let seconds = started.elapsed().as_secs_f64();
        mailbox.close();
        supervisor.ended().await;
        Ok(seconds)
    })
}

fn ours(count: u64, batch: usize) -> Result<f64> {
    with_ours(batch, count, async |edge, done| {
        for _ in 0..count {
            edge.send(Message::Tell([1; 4])).await?;
        }
        done.notified().await;
        Ok(())
    })
}

fn our_trips(trips: u64) -> Result<f64> {
    with_ours(1, 0, async |edge, _| {
        for _ in 0..trips {
            let answer = ask(&edge, Duration::from_secs(60), |reply| Message::Ask([1; 4], reply)).await?;
            std::hint::black_box(answer);
        }
        Ok(())
    })
}

struct Actix {
    left: u64,
    done: Arc<Notify>,
}

impl actix::Actor for Actix {
    type Context = actix::Context<Self>;
}

struct Tell(Payload);

impl actix::Message for Tell {
    type Result = ();
}

struct Ask(Payload);

impl actix::Message for Ask {
    type Result = u64;
}

impl actix::Handler<Tell> for Actix {
    type Result = ();
    fn handle(&mut self, Tell(payload): Tell, _: &mut Self::Context) {
        self.left -= payload[0];
        if self.left == 0 {
            self.done.notify_one();
        }
    }
}

impl actix::Handler<Ask> for Actix {
    type Result = u64;
    fn handle(&mut self, Ask(payload): Ask, _: &mut Self::Context) -> u64 {
        payload[0]
    }
}

fn with_actix(left: u64, work: impl AsyncFnOnce(actix::Addr<Actix>, Arc<Notify>) -> Result<()>) -> Result<f64> {
    System::new().block_on(async {
        let (arbiter, done) = (Arbiter::new(), Arc::new(Notify::new()));
        let told = Arc::clone(&done);
        let address = Actix::start_in_arbiter(&arbiter.handle(), move |_| Actix { left, done: told });
        let started = Instant::now();
        work(address, done).await?;
        let seconds = started.elapsed().as_secs_f64();
        arbiter.stop();
        arbiter.join().map_err(|_| anyhow!("the Arbiter panicked"))?;
        Ok(seconds)
    })
}

fn actix(count: u64) -> Result<f64> {
    with_actix(count, async |address, done| {
        for _ in 0..count {
            address.do_send(Tell([1; 4]));
        }
        done.notified().await;
        Ok(())
    })
}

fn actix_trips(trips: u64) -> Result<f64> {
    with_actix(0, async |address, _| {
        for _ in 0..trips {
            std::hint::black_box(address.send(Ask([1; 4])).await?);
        }
        Ok(())
    })
}

/// Runs a consumer on a thread with a runtime of its own, `work` on this one; the seconds until both have ended.
fn beside(consumer: impl Future<Output = ()> + Send + 'static, work: impl Future<Output = Result<()>>) -> Result<f64> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (here, there) = (runtime()?, runtime()?);
    let started = Instant::now();
    let thread = std::thread::spawn(move || there.block_on(consumer));
    here.block_on(work)?;
    thread.join().map_err(|_| anyhow!("the consumer panicked"))?;
    Ok(started.elapsed().as_secs_f64())
}

fn tokio(count: u64, batch: usize) -> Result<f64> {
    let (sender, mut receiver) = mpsc::channel::<Payload>(CAPACITY);
    let consumer = async move {
        let mut left = count;
        let mut buffer = Vec::with_capacity(batch);
        while left > 0 {
            if batch == 1 {
                left -= receiver.recv().await.map_or(0, |payload| payload[0]);
            } else {
                receiver.recv_many(&mut buffer, batch).await;
                left -= buffer.drain(..).map(|payload| payload[0]).sum::<u64>();
            }
        }
    };
    beside(consumer, async {
        for _ in 0..count {
            sender.send([1; 4]).await?;
        }
        Ok(())
    })
}

fn tokio_trips(trips: u64) -> Result<f64> {
    let (sender, mut receiver) = mpsc::channel::<(Payload, oneshot::Sender<u64>)>(CAPACITY);
    let consumer = async move {
        while let Some((payload, reply)) = receiver.recv().await {
            // The asker waits for it.
            let _ = reply.send(payload[0]);
        }
    };
    beside(consumer, async move {
        for _ in 0..trips {
            let (reply, answer) = oneshot::channel();
            sender.send(([1; 4], reply)).await?;
            std::hint::black_box(answer.await?);
        }
        Ok(())
    })
}

/// Without a runtime: that is how flume is fastest.
fn flume(count: u64, batch: usize) -> Result<f64> {
    let (sender, receiver) = flume::bounded::<Payload>(CAPACITY);
    let started = Instant::now();
    let consumer = std::thread::spawn(move || {
        let mut left = count;
        while left > 0 {
            let Ok(first) = receiver.recv() else { return };
            left -= first[0];
            if batch > 1 {
                left -= receiver.try_iter().take(batch - 1).map(|payload| payload[0]).sum::<u64>();
            }
        }
    });
    for _ in 0..count {
        sender.send([1; 4])?;
    }
    consumer.join().map_err(|_| anyhow!("the consumer panicked"))?;
    Ok(started.elapsed().as_secs_f64())
}

fn flume_trips(trips: u64) -> Result<f64> {
    let (sender, receiver) = flume::bounded::<(Payload, flume::Sender<u64>)>(CAPACITY);
    let consumer = std::thread::spawn(move || {
        for (payload, reply) in receiver {
            // The asker waits for it.
            let _ = reply.send(payload[0]);
        }
    });
    let started = Instant::now();
    for _ in 0..trips {
        let (reply, answer) = flume::bounded(1);
        sender.send(([1; 4], reply)).map_err(|_| anyhow!("the consumer is gone"))?;
        std::hint::black_box(answer.recv()?);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(sender);
    consumer.join().map_err(|_| anyhow!("the consumer panicked"))?;
    Ok(seconds)
}
