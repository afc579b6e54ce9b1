//! Signals as the supervisor needs them: blocked, waited for one by one, passed on.
//!
//! No handlers: a blocked signal waits until it is fetched, so that none comes at a bad moment and none is lost.

use nix::sys::resource::{Resource, setrlimit};
use std::mem::MaybeUninit;
use std::{io, ptr};

/// A set of signals.
#[derive(Clone, Copy)]
pub(super) struct Set(libc::sigset_t);

impl Set {
    /// All signals but those that report a fault of the process itself, which cannot wait.
    pub(super) fn all_but_faults() -> Set {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset makes a valid set of the memory that it gets; sigdelset gets that set and real numbers.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS] {
                libc::sigdelset(set.as_mut_ptr(), fault);
            }
            Set(set.assume_init())
        }
    }

    fn only(signal: i32) -> Set {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset makes a valid set of the memory that it gets; sigaddset gets that set.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), signal);
            Set(set.assume_init())
        }
    }
}

/// The calling thread's signal mask.
pub(super) fn mask() -> Set {
    let mut set = MaybeUninit::uninit();
    // SAFETY: without a new mask the call only writes the present one, which is a valid set.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr());
        Set(set.assume_init())
    }
}

/// Makes `set` the calling thread's signal mask. Async-signal-safe.
pub(super) fn set_mask(set: &Set) {
    // SAFETY: the set is valid, and the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set.0, ptr::null_mut()) };
}

/// Whether the process ignores `signal`. Async-signal-safe.
pub(super) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one, which is read when the call succeeded.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores `signal`, or gives it its default effect. Async-signal-safe.
pub(super) fn set_ignored(signal: i32, is_ignored: bool) {
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(signal, if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
}

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) signal: i32,
    /// The process that sent it; `None` if the kernel did, for a terminal or a timer.
    pub(super) sender: Option<i32>,
}

/// Waits for the next of the blocked signals in `set`.
pub(super) fn wait(set: &Set) -> Arrival {
    loop {
        let mut info = MaybeUninit::uninit();
        // SAFETY: the set is valid, and `info` has room for what the call writes.
        let signal = unsafe { libc::sigwaitinfo(&raw const set.0, info.as_mut_ptr()) };
        if signal < 0 {
            // EINTR, after a stop: the only error with a valid set.
            continue;
        }
        // SAFETY: the call succeeded and has filled it in.
        let info: libc::siginfo_t = unsafe { info.assume_init() };
        // Codes above 0 are the kernel's; those of processes carry the sender's number.
        let sender = (info.si_code <= 0).then(|| {
            // SAFETY: the field is valid for the codes of kill, tgkill and sigqueue.
            unsafe { info.si_pid() }
        });
        return Arrival { signal, sender };
    }
}

/// What became of a child.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Exited(u8),
    Killed(i32),
    Stopped(i32),
    Continued,
}

/// The next change of child `pid` that was not fetched yet, without waiting for one.
///
/// # Errors
/// ECHILD if there is no such child.
pub(super) fn change_of(pid: i32) -> io::Result<Option<Change>> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: `status` has room for what the call writes.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        0 => Ok(None),
        found if found < 0 => Err(io::Error::last_os_error()),
        _ if libc::WIFEXITED(status) => Ok(Some(Change::Exited(libc::WEXITSTATUS(status) as u8))),
        _ if libc::WIFSIGNALED(status) => Ok(Some(Change::Killed(libc::WTERMSIG(status)))),
        _ if libc::WIFSTOPPED(status) => Ok(Some(Change::Stopped(libc::WSTOPSIG(status)))),
        _ => Ok(Some(Change::Continued)),
    }
}

/// Sends `signal` to process `pid`.
pub(super) fn send(pid: i32, signal: i32) {
    // SAFETY: no memory is involved. A failure means that the process has ended, which is noticed elsewhere.
    unsafe { libc::kill(pid, signal) };
}

/// Lets `signal` have its default effect on this process: it ends, or stops and returns when it is continued.
pub(super) fn suffer(signal: i32) {
    let before = mask();
    set_ignored(signal, false);
    // SAFETY: raise has no preconditions; the signal waits until the next call lets it through.
    unsafe { libc::raise(signal) };
    let only = Set::only(signal);
    // SAFETY: the set is valid, and the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const only.0, ptr::null_mut()) };
    set_mask(&before);
}

/// Sees to it that this process leaves no core dump: the program's own is the one of interest.
pub(super) fn leave_no_core() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}
