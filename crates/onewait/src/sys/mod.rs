//! The system calls that the engine makes itself: typed, small, never a cancellation point.
//!
//! They go through `syscall(2)` rather than through libc's wrappers of the same names where those are cancellation
//! points: a thread that is cancelled in the middle of the engine would leave it half changed.

mod clock;
mod descriptor;
mod epoll;
mod file;
pub(crate) mod fork;
mod futex;
mod own;
mod page;
mod raw;
mod signals;
mod size_limit;
pub(crate) mod socket;
mod thread;
mod transient;

pub use clock::monotonic;
pub(crate) use clock::{coarse_milliseconds, monotonic_nanoseconds};
pub use descriptor::Descriptor;
pub(crate) use epoll::{Control, Epoll};
pub use file::{ESPIPE, EventFd, FileId, FileKind, duplicate, plain_transfer, status_flags};
pub(crate) use file::{
    can_transfer, fdatasync, file_id, fsync, has_own_timeout, identify, nonblocking_read, nonblocking_write, read,
    seekable, write, write_at,
};
pub use futex::{Wait, futex_wait, futex_wake};
pub(crate) use own::{OwnDescriptor, lift};
pub use own::{await_transient, forget_own_descriptors, is_own_descriptor, next_own_descriptor, vacate};
pub use page::page_size;
pub use raw::raw_syscall;
pub use signals::MaskedSignals;
pub(crate) use size_limit::has_size_limit;
pub use size_limit::{size_limit_changed, watch_size_limit};
pub use thread::{Thread, Uncancellable, is_own_routine, spawn};
pub(crate) use thread::{ThreadId, count_foreign_threads, count_processors, count_waits};

pub(crate) use transient::Making;
pub use transient::Replacing;

use crate::errno::Errno;

/// Turns the result of a system call into a value or its errno.
fn check(result: libc::c_long) -> Result<usize, Errno> {
    if result < 0 { Err(Errno::last()) } else { Ok(result as usize) }
}
