//! The interest list's three changes. The order of their checks is rule 5's.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::intake::WATCHED;
use crate::interests::Interests;
use crate::later::Later;
use crate::nesting::Links;
use crate::park::Inside;
use crate::poll_core::Core;
use crate::slots::NONE;
use crate::source::SourceRef;
use crate::{Error, Interest, Result};

impl Core {
    pub(crate) fn add(self: &Arc<Self>, source: SourceRef<'_>, interest: Interest, token: u64) -> Result<()> {
        // Dropped last of all: with it may go the last reference to a state, whose drop is the user's code.
        let mut below = Vec::new();
        let inside = Inside::enter(self.place)?;
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let nested = source.hub().poll().is_some();
        let exclusive = interest.contains(Interest::EXCLUSIVE);
        if self.is(source) || !interest.may_be_added() || exclusive && nested {
            return Err(Error::Invalid);
        }
        let interest = interest.with_always_watched();
        // Held until the link is there, so that no two calls make a circle together.
        let nests = nested || self.intake.load() & WATCHED != 0;
        let links = if nests { Some(Links::check(self, source, &mut below)?) } else { None };
        self.locked_inside(inside, |interests, later| {
            if interests.find(source.hub()).is_some() {
                return Err(Error::Exists);
            }
            if interests.slots.len() >= self.limit() {
                // Items of sources that are gone do not count.
                interests.gather(&self.intake);
                interests.settle(&self.intake);
            }
            if interests.slots.len() >= self.limit() {
                return Err(Error::NoSpace);
            }
            let number = interests.insert(self, source.share(), interest, token)?;
            if let Some(slot) = interests.slots.get(number) {
                source.hub().hang(slot.item.clone());
            }
            let too_many_paths = links.as_ref().is_some_and(Links::too_many_paths);
            // What follows runs the user's code: levels, then wakes and drops.
            drop(links);
            if too_many_paths {
                self.take_out(interests, number);
                return Err(Error::Invalid);
            }
            self.look_at(interests, number, later);
            Ok(())
        })
    }

    pub(crate) fn modify(&self, source: SourceRef<'_>, interest: Interest, token: u64) -> Result<()> {
        self.locked(|interests, later| {
            if self.is(source) || interest.contains(Interest::EXCLUSIVE) {
                return Err(Error::Invalid);
            }
            let number = interests.find(source.hub()).ok_or(Error::NotFound)?;
            let slot = interests.slots.get_mut(number).ok_or(Error::NotFound)?;
            if slot.item.is_exclusive() {
                return Err(Error::Invalid);
            }
            slot.token = token;
            {
                // A notification either sees the new interest, or was over before the level is asked for below.
                let _watchers = source.hub().lock();
                slot.item.set_interest(interest.with_always_watched());
            }
            self.look_at(interests, number, later);
            Ok(())
        })
    }

    pub(crate) fn delete(&self, source: SourceRef<'_>) -> Result<()> {
        self.locked(|interests, _| {
            if self.is(source) {
                return Err(Error::Invalid);
            }
            let number = interests.find(source.hub()).ok_or(Error::NotFound)?;
            self.take_out(interests, number);
            Ok(())
        })
    }

    /// Asks for the level once; if it is ready, the item goes to the end of the ready list, unless it is there (rule 25).
    fn look_at(&self, interests: &mut Interests, number: u32, later: &mut Later) {
        let Some(slot) = interests.slots.get(number) else { return };
        if slot.source.level(slot.item.interest(), later).is_empty() {
            return;
        }
        interests.gather(&self.intake);
        let listed = interests.slots.get(number).is_none_or(crate::slots::Slot::is_listed);
        if !listed {
            let Interests { ready, slots, .. } = interests;
            ready.insert_before(slots, NONE, number);
        }
        interests.settle(&self.intake);
        if !listed {
            self.announce(&mut later.wakes);
        }
    }

    fn take_out(&self, interests: &mut Interests, number: u32) {
        if let Some(slot) = interests.slots.get(number) {
            slot.source.hub.unhang(&slot.item);
        }
        if let Some(slot) = interests.remove(number, &self.intake) {
            interests.drop_later(slot);
        }
    }
}
