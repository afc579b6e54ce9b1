//! Large blocks: a mapping each. They take memory only where they are touched, and give it back at once. A child of fork may
//! unmap those that it has inherited: its copy alone goes.

use crate::errno::Kept;
use std::alloc::Layout;
use std::ptr;

/// Bytes from which on a block has a mapping of its own.
const LARGE: usize = 256 * 1024;

/// No mapping is aligned to more than the smallest page.
const MOST_ALIGNED: usize = 4096;

/// Whether a block of this layout has, which must not depend on anything else.
pub(super) fn suits(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= MOST_ALIGNED
}

/// A mapping of zeros, or null.
pub(super) fn map(size: usize) -> *mut u8 {
    let _errno = Kept::new();
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping where the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { ptr::null_mut() } else { start.cast() }
}

/// Gives a mapping another size: where it is then, or null, and it is as it was.
///
/// # Safety
/// It is one of [`map`]'s, of this size, and nobody refers to it.
pub(super) unsafe fn resize(start: *mut u8, size: usize, new_size: usize) -> *mut u8 {
    let _errno = Kept::new();
    // SAFETY: by contract.
    let moved = unsafe { libc::mremap(start.cast(), size, new_size, libc::MREMAP_MAYMOVE) };
    if moved == libc::MAP_FAILED { ptr::null_mut() } else { moved.cast() }
}

/// Ends a mapping.
///
/// # Safety
/// As for [`resize`].
pub(super) unsafe fn unmap(start: *mut u8, size: usize) {
    let _errno = Kept::new();
    // SAFETY: by contract.
    unsafe { libc::munmap(start.cast(), size) };
}
