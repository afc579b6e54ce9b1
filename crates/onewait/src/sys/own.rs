//! Descriptors that the engine works with: out of the program's way, and known.
//!
//! Programs assume that low numbers are theirs, some close every number there is, and some put a file of theirs on a number
//! of their choice. So the engine's descriptors get high numbers, which can change: a face that stands in front of `close`
//! and `dup2` asks which are ours, and has them moved. (Rings need none of this: see `driver/uring/`.)

use crate::errno::Errno;
use crate::sys::Descriptor;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Descriptors of our own are moved to this number or above, where the limit allows it.
pub(super) const HIGH: RawFd = 1 << 10;

const FREE: RawFd = -1;
/// The numbers of [`OwnDescriptor`]s. An engine has up to four.
static OWN: [AtomicI32; 256] = [const { AtomicI32::new(FREE) }; 256];

/// Bits of the numbers that are ours, whether they can change or not; numbers beyond are not known.
const KNOWN: usize = 1 << 20;
static NUMBERS: [AtomicU64; KNOWN / 64] = [const { AtomicU64::new(0) }; KNOWN / 64];

/// Notes that a number is ours, or is no longer.
pub(super) fn note(fd: RawFd, is_ours: bool) {
    if let Some((word, bit)) = place(fd) {
        if is_ours {
            word.fetch_or(bit, Ordering::Relaxed);
        } else {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

fn place(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(fd).ok()?;
    Some((NUMBERS.get(number / 64)?, 1 << (number % 64)))
}

/// A descriptor of the engine's.
#[derive(Debug)]
pub(crate) struct OwnDescriptor {
    /// Where its number is. The descriptor is closed when this is dropped.
    cell: &'static AtomicI32,
}

impl OwnDescriptor {
    /// Takes a descriptor over: moves it up, if it can, and writes it down.
    ///
    /// # Errors
    /// EMFILE if the engine has too many.
    pub(crate) fn new(fd: Descriptor) -> Result<OwnDescriptor, Errno> {
        let fd = lift(fd);
        let is_taken = |cell: &&AtomicI32| {
            cell.compare_exchange(FREE, fd.as_raw_fd(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        // Written down from here on, in the cell, which owns the descriptor.
        let cell = OWN.iter().find(is_taken).ok_or(Errno(libc::EMFILE))?;
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
pub(crate) fn lift(fd: Descriptor) -> Descriptor {
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let high = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, HIGH) };
    // SAFETY: just made, owned by nobody else.
    if high < 0 { fd } else { unsafe { Descriptor::from_raw(high) } }
}

/// Whether the engine works with this number. Async-signal-safe.
#[inline]
pub fn is_own_descriptor(fd: RawFd) -> bool {
    place(fd).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// A number below the high ones is ours only for a moment, while a descriptor is made and moved up: waits for the end of
/// that moment. What stays low because the limit is low stays ours. Async-signal-safe.
pub fn await_transient(fd: RawFd) {
    const TURNS: u32 = 1000;
    for _ in 0..TURNS {
        if fd >= HIGH || !is_own_descriptor(fd) || OWN.iter().any(|cell| cell.load(Ordering::Relaxed) == fd) {
            return;
        }
        // SAFETY: no preconditions.
        unsafe { libc::sched_yield() };
    }
}

/// The lowest number, from `first` on, that the engine works with.
pub fn next_own_descriptor(first: RawFd) -> Option<RawFd> {
    let first = usize::try_from(first).ok()?;
    (first / 64..NUMBERS.len()).find_map(|index| {
        let all = NUMBERS[index].load(Ordering::Relaxed);
        let bits = if index == first / 64 { all & (u64::MAX << (first % 64)) } else { all };
        (bits != 0).then(|| (index * 64) as RawFd + bits.trailing_zeros() as RawFd)
    })
}

/// The program is about to put a file of its own on this number. If the engine works with it, it gets another number; false
/// if that cannot be. Async-signal-safe.
pub fn vacate(fd: RawFd) -> bool {
    if !is_own_descriptor(fd) {
        return true;
    }
    let Some(cell) = OWN.iter().find(|cell| cell.load(Ordering::Relaxed) == fd) else { return false };
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let other = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, HIGH) };
    if other < 0 {
        return false;
    }
    note(other, true);
    // The program replaces the old number, which closes it.
    cell.store(other, Ordering::Relaxed);
    note(fd, false);
    true
}

/// In the child of a fork: the numbers that the parent's engine works with mean nothing here. They stay open until the
/// child's end or exec, for by number alone nobody can tell whether they still are what they were.
pub fn forget_own_descriptors() {
    for cell in &OWN {
        cell.store(FREE, Ordering::Relaxed);
    }
    while let Some(fd) = next_own_descriptor(0) {
        note(fd, false);
    }
    super::transient::forget();
}
