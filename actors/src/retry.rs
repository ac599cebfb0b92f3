//! When to try again: a ceiling that doubles, and under it full jitter, so that many who wait for one thing do not all
//! come back at once. The only place that knows the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// How long to wait between tries, at most: `base` after the first, twice as long after each further one, up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    pub base: Duration,
    pub max: Duration,
}

/// The tries of one piece of work. It never gives up: who waits knows when to.
pub struct Retry {
    ceiling: ExponentialBackoff,
    chance: fastrand::Rng,
}

impl Retry {
    /// `seed` makes the delays repeatable.
    pub fn new(schedule: Schedule, seed: u64) -> Self {
        let ceiling = ExponentialBackoff {
            current_interval: schedule.base,
            initial_interval: schedule.base,
            max_interval: schedule.max,
            multiplier: 2.0,
            // The crate's own chance cannot be seeded; ours is applied to what it computes.
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { ceiling, chance: fastrand::Rng::with_seed(seed) }
    }

    /// How long to wait before the next try: between nothing and the ceiling.
    pub fn delay(&mut self) -> Duration {
        // `next_backoff` would add the crate's rounding; it is asked for the step to the next ceiling only.
        let ceiling = self.ceiling.current_interval;
        let _ = self.ceiling.next_backoff();
        ceiling.mul_f64(self.chance.f64())
    }

    /// A new piece of work begins.
    pub fn reset(&mut self) {
        self.ceiling.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { base: Duration::from_millis(100), max: Duration::from_secs(2) };

    #[test]
    fn the_ceiling_doubles_up_to_its_maximum_and_no_delay_is_above_it() {
        for seed in 0..200 {
            let mut retry = Retry::new(SCHEDULE, seed);
            for ceiling in [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000] {
                assert_eq!(retry.ceiling.current_interval, Duration::from_millis(ceiling));
                assert!(retry.delay() < Duration::from_millis(ceiling), "seed {seed}");
            }
            retry.reset();
            assert!(retry.delay() < Duration::from_millis(100), "seed {seed}");
        }
    }

    #[test]
    fn the_jitter_is_full_and_the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let mut retry = Retry::new(SCHEDULE, seed);
            (0..2_000).map(|_| retry.delay()).collect::<Vec<_>>()
        };
        assert_eq!(delays(7), delays(7));
        let settled = delays(7).split_off(6);
        let share = |from: u128, to: u128| {
            let inside = |delay: &&Duration| (from..to).contains(&delay.as_millis());
            settled.iter().filter(inside).count() as f64 / settled.len() as f64
        };
        for quarter in 0..4 {
            let share = share(quarter * 500, (quarter + 1) * 500);
            assert!((0.2..0.3).contains(&share), "quarter {quarter} holds {share}");
        }
    }
}
