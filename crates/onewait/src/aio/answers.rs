//! What threads have done for a ring: kept until the ring's thread takes it.

use crate::driver::doorbell::Doorbell;
use crate::driver::pool::Sink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Results by `user_data`. The lock is taken by threads of the engine's only.
pub(crate) struct Answers {
    list: Mutex<Vec<(u64, i32)>>,
    /// Whether the list may have something in it.
    is_filled: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl Answers {
    /// None yet; each will wake the ring's thread.
    pub(crate) fn new(doorbell: Arc<Doorbell>) -> Answers {
        Answers { list: Mutex::default(), is_filled: AtomicBool::new(false), doorbell }
    }

    /// Whether there are any.
    pub(crate) fn has_any(&self) -> bool {
        self.is_filled.load(Ordering::SeqCst)
    }

    /// Takes all that are there. The doorbell has to be armed before, so that the next one is not slept through.
    pub(crate) fn take(&self) -> Vec<(u64, i32)> {
        if !self.is_filled.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Answers {
    fn done(&self, user_data: u64, result: i32) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push((user_data, result));
        self.is_filled.store(true, Ordering::SeqCst);
        self.doorbell.signal();
    }
}
