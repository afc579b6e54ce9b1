//! What was learned of descriptors that are used again and again, so that it need not be asked for each time.
//!
//! A hint saves two or three system calls a request. It can be wrong: a program may change O_DIRECT, or close the descriptor
//! in a way that nobody sees and get the number for another file. So a hint decides only what is right either way: a wrong
//! one costs time (a request that waits in the caller's thread), never a result. It is forgotten at every close that can be
//! seen, and asked for anew after a number of uses.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// Requests on one descriptor between two real looks at it.
const USES: u32 = 31;

const PLACES: usize = 1024;
/// A place holds: a bit for each kind of hint, the uses left (5 bits), and the descriptor's upper bits.
const READ_CACHED: u32 = 1 << 31;
const READ_DIRECT: u32 = 1 << 30;
const WRITE_CACHED: u32 = 1 << 29;
const USES_SHIFT: u32 = 24;
const DIRECT: u32 = 1 << 23;
const UPPER: u32 = (1 << 23) - 1;

static HINTS: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

/// What is known of a descriptor of storage (a regular file or a block device).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It can be read, through the page cache.
    ReadCached,
    /// It can be read, past the page cache: O_DIRECT.
    ReadDirect,
    /// It is read or written past the page cache, whichever it is open for.
    Direct,
    /// It can be written to, through the page cache, without O_APPEND and O_SYNC.
    WriteCached,
}

impl Hint {
    const fn bit(self) -> u32 {
        match self {
            Hint::ReadCached => READ_CACHED,
            Hint::ReadDirect => READ_DIRECT,
            Hint::Direct => DIRECT,
            Hint::WriteCached => WRITE_CACHED,
        }
    }
}

fn place(fd: RawFd) -> Option<(&'static AtomicU32, u32)> {
    let number = usize::try_from(fd).ok()?;
    let upper = u32::try_from(number / PLACES).ok().filter(|upper| *upper <= UPPER)?;
    Some((&HINTS[number % PLACES], upper))
}

/// Whether this is known of a descriptor; counts as a use.
#[inline]
pub(super) fn recall(fd: RawFd, hint: Hint) -> bool {
    let Some((place, upper)) = place(fd) else { return false };
    let known = place.load(Ordering::Relaxed);
    if known & hint.bit() == 0 || known & UPPER != upper || (known >> USES_SHIFT) & USES == 0 {
        return false;
    }
    // Two threads may count one use: it is a hint.
    place.store(known - (1 << USES_SHIFT), Ordering::Relaxed);
    true
}

/// Notes what a real look at a descriptor has shown.
pub(super) fn learn(fd: RawFd, hint: Hint) {
    if let Some((place, upper)) = place(fd) {
        let known = place.load(Ordering::Relaxed);
        let others =
            if known & UPPER == upper { known & (READ_CACHED | READ_DIRECT | WRITE_CACHED | DIRECT) } else { 0 };
        let fresh = match hint {
            Hint::ReadCached => others & WRITE_CACHED,
            Hint::ReadDirect | Hint::Direct => others & !READ_CACHED,
            Hint::WriteCached => others & !DIRECT,
        };
        place.store(fresh | hint.bit() | USES << USES_SHIFT | upper, Ordering::Relaxed);
    }
}

/// A real look at a descriptor has shown that this is not so (any more).
#[inline]
pub(super) fn unlearn(fd: RawFd, hint: Hint) {
    if let Some((place, upper)) = place(fd) {
        let known = place.load(Ordering::Relaxed);
        if known & hint.bit() != 0 && known & UPPER == upper {
            place.store(known & !hint.bit(), Ordering::Relaxed);
        }
    }
}

/// The number no longer means what it did. Async-signal-safe.
#[inline]
pub(super) fn forget(fd: RawFd) {
    if let Some((place, _)) = place(fd)
        && place.load(Ordering::Relaxed) != 0
    {
        place.store(0, Ordering::Relaxed);
    }
}

/// Nothing means what it did: in the child of a fork, before its first request.
pub fn forget_all() {
    for place in &HINTS {
        place.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_used_up_and_forgotten() {
        let fd = 5 * PLACES as RawFd + 77;
        assert!(!recall(fd, Hint::Direct));
        learn(fd, Hint::Direct);
        for _ in 0..USES {
            assert!(recall(fd, Hint::Direct));
        }
        assert!(!recall(fd, Hint::Direct));
        learn(fd, Hint::ReadCached);
        assert!(recall(fd, Hint::ReadCached));
        assert!(!recall(fd, Hint::Direct));
        assert!(!recall(fd, Hint::WriteCached));
        assert!(!recall(fd + PLACES as RawFd, Hint::ReadCached), "another descriptor in the same place");
        forget(fd);
        assert!(!recall(fd, Hint::ReadCached));
        assert!(!recall(-1, Hint::ReadCached));
    }

    #[test]
    fn reading_and_writing_are_known_beside_each_other() {
        let fd = 6 * PLACES as RawFd + 78;
        learn(fd, Hint::ReadCached);
        learn(fd, Hint::WriteCached);
        assert!(recall(fd, Hint::ReadCached) && recall(fd, Hint::WriteCached));
        unlearn(fd, Hint::WriteCached);
        assert!(recall(fd, Hint::ReadCached) && !recall(fd, Hint::WriteCached));
    }
}
