//! Whether reads are tried in the caller's thread: not where they were of no use lately.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};

/// Misses in a row after which most attempts are left out.
const PATIENCE: u8 = 16;
/// Of those left out, one in so many is made all the same: the data may have come into the cache.
const PROBE: u8 = 32;

/// Misses in a row, by a hash of the descriptor's number. Only a hint: that numbers are reused does no harm.
static MISSES: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

fn misses(fd: RawFd) -> &'static AtomicU8 {
    &MISSES[fd as usize % MISSES.len()]
}

/// Whether an attempt is worth its system call.
#[inline]
pub(super) fn is_promising(fd: RawFd) -> bool {
    let misses = misses(fd);
    let count = misses.load(Ordering::Relaxed);
    if count < PATIENCE {
        return true;
    }
    let next = if count >= PATIENCE + PROBE { PATIENCE } else { count + 1 };
    misses.store(next, Ordering::Relaxed);
    count >= PATIENCE + PROBE
}

/// An attempt found everything.
#[inline]
pub(super) fn found(fd: RawFd) {
    let misses = misses(fd);
    if misses.load(Ordering::Relaxed) != 0 {
        misses.store(0, Ordering::Relaxed);
    }
}

/// An attempt found nothing.
pub(super) fn missed(fd: RawFd) {
    let misses = misses(fd);
    let count = misses.load(Ordering::Relaxed);
    if count < PATIENCE {
        misses.store(count + 1, Ordering::Relaxed);
    }
}
