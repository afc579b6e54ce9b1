//! Going through the ready list: for a wait, which reports, and for a poll, which only looks.

use crate::intake::SLEEPERS;
use crate::interests::Interests;
use crate::poll_core::Core;
use crate::slots::NONE;
use crate::waiters::Wakes;
use crate::{Error, Events, Interest, Ready, Result};

impl Core {
    /// Reports up to `max` events (rules 27–33). `store` says whether it could keep one.
    #[inline]
    pub(crate) fn harvest(&self, max: usize, mut store: impl FnMut(Ready) -> bool) -> Result<usize> {
        self.locked(|interests, wakes| {
            let mut stored = 0;
            let mut fault = false;
            // The first item that goes back to the end of the list, behind all that is scanned.
            let mut first_back = NONE;
            interests.gather(&self.intake);
            let last = interests.ready.last();
            let mut next = interests.ready.first();
            while stored < max && next != NONE {
                let number = next;
                let Interests { slots, ready, .. } = &mut *interests;
                let Some(slot) = slots.get_mut(number) else { break };
                next = if number == last { NONE } else { slot.next };
                let interest = slot.item.interest();
                let events = if slot.item.is_dead() { Events::empty() } else { slot.source.level(interest) };
                if events.is_empty() {
                    slot.stale = slot.stale.saturating_add(1);
                    ready.remove(slots, number);
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
                ready.remove(slots, number);
                if !interest.intersects(Interest::ONESHOT.union(Interest::EDGE)) {
                    ready.insert_before(slots, NONE, number);
                    first_back = if first_back == NONE { number } else { first_back };
                }
            }
            self.finish(interests, first_back, wakes);
            if fault && stored == 0 { Err(Error::Fault) } else { Ok(stored) }
        })
    }

    /// Whether there is something to report. Drops what is not ready, and leaves what is (rule 22).
    pub(crate) fn look(&self, interests: &mut Interests, wakes: &mut Wakes) -> Events {
        let mut level = Events::empty();
        interests.gather(&self.intake);
        while interests.ready.first() != NONE {
            let number = interests.ready.first();
            let Interests { slots, ready, .. } = &mut *interests;
            let Some(slot) = slots.get_mut(number) else { break };
            if !slot.item.is_dead() && !slot.source.level(slot.item.interest()).is_empty() {
                level = Events::IN.union(Events::RDNORM);
                break;
            }
            slot.stale = slot.stale.saturating_add(1);
            ready.remove(slots, number);
        }
        self.finish(interests, NONE, wakes);
        level
    }

    /// Now the order is: what was not scanned, what arrived meanwhile, what went back (rule 31). What is left is for the
    /// next waiter: the chain of wakes of rule 63.
    #[inline]
    fn finish(&self, interests: &mut Interests, first_back: u32, wakes: &mut Wakes) {
        interests.gather_before(&self.intake, first_back);
        interests.settle(&self.intake);
        if !interests.ready.is_empty() && self.intake.load() & SLEEPERS != 0 {
            self.waiters.wake_one(&self.intake, wakes);
        }
    }
}
