//! Which descriptor numbers the engine still needs.
//!
//! Between the call that queues a request and the moment at which the kernel takes a reference to the file, the request
//! knows its file by number only. A program that closes the descriptor in between, and gets the number again for another
//! file, must not find its data there. So `close` and its relatives ask here first; the answer is almost always no.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};

const CELLS: usize = 64;

/// Counts requests by a hash of their descriptor's number: a false alarm is possible, a missed one is not.
#[derive(Debug)]
pub(crate) struct Busy([AtomicU32; CELLS]);

impl Busy {
    pub(crate) const fn new() -> Busy {
        Busy([const { AtomicU32::new(0) }; CELLS])
    }

    fn cell(&self, fd: RawFd) -> &AtomicU32 {
        &self.0[fd as usize % CELLS]
    }

    /// A request needs the number from now on. Comes before the request is handed on.
    #[inline]
    pub(crate) fn add(&self, fd: RawFd) {
        self.cell(fd).fetch_add(1, Ordering::SeqCst);
    }

    /// A request no longer needs it: the kernel holds the file.
    #[inline]
    pub(crate) fn remove(&self, fd: RawFd) {
        self.cell(fd).fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether some request may need the number.
    #[inline]
    pub(crate) fn contains(&self, fd: RawFd) -> bool {
        self.cell(fd).load(Ordering::SeqCst) != 0
    }
}
