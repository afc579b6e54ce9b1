//! The timers of a reactor: a million armed, none of which costs a system call.
//!
//! A hierarchical timer wheel (Varghese and Lauck, 1987). Its ticks are coarse, its timers are exact:
//!
//! ```text
//!   arm ──► bucket of a high level ──► bucket of a lower level … ──► heap of the tick reached ──► out, when due
//!              64^n ticks wide            when the wheel reaches it        sorted to the nanosecond
//! ```
//!
//! Arming and cancelling take a constant number of steps, but in the heap, which holds one tick. [`Wheel::expire`] moves each
//! timer down at most once a level, and both what comes out and what is moved in one call is limited: no call takes long,
//! whatever was armed. While a bucket is being emptied over several calls (`opening`), nothing behind it comes out. It is
//! emptied from its end, and to the front of other buckets, so that a timer armed meanwhile comes after those of the same
//! deadline that were armed before it.
//!
//! Memory: 8 bytes of links and a slot of 12 bytes and the payload (padded to a multiple of 8) for each timer, and 24 while
//! it is in the heap. It is used again, and not given back: a key has to be found stale for as long as somebody may have it,
//! which takes the generation in its slot, and a server that had a million timers once has them again.

mod buckets;
mod heap;
#[cfg(test)]
mod tests;

use buckets::{Bucket, Buckets, LEVELS, MOST_SLOTS, TICK_BITS};
use heap::Heap;
use std::time::Duration;

/// How many timers a call of `expire` may move down whatever its budget is.
const LEAST_MOVES: usize = 1024;
/// In how many timers of a bucket `next_deadline` looks for the first one.
const MOST_LOOKS: usize = 16;
/// The end of the list of free slots.
const NONE: u32 = u32::MAX;

/// The name of one arming of a timer. It is stale, and names nothing any more, once the timer was cancelled or came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

struct Slot<T> {
    /// In nanoseconds since the epoch.
    deadline: u64,
    /// Goes up when a timer is armed here and when it ends, so it is odd while there is one. A slot whose generations are
    /// used up is used no more.
    generation: u32,
    payload: T,
}

/// Timers and what each carries. Times are since an epoch that the caller chooses, exact to the nanosecond, up to the 584
/// years of 64 bits; what lies beyond counts as the last of them.
///
/// Nothing allocates but growing: arming when more timers are armed than ever before, and more in one tick than ever before.
pub(crate) struct Wheel<T> {
    slots: Vec<Slot<T>>,
    /// Where each timer is that is not in the heap. For one in the heap its place there, for a free slot the next free one.
    buckets: Buckets,
    /// The timers of the tick reached; all others are later.
    heap: Heap,
    /// The tick reached: never after that of `now`, and before it only where `expire` has left something to do.
    tick: u64,
    /// The latest time that `expire` was told, in nanoseconds.
    now: u64,
    /// The bucket that begins at the tick reached, while it is being emptied.
    opening: Option<Bucket>,
    /// No timer is due before; not known after what it was computed from has gone.
    bound: Option<u64>,
    free: u32,
    armed: usize,
    limit: usize,
}

impl<T: Copy> Wheel<T> {
    /// A wheel that is at its epoch, for at most `limit` armed timers.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            buckets: Buckets::new(),
            heap: Heap::new(),
            tick: 0,
            now: 0,
            opening: None,
            bound: None,
            free: NONE,
            armed: 0,
            limit,
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.armed
    }

    /// Arms a timer. A deadline before the latest time that `expire` was told counts as that time: what is overdue already
    /// comes first, so that nobody can hold it up by arming timers in the past.
    ///
    /// None if as many timers are armed as may be.
    #[inline]
    pub(crate) fn arm(&mut self, deadline: Duration, payload: T) -> Option<TimerKey> {
        if self.armed == self.limit {
            return None;
        }
        let deadline = nanoseconds(deadline).max(self.now);
        let slot = if self.free == NONE { self.add_slot(payload)? } else { self.free };
        self.free = self.buckets.outside(slot)?;
        let place = &mut self.slots[slot as usize];
        place.generation += 1;
        place.payload = payload;
        let key = TimerKey { slot, generation: place.generation };
        self.armed += 1;
        self.attach(slot, deadline);
        Some(key)
    }

    /// Ends a timer before its time and gives back what it carried. None if the key is stale.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let payload = self.armed_slot(key)?.payload;
        self.detach(key.slot);
        self.release(key.slot);
        Some(payload)
    }

    /// Gives a timer another deadline, as if it were armed anew; the key stays. False if the key is stale.
    #[inline]
    pub(crate) fn rearm(&mut self, key: TimerKey, deadline: Duration) -> bool {
        if self.armed_slot(key).is_none() {
            return false;
        }
        self.detach(key.slot);
        self.attach(key.slot, nanoseconds(deadline).max(self.now));
        true
    }

    /// Until when one may sleep: no timer is due before. Most often this is the first deadline itself; where many timers are
    /// in one bucket, it may be the beginning of that, and `expire` has to be called then for a better answer, at most
    /// once a level. None if no timer is armed.
    pub(crate) fn next_deadline(&mut self) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        let bound = match self.bound {
            Some(bound) => bound,
            None => self.look_up_bound()?,
        };
        self.bound = Some(bound);
        Some(Duration::from_nanos(bound))
    }

    /// Hands out at most `budget` timers that are due at `now`, by their deadlines, those of one deadline as they were armed.
    /// Each comes once, with its key, which is stale from then on, its deadline and what it carried.
    ///
    /// True if it is to be called again before anybody sleeps: the budget was too small for what is due, or there is more
    /// to move than a call may. A time before one that was told earlier counts as that one.
    pub(crate) fn expire(
        &mut self,
        now: Duration,
        mut budget: usize,
        mut out: impl FnMut(TimerKey, Duration, T),
    ) -> bool {
        self.now = self.now.max(nanoseconds(now));
        // A timer is moved at most once a level and once into the heap, so this keeps up with the budget.
        let mut moves = budget.saturating_mul(LEVELS + 1).max(LEAST_MOVES);
        let unfinished = loop {
            if let Some(bucket) = self.opening
                && !self.open(bucket, &mut moves)
            {
                break true;
            }
            if let Some(first) = self.heap.first() {
                if first.deadline > self.now {
                    break false;
                }
                if budget == 0 {
                    break true;
                }
                budget -= 1;
                let slot = &self.slots[first.slot as usize];
                let (key, payload) = (TimerKey { slot: first.slot, generation: slot.generation }, slot.payload);
                self.heap.remove(0, |slot, place| self.buckets.set_outside(slot, place));
                self.release(first.slot);
                out(key, Duration::from_nanos(first.deadline), payload);
                continue;
            }
            let tick = self.now >> TICK_BITS;
            match self.buckets.first() {
                Some(bucket) if bucket.start(self.tick) <= tick => {
                    self.tick = bucket.start(self.tick);
                    self.opening = Some(bucket);
                }
                _ => {
                    // The buckets of all timers begin later, so they are the same from here.
                    self.tick = tick;
                    break false;
                }
            }
        };
        self.bound = self.bound.filter(|bound| *bound > self.now);
        unfinished
    }

    /// Moves the timers of a bucket that begins now to lower ones, or into the heap. False if there are too many.
    fn open(&mut self, bucket: Bucket, moves: &mut usize) -> bool {
        let lowest = bucket.level() == 0;
        while let Some(slot) = if lowest { self.buckets.first_in(bucket) } else { self.buckets.last_in(bucket) } {
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            self.buckets.unlink(slot);
            let deadline = self.slots[slot as usize].deadline;
            if lowest {
                self.heap.push(deadline, slot, |slot, place| self.buckets.set_outside(slot, place));
            } else {
                self.buckets.push_front(Bucket::of(deadline >> TICK_BITS, self.tick), slot);
            }
        }
        self.opening = None;
        true
    }

    #[inline]
    fn attach(&mut self, slot: u32, deadline: u64) {
        self.slots[slot as usize].deadline = deadline;
        // The only one is the first one.
        let bound = if self.armed == 1 { Some(deadline) } else { self.bound };
        self.bound = bound.map(|bound| bound.min(deadline));
        let tick = deadline >> TICK_BITS;
        if tick == self.tick && self.opening.is_none() {
            self.heap.push(deadline, slot, |slot, place| self.buckets.set_outside(slot, place));
        } else {
            self.buckets.push_back(Bucket::of(tick, self.tick), slot);
        }
    }

    #[inline]
    fn detach(&mut self, slot: u32) {
        match self.buckets.outside(slot) {
            Some(place) => self.heap.remove(place, |slot, place| self.buckets.set_outside(slot, place)),
            None => self.buckets.unlink(slot),
        }
        if self.bound == Some(self.slots[slot as usize].deadline) {
            self.bound = None;
        }
    }

    fn look_up_bound(&self) -> Option<u64> {
        if self.opening.is_some() {
            return Some(self.tick << TICK_BITS);
        }
        if let Some(first) = self.heap.first() {
            return Some(first.deadline);
        }
        let bucket = self.buckets.first()?;
        let (mut first, mut looks) = (u64::MAX, 0);
        for slot in self.buckets.slots(bucket) {
            if looks == MOST_LOOKS {
                return Some(bucket.start(self.tick) << TICK_BITS);
            }
            looks += 1;
            first = first.min(self.slots[slot as usize].deadline);
        }
        Some(first)
    }

    #[inline]
    fn armed_slot(&self, key: TimerKey) -> Option<&Slot<T>> {
        self.slots.get(key.slot as usize).filter(|slot| slot.generation == key.generation)
    }

    /// A slot more, in front of the free ones.
    #[cold]
    fn add_slot(&mut self, payload: T) -> Option<u32> {
        let slot = u32::try_from(self.slots.len()).ok().filter(|slot| (*slot as usize) < MOST_SLOTS)?;
        self.slots.push(Slot { deadline: 0, generation: 0, payload });
        self.buckets.grow();
        self.buckets.set_outside(slot, self.free);
        Some(slot)
    }

    /// Ends the generation of a slot that is in no bucket, and keeps it for another timer.
    #[inline]
    fn release(&mut self, slot: u32) {
        self.armed -= 1;
        let place = &mut self.slots[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        if place.generation != 0 {
            self.buckets.set_outside(slot, self.free);
            self.free = slot;
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
