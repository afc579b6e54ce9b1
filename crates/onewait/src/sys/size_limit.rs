//! The limit on file sizes (RLIMIT_FSIZE): a write beyond it raises SIGXFSZ in the thread that writes.
//!
//! Asking costs a system call for each write, so the answer "there is none" is kept, but only where somebody watches the
//! functions that change it.

use std::sync::atomic::{AtomicU32, Ordering};

/// Changes that were seen, plus one; 0 while nobody watches: then the system is asked each time.
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// What [`CHANGES`] was when there was seen to be no limit.
static NONE_AT: AtomicU32 = AtomicU32::new(0);

/// Says that whoever changes the limit in this process calls [`size_limit_changed`] after it.
pub fn watch_size_limit() {
    CHANGES.fetch_max(1, Ordering::Relaxed);
}

/// The limit may have changed. Async-signal-safe.
pub fn size_limit_changed() {
    if CHANGES.load(Ordering::Relaxed) != 0 && CHANGES.fetch_add(1, Ordering::Relaxed) == u32::MAX {
        watch_size_limit();
    }
}

/// Whether the process has such a limit.
#[inline]
pub(crate) fn has_size_limit() -> bool {
    let changes = CHANGES.load(Ordering::Relaxed);
    (changes == 0 || NONE_AT.load(Ordering::Relaxed) != changes) && ask(changes)
}

#[cold]
fn ask(changes: u32) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is valid for writing.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    let is_limited = result < 0 || limit.rlim_cur != libc::RLIM_INFINITY;
    if !is_limited {
        NONE_AT.store(changes, Ordering::Relaxed);
    }
    is_limited
}
