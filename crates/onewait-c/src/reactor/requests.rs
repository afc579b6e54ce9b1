//! Requests on the program's own memory and descriptors.

use super::handle::{status, store};
use super::queue::own;
use super::source::Source;
use onewait::Errno;
use onewait::driver::operation::{Code, MAX_LENGTH, Operation};
use std::ffi::{c_int, c_void};

/// The most vectors of a request (UIO_MAXIOV).
const MOST_VECTORS: c_int = 1024;

/// `ow_read`.
///
/// # Safety
/// The handle is null or valid; buffer and descriptor stay as the header says; `request` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_read(
    queue: *mut Source,
    fd: c_int,
    buffer: *mut c_void,
    length: usize,
    offset: i64,
    token: u64,
    request: *mut u64,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, transfer(Code::Read, fd, buffer, length, offset), token, request) }
}

/// `ow_write`.
///
/// # Safety
/// As [`ow_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_write(
    queue: *mut Source,
    fd: c_int,
    buffer: *const c_void,
    length: usize,
    offset: i64,
    token: u64,
    request: *mut u64,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, transfer(Code::Write, fd, buffer, length, offset), token, request) }
}

/// `ow_readv`.
///
/// # Safety
/// As [`ow_read`]; there are so many vectors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_readv(
    queue: *mut Source,
    fd: c_int,
    vectors: *const libc::iovec,
    count: c_int,
    offset: i64,
    token: u64,
    request: *mut u64,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, vectored(Code::ReadVectored, fd, vectors, count, offset), token, request) }
}

/// `ow_writev`.
///
/// # Safety
/// As [`ow_readv`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_writev(
    queue: *mut Source,
    fd: c_int,
    vectors: *const libc::iovec,
    count: c_int,
    offset: i64,
    token: u64,
    request: *mut u64,
) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, vectored(Code::WriteVectored, fd, vectors, count, offset), token, request) }
}

/// `ow_fsync`.
///
/// # Safety
/// As [`ow_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_fsync(queue: *mut Source, fd: c_int, token: u64, request: *mut u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, Ok(Operation::new(Code::Fsync, fd)), token, request) }
}

/// `ow_fdatasync`.
///
/// # Safety
/// As [`ow_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_fdatasync(queue: *mut Source, fd: c_int, token: u64, request: *mut u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, Ok(Operation::new(Code::Fdatasync, fd)), token, request) }
}

/// `ow_poll`.
///
/// # Safety
/// As [`ow_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_poll(queue: *mut Source, fd: c_int, events: u16, token: u64, request: *mut u64) -> c_int {
    let operation = Operation { length: u32::from(events), ..Operation::new(Code::Poll, fd) };
    // SAFETY: passed on to the caller.
    unsafe { submit(queue, Ok(operation), token, request) }
}

/// # Errors
/// EINVAL for a length that read(2) refuses.
fn transfer(code: Code, fd: c_int, buffer: *const c_void, length: usize, offset: i64) -> Result<Operation, Errno> {
    if isize::try_from(length).is_err() {
        return Err(Errno::INVAL);
    }
    let length = length.min(MAX_LENGTH) as u32;
    Ok(Operation { address: buffer.addr(), length, offset, ..Operation::new(code, fd) })
}

/// # Errors
/// EINVAL for a number of vectors that readv(2) refuses, and without vectors.
fn vectored(code: Code, fd: c_int, vectors: *const libc::iovec, count: c_int, offset: i64) -> Result<Operation, Errno> {
    if !(0..=MOST_VECTORS).contains(&count) || vectors.is_null() && count > 0 {
        return Err(Errno::INVAL);
    }
    Ok(Operation { address: vectors.addr(), length: count as u32, offset, ..Operation::new(code, fd) })
}

/// # Safety
/// As [`ow_read`]; the operation's list of vectors is valid.
unsafe fn submit(queue: *mut Source, operation: Result<Operation, Errno>, token: u64, request: *mut u64) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let (queue, operation) = (unsafe { own(queue) }?, operation?);
        // SAFETY: the program keeps buffer and descriptor until the completion, or the end of the queue, which is the end of
        // its engine.
        let handle = unsafe { queue.submit_borrowed(operation, token) }?;
        // SAFETY: passed on to the caller.
        unsafe { store(request, handle.to_bits()) };
        Ok(())
    })
}
