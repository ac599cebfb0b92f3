//! From a panic to the start of the redelivered message in the next incarnation.
//!
//! Every message panics once, so that each one makes a restart: the envelope goes back through unwinding, the supervisor
//! hears of the end, builds the actor anew on its thread, and the message is handed out first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix_rt::System;
use actors::kit::{
    self, Batch, Failure, Mailbox, MailboxLimits, Placement, RestartPolicy, Silent, Supervisor, WhenFull,
};
use anyhow::{Result, ensure};

use crate::measure::{Effort, Row, Section, Series, Unit, alternate};

pub(crate) fn bench(effort: Effort) -> Result<Section> {
    let (panics, rounds) = effort.pick((500, 3), (1_000, 7));
    let hook = std::panic::take_hook();
    // Nobody wants to read them.
    std::panic::set_hook(Box::new(|_| {}));
    let mut round =
        || restarts(panics).map(|times| [times.percentile(50), times.percentile(99), times.percentile(100)]);
    let measured = alternate(1, rounds, &mut [&mut round]);
    std::panic::set_hook(hook);
    let measured = measured?;
    let [[p50, p99, most]] = &measured[..] else { unreachable!("one contender") };
    let mut section = Section::default();
    section.rows.push(Row::new("panic to redelivery, p50", Unit::Seconds, p50));
    section.rows.push(Row::new("panic to redelivery, p99", Unit::Seconds, p99).at_most(0.001));
    section.rows.push(Row::new("panic to redelivery, slowest", Unit::Seconds, most));
    section.note(format!(
        "{rounds} rounds of {panics} panics, each with an incarnation of its own; a round gives one figure."
    ));
    Ok(section)
}

#[derive(Debug)]
struct Once;

impl kit::Message for Once {
    fn kind(&self) -> &'static str {
        "bench"
    }
    fn subject(&self) -> String {
        "a message that panics once".to_owned()
    }
}

/// What outlives the incarnations.
#[derive(Default)]
struct Record {
    panicked_at: Option<Instant>,
    seconds: Vec<f64>,
}

struct Panicking(Arc<Mutex<Record>>);

impl kit::Actor for Panicking {
    type Message = Once;

    async fn handle(&mut self, batch: &Batch<Once>) -> Result<(), Failure> {
        let now = Instant::now();
        for envelope in batch {
            let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let (2.., Some(panicked_at)) = (envelope.attempt(), record.panicked_at.take()) {
                record.seconds.push(now.duration_since(panicked_at).as_secs_f64());
                continue;
            }
            record.panicked_at = Some(Instant::now());
            drop(record);
            panic!("as the bench wants it");
        }
        Ok(())
    }
}

fn restarts(panics: usize) -> Result<Series> {
    let record = Arc::new(Mutex::new(Record::default()));
    System::new().block_on(async {
        let limits = MailboxLimits { capacity: 64, attempts_max: 3 };
        let mailbox = Mailbox::new("bench", limits, Arc::new(Silent));
        let mut supervisor = Supervisor::new(Placement::Threads, Arc::new(Silent), 0);
        let kept = Arc::clone(&record);
        let build = move || Panicking(Arc::clone(&kept));
        supervisor.start("bench", mailbox.inbox(), RestartPolicy::per_minute(10), build);
        let edge = mailbox.edge(WhenFull::Wait);
        for _ in 0..panics {
            edge.send(Once).await?;
        }
        mailbox.close();
        supervisor.ended().await;
        anyhow::Ok(())
    })?;
    let record = record.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(record.seconds.len() == panics, "{} of {panics} messages came again", record.seconds.len());
    Ok(record.seconds.iter().copied().collect())
}
