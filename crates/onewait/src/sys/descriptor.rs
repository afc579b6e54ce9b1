//! A descriptor that only this project's code knows.

use super::own;
use std::os::fd::{AsRawFd, RawFd};

/// Owns a descriptor, whose number is known as ours meanwhile, and closes it by system call: a face of ours stands in front
/// of libc's `close`, and is for programs.
#[derive(Debug)]
pub struct Descriptor(RawFd);

impl Descriptor {
    /// Takes a descriptor over.
    ///
    /// # Safety
    /// It is open, and nobody else closes it.
    pub(crate) unsafe fn from_raw(fd: RawFd) -> Descriptor {
        own::note(fd, true);
        Descriptor(fd)
    }

    /// Gives the descriptor up without closing it. Its number stays known as ours until [`Descriptor::forget`] says
    /// otherwise.
    pub(crate) fn into_raw(self) -> RawFd {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Gives the descriptor up without closing it, and its number is no longer known as ours.
    pub(crate) fn forget(self) -> RawFd {
        let fd = self.into_raw();
        own::note(fd, false);
        fd
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Known as ours to the end: whoever wants the number waits (`own::await_transient`).
        // SAFETY: the descriptor is ours.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
        own::note(self.0, false);
    }
}
