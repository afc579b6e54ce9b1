//! A thread that writes into the page cache beside the one that submits.
//!
//! Such a write waits for nothing and costs a microsecond or two of a processor, of which a second one can do a part; how
//! much, and whether at all, [`WriteSplit`] finds out. The writer takes requests in the order in which they were handed to
//! it, and has few of them at a time: whoever needs them done (`fsync`, cancelling, a close) waits for that as it would
//! have waited had they been written in the call.

use super::busy::Busy;
use super::drivers::Drivers;
use super::inline;
use super::payload::{Payload, Waiters};
use super::ring_core::Table;
use super::slots::Key;
use super::write_policy::Watched;
use super::write_split::WriteSplit;
use crate::driver::direct;
use crate::errno::Errno;
use crate::sys::{self, Thread};
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How often the writer looks for work before it sleeps: about 20 microseconds, less than waking it takes.
const PATIENCE: u32 = 1000;

struct Shared<P: Payload> {
    slots: Arc<Table<P>>,
    busy: Arc<Busy>,
    split: Arc<WriteSplit>,
    /// For what turns out to be no write into the page cache.
    drivers: Arc<Drivers<P>>,
    /// 1 from before the writer looks into the mailbox for the last time until it wakes; taken back by whoever wakes it.
    /// Sequentially consistent, with the mailbox's head: one of the two sides sees the other.
    asleep: AtomicU32,
    is_stopping: AtomicBool,
}

/// The writer, as its users see it.
pub(super) struct Writer<P: Payload> {
    shared: Arc<Shared<P>>,
    thread: Option<Thread>,
}

impl<P: Payload> Writer<P> {
    /// Starts the thread.
    ///
    /// # Errors
    /// EAGAIN when no thread can be made.
    pub(super) fn start(
        slots: Arc<Table<P>>,
        busy: Arc<Busy>,
        split: Arc<WriteSplit>,
        drivers: Arc<Drivers<P>>,
    ) -> Result<Writer<P>, Errno> {
        let (asleep, is_stopping) = (AtomicU32::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { slots, busy, split, drivers, asleep, is_stopping });
        let theirs = Arc::clone(&shared);
        let thread = sys::spawn(c"onewait-writer", move || theirs.run())?;
        Ok(Writer { shared, thread: Some(thread) })
    }

    /// Hands a slot with a write in it over. Async-signal-safe.
    #[inline]
    pub(super) fn push(&self, key: Key) {
        self.shared.split.mailbox.push(&self.shared.slots, key);
        self.shared.wake();
    }
}

impl<P: Payload> Drop for Writer<P> {
    /// Waits until everything that was handed over is written.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl<P: Payload> Shared<P> {
    #[inline]
    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) != 0 && self.asleep.swap(0, Ordering::SeqCst) != 0 {
            sys::futex_wake(self.asleep.as_ptr() as usize, 1);
        }
    }

    fn run(&self) {
        let mut keys = Vec::with_capacity(64);
        loop {
            // Looked at before the mailbox: nobody submits any more once it is set.
            let is_stopping = self.is_stopping.load(Ordering::SeqCst);
            self.split.mailbox.take_all(&self.slots, &mut keys);
            if keys.is_empty() {
                if is_stopping {
                    return;
                }
                self.rest();
            }
            for key in keys.drain(..) {
                self.write(key);
                self.split.one_done();
            }
        }
    }

    /// Until there may be something to do.
    fn rest(&self) {
        for _ in 0..PATIENCE {
            if !self.split.mailbox.is_empty() {
                return;
            }
            hint::spin_loop();
        }
        self.asleep.store(1, Ordering::SeqCst);
        if self.split.mailbox.is_empty() && !self.is_stopping.load(Ordering::SeqCst) {
            sys::futex_wait(&self.asleep, 1, None);
        }
        self.asleep.store(0, Ordering::SeqCst);
    }

    fn write(&self, key: Key) {
        // SAFETY: the slot was handed to us, and stays ours until the request's end.
        let Some(body) = (unsafe { self.slots.body(key) }) else { return };
        let Some(request) = body else { return };
        let watched = Watched::begin();
        // SAFETY: by the contract of `Engine::submit`, until the payload is told, below.
        let mut result = unsafe { direct::carry_out(&request.operation) };
        watched.end();
        let fd = request.operation.fd;
        if result == -libc::ESPIPE {
            // What was remembered of the descriptor is wrong: nothing was written, and the driver may have to wait.
            inline::describe_stream(&mut request.operation);
            let operation = request.operation;
            let submitted = self.drivers.submit(key, &operation, true);
            self.busy.remove(fd);
            match submitted {
                Ok(_) => return,
                Err(errno) => result = -errno.0,
            }
        } else {
            self.busy.remove(fd);
        }
        let Some(request) = body.take() else { return };
        request.end(result, self.slots.find(key).map(|slot| Waiters::of(&slot.waiters)));
        self.slots.give_back(key);
    }
}
