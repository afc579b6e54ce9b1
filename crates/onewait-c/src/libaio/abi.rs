//! `struct iocb` and `struct io_event`: how they lie in memory (`linux/aio_abi.h`; libaio's are the same).

use onewait::Errno;
use std::mem::offset_of;
use std::ptr;

/// The request's end is reported to an eventfd (IOCB_FLAG_RESFD).
pub(super) const FLAG_EVENTFD: u32 = 1 << 0;
/// The request has a priority of its own (IOCB_FLAG_IOPRIO).
pub(super) const FLAG_PRIORITY: u32 = 1 << 1;

/// `aio_lio_opcode`.
pub(super) mod command {
    pub(in crate::libaio) const READ: u16 = 0;
    pub(in crate::libaio) const WRITE: u16 = 1;
    pub(in crate::libaio) const FSYNC: u16 = 2;
    pub(in crate::libaio) const FDATASYNC: u16 = 3;
    pub(in crate::libaio) const POLL: u16 = 5;
    pub(in crate::libaio) const READ_VECTORED: u16 = 7;
    pub(in crate::libaio) const WRITE_VECTORED: u16 = 8;
}

/// A program's control block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Iocb {
    pub(super) data: u64,
    #[cfg(target_endian = "little")]
    pub(super) key: u32,
    pub(super) rw_flags: i32,
    #[cfg(target_endian = "big")]
    pub(super) key: u32,
    pub(super) opcode: u16,
    pub(super) priority: i16,
    pub(super) fd: i32,
    /// The buffer, the vectors, or the poll events.
    pub(super) buffer: u64,
    /// Bytes, or the number of vectors.
    pub(super) length: u64,
    pub(super) offset: i64,
    pub(super) reserved: u64,
    pub(super) flags: u32,
    pub(super) event_fd: i32,
}

/// A completion.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IoEvent {
    /// The control block's `data`.
    pub(super) data: u64,
    /// The control block's address.
    pub(super) object: u64,
    /// Bytes or another value, or a negative error number.
    pub(super) result: i64,
    /// Always 0.
    pub(super) result2: i64,
}

/// `struct __aio_sigset` of `io_pgetevents(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalSet {
    pub(super) mask: *const libc::sigset_t,
    pub(super) size: usize,
}

impl SignalSet {
    /// Bytes of a signal mask as the kernel has it.
    pub(super) const SIZE: usize = 8;

    /// Null for a set without a mask.
    ///
    /// # Errors
    /// EINVAL for masks of another size.
    pub(super) fn checked(set: *const SignalSet) -> Result<*const SignalSet, Errno> {
        // SAFETY: null, or a set that the program says is there.
        match unsafe { set.as_ref() } {
            None => Ok(set),
            Some(set) if set.mask.is_null() => Ok(ptr::null()),
            Some(set) if set.size != SignalSet::SIZE => Err(Errno::INVAL),
            Some(_) => Ok(set),
        }
    }
}

const _: () = {
    assert!(size_of::<Iocb>() == 64);
    assert!(offset_of!(Iocb, rw_flags) == if cfg!(target_endian = "little") { 12 } else { 8 });
    assert!(offset_of!(Iocb, opcode) == 16);
    assert!(offset_of!(Iocb, priority) == 18);
    assert!(offset_of!(Iocb, fd) == 20);
    assert!(offset_of!(Iocb, buffer) == 24);
    assert!(offset_of!(Iocb, length) == 32);
    assert!(offset_of!(Iocb, offset) == 40);
    assert!(offset_of!(Iocb, reserved) == 48);
    assert!(offset_of!(Iocb, flags) == 56);
    assert!(offset_of!(Iocb, event_fd) == 60);
    assert!(size_of::<IoEvent>() == 32);
};
