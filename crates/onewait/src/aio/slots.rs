//! Where requests live while they are in flight: a table of slots with generations.
//!
//! Slots are never freed while the table lives, so a thread may look at any slot at any time; what it finds there is its
//! business only if the generation is the one in its [`Key`]. The body of a slot belongs to exactly one party at a time:
//! to whoever took the slot, until it hands the key on (through a [`Mailbox`](super::mailbox::Mailbox) or a lock, which
//! order the memory accesses), and in the end to whoever gives the slot back.

use crate::sys::MaskedSignals;
use std::alloc::{Layout, alloc};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

const CHUNK: usize = 256;
const CHUNKS: usize = 1024;
/// The most requests in flight at a time; one more is refused with EAGAIN.
pub const CAPACITY: usize = CHUNK * CHUNKS;

/// The name of a request in flight: a slot's index and its generation. Never 0, and never with the top bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    fn new(index: u32, generation: u32) -> Key {
        Key(u64::from(generation) << 32 | u64::from(index))
    }

    /// The key as a number, for `user_data` and control blocks.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// A key from the number that [`Key::to_bits`] gave. Any other number makes a key that names no request.
    #[inline]
    pub const fn from_bits(bits: u64) -> Key {
        Key(bits)
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// One place for a request.
pub(crate) struct Slot<T> {
    /// Goes up by one whenever the slot is given back; never 0, top bit never set.
    generation: AtomicU32,
    /// Index + 1 of the next slot in the list that this one is in: the free list or a mailbox. 0 ends a list.
    pub(crate) next: AtomicU32,
    /// What waits for the request, as its owner defines it: see [`Waiters`](super::payload::Waiters).
    pub(crate) waiters: AtomicU32,
    /// Whether the thread that carries requests out has taken this one over.
    accepted: AtomicBool,
    body: UnsafeCell<Option<T>>,
}

// SAFETY: the body is reached only through `Slots::body`, whose contract gives it one owner at a time; it moves between
// threads, hence `T: Send`. The rest is atomics.
unsafe impl<T: Send> Sync for Slot<T> {}

/// The table. Taking and giving back are lock-free and may interrupt each other, also from signal handlers; only taking
/// allocates, and only when the table has to grow.
pub(crate) struct Slots<T> {
    chunks: Box<[AtomicPtr<[Slot<T>; CHUNK]>]>,
    /// The generation of new slots.
    seed: u32,
    /// How many slots exist.
    length: AtomicU32,
    /// The free list: a tag that changes with every removal in the upper half (so that a compare-and-exchange cannot
    /// mistake a list for one that looked alike), index + 1 of the first slot in the lower.
    free: AtomicU64,
}

impl<T> Slots<T> {
    /// An empty table. Keys of tables with different seeds differ: a forked child finds keys of its parent's in the memory
    /// that it inherits, and they must name nothing.
    pub(crate) fn new(seed: u32) -> Slots<T> {
        Slots {
            seed: (seed.wrapping_mul(0x9e37_79b1) & 0x7fff_ffff).max(1),
            chunks: (0..CHUNKS).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            length: AtomicU32::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// The slot at `index`; `None` if there is none yet.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let chunk = self.chunks.get(index as usize / CHUNK)?.load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: a chunk that was published stays until the table is dropped, which borrows rule out here.
        Some(unsafe { &(&(*chunk))[index as usize % CHUNK] })
    }

    /// The slot that `key` names, if it still names one.
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<&Slot<T>> {
        self.slot(key.index()).filter(|slot| slot.generation.load(Ordering::Acquire) == key.generation())
    }

    /// Takes a free slot, for the caller alone; `None` when [`CAPACITY`] is reached or memory is short.
    pub(crate) fn take(&self) -> Option<Key> {
        let index = match self.pop_free() {
            Some(index) => index,
            None => {
                // Growing allocates, and a handler may come here, too.
                let _masked = MaskedSignals::new();
                self.grow()?
            }
        };
        let slot = self.slot(index)?;
        slot.waiters.store(0, Ordering::Relaxed);
        Some(Key::new(index, slot.generation.load(Ordering::Relaxed)))
    }

    /// Gives a slot back. From now on its key names nothing.
    ///
    /// The caller must own the slot; its body is empty.
    pub(crate) fn give_back(&self, key: Key) {
        let Some(slot) = self.find(key) else { return };
        let generation = key.generation().wrapping_add(1) & 0x7fff_ffff;
        slot.accepted.store(false, Ordering::Relaxed);
        slot.generation.store(generation.max(1), Ordering::Release);
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            slot.next.store(head as u32, Ordering::Relaxed);
            let new = head & !0xffff_ffff | u64::from(key.index() + 1);
            match self.free.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// The body of the slot that `key` names.
    ///
    /// # Safety
    /// The caller owns the slot (see the module's page), and lets go of the reference before it hands the slot on.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "ownership of the body is the caller's contract, not the borrow checker's")]
    pub(crate) unsafe fn body(&self, key: Key) -> Option<&mut Option<T>> {
        // SAFETY: by contract nobody else reaches the body now.
        self.find(key).map(|slot| unsafe { &mut *slot.body.get() })
    }

    /// The key that names the slot at `index` now.
    pub(crate) fn key_of(&self, index: u32, slot: &Slot<T>) -> Key {
        Key::new(index, slot.generation.load(Ordering::Relaxed))
    }

    /// Notes that the caller, who carries requests out, has taken over the slot that `key` names.
    #[inline]
    pub(crate) fn accept(&self, key: Key) {
        if let Some(slot) = self.find(key) {
            slot.accepted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether `key` names a slot that was taken over. Only the one who takes over may ask.
    pub(crate) fn is_accepted(&self, key: Key) -> bool {
        self.find(key).is_some_and(|slot| slot.accepted.load(Ordering::Relaxed))
    }

    /// The keys of all slots that were taken over. Only the one who takes over may ask.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = Key> + '_ {
        let length = self.length.load(Ordering::Relaxed).min(CAPACITY as u32);
        (0..length).filter_map(|index| {
            let slot = self.slot(index)?;
            slot.accepted.load(Ordering::Relaxed).then(|| self.key_of(index, slot))
        })
    }

    fn pop_free(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let next = self.slot(index)?.next.load(Ordering::Relaxed);
            let new = ((head >> 32).wrapping_add(1) << 32) | u64::from(next);
            match self.free.compare_exchange_weak(head, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    fn grow(&self) -> Option<u32> {
        let mut length = self.length.load(Ordering::Relaxed);
        loop {
            let chunk = self.chunks.get(length as usize / CHUNK)?;
            // The chunk comes first, so that a slot that is counted exists.
            if chunk.load(Ordering::Acquire).is_null() {
                let fresh = allocate(self.seed)?;
                if chunk.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    // SAFETY: `fresh` was allocated as a box is, and not published: another thread was first.
                    drop(unsafe { Box::from_raw(fresh) });
                }
            }
            match self.length.compare_exchange_weak(length, length + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(length),
                Err(now) => length = now,
            }
        }
    }
}

/// A chunk of free slots on the heap; `None` when memory is short.
fn allocate<T>(seed: u32) -> Option<*mut [Slot<T>; CHUNK]> {
    let layout = Layout::new::<[Slot<T>; CHUNK]>();
    // SAFETY: the layout is not of size 0.
    let chunk = unsafe { alloc(layout) }.cast::<Slot<T>>();
    if chunk.is_null() {
        return None;
    }
    for index in 0..CHUNK {
        // SAFETY: within the allocation, which is valid for writing.
        unsafe { chunk.add(index).write(Slot::new(seed)) };
    }
    Some(chunk.cast())
}

impl<T> Slot<T> {
    const fn new(generation: u32) -> Slot<T> {
        Slot {
            generation: AtomicU32::new(generation),
            next: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            accepted: AtomicBool::new(false),
            body: UnsafeCell::new(None),
        }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Acquire);
            if !chunk.is_null() {
                // SAFETY: chunks are allocated as boxes are, and `&mut self` says that nobody looks any more.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_nothing_after_its_slot_was_given_back() {
        let slots: Slots<u8> = Slots::new(7);
        let key = slots.take().unwrap();
        assert!(slots.find(key).is_some());
        slots.give_back(key);
        assert!(slots.find(key).is_none());
        let again = slots.take().unwrap();
        assert_eq!(again.index(), key.index());
        assert_ne!(again, key);
    }

    #[test]
    fn threads_never_hold_the_same_slot() {
        let slots: Slots<u64> = Slots::new(7);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let slots = &slots;
                scope.spawn(move || {
                    for round in 0..20_000u64 {
                        let key = slots.take().unwrap();
                        // SAFETY: the slot was just taken and not handed on.
                        let body = unsafe { slots.body(key) }.unwrap();
                        assert!(body.is_none());
                        *body = Some(thread << 32 | round);
                        std::hint::spin_loop();
                        assert_eq!(body.take(), Some(thread << 32 | round));
                        slots.give_back(key);
                    }
                });
            }
        });
        assert!(slots.length.load(Ordering::Relaxed) <= 4);
    }
}
