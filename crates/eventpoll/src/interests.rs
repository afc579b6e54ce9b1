//! The interest list: all items of an event poll, and which of them may have something to report.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::intake::{Intake, READY};
use crate::item::Item;
use crate::later::Later;
use crate::ready_list::{List, OFF};
use crate::slots::{NONE, Slot, Slots};
use crate::source::{Hub, Node, SourceId};
use crate::{Error, Interest, Result};

/// Guarded by `Core::interests`.
pub(crate) struct Interests {
    pub(crate) slots: Slots,
    /// Numbers of slots, by the id of their source.
    table: HashTable<u32>,
    pub(crate) ready: List,
    /// Items whose source is gone: first as numbers, then as what is to be dropped when the lock is free.
    dead: Vec<u32>,
    removed: Vec<Slot>,
}

fn hash(id: SourceId) -> u64 {
    // Ids are counted, not chosen by anybody: it is enough that they are spread over all bits.
    id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26)
}

impl Interests {
    pub(crate) fn new() -> Self {
        Self { slots: Slots::new(), table: HashTable::new(), ready: List::EMPTY, dead: Vec::new(), removed: Vec::new() }
    }

    #[inline]
    pub(crate) fn find(&self, source: &Hub) -> Option<u32> {
        let is_it = |number: &u32| self.slots.get(*number).is_some_and(|slot| core::ptr::eq(&slot.source.hub, source));
        self.table.find(hash(source.id()), is_it).copied()
    }

    /// A new item, which hangs nowhere yet.
    pub(crate) fn insert(
        &mut self,
        core: &Arc<crate::poll_core::Core>,
        source: Arc<Node>,
        interest: Interest,
        token: u64,
    ) -> Result<u32> {
        let number = self.slots.vacant().ok_or(Error::NoSpace)?;
        let id = source.hub.id();
        let item = Arc::new(Item::new(core.clone(), number, interest));
        let slot = Slot { item, source, token, previous: OFF, next: OFF, reported: 0, stale: 0, merged: 0 };
        self.slots.insert(slot);
        let slots = &self.slots;
        self.table.insert_unique(hash(id), number, |number| match slots.get(*number) {
            Some(slot) => hash(slot.source.hub.id()),
            None => 0,
        });
        Ok(number)
    }

    /// Takes an item out of everything here. It must not hang in its source any more.
    pub(crate) fn remove(&mut self, number: u32, intake: &Intake) -> Option<Slot> {
        if self.slots.get(number)?.item.is_in_intake() {
            self.gather(intake);
        }
        let slot = self.forget(number);
        self.settle(intake);
        slot
    }

    fn forget(&mut self, number: u32) -> Option<Slot> {
        let slot = self.slots.get(number)?;
        let listed = slot.is_listed();
        if let Ok(entry) = self.table.find_entry(hash(slot.source.hub.id()), |other| *other == number) {
            entry.remove();
        }
        if listed {
            self.ready.remove(&mut self.slots, number);
        }
        self.slots.remove(number)
    }

    /// All items at once, which may still hang in their sources; and what was to be dropped before.
    pub(crate) fn remove_all(&mut self) -> Vec<Slot> {
        let slots = core::mem::replace(&mut self.slots, Slots::new());
        self.table = HashTable::new();
        self.ready = List::EMPTY;
        let mut all = core::mem::take(&mut self.removed);
        all.extend(slots.into_used());
        all
    }

    /// Puts what was notified at the end of the ready list, in order; what is in it already stays where it is (rule 26).
    ///
    /// Whoever looks before `settle` must not think that there is nothing, and sleep: nobody would wake him.
    #[inline]
    pub(crate) fn gather(&mut self, intake: &Intake) {
        let newest = intake.take(READY);
        self.put_before(NONE, newest);
    }

    /// The same for a scan, which reports it all or wakes somebody at its end, and so need not say `READY` meanwhile. A
    /// wait of no time beside it may find nothing (rule 60). Before an item that is in the ready list; `NONE`: at the end.
    #[inline]
    pub(crate) fn gather_before(&mut self, intake: &Intake, next: u32) {
        let newest = intake.take(0);
        self.put_before(next, newest);
    }

    /// Takes the one item that was notified, if it is one, and if it is alone: then it need not go through the ready list.
    /// Whoever takes it puts it there if it is not done with.
    #[inline]
    pub(crate) fn gather_only(&mut self, intake: &Intake) -> Option<u32> {
        if !self.ready.is_empty() {
            return None;
        }
        let is_only = |number| self.slots.get(number).is_some_and(|slot| slot.item.behind() == 0);
        let number = intake.take_only(is_only)?;
        if self.slots.get(number)?.item.leave_intake() {
            self.dead.push(number);
            self.drop_dead();
            return None;
        }
        Some(number)
    }

    #[inline(always)]
    fn put_before(&mut self, mut next: u32, mut above: u32) {
        // From the newest to the oldest, each before the one that came after it.
        while let Some(number) = above.checked_sub(1) {
            let Some(slot) = self.slots.get_mut(number) else { break };
            // To be read before somebody may push the item again.
            above = slot.item.behind();
            if slot.item.leave_intake() {
                self.dead.push(number);
            } else if slot.is_listed() {
                slot.merged = slot.merged.saturating_add(1);
            } else {
                self.ready.insert_before(&mut self.slots, next, number);
                next = number;
            }
        }
        if !self.dead.is_empty() {
            self.drop_dead();
        }
    }

    /// Makes `READY` say what the ready list says.
    #[inline]
    pub(crate) fn settle(&mut self, intake: &Intake) {
        match (self.ready.is_empty(), intake.load() & READY != 0) {
            (true, true) => _ = intake.clear(READY),
            (false, false) => _ = intake.set(READY),
            _ => {}
        }
    }

    /// To be dropped when the lock is free.
    pub(crate) fn drop_later(&mut self, slot: Slot) {
        self.removed.push(slot);
    }

    /// Gives away what is to be dropped.
    #[inline]
    pub(crate) fn give_removed(&mut self, later: &mut Later) {
        if !self.removed.is_empty() {
            later.drop_all(core::mem::take(&mut self.removed));
        }
    }

    #[cold]
    fn drop_dead(&mut self) {
        while let Some(number) = self.dead.pop() {
            let slot = self.forget(number);
            self.removed.extend(slot);
        }
    }
}
