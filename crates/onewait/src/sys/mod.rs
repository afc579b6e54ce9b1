//! The system calls that the engine makes itself: typed, small, never a cancellation point.
//!
//! They go through `syscall(2)` rather than through libc's wrappers of the same names where those are cancellation
//! points: a thread that is cancelled in the middle of the engine would leave it half changed.

mod clock;
mod descriptor;
mod file;
mod futex;
mod own;
mod signals;
mod thread;

pub use clock::coarse_milliseconds;
pub use descriptor::Descriptor;
pub use file::{
    ESPIPE, EventFd, FileId, FileKind, duplicate, fdatasync, fsync, has_own_timeout, has_size_limit, identify,
    nonblocking_read, nonblocking_write, read, refused_transfer, seekable, status_flags, write,
};
pub use futex::{Wait, futex_wait, futex_wake};
pub use own::{
    OwnDescriptor, await_transient, forget_own_descriptors, is_own_descriptor, lift, next_own_descriptor, vacate,
};
pub use signals::MaskedSignals;
pub use thread::{Thread, Uncancellable, count_threads, spawn};

use crate::errno::Errno;

/// Turns the result of a system call into a value or its errno.
fn check(result: libc::c_long) -> Result<usize, Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(result as usize) }
}
