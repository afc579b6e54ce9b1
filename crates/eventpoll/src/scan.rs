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
    /// The first item that went back to the end of the list, behind all that is scanned.
    first_back: u32,
}

impl<'a> Scan<'a> {
    #[inline]
    fn begin(core: &'a Core, interests: &'a mut Interests, later: &'a mut Later) -> Self {
        interests.gather_before(&core.intake, NONE);
        Self { core, interests, later, first_back: NONE }
    }
}

impl Drop for Scan<'_> {
    /// Now the order is: what was not scanned, what arrived meanwhile, what went back (rule 31). What is left is for the
    /// next waiter: the chain of wakes of rule 63.
    #[inline]
    fn drop(&mut self) {
        let Self { core, interests, later, first_back } = self;
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
            let mut scan = Scan::begin(self, interests, later);
            let last = scan.interests.ready.last();
            let mut next = scan.interests.ready.first();
            while stored < max && next != NONE {
                let number = next;
                let Interests { slots, ready, .. } = &mut *scan.interests;
                let Some(slot) = slots.get_mut(number) else { break };
                next = if number == last { NONE } else { slot.next };
                let interest = slot.item.interest();
                let events =
                    if slot.item.is_dead() { Events::empty() } else { slot.source.level(interest, scan.later) };
                if events.is_empty() {
                    slot.stale = slot.stale.saturating_add(1);
                    let gap = slot.leave_list();
                    ready.close(slots, gap);
                    continue;
                }
                // What cannot be stored stays where it is, with its edge (rule 50).
                if !store(Ready { token: slot.token, events }) {
                    fault = true;
                    break;
                }
                stored += 1;
                slot.reported = slot.reported.saturating_add(1);
                if interest.contains(Interest::ONESHOT) {
                    slot.item.set_interest(interest.intersection(Interest::PRIVATE));
                }
                let gap = slot.leave_list();
                ready.close(slots, gap);
                if !interest.intersects(Interest::ONESHOT.union(Interest::EDGE)) {
                    ready.insert_before(slots, NONE, number);
                    scan.first_back = if scan.first_back == NONE { number } else { scan.first_back };
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
