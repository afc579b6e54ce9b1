//! What a reactor watches: descriptors and sources.

use super::handle::{behind, status};
use super::source::Source;
use super::waiting::ReactorHandle;
use onewait::Errno;
use onewait::reactor::Interest;
use std::ffi::c_int;
use std::os::fd::BorrowedFd;

/// `ow_add_fd`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_add_fd(reactor: *mut ReactorHandle, fd: c_int, events: u32, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor) }?.registry.add(borrowed(fd)?, Interest::from(events), token))
}

/// `ow_modify_fd`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_modify_fd(reactor: *mut ReactorHandle, fd: c_int, events: u32, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor) }?.registry.modify(borrowed(fd)?, Interest::from(events), token))
}

/// `ow_delete_fd`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_delete_fd(reactor: *mut ReactorHandle, fd: c_int) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor) }?.registry.delete(borrowed(fd)?))
}

/// `ow_add`.
///
/// # Safety
/// The handles are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_add(reactor: *mut ReactorHandle, source: *mut Source, events: u32, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor)?.registry.add(behind(source)?, Interest::from(events), token) })
}

/// `ow_modify`.
///
/// # Safety
/// The handles are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_modify(reactor: *mut ReactorHandle, source: *mut Source, events: u32, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor)?.registry.modify(behind(source)?, Interest::from(events), token) })
}

/// `ow_delete`.
///
/// # Safety
/// The handles are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_delete(reactor: *mut ReactorHandle, source: *mut Source) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| unsafe { behind(reactor)?.registry.delete(behind(source)?) })
}

/// A descriptor of the program's, for a call.
///
/// # Errors
/// EBADF for what is no number of one.
fn borrowed<'a>(fd: c_int) -> Result<BorrowedFd<'a>, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1. If it is not open, the kernel says so, and nothing else is done with it.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
