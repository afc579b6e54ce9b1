//! A reactor inside another loop, which polls its descriptor.
//!
//! The descriptor is the kernel's epoll, which is readable when one of its descriptors is ready. What else there may be has
//! to show there, too, while nobody is in `wait`: sources by the bell, which stays armed and rings the doorbell, and the
//! first timer by a timerfd. That costs system calls which a reactor of its own does not make, so it is asked for.

use super::bells::Bells;
use super::descriptors::Descriptors;
use crate::errno::Errno;
use eventpoll::{Armed, Ring};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// What it takes.
#[derive(Debug)]
pub(super) struct Embedded {
    timer: OwnedFd,
    /// What the timerfd is set to; `None`: it is not.
    set_to: Option<Duration>,
    /// A waker was used, and no wait has returned for it.
    is_woken: bool,
}

impl Embedded {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, ENOSPC.
    pub(super) fn new(descriptors: &Descriptors) -> Result<Embedded, Errno> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: just made, owned by nobody else.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        descriptors.add_own_edges(timer.as_raw_fd())?;
        descriptors.ask_always();
        Ok(Embedded { timer, set_to: None, is_woken: false })
    }

    /// Nobody is in `wait` from now on.
    ///
    /// # Errors
    /// EBADF: the event poll was closed.
    pub(super) fn leave(
        &mut self,
        bell: &mut Bells,
        descriptors: &Descriptors,
        now: Duration,
        first_timer: Option<Duration>,
    ) -> Result<(), Errno> {
        let armed = bell.arm()?;
        self.is_woken |= armed == Armed::Interrupted;
        if armed != Armed::Sleep {
            // The bell will not ring for what is there already, nor for a waker that it was told of.
            descriptors.doorbell().ring();
        }
        if first_timer.is_some_and(|first| first <= now) {
            // Left for lack of room; its edge may be used up.
            descriptors.doorbell().ring();
        }
        self.set_timer(now, first_timer);
        Ok(())
    }

    /// Lets the descriptor become readable when the first timer is due.
    pub(super) fn set_timer(&mut self, now: Duration, first_timer: Option<Duration>) {
        if first_timer == self.set_to {
            return;
        }
        self.set_to = first_timer;
        // Zero would stop it: one that is due is due in a nanosecond.
        let left = first_timer.map(|first| first.saturating_sub(now).max(Duration::from_nanos(1))).unwrap_or_default();
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec { it_interval: never, it_value: time };
        // SAFETY: the setting lives through the call; the old one is not wanted. With a valid time it cannot fail.
        unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const setting, ptr::null_mut()) };
    }

    /// Somebody is in `wait` again. Returns whether a waker was the reason.
    pub(super) fn enter(&mut self, bell: &mut Bells) -> bool {
        bell.disarm() | mem::take(&mut self.is_woken)
    }
}
