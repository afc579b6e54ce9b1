//! What wakes a reactor that sleeps in the kernel.

use crate::errno::Errno;
use crate::sys::EventFd;
use eventpoll::Ring;
use std::os::fd::{AsRawFd, RawFd};

/// An eventfd. A reactor never reads it: watched by edges, each addition is one.
#[derive(Debug)]
pub(super) struct Doorbell(EventFd);

impl Doorbell {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(super) fn new() -> Result<Doorbell, Errno> {
        EventFd::fixed().map(Doorbell)
    }

    /// For those who watch it by level.
    pub(super) fn silence(&self) {
        self.0.drain();
    }

    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Ring for Doorbell {
    /// Async-signal-safe: it is a signal handler's way in, too.
    fn ring(&self) {
        self.0.signal();
    }
}
