//! Handles and results, as C has them.

use crate::errno::{guarded, set};
use onewait::Errno;
use onewait::sys::Uncancellable;
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

/// What is behind a pointer that a program gave.
///
/// # Errors
/// EINVAL for null.
///
/// # Safety
/// It is null, or valid for as long as the reference is used.
#[inline]
pub(super) unsafe fn behind<'a, T>(pointer: *const T) -> Result<&'a T, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { pointer.as_ref() }.ok_or(Errno::INVAL)
}

/// Where a result is to be stored.
///
/// # Errors
/// EINVAL for null.
///
/// # Safety
/// It is null, or valid for writing.
#[inline]
pub(super) unsafe fn place<'a, T>(pointer: *mut T) -> Result<&'a mut T, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { pointer.as_mut() }.ok_or(Errno::INVAL)
}

/// Stores a result, if it is wanted.
///
/// # Safety
/// The place is null, or valid for writing.
#[inline]
pub(super) unsafe fn store<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: by contract.
        unsafe { place.write(value) };
    }
}

/// Runs the body of a function that gives a count: -1 with `errno` set if it fails.
#[inline]
pub(super) fn count(body: impl FnOnce() -> Result<usize, Errno>) -> isize {
    match guarded(body) {
        Ok(count) => count as isize,
        Err(errno) => {
            set(errno);
            -1
        }
    }
}

/// The same for a function that gives 0.
#[inline]
pub(super) fn status(body: impl FnOnce() -> Result<(), Errno>) -> c_int {
    count(|| body().map(|()| 0)) as c_int
}

/// The same for a function that makes something: null if it fails.
pub(super) fn made<T>(body: impl FnOnce() -> Result<T, Errno>) -> *mut T {
    let _uncancellable = Uncancellable::new();
    match guarded(|| body().map(Box::new)) {
        Ok(value) => Box::into_raw(value),
        Err(errno) => {
            set(errno);
            ptr::null_mut()
        }
    }
}

/// Ends what [`made`] made; `end` gets it. Nothing for null.
///
/// # Safety
/// It was not ended before, and nobody uses it any more.
pub(super) unsafe fn end<T>(handle: *mut T, end: impl FnOnce(Box<T>)) {
    if handle.is_null() {
        return;
    }
    // Closing a descriptor and waiting for a thread are cancellation points of libc's.
    let _uncancellable = Uncancellable::new();
    // SAFETY: it was a box, and is the caller's alone.
    let value = unsafe { Box::from_raw(handle) };
    // There is nobody to tell of a panic.
    let _ = guarded(|| {
        end(value);
        Ok(())
    });
}

/// A timeout in nanoseconds; a negative one is for ever.
#[inline]
pub(super) fn timeout(nanoseconds: i64) -> Option<Duration> {
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// A number of places that a program has. Not more are used than a `c_int` can count.
///
/// # Errors
/// EINVAL if it has none.
#[inline]
pub(super) fn room(max: c_int) -> Result<usize, Errno> {
    usize::try_from(max).ok().filter(|max| *max > 0).ok_or(Errno::INVAL)
}
