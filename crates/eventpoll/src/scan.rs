//! Going through the ready list: for a wait, which reports, and for a poll, which only looks.

use crate::intake::SLEEPERS;
use crate::interests::Interests;
use crate::later::Later;
use crate::poll_core::Core;
use crate::slots::NONE;
use crate::{Error, Events, Interest, Ready, Result};

/// A way through the ready list. However it ends, by a panic of a level too, the list is in order afterwards, and who has
/// to look next is told.
struct Scan<'a> {
    core: &'a Core,
    interests: &'a mut Interests,
    later: &'a mut Later,
    /// The one item there is, if it is not in the list, but still to be reported.
    only: u32,
    /// The first item that went back to the end of the list, behind all that is scanned.
    first_back: u32,
}

impl<'a> Scan<'a> {
    #[inline]
    fn begin(core: &'a Core, interests: &'a mut Interests, later: &'a mut Later) -> Self {
        interests.gather_before(&core.intake, NONE);
        Self { core, interests, later, only: NONE, first_back: NONE }
    }

    /// The usual case is one item, which is then not even put into the list.
    #[inline]
    fn begin_with_one(core: &'a Core, interests: &'a mut Interests, later: &'a mut Later) -> Self {
        match interests.gather_only(&core.intake) {
            Some(only) => Self { core, interests, later, only, first_back: NONE },
            None => Self::begin(core, interests, later),
        }
    }

    /// The item is done with.
    #[inline]
    fn take_out(&mut self, number: u32) {
        if self.only == NONE {
            let Interests { slots, ready, .. } = &mut *self.interests;
            ready.remove(slots, number);
        } else {
            self.only = NONE;
        }
    }

    /// To the end of the list.
    #[inline]
    fn put_back(&mut self, number: u32) {
        let Interests { slots, ready, .. } = &mut *self.interests;
        ready.insert_before(slots, NONE, number);
        self.first_back = if self.first_back == NONE { number } else { self.first_back };
    }
}

impl Drop for Scan<'_> {
    /// Now the order is: what was not scanned, what arrived meanwhile, what went back (rule 31). What is left is for the
    /// next waiter: the chain of wakes of rule 63.
    #[inline]
    fn drop(&mut self) {
        let Self { core, interests, later, only, first_back } = self;
        if *only != NONE {
            let Interests { slots, ready, .. } = &mut **interests;
            ready.insert_before(slots, *first_back, *only);
        }
        interests.gather_before(&core.intake, *first_back);
        interests.settle(&core.intake);
        if !interests.ready.is_empty() && core.intake.load() & SLEEPERS != 0 {
            core.waiters.wake_one(&core.intake, &mut later.wakes);
        }
    }
}

impl Core {
    /// Reports up to `max` events (rules 27–33). `store` says whether it could keep one.
    #[inline]
    pub(crate) fn harvest(&self, max: usize, mut store: impl FnMut(Ready) -> bool) -> Result<usize> {
        self.locked(|interests, later| {
            let mut stored = 0;
            let mut fault = false;
            let mut scan = Scan::begin_with_one(self, interests, later);
            let last = scan.interests.ready.last();
            let mut next = if scan.only == NONE { scan.interests.ready.first() } else { scan.only };
            while stored < max && next != NONE {
                let number = next;
                let Some(slot) = scan.interests.slots.get_mut(number) else { break };
                next = if scan.only != NONE || number == last { NONE } else { slot.next };
                let interest = slot.item.interest();
                let events =
                    if slot.item.is_dead() { Events::empty() } else { slot.source.level(interest, scan.later) };
                let is_ready = !events.is_empty();
                // What cannot be stored stays where it is, with its edge (rule 50).
                if is_ready && !store(Ready { token: slot.token, events }) {
                    fault = true;
                    break;
                }
                if is_ready {
                    stored += 1;
                    slot.reported = slot.reported.saturating_add(1);
                    if interest.contains(Interest::ONESHOT) {
                        slot.item.set_interest(interest.intersection(Interest::PRIVATE));
                    }
                } else {
                    slot.stale = slot.stale.saturating_add(1);
                }
                scan.take_out(number);
                if is_ready && !interest.intersects(Interest::ONESHOT.union(Interest::EDGE)) {
                    scan.put_back(number);
                }
            }
            drop(scan);
            if fault && stored == 0 { Err(Error::Fault) } else { Ok(stored) }
        })
    }

    /// Whether there is something to report. Drops what is not ready, and leaves what is (rule 22).
    pub(crate) fn look(&self, interests: &mut Interests, later: &mut Later) -> Events {
        let scan = Scan::begin(self, interests, later);
        while scan.interests.ready.first() != NONE {
            let number = scan.interests.ready.first();
            let Interests { slots, ready, .. } = &mut *scan.interests;
            let Some(slot) = slots.get_mut(number) else { break };
            if !slot.item.is_dead() && !slot.source.level(slot.item.interest(), scan.later).is_empty() {
                return Events::IN.union(Events::RDNORM);
            }
            slot.stale = slot.stale.saturating_add(1);
            ready.remove(slots, number);
        }
        Events::empty()
    }
}
