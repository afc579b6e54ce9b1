//! How long the random tests go on, and with which seeds.

use std::env;
use std::time::{Duration, Instant};

use super::SEED;

/// Minutes of soaking, if that is asked for.
fn soak() -> Option<Duration> {
    let minutes = env::var("ONEWAIT_SOAK").ok()?;
    let minutes: u64 = minutes.parse().unwrap_or_else(|_| panic!("ONEWAIT_SOAK={minutes}: not a number of minutes"));
    Some(Duration::from_secs(60 * minutes))
}

/// After this it hangs.
pub(super) fn limit() -> Duration {
    Duration::from_secs(900) + 2 * soak().unwrap_or_default()
}

/// Counts what was done, and says when it is enough.
pub(super) struct Budget {
    start: Instant,
    first_seed: u64,
    sequences: u64,
    spent: u64,
    least: u64,
}

impl Budget {
    /// At least so much is done; more if there is soaking to do.
    pub(super) fn new(least: u64) -> Self {
        let given = env::var(SEED).ok();
        let number = |seed: String| seed.parse().unwrap_or_else(|_| panic!("{SEED}={seed}: not a number"));
        let first_seed = given.map_or_else(|| fastrand::u64(..u64::MAX / 2), number);
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

    pub(super) fn spend(&mut self, amount: u64) {
        self.spent += amount;
    }

    /// Prints what was done.
    pub(super) fn report(&self, unit: &str) {
        let rate = self.spent as f64 / self.start.elapsed().as_secs_f64();
        println!(
            "{} {unit} in {} sequences, {rate:.0} a second, from seed {}",
            self.spent, self.sequences, self.first_seed
        );
    }
}
