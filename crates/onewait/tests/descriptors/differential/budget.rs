//! How long the random tests go on, and with which seeds.

use std::env;
use std::time::{Duration, Instant};

/// Minutes of soaking, if that is asked for.
fn soak() -> Option<Duration> {
    Some(Duration::from_secs(60 * number("ONEWAIT_SOAK")?))
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value}: not a number")))
}

/// After this it hangs.
pub(super) fn limit() -> Duration {
    Duration::from_secs(900) + 2 * soak().unwrap_or_default()
}

/// Counts the steps that were played, and says when it is enough.
pub(super) struct Budget {
    start: Instant,
    first_seed: u64,
    sequences: u64,
    spent: u64,
    least: u64,
}

impl Budget {
    /// At least so many; more if there is soaking to do.
    pub(super) fn new(least: u64) -> Self {
        let first_seed = number("ONEWAIT_SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
        Self { start: Instant::now(), first_seed, sequences: 0, spent: 0, least }
    }

    /// A new one each time, and nothing at the end.
    pub(super) fn next_seed(&mut self) -> Option<u64> {
        let soaking = soak().is_some_and(|time| self.start.elapsed() < time);
        if self.spent >= self.least && !soaking {
            return None;
        }
        self.sequences += 1;
        Some(self.first_seed.wrapping_add(self.sequences - 1))
    }

    pub(super) fn spend(&mut self, steps: u64) {
        self.spent += steps;
    }

    /// Prints what was done.
    pub(super) fn report(&self) {
        let rate = self.spent as f64 / self.start.elapsed().as_secs_f64();
        println!(
            "{} steps in {} sequences, {rate:.0} a second, from seed {}",
            self.spent, self.sequences, self.first_seed
        );
    }
}
