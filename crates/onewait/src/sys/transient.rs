//! Descriptors that have the program's lowest free number for a moment, while they are made and moved up.
//!
//! A program that has closed a number may put another file on it (`dup2(2)`) in that very moment, from another thread: then
//! it would replace a descriptor of ours that nobody knows yet, and we would close the program's file after. So a face that
//! stands in front of `dup2` and whoever makes such a descriptor keep out of each other's way.

use std::sync::atomic::{AtomicU32, Ordering};

/// Sequentially consistent, both: each side announces itself and then looks for the other.
static MAKING: AtomicU32 = AtomicU32::new(0);
static REPLACING: AtomicU32 = AtomicU32::new(0);

/// How often one side looks for the other's end. Both are short; but a child of `vfork` that is killed never ends.
const TURNS: u32 = 10_000;

fn await_zero(count: &AtomicU32) -> bool {
    for _ in 0..TURNS {
        if count.load(Ordering::SeqCst) == 0 {
            return true;
        }
        // SAFETY: no preconditions.
        unsafe { libc::sched_yield() };
    }
    false
}

/// While this lives, no descriptor of the program's is put on another number. On a thread of the program's, signals are held
/// back meanwhile.
#[must_use]
pub(crate) struct Making(());

impl Making {
    pub(crate) fn new() -> Making {
        MAKING.fetch_add(1, Ordering::SeqCst);
        await_zero(&REPLACING);
        Making(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        MAKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While this lives, the engine makes no descriptor. Async-signal-safe.
#[derive(Debug)]
#[must_use]
pub struct Replacing(());

impl Replacing {
    /// Waits until the engine makes none.
    #[allow(clippy::new_without_default, reason = "it waits")]
    pub fn new() -> Replacing {
        loop {
            REPLACING.fetch_add(1, Ordering::SeqCst);
            if MAKING.load(Ordering::SeqCst) == 0 {
                return Replacing(());
            }
            REPLACING.fetch_sub(1, Ordering::SeqCst);
            if !await_zero(&MAKING) {
                REPLACING.fetch_add(1, Ordering::SeqCst);
                return Replacing(());
            }
        }
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        REPLACING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// In the child of a fork: the parent's other threads are not here, and end nothing.
pub(super) fn forget() {
    MAKING.store(0, Ordering::SeqCst);
    REPLACING.store(0, Ordering::SeqCst);
}
