//! The kernel's own native AIO: for what is passed through, and behind our contexts for O_DIRECT.

use super::abi::{IoEvent, Iocb, SignalSet};
use onewait::Errno;
use onewait::sys::raw_syscall;
use std::ffi::c_long;

/// The number of `io_pgetevents(2)`, which libc does not know: on x86-64, and as most processors have it.
pub(crate) const SYS_IO_PGETEVENTS: c_long = if cfg!(target_arch = "x86_64") { 333 } else { 292 };

/// A context of the kernel's, or what a program says is one.
pub(super) type Handle = usize;

/// `io_setup(2)`.
///
/// # Errors
/// EFAULT, EINVAL, EAGAIN, ENOMEM, ENOSYS.
pub(super) fn setup(requests: u32, context: *mut Handle) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the address.
    unsafe { raw_syscall(libc::SYS_io_setup, [requests as usize, context as usize, 0, 0, 0, 0]) }
}

/// `io_destroy(2)`: waits for what is in flight.
///
/// # Errors
/// EINVAL.
pub(super) fn destroy(context: Handle) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the context.
    unsafe { raw_syscall(libc::SYS_io_destroy, [context, 0, 0, 0, 0, 0]) }
}

/// `io_submit(2)`: how many were submitted.
///
/// # Errors
/// Those of the first request.
///
/// # Safety
/// The requests' buffers are valid until they end.
pub(super) unsafe fn submit(context: Handle, count: isize, list: *const *mut Iocb) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the addresses; the buffers are the caller's duty.
    unsafe { raw_syscall(libc::SYS_io_submit, [context, count as usize, list as usize, 0, 0, 0]) }
}

/// `io_cancel(2)`.
///
/// # Errors
/// EINVAL, EINPROGRESS (the request's event comes in the usual way).
pub(super) fn cancel(context: Handle, block: *mut Iocb, event: *mut IoEvent) -> Result<usize, Errno> {
    // SAFETY: the kernel checks the addresses.
    unsafe { raw_syscall(libc::SYS_io_cancel, [context, block as usize, event as usize, 0, 0, 0]) }
}

/// `io_getevents(2)`, or with a mask `io_pgetevents(2)`.
///
/// # Errors
/// EFAULT, EINVAL, EINTR.
///
/// # Safety
/// So many events can be written.
pub(super) unsafe fn reap(
    context: Handle,
    min: isize,
    max: isize,
    events: *mut IoEvent,
    timeout: *const libc::timespec,
    mask: *const SignalSet,
) -> Result<usize, Errno> {
    let number = if mask.is_null() { libc::SYS_io_getevents } else { SYS_IO_PGETEVENTS };
    let arguments = [context, min as usize, max as usize, events as usize, timeout as usize, mask as usize];
    // SAFETY: passed on to the caller.
    unsafe { raw_syscall(number, arguments) }
}
