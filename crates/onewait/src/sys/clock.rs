//! Clocks: one that costs next to nothing, and the one that futexes use.

use std::time::Instant;

const NANOSECONDS: libc::c_long = 1_000_000_000;

/// Milliseconds on the coarse monotonic clock, which goes in steps of 1 to 10.
#[inline]
pub(crate) fn coarse_milliseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is valid for writing; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds on the monotonic clock. Async-signal-safe.
#[inline]
pub(crate) fn monotonic_nanoseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is valid for writing; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * NANOSECONDS as u64 + now.tv_nsec as u64
}

/// The moment on the clock that futexes use; `None` if it has passed.
pub fn monotonic(then: Instant) -> Option<libc::timespec> {
    let left = then.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let nanoseconds = now.tv_nsec + left.subsec_nanos() as libc::c_long;
    Some(libc::timespec {
        tv_sec: now.tv_sec.saturating_add(left.as_secs() as libc::time_t) + nanoseconds / NANOSECONDS,
        tv_nsec: nanoseconds % NANOSECONDS,
    })
}
