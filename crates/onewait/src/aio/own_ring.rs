//! The ring of a lone submitter: the fastest way, with no second thread.
//!
//! Completions reach this ring only while its owner is inside it, so nobody else may depend on them. That holds while the
//! process has one thread; before it makes a second one, and before anything needs the engine thread, the owner drains
//! the ring and gives it up (`Engine::leave_own_ring`). Only requests that end in bounded time go here, so that
//! draining does.
//!
//! All of this runs on one thread, but a signal handler on that thread may ask for the state of a request at any point
//! (rule 40). So whatever changes the core does it with signals held back, and a handler never finds it half changed.

use super::busy::Busy;
use super::payload::Payload;
use super::request::Target;
use super::ring_core::{RingCore, Table};
use super::slots::Key;
use crate::driver::uring::{Entered, Ring, Stay};
use crate::errno::Errno;
use crate::sys::MaskedSignals;
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The ring and the thread that owns it.
pub(crate) struct OwnRing<P: Payload> {
    core: UnsafeCell<RingCore<P>>,
    owner: libc::pthread_t,
    /// Set while requests are staged that the kernel has not been given.
    is_staged: AtomicBool,
}

// SAFETY: the core is touched by the owner's thread only: every method checks that, or says so.
unsafe impl<P: Payload> Send for OwnRing<P> {}
// SAFETY: as above.
unsafe impl<P: Payload> Sync for OwnRing<P> {}

/// Why a wait on the own ring ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnWait {
    /// What was waited for has come.
    Done,
    /// The time is over.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The ring is another thread's: it cannot be waited for here.
    NotOurs,
}

impl<P: Payload> OwnRing<P> {
    /// Makes a ring that the calling thread owns.
    pub(crate) fn new(slots: Arc<Table<P>>, busy: Arc<Busy>) -> Result<OwnRing<P>, Errno> {
        let core = UnsafeCell::new(RingCore::new(Ring::new()?, slots, Some(busy)));
        Ok(OwnRing { core, owner: current(), is_staged: AtomicBool::new(false) })
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.owner == current()
    }

    /// The core, while no handler can interfere.
    #[allow(clippy::mut_from_ref, reason = "signals are held back and the thread is the owner: nobody else has one")]
    fn core(&self, _masked: &MaskedSignals) -> &mut RingCore<P> {
        debug_assert!(self.is_ours());
        // SAFETY: only the owner's thread comes here, no handler can run on it now, and no caller keeps the reference
        // beyond the mask or calls into this type while it has it.
        unsafe { &mut *self.core.get() }
    }

    /// Takes a request over; unless `flush`, it may stay staged until [`OwnRing::flush`].
    pub(crate) fn submit(&self, masked: &MaskedSignals, key: Key, flush: bool) {
        let core = self.core(masked);
        core.accept(key);
        self.is_staged.store(!flush, Ordering::Relaxed);
        if flush {
            core.turn(Stay::No);
        }
    }

    /// Hands over what is staged.
    pub(crate) fn flush(&self) {
        if self.is_staged.load(Ordering::Relaxed) {
            // Taken back with signals held back: a handler must not find it so before what is staged is handed over.
            let masked = MaskedSignals::new();
            if self.is_staged.swap(false, Ordering::Relaxed) {
                self.core(&masked).turn(Stay::No);
            }
        }
    }

    /// Publishes what has completed by now. Cheap if nothing has: no system call.
    #[inline]
    pub(crate) fn poll(&self) {
        if !self.is_ours() {
            return;
        }
        // A handler may have interrupted a list of which nothing was handed over yet.
        self.flush();
        // SAFETY: `has_news` only loads words that the kernel shares; the reference to the ring is gone before any other
        // is made.
        if unsafe { (*self.core.get()).ring().has_news() } {
            let masked = MaskedSignals::new();
            self.core(&masked).turn(Stay::No);
        }
    }

    /// Publishes completions until `is_done` says so, the deadline passes, or a signal handler runs. No wake-up can be
    /// lost: `is_done` is asked with signals held back, and the kernel lets them through only while it sleeps.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>, mut is_done: impl FnMut() -> bool) -> OwnWait {
        if !self.is_ours() {
            return OwnWait::NotOurs;
        }
        let masked = MaskedSignals::new();
        let mut timed_out = false;
        loop {
            // The core is borrowed for this statement only: handlers that run during the wait below may use it.
            self.core(&masked).settle();
            if is_done() {
                return OwnWait::Done;
            }
            if timed_out {
                return OwnWait::TimedOut;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let entrance = self.core(&masked).ring().entrance();
            let stay = match left {
                Some(Duration::ZERO) => Stay::No,
                left => Stay::AtMost(left, masked.before()),
            };
            match entrance.wait(stay) {
                Ok(Entered::Done | Entered::Awake) => timed_out = left == Some(Duration::ZERO),
                Ok(Entered::TimedOut) => timed_out = true,
                Ok(Entered::Interrupted) | Err(_) => {
                    self.core(&masked).settle();
                    return if is_done() { OwnWait::Done } else { OwnWait::Interrupted };
                }
            }
        }
    }

    /// Cancels, and returns when that is decided.
    pub(crate) fn cancel(&self, target: Target) -> super::request::Verdict {
        let masked = MaskedSignals::new();
        let core = self.core(&masked);
        core.cancel_now(target)
    }

    /// Sees to it that nothing depends on the number `fd` any more.
    pub(crate) fn close(&self, fd: i32) {
        let masked = MaskedSignals::new();
        let core = self.core(&masked);
        core.close_now(fd);
    }

    /// Waits for everything in flight.
    pub(crate) fn drain(&self) {
        let masked = MaskedSignals::new();
        let core = self.core(&masked);
        while !core.is_idle() {
            core.turn(Stay::UntilCompletion);
        }
    }
}

fn current() -> libc::pthread_t {
    // SAFETY: no preconditions.
    unsafe { libc::pthread_self() }
}
