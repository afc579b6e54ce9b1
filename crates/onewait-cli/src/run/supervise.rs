//! The program as a child, when somebody wants to know what it did: onewait waits, and is as good as not there.
//!
//! Both are in one process group, so the terminal's keys reach the program by themselves, and the supervisor passes on
//! what another process sends to it alone. It stops when the program stops, and ends as the program ended.

use super::inherited;
use super::signals::{self, Arrival, Change, Set};
use crate::stats::End;
use std::fs;
use std::io;
use std::process::{Command, ExitCode};

/// Runs `command` until it ends.
///
/// # Errors
/// What `fork(2)` and `execve(2)` report.
pub(super) fn run(mut command: Command) -> io::Result<End> {
    let mask = signals::mask();
    let blocked = Set::all_but_faults();
    signals::set_mask(&blocked);
    // A parent that ignores SIGCHLD would never be told how its child ended.
    signals::set_ignored(libc::SIGCHLD, false);
    inherited::pass_on(&mut command, mask);
    let child = command.spawn().inspect_err(|_| signals::set_mask(&mask))?.id().cast_signed();
    let mut child = Child { pid: child, was_continued: false };
    loop {
        let arrival = signals::wait(&blocked);
        // Whatever came: what became of the child decides what a signal still means.
        if let Some(end) = child.follow()? {
            return Ok(end);
        }
        if child.must_be_sent(arrival) {
            signals::send(child.pid, arrival.signal);
        }
    }
}

/// Ends this process as the program ended.
pub(super) fn end_like(end: End) -> ExitCode {
    match end {
        End::Exit(status) => ExitCode::from(status),
        End::Signal(signal) => {
            // The worst that can happen without it is a second core dump.
            let _ = signals::leave_no_core();
            signals::suffer(signal);
            // Only the first process of a PID namespace lives to see this.
            ExitCode::from(128u8.wrapping_add(signal as u8))
        }
    }
}

struct Child {
    pid: i32,
    /// It went on after a stop, and the SIGCONT that we got as well is still to come.
    was_continued: bool,
}

impl Child {
    /// Goes through all that the child did since the last call: stops with it, and reports its end.
    fn follow(&mut self) -> io::Result<Option<End>> {
        loop {
            match signals::change_of(self.pid)? {
                None => return Ok(None),
                Some(Change::Exited(status)) => return Ok(Some(End::Exit(status))),
                Some(Change::Killed(signal)) => return Ok(Some(End::Signal(signal))),
                Some(Change::Continued) => self.was_continued = true,
                // The shell sees its job stop, by the same signal, and takes the terminal back.
                Some(Change::Stopped(signal)) => {
                    self.was_continued = false;
                    signals::suffer(signal);
                }
            }
        }
    }

    /// Whether the program has not got the signal already and must be given it.
    fn must_be_sent(&mut self, arrival: Arrival) -> bool {
        match arrival.signal {
            libc::SIGCHLD => false,
            // A shell continues the whole group (`fg`), and a second SIGCONT could undo the next stop.
            libc::SIGCONT if std::mem::take(&mut self.was_continued) => false,
            // The terminal's signals go to the whole foreground group, and so to the program.
            libc::SIGINT
            | libc::SIGQUIT
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGWINCH
            | libc::SIGHUP
            | libc::SIGCONT
                if arrival.sender.is_none() =>
            {
                false
            }
            // A program that signals its whole group does not mean to be told of it by us.
            _ => arrival.sender.is_none_or(|sender| !descends_from(sender, self.pid)),
        }
    }
}

/// Whether process `pid` is `ancestor` or one of its descendants.
fn descends_from(mut pid: i32, ancestor: i32) -> bool {
    // Bounded, since processes come and go while we look.
    for _ in 0..64 {
        if pid == ancestor {
            return true;
        }
        match parent(pid) {
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

fn parent(pid: i32) -> Option<i32> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; behind it come the state and the parent.
    line.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
