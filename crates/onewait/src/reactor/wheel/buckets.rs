//! The wheel's buckets: 8 levels of 64 lists, threaded through one array of links.
//!
//! A bucket of level n is 64^n ticks wide. Where a tick belongs depends on the tick that the wheel has reached, and on nothing
//! else: the highest digit (of 6 bits) in which the two differ is the level, and the tick's own digit there is the bucket.
//! So of two levels the lower one is earlier as a whole, and in a level the lower bucket is: the first timer is found by two
//! counts of zero bits. And timers of one tick are always in one bucket, in the order in which they came.
//!
//! Links are apart from the timers, 8 bytes each, since whoever unlinks touches the links of two neighbours, and nothing
//! else of them. The list of a bucket is circular and begins at a link of its own: unlinking has no special cases, and need
//! not be told the bucket.

/// Of 64-bit nanoseconds, those below a tick: 2^16 ns are 65.5 µs.
pub(super) const TICK_BITS: u32 = 16;
const DIGIT_BITS: u32 = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;
/// The 48 bits of a tick are eight digits, so no deadline lies beyond the last level.
pub(super) const LEVELS: usize = ((u64::BITS - TICK_BITS) / DIGIT_BITS) as usize;
const _: () = assert!(LEVELS as u32 * DIGIT_BITS == u64::BITS - TICK_BITS, "every deadline has a level");

/// The links of the buckets themselves come first.
const HEADS: u32 = (LEVELS * BUCKETS) as u32;
/// Instead of a neighbour: the slot is in no bucket.
const OUTSIDE: u32 = u32::MAX;
/// How many slots can be linked.
pub(super) const MOST_SLOTS: usize = (OUTSIDE - HEADS) as usize;

/// One bucket: level × 64 + digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket(u32);

impl Bucket {
    /// Where `tick`, which is not before `reached`, belongs.
    #[inline]
    pub(super) fn of(tick: u64, reached: u64) -> Bucket {
        // Without a difference, the lowest digit decides.
        let level = ((tick ^ reached) | 1).ilog2() / DIGIT_BITS;
        let digit = (tick >> (level * DIGIT_BITS)) as u32 % BUCKETS as u32;
        Bucket(level * BUCKETS as u32 + digit)
    }

    pub(super) fn level(self) -> usize {
        self.0 as usize / BUCKETS
    }

    fn digit(self) -> u32 {
        self.0 % BUCKETS as u32
    }

    /// The first tick that belongs here when `reached` was reached.
    pub(super) fn start(self, reached: u64) -> u64 {
        let shift = self.level() as u32 * DIGIT_BITS;
        let above = reached >> shift >> DIGIT_BITS << DIGIT_BITS;
        (above | u64::from(self.digit())) << shift
    }
}

#[derive(Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
}

pub(super) struct Buckets {
    links: Vec<Link>,
    /// A bit for each bucket of a level that has a timer in it.
    occupied: [u64; LEVELS],
    /// A bit for each level that has one.
    levels: u32,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let links = (0..HEADS).map(|head| Link { previous: head, next: head }).collect();
        Self { links, occupied: [0; LEVELS], levels: 0 }
    }

    /// Makes room for one slot more, which is outside.
    pub(super) fn grow(&mut self) {
        self.links.push(Link { previous: OUTSIDE, next: 0 });
    }

    /// The earliest bucket with a timer in it.
    #[inline]
    pub(super) fn first(&self) -> Option<Bucket> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros();
        let digit = self.occupied[level as usize].trailing_zeros();
        Some(Bucket(level * BUCKETS as u32 + digit))
    }

    /// Puts a slot that is outside behind the last one of the bucket.
    #[inline]
    pub(super) fn push_back(&mut self, bucket: Bucket, slot: u32) {
        let last = self.links[bucket.0 as usize].previous;
        self.insert(bucket, slot, Link { previous: last, next: bucket.0 });
    }

    /// Puts a slot that is outside before the first one of the bucket.
    #[inline]
    pub(super) fn push_front(&mut self, bucket: Bucket, slot: u32) {
        let first = self.links[bucket.0 as usize].next;
        self.insert(bucket, slot, Link { previous: bucket.0, next: first });
    }

    #[inline]
    fn insert(&mut self, bucket: Bucket, slot: u32, between: Link) {
        let link = HEADS + slot;
        self.links[link as usize] = between;
        self.links[between.previous as usize].next = link;
        self.links[between.next as usize].previous = link;
        self.occupied[bucket.level()] |= 1 << bucket.digit();
        self.levels |= 1 << bucket.level();
    }

    /// Takes a slot out of the bucket that it is in.
    #[inline]
    pub(super) fn unlink(&mut self, slot: u32) {
        let Link { previous, next } = self.links[(HEADS + slot) as usize];
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
        // Only a bucket's own link has itself on both sides.
        if previous == next && next < HEADS {
            let bucket = Bucket(next);
            self.occupied[bucket.level()] &= !(1 << bucket.digit());
            if self.occupied[bucket.level()] == 0 {
                self.levels &= !(1 << bucket.level());
            }
        }
    }

    pub(super) fn first_in(&self, bucket: Bucket) -> Option<u32> {
        self.links[bucket.0 as usize].next.checked_sub(HEADS)
    }

    pub(super) fn last_in(&self, bucket: Bucket) -> Option<u32> {
        self.links[bucket.0 as usize].previous.checked_sub(HEADS)
    }

    /// The slots of a bucket, first to last.
    pub(super) fn slots(&self, bucket: Bucket) -> impl Iterator<Item = u32> {
        std::iter::successors(self.first_in(bucket), |slot| self.links[(HEADS + slot) as usize].next.checked_sub(HEADS))
    }

    /// Notes a number for a slot that is in no bucket.
    #[inline]
    pub(super) fn set_outside(&mut self, slot: u32, number: u32) {
        self.links[(HEADS + slot) as usize] = Link { previous: OUTSIDE, next: number };
    }

    /// The number that was noted, if the slot is in no bucket.
    #[inline]
    pub(super) fn outside(&self, slot: u32) -> Option<u32> {
        let link = self.links[(HEADS + slot) as usize];
        (link.previous == OUTSIDE).then_some(link.next)
    }
}
