//! Operations that wait for a descriptor to become readable or writable: pipes, sockets, terminals, and polls.
//!
//! Each waits in one epoll under a descriptor of its own, a duplicate: the program may close its number, and two
//! operations on one descriptor do not get into each other's way. A duplicate of something without positions costs the
//! program nothing when it is closed (a regular file would lose its record locks).

use super::native_aio::NativeAio;
use crate::driver::direct::transfer_now;
use crate::driver::operation::{Code, Operation};
use crate::driver::pool::{Pool, Sink};
use crate::errno::Errno;
use crate::sys::{self, Descriptor, EventFd, OwnDescriptor, Thread};
use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `data` of events that are no operation's. Keys never have the top bit set.
const DOORBELL: u64 = u64::MAX;
const NATIVE: u64 = u64::MAX - 1;

struct Waiting {
    operation: Operation,
    fd: Descriptor,
    /// Bytes written so far.
    before: usize,
}

/// What became of an operation that was to wait.
pub(super) enum Begun {
    /// It waits.
    Waits,
    /// It did not have to: this is its result.
    Done(i32),
    /// It cannot wait here; nothing was done.
    Not,
}

struct Shared<S: Sink> {
    epoll: OwnDescriptor,
    doorbell: EventFd,
    /// Held for moments only; whoever takes it on a thread of the program's holds back signals.
    waiting: Mutex<HashMap<u64, Waiting>>,
    is_stopping: AtomicBool,
    sink: Arc<S>,
    pool: Arc<Pool<S>>,
    native: Option<Arc<NativeAio<S>>>,
}

/// The epoll and its thread.
pub(super) struct Readiness<S: Sink> {
    shared: Arc<Shared<S>>,
    thread: Mutex<Option<Thread>>,
}

impl<S: Sink> Readiness<S> {
    pub(super) fn start(
        sink: Arc<S>,
        pool: Arc<Pool<S>>,
        native: Option<Arc<NativeAio<S>>>,
    ) -> Result<Readiness<S>, Errno> {
        let making = sys::Making::new();
        let epoll = sys::epoll_create()?;
        // SAFETY: just made, owned by nobody else.
        let epoll = OwnDescriptor::new(unsafe { Descriptor::from_raw(epoll) })?;
        drop(making);
        let shared = Arc::new(Shared {
            epoll,
            doorbell: EventFd::new()?,
            waiting: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            sink,
            pool,
            native,
        });
        let edge = (libc::EPOLLIN | libc::EPOLLET) as u32;
        shared.control(libc::EPOLL_CTL_ADD, shared.doorbell.as_raw_fd(), edge, DOORBELL)?;
        if let Some(native) = &shared.native {
            shared.control(libc::EPOLL_CTL_ADD, native.bell(), edge, NATIVE)?;
        }
        let theirs = Arc::clone(&shared);
        let thread = sys::spawn(c"onewait-engine", move || theirs.run())?;
        Ok(Readiness { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Lets an operation wait until its descriptor is ready.
    ///
    /// # Errors
    /// EAGAIN, EMFILE: nothing was begun.
    pub(super) fn submit(&self, operation: &Operation, user_data: u64) -> Result<Begun, Errno> {
        // What is always ready needs no waiting for.
        if operation.length == 0 || (operation.code == Code::Poll && sys::seekable(operation.fd)) {
            return Ok(Begun::Not);
        }
        // What is there, or is wrong, need not be waited for. Writes could raise a signal in the calling thread.
        if operation.is_read() {
            // SAFETY: by the contract of `Epoll::submit`, until the sink is told.
            match unsafe { transfer_now(operation) } {
                Err(Errno::AGAIN | Errno(libc::EOPNOTSUPP)) => {}
                result => return Ok(Begun::Done(result.map_or_else(|errno| -errno.0, |count| count as i32))),
            }
        }
        let fd = sys::duplicate(operation.fd)?;
        let raw = fd.as_raw_fd();
        let operation = Operation { fd: raw, ..*operation };
        // Under the lock, so that nobody who takes the operation out closes the descriptor before it is watched.
        let mut waiting = self.shared.waiting();
        match self.shared.control(libc::EPOLL_CTL_ADD, raw, events(&operation), user_data) {
            Ok(()) => {
                waiting.insert(user_data, Waiting { operation, fd, before: 0 });
                Ok(Begun::Waits)
            }
            Err(Errno(libc::EPERM)) => Ok(Begun::Not),
            Err(_) => Err(Errno::AGAIN),
        }
    }

    /// Takes an operation back: the bytes that it has written so far. `None` if it is not waiting here.
    pub(super) fn cancel(&self, user_data: u64) -> Option<usize> {
        // Dropping the last descriptor of ours would not end the watch: the program holds the file open as well.
        let waiting = self.shared.waiting().remove(&user_data);
        waiting.map(|waiting| {
            self.shared.unwatch(&waiting);
            waiting.before
        })
    }

    /// Ends the thread and waits for it, once. Not for that thread itself.
    pub(super) fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.doorbell.signal();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

impl<S: Sink> Shared<S> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self, what: i32, fd: RawFd, events: u32, data: u64) -> Result<(), Errno> {
        sys::epoll_control(self.epoll.as_raw_fd(), what, fd, events, data)
    }

    fn unwatch(&self, waiting: &Waiting) {
        let _ = self.control(libc::EPOLL_CTL_DEL, waiting.fd.as_raw_fd(), 0, 0);
    }

    fn run(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        while !self.is_stopping.load(Ordering::SeqCst) {
            let count = sys::epoll_wait(self.epoll.as_raw_fd(), &mut events).unwrap_or(0);
            for event in events.iter().take(count) {
                match (event.u64, &self.native) {
                    (DOORBELL, _) => {}
                    (NATIVE, Some(native)) => native.reap(),
                    (user_data, _) => self.ready(user_data, event.events),
                }
            }
        }
    }

    fn ready(&self, user_data: u64, ready: u32) {
        let Some(mut waiting) = self.waiting().remove(&user_data) else { return };
        let operation = waiting.operation;
        if operation.code == Code::Poll {
            self.unwatch(&waiting);
            drop(waiting);
            return self.sink.done(user_data, ready as i32);
        }
        // SAFETY: by the contract of `Epoll::submit`, until the sink is told.
        let result = unsafe { transfer_now(&operation) };
        match result {
            // Somebody else was faster.
            Err(Errno::AGAIN) => self.wait_again(user_data, waiting),
            // The descriptor cannot say whether it would have to wait, so somebody has to who may.
            Err(Errno(libc::EOPNOTSUPP)) => {
                self.unwatch(&waiting);
                if let Err(errno) = self.pool.submit_pinned(operation, user_data, waiting.fd) {
                    self.sink.done(user_data, -errno.0);
                }
            }
            // A write ends when all of it is written.
            Ok(count) if operation.code == Code::Write && count > 0 && count < operation.length as usize => {
                waiting.operation.address += count;
                waiting.operation.length -= count as u32;
                waiting.before += count;
                self.wait_again(user_data, waiting);
            }
            result => {
                self.unwatch(&waiting);
                let value = value_of(result, waiting.before);
                drop(waiting);
                self.sink.done(user_data, value);
            }
        }
    }

    fn wait_again(&self, user_data: u64, waiting: Waiting) {
        let (fd, events) = (waiting.fd.as_raw_fd(), events(&waiting.operation));
        let mut all = self.waiting();
        match self.control(libc::EPOLL_CTL_MOD, fd, events, user_data) {
            Ok(()) => drop(all.insert(user_data, waiting)),
            Err(errno) => {
                drop(all);
                self.sink.done(user_data, value_of(Err(errno), waiting.before));
            }
        }
    }
}

/// The result of an operation of which `before` bytes went well earlier: these count more than an error of the rest.
fn value_of(result: Result<usize, Errno>, before: usize) -> i32 {
    match result {
        Ok(count) => (before + count) as i32,
        Err(_) if before > 0 => before as i32,
        Err(errno) => -errno.0,
    }
}

fn events(operation: &Operation) -> u32 {
    let wanted = match operation.code {
        Code::Poll => operation.length,
        _ if operation.is_read() => libc::EPOLLIN as u32,
        _ => libc::EPOLLOUT as u32,
    };
    wanted | libc::EPOLLONESHOT as u32
}
