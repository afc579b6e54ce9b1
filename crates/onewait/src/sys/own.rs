//! Descriptors that the engine works with: out of the program's way, and known.
//!
//! Programs assume that low numbers are theirs, and some close every number there is. So the engine's descriptors get high
//! ones, and a face that stands in front of `close` can ask which they are.

use crate::sys::MaskedSignals;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors of our own are moved to this number or above, where the limit allows it.
pub(super) const HIGH: RawFd = 1 << 10;

const FREE: RawFd = -1;
/// An engine has up to four; more than these are not known, which costs only their protection.
static OWN: [AtomicI32; 64] = [const { AtomicI32::new(FREE) }; 64];

/// The entry of a number in the list, while this lives.
#[derive(Debug)]
pub struct OwnNumber(RawFd);

impl OwnNumber {
    /// Writes a number down.
    pub fn new(fd: RawFd) -> OwnNumber {
        for cell in &OWN {
            if cell.compare_exchange(FREE, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        OwnNumber(fd)
    }
}

impl Drop for OwnNumber {
    fn drop(&mut self) {
        for cell in &OWN {
            let _ = cell.compare_exchange(self.0, FREE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

/// A descriptor of the engine's.
#[derive(Debug)]
pub struct OwnDescriptor {
    /// Dropped first: once it is closed, the number may be the program's.
    _number: OwnNumber,
    fd: OwnedFd,
}

impl OwnDescriptor {
    /// Takes a descriptor over: moves it up, if it can, and writes it down.
    pub fn new(fd: OwnedFd) -> OwnDescriptor {
        let fd = lift(fd);
        let number = OwnNumber::new(fd.as_raw_fd());
        OwnDescriptor { fd, _number: number }
    }
}

impl AsRawFd for OwnDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Moves a descriptor out of the program's way, if the limit allows it.
pub fn lift(fd: OwnedFd) -> OwnedFd {
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HIGH) };
    // SAFETY: just made, owned by nobody else.
    if high < 0 { fd } else { unsafe { OwnedFd::from_raw_fd(high) } }
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

/// In the child of a fork, before it starts an engine of its own: closes what it got from its parent's.
pub fn forget_inherited_descriptors() {
    let _masked = MaskedSignals::new();
    for cell in &OWN {
        let fd = cell.swap(FREE, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the number is the parent's engine's, of which nothing runs in this process. By system call: a face
            // of ours may stand in front of libc's function.
            unsafe { libc::syscall(libc::SYS_close, fd) };
        }
    }
}
