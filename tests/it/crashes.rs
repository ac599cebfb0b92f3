//! Interrupts, panics and hangs in the middle of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omninode::generate::{self, Options};
use omninode::report::Format;
use omninode::storage::Target;
use omninode::summary::{Collector, Run, Status};

use crate::support::{Bench, Ended, corpus, packages, tree};

#[test]
fn an_interrupt_finishes_what_is_in_hand_names_the_rest_and_exits_with_130() {
    let bench = Bench::new();
    let folder = corpus(&bench, 400);
    let mut command = bench
        .command([folder.to_str().unwrap(), "--workers", "1"])
        .args(["--format", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Begun is: the first package is there.
    while packages(&bench.out()).is_empty() {
        assert!(command.try_wait().unwrap().is_none(), "the run ended before its first package");
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = i32::try_from(command.id()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::INT).unwrap();
    let ended = Ended::of(&command.wait_with_output().unwrap()).expect_code(130);
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(summary["status"], "interrupted");
    assert_eq!(summary["nodes"], packages(&bench.out()).len());
    assert!(summary["nodes"].as_u64().unwrap() < 400);
    assert_eq!(summary["nodes"].as_u64().unwrap() + summary["not_begun"].as_u64().unwrap(), 400, "{summary}");
    assert!(!bench.out().join(".omninode").exists());
}

/// Runs the command in this process, with a fault injected.
fn run(
    bench: &Bench,
    folder: &std::path::Path,
    workers: usize,
    timeout: Duration,
    fault: actors::generator::Fault,
) -> Status {
    let options = Options {
        question: None,
        paths: vec![folder.to_owned()],
        out: bench.out(),
        pack: "onex".to_owned(),
        workers,
        worker_timeout: timeout,
        force: false,
        template_cache: actors::template_cache::Config::default(),
        monitoring: true,
        database: Target::new(bench.database()),
        format: Format::Json,
        fault: Some(fault),
    };
    actix_rt::System::with_tokio_rt(omninode::app::runtime).block_on(generate::run(options)).unwrap()
}

#[test]
fn a_worker_that_panics_in_the_middle_loses_no_contract_and_the_restart_is_named() {
    let bench = Bench::new();
    let folder = corpus(&bench, 30);
    let panics = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&panics);
    let status = run(
        &bench,
        &folder,
        2,
        Duration::from_secs(60),
        Arc::new(move |job, attempt| {
            if job.source.contains("c015") && attempt == 1 {
                counter.fetch_add(1, Ordering::SeqCst);
                panic!("injected");
            }
        }),
    );
    assert_eq!((status, panics.load(Ordering::SeqCst)), (Status::Complete, 1));
    assert_eq!(packages(&bench.out()).len(), 30);
    let clean = Bench::new();
    clean.generate([corpus(&clean, 30)]).expect_code(0);
    assert_eq!(tree(&bench.out()), tree(&clean.out()));
}

#[test]
fn a_contract_that_always_breaks_its_worker_fails_alone_after_three_attempts() {
    let bench = Bench::new();
    let folder = corpus(&bench, 10);
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    let status = run(
        &bench,
        &folder,
        2,
        Duration::from_secs(60),
        Arc::new(move |job, _| {
            if job.source.contains("c004") {
                counter.fetch_add(1, Ordering::SeqCst);
                panic!("injected");
            }
        }),
    );
    assert_eq!((status, attempts.load(Ordering::SeqCst)), (Status::Failed, 3));
    assert_eq!(packages(&bench.out()).len(), 9);
}

#[test]
fn a_job_over_its_time_is_stopped_and_the_others_go_through() {
    let bench = Bench::new();
    let folder = corpus(&bench, 6);
    let slow = |job: &actors::event::Job, _: u32| {
        if job.source.contains("c002") {
            std::thread::sleep(Duration::from_millis(1_200));
        }
    };
    assert_eq!(run(&bench, &folder, 1, Duration::from_secs(1), Arc::new(slow)), Status::Failed);
    assert_eq!(packages(&bench.out()).len(), 5);
}

#[test]
fn a_panic_is_a_line_in_the_summary_not_the_end_of_the_program() {
    // What a user sees of a restart: the summary names actor and cause.
    let mut collector = Collector::new(false);
    collector.fail("x", actors::event::JobFailure { cause: "crash", diagnostics: Vec::new() });
    let incidents = omninode::observer::Incidents {
        restarts: vec![omninode::observer::Restart {
            actor: "generator-1".to_owned(),
            cause: "panicked: injected".to_owned(),
        }],
        ..Default::default()
    };
    let run = Run {
        status: Status::Failed,
        duration: Duration::from_secs(1),
        workers: 2,
        incidents,
        rows_stored: 0,
        rows_refused: 0,
        rows_dropped: 0,
        unfinished: Vec::new(),
        not_begun: 0,
    };
    let text = collector.summary(run).to_text("out");
    assert!(text.contains("restart     generator-1: panicked: injected") && text.contains("crash 1"), "{text}");
}
