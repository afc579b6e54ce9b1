//! Whether reads are tried in the caller's thread: not where they were of no use lately.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI8, Ordering};

/// Misses in a row after which most attempts are left out.
const PATIENCE: i8 = 16;
/// Of those left out, one in so many is made all the same: the data may have come into the cache.
const PROBE: i8 = 32;

/// Hits in a row after which the next read is expected to be one.
const STEADY: i8 = -64;

/// By a hash of the descriptor's number: misses in a row, then attempts left out; or, below 0, hits in a row. Only a hint:
/// that numbers are reused, and that threads lose each other's counts, does no harm.
static RUNS: [AtomicI8; 256] = [const { AtomicI8::new(0) }; 256];

fn run(fd: RawFd) -> &'static AtomicI8 {
    &RUNS[fd as usize % RUNS.len()]
}

/// Whether an attempt is worth its system call.
#[inline]
pub(super) fn is_promising(fd: RawFd) -> bool {
    let run = run(fd);
    let count = run.load(Ordering::Relaxed);
    if count < PATIENCE {
        return true;
    }
    let next = if count >= PATIENCE + PROBE { PATIENCE } else { count + 1 };
    run.store(next, Ordering::Relaxed);
    count >= PATIENCE + PROBE
}

/// Whether all of the last reads were found in the page cache.
#[inline]
pub(super) fn is_steady(fd: RawFd) -> bool {
    run(fd).load(Ordering::Relaxed) == STEADY
}

/// An attempt found everything.
#[inline]
pub(super) fn found(fd: RawFd) {
    let run = run(fd);
    let count = run.load(Ordering::Relaxed);
    if count != STEADY {
        run.store(count.min(0) - 1, Ordering::Relaxed);
    }
}

/// An attempt found nothing.
pub(super) fn missed(fd: RawFd) {
    let run = run(fd);
    let count = run.load(Ordering::Relaxed);
    if count < PATIENCE {
        run.store(count.max(0) + 1, Ordering::Relaxed);
    }
}
