//! Whether a thread that is handed requests sleeps, so that whoever hands it one wakes it, and not twice.
//!
//! A signal handler may come between any two steps of a waker, and wait for a request of its own. So a waker notes the
//! wake-up only when it is made; until then others make another one.

use std::sync::atomic::{AtomicU32, Ordering};

/// An epoch: odd from before the thread looks for work for the last time until it is woken. On a cache line of its own, as
/// what is beside it changes with every request.
///
/// Sequentially consistent, with what tells of work (a mailbox's head): the thread or the one who has work for it, one
/// of the two sees the other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Asleep(AtomicU32);

impl Asleep {
    pub(super) const fn new() -> Asleep {
        Asleep(AtomicU32::new(0))
    }

    /// The thread is about to sleep, and looks for work once more after this.
    pub(super) fn begin(&self) {
        self.0.fetch_or(1, Ordering::SeqCst);
    }

    /// The thread is awake.
    pub(super) fn end(&self) {
        self.note(self.0.load(Ordering::Relaxed));
    }

    /// Wakes the thread by `signal`, if it sleeps, or is about to. The signal must not be lost on one that is about to.
    /// Async-signal-safe if the signal is.
    #[inline]
    pub(super) fn wake(&self, signal: impl FnOnce()) {
        let epoch = self.0.load(Ordering::SeqCst);
        if epoch % 2 == 1 {
            signal();
            self.note(epoch);
        }
    }

    /// Whether it sleeps, or is about to.
    #[inline]
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::SeqCst) % 2 == 1
    }

    /// Ends this epoch, unless that is done: the thread may even sleep again.
    fn note(&self, epoch: u32) {
        if epoch % 2 == 1 {
            let _ = self.0.compare_exchange(epoch, epoch.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Asleep;
    use std::cell::Cell;

    #[test]
    fn one_that_sleeps_is_woken_once_and_one_that_is_awake_not_at_all() {
        let (asleep, signals) = (Asleep::new(), Cell::new(0));
        let wake = || asleep.wake(|| signals.set(signals.get() + 1));
        wake();
        assert_eq!(signals.get(), 0);
        asleep.begin();
        wake();
        wake();
        assert_eq!(signals.get(), 1);
        asleep.end();
        asleep.begin();
        asleep.end();
        wake();
        assert_eq!(signals.get(), 1);
    }

    /// What a handler does that has interrupted a waker.
    #[test]
    fn a_waker_does_not_rely_on_one_that_has_not_made_its_signal() {
        let (asleep, signals) = (Asleep::new(), Cell::new(0));
        asleep.begin();
        asleep.wake(|| asleep.wake(|| signals.set(signals.get() + 1)));
        assert_eq!(signals.get(), 1);
    }

    #[test]
    fn a_late_waker_does_not_end_the_next_sleep() {
        let (asleep, signals) = (Asleep::new(), Cell::new(0));
        asleep.begin();
        asleep.wake(|| {
            asleep.end();
            asleep.begin();
        });
        asleep.wake(|| signals.set(signals.get() + 1));
        assert_eq!(signals.get(), 1);
    }
}
