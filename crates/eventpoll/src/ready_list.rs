//! The ready list, which goes through the slots of its items.

use crate::slots::{NONE, Slot, Slots};

/// In `Slot::next`: the item is not in the list.
pub(crate) const OFF: u32 = NONE - 1;

/// A doubly linked list of slots' numbers.
///
/// Its ends are read and written one by one: a processor waits if it reads both as one word just after one was written.
pub(crate) struct List {
    first: u32,
    last: u32,
}

/// Where an item was in the list.
#[must_use]
pub(crate) struct Gap {
    previous: u32,
    next: u32,
}

impl Slot {
    #[inline]
    pub(crate) const fn is_listed(&self) -> bool {
        self.next != OFF
    }

    /// Leaves the list, which is not whole again until it has closed the gap.
    #[inline]
    pub(crate) fn leave_list(&mut self) -> Gap {
        Gap { previous: self.previous, next: core::mem::replace(&mut self.next, OFF) }
    }
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The number of the first item; `NONE` if the list is empty.
    #[inline]
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }

    /// The number of the last item; `NONE` if the list is empty.
    #[inline]
    pub(crate) const fn last(&self) -> u32 {
        self.last
    }

    /// Puts an item that is in no list before another one that is in this list; `NONE`: at the end.
    #[inline]
    pub(crate) fn insert_before(&mut self, slots: &mut Slots, next: u32, number: u32) {
        let previous = match slots.neighbour(next) {
            None => core::mem::replace(&mut self.last, number),
            Some(slot) => core::mem::replace(&mut slot.previous, number),
        };
        match slots.neighbour(previous) {
            None => self.first = number,
            Some(slot) => slot.next = number,
        }
        if let Some(slot) = slots.get_mut(number) {
            slot.previous = previous;
            slot.next = next;
        }
    }

    /// Takes out an item that is in this list.
    #[inline]
    pub(crate) fn remove(&mut self, slots: &mut Slots, number: u32) {
        let Some(slot) = slots.get_mut(number) else { return };
        let gap = slot.leave_list();
        self.close(slots, gap);
    }

    /// Joins what was beside an item that left the list.
    #[inline]
    pub(crate) fn close(&mut self, slots: &mut Slots, Gap { previous, next }: Gap) {
        match slots.neighbour(previous) {
            None => self.first = next,
            Some(slot) => slot.next = next,
        }
        match slots.neighbour(next) {
            None => self.last = previous,
            Some(slot) => slot.previous = previous,
        }
    }
}

impl Slots {
    /// A short list's ends have no neighbours: that is looked at first.
    #[inline]
    fn neighbour(&mut self, number: u32) -> Option<&mut Slot> {
        if number == NONE { None } else { self.get_mut(number) }
    }
}
