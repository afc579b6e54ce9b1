//! One shot and periodic timers, as a timerfd.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::clock::{Alarm, Clock, Next};
use crate::source::{AsSource, Notifier, Source, SourceRef, Watched};
use crate::sync::{AtomicU64, Guard, Lock, Ordering};
use crate::{Error, Events, Result};

/// A timer: the timerfd of this crate.
///
/// Its level has `IN` if it expired since it was last read or set; that is its edge, too. A periodic timer goes on when
/// it is read: if nobody reads it, there is one edge (rule 41).
pub struct Timer {
    ticks: Watched<Ticks>,
    expiry: Arc<Expiry>,
    clock: Clock,
}

/// How often it expired, as far as nobody has read it.
struct Ticks(Arc<AtomicU64>);

impl Source for Ticks {
    fn level(&self) -> Events {
        if self.0.load(Ordering::Acquire) > 0 { Events::IN } else { Events::empty() }
    }
}

/// The clock's hold on a timer.
pub(super) struct Expiry {
    ticks: Arc<AtomicU64>,
    notifier: Notifier,
    /// When it is armed for; changes with the clock locked.
    alarm: Lock<Option<Alarm>>,
    /// When it last was due, and its period; taken with the clock locked.
    rhythm: Lock<Rhythm>,
}

#[derive(Default)]
struct Rhythm {
    due: Duration,
    period: Option<Duration>,
}

impl Expiry {
    pub(super) fn alarm(&self) -> Guard<'_, Option<Alarm>> {
        self.alarm.lock()
    }

    pub(super) fn count(&self) {
        self.ticks.fetch_add(1, Ordering::Release);
    }

    pub(super) fn notify(&self) {
        self.notifier.notify(Events::IN);
    }
}

impl Timer {
    /// A timer on this clock that is not set.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let count = Arc::new(AtomicU64::new(0));
        let ticks = Watched::new(Ticks(count.clone()));
        let expiry = Expiry {
            ticks: count,
            notifier: ticks.notifier(),
            alarm: Lock::new(None),
            rhythm: Lock::new(Rhythm::default()),
        };
        Self { ticks, expiry: Arc::new(expiry), clock: clock.clone() }
    }

    /// Sets it to expire in `first` from now, and then every `period`. A `first` of 0 stops it; so does a time that is
    /// beyond what the clock can say. Clears what was not read yet (rule 76).
    pub fn set(&self, first: Duration, period: Option<Duration>) {
        self.clock.inner.rearm(&self.expiry, |now| {
            self.expiry.ticks.store(0, Ordering::Release);
            let due = if first.is_zero() { None } else { now.checked_add(first) };
            let period = period.filter(|period| !period.is_zero());
            *self.expiry.rhythm.lock() = Rhythm { due: due.unwrap_or_default(), period };
            ((), due.map_or(Next::Never, Next::At))
        });
    }

    /// How often it expired since it was last read or set. Does not wait.
    ///
    /// Errors: [`Error::WouldBlock`] if it did not.
    pub fn read(&self) -> Result<u64> {
        self.clock.inner.rearm(&self.expiry, |now| {
            let ticks = self.expiry.ticks.swap(0, Ordering::AcqRel);
            if ticks == 0 {
                return (Err(Error::WouldBlock), Next::AsItIs);
            }
            let mut rhythm = self.expiry.rhythm.lock();
            let Some(period) = rhythm.period else { return (Ok(ticks), Next::Never) };
            // What went by unseen counts, and the next one is in step with the first.
            let since = now.saturating_sub(rhythm.due).as_nanos();
            let passed = u64::try_from(since / period.as_nanos()).unwrap_or(u64::MAX);
            let out_of_step = Duration::from_nanos_u128(since % period.as_nanos());
            rhythm.due = now.saturating_sub(out_of_step).saturating_add(period);
            (Ok(ticks.saturating_add(passed)), Next::At(rhythm.due))
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(Duration::ZERO, None);
    }
}

impl AsSource for Timer {
    fn as_source(&self) -> SourceRef<'_> {
        self.ticks.as_source()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("id", &self.ticks.id()).finish_non_exhaustive()
    }
}
