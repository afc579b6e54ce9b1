//! The timers of a reactor: a million armed, none of which costs a system call.
//!
//! A hierarchical timer wheel (Varghese and Lauck, 1987). Its ticks are coarse, its timers are exact:
//!
//! ```text
//!   arm ──► bucket of a high level ──► bucket of a lower level … ──► heap of the tick reached ──► out, when due
//!              64^n ticks wide            when the wheel reaches it        sorted to the nanosecond
//! ```
//!
//! A timer is two things: a slot (generation, payload, order of arming), which its key names, and an entry (deadline, key),
//! which waits. To cancel is to end the slot's generation, and touches nothing else: the entry is *dead* then, and whoever
//! comes by drops it. This is where the speed is. With a million timers every other place that a cancellation had to
//! change (neighbours in a list) would be a cache miss.
//!
//! [`Wheel::expire`] moves an entry down at most once a level, and both what comes out and what is moved in one call is
//! limited: no call takes long, whatever was armed. While a bucket is being emptied over several calls (`opening`), nothing
//! comes out.
//!
//! Memory: for each timer 16 bytes and the payload, and 16 for the entry, to which dead ones add about a quarter. It is used
//! again, and not given back: a key has to be found stale for as long as somebody may have it, which takes the generation in
//! its slot, and a server that had a million timers once has them again.

mod buckets;
#[cfg(test)]
mod tests;

use buckets::{Bucket, Buckets, Entry, LEVELS, TICK_BITS};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// How many entries a call of `expire` may move down whatever its budget is.
const LEAST_MOVES: usize = 1024;

/// The name of one arming of a timer. It is stale, and names nothing any more, once the timer was cancelled, armed anew, or
/// came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

impl TimerKey {
    /// As a number, for languages that have no such types. Never 0.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// From the number that [`TimerKey::to_bits`] gave. `None` if no key has this number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<TimerKey> {
        let key = TimerKey { slot: bits as u32, generation: (bits >> 32) as u32 };
        // Those of free slots are even.
        if key.generation % 2 == 1 { Some(key) } else { None }
    }
}

/// A time before which no timer is due.
#[derive(Clone, Copy)]
struct Bound {
    time: u64,
    /// The timer that is due then. None if it is the beginning of a bucket.
    key: Option<TimerKey>,
}

/// A timer of the tick reached. They are in the order in which they come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    deadline: u64,
    order: u64,
    key: TimerKey,
}

/// What a slot has besides its generation.
#[derive(Clone, Copy)]
struct Carried<T> {
    payload: T,
    /// Which arming it was. It does not come round: that many take centuries.
    order: u64,
}

/// The generation of each slot, and what its timer carries. They are apart, since generations are looked at far more often,
/// and those of a million timers nearly fit into a cache.
struct Slots<T> {
    /// Goes up when a timer is armed in the slot and when it ends, so it is odd while there is one. A slot whose
    /// generations are used up is used no more.
    generations: Vec<u32>,
    carried: Vec<Carried<T>>,
    /// There is room for all slots.
    free: Vec<u32>,
}

/// Timers and what each carries. Times are since an epoch that the caller chooses, exact to the nanosecond, up to the 584
/// years of 64 bits; what lies beyond counts as the last of them.
///
/// Nothing allocates but growing: when more is armed than before, in all or in one tick.
pub(crate) struct Wheel<T> {
    slots: Slots<T>,
    buckets: Buckets,
    /// The entries of the tick reached; all others are later.
    heap: BinaryHeap<Reverse<Next>>,
    /// The tick reached: never after that of `now`, and before it only where `expire` has left something to do.
    tick: u64,
    /// The latest time that `expire` was told, in nanoseconds.
    now: u64,
    /// The bucket that begins at the tick reached, while it is being emptied.
    opening: Option<Bucket>,
    /// Not known after the timer that it was computed from has gone.
    bound: Option<Bound>,
    /// The order of the next arming.
    order: u64,
    armed: usize,
    limit: usize,
}

impl<T: Copy> Wheel<T> {
    /// A wheel that is at its epoch, for at most `limit` armed timers.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            slots: Slots { generations: Vec::new(), carried: Vec::new(), free: Vec::new() },
            buckets: Buckets::new(),
            heap: BinaryHeap::new(),
            tick: 0,
            now: 0,
            opening: None,
            bound: None,
            order: 0,
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
        let key = self.slots.take(Carried { payload, order: self.order })?;
        self.armed += 1;
        let deadline = nanoseconds(deadline).max(self.now);
        self.order += 1;
        // The only timer is the first one.
        if self.armed == 1 || self.bound.is_some_and(|bound| deadline < bound.time) {
            self.bound = Some(Bound { time: deadline, key: Some(key) });
        }
        self.place(Entry { deadline, key });
        Some(key)
    }

    /// Ends a timer before its time and gives back what it carried. None if the key is stale.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let payload = self.slots.give_back(key)?;
        self.armed -= 1;
        if self.bound.is_some_and(|bound| bound.key == Some(key)) {
            self.bound = None;
        }
        Some(payload)
    }

    /// Arms a timer anew, with another deadline and another key. None if the key is stale.
    #[inline]
    pub(crate) fn rearm(&mut self, key: TimerKey, deadline: Duration) -> Option<TimerKey> {
        let payload = self.cancel(key)?;
        self.arm(deadline, payload)
    }

    /// Until when one may sleep: no timer is due before. Most often this is the first deadline itself; where many timers are
    /// in one bucket, it may be the beginning of that, and `expire` has to be called then for a better answer, at most
    /// once a level. None if no timer is armed.
    pub(crate) fn next_deadline(&mut self) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        if self.bound.is_none() {
            self.bound = self.look_up_bound();
        }
        self.bound.map(|bound| Duration::from_nanos(bound.time))
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
        // An entry is moved at most once a level and once within the heap, so this keeps up with the budget.
        let mut moves = budget.saturating_mul(LEVELS + 1).max(LEAST_MOVES);
        let unfinished = loop {
            if let Some(bucket) = self.opening
                && !self.open(bucket, &mut moves)
            {
                break true;
            }
            if let Some(&Reverse(first)) = self.heap.peek() {
                if !self.slots.has(first.key) {
                    if moves == 0 {
                        break true;
                    }
                    moves -= 1;
                    self.heap.pop();
                    continue;
                }
                if first.deadline > self.now {
                    break false;
                }
                if budget == 0 {
                    break true;
                }
                budget -= 1;
                self.heap.pop();
                if let Some(payload) = self.cancel(first.key) {
                    out(first.key, Duration::from_nanos(first.deadline), payload);
                }
                continue;
            }
            let tick = self.now >> TICK_BITS;
            match self.buckets.first() {
                Some(bucket) if bucket.start(self.tick) <= tick => {
                    self.tick = bucket.start(self.tick);
                    self.opening = Some(bucket);
                }
                _ => {
                    // All buckets in use begin later, so they are the same from here.
                    self.tick = tick;
                    break false;
                }
            }
        };
        self.bound = self.bound.filter(|bound| bound.time > self.now);
        unfinished
    }

    /// Moves the entries of a bucket that begins now to lower ones, or into the heap. False if there are too many.
    fn open(&mut self, bucket: Bucket, moves: &mut usize) -> bool {
        loop {
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            let Some(entry) = self.buckets.pop(bucket) else { break };
            if self.slots.has(entry.key) {
                self.place(entry);
            }
        }
        self.opening = None;
        true
    }

    /// Puts an entry where it belongs.
    #[inline]
    fn place(&mut self, entry: Entry) {
        let tick = entry.tick();
        let slots = &self.slots;
        if tick == self.tick {
            if self.heap.len() == self.heap.capacity() {
                self.heap.retain(|Reverse(entry)| slots.has(entry.key));
                // So that it is not swept again soon.
                if self.heap.len() >= self.heap.capacity() / 3 * 2 {
                    self.heap.reserve_exact(self.heap.len() / 2 + 64);
                }
            }
            let order = self.slots.order(entry.key);
            self.heap.push(Reverse(Next { deadline: entry.deadline, order, key: entry.key }));
        } else {
            self.buckets.push(Bucket::of(tick, self.tick), entry, self.armed, |key| slots.has(key));
        }
    }

    fn look_up_bound(&mut self) -> Option<Bound> {
        if self.opening.is_some() {
            return Some(Bound { time: self.tick << TICK_BITS, key: None });
        }
        while let Some(Reverse(first)) = self.heap.peek() {
            if self.slots.has(first.key) {
                return Some(Bound { time: first.deadline, key: Some(first.key) });
            }
            self.heap.pop();
        }
        loop {
            let bucket = self.buckets.first()?;
            let Some(few) = self.buckets.few(bucket, |key| self.slots.has(key)) else {
                return Some(Bound { time: bucket.start(self.tick) << TICK_BITS, key: None });
            };
            if let Some(first) = few.iter().min_by_key(|entry| entry.deadline) {
                return Some(Bound { time: first.deadline, key: Some(first.key) });
            }
        }
    }
}

impl<T: Copy> Slots<T> {
    /// A new generation of a free slot. None if there are as many slots as 32 bits can number.
    #[inline]
    fn take(&mut self, carried: Carried<T>) -> Option<TimerKey> {
        let Some(slot) = self.free.pop() else { return self.grow(carried) };
        let generation = &mut self.generations[slot as usize];
        *generation += 1;
        self.carried[slot as usize] = carried;
        Some(TimerKey { slot, generation: *generation })
    }

    #[cold]
    fn grow(&mut self, carried: Carried<T>) -> Option<TimerKey> {
        let slot = u32::try_from(self.generations.len()).ok()?;
        self.generations.push(1);
        self.carried.push(carried);
        self.free.reserve(self.generations.len());
        Some(TimerKey { slot, generation: 1 })
    }

    /// Ends the generation that the key names. None if it has ended.
    #[inline]
    fn give_back(&mut self, key: TimerKey) -> Option<T> {
        let generation = self.generations.get_mut(key.slot as usize).filter(|now| **now == key.generation)?;
        *generation = generation.wrapping_add(1);
        if *generation != 0 {
            self.free.push(key.slot);
        }
        Some(self.carried[key.slot as usize].payload)
    }

    /// Of the slot's latest timer.
    #[inline]
    fn order(&self, key: TimerKey) -> u64 {
        self.carried[key.slot as usize].order
    }

    #[inline]
    fn has(&self, key: TimerKey) -> bool {
        self.generations.get(key.slot as usize) == Some(&key.generation)
    }
}

/// In 64 bits all the way: `as_nanos` has 128.
#[inline]
fn nanoseconds(time: Duration) -> u64 {
    let seconds = time.as_secs().checked_mul(1_000_000_000);
    seconds.and_then(|seconds| seconds.checked_add(time.subsec_nanos().into())).unwrap_or(u64::MAX)
}
