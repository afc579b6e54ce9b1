//! What wakes a reactor that sleeps in the kernel.

use crate::errno::Errno;
use eventpoll::Ring;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// An eventfd. A reactor never reads it: watched by edges, each addition is one.
#[derive(Debug)]
pub(super) struct Doorbell(OwnedFd);

impl Doorbell {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(super) fn new() -> Result<Doorbell, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: just made, owned by nobody else.
        Ok(Doorbell(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// For those who watch it by level.
    pub(super) fn silence(&self) {
        let mut count: u64 = 0;
        // SAFETY: eight bytes at a valid address; EAGAIN when it is 0 already.
        unsafe {
            libc::syscall(libc::SYS_read, self.0.as_raw_fd(), ptr::from_mut(&mut count), size_of::<u64>());
        }
    }

    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Ring for Doorbell {
    /// Async-signal-safe: it is a signal handler's way in, too.
    fn ring(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes at a valid address. It cannot fail but by the counter's overflow, after 2^64 rings.
        unsafe {
            libc::syscall(libc::SYS_write, self.0.as_raw_fd(), ptr::from_ref(&one), size_of::<u64>());
        }
    }
}
