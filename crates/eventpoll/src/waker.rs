//! Ending a wait from outside.

use alloc::sync::Arc;
use core::fmt;

use crate::intake::WAKE;
use crate::poll_core::Core;
use crate::waiters::Wakes;

/// Ends one wait on an event poll, as a signal would: with [`Error::Interrupted`](crate::Error::Interrupted), unless
/// there is something to report.
///
/// From [`EventPoll::waker`](crate::EventPoll::waker). Works on after the event poll is gone, without effect.
#[derive(Clone)]
pub struct Waker {
    pub(crate) core: Arc<Core>,
}

impl Waker {
    /// Wakes the last waiter that fell asleep; with events, if there are any by then. If none sleeps, the next wait that
    /// would fall asleep returns instead. Used several times before a waiter takes notice, it counts once. A wait that
    /// may not sleep takes no notice (rule 57).
    ///
    /// From any thread and, with the parking of `std`, from signal handlers: it waits for no lock, does not allocate or
    /// free, and its one system call, if anybody sleeps, is to wake a futex.
    pub fn wake(&self) {
        let mut wakes = Wakes::default();
        self.core.intake.set(WAKE);
        self.core.waiters.deliver(&self.core.intake, &mut wakes);
        wakes.fire();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}
