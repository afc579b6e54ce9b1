//! Lists of items through their slots: the ready list, and what a scan has before it.

use crate::slots::{NONE, Slot, Slots};

/// In `Slot::next`: the item is in no list.
pub(crate) const OFF: u32 = NONE - 1;

/// A doubly linked list of slots' numbers. An item is in one list at most.
#[derive(Clone, Copy)]
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

    #[inline]
    pub(crate) fn push_last(&mut self, slots: &mut Slots, number: u32) {
        let last = self.last;
        if let Some(slot) = slots.get_mut(number) {
            slot.previous = last;
            slot.next = NONE;
        }
        match slots.get_mut(last) {
            Some(slot) => slot.next = number,
            None => self.first = number,
        }
        self.last = number;
    }

    #[inline]
    pub(crate) fn push_first(&mut self, slots: &mut Slots, number: u32) {
        let first = self.first;
        if let Some(slot) = slots.get_mut(number) {
            slot.previous = NONE;
            slot.next = first;
        }
        match slots.get_mut(first) {
            Some(slot) => slot.previous = number,
            None => self.last = number,
        }
        self.first = number;
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

    /// Puts all of `behind` at the end.
    #[inline]
    pub(crate) fn append(&mut self, slots: &mut Slots, behind: Self) {
        if behind.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = behind;
            return;
        }
        if let Some(slot) = slots.get_mut(self.last) {
            slot.next = behind.first;
        }
        if let Some(slot) = slots.get_mut(behind.first) {
            slot.previous = self.last;
        }
        self.last = behind.last;
    }
}
