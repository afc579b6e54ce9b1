//! The `epoll` driver: for kernels and containers without io_uring.
//!
//! Pipes, sockets and terminals wait in an epoll, one descriptor of our own for each request. O_DIRECT reads and writes
//! go to the kernel's native AIO, which is truly asynchronous for these and for nothing else. The rest is for threads.
//! Any thread may submit; completions come from the driver's threads, and go to a [`Sink`].

mod native_aio;
mod pool;
mod readiness;

use super::operation::{Code, Operation};
use crate::counters::Route;
use crate::errno::Errno;
use crate::sys;
use native_aio::NativeAio;
use pool::Pool;
use readiness::Readiness;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Where completions go.
pub(crate) trait Sink: Send + Sync + 'static {
    /// The operation submitted with `user_data` has ended with `result`: a value or a negative error number. It may
    /// submit.
    fn done(&self, user_data: u64, result: i32);
}

/// The driver. Callers hold back signals around every call, for it takes locks that its own threads need.
pub(crate) struct Epoll<S: Sink> {
    pool: Arc<Pool<S>>,
    native: Option<Arc<NativeAio<S>>>,
    readiness: Readiness<S>,
}

impl<S: Sink> Epoll<S> {
    /// Starts the driver: one thread; others follow when they are needed.
    ///
    /// # Errors
    /// EMFILE, ENOMEM; EAGAIN when no thread can be made.
    pub(crate) fn start(sink: Arc<S>) -> Result<Epoll<S>, Errno> {
        let pool = Arc::new(Pool::new(Arc::clone(&sink)));
        // Without native AIO (its number of requests is limited system-wide) the threads do its work.
        let native = NativeAio::new(Arc::clone(&sink)).ok().map(Arc::new);
        let readiness = Readiness::start(sink, Arc::clone(&pool), native.clone())?;
        Ok(Epoll { pool, native, readiness })
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// EAGAIN, EMFILE: nothing was begun.
    ///
    /// # Safety
    /// What the operation points to stays valid until the sink was told of its end.
    pub(crate) unsafe fn submit(&self, operation: Operation, user_data: u64) -> Result<Route, Errno> {
        let is_transfer = operation.is_read() || operation.is_write();
        if operation.direct
            && is_transfer
            && let Some(native) = &self.native
            && native.submit(&operation, user_data)
        {
            return Ok(Route::NativeAio);
        }
        let waits_for_readiness = operation.code == Code::Poll || (operation.is_stream() && !operation.nowait);
        if waits_for_readiness && self.readiness.submit(&operation, user_data)? {
            return Ok(Route::Readiness);
        }
        self.pool.submit(operation, user_data)?;
        Ok(Route::ThreadPool)
    }

    /// Takes an operation back that has not begun. True if that was possible: the sink will not be told.
    pub(crate) fn cancel(&self, user_data: u64) -> bool {
        self.readiness.cancel(user_data) || self.pool.cancel(user_data)
    }

    /// The number `fd` is about to be closed: operations on it that have not begun get a descriptor of their own; returns
    /// when those that have begun no longer need the number.
    pub(crate) fn close(&self, fd: RawFd) {
        self.pool.close(fd);
    }
}

impl<S: Sink> Drop for Epoll<S> {
    fn drop(&mut self) {
        self.readiness.stop();
        self.pool.stop();
    }
}

/// Transfers what can be transferred without waiting.
///
/// # Errors
/// EAGAIN if it would have to wait, EOPNOTSUPP if the descriptor cannot say.
///
/// # Safety
/// What the operation points to is valid for it.
unsafe fn transfer_now(operation: &Operation) -> Result<usize, Errno> {
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
unsafe fn carry_out(operation: &Operation) -> i32 {
    let Operation { code, fd, address, length, offset, nowait, .. } = *operation;
    let vector = vector_of(operation);
    let (vectors, count) =
        if operation.is_vectored() { (address as *const libc::iovec, length) } else { (&raw const vector, 1) };
    loop {
        if nowait {
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
                Code::Read | Code::ReadVectored => sys::read(fd, vectors, count, offset),
                Code::Write | Code::WriteVectored => sys::write(fd, vectors, count, offset),
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
