//! A counter, as an eventfd.

use core::fmt;

use crate::source::{AsSource, Source, SourceRef, Watched};
use crate::sync::{AtomicU64, Ordering};
use crate::{Error, Events, Result};

/// A counter that writes add to and reads take from: the eventfd of this crate.
///
/// Its level has `IN` if the count is not 0, and `OUT` if 1 can be added: at its maximum, `u64::MAX - 1`, it is `IN` alone
/// (rule 75). An eventfd at `u64::MAX` has `ERR`; only the kernel itself can bring one there. Every successful write is an edge of `IN`, also one of 0; every successful read is an edge of `OUT` (rules 34, 38).
pub struct Event {
    counter: Watched<Counter>,
    semaphore: bool,
}

struct Counter(AtomicU64);

/// The highest count that writes reach.
const MAX: u64 = u64::MAX - 1;

impl Source for Counter {
    #[inline]
    fn level(&self) -> Events {
        let count = self.0.load(Ordering::Acquire);
        let mut level = Events::empty();
        level.set(Events::IN, count > 0);
        level.set(Events::OUT, count < MAX);
        level.set(Events::ERR, count == u64::MAX);
        level
    }
}

impl Event {
    /// A counter from which a read takes everything.
    #[must_use]
    pub fn new(initial: u64) -> Self {
        Self { counter: Watched::new(Counter(AtomicU64::new(initial))), semaphore: false }
    }

    /// A counter from which a read takes 1.
    #[must_use]
    pub fn semaphore(initial: u64) -> Self {
        Self { semaphore: true, ..Self::new(initial) }
    }

    /// Adds to the counter. Does not wait.
    ///
    /// Errors: [`Error::Invalid`] for `u64::MAX`; [`Error::WouldBlock`] if the sum would be above `u64::MAX - 1`.
    #[inline]
    pub fn write(&self, n: u64) -> Result<()> {
        if n == u64::MAX {
            return Err(Error::Invalid);
        }
        let counter = &self.counter.0;
        let mut count = counter.load(Ordering::Relaxed);
        loop {
            let sum = count.checked_add(n).filter(|sum| *sum <= MAX).ok_or(Error::WouldBlock)?;
            match counter.compare_exchange_weak(count, sum, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => count = now,
            }
        }
        self.counter.notify(Events::IN);
        Ok(())
    }

    /// Takes the count, or 1 of it in semaphore mode. Does not wait.
    ///
    /// Errors: [`Error::WouldBlock`] if it is 0.
    #[inline]
    pub fn read(&self) -> Result<u64> {
        let counter = &self.counter.0;
        let mut count = counter.load(Ordering::Relaxed);
        let taken = loop {
            if count == 0 {
                return Err(Error::WouldBlock);
            }
            let taken = if self.semaphore { 1 } else { count };
            match counter.compare_exchange_weak(count, count - taken, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break taken,
                Err(now) => count = now,
            }
        };
        self.counter.notify(Events::OUT);
        Ok(taken)
    }
}

impl AsSource for Event {
    fn as_source(&self) -> SourceRef<'_> {
        self.counter.as_source()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.counter.id())
            .field("count", &self.counter.0.load(Ordering::Relaxed))
            .field("semaphore", &self.semaphore)
            .finish()
    }
}
