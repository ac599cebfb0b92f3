//! Limits, time to live, warm-up, invalidation and figures: the guide's cache chapters.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actors::template_cache::{Config, Evictions};
use codegen::templates::cost;

use crate::house::{World, run};

const MIB: usize = 1 << 20;

fn profile(templates_max: usize, mib: usize, ttl: u64, persistence: bool) -> Config {
    Config { enabled: true, templates_max, bytes_max: mib * MIB, ttl: Duration::from_secs(ttl), persistence }
}

fn development() -> Config {
    profile(50, 25, 600, false)
}

/// The guide's five profiles: development, production, high traffic, high memory, low memory.
fn profiles() -> [Config; 5] {
    [
        development(),
        profile(100, 50, 3_600, true),
        profile(200, 100, 7_200, true),
        profile(500, 200, 14_400, true),
        profile(50, 25, 1_800, true),
    ]
}

#[test]
fn guide_18_the_production_profile_is_the_default() {
    assert_eq!(Config::default(), profiles()[1]);
}

#[test]
fn guide_18_one_template_too_many_evicts_exactly_the_one_used_least_recently() {
    for config in profiles() {
        let world = World::embedded();
        let packs = config.templates_max / 10;
        (0..packs).for_each(|pack| world.small_pack(&format!("p{pack:02}"), 10));
        world.small_pack("one", 1);
        run(config, &world, async |house| {
            for pack in 0..packs {
                assert_eq!(house.used(&format!("p{pack:02}")).await, (0, 10));
            }
            // The first one is used again: the second is now the oldest.
            assert_eq!(house.used("p00").await, (10, 0));
            assert_eq!(house.stats().await.cached_templates, config.templates_max);
            assert_eq!(house.stats().await.evictions, Evictions::default());
            let full = house.cached().await;
            house.get("one").await;
            let stats = house.stats().await;
            assert_eq!(stats.evictions, Evictions { count: 1, ..Evictions::default() });
            assert_eq!(stats.cached_templates, config.templates_max);
            let gone: Vec<_> = full.difference(&house.cached().await).cloned().collect();
            assert_eq!(gone, ["p01/t000"]);
            assert_eq!(house.used("p01").await, (9, 1), "and only that one is compiled again");
        });
    }
}

/// Templates that cost `bytes` together, within 250 of them.
fn texts_of(bytes: usize) -> Vec<String> {
    // Just above a power of two in steps: large for little work.
    let heavy = "{{ 1 }}".repeat(2_731);
    let plain_max = 250_000;
    let mut texts = Vec::new();
    let mut left = bytes;
    while left > cost(&heavy) + plain_max {
        left -= cost(&heavy);
        texts.push(heavy.clone());
    }
    while left > 0 {
        let share = if left > plain_max + cost("") { plain_max } else { left };
        texts.push("x".repeat(share - cost("")));
        left -= share;
    }
    texts
}

fn one_byte_too_many(config: Config) {
    let texts = texts_of(config.bytes_max);
    assert!(texts.len() < config.templates_max && texts.len() > 30, "{}", texts.len());
    for excess in [0, 1] {
        let world = World::embedded();
        for (number, text) in texts.iter().enumerate() {
            world.pack(&format!("p{number:03}"), &[("t", text)]);
        }
        let last = format!("p{:03}", texts.len() - 1);
        world.pack(&last, &[("t", &format!("{}{}", texts.last().unwrap(), "x".repeat(excess)))]);
        run(config, &world, async |house| {
            for number in 0..texts.len() {
                house.get(&format!("p{number:03}")).await;
            }
            let stats = house.stats().await;
            assert_eq!(stats.evictions, Evictions { bytes: excess as u64, ..Evictions::default() });
            assert_eq!(stats.cached_templates, texts.len() - excess);
            if excess == 0 {
                assert_eq!(stats.bytes, config.bytes_max, "full to the last byte");
            } else {
                assert!(!house.cached().await.contains("p000/t"), "the oldest went");
            }
        });
    }
}

#[test]
fn guide_18_one_byte_too_many_evicts_exactly_one_in_development_and_production() {
    one_byte_too_many(development());
    one_byte_too_many(Config::default());
}

#[test]
fn guide_18_one_byte_too_many_evicts_exactly_one_with_high_traffic() {
    one_byte_too_many(profiles()[2]);
}

#[test]
fn guide_18_one_byte_too_many_evicts_exactly_one_with_high_memory() {
    one_byte_too_many(profiles()[3]);
}

#[test]
fn guide_18_a_template_lives_as_long_as_its_time_to_live_and_no_longer() {
    for config in profiles() {
        let world = World::embedded();
        world.small_pack("p", 3);
        run(config, &world, async |house| {
            house.get("p").await;
            let loaded_at = tokio::time::Instant::now();
            tokio::time::sleep(config.ttl - Duration::from_millis(20)).await;
            assert_eq!(house.used("p").await, (3, 0), "{:?} before its end", loaded_at.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(house.used("p").await, (0, 3), "at its end");
            let stats = house.stats().await;
            assert_eq!(stats.evictions, Evictions { age: 3, ..Evictions::default() });
            tokio::time::sleep(config.ttl + Duration::from_secs(2)).await;
            let stats = house.stats().await;
            assert_eq!((stats.cached_templates, stats.bytes), (0, 0), "an idle one goes without being asked for");
        });
    }
}

#[test]
fn guide_37_with_a_longer_time_to_live_nothing_is_evicted_by_age() {
    let hits = |config: Config| {
        let world = World::embedded();
        world.small_pack("p", 4);
        run(config, &world, async |house| {
            for _ in 0..6 {
                house.get("p").await;
                tokio::time::sleep(Duration::from_secs(1_000)).await;
            }
            (house.stats().await.evictions.age, house.stats().await.hit_rate().unwrap())
        })
    };
    let (short, rate) = hits(development());
    assert!(short >= 20 && rate == 0.0, "{short} {rate}");
    let (long, rate) = hits(Config { ttl: Duration::from_secs(7_200), ..development() });
    assert!(long == 0 && rate > 0.8, "{long} {rate}");
}

#[test]
fn guide_37_with_more_room_nothing_is_evicted_for_lack_of_it() {
    let evicted = |config: Config| {
        let world = World::embedded();
        (0..6).for_each(|pack| world.small_pack(&format!("p{pack}"), 20));
        run(config, &world, async |house| {
            for round in 0..18 {
                house.get(&format!("p{}", round % 6)).await;
            }
            house.stats().await.evictions
        })
    };
    assert!(evicted(Config::default()).count > 100);
    let more = Config { templates_max: 200, bytes_max: 100 * MIB, ..Config::default() };
    assert_eq!(evicted(more), Evictions::default());
}

#[test]
fn guide_37_after_a_warm_up_the_first_job_has_no_miss() {
    let world = World::embedded();
    world.small_pack("p", 5);
    run(Config::default(), &world, async |house| {
        let warmed = house.warm("p").await.unwrap();
        assert_eq!((warmed.templates, warmed.loaded, warmed.kept), (5, 5, true));
        assert_eq!(warmed.bytes, 5 * cost("x"));
        let stats = house.stats().await;
        assert_eq!((stats.hits, stats.misses, stats.loads, stats.hit_rate()), (0, 0, 5, None), "nobody's misses");
        assert_eq!(house.used("p").await, (5, 0));
        assert_eq!(house.warm("p").await.unwrap().loaded, 0);
        assert_eq!(house.stats().await.hit_rate(), Some(1.0));
    });
}

#[test]
fn guide_18_a_cache_that_is_switched_off_compiles_each_time_and_counts_no_hit() {
    let world = World::embedded();
    world.small_pack("p", 4);
    run(Config { enabled: false, ..Config::default() }, &world, async |house| {
        for _ in 0..3 {
            assert_eq!(house.used("p").await, (0, 4));
        }
        let stats = house.stats().await;
        assert_eq!((stats.hits, stats.misses, stats.loads, stats.cached_templates, stats.bytes), (0, 12, 12, 0, 0));
        assert!(!house.warm("p").await.unwrap().kept);
    });
    assert_eq!(world.reads.load(Ordering::SeqCst), 16);
}

#[test]
fn what_is_larger_than_the_cache_is_served_and_not_kept() {
    let world = World::embedded();
    world.small_pack("small", 5);
    world.small_pack("many", 51);
    let heavy = "{{ 1 }}".repeat(20_000);
    world.pack("heavy", &[("a", "1"), ("heavy", &heavy), ("z", "2")]);
    let config = Config { templates_max: 50, bytes_max: cost(&heavy) - 1, ..Config::default() };
    run(config, &world, async |house| {
        house.get("small").await;
        for _ in 0..2 {
            let snapshot = house.get("many").await;
            assert_eq!((snapshot.used.misses, house.rendered(&snapshot).len()), (51, 51));
        }
        let stats = house.stats().await;
        assert_eq!((stats.cached_templates, stats.evictions), (5, Evictions::default()), "nobody made room for it");
        assert_eq!(house.used("heavy").await, (0, 3));
        let snapshot = house.get("heavy").await;
        assert_eq!((snapshot.used.hits, snapshot.used.misses), (2, 1), "only the large one is not kept");
        assert_eq!(house.rendered(&snapshot)["heavy"].len(), 20_000);
        assert_eq!(house.stats().await.cached_templates, 7);
    });
}

#[test]
fn guide_49_after_an_invalidation_the_next_job_misses_exactly_what_was_invalidated() {
    let world = World::embedded();
    world.small_pack("onex", 5);
    world.small_pack("own", 2);
    run(Config::default(), &world, async |house| {
        house.get("onex").await;
        house.get("own").await;
        assert_eq!(house.invalidate(Some("onex/t003")).await, Ok(1));
        assert_eq!(house.used("onex").await, (4, 1));
        assert_eq!(house.used("own").await, (2, 0));
        assert_eq!(house.invalidate(None).await, Ok(7));
        assert_eq!(house.invalidate(Some("onex/t003")).await, Ok(0), "known, and not cached now");
        assert_eq!((house.used("onex").await, house.used("own").await), ((0, 5), (0, 2)));
        assert_eq!(house.stats().await.evictions, Evictions { invalidated: 8, ..Evictions::default() });
        let refused = house.invalidate(Some("onex/t03")).await.unwrap_err().to_string();
        assert!(refused.contains("onex/t03") && refused.contains("did you mean `onex/t00"), "{refused}");
        let refused = house.invalidate(Some("EFFECT_template")).await.unwrap_err().to_string();
        assert!(refused.contains("all node kinds"), "{refused}");
        assert_eq!(house.stats().await.cached_templates, 7, "a refusal drops nothing");
    });
}

#[test]
fn guide_35_the_figures_are_those_of_the_jobs() {
    let world = World::embedded();
    world.small_pack("p", 6);
    run(Config::default(), &world, async |house| {
        let (mut hits, mut misses) = (0, 0);
        for round in 0..10 {
            if round == 4 {
                house.invalidate(Some("p/t001")).await.unwrap();
            }
            let used = house.get("p").await.used;
            (hits, misses) = (hits + u64::from(used.hits), misses + u64::from(used.misses));
        }
        let stats = house.stats().await;
        assert_eq!((stats.hits, stats.misses, stats.cached_templates), (hits, misses, 6));
        assert_eq!((hits, misses), (53, 7));
        assert_eq!(stats.hit_rate(), Some(53.0 / 60.0));
        assert_eq!((stats.bytes, stats.bytes_max, stats.templates_max), (6 * cost("x"), 50 * MIB, 100));
        let of = |name: &str| stats.templates.iter().find(|template| *template.name == *name).unwrap();
        assert_eq!((of("p/t001").hits, of("p/t001").misses), (8, 2));
        assert_eq!((of("p/t000").hits, of("p/t000").misses), (9, 1));
        assert_eq!(stats.templates.iter().map(|template| template.hits).sum::<u64>(), hits, "they add up");
        assert_eq!(of("p/t000").hash, blake3::hash(b"x"));
        assert_eq!(of("p/t000").file, "embedded:p/t000");
    });
}

#[test]
fn guide_18_figures_are_reported_as_they_grow_and_only_where_that_is_wanted() {
    for persistence in [true, false] {
        let world = World::embedded();
        world.small_pack("p", 3);
        run(Config { persistence, ..Config::default() }, &world, async |house| {
            for _ in 0..10 {
                house.get("p").await;
            }
            tokio::time::sleep(Duration::from_secs(32)).await;
            let reports = world.reports().len();
            assert_eq!(reports, if persistence { 3 } else { 0 }, "a row a template, not a row a job");
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(world.reports().len(), reports, "nothing happened, nothing is reported");
            house.get("p").await;
        });
        // The last job is reported when the house is drained.
        let mut sums = BTreeMap::<String, (u64, u64)>::new();
        for report in world.reports() {
            let sum = sums.entry(format!("{} {}", report.name, report.kind)).or_default();
            (sum.0, sum.1) = (sum.0 + report.hits, sum.1 + report.misses);
        }
        let expected = ["p/t000 p/other", "p/t001 p/other", "p/t002 p/other"].map(|name| (name.to_owned(), (10, 1)));
        assert_eq!(sums, if persistence { BTreeMap::from(expected) } else { BTreeMap::new() });
    }
}
