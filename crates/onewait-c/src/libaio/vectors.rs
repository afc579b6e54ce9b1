//! The vectors of a request: copied when it is submitted, because the program may reuse its own then (as the kernel allows).

use onewait::Errno;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The most vectors of a request (UIO_MAXIOV).
const MOST: u64 = 1024;

/// A copied list. It stays where it is until the request has ended.
pub(super) struct Vectors {
    next: AtomicPtr<Vectors>,
    list: Vec<libc::iovec>,
}

// SAFETY: the addresses in the list are the program's, and used by the kernel only.
unsafe impl Send for Vectors {}

impl Vectors {
    /// Where the copy is.
    pub(super) fn address(&self) -> usize {
        self.list.as_ptr() as usize
    }

    /// How many bytes all of them have.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().fold(0, |sum, vector| sum.saturating_add(vector.iov_len as u64))
    }

    /// The only vector, if there is one only: it needs no list.
    pub(super) fn alone(&self) -> Option<libc::iovec> {
        match self.list[..] {
            [vector] => Some(vector),
            _ => None,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.list.len() as u32
    }
}

/// Lists that were used: a request can end in a signal handler, which must not free memory.
#[derive(Default)]
pub(super) struct UsedVectors(AtomicPtr<Vectors>);

impl UsedVectors {
    /// Copies a program's vectors.
    ///
    /// # Errors
    /// EINVAL if there are too many, or one is longer than can be; EFAULT without an address; EAGAIN if memory is short.
    ///
    /// # Safety
    /// There are so many vectors at the address, if it is not null.
    pub(super) unsafe fn copy(&self, address: u64, count: u64) -> Result<Box<Vectors>, Errno> {
        if count > MOST {
            return Err(Errno::INVAL);
        }
        let address = address as *const libc::iovec;
        if address.is_null() && count > 0 {
            return Err(Errno(libc::EFAULT));
        }
        let mut copy = self.take();
        copy.list.try_reserve_exact(count as usize).map_err(|_| Errno::AGAIN)?;
        for index in 0..count as usize {
            // SAFETY: by contract.
            let vector = unsafe { address.add(index).read_unaligned() };
            if isize::try_from(vector.iov_len).is_err() {
                return Err(Errno::INVAL);
            }
            copy.list.push(vector);
        }
        Ok(copy)
    }

    /// An empty list: a used one if there is one. Frees the others.
    fn take(&self) -> Box<Vectors> {
        let first = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        if first.is_null() {
            return Box::new(Vectors { next: AtomicPtr::default(), list: Vec::new() });
        }
        // SAFETY: lists come here as boxes, by `put`; taking the whole stack made them ours.
        let mut vectors = unsafe { Box::from_raw(first) };
        let mut next = vectors.next.swap(ptr::null_mut(), Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: as above.
            let other = unsafe { Box::from_raw(next) };
            next = other.next.load(Ordering::Relaxed);
        }
        vectors.list.clear();
        vectors
    }

    /// Takes a list that is no longer needed. Async-signal-safe.
    pub(super) fn put(&self, vectors: Box<Vectors>) {
        let vectors = Box::into_raw(vectors);
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: ours until it is in the stack.
            unsafe { (*vectors).next.store(first, Ordering::Relaxed) };
            match self.0.compare_exchange_weak(first, vectors, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }
}

impl Drop for UsedVectors {
    fn drop(&mut self) {
        drop(self.take());
    }
}
