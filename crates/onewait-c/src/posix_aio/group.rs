//! The requests of one `lio_listio` call.

use super::notify::Notification;
use onewait::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Lives until the last request of the list has ended, whatever the caller does meanwhile.
pub(super) struct Group {
    /// Requests that have not ended, and the call itself while it is still submitting.
    left: AtomicU32,
    failed: AtomicBool,
    notification: Notification,
}

impl Group {
    /// A group with nothing in it but the call that makes it.
    pub(super) fn new(notification: Notification) -> Arc<Group> {
        Arc::new(Group { left: AtomicU32::new(1), failed: AtomicBool::new(false), notification })
    }

    /// Whether nobody is told of the end of the list.
    pub(super) fn is_silent(&self) -> bool {
        self.notification.is_none()
    }

    /// One more request belongs to it.
    pub(super) fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has ended, or the call has submitted all it can.
    pub(super) fn one_ended(&self, has_failed: bool) {
        if has_failed {
            self.failed.store(true, Ordering::Relaxed);
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            sys::futex_wake(self.left.as_ptr() as usize, i32::MAX);
            self.notification.send();
        }
    }

    /// How many have not ended; the word to sleep on.
    pub(super) fn left(&self) -> &AtomicU32 {
        &self.left
    }

    /// Whether any request has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}
