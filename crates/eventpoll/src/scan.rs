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
            interests.start_scan(&self.intake);
            while stored < max && interests.scan.first() != NONE {
                let number = interests.scan.first();
                let Interests { slots, scan, ready, .. } = &mut *interests;
                let Some(slot) = slots.get_mut(number) else { break };
                let interest = slot.item.interest();
                let events = if slot.item.is_dead() { Events::empty() } else { slot.source.level(interest) };
                if events.is_empty() {
                    slot.stale = slot.stale.saturating_add(1);
                    scan.remove(slots, number);
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
                scan.remove(slots, number);
                if !interest.intersects(Interest::ONESHOT.union(Interest::EDGE)) {
                    ready.push_last(slots, number);
                }
            }
            self.finish(interests, wakes);
            if fault && stored == 0 { Err(Error::Fault) } else { Ok(stored) }
        })
    }

    /// Whether there is something to report. Drops what is not ready, and leaves what is (rule 22).
    pub(crate) fn look(&self, interests: &mut Interests, wakes: &mut Wakes) -> Events {
        let mut level = Events::empty();
        interests.start_scan(&self.intake);
        while interests.scan.first() != NONE {
            let number = interests.scan.first();
            let Interests { slots, scan, .. } = &mut *interests;
            let Some(slot) = slots.get_mut(number) else { break };
            if !slot.item.is_dead() && !slot.source.level(slot.item.interest()).is_empty() {
                level = Events::IN.union(Events::RDNORM);
                break;
            }
            slot.stale = slot.stale.saturating_add(1);
            scan.remove(slots, number);
        }
        self.finish(interests, wakes);
        level
    }

    /// What is left in the ready list is for the next waiter: the chain of wakes of rule 63.
    #[inline]
    fn finish(&self, interests: &mut Interests, wakes: &mut Wakes) {
        interests.end_scan(&self.intake);
        if !interests.ready.is_empty() && self.intake.load() & SLEEPERS != 0 {
            self.waiters.wake_one(&self.intake, wakes);
        }
    }
}
