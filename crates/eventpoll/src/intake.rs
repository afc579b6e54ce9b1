//! Where notifications arrive: a stack of items that many push on and one takes as a whole, and in the same word the
//! few flags that who pushes must know.
//!
//! One word holds all of it, so that a thread that is about to sleep and a thread that notifies decide by the same
//! compare-and-swap, and no fence is needed between them.

use crate::item::Item;
use crate::sync::{AtomicU64, Ordering};

/// The ready list is not empty.
pub(crate) const READY: u64 = 1 << 32;
/// A waiter sleeps.
pub(crate) const SLEEPERS: u64 = 1 << 33;
/// Another event poll watches this one.
pub(crate) const WATCHED: u64 = 1 << 34;
/// A waker was used, and no wait was interrupted for it yet.
pub(crate) const WAKE: u64 = 1 << 35;
/// The event poll is closed.
pub(crate) const CLOSED: u64 = 1 << 36;

/// The slot of the topmost item, plus one.
const TOP: u64 = 0xffff_ffff;

pub(crate) struct Intake {
    word: AtomicU64,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0) }
    }

    /// The flags, and whatever else is in the word.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Whether a wait may find something: rule 58's and 60's lockless look.
    #[inline]
    pub(crate) const fn may_have_events(word: u64) -> bool {
        word & (TOP | READY) != 0
    }

    /// Puts an item on top; it must not be in here. Returns the flags.
    #[inline]
    pub(crate) fn push(&self, item: &Item) -> u64 {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            item.put_behind(top_of(word));
            let with_item = word & !TOP | (u64::from(item.slot) + 1);
            match self.word.compare_exchange_weak(word, with_item, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return word,
                Err(now) => word = now,
            }
        }
    }

    /// Takes all items away, newest first in the chain, and sets flags in the same step. Returns the slot of the first,
    /// plus one.
    #[inline]
    pub(crate) fn take(&self, flags: u64) -> u32 {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & TOP == 0 {
                return 0;
            }
            match self.word.compare_exchange_weak(word, word & !TOP | flags, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return top_of(word),
                Err(now) => word = now,
            }
        }
    }

    /// Takes the only item away, if `is_only` says that the topmost, of which it gets the slot, has none behind it.
    #[inline]
    pub(crate) fn take_only(&self, is_only: impl FnOnce(u32) -> bool) -> Option<u32> {
        let word = self.word.load(Ordering::Acquire);
        let number = top_of(word).checked_sub(1)?;
        let is_only = is_only(number);
        // Items are taken away by whoever has the interests locked, and by nobody else: the same word is the same item.
        let taken = || self.word.compare_exchange(word, word & !TOP, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        (is_only && taken()).then_some(number)
    }

    /// Sets flags. Returns the word as it was.
    pub(crate) fn set(&self, flags: u64) -> u64 {
        self.word.fetch_or(flags, Ordering::AcqRel)
    }

    /// Takes flags away. Returns the word as it was.
    pub(crate) fn clear(&self, flags: u64) -> u64 {
        self.word.fetch_and(!flags, Ordering::AcqRel)
    }

    /// The word as a read-modify-write sees it: never an old one.
    pub(crate) fn latest(&self) -> u64 {
        self.word.fetch_or(0, Ordering::AcqRel)
    }

    /// Sets `SLEEPERS`, unless there may be something to report, or a waker or the end came first. Returns the word
    /// that decided.
    pub(crate) fn announce_sleeper(&self) -> u64 {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & (TOP | READY | WAKE | CLOSED) != 0 {
                return word;
            }
            match self.word.compare_exchange_weak(word, word | SLEEPERS, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return word,
                Err(now) => word = now,
            }
        }
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half is the flags'")]
fn top_of(word: u64) -> u32 {
    word as u32
}
