//! A lock of one word, which is free if that is 0. (One of std's or libc's need not be free when it is all zeros.)

use onewait::sys;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) struct Lock(AtomicU32);

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep on it.
const AWAITED: u32 = 2;

impl Lock {
    pub(super) const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    pub(super) fn take(&self) {
        if self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
                sys::futex_wait(&self.0, AWAITED, None);
            }
        }
    }

    pub(super) fn give_back(&self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            sys::futex_wake(self.0.as_ptr() as usize, 1);
        }
    }
}
