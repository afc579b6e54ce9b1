//! The driver's threads: started by the first request that needs them, and the same for all threads of the program.

use super::busy::Busy;
use super::epoll_core::EpollCore;
use super::payload::Payload;
use super::request::{Target, Verdict};
use super::ring_core::Table;
use super::ring_thread::RingThread;
use super::slots::Key;
use crate::counters::{Counters, Route};
use crate::driver::operation::Operation;
use crate::driver::{Choice, DriverKind, is_refusal};
use crate::errno::Errno;
use crate::sys::{MaskedSignals, Uncancellable};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The chosen driver, once it was started.
pub(super) struct Drivers<P: Payload> {
    slots: Arc<Table<P>>,
    busy: Arc<Busy>,
    choice: Choice,
    started: OnceLock<Driver<P>>,
    /// Held while the driver is started, with signals held back.
    starting: Mutex<()>,
}

enum Driver<P: Payload> {
    Uring(RingThread<P>),
    Epoll(EpollCore<P>),
}

impl<P: Payload> Drivers<P> {
    pub(super) fn new(choice: Choice, slots: Arc<Table<P>>, busy: Arc<Busy>) -> Drivers<P> {
        Drivers { slots, busy, choice, started: OnceLock::new(), starting: Mutex::new(()) }
    }

    /// Hands a request over; with `flush`, it is on its way when the call returns.
    ///
    /// # Errors
    /// EAGAIN, and those of [`Drivers::launch`].
    pub(super) fn submit(&self, key: Key, operation: &Operation, flush: bool) -> Result<Route, Errno> {
        let driver = self.get()?;
        self.busy.add(operation.fd);
        match driver {
            Driver::Uring(thread) => {
                thread.push(key);
                if flush {
                    thread.wake();
                }
                Ok(Route::EngineRing)
            }
            Driver::Epoll(core) => core.submit(key).inspect_err(|_| self.busy.remove(operation.fd)),
        }
    }

    /// Starts the driver, if it was not.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM; EAGAIN when no thread can be made; what a strictly chosen driver is refused with.
    pub(super) fn launch(&self) -> Result<(), Errno> {
        self.get().map(drop)
    }

    /// A start that failed is tried again: what was missing may be there now.
    fn get(&self) -> Result<&Driver<P>, Errno> {
        if let Some(driver) = self.started.get() {
            return Ok(driver);
        }
        // A handler that submits has to find the driver started, or to wait for another thread, but not for its own.
        let _masked = MaskedSignals::new();
        let _uncancellable = Uncancellable::new();
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = self.started.get() {
            return Ok(driver);
        }
        let started = self.start()?;
        Ok(self.started.get_or_init(|| started))
    }

    fn start(&self) -> Result<Driver<P>, Errno> {
        let mut refused = None;
        if self.choice.allows(DriverKind::Uring) {
            match RingThread::start(Arc::clone(&self.slots), Arc::clone(&self.busy)) {
                Ok(thread) => {
                    Counters::current().driver(true, &self.choice.reason(DriverKind::Uring, None));
                    return Ok(Driver::Uring(thread));
                }
                Err(errno) if self.choice.allows(DriverKind::Epoll) && is_refusal(errno) => refused = Some(errno),
                Err(errno) => return Err(errno),
            }
        }
        let core = EpollCore::start(Arc::clone(&self.slots), Arc::clone(&self.busy))?;
        Counters::current().driver(false, &self.choice.reason(DriverKind::Epoll, refused));
        Ok(Driver::Epoll(core))
    }

    /// Which driver it is; `None` before it was started.
    pub(super) fn kind(&self) -> Option<DriverKind> {
        self.started.get().map(|driver| match driver {
            Driver::Uring(_) => DriverKind::Uring,
            Driver::Epoll(_) => DriverKind::Epoll,
        })
    }

    /// Sees to it that everything submitted so far is on its way.
    pub(super) fn flush(&self) {
        if let Some(Driver::Uring(thread)) = self.started.get() {
            thread.wake();
        }
    }

    /// The same, if there may be something that is not. No system call if there is nothing. Async-signal-safe.
    #[inline]
    pub(super) fn poll(&self) {
        if let Some(Driver::Uring(thread)) = self.started.get() {
            thread.wake_if_pending();
        }
    }

    /// Cancels, and returns when that is decided.
    pub(super) fn cancel(&self, target: Target) -> Verdict {
        match self.started.get() {
            Some(Driver::Uring(thread)) => thread.cancel(target),
            Some(Driver::Epoll(core)) => core.cancel(target),
            None => Verdict::default(),
        }
    }

    /// Returns when nothing depends on the number `fd` any more.
    pub(super) fn close(&self, fd: RawFd) {
        match self.started.get() {
            Some(Driver::Uring(thread)) => thread.close(fd),
            Some(Driver::Epoll(core)) => core.close(fd),
            None => {}
        }
    }
}
