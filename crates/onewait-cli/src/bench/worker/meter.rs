//! The clock of a run: a warm-up first, then the time that counts.

use super::Measured;
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// The part of a run that only warms up: threads start, rings fill, caches settle.
const WARM_UP: f64 = 0.15;

/// Counts requests, and decides when a run is over.
#[derive(Debug)]
pub(super) struct Meter {
    begin: Mark,
    /// The end of the warm-up, and whether it was reached.
    warm: Duration,
    warmed: bool,
    run: Duration,
    requests: u64,
}

/// One point in time, and all that is counted from there.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    cpu: Duration,
    requests: u64,
}

impl Mark {
    fn now(requests: u64) -> Mark {
        // All threads, also those that are gone and the kernel's workers of a ring; finer than getrusage.
        // This clock is always there.
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        Mark { at: Instant::now(), cpu, requests }
    }
}

impl Meter {
    /// A clock that starts now, and counts for `seconds` after the warm-up.
    pub(super) fn new(seconds: f64) -> Meter {
        Meter {
            begin: Mark::now(0),
            warm: Duration::from_secs_f64(seconds * WARM_UP),
            warmed: false,
            run: Duration::from_secs_f64(seconds),
            requests: 0,
        }
    }

    /// One more request is complete.
    pub(super) fn completed(&mut self) {
        self.requests += 1;
    }

    /// Whether the time is over; looked at once for each batch.
    pub(super) fn over(&mut self) -> bool {
        let elapsed = self.begin.at.elapsed();
        if self.warmed {
            return elapsed >= self.run;
        }
        if elapsed >= self.warm {
            self.begin = Mark::now(self.requests);
            self.warmed = true;
        }
        false
    }

    /// What was measured, until now. A run that ended in its warm-up (all blocks of a small file have come) counts
    /// from its beginning.
    pub(super) fn stop(&self) -> Measured {
        let end = Mark::now(self.requests);
        Measured {
            requests: end.requests - self.begin.requests,
            seconds: (end.at - self.begin.at).as_secs_f64(),
            cpu_seconds: end.cpu.saturating_sub(self.begin.cpu).as_secs_f64(),
            provider: None,
        }
    }
}
