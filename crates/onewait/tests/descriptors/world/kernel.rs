//! The kernel's side, and the oracle: epoll, by its system calls.

use super::{Errno, Event, List, Op, World, event};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// An epoll.
pub(crate) struct Kernel(Epoll);

/// Its descriptor, which others may watch: owned, or of somebody else.
#[derive(Clone)]
pub(crate) struct Epoll<F = Arc<OwnedFd>>(F);

/// The calling thread's `errno`.
pub(crate) fn last() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

impl Epoll {
    pub(crate) fn new() -> Result<Epoll, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(last());
        }
        // SAFETY: just made, owned by nobody else.
        Ok(Epoll(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }
}

impl<F: AsFd> Epoll<F> {
    /// Of a descriptor that may be none of an epoll's.
    pub(crate) fn of(fd: F) -> Epoll<F> {
        Epoll(fd)
    }

    fn number(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    pub(crate) fn wait(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        let mut raw = vec![libc::epoll_event { events: 0, u64: 0 }; max];
        let timeout = timeout.map(|time| libc::timespec {
            tv_sec: time.as_secs().try_into().expect("a timeout of the tests"),
            tv_nsec: time.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let no_mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the buffer has room for `max` events, and the time, if any, outlives the call.
        let stored = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, self.number(), raw.as_mut_ptr(), max as i32, timeout, no_mask, 8)
        };
        let stored = usize::try_from(stored).map_err(|_| last())?;
        Ok(raw[..stored].iter().map(|raw| event(raw.events, raw.u64)).collect())
    }

    pub(crate) fn now(&self, max: usize) -> Vec<Event> {
        self.wait(max, super::NOW).expect("a wait that does not block")
    }
}

impl<F: AsFd> AsFd for Epoll<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<F: AsFd> List for Epoll<F> {
    fn control(&self, op: Op, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        let op = match op {
            Op::Add => libc::EPOLL_CTL_ADD,
            Op::Modify => libc::EPOLL_CTL_MOD,
            Op::Delete => libc::EPOLL_CTL_DEL,
        };
        let mut raw = libc::epoll_event { events: bits, u64: data };
        // SAFETY: the event outlives the call.
        let result = unsafe { libc::epoll_ctl(self.number(), op, fd.as_fd().as_raw_fd(), &raw mut raw) };
        if result < 0 { Err(last()) } else { Ok(()) }
    }
}

impl World for Kernel {
    type List = Epoll;

    fn try_new() -> Result<Kernel, Errno> {
        Epoll::new().map(Kernel)
    }

    fn strict() -> Kernel {
        Kernel::new()
    }

    fn list(&self) -> &Epoll {
        &self.0
    }

    fn wait(&mut self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        self.0.wait(max, timeout)
    }
}
