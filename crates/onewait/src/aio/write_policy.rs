//! Whether buffered writes are done at once: as long as they turn out not to wait.
//!
//! Times are milliseconds of the coarse clock, which costs a few nanoseconds to read and goes in steps of up to ten. A
//! write that took long by that clock may have waited (for dirty pages to be written back, a journal, a disk), or its
//! thread may have lost the processor to another one; so the next few are looked at more closely.

use crate::sys;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A write during which so much time passed may have been made to wait.
const SLOW: u64 = 8;
/// After a write that waited none is tried for so many times as long as it took: so at most a twentieth of a thread's time
/// is spent waiting.
const REST: u64 = 20;
/// Writes that are looked at more closely after a slow one: those who write too much are made to wait every few dozen
/// pages.
const CLOSE_LOOKS: u32 = 64;
/// Longer writes take a while even if they wait for nothing.
const LONGEST: u32 = 64 * 1024;

/// When the rest ends, or 0; shared by all files, for memory is.
static REST_ENDS: AtomicU64 = AtomicU64::new(0);
/// How many of the next writes are looked at more closely.
static CLOSE_LOOKS_LEFT: AtomicU32 = AtomicU32::new(0);

/// Whether a write of so many bytes may be tried.
#[inline]
pub(super) fn allows(length: u32) -> bool {
    if length > LONGEST {
        return false;
    }
    let end = REST_ENDS.load(Ordering::Relaxed);
    if end == 0 {
        return true;
    }
    let is_over = sys::coarse_milliseconds() >= end;
    if is_over {
        REST_ENDS.store(0, Ordering::Relaxed);
    }
    is_over
}

/// A write that is being done by the calling thread.
pub(super) struct Watched {
    begin: u64,
    /// How often the thread had waited before, where this is a closer look.
    waits: Option<u64>,
}

impl Watched {
    /// The write begins.
    #[inline]
    pub(super) fn begin() -> Watched {
        let looks = CLOSE_LOOKS_LEFT.load(Ordering::Relaxed);
        let waits = (looks > 0).then(|| {
            // Two threads may count one look.
            CLOSE_LOOKS_LEFT.store(looks - 1, Ordering::Relaxed);
            sys::count_waits()
        });
        Watched { begin: sys::coarse_milliseconds(), waits }
    }

    /// The write has ended.
    #[inline]
    pub(super) fn end(self) {
        let end = sys::coarse_milliseconds();
        let time = end.saturating_sub(self.begin);
        if time >= SLOW {
            self.was_slow(end, time);
        }
    }

    #[cold]
    fn was_slow(&self, end: u64, time: u64) {
        CLOSE_LOOKS_LEFT.store(CLOSE_LOOKS, Ordering::Relaxed);
        if self.waits.is_some_and(|waits| sys::count_waits() > waits) {
            REST_ENDS.store(end + time * REST, Ordering::Relaxed);
        }
    }
}
