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

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
type Inner<T> = loom::sync::Mutex<T>;
#[cfg(loom)]
pub(crate) type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

#[cfg(all(feature = "std", not(loom)))]
type Inner<T> = std::sync::Mutex<T>;
#[cfg(all(feature = "std", not(loom)))]
pub(crate) type Guard<'a, T> = std::sync::MutexGuard<'a, T>;

#[cfg(all(not(feature = "std"), not(loom)))]
type Inner<T> = spin::mutex::SpinMutex<T>;
#[cfg(all(not(feature = "std"), not(loom)))]
pub(crate) type Guard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

/// A mutex that a panic of another thread does not poison: what it guards is consistent at each point where a user's
/// code may panic.
pub(crate) struct Lock<T>(Inner<T>);

#[cfg(any(feature = "std", loom))]
impl<T> Lock<T> {
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

#[cfg(not(any(feature = "std", loom)))]
impl<T> Lock<T> {
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.0.try_lock()
    }
}

impl<T> Lock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }
}
