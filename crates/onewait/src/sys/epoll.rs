//! The kernel's epoll, typed.
//!
//! Never by libc's functions: a face of ours stands in front of these, and the engine's own calls are none of the program's.

use super::{Descriptor, Making, OwnDescriptor, check};
use crate::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An epoll instance. The engine's has an [`OwnDescriptor`], others a plain one.
#[derive(Debug)]
pub(crate) struct Epoll<D = OwnedFd>(D);

/// What `epoll_ctl` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Add,
    Modify,
    Delete,
}

impl Epoll {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn new() -> Result<Epoll, Errno> {
        // SAFETY: just made, owned by nobody else.
        create().map(|fd| Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Epoll<OwnDescriptor> {
    /// One of the engine's.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn of_engine() -> Result<Self, Errno> {
        let _making = Making::new();
        // SAFETY: just made, owned by nobody else.
        OwnDescriptor::new(unsafe { Descriptor::from_raw(create()?) }).map(Epoll)
    }
}

impl<D: AsRawFd> Epoll<D> {
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub(crate) fn control(&self, what: Control, fd: RawFd, bits: u32, data: u64) -> Result<(), Errno> {
        let what = match what {
            Control::Add => libc::EPOLL_CTL_ADD,
            Control::Modify => libc::EPOLL_CTL_MOD,
            Control::Delete => libc::EPOLL_CTL_DEL,
        };
        let mut event = libc::epoll_event { events: bits, u64: data };
        // SAFETY: the event lives through the call.
        let result = unsafe { libc::syscall(libc::SYS_epoll_ctl, self.0.as_raw_fd(), what, fd, &raw mut event) };
        check(result).map(drop)
    }

    /// Waits for at most `timeout` (`None`: for ever); one of zero does not sleep. A time beyond what the kernel can say is
    /// cut short: whoever has a deadline looks at the clock afterwards.
    ///
    /// # Errors
    /// EINTR, and EINVAL for no room.
    #[inline]
    pub(crate) fn wait(&self, events: &mut [libc::epoll_event], timeout: Option<Duration>) -> Result<usize, Errno> {
        let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
        let exact = timeout.filter(|timeout| !timeout.is_zero() && KNOWS_NANOSECONDS.load(Ordering::Relaxed));
        let result = match exact {
            Some(timeout) => {
                let tv_sec = libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX);
                let timeout = libc::timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() };
                let no_mask = ptr::null::<libc::sigset_t>();
                // SAFETY: the events are valid for writing that many, the time for reading; there is no mask.
                unsafe {
                    let (fd, events) = (self.0.as_raw_fd(), events.as_mut_ptr());
                    libc::syscall(libc::SYS_epoll_pwait2, fd, events, room, &raw const timeout, no_mask, 8)
                }
            }
            None => {
                let no_mask = ptr::null::<libc::sigset_t>();
                // SAFETY: as above.
                unsafe {
                    let (fd, events) = (self.0.as_raw_fd(), events.as_mut_ptr());
                    libc::syscall(libc::SYS_epoll_pwait, fd, events, room, milliseconds(timeout), no_mask, 8)
                }
            }
        };
        match usize::try_from(result) {
            Ok(count) => Ok(count),
            Err(_) => match Errno::last() {
                // The call itself knows no EPERM: filters that are older than it say so of what they do not know.
                Errno(libc::ENOSYS | libc::EPERM) if exact.is_some() => {
                    KNOWS_NANOSECONDS.store(false, Ordering::Relaxed);
                    self.wait(events, timeout)
                }
                errno => Err(errno),
            },
        }
    }
}

/// A new instance, which the caller owns.
fn create() -> Result<RawFd, Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_epoll_create1, libc::EPOLL_CLOEXEC) };
    check(result).map(|fd| fd as RawFd)
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether the kernel has `epoll_pwait2` (Linux 5.11), and no filter forbids it.
static KNOWS_NANOSECONDS: AtomicBool = AtomicBool::new(true);

/// Rounded up: never early.
fn milliseconds(timeout: Option<Duration>) -> i32 {
    let rounded = |timeout: Duration| timeout.as_nanos().div_ceil(1_000_000);
    timeout.map_or(-1, |timeout| i32::try_from(rounded(timeout)).unwrap_or(i32::MAX))
}
