//! A thread that copies to and from the page cache beside the one that submits.
//!
//! Such a copy hardly ever waits and costs a microsecond or two of a processor, of which a second one can do a part; how
//! much, and whether at all, [`CopySplit`] finds out. The copier takes requests in the order in which they were handed to
//! it, and has few of them at a time: whoever needs them done (`fsync`, cancelling, a close) waits for that as it would
//! have waited had they been copied in the call. A read that would have to wait goes on to the driver. A write that has to
//! (`write_policy.rs`) keeps the few behind it waiting, as it would have kept its submitter.

use super::busy::Busy;
use super::copy_split::CopySplit;
use super::drivers::Drivers;
use super::inline::{self, Attempt, Found};
use super::payload::{Payload, Waiters};
use super::request::Request;
use super::ring_core::Table;
use super::slots::Key;
use super::write_policy::Watched;
use crate::driver::direct;
use crate::driver::operation::Operation;
use crate::errno::Errno;
use crate::sys::{self, Thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Shared<P: Payload> {
    slots: Arc<Table<P>>,
    busy: Arc<Busy>,
    split: Arc<CopySplit>,
    /// For what turns out to be no write into the page cache.
    drivers: Arc<Drivers<P>>,
    is_stopping: AtomicBool,
}

/// The copier, as its users see it.
pub(super) struct Copier<P: Payload> {
    shared: Arc<Shared<P>>,
    thread: Option<Thread>,
}

impl<P: Payload> Copier<P> {
    /// Starts the thread.
    ///
    /// # Errors
    /// EAGAIN when no thread can be made.
    pub(super) fn start(
        slots: Arc<Table<P>>,
        busy: Arc<Busy>,
        split: Arc<CopySplit>,
        drivers: Arc<Drivers<P>>,
    ) -> Result<Copier<P>, Errno> {
        let shared = Arc::new(Shared { slots, busy, split, drivers, is_stopping: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        let thread = sys::spawn(c"onewait-copier", move || theirs.run())?;
        Ok(Copier { shared, thread: Some(thread) })
    }

    /// Hands a slot with a request in it over. Async-signal-safe.
    #[inline]
    pub(super) fn push(&self, key: Key) {
        self.shared.split.inbox.push(&self.shared.slots, key);
    }
}

impl<P: Payload> Drop for Copier<P> {
    /// Waits until everything that was handed over is done, or with the driver.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.split.inbox.wake();
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl<P: Payload> Shared<P> {
    fn run(&self) {
        let mut keys = Vec::with_capacity(64);
        loop {
            // Looked at before the inbox: nobody submits any more once it is set.
            let is_stopping = self.is_stopping.load(Ordering::SeqCst);
            self.split.inbox.take_all(&self.slots, &mut keys);
            if keys.is_empty() {
                if is_stopping {
                    return;
                }
                self.split.inbox.rest(|| self.is_stopping.load(Ordering::SeqCst));
            }
            for key in keys.drain(..) {
                self.copy(key);
                self.split.one_done();
            }
        }
    }

    fn copy(&self, key: Key) {
        let Some((operation, result)) = self.carry_out(key) else { return };
        let fd = operation.fd;
        let result = result.or_else(|| {
            let errno = self.drivers.submit(key, &operation, true).err()?;
            // Better late than not at all, where a disk can be waited for.
            // SAFETY: by the contract of `Engine::submit`, until the payload is told; no driver took it.
            Some(if operation.is_stream() { -errno.0 } else { unsafe { direct::carry_out(&operation) } })
        });
        // The driver has counted the number, too, if the request is with it.
        self.busy.remove(fd);
        let Some(result) = result else { return };
        // SAFETY: the slot was handed to us, and no driver took it.
        let Some(Some(request)) = (unsafe { self.slots.body(key) }).map(Option::take) else { return };
        request.end(result, self.slots.find(key).map(|slot| Waiters::of(&slot.waiters)));
        self.slots.give_back(key);
    }

    /// What there is to do, and the result, or a negative error number: `None` if the request, as it is now, is one for the
    /// driver. The slot is nobody's when it goes there.
    fn carry_out(&self, key: Key) -> Option<(Operation, Option<i32>)> {
        // SAFETY: the slot was handed to us, and stays ours until it is handed on, or the request ends.
        let request = unsafe { self.slots.body(key) }?.as_mut()?;
        let result = if request.operation.is_read() { read(request) } else { write(request) };
        request.operation.for_copier = false;
        Some((request.operation, result))
    }
}

/// The result, or a negative error number; `None` if the request, as it is now, is one for the driver.
fn read<P>(request: &mut Request<P>) -> Option<i32> {
    // SAFETY: by the contract of `Engine::submit`, until the payload is told.
    match unsafe { inline::read_now(request.operation) } {
        Found::Attempt(Attempt::Done(Ok(count))) => return Some(count as i32),
        Found::Attempt(Attempt::Done(Err(errno))) => return Some(-errno.0),
        Found::Attempt(Attempt::Queue(rest, before)) => (request.operation, request.before) = (rest, before),
        Found::Nothing => {}
        Found::Stream => inline::describe_stream(&mut request.operation),
    }
    None
}

/// The same.
fn write<P>(request: &mut Request<P>) -> Option<i32> {
    let watched = Watched::begin();
    // SAFETY: by the contract of `Engine::submit`, until the payload is told.
    let result = unsafe { direct::carry_out(&request.operation) };
    watched.end();
    if result == -libc::ESPIPE {
        // What was remembered of the descriptor is wrong: nothing was written, and the driver may have to wait.
        inline::describe_stream(&mut request.operation);
        return None;
    }
    Some(result)
}
