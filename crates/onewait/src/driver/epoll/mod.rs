//! The `epoll` driver: for kernels and containers without io_uring.
//!
//! Pipes, sockets and terminals wait in an epoll, one descriptor of our own for each request. O_DIRECT reads and writes
//! go to the kernel's native AIO, which is truly asynchronous for these and for nothing else. The rest is for threads.
//! Any thread may submit; completions come from the driver's threads, and go to a [`Sink`].

mod native_aio;
mod readiness;

use super::operation::{Code, Operation};
use super::pool::{Pool, Sink};
use crate::counters::Route;
use crate::errno::Errno;
use crate::sys;
use native_aio::NativeAio;
use readiness::{Begun, Readiness};
use std::os::fd::RawFd;
use std::sync::Arc;

/// What became of an operation.
pub(crate) enum Submitted {
    /// It is under way; the sink will be told of its end.
    Begun(Route),
    /// It is done, with this result; the sink will not be told.
    Done(i32),
}

/// The driver. Callers hold back signals around every call, for it takes locks that its own threads need.
pub(crate) struct Epoll<S: Sink> {
    pool: Arc<Pool<S>>,
    /// For what can wait for long inside a system call, because its descriptor says so: it must not keep files waiting.
    patient: Arc<Pool<S>>,
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
        let patient = Arc::new(Pool::new(Arc::clone(&sink)));
        // Without native AIO (its number of requests is limited system-wide) the threads do its work.
        let native = NativeAio::new(Arc::clone(&sink)).ok().map(Arc::new);
        let readiness = Readiness::start(sink, Arc::clone(&pool), native.clone())?;
        Ok(Epoll { pool, patient, native, readiness })
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// EAGAIN, EMFILE: nothing was begun.
    ///
    /// # Safety
    /// What the operation points to stays valid until the sink was told of its end.
    pub(crate) unsafe fn submit(&self, operation: Operation, user_data: u64) -> Result<Submitted, Errno> {
        let is_transfer = operation.is_read() || operation.is_write();
        if operation.direct
            && is_transfer
            && let Some(native) = &self.native
            && native.submit(&operation, user_data)
        {
            return Ok(Submitted::Begun(Route::NativeAio));
        }
        let waits_for_readiness = operation.code == Code::Poll || (operation.is_stream() && !operation.nowait);
        if operation.own_timeout {
            // By a descriptor of its own: it can wait for longer than the program keeps the number.
            let fd = sys::duplicate(operation.fd)?;
            self.patient.submit_pinned(operation, user_data, fd)?;
            return Ok(Submitted::Begun(Route::ThreadPool));
        }
        if waits_for_readiness {
            match self.readiness.submit(&operation, user_data)? {
                Begun::Waits => return Ok(Submitted::Begun(Route::Readiness)),
                Begun::Done(result) => return Ok(Submitted::Done(result)),
                Begun::Not => {}
            }
        }
        self.pool.submit(operation, user_data)?;
        Ok(Submitted::Begun(Route::ThreadPool))
    }

    /// Takes an operation back that nobody is inside of: the bytes that it has written so far. `None` if that was not
    /// possible. Otherwise the sink will not be told.
    pub(crate) fn cancel(&self, user_data: u64) -> Option<usize> {
        let is_queued = || self.pool.cancel(user_data) || self.patient.cancel(user_data);
        self.readiness.cancel(user_data).or_else(|| is_queued().then_some(0))
    }

    /// The number `fd` is about to be closed: operations on it that have not begun get a descriptor of their own; returns
    /// when those that have begun no longer need the number.
    pub(crate) fn close(&self, fd: RawFd) {
        self.pool.close(fd);
    }

    /// Ends the driver: waits for its threads, and so for what they are in the middle of. Not to be called by them.
    pub(crate) fn stop(&self) {
        self.readiness.stop();
        self.pool.stop();
        self.patient.stop();
    }
}

impl<S: Sink> Drop for Epoll<S> {
    fn drop(&mut self) {
        self.stop();
    }
}
