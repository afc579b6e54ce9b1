//! Whether buffered writes are done in the caller's thread: as long as they turn out not to wait.
//!
//! Times are milliseconds of the coarse clock, which costs a few nanoseconds to read and goes in steps of up to ten.

use crate::sys;
use std::sync::atomic::{AtomicU64, Ordering};

/// A write during which so much time passed was made to wait: for dirty pages to be written back, for a journal, for a
/// disk. A thread that merely loses its CPU to another one gets it back sooner.
const SLOW: u64 = 8;
/// After a slow write none is tried for so many times as long as it took: so at most a twentieth of a writer's time is
/// spent waiting.
const REST: u64 = 20;
/// Longer writes take a while even if they wait for nothing.
const LONGEST: u32 = 64 * 1024;

/// When the rest ends, or 0; shared by all files, for memory is.
static REST_ENDS: AtomicU64 = AtomicU64::new(0);

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

/// A write lasted from `begin` to `end`.
#[inline]
pub(super) fn learn(begin: u64, end: u64) {
    let time = end.saturating_sub(begin);
    if time >= SLOW {
        REST_ENDS.store(end + time * REST, Ordering::Relaxed);
    }
}
