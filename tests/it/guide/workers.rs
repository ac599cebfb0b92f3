//! Row 19: how many workers, with real ones. Jobs that hang are in `actors/tests/pipeline.rs`, on a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use omninode::generate::{self, Options};
use omninode::report::Format;
use omninode::storage::Target;
use omninode::summary::Status;

use super::configuration::{Shown, bench_with, run};
use crate::support::{corpus, packages};

#[test]
fn guide_19_as_many_workers_as_asked_for_work_at_once_and_never_more() {
    for (asked, workers) in [("2", 2), ("4", 4), ("8", 8)] {
        let bench = bench_with(&format!("parallel_generation: {{max_workers: {asked}}}\n"));
        let shown = Shown::of(&mut bench.program());
        assert_eq!(shown.value("parallel_generation.max_workers"), workers);
        let folder = corpus(&bench, workers * 3);
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = (Arc::clone(&inside), Arc::clone(&most));
        let fault = move |_: &actors::event::Job, _: u32| {
            let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
            counted.1.fetch_max(now, Ordering::SeqCst);
            // Nobody goes on before all have met in the middle of a job; were they too few, the count would tell.
            let patience = Instant::now();
            while counted.1.load(Ordering::SeqCst) < workers && patience.elapsed() < Duration::from_secs(20) {
                std::thread::yield_now();
            }
            counted.0.fetch_sub(1, Ordering::SeqCst);
        };
        let options = Options {
            question: None,
            paths: vec![folder],
            out: bench.out(),
            pack: "onex".to_owned(),
            workers,
            worker_timeout: Duration::from_secs(120),
            force: false,
            template_cache: actors::template_cache::Config::default(),
            monitoring: false,
            database: Target::new(bench.database()),
            format: Format::Json,
            fault: Some(Arc::new(fault)),
        };
        let status = actix_rt::System::with_tokio_rt(omninode::app::runtime).block_on(generate::run(options)).unwrap();
        assert_eq!((status, most.load(Ordering::SeqCst)), (Status::Complete, workers));
        assert_eq!(packages(&bench.out()).len(), workers * 3);
    }
}

#[test]
fn guide_19_sizes_by_core_count_zero_is_refused_and_switched_off_is_one() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let workers = |setting: &str, flags: &[&str]| {
        let bench = bench_with(&format!("parallel_generation: {{{setting}}}\n"));
        run(&bench, flags).1["workers"].as_u64().unwrap()
    };
    assert_eq!(workers("max_workers: half", &[]), (cores / 2).max(1) as u64);
    assert_eq!(workers("max_workers: all", &[]), cores as u64);
    assert_eq!(workers("max_workers: double", &[]), cores as u64 * 2);
    assert_eq!(workers("max_workers: 5", &["--workers", "half"]), (cores / 2).max(1) as u64);
    assert_eq!(workers("enabled: false, max_workers: 8", &[]), 1);
    assert_eq!(omninode::config::Workers::Half.count(1), 1);
    let bench = bench_with("parallel_generation: {max_workers: 0}\n");
    let ended = bench.generate([corpus(&bench, 1)]).expect_code(2);
    assert!(ended.stderr.contains("`parallel_generation.max_workers` cannot be `0`"), "{}", ended.stderr);
}
