//! Operations by plain system calls, in the calling thread.

use super::operation::{Code, Operation};
use crate::errno::Errno;
use crate::sys;

/// Transfers what can be transferred without waiting.
///
/// # Errors
/// EAGAIN if it would have to wait, EOPNOTSUPP if the descriptor cannot say.
///
/// # Safety
/// What the operation points to is valid for it.
pub(crate) unsafe fn transfer_now(operation: &Operation) -> Result<usize, Errno> {
    let (vector, length) = (vector_of(operation), operation.length);
    let (vectors, count) = if operation.is_vectored() {
        (operation.address as *const libc::iovec, length)
    } else {
        (&raw const vector, 1)
    };
    // SAFETY: by the contract of this function.
    unsafe {
        if operation.is_read() {
            sys::nonblocking_read(operation.fd, vectors, count, operation.offset)
        } else {
            sys::nonblocking_write(operation.fd, vectors, count, operation.offset)
        }
    }
}

fn vector_of(operation: &Operation) -> libc::iovec {
    libc::iovec { iov_base: operation.address as *mut libc::c_void, iov_len: operation.length as usize }
}

/// Carries an operation out in the calling thread, waiting if need be: the result, or a negative error number.
///
/// # Safety
/// What the operation points to is valid for it.
pub(crate) unsafe fn carry_out(operation: &Operation) -> i32 {
    let Operation { code, fd, address, length, offset, nowait, rw_flags, .. } = *operation;
    let vector = vector_of(operation);
    let (vectors, count) =
        if operation.is_vectored() { (address as *const libc::iovec, length) } else { (&raw const vector, 1) };
    loop {
        if nowait && !operation.is_empty() {
            // SAFETY: by the contract of this function.
            match unsafe { transfer_now(operation) } {
                Ok(count) => return count as i32,
                // The file cannot say whether it would have to wait; its own O_NONBLOCK does.
                Err(Errno(libc::EOPNOTSUPP)) => {}
                Err(errno) => return -errno.0,
            }
        }
        // SAFETY: by the contract of this function.
        let result = unsafe {
            match code {
                Code::Read | Code::Write if operation.is_empty() => {
                    sys::plain_transfer(fd, operation.is_read(), vector.iov_base, 0, offset.max(0), true)
                }
                Code::Read | Code::ReadVectored => sys::read(fd, vectors, count, offset, rw_flags),
                Code::Write if offset >= 0 && rw_flags == 0 => sys::write_at(fd, address, length, offset),
                Code::Write | Code::WriteVectored => sys::write(fd, vectors, count, offset, rw_flags),
                Code::Fsync => sys::fsync(fd),
                Code::Fdatasync => sys::fdatasync(fd),
                // Only what is always ready comes here.
                Code::Poll => Ok((length & (libc::POLLIN | libc::POLLOUT) as u32) as usize),
                Code::Nop => Ok(0),
            }
        };
        match result {
            Err(Errno::INTR) => {}
            Ok(value) => return value as i32,
            Err(errno) => return -errno.0,
        }
    }
}
