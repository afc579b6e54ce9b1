//! Where items are kept: pages of slots, which are never moved and whose numbers are used again.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::item::Item;
use crate::source::Node;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

const PAGE: usize = 64;

/// The half of a registration that only its event poll needs; guarded by the interests' lock.
pub(crate) struct Slot {
    pub(crate) item: Arc<Item>,
    pub(crate) source: Arc<Node>,
    pub(crate) token: u64,
    /// Neighbours in the list that the item is in; see `ready_list`.
    pub(crate) previous: u32,
    pub(crate) next: u32,
    /// How often it was reported, found not ready when it was looked at, and notified while it was in the ready list.
    /// They stop at their maximum.
    pub(crate) reported: u32,
    pub(crate) stale: u32,
    pub(crate) merged: u32,
}

enum Entry {
    Used(Slot),
    /// And the next free one.
    Free(u32),
}

pub(crate) struct Slots {
    // Boxed, so that more pages do not move those that there are.
    #[expect(clippy::vec_box, reason = "a page is large, and moving it is what the box saves")]
    pages: Vec<Box<[Entry; PAGE]>>,
    free: u32,
    used: usize,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), free: NONE, used: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// The number of the slot that the next `insert` fills, if there is one left.
    pub(crate) fn vacant(&mut self) -> Option<u32> {
        if self.free == NONE {
            let first = u32::try_from(self.pages.len() * PAGE).ok().filter(|first| *first < NONE - PAGE as u32)?;
            let last = first + PAGE as u32 - 1;
            let page = core::array::from_fn(|place| {
                let slot = first + place as u32;
                Entry::Free(if slot == last { NONE } else { slot + 1 })
            });
            self.pages.push(Box::new(page));
            self.free = first;
        }
        Some(self.free)
    }

    /// Fills the vacant slot.
    pub(crate) fn insert(&mut self, slot: Slot) {
        let number = self.free;
        let entry = &mut self.pages[number as usize / PAGE][number as usize % PAGE];
        if let Entry::Free(next) = *entry {
            self.free = next;
            self.used += 1;
            *entry = Entry::Used(slot);
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Slot> {
        let entry = self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)?;
        if matches!(entry, Entry::Free(_)) {
            return None;
        }
        let Entry::Used(slot) = core::mem::replace(entry, Entry::Free(self.free)) else { return None };
        self.free = number;
        self.used -= 1;
        Some(slot)
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Slot> {
        match self.pages.get(number as usize / PAGE)?.get(number as usize % PAGE)? {
            Entry::Used(slot) => Some(slot),
            Entry::Free(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        match self.pages.get_mut(number as usize / PAGE)?.get_mut(number as usize % PAGE)? {
            Entry::Used(slot) => Some(slot),
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn into_used(self) -> impl Iterator<Item = Slot> {
        self.pages.into_iter().flat_map(|page| *page).filter_map(|entry| match entry {
            Entry::Used(slot) => Some(slot),
            Entry::Free(_) => None,
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.pages.iter().flat_map(|page| page.iter()).filter_map(|entry| match entry {
            Entry::Used(slot) => Some(slot),
            Entry::Free(_) => None,
        })
    }
}
