//! Descriptors that the engine works with: out of the program's way, and known.
//!
//! Programs assume that low numbers are theirs, some close every number there is, and some put a file of theirs on a number
//! of their choice. So the engine's descriptors get high numbers, which can change: a face that stands in front of `close`
//! and `dup2` asks which are ours, and has them moved. (Rings need none of this: see `driver/uring.rs`.)

use crate::errno::Errno;
use crate::sys::Descriptor;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors of our own are moved to this number or above, where the limit allows it.
pub(super) const HIGH: RawFd = 1 << 10;

const FREE: RawFd = -1;
/// An engine has up to four.
static OWN: [AtomicI32; 256] = [const { AtomicI32::new(FREE) }; 256];

/// A descriptor of the engine's.
#[derive(Debug)]
pub struct OwnDescriptor {
    /// Where its number is. The descriptor is closed when this is dropped.
    cell: &'static AtomicI32,
}

impl OwnDescriptor {
    /// Takes a descriptor over: moves it up, if it can, and writes it down.
    ///
    /// # Errors
    /// EMFILE if the engine has too many.
    pub fn new(fd: Descriptor) -> Result<OwnDescriptor, Errno> {
        let fd = lift(fd);
        let is_taken = |cell: &&AtomicI32| {
            cell.compare_exchange(FREE, fd.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let cell = OWN.iter().find(is_taken).ok_or(Errno(libc::EMFILE))?;
        // From here on the number in the cell owns the descriptor.
        fd.into_raw();
        Ok(OwnDescriptor { cell })
    }
}

impl AsRawFd for OwnDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.cell.load(Ordering::Relaxed)
    }
}

impl Drop for OwnDescriptor {
    fn drop(&mut self) {
        let fd = self.cell.swap(FREE, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the number was the cell's, and nobody else's.
            drop(unsafe { Descriptor::from_raw(fd) });
        }
    }
}

/// Moves a descriptor out of the program's way, if the limit allows it.
pub fn lift(fd: Descriptor) -> Descriptor {
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HIGH) };
    // SAFETY: just made, owned by nobody else.
    if high < 0 { fd } else { unsafe { Descriptor::from_raw(high) } }
}

/// Whether the engine works with this number. Async-signal-safe.
pub fn is_own_descriptor(fd: RawFd) -> bool {
    fd >= 0 && OWN.iter().any(|cell| cell.load(Ordering::Relaxed) == fd)
}

/// All numbers that the engine works with, lowest first.
pub fn own_descriptors() -> Vec<RawFd> {
    let mut all: Vec<RawFd> = OWN.iter().map(|cell| cell.load(Ordering::Relaxed)).filter(|fd| *fd >= 0).collect();
    all.sort_unstable();
    all
}

/// The program is about to put a file of its own on this number: if the engine works with it, it gets another.
/// Async-signal-safe.
pub fn vacate(fd: RawFd) {
    for cell in OWN.iter().filter(|cell| cell.load(Ordering::Relaxed) == fd) {
        // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
        let other = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, HIGH) };
        // The program replaces the old number, which closes it. Without another number, the engine loses this one.
        cell.store(other, Ordering::Relaxed);
    }
}

/// In the child of a fork: the numbers that the parent's engine works with mean nothing here. They stay open until the
/// child's end or exec, for by number alone nobody can tell whether they still are what they were.
pub fn forget_own_descriptors() {
    for cell in &OWN {
        cell.store(FREE, Ordering::Relaxed);
    }
}
