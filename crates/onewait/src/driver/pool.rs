//! A bounded pool of threads, started when there is work for them, for operations that wait inside a system call.

use super::direct::carry_out;
use super::operation::Operation;
use crate::errno::Errno;
use crate::sys::{self, Descriptor};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most threads: as many reads as a disk needs at once to be busy.
const MAX_THREADS: usize = 64;
/// After so long without work a thread ends.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// Where completions go.
pub(crate) trait Sink: Send + Sync + 'static {
    /// The operation submitted with `user_data` has ended with `result`: a value or a negative error number. It may
    /// submit.
    fn done(&self, user_data: u64, result: i32);
}

/// An operation to be carried out.
struct Job {
    operation: Operation,
    user_data: u64,
    /// A descriptor of its own, if the program closed the number meanwhile.
    pinned: Option<Arc<Descriptor>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Descriptors that threads are busy with, by number.
    running: Vec<RawFd>,
    threads: usize,
    idle: usize,
    is_stopping: bool,
}

/// The pool. Its lock is held for moments only, never over a system call that waits; whoever takes it on a thread of the
/// program's holds back signals.
pub(crate) struct Pool<S: Sink> {
    state: Mutex<State>,
    work: Condvar,
    finished: Condvar,
    sink: Arc<S>,
}

impl<S: Sink> Pool<S> {
    pub(crate) fn new(sink: Arc<S>) -> Pool<S> {
        Pool { state: Mutex::default(), work: Condvar::new(), finished: Condvar::new(), sink }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an operation for the next free thread.
    ///
    /// # Errors
    /// EAGAIN if there is no thread, and none can be made.
    pub(crate) fn submit(self: &Arc<Self>, operation: Operation, user_data: u64) -> Result<(), Errno> {
        self.push(Job { operation, user_data, pinned: None })
    }

    /// Queues an operation on a descriptor of our own.
    ///
    /// # Errors
    /// EAGAIN, as for [`Pool::submit`].
    pub(crate) fn submit_pinned(
        self: &Arc<Self>,
        operation: Operation,
        user_data: u64,
        fd: Descriptor,
    ) -> Result<(), Errno> {
        let operation = Operation { fd: fd.as_raw_fd(), ..operation };
        self.push(Job { operation, user_data, pinned: Some(Arc::new(fd)) })
    }

    fn push(self: &Arc<Self>, job: Job) -> Result<(), Errno> {
        let mut state = self.lock();
        if state.idle < state.queue.len() + 1 && state.threads < MAX_THREADS {
            let pool = Arc::clone(self);
            match sys::spawn(c"onewait-worker", move || pool.work()) {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => return Err(Errno::AGAIN),
                Err(_) => {}
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Takes an operation back that no thread has begun.
    pub(crate) fn cancel(&self, user_data: u64) -> bool {
        let mut state = self.lock();
        let place = state.queue.iter().position(|job| job.user_data == user_data);
        place.and_then(|place| state.queue.remove(place)).is_some()
    }

    /// See [`Epoll::close`](super::epoll::Epoll::close).
    pub(crate) fn close(&self, fd: RawFd) {
        self.pin(fd);
        let mut state = self.lock();
        while state.running.contains(&fd) {
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the operations on `fd` that no thread has begun a descriptor of ours: their `user_data`.
    pub(crate) fn pin(&self, fd: RawFd) -> Vec<u64> {
        let mut state = self.lock();
        let mut pinned = Vec::new();
        // One descriptor for all of them; without one to be had the operations end with EBADF: they must not reach another
        // file.
        let mut shared = None;
        for job in state.queue.iter_mut().filter(|job| job.operation.fd == fd) {
            let shared = shared.get_or_insert_with(|| sys::duplicate(fd).ok().map(Arc::new));
            job.pinned.clone_from(shared);
            job.operation.fd = shared.as_ref().map_or(-1, |descriptor| descriptor.as_raw_fd());
            pinned.push(job.user_data);
        }
        pinned
    }

    /// Lets the threads end when the queue is empty, and waits for that.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        self.work.notify_all();
        while state.threads > 0 {
            state = self.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                let fd = job.operation.fd;
                state.running.push(fd);
                drop(state);
                // SAFETY: by the contract of `Epoll::submit`, until the sink is told, below.
                let result = unsafe { carry_out(&job.operation) };
                state = self.lock();
                if let Some(place) = state.running.iter().position(|other| *other == fd) {
                    state.running.swap_remove(place);
                }
                drop(state);
                self.finished.notify_all();
                drop(job.pinned);
                self.sink.done(job.user_data, result);
                state = self.lock();
                continue;
            }
            if state.is_stopping {
                break;
            }
            state.idle += 1;
            let (guard, timeout) = self.work.wait_timeout(state, IDLE_TIME).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        drop(state);
        self.finished.notify_all();
    }
}
