//! The copier's mailbox, and how the copier sleeps when there is nothing in it.
//!
//! A signal handler may come between any two steps here, and wait for a request, its own or that of the code below it. So
//! whoever waits first wakes the copier for what was pushed and not told of yet.

use super::asleep::Asleep;
use super::mailbox::Mailbox;
use super::slots::{Key, Slots};
use crate::sys;
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often the copier looks for work before it sleeps: about 20 microseconds, less than waking it takes.
const PATIENCE: u32 = 1000;

/// Slots on their way to the copier.
#[derive(Debug)]
pub(super) struct Inbox {
    mailbox: Mailbox,
    asleep: Asleep,
    /// Changes with every wake-up: what the copier sleeps on.
    bell: AtomicU32,
}

impl Inbox {
    pub(super) const fn new() -> Inbox {
        Inbox { mailbox: Mailbox::new(), asleep: Asleep::new(), bell: AtomicU32::new(0) }
    }

    /// Hands a slot over: the caller's ownership ends here. Async-signal-safe.
    #[inline]
    pub(super) fn push<T>(&self, slots: &Slots<T>, key: Key) {
        self.mailbox.push(slots, key);
        self.wake();
    }

    /// How many slots were ever pushed; wraps around.
    #[inline]
    pub(super) fn pushed(&self) -> u32 {
        self.mailbox.pushed()
    }

    /// Takes all slots, oldest first, and with them their ownership.
    pub(super) fn take_all<T>(&self, slots: &Slots<T>, into: &mut Vec<Key>) {
        self.mailbox.take_all(slots, into);
    }

    /// Ends the copier's sleep. Async-signal-safe.
    #[inline]
    pub(super) fn wake(&self) {
        self.asleep.wake(|| {
            self.bell.fetch_add(1, Ordering::SeqCst);
            sys::futex_wake(self.bell.as_ptr() as usize, 1);
        });
    }

    /// The same, if there is something for it: the caller may have interrupted a push before the wake-up.
    #[inline]
    pub(super) fn wake_if_pending(&self) {
        if self.asleep.is_so() && !self.mailbox.is_empty() {
            self.wake();
        }
    }

    /// The copier has found nothing: returns when there may be something to do, or `is_stopping`. Who makes it stop
    /// wakes it.
    pub(super) fn rest(&self, is_stopping: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if !self.mailbox.is_empty() {
                return;
            }
            hint::spin_loop();
        }
        // Read first: every wake-up from the next line on ends the sleep, or keeps it from beginning.
        let bell = self.bell.load(Ordering::SeqCst);
        self.asleep.begin();
        if self.mailbox.is_empty() && !is_stopping() {
            sys::futex_wait(&self.bell, bell, None);
        }
        self.asleep.end();
    }
}
