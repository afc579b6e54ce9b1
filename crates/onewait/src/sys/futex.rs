//! Sleeping on a word of memory: `futex(2)`, always private to the process.

use crate::errno::Errno;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Woken, or the word had another value already, or for no reason.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Sleeps while `word` holds `expected`, at most until `deadline` (on the monotonic clock). Without one, a sleep goes on after
/// a handler that has SA_RESTART.
pub fn futex_wait(word: &AtomicU32, expected: u32, deadline: Option<&libc::timespec>) -> Wait {
    let timeout = deadline.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `word` and the deadline live through the call; FUTEX_WAIT_BITSET takes an absolute monotonic time.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout,
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    match result {
        0.. => Wait::Woken,
        _ => match Errno::last().0 {
            libc::ETIMEDOUT => Wait::TimedOut,
            libc::EINTR => Wait::Interrupted,
            _ => Wait::Woken,
        },
    }
}

/// Wakes up to `count` sleepers on the word at `address`. The address is only compared, never read: it may be of memory
/// that is gone.
pub fn futex_wake(address: usize, count: i32) {
    // SAFETY: FUTEX_WAKE on a private futex does not access the memory at the address.
    unsafe {
        libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count);
    }
}
