//! `struct aiocb`: how it lies in memory, and the part of it that is ours.

use onewait::aio::Key;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, Ordering};

/// The status of a request that has not ended.
pub(super) const IN_PROGRESS: u32 = libc::EINPROGRESS as u32;

/// `struct sigevent`, as glibc and musl lay it out on 64 bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sigevent {
    pub(super) value: *mut c_void,
    pub(super) signo: c_int,
    pub(super) notify: c_int,
    /// The function for SIGEV_THREAD; the thread for SIGEV_THREAD_ID, in the lower half.
    pub(super) function: usize,
    pub(super) attributes: *const libc::pthread_attr_t,
    _rest: [u64; 4],
}

/// `struct aiocb` and `struct aiocb64`, which are one on 64 bits. Bytes 96 to 127 are the implementation's; programs that
/// look in there expect the error at 112 and the return value at 120, where glibc has them.
#[repr(C)]
pub(crate) struct Aiocb {
    pub(super) fd: c_int,
    pub(super) opcode: c_int,
    pub(super) priority: c_int,
    pub(super) buffer: *mut c_void,
    pub(super) length: usize,
    pub(super) event: Sigevent,
    key: AtomicU64,
    _spare: u64,
    error: AtomicU32,
    _padding: u32,
    value: AtomicIsize,
    pub(super) offset: i64,
    _reserved: [u8; 32],
}

const _: () = {
    assert!(size_of::<Sigevent>() == 64);
    assert!(size_of::<Aiocb>() == 168);
    assert!(size_of::<Aiocb>() == size_of::<libc::aiocb>());
    assert!(offset_of!(Aiocb, fd) == offset_of!(libc::aiocb, aio_fildes));
    assert!(offset_of!(Aiocb, opcode) == offset_of!(libc::aiocb, aio_lio_opcode));
    assert!(offset_of!(Aiocb, priority) == offset_of!(libc::aiocb, aio_reqprio));
    assert!(offset_of!(Aiocb, buffer) == offset_of!(libc::aiocb, aio_buf));
    assert!(offset_of!(Aiocb, length) == offset_of!(libc::aiocb, aio_nbytes));
    assert!(offset_of!(Aiocb, event) == offset_of!(libc::aiocb, aio_sigevent));
    assert!(offset_of!(Aiocb, key) == 96);
    assert!(offset_of!(Aiocb, error) == 112);
    assert!(offset_of!(Aiocb, value) == 120);
    assert!(offset_of!(Aiocb, offset) == offset_of!(libc::aiocb, aio_offset));
};

impl Aiocb {
    /// A request begins: EINPROGRESS, and no key yet.
    #[inline]
    pub(super) fn begin(&self) {
        self.key.store(0, Ordering::Relaxed);
        self.value.store(0, Ordering::Relaxed);
        self.error.store(IN_PROGRESS, Ordering::Release);
    }

    /// The request has a place in the engine.
    #[inline]
    pub(super) fn set_key(&self, key: Key) {
        self.key.store(key.to_bits(), Ordering::Release);
    }

    /// The request's place in the engine; names nothing if it has none.
    #[inline]
    pub(super) fn key(&self) -> Key {
        Key::from_bits(self.key.load(Ordering::Acquire))
    }

    /// The status: EINPROGRESS, or how the request ended.
    #[inline]
    pub(super) fn error(&self) -> u32 {
        self.error.load(Ordering::SeqCst)
    }

    /// The return value of a request that has ended.
    #[inline]
    pub(super) fn value(&self) -> isize {
        self.value.load(Ordering::Acquire)
    }

    /// The request has ended. From the second store on the block is the program's again, which may free it at once.
    #[inline]
    pub(super) fn publish(&self, outcome: onewait::aio::Outcome) {
        let (value, error) = match outcome {
            Ok(value) => (value as isize, 0),
            Err(errno) => (-1, errno.0 as u32),
        };
        self.value.store(value, Ordering::Relaxed);
        self.error.store(error, Ordering::SeqCst);
    }
}
