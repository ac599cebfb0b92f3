//! What every command that runs actors shares: the runtime, the log, the panic hook.

use std::io::{IsTerminal, Write as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The main runtime: ports do their I/O here, never on the thread of an actor.
///
/// # Panics
/// Where the operating system gives no threads: nothing can run then.
#[expect(clippy::expect_used, reason = "without a runtime there is nobody to report to")]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the operating system gives no threads")
}

/// The one TLS library of the process, before anything could choose another.
pub fn choose_tls() {
    // A second call (tests) finds the first one's choice, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The log goes to standard error: one line an event, or one JSON object. Of the database library only warnings: it tells
/// every statement.
pub fn init_log(level: LevelFilter, json: bool) {
    let targets = Targets::new().with_default(level).with_target("sqlx", level.min(LevelFilter::WARN));
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let log = log.with_ansi(!json && colour()).log_internal_errors(false);
    // A second call (tests) keeps the first.
    let _ = if json {
        log.json().flatten_event(true).finish().with(targets).try_init()
    } else {
        log.with_target(false).without_time().finish().with(targets).try_init()
    };
}

/// Whether words on standard error may be coloured: on a terminal, unless NO_COLOR says otherwise.
pub fn colour() -> bool {
    colour_of(&std::io::stderr())
}

/// The same for any stream.
pub fn colour_of(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A panic of an actor is survived: it becomes a line on standard error, not a backtrace.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text");
        // Not through the log: a panic in the hook would end the process.
        say(&format!("panic in {thread} at {place}: {text}"));
    }));
}

/// Words for people, on standard error. That nobody reads them is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Data for standard output. Whoever reads it may have had enough: that is no fault.
///
/// # Errors
/// It cannot be written.
pub fn print(data: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
