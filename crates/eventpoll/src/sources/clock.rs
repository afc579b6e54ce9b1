//! Time for timers: turned by hand, or by a thread.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use super::timer::Expiry;
use crate::sync::Lock;

/// What timers run on. Clones are the same clock.
///
/// [`manual`](Self::manual) is for tests, simulators, and loops that know the time anyway: it stands until it is turned.
/// [`system`](Self::system) has a thread that turns it.
#[derive(Clone)]
pub struct Clock {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// Not held while anybody is notified.
    state: Lock<State>,
    #[cfg(all(feature = "std", not(loom)))]
    thread: Option<thread::Thread>,
}

struct State {
    /// Of a clock that is turned by hand.
    now: Duration,
    /// Who expires when. The number tells timers of the same time apart.
    armed: BTreeMap<(Duration, u64), Arc<Expiry>>,
    /// The number that was given last.
    last: u64,
}

/// A time at which a timer is armed: the key of it.
pub(super) type Alarm = (Duration, u64);

/// When a timer is to expire next.
pub(super) enum Next {
    /// As was said before.
    AsItIs,
    Never,
    At(Duration),
}

impl Inner {
    fn now(&self, state: &State) -> Duration {
        #[cfg(all(feature = "std", not(loom)))]
        if let Some(thread) = &self.thread {
            return thread.now();
        }
        state.now
    }

    /// Sets a timer's alarm anew, as `f` says, which is told the time.
    pub(super) fn rearm<R>(&self, expiry: &Arc<Expiry>, f: impl FnOnce(Duration) -> (R, Next)) -> R {
        let mut state = self.state.lock();
        let (result, next) = f(self.now(&state));
        let next = match next {
            Next::AsItIs => return result,
            Next::Never => None,
            Next::At(at) => Some(at),
        };
        let mut alarm = expiry.alarm();
        if let Some(old) = *alarm {
            state.armed.remove(&old);
        }
        *alarm = next.map(|at| {
            state.last += 1;
            (at, state.last)
        });
        if let Some(new) = *alarm {
            state.armed.insert(new, expiry.clone());
            #[cfg(all(feature = "std", not(loom)))]
            if let (Some(thread), Some((&first, _))) = (&self.thread, state.armed.first_key_value())
                && first == new
            {
                thread.look_again();
            }
        }
        result
    }

    /// Lets everything expire that is due. Returns when the next one is.
    fn expire(&self) -> Option<Duration> {
        loop {
            let due = {
                let mut state = self.state.lock();
                let now = self.now(&state);
                let first = state.armed.first_entry()?;
                if first.key().0 > now {
                    return Some(first.key().0);
                }
                let expiry = first.remove();
                *expiry.alarm() = None;
                expiry.count();
                expiry
            };
            due.notify();
        }
    }
}

impl Clock {
    /// A clock that stands at 0 until it is turned.
    #[must_use]
    pub fn manual() -> Self {
        let state = State { now: Duration::ZERO, armed: BTreeMap::new(), last: 0 };
        Self {
            inner: Arc::new(Inner {
                state: Lock::new(state),
                #[cfg(all(feature = "std", not(loom)))]
                thread: None,
            }),
        }
    }

    /// The time of the clock, from when it was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.inner.now(&self.inner.state.lock())
    }

    /// Turns a manual clock on to `to`, and lets expire what is due by then, the earliest first. It does not go back; a
    /// system clock only lets expire what is due.
    pub fn turn(&self, to: Duration) {
        {
            let mut state = self.inner.state.lock();
            state.now = state.now.max(to);
        }
        self.inner.expire();
    }

    /// When the next timer is due: how long a loop that turns the clock itself may wait.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.inner.state.lock().armed.first_key_value().map(|((at, _), _)| *at)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).field("next_deadline", &self.next_deadline()).finish()
    }
}

#[cfg(all(feature = "std", not(loom)))]
mod thread {
    use core::sync::atomic::{AtomicU32, Ordering};
    use core::time::Duration;
    use std::sync::{Arc, Weak};
    use std::time::Instant;

    use super::{BTreeMap, Clock, Inner, Lock, State};
    use crate::park::{Futex, Parking};

    /// The clock's side of its thread, which ends with the clock.
    pub(super) struct Thread {
        began: Instant,
        /// Changes when there is something new to look at.
        changes: Arc<AtomicU32>,
    }

    impl Thread {
        pub(super) fn now(&self) -> Duration {
            self.began.elapsed()
        }

        pub(super) fn look_again(&self) {
            self.changes.fetch_add(1, Ordering::Release);
            Futex.wake(&self.changes);
        }
    }

    impl Drop for Thread {
        fn drop(&mut self) {
            self.look_again();
        }
    }

    impl Clock {
        /// The system's monotonic clock, from now on. A thread of its own turns it, as long as the clock or one of its
        /// timers lives.
        ///
        /// Errors: those of starting a thread.
        pub fn system() -> std::io::Result<Self> {
            let changes = Arc::new(AtomicU32::new(0));
            let state = State { now: Duration::ZERO, armed: BTreeMap::new(), last: 0 };
            let thread = Thread { began: Instant::now(), changes: changes.clone() };
            let inner = Arc::new(Inner { state: Lock::new(state), thread: Some(thread) });
            let weak = Arc::downgrade(&inner);
            std::thread::Builder::new().name("eventpoll-clock".into()).spawn(move || turn(&weak, &changes))?;
            Ok(Self { inner })
        }
    }

    fn turn(clock: &Weak<Inner>, changes: &AtomicU32) {
        loop {
            let seen = changes.load(Ordering::Acquire);
            let Some(inner) = clock.upgrade() else { return };
            let next = inner.expire();
            let left = next.map(|at| at.saturating_sub(inner.now(&inner.state.lock())));
            drop(inner);
            if left != Some(Duration::ZERO) {
                Futex.wait(changes, seen, left);
            }
        }
    }
}
