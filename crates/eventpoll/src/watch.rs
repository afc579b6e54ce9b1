//! Looking inside: what is watched, what is ready, and how often what happened.

use alloc::vec::Vec;

use crate::item::Item;
use crate::later::Later;
use crate::poll_core::Core;
use crate::ready_list::OFF;
use crate::slots::Slot;
use crate::source::SourceId;
use crate::{Events, Interest, Result};

/// One item, as it is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Watch {
    /// The source that is watched.
    pub source: SourceId,
    /// The user's token.
    pub token: u64,
    /// What is watched; after a report of a oneshot item only the trigger is left (rule 33).
    pub interest: Interest,
    /// What of it the source is ready for now.
    pub level: Events,
    /// Whether the item is in the ready list: the next wait looks at it, and reports it if `level` is not empty.
    pub queued: bool,
    /// How many notifications were for this item. As all counts here, it stops at `u32::MAX`.
    pub notified: u32,
    /// How many of these came when the item was queued already, and so changed nothing but woke a waiter, if one slept.
    pub coalesced: u32,
    /// How often it was reported.
    pub reported: u32,
    /// How often it was queued, and then found not ready.
    pub stale: u32,
}

impl Watch {
    /// Whether anything can be reported: not after the report of a oneshot item, until it is armed again.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.interest.events().is_empty()
    }

    fn of(slot: &Slot, later: &mut Later) -> Self {
        let item: &Item = &slot.item;
        let (notified, coalesced) = item.counts();
        Self {
            source: slot.source.hub.id(),
            token: slot.token,
            interest: item.interest(),
            level: slot.source.level(item.interest(), later),
            queued: slot.next != OFF,
            notified,
            coalesced: coalesced.saturating_add(slot.merged),
            reported: slot.reported,
            stale: slot.stale,
        }
    }
}

impl Core {
    pub(crate) fn watches(&self) -> Result<Vec<Watch>> {
        self.locked(|interests, later| {
            interests.gather(&self.intake);
            interests.settle(&self.intake);
            Ok(interests.slots.iter().map(|slot| Watch::of(slot, later)).collect())
        })
    }

    pub(crate) fn count(&self) -> Result<usize> {
        self.locked(|interests, _| {
            interests.gather(&self.intake);
            interests.settle(&self.intake);
            Ok(interests.slots.len())
        })
    }
}
