//! How a thread that sleeps in a ring is woken.
//!
//! Where the ring can wait for a futex, the doorbell is a word of memory: nothing that a program could close. On older
//! kernels it is an eventfd.

use super::uring::Ring;
use crate::errno::Errno;
use crate::sys::{self, EventFd};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// The doorbell of one ring.
pub(crate) struct Doorbell {
    /// Changes with every signal, unless there is an eventfd.
    word: AtomicU32,
    eventfd: Option<EventFd>,
}

impl Doorbell {
    /// A doorbell of the kind that the ring can wait for.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn new(ring: &Ring) -> Result<Doorbell, Errno> {
        let eventfd = if ring.has_futex() { None } else { Some(EventFd::new()?) };
        Ok(Doorbell { word: AtomicU32::new(0), eventfd })
    }

    /// Wakes the ring's thread. Async-signal-safe.
    pub(crate) fn signal(&self) {
        match &self.eventfd {
            Some(eventfd) => eventfd.signal(),
            None => {
                self.word.fetch_add(1, Ordering::SeqCst);
                sys::futex_wake(self.word.as_ptr() as usize, 1);
            }
        }
    }

    /// Stages the wait for the next signal. Signals from now on are seen. False if the submission queue is full.
    ///
    /// # Safety
    /// The doorbell outlives the ring.
    pub(crate) unsafe fn stage(&self, ring: &mut Ring, user_data: u64) -> bool {
        match &self.eventfd {
            Some(eventfd) => ring.stage_eventfd(eventfd.as_raw_fd(), user_data),
            // SAFETY: the word is part of the doorbell.
            None => unsafe { ring.stage_futex(&self.word, self.word.load(Ordering::SeqCst), user_data) },
        }
    }
}
