//! How often an actor may be rebuilt, and how long to wait before: pure, time and chance are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Delay before the n-th restart within the window: the first is at once, then full jitter (0 to the ceiling) on a
/// ceiling that doubles from `base` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

impl Backoff {
    /// `chance` is in 0.0..=1.0.
    pub fn delay(&self, restart: u32, chance: f64) -> Duration {
        if restart <= 1 {
            return Duration::ZERO;
        }
        let doublings = (restart - 2).min(30);
        self.base.saturating_mul(1 << doublings).min(self.max).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// When an actor is rebuilt, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    pub restarts_max: u32,
    pub within: Duration,
    pub backoff: Backoff,
    /// A turn that goes on for longer without [`super::progress`] is stuck: what it holds is taken away, and a new
    /// incarnation starts on a fresh thread. `None`: never.
    pub turn_max: Option<Duration>,
}

impl RestartPolicy {
    /// `restarts_max` restarts in 60 s, delays from 10 ms to 1 s, no limit for a turn.
    pub const fn per_minute(restarts_max: u32) -> Self {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_secs(1) };
        Self { restarts_max, within: Duration::from_secs(60), backoff, turn_max: None }
    }

    #[must_use]
    pub const fn turn_max(self, turn_max: Duration) -> Self {
        Self { turn_max: Some(turn_max), ..self }
    }
}

/// The restarts of one child inside the sliding window, since it last worked.
#[derive(Debug)]
pub struct RestartBudget {
    policy: RestartPolicy,
    restarts: VecDeque<Instant>,
}

impl RestartBudget {
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, restarts: VecDeque::new() }
    }

    /// The child has worked since: what was spent before no longer counts.
    pub fn recover(&mut self) {
        self.restarts.clear();
    }

    /// Books one restart and says how long to wait before it; `None` where the budget is spent.
    pub fn spend(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        while self.restarts.front().is_some_and(|&at| now.duration_since(at) >= self.policy.within) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.policy.restarts_max as usize {
            return None;
        }
        self.restarts.push_back(now);
        let in_window = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        Some(self.policy.backoff.delay(in_window, chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(restarts_max: u32) -> RestartPolicy {
        RestartPolicy { within: Duration::from_secs(10), ..RestartPolicy::per_minute(restarts_max) }
    }

    #[test]
    fn the_budget_is_spent_after_its_restarts_and_recovers_with_the_window() {
        let start = Instant::now();
        let mut budget = RestartBudget::new(policy(2));
        assert_eq!(budget.spend(start, 1.0), Some(Duration::ZERO));
        assert_eq!(budget.spend(start + Duration::from_secs(4), 1.0), Some(Duration::from_millis(10)));
        assert_eq!(budget.spend(start + Duration::from_secs(9), 1.0), None);
        // The first restart has left the window; the second is still in it.
        assert_eq!(budget.spend(start + Duration::from_secs(10), 0.5), Some(Duration::from_millis(5)));
        assert_eq!(budget.spend(start + Duration::from_secs(11), 1.0), None);
    }

    #[test]
    fn no_window_ever_holds_more_restarts_than_the_budget() {
        let mut random = fastrand::Rng::with_seed(7);
        for restarts_max in 0..8 {
            let mut budget = RestartBudget::new(policy(restarts_max));
            let (mut now, mut granted) = (Instant::now(), Vec::new());
            for _ in 0..500 {
                now += Duration::from_millis(random.u64(0..4_000));
                if budget.spend(now, random.f64()).is_some() {
                    granted.push(now);
                }
            }
            for (index, &from) in granted.iter().enumerate() {
                let inside =
                    granted[index..].iter().filter(|&&at| at.duration_since(from) < Duration::from_secs(10)).count();
                assert!(inside <= restarts_max as usize, "{inside} restarts in a window of {restarts_max}");
            }
        }
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum_and_never_overflows() {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_secs(1) };
        assert_eq!(backoff.delay(3, 1.0), Duration::from_millis(20));
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(u32::MAX, 0.0), Duration::ZERO);
    }
}
