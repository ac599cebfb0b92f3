//! The actor kit: what is true of any actor program, and knows nothing of generation.
//!
//! ```text
//!        Edge (wait | drop)        Consumer (permit, then receive)
//! sender ───────────────▶ Mailbox ─────────────────────▶ turn of an actor ──▶ ack
//!                           ▲  queue, returned, slots         │ panic, kill, error
//!                           └──────── first in line ◀─────────┘
//! ```
//!
//! Two planes. Data travels in a bounded [`Mailbox`] which the supervisor owns and actors pull from; an actix mailbox
//! carries control only. A message that an actor holds stays in its slot of the mailbox until it is acknowledged, so
//! that a panic, a killed Arbiter or a dropped future gives it back, first in line. After a failure the actor is built
//! anew from its factory on the same mailbox: state is never reused.
//!
//! Why not actix's own mailbox and `Supervisor`: `do_send` and `send().await` ignore the capacity, a panic drops the
//! message in hand with every queued one, and `Supervisor` does not restart after a panic (actix 0.13.5).

mod actor;
mod ask;
mod consumer;
mod door;
mod edge;
mod envelope;
mod host;
mod mailbox;
mod observer;
mod pulse;
mod restart;
mod slots;
mod supervisor;

pub use actor::{Actor, BatchPolicy, DeadLetter, Failure, Message};
pub use ask::{AskError, Reply, ask};
pub use consumer::{Consumer, Inbox};
pub use edge::{Closed, Edge, Place, SendError, WhenFull};
pub use envelope::{Ack, Batch, Envelope, FailedAttempt};
pub use mailbox::{Leftover, Mailbox, MailboxLimits, MailboxStats};
pub use observer::{Handled, Observer, RestartCause, Silent};
pub use pulse::progress;
pub use restart::{Backoff, RestartBudget, RestartPolicy};
pub use supervisor::{Escalation, Placement, Supervisor};
