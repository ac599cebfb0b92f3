//! A hit in the template cache: asked through its mailbox, as each job does once, against moka in place.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::System;
use actors::kit::{Edge, Mailbox, MailboxLimits, Placement, RestartPolicy, Silent, Supervisor, WhenFull, ask};
use actors::metric_writer::Recorder;
use actors::template_cache::{Config, Message, Snapshot, TemplateCache};
use anyhow::{Result, anyhow};
use omninode::clock::SystemClock;
use omninode::packs::Packs;

use crate::Bench;
use crate::bare::Factory;
use crate::corpus::Corpus;
use crate::measure::{Row, Section, Unit, alternate, shown};

const PACK: &str = "onex";

pub(crate) fn bench(bench: &Bench) -> Result<Section> {
    let (hits, rounds) = bench.effort.pick((10_000, 5), (50_000, 15));
    let (ours, moka) = System::new().block_on(async {
        let mailbox = Mailbox::new("template_cache", MailboxLimits { capacity: 8, attempts_max: 1 }, Arc::new(Silent));
        let mut supervisor = Supervisor::new(Placement::Threads, Arc::new(Silent), 0);
        let source = Arc::new(Packs::new(tokio::runtime::Handle::current()));
        supervisor.start("template_cache", mailbox.inbox(), RestartPolicy::per_minute(0), move || {
            TemplateCache::new(Config::default(), Arc::clone(&source) as _, Arc::new(SystemClock), Recorder::off())
        });
        let edge = mailbox.edge(WhenFull::Wait);
        let snapshot = get(&edge).await?;
        let (mut ours, mut moka) = (Vec::new(), Vec::new());
        // In turn, as elsewhere; by hand, since an async round cannot block on its own runtime.
        for _ in 0..=rounds {
            let started = Instant::now();
            for _ in 0..hits {
                black_box(get(&edge).await?);
            }
            ours.push(started.elapsed().as_secs_f64() / f64::from(hits));
            moka.push(in_place(&snapshot, hits)?);
        }
        mailbox.close();
        supervisor.ended().await;
        // The first round warms up.
        anyhow::Ok((ours.into_iter().skip(1).collect(), moka.into_iter().skip(1).collect()))
    })?;
    let mut section = Section::default();
    let row = Row::new("a hit", Unit::Seconds, &ours).against("moka, in place", &moka);
    section.rows.push(row);
    let mut job = || job(bench).map(|seconds| [seconds]);
    let measured = alternate(1, bench.effort.pick(3, 7), &mut [&mut job])?;
    let [[job]] = &measured[..] else { unreachable!("one contender") };
    section.rows.push(Row::new("a whole job, without actors", Unit::Seconds, job));
    section.note(format!(
        "A job asks once: {:.2} % of a job of {} is the hit through the mailbox; in place it would be {:.3} %. It buys one \
         load for each miss, whoever asks, and a cache that a panic of a worker cannot harm.",
        100.0 * ours.median() / job.median(),
        shown(Unit::Seconds, job.median()),
        100.0 * moka.median() / job.median(),
    ));
    Ok(section)
}

async fn get(edge: &Edge<Message>) -> Result<Snapshot> {
    let pack = Arc::<str>::from(PACK);
    let answer = ask(edge, Duration::from_secs(30), |reply| Message::Get { pack, reply }).await?;
    answer.map_err(|failure| anyhow!("{failure:?}"))
}

/// Seconds of a hit in moka, which keeps the same snapshot under the same name.
fn in_place(snapshot: &Snapshot, hits: u32) -> Result<f64> {
    let cache: moka::sync::Cache<Arc<str>, Snapshot> = moka::sync::Cache::new(100);
    cache.insert(Arc::from(PACK), snapshot.clone());
    let started = Instant::now();
    for _ in 0..hits {
        let pack = Arc::<str>::from(PACK);
        black_box(cache.get(&pack).ok_or_else(|| anyhow!("moka lost it"))?);
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(hits))
}

/// Mean seconds of a job on one thread: reading, planning, rendering, checking, hashing and writing, not synced.
fn job(bench: &Bench) -> Result<f64> {
    let count = bench.corpus.originals.len();
    let contracts = bench.contracts(count)?;
    let (factory, out) = (Factory::load()?, bench.fresh()?);
    let started = Instant::now();
    for number in 0..count {
        factory.generate(&Corpus::place(&contracts, number), &out)?;
    }
    Ok(started.elapsed().as_secs_f64() / count as f64)
}
