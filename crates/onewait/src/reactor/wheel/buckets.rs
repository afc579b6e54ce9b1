//! The wheel's buckets: 8 levels of 64, each a stack of chunks from one array.
//!
//! A bucket of level n is 64^n ticks wide. Where a tick belongs depends on the tick that the wheel has reached, and on nothing
//! else: the highest digit (of 6 bits) in which the two differ is the level, and the tick's own digit there is the bucket.
//! So of two levels the lower one is earlier as a whole, and in a level the lower bucket is: the first bucket is found by
//! two counts of zero bits.
//!
//! Entries lie side by side, not in linked lists. Adding one writes where the last one was written, and who empties a bucket
//! reads on; a list would go from cache miss to cache miss. For the same reason nobody takes a cancelled timer's entry
//! out: it is *dead*, and is swept when its room is needed.

use super::TimerKey;

/// Of 64-bit nanoseconds, those below a tick: 2^16 ns are 65.5 µs.
pub(super) const TICK_BITS: u32 = 16;
const DIGIT_BITS: u32 = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;
/// The 48 bits of a tick are eight digits, so no deadline lies beyond the last level.
pub(super) const LEVELS: usize = ((u64::BITS - TICK_BITS) / DIGIT_BITS) as usize;
const _: () = assert!(LEVELS as u32 * DIGIT_BITS == u64::BITS - TICK_BITS, "every deadline has a level");

/// The entries of a chunk: as many as a word has bits.
pub(super) const CHUNK: usize = 32;
/// How many chunks are swept for each that is filled, once more than a quarter (and a few chunks) is in use than timers
/// need. This keeps the dead below what is armed, however long timers are cancelled as fast as they are armed.
const SWEEP: usize = 4;
const SPARE: usize = 16 * CHUNK;
/// No chunk.
const NONE: u32 = u32::MAX;

/// A timer as it waits. Small, since arming one most often writes where no cache is warm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// In nanoseconds.
    pub(super) deadline: u64,
    pub(super) key: TimerKey,
}

impl Entry {
    #[inline]
    pub(super) fn tick(&self) -> u64 {
        self.deadline >> TICK_BITS
    }
}

/// One bucket: level × 64 + digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket(u32);

impl Bucket {
    /// Where `tick`, which is after `reached`, belongs.
    #[inline]
    pub(super) fn of(tick: u64, reached: u64) -> Bucket {
        // The 1 keeps the logarithm defined; it changes no level.
        let level = ((tick ^ reached) | 1).ilog2() / DIGIT_BITS;
        let digit = (tick >> (level * DIGIT_BITS)) as u32 % BUCKETS as u32;
        Bucket(level * BUCKETS as u32 + digit)
    }

    /// The first tick that belongs here when `reached` was reached.
    pub(super) fn start(self, reached: u64) -> u64 {
        let shift = self.level() as u32 * DIGIT_BITS;
        let above = reached >> shift >> DIGIT_BITS << DIGIT_BITS;
        (above | u64::from(self.digit())) << shift
    }

    fn level(self) -> usize {
        self.0 as usize / BUCKETS
    }

    fn digit(self) -> u32 {
        self.0 % BUCKETS as u32
    }
}

#[derive(Clone, Copy)]
struct Chunk {
    /// The next one down in its bucket; for a free chunk, the next free one.
    below: u32,
    bucket: Bucket,
    /// 0 if the chunk is free. All but the top chunk of a bucket are full.
    length: u32,
}

pub(super) struct Buckets {
    /// The top chunk of each.
    tops: [u32; LEVELS * BUCKETS],
    /// A bit for each bucket of a level that has an entry in it.
    occupied: [u64; LEVELS],
    /// A bit for each level that has one.
    levels: u32,
    chunks: Vec<Chunk>,
    /// Chunk after chunk.
    entries: Vec<[Entry; CHUNK]>,
    free: u32,
    /// How many chunks are not free.
    used: usize,
    /// The chunk that is swept next.
    hand: usize,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self {
            tops: [NONE; LEVELS * BUCKETS],
            occupied: [0; LEVELS],
            levels: 0,
            chunks: Vec::new(),
            entries: Vec::new(),
            free: NONE,
            used: 0,
            hand: 0,
        }
    }

    /// The earliest bucket with an entry in it.
    #[inline]
    pub(super) fn first(&self) -> Option<Bucket> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let digit = self.occupied[level as usize].trailing_zeros();
        Some(Bucket(level * BUCKETS as u32 + digit))
    }

    /// Adds an entry, when `armed` timers are armed. Whoever fills a chunk sweeps some, if much is dead.
    #[inline]
    pub(super) fn push(&mut self, bucket: Bucket, entry: Entry, armed: usize, alive: impl Fn(TimerKey) -> bool) {
        let top = self.tops[bucket.0 as usize];
        match self.chunks.get_mut(top as usize) {
            Some(chunk) if (chunk.length as usize) < CHUNK => {
                self.entries[top as usize][chunk.length as usize] = entry;
                chunk.length += 1;
            }
            _ => self.push_chunk(bucket, entry, armed, alive),
        }
    }

    #[inline(never)]
    fn push_chunk(&mut self, bucket: Bucket, entry: Entry, armed: usize, alive: impl Fn(TimerKey) -> bool) {
        if self.used * CHUNK > armed + armed / 4 + SPARE {
            for _ in 0..SWEEP {
                // What fills the places may be dead, too: where many were, look again.
                if self.sweep(self.hand, &alive) < CHUNK as u32 / 2 {
                    self.hand = if self.hand + 1 < self.chunks.len() { self.hand + 1 } else { 0 };
                }
            }
        }
        // Sweeping may have taken entries from the top, so look again.
        let top = self.tops[bucket.0 as usize];
        if let Some(chunk) = self.chunks.get_mut(top as usize)
            && (chunk.length as usize) < CHUNK
        {
            self.entries[top as usize][chunk.length as usize] = entry;
            chunk.length += 1;
            return;
        }
        let chunk = Chunk { below: top, bucket, length: 1 };
        let number = self.free;
        if let Some(free) = self.chunks.get_mut(number as usize) {
            self.free = free.below;
            *free = chunk;
            self.entries[number as usize][0] = entry;
            self.tops[bucket.0 as usize] = number;
        } else {
            // Chunks are fewer than slots, whose numbers have 32 bits.
            self.tops[bucket.0 as usize] = self.chunks.len() as u32;
            self.chunks.push(chunk);
            self.entries.push([entry; CHUNK]);
        }
        self.used += 1;
        self.occupied[bucket.level()] |= 1 << bucket.digit();
        self.levels |= 1 << bucket.level();
    }

    /// Takes any entry out of a bucket.
    #[inline]
    pub(super) fn pop(&mut self, bucket: Bucket) -> Option<Entry> {
        let top = self.tops[bucket.0 as usize];
        let chunk = self.chunks.get_mut(top as usize)?;
        chunk.length -= 1;
        let entry = self.entries[top as usize][chunk.length as usize];
        if chunk.length == 0 {
            let below = std::mem::replace(&mut chunk.below, self.free);
            self.free = top;
            self.used -= 1;
            self.tops[bucket.0 as usize] = below;
            if below == NONE {
                self.occupied[bucket.level()] &= !(1 << bucket.digit());
                if self.occupied[bucket.level()] == 0 {
                    self.levels &= !(1 << bucket.level());
                }
            }
        }
        Some(entry)
    }

    /// Takes the dead out of a chunk, and fills their places from the top of its bucket, dead or not. How
    /// many were dead.
    fn sweep(&mut self, number: usize, alive: impl Fn(TimerKey) -> bool) -> u32 {
        let Chunk { bucket, length, .. } = self.chunks[number];
        // All are looked up before anything is decided: no lookup waits for another one's cache miss.
        let mut dead = 0u32;
        for (place, entry) in self.entries[number][..length as usize].iter().enumerate() {
            dead |= u32::from(!alive(entry.key)) << place;
        }
        let count = dead.count_ones();
        // From the end, so that in the top chunk what is popped is alive, or the place itself.
        while dead != 0 {
            let place = dead.ilog2();
            dead &= !(1 << place);
            if let Some(entry) = self.pop(bucket)
                && place < self.chunks[number].length
            {
                self.entries[number][place as usize] = entry;
            }
        }
        count
    }

    /// The entries of a bucket, none of them dead, if they are so few that they fit in one chunk.
    pub(super) fn few(&mut self, bucket: Bucket, alive: impl Fn(TimerKey) -> bool) -> Option<&[Entry]> {
        let top = self.tops[bucket.0 as usize] as usize;
        if top < self.chunks.len() {
            self.sweep(top, alive);
        }
        let top = self.tops[bucket.0 as usize] as usize;
        match self.chunks.get(top) {
            Some(chunk) if chunk.below == NONE => Some(&self.entries[top][..chunk.length as usize]),
            Some(_) => None,
            None => Some(&[]),
        }
    }

    /// How many entries there is room for.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.chunks.len() * CHUNK
    }
}
