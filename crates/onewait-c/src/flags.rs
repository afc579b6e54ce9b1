//! Changes of a descriptor's flags (O_APPEND, O_DIRECT): what the engine remembers of it no longer holds.

use crate::process;
use std::ffi::c_int;

unsafe extern "C-unwind" {
    /// libc's own name of `fcntl`: a cancellation point where the program expects one.
    #[link_name = "__fcntl"]
    fn real_fcntl(fd: c_int, command: c_int, ...) -> c_int;
}

/// The argument, if there is one, is passed in the same place as one of a fixed number would be.
#[inline]
unsafe fn change(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: passed on to the caller.
    let result = unsafe { real_fcntl(fd, command, argument) };
    if command == libc::F_SETFL
        && let Some(process) = process::existing()
    {
        process.engine.forget_descriptor(fd);
    }
    result
}

/// `fcntl(2)`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { change(fd, command, argument) }
}

/// `fcntl(2)`, as programs with large files call it.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { change(fd, command, argument) }
}
