//! What is done when there are too many descriptors to accept.
//!
//! A connection that cannot be accepted stays in the listener's queue, which stays readable: a server that only tries again
//! spins, and its clients wait for ever. So a descriptor is kept in reserve: with that, waiting connections are accepted and
//! closed, and their clients know.

use crate::errno::Errno;
use crate::sys::socket;
use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::thread;

/// At most so many connections are closed at a time.
const MOST: usize = 64;
/// Another thread may take the descriptor's number for a moment: so often it is asked for again.
const ATTEMPTS: u32 = 100;

/// The descriptor in reserve.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Spare {
        Spare(File::open("/dev/null").ok())
    }

    /// For a connection that was accepted: if there is no reserve, and none can be had, the connection's own descriptor
    /// becomes it.
    ///
    /// # Errors
    /// EMFILE: the connection was closed.
    #[inline]
    pub(super) fn let_in(&mut self, connection: OwnedFd) -> Result<OwnedFd, Errno> {
        if self.0.is_none() {
            *self = Spare::new();
        }
        if self.0.is_none() {
            drop(connection);
            *self = Spare::new();
            return Err(Errno(libc::EMFILE));
        }
        Ok(connection)
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
        for _ in 0..ATTEMPTS {
            *self = Spare::new();
            if self.0.is_some() {
                break;
            }
            thread::yield_now();
        }
        true
    }
}
