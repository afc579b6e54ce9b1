//! How long a call waits: a timeout as the kernel's AIO reads it.

use onewait::sys;
use std::time::{Duration, Instant};

const NANOSECONDS: i128 = 1_000_000_000;

/// Further away than any machine runs, near enough for every clock: a century, in seconds.
const CENTURY: i64 = 100 * 365 * 24 * 3600;

/// Until when a wait lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Not at all.
    Now,
    /// Until then.
    Then(Instant),
    /// For ever.
    Forever,
}

impl Until {
    /// Seconds and nanoseconds are added up, also where there are more than a second of these (rule 25).
    pub(super) fn of(timeout: Option<&libc::timespec>) -> Until {
        let Some(timeout) = timeout else { return Until::Forever };
        let total = i128::from(timeout.tv_sec) * NANOSECONDS + i128::from(timeout.tv_nsec);
        match u64::try_from(total) {
            Ok(0) => Until::Now,
            Ok(total) => Instant::now().checked_add(Duration::from_nanos(total)).map_or(Until::Forever, Until::Then),
            Err(_) if total < 0 => Until::Now,
            Err(_) => Until::Forever,
        }
    }

    /// The moment, if there is one.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Until::Now => Some(Instant::now()),
            Until::Then(then) => Some(then),
            Until::Forever => None,
        }
    }

    /// Whether the time has come.
    pub(super) fn is_over(self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Until then, or until so much time from now if that is sooner.
    pub(super) fn at_most(self, time: Duration) -> Until {
        let soon = Instant::now() + time;
        Until::Then(self.deadline().map_or(soon, |deadline| deadline.min(soon)))
    }

    /// How much time is left; `None` for ever.
    pub(super) fn left(self) -> Option<libc::timespec> {
        let left = self.deadline()?.saturating_duration_since(Instant::now());
        let seconds = libc::time_t::try_from(left.as_secs()).unwrap_or(CENTURY);
        Some(libc::timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() })
    }

    /// The moment on the clock that futexes use; a far one if there is none.
    pub(super) fn on_monotonic_clock(self) -> libc::timespec {
        const PAST: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        match self.deadline() {
            Some(deadline) => sys::monotonic(deadline).unwrap_or(PAST),
            None => libc::timespec { tv_sec: CENTURY, tv_nsec: 0 },
        }
    }
}
