//! What the kit tells the world: measured from the mailbox, implemented by the application.

use std::time::Duration;

/// One message handled to its end. Times are wall time on the runtime's clock.
#[derive(Debug, Clone, Copy)]
pub struct Handled {
    /// The mailbox it came from.
    pub mailbox: &'static str,
    /// [`super::Message::kind`].
    pub kind: &'static str,
    pub queue_wait: Duration,
    pub handling: Duration,
    /// Counted from 1.
    pub attempt: u32,
}

/// Why an actor was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestartCause {
    /// It panicked; the text of the panic.
    Panicked(String),
    /// It returned an error from a turn.
    Failed(String),
    /// Its Arbiter ended, or its future was dropped.
    Killed,
    /// Its turn went on for longer than it may, without a sign of progress.
    Stuck(Duration),
}

impl std::fmt::Display for RestartCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::Failed(text) => write!(f, "failed: {text}"),
            Self::Killed => write!(f, "was killed"),
            Self::Stuck(limit) => write!(f, "did not end its turn within {limit:?}"),
        }
    }
}

/// Called on the thread where it happens: must not block and must not panic. Every method defaults to nothing.
pub trait Observer: Send + Sync + 'static {
    fn handled(&self, _handled: &Handled) {}
    /// A sender waited for room.
    fn backpressure(&self, _mailbox: &'static str, _kind: &'static str, _waited: Duration) {}
    /// An edge that never waits met a full (or closed) mailbox; the message is gone.
    fn dropped(&self, _mailbox: &'static str, _kind: &'static str) {}
    /// A message came back from an actor that failed.
    fn returned(&self, _mailbox: &'static str, _kind: &'static str, _attempt: u32) {}
    /// A message used up its attempts.
    fn dead_letter(&self, _mailbox: &'static str, _subject: &str, _attempts: u32, _reason: &str) {}
    /// An acknowledgement came too late.
    fn refused_ack(&self, _mailbox: &'static str, _kind: &'static str) {}
    fn restarted(&self, _actor: &str, _cause: &RestartCause, _delay: Duration) {}
    /// The restart budget of `actor` is spent.
    fn gave_up(&self, _actor: &str, _cause: &RestartCause) {}
}

/// An observer that looks away.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}
