//! What is done when there are too many descriptors to accept.
//!
//! A connection that cannot be accepted stays in the listener's queue, which stays readable: a server that only tries again
//! spins, and its clients wait for ever. So a descriptor is kept in reserve: with that, waiting connections are accepted and
//! closed, and their clients know.

use crate::errno::Errno;
use crate::sys::socket;
use std::fs::File;
use std::os::fd::RawFd;

/// At most so many connections are closed at a time.
const MOST: usize = 64;

/// The descriptor in reserve.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Spare {
        Spare(File::open("/dev/null").ok())
    }

    /// Closes connections that wait. False if that was not possible.
    pub(super) fn shed(&mut self, listener: RawFd) -> bool {
        // It may have been impossible to have one before.
        let Some(spare) = self.0.take().or_else(|| File::open("/dev/null").ok()) else { return false };
        drop(spare);
        for _ in 0..MOST {
            match socket::accept(listener) {
                Ok(connection) => drop(connection),
                Err(Errno(libc::ECONNABORTED | libc::EINTR)) => {}
                Err(_) => break,
            }
        }
        *self = Spare::new();
        true
    }
}
