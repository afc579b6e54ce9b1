//! The copier's mailbox, and how the copier sleeps when there is nothing in it.
//!
//! A signal handler may come between any two steps here, and wait for a request, its own or that of the code below it. So
//! whoever takes the word back holds signals back until the wake-up is made, and whoever waits first wakes for what was
//! pushed and not told of yet.

use super::mailbox::Mailbox;
use super::slots::{Key, Slots};
use crate::sys::{self, MaskedSignals};
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often the copier looks for work before it sleeps: about 20 microseconds, less than waking it takes.
const PATIENCE: u32 = 1000;

/// On a cache line of its own: the mailbox beside it changes with every request.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU32);

/// Slots on their way to the copier.
#[derive(Debug)]
pub(super) struct Inbox {
    mailbox: Mailbox,
    /// 1 from before the copier looks into the mailbox for the last time until it wakes; taken back by whoever wakes it.
    /// Sequentially consistent, with the mailbox's head: one of the two sides sees the other.
    asleep: Apart,
}

impl Inbox {
    pub(super) const fn new() -> Inbox {
        Inbox { mailbox: Mailbox::new(), asleep: Apart(AtomicU32::new(0)) }
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
        let asleep = &self.asleep.0;
        if asleep.load(Ordering::SeqCst) != 0 {
            let _masked = MaskedSignals::new();
            if asleep.swap(0, Ordering::SeqCst) != 0 {
                sys::futex_wake(asleep.as_ptr() as usize, 1);
            }
        }
    }

    /// The same, if there is something for it: the caller may have interrupted a push before the wake-up.
    #[inline]
    pub(super) fn wake_if_pending(&self) {
        if self.asleep.0.load(Ordering::SeqCst) != 0 && !self.mailbox.is_empty() {
            self.wake();
        }
    }

    /// The copier has found nothing: returns when there may be something to do, or `is_stopping`. Who makes it stop wakes it.
    pub(super) fn rest(&self, is_stopping: impl Fn() -> bool) {
        for _ in 0..PATIENCE {
            if !self.mailbox.is_empty() {
                return;
            }
            hint::spin_loop();
        }
        let asleep = &self.asleep.0;
        asleep.store(1, Ordering::SeqCst);
        if self.mailbox.is_empty() && !is_stopping() {
            sys::futex_wait(asleep, 1, None);
        }
        asleep.store(0, Ordering::SeqCst);
    }
}
