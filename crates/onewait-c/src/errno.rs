//! Return values of C functions.

use onewait::Errno;
use std::ffi::c_int;

/// Sets the calling thread's `errno`.
pub(crate) fn set(errno: Errno) {
    // SAFETY: the address is the thread's own `errno`.
    unsafe { *libc::__errno_location() = errno.0 };
}

/// Keeps a thread's `errno` over code of ours that is not supposed to change it.
pub(crate) struct Kept(c_int);

impl Kept {
    pub(crate) fn new() -> Kept {
        // SAFETY: the address is the thread's own `errno`.
        Kept(unsafe { *libc::__errno_location() })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        set(Errno(self.0));
    }
}

/// Runs the body of a C function. A panic, which would be a defect of ours, ends here and is EAGAIN to the program: none
/// may cross into C.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(Err(Errno::AGAIN))
}

/// 0, or -1 with `errno` set.
pub(crate) fn status(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => {
            set(errno);
            -1
        }
    }
}
