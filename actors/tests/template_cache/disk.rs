//! Packs on a disk: nothing stale is ever served, and nothing is read without need.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actors::template_cache::{Config, Evictions};
use futures_util::future::join_all;

use crate::house::{House, World, run};

async fn rendered(house: &House, pack: &str) -> BTreeMap<String, String> {
    let snapshot = house.get(pack).await;
    house.rendered(&snapshot)
}

#[test]
fn a_hundred_jobs_that_miss_at_once_cause_one_load() {
    for world in [World::embedded(), World::on_disk()] {
        world.small_pack("p", 7);
        run(Config::default(), &world, async |house| {
            let used = join_all((0..100).map(|_| house.used("p"))).await;
            assert_eq!(used.iter().filter(|used| **used == (0, 7)).count(), 1);
            assert_eq!(used.iter().filter(|used| **used == (7, 0)).count(), 99);
        });
        assert_eq!(world.reads.load(Ordering::SeqCst), 7);
    }
}

#[test]
fn a_pack_that_does_not_change_is_looked_at_for_each_job_and_read_once() {
    let world = World::on_disk();
    world.small_pack("p", 4);
    run(Config::default(), &world, async |house| {
        for _ in 0..10 {
            house.get("p").await;
        }
        assert_eq!(world.reads.load(Ordering::SeqCst), 4);
        assert_eq!(world.looks.load(Ordering::SeqCst), 9, "not for the load itself");
        // A batch of questions shares a look that happens after they were asked.
        join_all((0..50).map(|_| house.get("p"))).await;
        let looks = world.looks.load(Ordering::SeqCst);
        assert!((10..=12).contains(&looks), "{looks}");
    });
}

#[test]
fn a_changed_template_is_compiled_again_and_no_other_and_who_holds_the_old_one_keeps_it() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1"), ("b", "2")]);
    run(Config::default(), &world, async |house| {
        let before = house.get("p").await;
        world.write("p", "a", "3");
        let after = house.get("p").await;
        assert_eq!((after.used.hits, after.used.misses), (1, 1));
        assert_eq!(house.rendered(&after)["a"], "3");
        assert_eq!(house.rendered(&before)["a"], "1");
        assert_eq!(house.stats().await.evictions, Evictions { changed: 1, ..Evictions::default() });
        // Only touched: read, found the same, not compiled.
        world.write("p", "b", "2");
        assert_eq!(house.used("p").await, (2, 0));
        assert_eq!(world.reads.load(Ordering::SeqCst), 4);
        let stats = house.stats().await;
        assert!(stats.templates[1].changed_at > stats.templates[0].changed_at, "guide_36: it is the newest now");
    });
}

#[test]
fn a_file_replaced_by_another_with_the_same_times_and_size_is_seen_by_its_inode() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1")]);
    run(Config::default(), &world, async |house| {
        house.get("p").await;
        world.write_unseen("p", "a", "2");
        world.change_stamp("p", "a", |stamp| stamp.inode += 1_000);
        assert_eq!(rendered(house, "p").await["a"], "2");
    });
}

#[test]
fn a_change_within_one_tick_of_the_file_systems_clock_is_seen() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1"), ("b", "x")]);
    run(Config::default(), &world, async |house| {
        // It was written so lately that a second change may leave no trace.
        world.change_stamp("p", "a", |stamp| stamp.settled = false);
        house.get("p").await;
        world.write_unseen("p", "a", "2");
        assert_eq!(rendered(house, "p").await["a"], "2");
        world.write_unseen("p", "a", "3");
        assert_eq!(rendered(house, "p").await["a"], "3");
        // It has aged: read once more, and trusted from then on.
        world.change_stamp("p", "a", |stamp| stamp.settled = true);
        house.get("p").await;
        let reads = world.reads.load(Ordering::SeqCst);
        for _ in 0..5 {
            assert_eq!(house.used("p").await, (2, 0));
        }
        assert_eq!(world.reads.load(Ordering::SeqCst), reads);
        world.change_stamp("p", "pack.yaml", |stamp| stamp.settled = false);
        house.get("p").await;
        world.write_unseen("p", "pack.yaml", "name: p\nversion: '1'\nfiles:\n  - {path: b.txt, template: b}\n");
        assert_eq!(rendered(house, "p").await.into_keys().collect::<Vec<_>>(), ["b"]);
    });
}

#[test]
fn a_manifest_that_adds_and_removes_templates_is_followed() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1"), ("b", "2")]);
    run(Config::default(), &world, async |house| {
        house.get("p").await;
        world.write("p", "c", "3");
        world.manifest("p", &["b", "c"]);
        let snapshot = house.get("p").await;
        assert_eq!((snapshot.used.hits, snapshot.used.misses), (1, 1));
        assert_eq!(
            house.rendered(&snapshot).into_iter().collect::<Vec<_>>(),
            [("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]
        );
        assert_eq!(house.cached().await.into_iter().collect::<Vec<_>>(), ["p/b", "p/c"]);
        world.write("p", "pack.yaml", "name: [");
        assert!(house.try_get("p").await.unwrap_err().message().contains("p/pack.yaml:"));
        assert_eq!(house.stats().await.cached_templates, 0, "nothing is served of a pack that cannot be read");
    });
}

#[test]
fn a_template_that_is_gone_is_a_clear_failure_and_comes_back_with_its_file() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1"), ("b", "2")]);
    run(Config::default(), &world, async |house| {
        house.get("p").await;
        world.delete("p", "a");
        for _ in 0..2 {
            let failure = house.try_get("p").await.unwrap_err();
            assert!(failure.cause == "template" && failure.message().contains("p/a"), "{failure:?}");
        }
        world.write("p", "a", "4");
        assert_eq!(rendered(house, "p").await["a"], "4");
        world.write("p", "a", "{{");
        world.write("p", "b", "{%");
        assert_eq!(house.try_get("p").await.unwrap_err().diagnostics.len(), 2, "all faults at once");
        assert_eq!(house.warm("p").await.unwrap_err().diagnostics.len(), 2);
    });
}

#[test]
fn what_changes_while_it_is_loaded_is_not_served_to_who_asks_later() {
    let world = World::on_disk();
    world.pack("p", &[("a", "1"), ("b", "1")]);
    run(Config::default(), &world, async |house| {
        // The bytes of `a` are read; then it changes, before the load has ended.
        *world.before_read.lock().unwrap() = Some(Box::new(|world| {
            world.write("p", "a", "2");
            world.write("p", "b", "2");
        }));
        let first = rendered(house, "p").await;
        assert_eq!((first["a"].as_str(), first["b"].as_str()), ("1", "2"));
        let second = rendered(house, "p").await;
        assert_eq!((second["a"].as_str(), second["b"].as_str()), ("2", "2"));
    });
}

#[test]
fn two_packs_with_templates_of_one_name_are_never_mixed_up() {
    let world = World::on_disk();
    world.pack("one", &[("a", "1")]);
    world.pack("two", &[("a", "2")]);
    run(Config::default(), &world, async |house| {
        for _ in 0..2 {
            assert_eq!(
                (rendered(house, "one").await["a"].as_str(), rendered(house, "two").await["a"].as_str()),
                ("1", "2")
            );
        }
        assert_eq!(house.invalidate(Some("one/a")).await, Ok(1));
        assert_eq!((house.used("one").await, house.used("two").await), ((0, 1), (1, 0)));
    });
}

/// Packs change, vanish and come back at random, in a cache that is too small for them.
#[test]
fn whatever_happens_a_job_gets_what_is_on_the_disk_and_no_limit_is_exceeded() {
    for _ in 0..20 {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::on_disk();
        let names = ["a", "b", "c", "d", "e"];
        (0..4).for_each(|pack| world.small_pack(&format!("p{pack}"), 0));
        for pack in 0..4 {
            world.pack(&format!("p{pack}"), &names.map(|name| (name, "0")));
        }
        let config = Config {
            templates_max: random.usize(1..25),
            bytes_max: random.usize(10_000..300_000),
            ttl: Duration::from_secs(random.u64(1..100)),
            ..Config::default()
        };
        let counted = run(config, &world, async |house| {
            let mut asked = 0;
            for step in 0..400 {
                let (pack, name) = (format!("p{}", random.usize(0..4)), names[random.usize(0..names.len())]);
                match random.u32(0..12) {
                    0..2 => world.write(&pack, name, &step.to_string()),
                    2 => world.delete(&pack, name),
                    3 => {
                        let count = random.usize(1..=names.len());
                        world.manifest(&pack, &names[..count]);
                    }
                    4 => tokio::time::sleep(Duration::from_secs(random.u64(0..60))).await,
                    5 => drop(house.invalidate(Some(&format!("{pack}/{name}"))).await),
                    _ => {
                        let expected = world.now(&pack);
                        let got = house.try_get(&pack).await.ok();
                        let found = got.as_ref().map(|snapshot| house.rendered(snapshot));
                        assert_eq!(found, expected, "seed {seed}, step {step}");
                        asked += expected.map_or(0, |files| files.len() as u64);
                    }
                }
                let stats = house.stats().await;
                assert!(
                    stats.cached_templates <= config.templates_max && stats.bytes <= config.bytes_max,
                    "seed {seed}"
                );
                assert_eq!(house.cached().await.len(), stats.cached_templates, "seed {seed}");
                assert_eq!(stats.hits + stats.misses, asked, "seed {seed}");
            }
            let stats = house.stats().await;
            assert_eq!(stats.templates.iter().map(|template| template.hits).sum::<u64>(), stats.hits, "seed {seed}");
            assert_eq!(
                stats.templates.iter().map(|template| template.misses).sum::<u64>(),
                stats.misses,
                "seed {seed}"
            );
            (stats.hits, stats.misses)
        });
        let reports = world.reports();
        let sum = reports.iter().fold((0, 0), |sum, report| (sum.0 + report.hits, sum.1 + report.misses));
        assert_eq!(sum, counted, "seed {seed}: what was reported is what was counted");
    }
}

#[test]
fn one_pack_on_a_disk_that_hangs_does_not_starve_the_others() {
    let world = World::on_disk();
    world.small_pack("known", 3);
    world.small_pack("good", 3);
    run(Config::default(), &world, async |house| {
        house.get("known").await;
        world.hanging.lock().unwrap().extend(["known".to_owned(), "new".to_owned()]);
        for pack in ["known", "new"] {
            let since = tokio::time::Instant::now();
            for _ in 0..20 {
                let failure = house.try_get(pack).await.unwrap_err();
                assert!(failure.message().contains("takes too long"), "{failure:?}");
                house.get("good").await;
            }
            assert!(since.elapsed() < Duration::from_secs(11), "waited for once: {:?}", since.elapsed());
        }
        world.hanging.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert_eq!(house.used("known").await, (3, 0), "it is asked again, and nothing was lost");
    });
}

#[test]
fn a_pack_that_breaks_its_reader_is_its_own_failure_however_often() {
    let world = World::on_disk();
    world.small_pack("good", 3);
    world.small_pack("bad", 3);
    world.explosive.lock().unwrap().insert("bad".to_owned());
    run(Config::default(), &world, async |house| {
        for _ in 0..100 {
            assert!(house.try_get("bad").await.unwrap_err().message().contains("panicked"));
        }
        assert_eq!(house.used("good").await, (0, 3));
        world.explosive.lock().unwrap().clear();
        assert_eq!(house.used("bad").await, (0, 3));
    });
}
