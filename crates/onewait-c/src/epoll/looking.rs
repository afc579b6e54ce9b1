//! A wait that looks for events for a while before it sleeps.
//!
//! All signals are held back meanwhile. A handler that ran between two looks would else be missed by the sleep that follows,
//! which must end with EINTR for it: the sleep lets signals in again, by its mask, in the kernel. Each look has the
//! program's own pointers, so what is wrong with them is found by the first one.

use super::original;
use crate::errno;
use onewait::counters::{Counters, Event};
use onewait::reactor::Look;
use onewait::{Errno, sys};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

/// What the program asks for, but the time.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) epoll: c_int,
    pub(super) events: *mut libc::epoll_event,
    pub(super) room: c_int,
    /// Null: the thread's own.
    pub(super) mask: *const libc::sigset_t,
}

/// The size of a signal set, as the kernel has it.
const SIGNALS_SIZE: usize = 8;

/// Waits for `timeout` milliseconds; below zero for ever. A cancellation point: nothing on this frame has a destructor.
///
/// # Safety
/// As `epoll_pwait(2)`.
pub(super) unsafe fn wait(look: Look<'_>, call: Call, timeout: c_int) -> c_int {
    let since = Instant::now();
    let before = hold_back_all();
    // SAFETY: passed on to the caller.
    let answer = look.look(|| unsafe { ask(call) });
    Counters::current().event(if answer.is_some() { Event::EpollAwake } else { Event::EpollAsleep });
    let result = match answer {
        Some(Ok(count)) => count as c_int,
        Some(Err(errno)) => {
            errno::set(errno);
            -1
        }
        // SAFETY: passed on to the caller.
        None => unsafe { sleep(call, left(timeout, since.elapsed()), &before) },
    };
    // Handlers that this lets in may change it, which the system call's own handlers could not.
    // SAFETY: the address is the thread's own `errno`.
    let errno = unsafe { *libc::__errno_location() };
    set_mask(&before);
    errno::set(Errno(errno));
    result
}

/// What there is now; `None` if there is nothing. No signal is let in by it (epoll rule 57).
unsafe fn ask(call: Call) -> Option<Result<usize, Errno>> {
    let Call { epoll, events, room, mask } = call;
    let arguments = [epoll as usize, events.addr(), room as usize, 0, mask.addr(), SIGNALS_SIZE];
    // SAFETY: passed on to the caller.
    match unsafe { sys::raw_syscall(libc::SYS_epoll_pwait, arguments) } {
        Ok(0) => None,
        answer => Some(answer),
    }
}

/// What is left of a time in milliseconds, rounded up: never early.
fn left(timeout: c_int, elapsed: Duration) -> c_int {
    match u64::try_from(timeout) {
        Err(_) => timeout,
        Ok(timeout) => {
            let left = Duration::from_millis(timeout).saturating_sub(elapsed);
            // Not more than before.
            left.as_nanos().div_ceil(1_000_000) as c_int
        }
    }
}

/// Sleeps with the mask that the program wants.
unsafe fn sleep(call: Call, timeout: c_int, before: &libc::sigset_t) -> c_int {
    let mask = if call.mask.is_null() { ptr::from_ref(before) } else { call.mask };
    let mut cleanup = MaybeUninit::<Cleanup>::uninit();
    // SAFETY: the buffer and the mask live until it is popped, in the same frame, or until this frame is unwound or jumped
    // over, which runs the routine. All else is passed on to the caller.
    unsafe {
        _pthread_cleanup_push(cleanup.as_mut_ptr(), give_mask_back, ptr::from_ref(before).cast_mut().cast());
        let result = original::pwait(call.epoll, call.events, call.room, timeout, mask);
        _pthread_cleanup_pop(cleanup.as_mut_ptr(), 0);
        result
    }
}

/// `struct _pthread_cleanup_buffer` of glibc.
#[repr(C)]
struct Cleanup {
    routine: usize,
    argument: usize,
    cancel_type: c_int,
    previous: usize,
}

unsafe extern "C-unwind" {
    fn _pthread_cleanup_push(buffer: *mut Cleanup, routine: unsafe extern "C" fn(*mut c_void), argument: *mut c_void);
    fn _pthread_cleanup_pop(buffer: *mut Cleanup, execute: c_int);
}

/// The thread is cancelled, or jumps out of a handler. If the sleep had begun, its mask is in force, and stays so, as it
/// would without us; if not, all signals are still held back.
unsafe extern "C" fn give_mask_back(before: *mut c_void) {
    let mut now = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is valid for writing, and initialised by the call; `before` lives, by `sleep`.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), now.as_mut_ptr());
        // The first 31 will do: of the others libc works with some.
        let mut ordinary = (1..32).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP));
        let is_held_back = ordinary.all(|signal| libc::sigismember(now.as_ptr(), signal) == 1);
        if is_held_back {
            set_mask(&*before.cast());
        }
    }
}

/// Holds back all signals but those that libc itself works with, and returns the mask before.
fn hold_back_all() -> libc::sigset_t {
    let (mut all, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: both sets are valid for writing; the calls initialise them, and cannot fail with these arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: the set is valid; the old one is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}
