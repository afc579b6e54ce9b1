//! How requests reach the thread that carries them out: a lock-free stack of slots that its owner takes as a whole.
//!
//! Pushing is one compare-and-exchange on the slot's own link: no allocation, no lock, fine in a signal handler. Taking
//! everything at once needs no guard against ABA.

use super::slots::{Key, Slots};
use std::sync::atomic::{AtomicU32, Ordering};

/// The stack; the links are the slots' own.
pub(crate) struct Mailbox {
    /// Index + 1 of the slot pushed last; 0 when empty.
    head: AtomicU32,
}

impl Mailbox {
    pub(crate) const fn new() -> Mailbox {
        Mailbox { head: AtomicU32::new(0) }
    }

    /// Hands the slot on: the caller's ownership ends here.
    pub(crate) fn push<T>(&self, slots: &Slots<T>, key: Key) {
        let Some(slot) = slots.find(key) else { return };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slot.next.store(head, Ordering::Relaxed);
            // SeqCst: the pusher reads the owner's “asleep” flag next, and the owner, having set it, looks here again;
            // one of the two must see the other.
            match self.head.compare_exchange_weak(head, key.index() + 1, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst) == 0
    }

    /// Takes all slots, oldest first, and with them their ownership.
    pub(crate) fn take_all<T>(&self, slots: &Slots<T>, into: &mut Vec<Key>) {
        if self.head.load(Ordering::Relaxed) == 0 {
            return;
        }
        let first = into.len();
        let mut link = self.head.swap(0, Ordering::SeqCst);
        while let Some(index) = link.checked_sub(1) {
            let Some(slot) = slots.slot(index) else { break };
            link = slot.next.load(Ordering::Relaxed);
            into.push(slots.key_of(index, slot));
        }
        into[first..].reverse();
    }
}
