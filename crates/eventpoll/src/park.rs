//! How a thread sleeps until there is something to report: the one thing that the crate cannot do by itself.

use core::time::Duration;

use crate::sync::AtomicU32;
use crate::{Error, Result};

/// Why [`Parking::wait`] came back. It may come back for no reason, as [`Parked::Woken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// The word was changed, or `wake` was called, or nothing of the kind happened.
    Woken,
    /// The time is over.
    TimedOut,
    /// A signal was handled; the wait returns [`Error::Interrupted`] if there is nothing to report.
    Interrupted,
}

/// Sleeping, in the manner of a futex; what an operating system, a kernel or a simulator has to bring.
///
/// With the feature `std` there is [`Futex`], and [`EventPoll::new`](crate::EventPoll::new) takes it.
pub trait Parking: Send + Sync {
    /// Puts the calling thread to sleep as long as `word` is `expected`, at most for `timeout` (`None`: for ever).
    ///
    /// A `wake` on the same word that happens after `word` was found to be `expected` must not be lost.
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked;

    /// Wakes a thread that sleeps on `word`, if there is one. Called by the thread that notifies, waits or changes
    /// something, when it has none of this crate's locks any more. Two exceptions: a [`Source::level`](crate::Source::level)
    /// that notifies or closes wakes in it, where event polls are locked; and [`Waker::wake`](crate::Waker::wake) may run in
    /// a signal handler.
    fn wake(&self, word: &AtomicU32);

    /// A clock that never goes back. Where it begins does not matter.
    fn now(&self) -> Duration;

    /// Marks the calling thread as one that is inside an event poll. `false`: it already was, and stays so.
    ///
    /// Only asked without the feature `std`; with it the crate has a mark of its own. All parkings of a program must share
    /// one mark, since event polls of different parkings may be in each other.
    fn enter(&self) -> bool;

    /// Takes the mark away.
    fn leave(&self);
}

/// The parking of one event poll. The usual one is known by name, so that its marks cost no call.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    #[cfg(all(feature = "std", not(loom)))]
    Futex,
    Own(&'static dyn Parking),
}

impl Place {
    pub(crate) fn parking(self) -> &'static dyn Parking {
        match self {
            #[cfg(all(feature = "std", not(loom)))]
            Self::Futex => &Futex,
            Self::Own(parking) => parking,
        }
    }

    pub(crate) fn now(self) -> Duration {
        self.parking().now()
    }
}

/// The mark of [`Parking::enter`], for as long as this lives.
pub(crate) struct Inside(#[cfg(not(all(feature = "std", not(loom))))] Place);

impl Inside {
    #[cfg(all(feature = "std", not(loom)))]
    #[inline]
    fn of(_: Place) -> Self {
        Self()
    }

    #[cfg(not(all(feature = "std", not(loom))))]
    fn of(place: Place) -> Self {
        Self(place)
    }

    #[inline]
    pub(crate) fn enter(place: Place) -> Result<Self> {
        // One mark for all parkings: event polls of different ones may be in each other.
        #[cfg(all(feature = "std", not(loom)))]
        let entered = Futex.enter();
        #[cfg(not(all(feature = "std", not(loom))))]
        let entered = place.parking().enter();
        if entered { Ok(Self::of(place)) } else { Err(Error::Deadlock) }
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        #[cfg(all(feature = "std", not(loom)))]
        Futex.leave();
        #[cfg(not(all(feature = "std", not(loom))))]
        self.0.parking().leave();
    }
}

/// The futex of Linux. Its clock is `CLOCK_MONOTONIC`.
#[cfg(all(feature = "std", not(loom)))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Futex;

#[cfg(all(feature = "std", not(loom)))]
mod futex {
    use core::cell::Cell;
    use core::sync::atomic::AtomicU32;
    use core::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec};
    use rustix::time::{ClockId, clock_gettime};

    use super::{Futex, Parked, Parking};

    std::thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }

    impl Parking for Futex {
        fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
            // Without a timeout the kernel would restart the call after a handler with SA_RESTART, and the wait would
            // not end as epoll's does (rule 55); with one it never does. Where no handler runs, as after SIGSTOP and
            // SIGCONT, it goes on waiting until the same moment, with or without; epoll's wait ends with EINTR there.
            let longest = Timespec { tv_sec: i64::from(i32::MAX), tv_nsec: 0 };
            let relative = match timeout {
                Some(time) => match i64::try_from(time.as_secs()) {
                    Ok(tv_sec) if tv_sec < longest.tv_sec => {
                        Timespec { tv_sec, tv_nsec: i64::from(time.subsec_nanos()) }
                    }
                    _ => longest,
                },
                None => longest,
            };
            match futex::wait(word, Flags::PRIVATE, expected, Some(&relative)) {
                Err(Errno::TIMEDOUT) if relative != longest => Parked::TimedOut,
                Err(Errno::INTR) => Parked::Interrupted,
                _ => Parked::Woken,
            }
        }

        fn wake(&self, word: &AtomicU32) {
            // The only error is a word that is not mapped, and this one is borrowed.
            let _ = futex::wake(word, Flags::PRIVATE, 1);
        }

        fn now(&self) -> Duration {
            let now = clock_gettime(ClockId::Monotonic);
            Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
        }

        #[inline]
        fn enter(&self) -> bool {
            !INSIDE.replace(true)
        }

        #[inline]
        fn leave(&self) {
            INSIDE.set(false);
        }
    }
}
