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

impl Slot {
    #[inline]
    pub(crate) const fn is_listed(&self) -> bool {
        self.next != OFF
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
        let previous = match slots.get_mut(next) {
            Some(slot) => core::mem::replace(&mut slot.previous, number),
            None => core::mem::replace(&mut self.last, number),
        };
        match slots.get_mut(previous) {
            Some(slot) => slot.next = number,
            None => self.first = number,
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
        let (previous, next) = (slot.previous, slot.next);
        slot.next = OFF;
        match slots.get_mut(previous) {
            Some(slot) => slot.next = next,
            None => self.first = next,
        }
        match slots.get_mut(next) {
            Some(slot) => slot.previous = previous,
            None => self.last = previous,
        }
    }
}
