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

pub(crate) use clock::coarse_milliseconds;
pub(crate) use descriptor::Descriptor;
pub use file::{ESPIPE, FileId, FileKind, plain_transfer, status_flags};
pub(crate) use file::{
    EventFd, can_transfer, duplicate, fdatasync, fsync, has_own_timeout, has_size_limit, identify, nonblocking_read,
    nonblocking_write, read, seekable, write,
};
pub(crate) use futex::futex_wait;
pub use futex::{Wait, futex_wake};
pub(crate) use own::{OwnDescriptor, lift};
pub use own::{await_transient, forget_own_descriptors, is_own_descriptor, next_own_descriptor, vacate};
pub use signals::MaskedSignals;
pub(crate) use thread::count_threads;
pub use thread::{Thread, Uncancellable, spawn};

use crate::errno::Errno;

/// Turns the result of a system call into a value or its errno.
fn check(result: libc::c_long) -> Result<usize, Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(result as usize) }
}
