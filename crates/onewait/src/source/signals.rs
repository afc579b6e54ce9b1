//! Signals as events.

use crate::errno::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Signals that are read like bytes, instead of interrupting a thread: a `signalfd(2)`.
///
/// Ready to be read (`IN`) while one of them is pending: for the process, or for the thread that waits (epoll rule 77).
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

/// One signal that came, or several of the same number that came before the first was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// The number, such as SIGTERM.
    pub signal: i32,
    /// Why it was sent: `si_code` of `sigaction(2)`.
    pub code: i32,
    /// The process that sent it, or the child that it is about; 0 if it came from the kernel.
    pub process: u32,
    /// The user who sent it.
    pub user: u32,
    /// Of SIGCHLD: the exit status, or the signal that ended, stopped or continued the child.
    pub status: i32,
}

impl Signals {
    /// Blocks these signals in the calling thread, and reads them from now on.
    ///
    /// Call it before there are other threads: those made later inherit that they are blocked, and a thread that blocks one
    /// of them not is interrupted by it. They stay blocked when this is dropped, since what is pending then would come at
    /// once; a process that `exec` makes inherits that, but not one made by [`std::process::Command`].
    ///
    /// # Errors
    /// EINVAL for a number that is none, and for SIGKILL and SIGSTOP, which cannot be blocked; EMFILE, ENFILE, ENOMEM.
    pub fn new(signals: &[i32]) -> Result<Signals, Errno> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is valid for writing; the call initialises it.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for signal in signals {
            // SAFETY: initialised above. It looks at the number.
            let result = unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
            if result < 0 || matches!(*signal, libc::SIGKILL | libc::SIGSTOP) {
                return Err(Errno::INVAL);
            }
        }
        // SAFETY: initialised above.
        let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: just made, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the set is initialised; the old one is not wanted.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) } {
            0 => Ok(Signals { fd }),
            errno => Err(Errno(errno)),
        }
    }

    /// Takes the next one. `None` if none is pending. Never waits.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn read(&self) -> Result<Option<SignalInfo>, Errno> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        loop {
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: the structure is valid for writing so many bytes.
            let count = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            match usize::try_from(count) {
                Ok(count) if count == size => break,
                Ok(_) => return Ok(None),
                Err(_) => match Errno::last() {
                    Errno::AGAIN => return Ok(None),
                    Errno::INTR => {}
                    errno => return Err(errno),
                },
            }
        }
        // SAFETY: the kernel has written all of it; any bytes are valid.
        let info = unsafe { info.assume_init() };
        Ok(Some(SignalInfo {
            signal: info.ssi_signo.cast_signed(),
            code: info.ssi_code,
            process: info.ssi_pid,
            user: info.ssi_uid,
            status: info.ssi_status,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
