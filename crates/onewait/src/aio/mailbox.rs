//! How requests reach the thread that carries them out: a lock-free stack of slots that its owner takes as a whole.
//!
//! Pushing is one compare-and-exchange on the slot's own link: no allocation, no lock, fine in a signal handler. Taking
//! everything at once needs no guard against ABA.

use super::slots::{Key, Slots};
use std::sync::atomic::{AtomicU64, Ordering};

/// The stack; the links are the slots' own.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Index + 1 of the slot pushed last in the lower half, 0 when empty. In the upper half how many were ever pushed,
    /// wrapping around: a push and its count are one step.
    head: AtomicU64,
}

/// One more in the upper half.
const ONE: u64 = 1 << 32;

impl Mailbox {
    pub(crate) const fn new() -> Mailbox {
        Mailbox { head: AtomicU64::new(0) }
    }

    /// Hands the slot on: the caller's ownership ends here.
    pub(crate) fn push<T>(&self, slots: &Slots<T>, key: Key) {
        let Some(slot) = slots.find(key) else { return };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            let with_slot = (head & !(ONE - 1)).wrapping_add(ONE) | u64::from(key.index() + 1);
            // SeqCst: the pusher reads the owner's “asleep” flag next, and the owner, having set it, looks here again;
            // one of the two must see the other.
            match self.head.compare_exchange_weak(head, with_slot, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::SeqCst) as u32 == 0
    }

    /// How many slots were ever pushed; wraps around.
    #[inline]
    pub(crate) fn pushed(&self) -> u32 {
        (self.head.load(Ordering::SeqCst) >> 32) as u32
    }

    /// Takes all slots, oldest first, and with them their ownership.
    pub(crate) fn take_all<T>(&self, slots: &Slots<T>, into: &mut Vec<Key>) {
        if self.head.load(Ordering::Relaxed) as u32 == 0 {
            return;
        }
        let first = into.len();
        let mut link = self.head.fetch_and(!(ONE - 1), Ordering::SeqCst) as u32;
        while let Some(index) = link.checked_sub(1) {
            let Some(slot) = slots.slot(index) else { break };
            link = slot.next.load(Ordering::Relaxed);
            into.push(slots.key_of(index, slot));
        }
        into[first..].reverse();
    }
}
