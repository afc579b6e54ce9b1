//! One registration, as far as the source that notifies needs it.

use alloc::sync::Arc;

use crate::intake::{SLEEPERS, WATCHED};
use crate::poll_core::Core;
use crate::sync::{AtomicU32, Ordering};
use crate::waiters::Wakes;
use crate::{Events, Interest};

/// Where an item is, as far as the intake goes. Who takes the item out of the intake sees the level that the notification
/// was about: of the notification that put it there by the intake's word, of later ones because they and who takes it out
/// swap.
mod state {
    /// Not in the intake.
    pub(super) const OUT: u32 = 0;
    /// In the intake, by a notification.
    pub(super) const IN: u32 = 1;
    /// In the intake, because the source is gone: who takes it out removes the item. There are no notifications any more.
    pub(super) const DEAD: u32 = 2;
}

/// The half of a registration that is reached from the source. The other half, which only the event poll needs, is a
/// [`Slot`](crate::slots::Slot).
///
/// Shared by the watchers of the source and the slot. A circle (event poll → slot → item → event poll) that the end of
/// the event poll breaks.
pub(crate) struct Item {
    pub(crate) core: Arc<Core>,
    /// Where the other half is; never changes.
    pub(crate) slot: u32,
    /// Who is behind it in the intake: a slot, plus one. Written by who pushes, read by who drains; the intake's word
    /// carries it from the one to the other.
    behind: AtomicU32,
    /// The [`Interest`]. Written with the interests locked; `modify` also holds the watchers' lock, so that a
    /// notification sees the new one, or `modify` sees the notification's level.
    interest: AtomicU32,
    state: AtomicU32,
    /// How often a notification was for this item, and how often it was in the intake already. Written with the
    /// watchers locked. They stop at their maximum.
    notified: AtomicU32,
    coalesced: AtomicU32,
}

impl Item {
    pub(crate) fn new(core: Arc<Core>, slot: u32, interest: Interest) -> Self {
        Self {
            core,
            slot,
            behind: AtomicU32::new(0),
            interest: AtomicU32::new(interest.bits()),
            state: AtomicU32::new(state::OUT),
            notified: AtomicU32::new(0),
            coalesced: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        Interest::from_bits_retain(self.interest.load(Ordering::Relaxed))
    }

    pub(crate) fn set_interest(&self, interest: Interest) {
        self.interest.store(interest.bits(), Ordering::Relaxed);
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.interest().contains(Interest::EXCLUSIVE)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.load(Ordering::Acquire) == state::DEAD
    }

    pub(crate) fn is_in_intake(&self) -> bool {
        self.state.load(Ordering::Acquire) != state::OUT
    }

    #[inline]
    pub(crate) fn behind(&self) -> u32 {
        self.behind.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn put_behind(&self, other: u32) {
        self.behind.store(other, Ordering::Relaxed);
    }

    /// Says that the item is not in the intake any more. What was notified before is visible to the caller. Returns
    /// whether the item is dead.
    #[inline]
    pub(crate) fn leave_intake(&self) -> bool {
        self.state.swap(state::OUT, Ordering::AcqRel) == state::DEAD
    }

    /// Leaves it to the next one who drains to remove the item. Wakes nobody (rule 47).
    pub(crate) fn bury(&self) {
        if self.state.swap(state::DEAD, Ordering::AcqRel) == state::OUT {
            self.core.intake.push(self);
        }
    }

    /// The notify callback (rule 26). Called with the source's watchers locked, hence never twice at once for one item.
    ///
    /// Returns whether this counts as the one exclusive wake-up, if the item is exclusive (rules 65, 66).
    #[inline]
    pub(crate) fn notify(&self, key: Events, wakes: &mut Wakes) -> bool {
        let asked = self.interest().events();
        if asked.is_empty() || !(key.is_empty() || key.intersects(asked)) {
            return false;
        }
        count(&self.notified);
        // Out of `OUT` only a notification leads, one at a time, or the end of the source, after the last of them. So an
        // `OUT` that is seen is the newest, and a plain store, which the push publishes, is enough. It pairs with the swap
        // of `leave_intake`. An `IN` may be an old one: the swap finds out.
        let flags = if self.state.load(Ordering::Acquire) == state::OUT {
            self.state.store(state::IN, Ordering::Relaxed);
            self.core.intake.push(self)
        } else if self.state.swap(state::IN, Ordering::AcqRel) == state::OUT {
            self.core.intake.push(self)
        } else {
            count(&self.coalesced);
            self.core.intake.load()
        };
        flags & (SLEEPERS | WATCHED) != 0 && self.wake(flags, key, wakes)
    }

    /// A notification wakes also if the item was queued already (rules 23, 63).
    #[cold]
    fn wake(&self, flags: u64, key: Events, wakes: &mut Wakes) -> bool {
        let woken = flags & SLEEPERS != 0 && self.core.waiters.wake_one(&self.core.intake, wakes);
        if flags & WATCHED != 0 {
            self.core.notify_watchers(wakes);
        }
        let asked = self.interest().events();
        let direction = key.intersection(Events::IN.union(Events::OUT));
        woken
            && (direction.is_empty()
                || direction == Events::IN && asked.contains(Events::IN)
                || direction == Events::OUT && asked.contains(Events::OUT))
    }

    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.notified.load(Ordering::Relaxed), self.coalesced.load(Ordering::Relaxed))
    }
}

/// One more, unless that would go around. Only for counters with one writer at a time.
#[inline]
fn count(counter: &AtomicU32) {
    counter.store(counter.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
}
