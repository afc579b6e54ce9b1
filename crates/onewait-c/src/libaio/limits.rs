//! How many requests a context may have in flight, and how many all contexts of the system together: as the kernel has it
//! (`fs/aio.c`, `ioctx_alloc`).

use onewait::{Errno, sys};
use std::fs;

/// The kernel refuses rings of more bytes than this.
const LARGEST_RING: u64 = 0x1000_0000;
/// Bytes of an event, and of the ring's head.
const EVENT: u64 = 32;

/// How many requests a context that was asked to hold `asked` lets in: more, for the kernel rounds up.
///
/// # Errors
/// EINVAL for 0 and for more than any context holds.
pub(super) fn in_flight(asked: u32) -> Result<u32, Errno> {
    // SAFETY: no preconditions.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    let least = 4 * u64::try_from(processors).unwrap_or(1);
    let events = u64::from(asked).max(least) * 2;
    if asked == 0 || events > LARGEST_RING / EVENT {
        return Err(Errno::INVAL);
    }
    // Two more, for the ring's head and for the place that stays free; then whole pages.
    let bytes = (EVENT + EVENT * (events + 2)).next_multiple_of(sys::page_size() as u64);
    Ok(((bytes - EVENT) / EVENT - 1) as u32)
}

/// Whether the system lets another context of so many requests be, beside what it knows of, and beside those of this process
/// that it does not, which hold `ours`.
///
/// # Errors
/// EAGAIN.
pub(super) fn check_system(asked: u32, ours: u64) -> Result<(), Errno> {
    // Where nothing can be read, nothing is limited.
    let Some(most) = number("/proc/sys/fs/aio-max-nr") else { return Ok(()) };
    let others = number("/proc/sys/fs/aio-nr").unwrap_or(0);
    let total = ours.saturating_add(others).saturating_add(u64::from(asked));
    if total > most { Err(Errno::AGAIN) } else { Ok(()) }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_what_was_asked_for_is_let_in() {
        for asked in [1, 2, 7, 63, 64, 128, 1000, 65536] {
            assert!(in_flight(asked).unwrap() >= asked, "{asked}");
        }
        assert_eq!(in_flight(0), Err(Errno::INVAL));
        assert_eq!(in_flight(1 << 30), Err(Errno::INVAL));
        assert_eq!(in_flight(u32::MAX), Err(Errno::INVAL));
    }
}
