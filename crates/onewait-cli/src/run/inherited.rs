//! What this process was started with, given back to the program that it starts.
//!
//! Rust's start-up ignores SIGPIPE and opens /dev/null for closed standard descriptors, and `std::process` gives every
//! child an empty signal mask and SIGPIPE's default. A program under `onewait run` shall see none of that: the state is
//! recorded before Rust starts, and restored between `fork` and `exec`, or right before `exec`.

use super::signals::{self, Set};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Bit 0, 1, 2: that standard descriptor was closed. Bit 3: SIGPIPE was ignored. Bit 4: SIGCHLD was ignored.
static AT_START: AtomicU8 = AtomicU8::new(0);
const PIPE_IGNORED: u8 = 1 << 3;
const CHILD_IGNORED: u8 = 1 << 4;

/// The C library calls what this section lists before it calls `main`, in which Rust starts.
#[used]
// SAFETY: the section holds addresses of functions with C's calling convention, and `record` is one.
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

extern "C" fn record() {
    let mut state = 0;
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes any number for a descriptor and touches no memory.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
            state |= 1 << descriptor;
        }
    }
    if signals::is_ignored(libc::SIGPIPE) {
        state |= PIPE_IGNORED;
    }
    if signals::is_ignored(libc::SIGCHLD) {
        state |= CHILD_IGNORED;
    }
    AT_START.store(state, Ordering::Relaxed);
}

/// Makes the program that `command` starts find the signals and standard descriptors that this process found; `mask` is
/// the signal mask that it was started with.
pub(super) fn pass_on(command: &mut Command, mask: Set) {
    let state = AT_START.load(Ordering::Relaxed);
    let restore = move || -> io::Result<()> {
        signals::set_ignored(libc::SIGPIPE, state & PIPE_IGNORED != 0);
        signals::set_ignored(libc::SIGCHLD, state & CHILD_IGNORED != 0);
        for descriptor in (0..3).filter(|descriptor| state & 1 << descriptor != 0) {
            // SAFETY: it was closed when this process began; what Rust put there is used by nobody.
            unsafe { libc::close(descriptor) };
        }
        // Last: a signal that waits is delivered here.
        signals::set_mask(&mask);
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(restore) };
}
