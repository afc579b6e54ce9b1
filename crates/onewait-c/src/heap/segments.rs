//! Where a heap gets its memory from, in large pieces: an area that is there from the start, then `mmap(2)`.
//!
//! The area is for a process that has no address space left when it makes its first request: it is refused then, as it has
//! to be, with room for saying so. Areas that are not used are no memory, only addresses.

use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Bytes of an area: more than an engine needs to find out that it can have no thread.
const SIZE: usize = 128 * 1024;
/// Heaps that have one: those of a process and of so many generations of children. Blocks of a parent's area live on in the
/// child, so that each generation needs another.
const COUNT: usize = 4;

#[repr(align(4096))]
struct Areas(UnsafeCell<[[u8; SIZE]; COUNT]>);

// SAFETY: only addresses are taken of it; each area is one heap's, which has a lock.
unsafe impl Sync for Areas {}

static AREAS: Areas = Areas(UnsafeCell::new([[0; SIZE]; COUNT]));

/// What one heap gets.
pub(super) struct Segments {
    /// The area, as an address, while it is not given out; 0 if there is none.
    area: Cell<usize>,
}

/// To dlmalloc: a segment that it must neither give back nor make longer.
const FOREIGN: u32 = 1;

impl Segments {
    /// Those of the heap of this generation; the first is 1.
    pub(super) fn of(generation: u64) -> Segments {
        let index = usize::try_from(generation).unwrap_or(usize::MAX).wrapping_sub(1);
        let area = if index < COUNT { AREAS.0.get().cast::<u8>() as usize + index * SIZE } else { 0 };
        Segments { area: Cell::new(area) }
    }
}

// SAFETY: what is given out is private memory that nobody else has, of at least the size that is said; it stays until
// dlmalloc gives it back.
unsafe impl dlmalloc::Allocator for Segments {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if self.area.get() != 0 && size <= SIZE {
            return (ptr::with_exposed_provenance_mut(self.area.replace(0)), SIZE, FOREIGN);
        }
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping where the kernel chooses.
        let address = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED { (ptr::null_mut(), 0, 0) } else { (address.cast(), size, 0) }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, start: *mut u8, before: usize, after: usize) -> bool {
        // SAFETY: the end of a mapping of ours in which nothing lies any more.
        unsafe { libc::munmap(start.add(after).cast(), before - after) == 0 }
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: a mapping of ours in which nothing lies any more.
        unsafe { libc::munmap(start.cast(), size) == 0 }
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        onewait::sys::page_size()
    }
}
