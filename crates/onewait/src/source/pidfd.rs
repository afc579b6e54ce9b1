//! Processes as events.

use crate::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A process by a descriptor (`pidfd_open(2)`) that is ready to be read (`IN`) once the process has ended. Dropping it does
/// nothing to the process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// The process with this number. A child that was not waited for keeps its number; that of another process may mean a
    /// third one by now.
    ///
    /// # Errors
    /// ESRCH (there is no such process), EINVAL (nor can be), ENOSYS before Linux 5.3, EMFILE, ENFILE, ENOMEM.
    pub fn open(pid: libc::pid_t) -> Result<Pidfd, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match RawFd::try_from(fd) {
            // SAFETY: just made, owned by nobody else.
            Ok(fd) if fd >= 0 => Ok(Pidfd(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(Errno::last()),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
