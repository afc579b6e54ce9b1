//! Buffers that the kernel chooses from when something has come: none is held by a connection that is idle.

use super::Ring;
use crate::errno::Errno;
use crate::sys::page_size;
use io_uring::types::BufRingEntry;
use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The ring through which the kernel is given buffers.
pub(crate) struct BufferRing {
    /// `entries` of them, aligned to a page; the kernel reads them as long as the ring lives.
    start: NonNull<BufRingEntry>,
    entries: u16,
    /// Where the next goes. The kernel sees it once it is published.
    tail: u16,
    is_leaked: bool,
}

// SAFETY: it is the only owner of its memory on this side; the kernel's side does not care for threads.
unsafe impl Send for BufferRing {}

impl BufferRing {
    /// Registers a ring of buffers as `group`, empty. `entries` is a power of two, at most 32,768.
    ///
    /// # Errors
    /// Those of `io_uring_register(2)`: EINVAL where the kernel is too old (before 5.19), ENOMEM, EEXIST.
    ///
    /// # Safety
    /// The ring is dropped before this is.
    pub(crate) unsafe fn register(ring: &Ring, entries: u16, group: u16) -> Result<BufferRing, Errno> {
        let layout = layout(entries)?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(Errno(libc::ENOMEM))?;
        let buffers = BufferRing { start: start.cast(), entries, tail: 0, is_leaked: false };
        // SAFETY: the memory is valid for so many entries until the ring is gone, by the contract of this function.
        let registered =
            unsafe { ring.ring.submitter().register_buf_ring_with_flags(start.as_ptr() as u64, entries, group, 0) };
        registered.map_err(|error| Errno::of(&error))?;
        Ok(buffers)
    }

    /// Adds a buffer; the kernel may use it after [`BufferRing::publish`].
    ///
    /// # Safety
    /// There is room: not more than `entries` are with the kernel. The memory stays valid, and is nobody else's, until a
    /// completion has given it back, or the ring is dropped.
    pub(crate) unsafe fn add(&mut self, address: usize, length: u32, number: u16) {
        // SAFETY: the index is below the number of entries; the kernel does not look at this entry before it is published.
        let entry = unsafe { &mut *self.start.as_ptr().add(usize::from(self.tail & (self.entries - 1))) };
        entry.set_addr(address as u64);
        entry.set_len(length);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// The kernel goes on with it: its memory is never freed.
    pub(crate) fn leak(&mut self) {
        self.is_leaked = true;
    }

    /// Shows the kernel what was added.
    pub(crate) fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry, where nothing else of ours writes; the kernel reads it as an atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.start.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        if let Ok(layout) = layout(self.entries)
            && !self.is_leaked
        {
            // SAFETY: allocated with this layout; the kernel's ring is gone.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

fn layout(entries: u16) -> Result<Layout, Errno> {
    let bytes = usize::from(entries) * size_of::<BufRingEntry>();
    Layout::from_size_align(bytes, page_size()).map_err(|_| Errno(libc::ENOMEM))
}
