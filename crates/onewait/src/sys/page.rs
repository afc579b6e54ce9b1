//! The size of a page: 4 KiB on x86-64, and up to 64 KiB on other processors.

/// Bytes of a page, a power of two: `sysconf(3)`'s `_SC_PAGESIZE`. No system call.
pub fn page_size() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
