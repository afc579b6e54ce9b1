//! What the functions do where they serve: count, and look before a sleep if that is asked for. The rest is libc's.

use super::looking::{self, Call};
use super::{numbers, original, switch};
use onewait::counters::{Counters, Event};
use onewait::reactor::Look;
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

/// `epoll_create(2)`.
pub(super) unsafe extern "C" fn create(size: c_int) -> c_int {
    // SAFETY: no preconditions.
    made(unsafe { original::create(size) })
}

/// `epoll_create1(2)`.
pub(super) unsafe extern "C" fn create1(flags: c_int) -> c_int {
    // SAFETY: no preconditions.
    made(unsafe { original::create1(flags) })
}

/// A new epoll, if it is one.
fn made(epoll: c_int) -> c_int {
    if epoll >= 0 {
        numbers::spin_of(epoll).reset();
        Counters::current().event(Event::Epoll);
    }
    epoll
}

/// `epoll_ctl(2)`.
pub(super) unsafe extern "C" fn control(epoll: c_int, what: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int {
    Counters::current().event(Event::EpollControl);
    // SAFETY: passed on to the caller.
    unsafe { original::control(epoll, what, fd, event) }
}

/// `epoll_wait(2)`.
pub(super) unsafe extern "C-unwind" fn wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    room: c_int,
    timeout: c_int,
) -> c_int {
    match turn_to_look(epoll, timeout) {
        // SAFETY: passed on to the caller.
        Some(look) => unsafe { looking::wait(look, Call { epoll, events, room, mask: ptr::null() }, timeout) },
        // SAFETY: as above.
        None => unsafe { original::wait(epoll, events, room, timeout) },
    }
}

/// `epoll_pwait(2)`.
pub(super) unsafe extern "C-unwind" fn pwait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    room: c_int,
    timeout: c_int,
    mask: *const libc::sigset_t,
) -> c_int {
    match turn_to_look(epoll, timeout) {
        // SAFETY: passed on to the caller.
        Some(look) => unsafe { looking::wait(look, Call { epoll, events, room, mask }, timeout) },
        // SAFETY: as above.
        None => unsafe { original::pwait(epoll, events, room, timeout, mask) },
    }
}

/// `epoll_pwait2(2)`. With a time it is left to the kernel: only the kernel reads a wild pointer without harm.
pub(super) unsafe extern "C-unwind" fn pwait2(
    epoll: c_int,
    events: *mut libc::epoll_event,
    room: c_int,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    if !timeout.is_null() {
        Counters::current().event(Event::EpollAsleep);
    } else if let Some(look) = turn_to_look(epoll, FOR_EVER) {
        // SAFETY: passed on to the caller.
        return unsafe { looking::wait(look, Call { epoll, events, room, mask }, FOR_EVER) };
    }
    // SAFETY: as above.
    unsafe { original::pwait2(epoll, events, room, timeout, mask) }
}

const FOR_EVER: c_int = -1;

/// Whether this wait is to look before it sleeps; if not, it is counted here. A time that is shorter than a look is slept.
#[inline]
fn turn_to_look(epoll: c_int, timeout: c_int) -> Option<Look<'static>> {
    let most = switch::spin();
    let is_long = u64::try_from(timeout).map_or(true, |timeout| Duration::from_millis(timeout) > most);
    let look = if is_long && !most.is_zero() { numbers::spin_of(epoll).begin(most) } else { None };
    if look.is_none() {
        Counters::current().event(if timeout == 0 { Event::EpollAwake } else { Event::EpollAsleep });
    }
    look
}
