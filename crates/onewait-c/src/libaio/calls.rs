//! The calls, whichever way they come: by libaio's functions or by `syscall`. What is no context of ours is the kernel's
//! business: one that was passed through, one of a program's own making, or none at all (EINVAL).

use super::abi::{IoEvent, Iocb, SignalSet};
use super::context::Held;
use super::reap::{self, Wanted};
use super::{cancel as cancelling, kernel, lifetime, submit as submitting};
use crate::errno::{Kept, guarded};
use crate::process::{self, Process};
use onewait::Errno;
use std::ffi::c_long;

/// The context of ours that a program means.
#[inline]
fn ours(handle: usize) -> Option<(&'static Process, Held)> {
    let process = process::existing()?;
    process.existing_contexts()?.find(handle).map(|context| (process, context))
}

/// Runs the body of a call, which leaves `errno` alone (rule 1).
#[inline]
fn within<T>(body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let _kept = Kept::new();
    guarded(body)
}

/// Whether libaio's functions give 0 without asking: nothing is there, and the caller does not wait. Their numbers may be
/// wrong then (rule 22).
pub(super) fn is_empty_and_urgent(handle: usize, timeout: *const libc::timespec) -> bool {
    // SAFETY: null, or a time.
    let is_urgent = unsafe { timeout.as_ref() }.is_some_and(|timeout| timeout.tv_sec == 0 && timeout.tv_nsec == 0);
    is_urgent && ours(handle).is_some_and(|(process, context)| reap::is_empty(process, &context))
}

/// `io_setup(2)`.
///
/// # Safety
/// The place is null, or valid for reading and writing.
pub(super) unsafe fn setup(requests: u32, place: *mut usize) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    within(|| unsafe { lifetime::setup(requests, place) }).map(|()| 0)
}

/// `io_destroy(2)`.
pub(super) fn destroy(handle: usize) -> Result<usize, Errno> {
    match ours(handle) {
        Some((process, context)) => within(|| lifetime::destroy(process, &context)).map(|()| 0),
        None => kernel::destroy(handle),
    }
}

/// `io_submit(2)`.
///
/// # Safety
/// There are so many control blocks; their buffers are valid until they end.
#[inline]
pub(super) unsafe fn submit(handle: usize, count: isize, list: *const *mut Iocb) -> Result<usize, Errno> {
    match ours(handle) {
        // SAFETY: passed on to the caller.
        Some((process, context)) => within(|| unsafe { submitting::submit(process, &context, count, list) }),
        // SAFETY: passed on to the caller.
        None => unsafe { kernel::submit(handle, count, list) },
    }
}

/// `io_cancel(2)`.
///
/// # Safety
/// The block is null or a control block.
pub(super) unsafe fn cancel(handle: usize, block: *mut Iocb, event: *mut IoEvent) -> Result<usize, Errno> {
    match ours(handle) {
        // SAFETY: passed on to the caller.
        Some((process, context)) => within(|| Err(unsafe { cancelling::cancel(process, &context, block, event) })),
        None => kernel::cancel(handle, block, event),
    }
}

/// `io_getevents(2)`, or with a mask `io_pgetevents(2)`.
///
/// # Safety
/// So many events can be written; timeout and mask are null, or what they are called.
#[inline]
pub(super) unsafe fn reap(
    handle: usize,
    range: (isize, isize),
    events: *mut IoEvent,
    timeout: *const libc::timespec,
    mask: *const SignalSet,
) -> Result<usize, Errno> {
    match ours(handle) {
        Some((process, context)) => within(|| {
            let mask = SignalSet::checked(mask)?;
            let wanted = Wanted::new(range, events, timeout, mask)?;
            // SAFETY: passed on to the caller.
            unsafe { reap::reap(process, &context, &wanted) }
        }),
        // SAFETY: passed on to the caller.
        None => unsafe { kernel::reap(handle, range.0, range.1, events, timeout, mask) },
    }
}

/// One of the system calls, by its number.
///
/// # Errors
/// As the system call.
///
/// # Safety
/// As the system call.
pub(crate) unsafe fn system_call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    unsafe {
        match number {
            libc::SYS_io_setup => setup(a as u32, b as *mut usize),
            libc::SYS_io_destroy => destroy(a),
            libc::SYS_io_submit => submit(a, b as isize, c as *const *mut Iocb),
            libc::SYS_io_cancel => cancel(a, b as *mut Iocb, c as *mut IoEvent),
            _ => {
                let mask = if number == kernel::SYS_IO_PGETEVENTS { f as *const SignalSet } else { std::ptr::null() };
                let range = (b as isize, c as isize);
                reap(a, range, d as *mut IoEvent, e as *const libc::timespec, mask)
            }
        }
    }
}
