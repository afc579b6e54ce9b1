//! The eventfds that programs want to be told by (IOCB_FLAG_RESFD).
//!
//! A request reports to the eventfd that the number meant when it was submitted. So we keep a descriptor of our own for
//! each, until the program closes the number.

use onewait::Errno;
use onewait::sys::{self, Descriptor, MaskedSignals};
use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A program's eventfd, by a descriptor of our own.
pub(super) struct Bell {
    fd: Descriptor,
    /// Writing to it waits while its counter is full.
    is_blocking: bool,
}

impl Bell {
    /// Adds one to it, unless its counter is full. Async-signal-safe.
    pub(super) fn ring(&self) {
        if self.is_blocking && !self.has_room() {
            return;
        }
        let one: u64 = 1;
        let arguments = [self.fd.as_raw_fd() as usize, ptr::from_ref(&one) as usize, size_of::<u64>(), 0, 0, 0];
        // SAFETY: eight bytes at a valid address.
        let _ = unsafe { sys::raw_syscall(libc::SYS_write, arguments) };
    }

    fn has_room(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let arguments = [&raw mut poll as usize, 1, ptr::from_ref(&now) as usize, 0, 0, 0];
        // SAFETY: one valid entry, and a valid time.
        let _ = unsafe { sys::raw_syscall(libc::SYS_ppoll, arguments) };
        poll.revents & libc::POLLOUT != 0
    }
}

/// The eventfds that are known, by the program's numbers.
#[derive(Default)]
pub(crate) struct Bells {
    known: Mutex<HashMap<c_int, Known>>,
    /// How many of them are current.
    count: AtomicUsize,
}

struct Known {
    bell: Arc<Bell>,
    /// The number still means it.
    is_current: bool,
}

impl Bells {
    /// The eventfd with this number.
    ///
    /// # Errors
    /// EBADF if it is not open, EINVAL if it is something else, EAGAIN if there are too many descriptors.
    pub(super) fn find(&self, fd: c_int) -> Result<Arc<Bell>, Errno> {
        let _masked = MaskedSignals::new();
        let mut known = self.known();
        if let Some(known) = known.get(&fd).filter(|known| known.is_current) {
            return Ok(Arc::clone(&known.bell));
        }
        let flags = sys::status_flags(fd)?;
        if !is_eventfd(fd) {
            return Err(Errno::INVAL);
        }
        known.retain(|_, known| known.is_current);
        let is_blocking = flags & libc::O_NONBLOCK == 0;
        let bell = Arc::new(Bell { fd: sys::duplicate(fd).map_err(|_| Errno::AGAIN)?, is_blocking });
        known.insert(fd, Known { bell: Arc::clone(&bell), is_current: true });
        self.count.store(known.len(), Ordering::Relaxed);
        Ok(bell)
    }

    /// The number is about to mean something else, or nothing. Async-signal-safe.
    #[inline]
    pub(crate) fn forget(&self, fd: c_int) {
        if self.count.load(Ordering::Relaxed) != 0 {
            self.forget_known(fd);
        }
    }

    #[cold]
    fn forget_known(&self, fd: c_int) {
        let _masked = MaskedSignals::new();
        if let Some(known) = self.known().get_mut(&fd)
            && std::mem::replace(&mut known.is_current, false)
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Signals have to be held back: a handler may close descriptors.
    fn known(&self) -> MutexGuard<'_, HashMap<c_int, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the descriptor is an eventfd: the kernel names it so.
fn is_eventfd(fd: c_int) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|name| name.as_os_str() == "anon_inode:[eventfd]")
}
