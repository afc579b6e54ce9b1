//! Questions to the engine thread, by which the ones who ask wait for answers.
//!
//! They have a list of their own, not slots: when there are too many requests to make another one, they can still be
//! cancelled, and descriptors closed.

use super::request::{Reply, Target};
use crate::sys::MaskedSignals;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What somebody wants to know.
pub(crate) enum Question {
    /// Which of these could be cancelled?
    Cancel(Target, Reply),
    /// Does nothing depend on this number any more?
    Close(RawFd, Reply),
}

/// The list, oldest first. Signals are held back while the lock is: a handler may close descriptors.
#[derive(Default)]
pub(crate) struct Questions {
    list: Mutex<Vec<Question>>,
    /// Whether the list may have something in it. Sequentially consistent, as the mailbox's head.
    is_filled: AtomicBool,
}

impl Questions {
    /// Adds one. The engine thread takes it after the requests that were submitted before.
    pub(crate) fn push(&self, question: Question) {
        let _masked = MaskedSignals::new();
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        self.is_filled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.is_filled.load(Ordering::SeqCst)
    }

    /// Takes all.
    pub(crate) fn take(&self) -> Vec<Question> {
        if !self.is_filled.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
