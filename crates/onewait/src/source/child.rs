//! Child processes as events.

use super::pidfd::Pidfd;
use crate::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{self, Command, ExitStatus};

/// A child process with a [`Pidfd`]: ready to be read (`IN`) once the child has ended.
///
/// No SIGCHLD is needed, and none is taken from anybody. Dropping it neither ends the child nor waits for it, as with
/// [`process::Child`].
#[derive(Debug)]
pub struct Child {
    child: process::Child,
    pidfd: Pidfd,
}

impl Child {
    /// Starts a child.
    ///
    /// # Errors
    /// Those of [`Command::spawn`], and those of [`Child::new`]; then the child was ended again.
    pub fn spawn(command: &mut Command) -> io::Result<Child> {
        Child::new(command.spawn()?).map_err(|(errno, mut child)| {
            // It cannot have been waited for: this is the only owner.
            let _ = child.kill();
            let _ = child.wait();
            errno.into()
        })
    }

    /// Watches a child that runs, or has ended and was not waited for.
    ///
    /// # Errors
    /// ENOSYS before Linux 5.3, EMFILE, ENFILE, ENOMEM; ESRCH if somebody else has waited for it. The child comes back.
    pub fn new(child: process::Child) -> Result<Child, (Errno, process::Child)> {
        // One that nobody has waited for keeps its number.
        match libc::pid_t::try_from(child.id()).map_err(|_| Errno::INVAL).and_then(Pidfd::open) {
            Ok(pidfd) => Ok(Child { child, pidfd }),
            Err(errno) => Err((errno, child)),
        }
    }

    /// How the child ended; `None` if it has not. Never waits.
    ///
    /// # Errors
    /// ECHILD if somebody else has waited for it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The child itself: its pipes, its number, its end.
    pub fn get_mut(&mut self) -> &mut process::Child {
        &mut self.child
    }

    /// The child itself, watched no more.
    pub fn into_inner(self) -> process::Child {
        self.child
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
