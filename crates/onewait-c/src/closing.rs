//! Closing descriptors: a number that is closed or reused must not lead a queued request to another file (defect l), and
//! a program that closes everything it finds must not close what the library works with.
//!
//! Closes that go past libc's functions, by `syscall(2)` or inside libc (`closedir` and the like), are not seen: a request
//! that was queued and not yet handed to the kernel is then at the mercy of the number, as it is with glibc.
//!
//! In the common case a close costs two loads more than the original; a `dup2` in a process that uses AIO a system call and a
//! few atomic operations.

use crate::errno;
use crate::process::{self, Process};
use crate::real::call_real;
use onewait::{Errno, sys};
use std::ffi::{c_int, c_uint, c_void};

/// `CLOSE_RANGE_CLOEXEC` of `linux/close_range.h`: closes nothing now.
const CLOSE_ON_EXEC_ONLY: c_int = 1 << 2;

unsafe extern "C-unwind" {
    /// libc's own name of `close`: a cancellation point, as the program expects.
    #[link_name = "__close"]
    fn real_close(fd: c_int) -> c_int;
}

/// Whether the descriptor is one of the library's, in a process that uses it.
fn is_ours(fd: c_int) -> bool {
    if !sys::is_own_descriptor(fd) || !process::existing().is_some_and(Process::is_callers) {
        return false;
    }
    sys::await_transient(fd);
    sys::is_own_descriptor(fd)
}

#[inline]
fn before_close(fd: c_int) {
    if let Some(process) = process::existing() {
        process.bells.forget(fd);
        if process.engine.needs_number(fd) {
            release_number(process, fd);
        }
    }
}

/// Rare enough to make sure first that this is no child of `vfork`, whose descriptors are others.
#[cold]
fn release_number(process: &Process, fd: c_int) {
    let _kept = errno::Kept::new();
    if process.is_callers() {
        process.engine.release_number(fd);
    }
}

/// `new` is about to mean the file of `old`: when the value is dropped, it does.
///
/// # Errors
/// EBUSY if the library needs that number.
fn before_replacing(old: c_int, new: c_int) -> Result<Option<sys::Replacing>, Errno> {
    if old == new || process::existing().is_none() {
        return Ok(None);
    }
    let _kept = errno::Kept::new();
    // SAFETY: no pointers.
    if unsafe { libc::fcntl(old, libc::F_GETFD) } < 0 {
        return Ok(None);
    }
    before_close(new);
    let replacing = sys::Replacing::new();
    if !is_ours(new) || sys::vacate(new) { Ok(Some(replacing)) } else { Err(Errno(libc::EBUSY)) }
}

/// `close(2)`. The library's own descriptors are none as far as the program is concerned: EBADF.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn close(fd: c_int) -> c_int {
    if is_ours(fd) {
        return errno::status(Err(Errno::BADF));
    }
    before_close(fd);
    // SAFETY: passed on to the caller.
    unsafe { real_close(fd) }
}

/// `dup2(2)`. EBUSY in the rare case that a request in flight needs the number `new`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    let _replacing = match before_replacing(old, new) {
        Ok(replacing) => replacing,
        Err(errno) => return errno::status(Err(errno)),
    };
    call_real!(c"dup2" as unsafe extern "C" fn(c_int, c_int) -> c_int, (old, new), -1)
}

/// `dup3(2)`. EBUSY in the rare case that a request in flight needs the number `new`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    let _replacing = match before_replacing(old, new) {
        Ok(replacing) => replacing,
        Err(errno) => return errno::status(Err(errno)),
    };
    call_real!(c"dup3" as unsafe extern "C" fn(c_int, c_int, c_int) -> c_int, (old, new, flags), -1)
}

/// `close_range(2)`, around the library's own descriptors.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    if first > last || flags & CLOSE_ON_EXEC_ONLY != 0 || !process::existing().is_some_and(Process::is_callers) {
        return raw_close_range(first, last, flags);
    }
    before_close_all(first, last);
    let mut next = first;
    while let Some(ours) = c_int::try_from(next).ok().and_then(sys::next_own_descriptor) {
        let ours = ours as c_uint;
        if ours > last {
            break;
        }
        if ours > next {
            let result = raw_close_range(next, ours - 1, flags);
            if result < 0 {
                return result;
            }
        }
        next = ours + 1;
    }
    if next > last { 0 } else { raw_close_range(next, last, flags) }
}

/// `closefrom(3)`, around the library's own descriptors.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closefrom(first: c_int) {
    if process::existing().is_some_and(Process::is_callers) {
        // SAFETY: no pointers.
        let result = unsafe { close_range(c_uint::try_from(first).unwrap_or(0), c_uint::MAX, 0) };
        if result == 0 {
            return;
        }
    }
    call_real!(c"closefrom" as unsafe extern "C" fn(c_int), (first), ());
}

/// `fclose(3)`: it closes its descriptor inside libc.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn fclose(stream: *mut c_void) -> c_int {
    if process::existing().is_some() {
        // SAFETY: the program gives a valid stream to `fclose`, by its contract.
        let fd = unsafe { libc::fileno(stream.cast()) };
        if fd >= 0 {
            before_close(fd);
        }
    }
    call_real!(c"fclose" as unsafe extern "C-unwind" fn(*mut c_void) -> c_int, (stream), libc::EOF)
}

fn raw_close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    // SAFETY: no pointers. Not by libc's wrapper: that is this one.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) as c_int }
}

/// Looks at as many numbers as the process can have open.
fn before_close_all(first: c_uint, last: c_uint) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is valid for writing.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let end = c_uint::try_from(limit.rlim_max).unwrap_or(c_uint::MAX).min(1 << 20);
    for fd in first..last.saturating_add(1).min(end) {
        before_close(fd as c_int);
    }
}
