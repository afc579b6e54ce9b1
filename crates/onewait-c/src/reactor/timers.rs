//! Timers.

use super::handle::{behind, place, status, store};
use super::waiting::ReactorHandle;
use onewait::Errno;
use onewait::reactor::TimerKey;
use std::ffi::c_int;
use std::time::{Duration, Instant};

/// `ow_timer_arm`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_timer_arm(reactor: *mut ReactorHandle, time_ns: u64, token: u64, key: *mut u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { arm(reactor, || after(time_ns), token, key) }
}

/// `ow_timer_arm_at`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_timer_arm_at(
    reactor: *mut ReactorHandle,
    deadline_ns: u64,
    token: u64,
    key: *mut u64,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { arm(reactor, || at(deadline_ns), token, key) }
}

/// `ow_timer_rearm`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_timer_rearm(reactor: *mut ReactorHandle, key: *mut u64, time_ns: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { rearm(reactor, key, || after(time_ns)) }
}

/// `ow_timer_rearm_at`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_timer_rearm_at(reactor: *mut ReactorHandle, key: *mut u64, deadline_ns: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { rearm(reactor, key, || at(deadline_ns)) }
}

/// `ow_timer_cancel`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_timer_cancel(reactor: *mut ReactorHandle, key: u64, token: *mut u64) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        let cancelled = TimerKey::from_bits(key).and_then(|key| waiting.reactor.cancel_timer(key));
        let was = cancelled.ok_or(Errno(libc::ENOENT))?;
        // SAFETY: passed on to the caller.
        unsafe { store(token, was) };
        Ok(())
    })
}

/// # Safety
/// The pointers are null or valid.
unsafe fn arm(reactor: *mut ReactorHandle, deadline: impl Fn() -> Instant, token: u64, key: *mut u64) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        let armed = waiting.reactor.arm_timer(deadline(), token)?;
        // SAFETY: passed on to the caller.
        unsafe { store(key, armed.to_bits()) };
        Ok(())
    })
}

/// # Safety
/// The pointers are null or valid.
unsafe fn rearm(reactor: *mut ReactorHandle, key: *mut u64, deadline: impl Fn() -> Instant) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let (mut waiting, key) = unsafe { (behind(reactor)?.waiting()?, place(key)?) };
        let armed = TimerKey::from_bits(*key).and_then(|key| waiting.reactor.rearm_timer(key, deadline()));
        *key = armed.ok_or(Errno(libc::ENOENT))?.to_bits();
        Ok(())
    })
}

fn after(time_ns: u64) -> Instant {
    let now = Instant::now();
    // 584 years always fit, on this clock.
    now.checked_add(Duration::from_nanos(time_ns)).unwrap_or(now)
}

/// A moment on CLOCK_MONOTONIC, never early: what goes by between the two looks at the clock is added.
fn at(deadline_ns: u64) -> Instant {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is valid for writing; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    after(deadline_ns.saturating_sub(now.tv_sec as u64 * NANOSECONDS + now.tv_nsec as u64))
}

const NANOSECONDS: u64 = 1_000_000_000;
