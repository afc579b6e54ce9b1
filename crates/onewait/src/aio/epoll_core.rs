//! Requests on the `epoll` driver: ordering and cancellation for a driver to which every thread submits.
//!
//! The driver's threads publish completions themselves. A request's slot belongs to the submitter until the driver has
//! it, then to the driver's thread that ends it; what others must know of it meanwhile lies in `State`, under the lock.
//! A completion is published before the lock is taken: a signal handler may wait for it on the thread that holds the
//! lock, were signals not held back there.

use super::busy::Busy;
use super::order::{Order, Ticket};
use super::payload::{Payload, Waiters};
use super::request::{Target, Verdict};
use super::ring_core::Table;
use super::slots::Key;
use crate::counters::Route;
use crate::driver::epoll::{Epoll, Submitted};
use crate::driver::pool::Sink;
use crate::errno::Errno;
use crate::sys::{self, FileId, MaskedSignals};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What is known of a request that has not ended.
struct Live {
    fd: RawFd,
    ticket: Ticket,
    is_held: bool,
    /// Its end is being told, or was: whoever has seen it must not be told that the request goes on.
    is_ending: bool,
}

#[derive(Default)]
struct State {
    order: Order,
    live: HashMap<Key, Live>,
}

/// The driver's sink: ends requests.
struct Ends<P: Payload> {
    slots: Arc<Table<P>>,
    busy: Arc<Busy>,
    state: Mutex<State>,
    /// The driver itself, for what the end of one request releases. Set once, before anything is submitted.
    driver: OnceLock<std::sync::Weak<Epoll<Ends<P>>>>,
}

/// The driver with everything that is on it.
pub(crate) struct EpollCore<P: Payload> {
    ends: Arc<Ends<P>>,
    driver: Arc<Epoll<Ends<P>>>,
}

impl<P: Payload> EpollCore<P> {
    /// Starts the driver.
    ///
    /// # Errors
    /// EMFILE, ENOMEM; EAGAIN when no thread can be made.
    pub(crate) fn start(slots: Arc<Table<P>>, busy: Arc<Busy>) -> Result<EpollCore<P>, Errno> {
        let ends = Arc::new(Ends { slots, busy, state: Mutex::default(), driver: OnceLock::new() });
        let driver = Arc::new(Epoll::start(Arc::clone(&ends))?);
        let _ = ends.driver.set(Arc::downgrade(&driver));
        Ok(EpollCore { ends, driver })
    }

    /// Takes over a slot with a request in it.
    ///
    /// # Errors
    /// EAGAIN, EMFILE: the slot is the caller's again.
    pub(crate) fn submit(&self, key: Key) -> Result<Route, Errno> {
        let _masked = MaskedSignals::new();
        // SAFETY: the slot is the caller's until the driver has it.
        let Some(Some(request)) = (unsafe { self.ends.slots.body(key) }) else {
            return Err(Errno::INVAL);
        };
        let operation = request.operation;
        let mut state = self.ends.lock();
        let (ticket, may_go) = state.order.admit(key, &operation);
        state.live.insert(key, Live { fd: operation.fd, ticket, is_held: !may_go, is_ending: false });
        drop(state);
        if !may_go {
            return Ok(Route::ThreadPool);
        }
        // SAFETY: by the contract of `Engine::submit`.
        match unsafe { self.driver.submit(operation, key.to_bits()) } {
            Ok(Submitted::Begun(route)) => Ok(route),
            Ok(Submitted::Done(result)) => {
                self.ends.done(key.to_bits(), result);
                Ok(Route::Readiness)
            }
            Err(errno) => {
                self.ends.forget(key);
                Err(errno)
            }
        }
    }

    /// Cancels what has not begun.
    pub(crate) fn cancel(&self, target: Target) -> Verdict {
        let _masked = MaskedSignals::new();
        let mut state = self.ends.lock();
        let keys: Vec<Key> = match target {
            Target::Request(key) => vec![key],
            Target::Descriptor(fd) => {
                state.live.iter().filter(|(_, live)| live.fd == fd).map(|(key, _)| *key).collect()
            }
        };
        let mut verdict = Verdict::default();
        let (mut withdrawn, mut released) = (Vec::new(), Vec::new());
        let mut begun = Vec::new();
        for key in keys {
            let Some(live) = state.live.get(&key) else { continue };
            let ticket = live.ticket;
            if live.is_held && state.order.withdraw(key, ticket, &mut released) {
                state.live.remove(&key);
                withdrawn.push(key);
            } else {
                begun.push(key);
            }
        }
        drop(state);
        for key in withdrawn {
            verdict.cancelled = true;
            self.ends.publish(key, -libc::ECANCELED);
        }
        self.ends.release(released);
        for key in begun {
            match self.driver.cancel(key.to_bits()) {
                Some(0) => {
                    verdict.cancelled = true;
                    self.ends.done(key.to_bits(), -libc::ECANCELED);
                }
                // Done in part: it ends with that part.
                Some(written) => self.ends.done(key.to_bits(), written as i32),
                None if self.ends.is_ending(key) => self.ends.await_end(key),
                None => verdict.survived |= self.ends.slots.find(key).is_some(),
            }
        }
        verdict
    }

    /// See [`Epoll::close`].
    pub(crate) fn close(&self, fd: RawFd) {
        let _masked = MaskedSignals::new();
        let mut state = self.ends.lock();
        state.order.forget(FileId::of_number(fd));
        // One descriptor for all of them.
        let mut shared = None;
        for (key, live) in state.live.iter_mut().filter(|(_, live)| live.fd == fd) {
            // Those under way keep their file; the number means another one from now on.
            live.fd = -1;
            if live.is_held {
                // SAFETY: what is held back belongs to whoever holds the lock.
                let Some(Some(request)) = (unsafe { self.ends.slots.body(*key) }) else { continue };
                let shared = shared.get_or_insert_with(|| sys::duplicate(fd).ok().map(Arc::new));
                request.pin(shared);
                self.ends.busy.add(request.operation.fd);
                self.ends.busy.remove(fd);
                live.fd = request.operation.fd;
            }
        }
        drop(state);
        self.driver.close(fd);
    }
}

impl<P: Payload> Drop for EpollCore<P> {
    /// Cancels what can be cancelled, and waits for the rest.
    fn drop(&mut self) {
        let keys: Vec<Key> = self.ends.lock().live.keys().copied().collect();
        for key in keys {
            self.cancel(Target::Request(key));
        }
        // A thread of the driver's that releases something holds the driver for that long. It must not be the last one to
        // do so: it would wait for itself.
        self.driver.stop();
    }
}

impl<P: Payload> Ends<P> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the request as far as its payload is concerned, and gives its slot back.
    fn publish(&self, key: Key, result: i32) {
        // SAFETY: the caller ends the request, so the slot is its own.
        let request = match unsafe { self.slots.body(key) }.map(Option::take) {
            Some(Some(request)) => request,
            _ => return,
        };
        self.busy.remove(request.operation.fd);
        request.end(result, self.slots.find(key).map(|slot| Waiters::of(&slot.waiters)));
        self.slots.give_back(key);
    }

    fn is_ending(&self, key: Key) -> bool {
        self.lock().live.get(&key).is_none_or(|live| live.is_ending)
    }

    /// Returns when the end of a request that is ending has been told. Nobody who tells it waits for anybody.
    fn await_end(&self, key: Key) {
        while self.slots.find(key).is_some() {
            std::thread::yield_now();
        }
    }

    /// Takes the request out of the order and starts what that releases.
    fn forget(&self, key: Key) {
        let mut released = Vec::new();
        self.leave_order(key, &mut released);
        self.release(released);
    }

    fn leave_order(&self, key: Key, released: &mut Vec<Key>) {
        let mut state = self.lock();
        if let Some(live) = state.live.remove(&key) {
            state.order.done(live.ticket, released);
        }
    }

    /// Starts what was held back. What ends at once releases more, in this loop: a long lane is no deep stack.
    fn release(&self, mut keys: Vec<Key>) {
        let Some(driver) = self.driver.get().and_then(std::sync::Weak::upgrade) else { return };
        while let Some(key) = keys.pop() {
            // Under the lock, so that nobody who closes the descriptor finds the request neither held back nor begun.
            let mut state = self.lock();
            if let Some(live) = state.live.get_mut(&key) {
                live.is_held = false;
            }
            // SAFETY: what was held back is the releaser's until the driver has it.
            let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { continue };
            let operation = request.operation;
            // SAFETY: by the contract of `Engine::submit`.
            let result = match unsafe { driver.submit(operation, key.to_bits()) } {
                Ok(Submitted::Begun(_)) => continue,
                Ok(Submitted::Done(result)) => result,
                Err(errno) => -errno.0,
            };
            if let Some(live) = state.live.get_mut(&key) {
                live.is_ending = true;
            }
            drop(state);
            self.publish(key, result);
            self.leave_order(key, &mut keys);
        }
    }
}

impl<P: Payload> Sink for Ends<P> {
    fn done(&self, user_data: u64, result: i32) {
        let key = Key::from_bits(user_data);
        if let Some(live) = self.lock().live.get_mut(&key) {
            live.is_ending = true;
        }
        self.publish(key, result);
        self.forget(key);
    }
}
