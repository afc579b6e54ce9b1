//! Signals: in waits of the kernel SIGUSR1, whose handler does nothing; others as a test says.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Once;
use std::time::Duration;

use super::world::{self, Errno, Event};

extern "C" fn nothing(_signal: libc::c_int) {}

/// Gives SIGUSR1 a handler that does nothing.
fn handle() {
    static DONE: Once = Once::new();
    DONE.call_once(|| handle_with(libc::SIGUSR1, nothing));
}

/// Gives a signal a handler, with the flag that system calls be restarted.
///
/// The handler runs on any thread at any moment, so it may do only what is safe there.
pub(crate) fn handle_with(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid `sigaction`; that the handler may run anywhere is up to the tests that give one.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
}

/// SIGUSR1 alone, or no signal.
fn set(with: bool) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it is given, and `sigaddset` gets what is initialised.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        if with {
            libc::sigaddset(set.as_mut_ptr(), libc::SIGUSR1);
        }
        set.assume_init()
    }
}

fn mask(how: libc::c_int) {
    // SAFETY: it changes what signals the calling thread takes, and all of them have handlers that may run here.
    assert_eq!(unsafe { libc::pthread_sigmask(how, &set(true), ptr::null_mut()) }, 0);
}

/// See [`world::Poll::wait_interrupted`]: the signal is held back until the wait lets it in.
pub(crate) fn wait_interrupted(
    poll: BorrowedFd<'_>,
    max: usize,
    timeout: Option<Duration>,
) -> Result<Vec<Event>, Errno> {
    handle();
    mask(libc::SIG_BLOCK);
    interrupt(super::tasks::current());
    let millis = timeout.map_or(-1, |time| i32::try_from(time.as_millis()).expect("a timeout of the tests"));
    let mut raw = vec![libc::epoll_event { events: 0, u64: 0 }; max];
    let room = i32::try_from(max).expect("a number of the tests");
    // SAFETY: the buffer has room for `room` events and outlives the call.
    let stored = unsafe { libc::epoll_pwait(poll.as_raw_fd(), raw.as_mut_ptr(), room, millis, &set(false)) };
    let error = io::Error::last_os_error();
    // If the wait did not take the signal, it is taken now.
    mask(libc::SIG_UNBLOCK);
    let stored = usize::try_from(stored).map_err(|_| error.raw_os_error().unwrap_or_default())?;
    raw.truncate(stored);
    Ok(raw.iter().map(|event| world::event(event.events, event.u64)).collect())
}

/// See [`world::Poll::interrupt`].
pub(crate) fn interrupt(task: i32) {
    handle();
    send(libc::SIGUSR1, task);
}

/// Sends a signal that has a handler to a thread of this process.
pub(crate) fn send(signal: libc::c_int, task: i32) {
    // SAFETY: with a handler, it ends nothing.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), task, signal) };
    assert_eq!(sent, 0, "{}", io::Error::last_os_error());
}

/// Sends a signal to a child of this process.
pub(crate) fn send_process(signal: libc::c_int, child: u32) {
    let child = libc::pid_t::try_from(child).expect("the number of a process");
    // SAFETY: it ends or stops nothing but a child of the test.
    let sent = unsafe { libc::kill(child, signal) };
    assert_eq!(sent, 0, "{}", io::Error::last_os_error());
}
