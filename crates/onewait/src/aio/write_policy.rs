//! Whether buffered writes are done in the caller's thread: as long as they turn out fast.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A write that takes longer had to wait for something: dirty pages to be written back, a journal, a disk.
const SLOW: Duration = Duration::from_micros(250);
/// So long no further write is tried after a slow one.
const REST: Duration = Duration::from_millis(50);
/// Longer writes take a while even if they wait for nothing.
const LONGEST: u32 = 64 * 1024;

/// When the rest ends, in nanoseconds since the first use; shared by all files, for memory is.
static REST_ENDS: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

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
    let is_over = now() >= end;
    if is_over {
        REST_ENDS.store(0, Ordering::Relaxed);
    }
    is_over
}

/// A write took so long.
#[inline]
pub(super) fn learn(time: Duration) {
    if time > SLOW {
        REST_ENDS.store(now() + REST.as_nanos() as u64, Ordering::Relaxed);
    }
}
