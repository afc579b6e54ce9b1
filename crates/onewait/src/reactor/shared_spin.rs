//! Looking before sleeping, for waits that are not the reactor's own: on an epoll of the kernel's that a program made
//! itself, where any number of its threads may wait at a time, and signal handlers and forks may come in between.
//!
//! Whoever waits there sleeps in the kernel, by the program's own call. What the reactor adds is when to look first.

use super::spin::Spin;
use crate::sys::monotonic_nanoseconds;
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Whether looking at one epoll is of use: what [`ReactorBuilder::spin`](super::ReactorBuilder::spin) has, shared by all who
/// wait there.
///
/// One of them looks at a time; the others sleep at once. It holds numbers only, all of them hints: one that is lost, or
/// inherited by a forked child, costs a look too many or too few. All operations are relaxed, and async-signal-safe.
#[derive(Debug, Default)]
pub struct SharedSpin {
    /// The state of a [`Spin`], as [`Spin::pack`] has it. Of two changes at the same time, one is forgotten.
    state: AtomicU64,
    /// Until when somebody looks, on the monotonic clock. A time, so that a thread that was ended or has jumped out of a
    /// signal handler meanwhile keeps nobody from looking for long.
    taken_until: AtomicU64,
}

/// A waiter's turn to look, from [`SharedSpin::begin`]. It may be dropped or forgotten.
#[derive(Debug)]
pub struct Look<'a> {
    shared: &'a SharedSpin,
    most: Duration,
    end: u64,
}

impl SharedSpin {
    /// As if nobody had ever waited.
    pub const fn new() -> SharedSpin {
        SharedSpin { state: AtomicU64::new(0), taken_until: AtomicU64::new(0) }
    }

    /// Forgets what was of use: another epoll has its number.
    pub fn reset(&self) {
        self.state.store(0, Ordering::Relaxed);
    }

    /// Whether this waiter is to look before it sleeps, for `most` at most: not if that was of no use lately, nor while
    /// another one does.
    #[inline]
    pub fn begin(&self, most: Duration) -> Option<Look<'_>> {
        let mut spin = Spin::unpack(most, self.state.load(Ordering::Relaxed));
        let time = spin.time();
        self.state.store(spin.pack(), Ordering::Relaxed);
        let time = u64::try_from(time?.as_nanos()).unwrap_or(u64::MAX);
        let (now, before) = (monotonic_nanoseconds(), self.taken_until.load(Ordering::Relaxed));
        let end = now.saturating_add(time);
        let is_free = before <= now
            && self.taken_until.compare_exchange(before, end, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_free.then_some(Look { shared: self, most, end })
    }
}

impl Look<'_> {
    /// Asks again and again, until there is an answer or the time is over.
    pub fn look<T>(self, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        let first = ask();
        let found = first.is_some();
        let answer = first.or_else(|| self.look_on(ask));
        // What was there already says nothing of looking.
        if !found {
            let mut spin = Spin::unpack(self.most, self.shared.state.load(Ordering::Relaxed));
            spin.was(answer.is_some());
            self.shared.state.store(spin.pack(), Ordering::Relaxed);
        }
        // Unless the time was over, and it is another's turn already.
        let _ = self.shared.taken_until.compare_exchange(self.end, 0, Ordering::Relaxed, Ordering::Relaxed);
        answer
    }

    fn look_on<T>(&self, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            hint::spin_loop();
            // Once more when the time is over: the thread may have had no processor meanwhile.
            let is_over = monotonic_nanoseconds() >= self.end;
            let answer = ask();
            if answer.is_some() || is_over {
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(1);

    #[test]
    fn no_time_never_looks() {
        assert!(SharedSpin::new().begin(Duration::ZERO).is_none());
    }

    #[test]
    fn one_looks_at_a_time() {
        let spin = SharedSpin::new();
        let look = spin.begin(Duration::from_secs(3600)).unwrap();
        assert!(spin.begin(TIME).is_none());
        assert_eq!(look.look(|| Some(3)), Some(3));
        assert!(spin.begin(TIME).is_some());
    }

    #[test]
    fn a_look_that_never_ended_keeps_nobody_for_ever() {
        let spin = SharedSpin::new();
        let _ = spin.begin(TIME).unwrap();
        while spin.begin(TIME).is_none() {
            hint::spin_loop();
        }
    }

    #[test]
    fn looks_of_no_use_end_until_one_in_many_is_of_use() {
        let spin = SharedSpin::new();
        let fruitless =
            |_: &usize| spin.begin(Duration::from_micros(1)).is_some_and(|look| look.look(|| None::<()>).is_none());
        assert_eq!((0..72).filter(fruitless).count(), 9);
        spin.reset();
        assert!(spin.begin(TIME).is_some());
    }

    #[test]
    fn what_is_there_at_once_changes_nothing() {
        let spin = SharedSpin::new();
        for _ in 0..100 {
            spin.begin(TIME).unwrap().look(|| Some(()));
        }
        let fruitless =
            |_: &usize| spin.begin(Duration::from_micros(1)).is_some_and(|look| look.look(|| None::<()>).is_none());
        assert_eq!((0..60).filter(fruitless).count(), 8);
    }
}
