//! Memory that a request owns while it is in flight.

use crate::errno::Errno;
use std::alloc::{self, Layout};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

/// Owned bytes: a request takes them, and its [`Completion`](crate::Completion) gives them back.
///
/// Like a `Vec<u8>` that never grows by itself, a buffer has a *length*, the bytes that it holds (and derefs to), and a
/// *capacity*, the bytes that it has room for. A write request writes the length. A read request fills the capacity, and
/// the length is then what was read; a read that fails leaves it alone. So a buffer goes from a read to a write of the
/// same bytes, and back to a read, as it is. Memory that nothing was written to is never shown.
///
/// ```
/// use onewait::Buffer;
///
/// let buffer = Buffer::from(b"hello".to_vec());
/// assert_eq!((buffer.len(), &buffer[1..]), (5, &b"ello"[..]));
/// let empty = Buffer::with_capacity(4096);
/// assert_eq!((empty.len(), empty.capacity()), (0, 4096));
/// ```
///
/// O_DIRECT wants memory, lengths and offsets in multiples of the device's block: see [`Buffer::aligned`].
pub struct Buffer {
    /// Allocated with `layout()`, or dangling if `capacity` is 0.
    start: NonNull<u8>,
    /// The first so many bytes are initialised. At most `capacity`.
    length: usize,
    /// In bytes.
    capacity: usize,
    /// Of the allocation, in bytes: a power of two. 1 if it is a `Vec`'s.
    alignment: usize,
}

// SAFETY: a buffer is the only owner of its memory, which is plain bytes.
unsafe impl Send for Buffer {}
// SAFETY: shared, it can only be read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    ///
    /// # Panics
    /// As `Vec::with_capacity`: if `capacity` is more than `isize::MAX`.
    pub fn with_capacity(capacity: usize) -> Buffer {
        Buffer::from(Vec::with_capacity(capacity))
    }

    /// An empty buffer with room for exactly `capacity` bytes, whose first byte lies at a multiple of `alignment` bytes:
    /// for files opened with O_DIRECT, where 4096 suits every usual device (`statx(2)` with STATX_DIOALIGN tells more).
    ///
    /// # Errors
    /// EINVAL if `alignment` is not a power of two, ENOMEM if there is not so much memory.
    pub fn aligned(capacity: usize, alignment: usize) -> Result<Buffer, Errno> {
        if !alignment.is_power_of_two() {
            return Err(Errno::INVAL);
        }
        let too_much = Errno(libc::ENOMEM);
        let layout = Layout::from_size_align(capacity, alignment).map_err(|_| too_much)?;
        if capacity == 0 {
            return Ok(Buffer::default());
        }
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc::alloc(layout) }).ok_or(too_much)?;
        Ok(Buffer { start, length: 0, capacity, alignment })
    }

    /// How many bytes it holds: so many a write writes.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds no bytes. It may have room for some.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// For how many bytes it has room: so many a read asks for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The alignment that was asked for, in bytes; 1 for memory that came from a `Vec` or a box.
    #[inline]
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// Forgets its bytes. The room stays.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Forgets all bytes but the first `length`; nothing if it holds no more.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Makes all of its room hold `byte`.
    pub fn fill_up(&mut self, byte: u8) {
        // SAFETY: the allocation is `capacity` bytes long, and ours alone.
        unsafe { ptr::write_bytes(self.start.as_ptr(), byte, self.capacity) };
        self.length = self.capacity;
    }

    /// The first byte, for the kernel.
    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Takes over what the kernel has written.
    ///
    /// # Safety
    /// The first `length` bytes are initialised, and `length` is not more than the capacity.
    pub(crate) unsafe fn set_length(&mut self, length: usize) {
        debug_assert!(length <= self.capacity);
        self.length = length;
    }

    fn layout(&self) -> Layout {
        // SAFETY: the allocation was made with this size and alignment, by `aligned` or by a `Vec`.
        unsafe { Layout::from_size_align_unchecked(self.capacity, self.alignment) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: the memory came from the global allocator with this layout, and nobody else has it: a request that
            // is in flight owns its buffers.
            unsafe { alloc::dealloc(self.start.as_ptr(), self.layout()) };
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `length` bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the first `length` bytes are initialised, and `&mut self` says that they are ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Buffer {
    /// No bytes, and no room.
    fn default() -> Buffer {
        Buffer { start: NonNull::dangling(), length: 0, capacity: 0, alignment: 1 }
    }
}

/// Takes over the memory, with the vector's length and capacity.
impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        let mut bytes = ManuallyDrop::new(bytes);
        let (length, capacity) = (bytes.len(), bytes.capacity());
        match NonNull::new(bytes.as_mut_ptr()) {
            Some(start) if capacity > 0 => Buffer { start, length, capacity, alignment: 1 },
            _ => Buffer::default(),
        }
    }
}

/// Takes over the memory; the length is all of it.
impl From<Box<[u8]>> for Buffer {
    fn from(bytes: Box<[u8]>) -> Buffer {
        Buffer::from(bytes.into_vec())
    }
}

/// Copies the bytes.
impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Buffer {
        Buffer::from(bytes.to_vec())
    }
}

/// Gives the memory back as what it came from; aligned memory is copied.
impl From<Buffer> for Vec<u8> {
    fn from(buffer: Buffer) -> Vec<u8> {
        if buffer.alignment != 1 || buffer.capacity == 0 {
            return buffer.to_vec();
        }
        let buffer = ManuallyDrop::new(buffer);
        // SAFETY: the memory came from the global allocator with a `Vec`'s layout (alignment 1), and the buffer, which is
        // not dropped, was its only owner.
        unsafe { Vec::from_raw_parts(buffer.start.as_ptr(), buffer.length, buffer.capacity) }
    }
}

/// Appends as much as there is room for.
impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.capacity - self.length);
        // SAFETY: `count` bytes fit between the length and the capacity; a borrowed slice cannot overlap memory that
        // `&mut self` has alone.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(self.length), count) };
        self.length += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Buffer { length, capacity, alignment, .. } = self;
        write!(f, "Buffer({length} of {capacity} bytes, aligned to {alignment})")
    }
}
