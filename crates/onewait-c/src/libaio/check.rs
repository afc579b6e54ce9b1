//! From a control block to an operation: what the kernel checks when a request is submitted, in its order (`fs/aio.c`).

use super::abi::{FLAG_PRIORITY, Iocb, command};
use onewait::Errno;
use onewait::driver::operation::{Code, MAX_LENGTH, Operation};
use onewait::sys;
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// No program has memory at this address or above, on any processor.
const BEYOND_MEMORY: u64 = 1 << 56;

/// The `RWF_` flags that requests can have here: HIPRI, DSYNC, SYNC, NOWAIT, APPEND.
const KNOWN_RW_FLAGS: i32 = libc::RWF_HIPRI | libc::RWF_DSYNC | libc::RWF_SYNC | libc::RWF_NOWAIT | libc::RWF_APPEND;

/// Whether the block is a plain read or write, with nothing in it that needs a closer look.
#[inline]
pub(super) fn is_plain(block: &Iocb) -> bool {
    block.opcode <= command::WRITE && block.reserved == 0 && block.rw_flags == 0 && block.flags == 0
}

/// Whether the block reads or writes at all.
#[inline]
pub(super) fn is_transfer(block: &Iocb) -> bool {
    matches!(block.opcode, command::READ | command::WRITE | command::READ_VECTORED | command::WRITE_VECTORED)
}

/// Checks what needs no look at the descriptor.
///
/// # Errors
/// EINVAL.
#[inline]
pub(super) fn shape(block: &Iocb) -> Result<(), Errno> {
    let is_sound = block.reserved == 0 && i64::try_from(block.length).is_ok();
    if is_sound { Ok(()) } else { Err(Errno::INVAL) }
}

/// What a read or write moves: the buffer in the block, or vectors that lie elsewhere.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// One buffer: its address and its bytes.
    Buffer(u64, u64),
    /// A list of vectors: its address, how many there are, and how many bytes they have.
    Vectors(usize, u32, u64),
}

/// A read or write of the block's offset.
///
/// # Errors
/// EINVAL for a place that no file has, EFAULT for a buffer that no program has.
#[inline]
pub(super) fn transfer(block: &Iocb, memory: Memory) -> Result<Operation, Errno> {
    let is_read = matches!(block.opcode, command::READ | command::READ_VECTORED);
    let code = match (is_read, memory) {
        (true, Memory::Buffer(..)) => Code::Read,
        (false, Memory::Buffer(..)) => Code::Write,
        (true, Memory::Vectors(..)) => Code::ReadVectored,
        (false, Memory::Vectors(..)) => Code::WriteVectored,
    };
    let (address, length, bytes) = match memory {
        Memory::Vectors(address, count, bytes) => (address, count, bytes),
        Memory::Buffer(address, bytes) => {
            let bytes = bytes.min(MAX_LENGTH as u64);
            if address.saturating_add(bytes) > BEYOND_MEMORY {
                return Err(Errno(libc::EFAULT));
            }
            (address as usize, bytes as u32, bytes)
        }
    };
    let bytes = bytes.min(MAX_LENGTH as u64) as i64;
    if block.offset < 0 || block.offset.checked_add(bytes).is_none() {
        return Err(Errno::INVAL);
    }
    Ok(Operation { address, length, offset: block.offset, rw_flags: block.rw_flags, ..Operation::new(code, block.fd) })
}

/// Checks the flags and the priority of a read or write.
///
/// # Errors
/// EOPNOTSUPP for flags that there are none of; EINVAL, EPERM for the priority.
pub(super) fn options(block: &Iocb) -> Result<(), Errno> {
    if block.flags & FLAG_PRIORITY != 0 {
        priority(block.priority as u16)?;
    }
    if block.rw_flags & !KNOWN_RW_FLAGS == 0 { Ok(()) } else { Err(Errno(libc::EOPNOTSUPP)) }
}

/// Whether this process may have the priority (`ioprio_set(2)`).
fn priority(priority: u16) -> Result<(), Errno> {
    const CLASS_SHIFT: u32 = 13;
    const LEVEL: u16 = 7;
    const NONE: u16 = 0;
    const REAL_TIME: u16 = 1;
    const BEST_EFFORT: u16 = 2;
    const IDLE: u16 = 3;
    match priority >> CLASS_SHIFT {
        NONE if priority & LEVEL == 0 => Ok(()),
        REAL_TIME if may_be_real_time() => Ok(()),
        REAL_TIME => Err(Errno(libc::EPERM)),
        BEST_EFFORT | IDLE => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

/// An `fsync` or `fdatasync`.
///
/// # Errors
/// EBADF; EINVAL if the block asks for more, or there is nothing to be synchronised.
pub(super) fn sync(block: &Iocb) -> Result<Operation, Errno> {
    let mode = mode(block.fd)?;
    if block.buffer != 0 || block.offset != 0 || block.length != 0 || block.rw_flags != 0 {
        return Err(Errno::INVAL);
    }
    if !matches!(mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK) {
        return Err(Errno::INVAL);
    }
    let code = if block.opcode == command::FSYNC { Code::Fsync } else { Code::Fdatasync };
    Ok(Operation::new(code, block.fd))
}

/// A poll.
///
/// # Errors
/// EBADF; EINVAL if the block asks for more.
pub(super) fn poll(block: &Iocb) -> Result<Operation, Errno> {
    sys::status_flags(block.fd)?;
    let Ok(events) = u16::try_from(block.buffer) else { return Err(Errno::INVAL) };
    if block.offset != 0 || block.length != 0 || block.rw_flags != 0 {
        return Err(Errno::INVAL);
    }
    let events = u32::from(events) | (libc::POLLERR | libc::POLLHUP) as u32;
    Ok(Operation { length: events, ..Operation::new(Code::Poll, block.fd) })
}

/// Whether the descriptor is a directory's: it can be opened for reading, but not read.
pub(super) fn is_directory(fd: c_int) -> bool {
    mode(fd).is_ok_and(|mode| mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Type and permissions of the file.
fn mode(fd: c_int) -> Result<libc::mode_t, Errno> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: valid for writing, and read only if the call succeeded.
    unsafe {
        if libc::fstat(fd, status.as_mut_ptr()) < 0 {
            return Err(Errno::last());
        }
        Ok(status.assume_init().st_mode)
    }
}

/// Whether this thread has CAP_SYS_ADMIN or CAP_SYS_NICE.
fn may_be_real_time() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    const SYS_NICE: u32 = 23;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    let mut header = Header { version: VERSION_3, pid: 0 };
    // Two times: effective, permitted, inheritable.
    let mut sets = [0u32; 6];
    // SAFETY: both are valid for writing, and of the sizes of this version.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    result == 0 && sets[0] & (1 << SYS_ADMIN | 1 << SYS_NICE) != 0
}
