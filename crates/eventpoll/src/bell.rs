//! For those who wait for an event poll and for something else at once.

use alloc::sync::Arc;
use core::fmt;

use crate::poll_core::Core;
use crate::waiters::{Slept, Waiter};
use crate::{Error, Result};

/// How a thread is told that sleeps somewhere else: a byte in a pipe, an eventfd, a message to a window.
pub trait Ring: Send + Sync {
    /// There may be something to report. Called as [`Parking::wake`](crate::Parking::wake) is: by whoever notifies, with
    /// none of this crate's locks, and by a [`Waker`](crate::Waker), which may be in a signal handler.
    fn ring(&self);
}

/// What [`Bell::arm`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// There is nothing to report: sleep. It will ring.
    Sleep,
    /// There may be something to report: wait here, with no time, instead of sleeping.
    Look,
    /// A [`Waker`](crate::Waker) was used: look for events, and return to whoever wants to be woken.
    Interrupted,
}

/// A sleeper of an event poll that sleeps elsewhere. From [`EventPoll::bell`](crate::EventPoll::bell).
///
/// Armed, it counts as the thread that fell asleep last (rule 62): the next thing that there is to report, or a waker, rings
/// it, once. The order that loses nothing: [`wait`](crate::EventPoll::wait) with no time; if that finds nothing,
/// [`arm`](Self::arm); if that says so, sleep; [`disarm`](Self::disarm); begin again.
///
/// Arming and disarming is some atomic operations, and no system call. Dropping it disarms it; if it was told of something
/// since it was armed, another waiter is told instead.
pub struct Bell {
    core: Arc<Core>,
    waiter: Arc<Waiter>,
    /// Armed, and not disarmed since.
    is_armed: bool,
}

impl Bell {
    pub(crate) fn new(core: Arc<Core>, ring: Arc<dyn Ring>) -> Self {
        Self { core, waiter: Waiter::of_bell(ring), is_armed: false }
    }

    /// From now on it rings, unless there is a reason not to sleep.
    ///
    /// Errors: [`Closed`](crate::Error::Closed).
    pub fn arm(&mut self) -> Result<Armed> {
        match self.core.waiters.arm(&self.core.intake, &mut self.waiter) {
            None => {
                self.is_armed = true;
                Ok(Armed::Sleep)
            }
            Some(Slept::Look { interrupted: false, .. } | Slept::TimedOut) => Ok(Armed::Look),
            Some(Slept::Look { interrupted: true, .. }) => Ok(Armed::Interrupted),
            Some(Slept::Closed) => Err(Error::Closed),
        }
    }

    /// It rings no more, but a ring that is under way may still come. Whoever was told must look for events now: nobody
    /// else was told of them. Returns whether it was a waker's.
    pub fn disarm(&mut self) -> bool {
        self.is_armed = false;
        self.core.waiters.disarm(&self.core.intake, &self.waiter)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.core.waiters.retire(&self.core.intake, &self.waiter, self.is_armed);
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
