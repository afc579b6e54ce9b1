//! A bounded pool of threads, started when there is work for them, for operations that wait inside a system call.
//!
//! Once there are threads, some are idle whenever possible: when work leaves fewer than that, an idle one makes
//! another. So a submitter makes none but the first ones, and who carries out its operation makes none before. Making a
//! thread takes time, and memory from `malloc(3)`, which a submitter that is a signal handler may have interrupted.

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
/// So many are to be idle: one for the next operation, and one to make another thread meanwhile.
const IDLE: usize = 2;
/// After so long without work a thread ends, if enough others are idle.
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
    /// Those that wait for work, or are about to look for it.
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
        let wanted = if state.threads == 0 { IDLE } else { 1 };
        while state.idle < wanted && state.threads < MAX_THREADS && self.spawn() {
            state.threads += 1;
            state.idle += 1;
        }
        if state.threads == 0 {
            return Err(Errno::AGAIN);
        }
        state.queue.push_back(job);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Makes a thread, which is to be counted as idle. Whether there is one now.
    fn spawn(self: &Arc<Self>) -> bool {
        let pool = Arc::clone(self);
        sys::spawn(c"onewait-worker", move || pool.work()).is_ok()
    }

    /// Makes threads until enough are idle. Each is counted before, and made without the lock: the caller is idle
    /// itself, and need not keep others waiting, who may take work meanwhile.
    fn have_some_idle<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.idle < IDLE && state.threads < MAX_THREADS && !state.is_stopping {
            state.threads += 1;
            state.idle += 1;
            drop(state);
            let is_made = self.spawn();
            state = self.lock();
            if !is_made {
                state.threads -= 1;
                state.idle -= 1;
                break;
            }
        }
        state
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

    fn work(self: &Arc<Self>) {
        let mut state = self.lock();
        loop {
            state = self.have_some_idle(state);
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                if state.idle < IDLE {
                    // To one that is idle, if there is one: to make another.
                    self.work.notify_one();
                }
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
                state.idle += 1;
                continue;
            }
            if state.is_stopping {
                break;
            }
            if state.idle <= IDLE {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (guard, timeout) = self.work.wait_timeout(state, IDLE_TIME).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && state.queue.is_empty() && state.idle > IDLE {
                break;
            }
        }
        state.idle -= 1;
        state.threads -= 1;
        drop(state);
        self.finished.notify_all();
    }
}
