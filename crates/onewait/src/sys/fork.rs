//! Telling the child of a fork from its parent.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that began to count.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static COUNTS: Once = Once::new();

/// A number that is another one in every child of a `fork(2)` than in its parent.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Counts forks from now on.
pub(crate) fn watch() {
    // SAFETY: the function is async-signal-safe and does not unwind. Without memory to register it (ENOMEM), a child is
    // not told from its parent.
    COUNTS.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    });
}

unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
