//! Locks and atomics: the system's, loom's under `cfg(loom)`, spinning ones without `std`.
//!
//! The locks of the crate, in the order in which they are taken; none is taken while a later one is held:
//!
//! 1. `nesting::LINKS`: one for the process; held while event polls are linked with each other.
//! 2. `Core::interests`: one an event poll, held by control calls and by the scan of a wait. An outer event poll's is
//!    taken before an inner one's. The only lock under which a source's code (`Source::level`) runs.
//! 3. `Hub::watchers`: one a source, held while it notifies. A source's is taken before that of an event poll that
//!    watches it.
//! 4. `Waiters::sleepers`: one an event poll, held for a few instructions.
//!
//! Where a store is followed by a load of something else, and another thread does the same the other way round, one of
//! them must see the other's store. There are two such places; in both the load is a read-modify-write of the intake's
//! word (`Intake::latest`), which the other thread changes by one: `Waiters::deliver` and `Core::finish_closing`.
//!
//! The locks of the sources in the box are taken under the second one, for a level, and held by none of them while it
//! notifies.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// For what is held while a user's code runs, or for long. Who waits for it sleeps.
///
/// A panic of another thread does not poison it: what it guards is consistent at each point where a user's code may panic.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) struct Lock<T>(std::sync::Mutex<T>);

#[cfg(all(feature = "std", not(loom)))]
pub(crate) type Guard<'a, T> = std::sync::MutexGuard<'a, T>;

#[cfg(all(feature = "std", not(loom)))]
impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(loom)]
pub(crate) use modelled::{Guard, Lock};

// loom must see every lock; without `std` there is only one kind.
#[cfg(loom)]
pub(crate) use {Guard as ShortGuard, Lock as ShortLock};
#[cfg(all(not(feature = "std"), not(loom)))]
pub(crate) use {ShortGuard as Guard, ShortLock as Lock};

/// For what is held for a few instructions, none of them a user's or a system call: taken by one atomic operation and
/// given back by a plain store, which is half of what a lock costs that knows whether somebody waits.
#[cfg(not(loom))]
pub(crate) struct ShortLock<T>(spin::mutex::SpinMutex<T, Patience>);

#[cfg(not(loom))]
pub(crate) type ShortGuard<'a, T> = spin::mutex::SpinMutexGuard<'a, T, Patience>;

#[cfg(not(loom))]
impl<T> ShortLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(spin::mutex::SpinMutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        self.0.lock()
    }

    /// Fit for a signal handler.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<ShortGuard<'_, T>> {
        self.0.try_lock()
    }
}

/// How to wait for a short lock.
#[cfg(all(not(feature = "std"), not(loom)))]
use spin::relax::Spin as Patience;

/// How to wait for a short lock: spin for about as long as it may be held, and then sleep. Its holder was interrupted, and
/// may be of a lower priority than the waiter, so that to yield would not let it run.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) struct Patience;

#[cfg(all(feature = "std", not(loom)))]
impl spin::relax::RelaxStrategy for Patience {
    #[inline(never)]
    fn relax() {
        use core::cell::Cell;

        std::thread_local! {
            static TURNS: Cell<u8> = const { Cell::new(0) };
        }
        let turns = TURNS.get().wrapping_add(1);
        TURNS.set(turns);
        if turns == 0 {
            std::thread::sleep(core::time::Duration::from_micros(1));
        } else {
            core::hint::spin_loop();
        }
    }
}

/// loom's lock. loom does not interrupt a thread between its last step under a lock and the unlock, but that is where a
/// `try_lock` can fail for the last time: here both are steps on one atomic.
#[cfg(loom)]
mod modelled {
    use core::ops::{Deref, DerefMut};
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Mutex, MutexGuard};
    use std::sync::PoisonError;

    pub(crate) struct Lock<T> {
        value: Mutex<T>,
        step: AtomicU32,
    }

    pub(crate) struct Guard<'a, T> {
        value: MutexGuard<'a, T>,
        step: &'a AtomicU32,
    }

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self { value: Mutex::new(value), step: AtomicU32::new(0) }
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            Guard { value: self.value.lock().unwrap_or_else(PoisonError::into_inner), step: &self.step }
        }

        pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
            self.step.load(Ordering::Relaxed);
            Some(Guard { value: self.value.try_lock().ok()?, step: &self.step })
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            self.step.store(0, Ordering::Relaxed);
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.value
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.value
        }
    }
}
