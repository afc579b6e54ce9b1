//! The engine: requests go in from any thread, and each is carried out by the way that suits it.
//!
//! Three ways, in the order of their cost: in the caller's thread ([`attempt`](super::inline::attempt)); by a ring that
//! the only thread of a process owns; by the driver, with its threads. The engine goes from the second to the third once,
//! when the process stops being what the second needs, and never back. Beside all of them stands the copier, which takes
//! requests off the caller's hands that would have gone the first way.

use super::busy::Busy;
use super::copier::Copier;
use super::copy_split::CopySplit;
use super::drivers::Drivers;
use super::hints;
use super::own_ring::{OwnRing, OwnWait};
use super::payload::{Payload, Waiters};
use super::request::{Request, Target, Verdict};
use super::ring_core::Table;
use super::slots::{Key, Slots};
use crate::counters::{Counters, Event, Route};
use crate::driver::operation::Operation;
use crate::driver::uring::Ring;
use crate::driver::{Choice, DriverKind};
use crate::errno::Errno;
use crate::sys::{self, FileId, FileKind, MaskedSignals, Uncancellable, Wait};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Nothing was queued yet.
const FRESH: u8 = 0;
/// The only thread of the process owns a ring.
const OWN: u8 = 1;
/// Requests go to the driver's threads.
const SHARED: u8 = 2;

/// How requests are carried out; see the module's page.
pub struct Engine<P: Payload> {
    slots: Arc<Table<P>>,
    busy: Arc<Busy>,
    choice: Choice,
    /// FRESH, OWN or SHARED; only grows. OWN is left by the owner's thread alone.
    phase: AtomicU8,
    own: OnceLock<OwnRing<P>>,
    drivers: Arc<Drivers<P>>,
    split: Arc<CopySplit>,
    copier: OnceLock<Copier<P>>,
    /// Held while the copier is started, with signals held back.
    starting_copier: Mutex<()>,
}

/// A request on its way into the engine.
#[derive(Debug)]
pub struct Submission<P> {
    /// What is to be done.
    pub operation: Operation,
    /// Bytes that are done already; the operation is the rest.
    pub before: usize,
    /// When it began, if latencies are wanted.
    pub started: Option<Instant>,
    /// What belongs to it.
    pub payload: P,
}

/// Whose thread may carry a request out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its end concerns nobody but the thread that submits it, which will ask for it; with a lone thread, its own ring will
    /// do.
    Private,
    /// Its end has to be seen whatever the submitting thread does.
    Public,
}

impl<P: Payload> Engine<P> {
    /// An engine that has started nothing: that waits for the first request.
    pub fn new(choice: Choice) -> Engine<P> {
        let (slots, busy) = (Arc::new(Slots::new(std::process::id())), Arc::new(Busy::new()));
        Engine {
            drivers: Arc::new(Drivers::new(choice, Arc::clone(&slots), Arc::clone(&busy))),
            slots,
            busy,
            choice,
            phase: AtomicU8::new(FRESH),
            own: OnceLock::new(),
            split: Arc::new(CopySplit::new()),
            copier: OnceLock::new(),
            starting_copier: Mutex::new(()),
        }
    }

    /// Who copies what: for [`attempt`](super::inline::attempt).
    #[inline]
    pub fn copy_split(&self) -> &CopySplit {
        &self.split
    }

    /// Takes a slot for a request, so that its key can be written down before anybody else sees the request.
    ///
    /// # Errors
    /// EAGAIN when too many requests are in flight.
    #[inline]
    pub fn reserve(&self) -> Result<Key, Errno> {
        self.slots.take().ok_or_else(|| {
            Counters::current().event(Event::LimitHit);
            Errno::AGAIN
        })
    }

    /// Submits a request in the slot `key`. With `flush` it is on its way when the call returns; otherwise it may wait for
    /// [`Engine::flush`], which must follow.
    ///
    /// # Errors
    /// EAGAIN, ENOMEM, EMFILE, and what a strictly chosen driver is refused with. The payload comes back without having
    /// been told (it is missing only if `key` named no slot), and the slot is given back.
    ///
    /// # Safety
    /// What the operation points to stays valid until the payload was told of the end, or came back, or was dropped with
    /// the engine. `key` comes from
    /// [`Engine::reserve`] and was not used before.
    pub unsafe fn submit(
        &self,
        key: Key,
        submission: Submission<P>,
        standing: Standing,
        flush: bool,
    ) -> Result<(), (Errno, Option<P>)> {
        let Submission { mut operation, before, started, payload } = submission;
        if operation.for_copier && self.copier().is_none() {
            operation.for_copier = false;
        }
        let is_shared = self.phase.load(Ordering::Acquire) == SHARED;
        let matters = !is_shared || operation.is_write() || operation.is_sync() || operation.is_stream();
        let is_known = operation.for_copier
            || operation.file != FileId::UNKNOWN
            || (operation.is_read() && operation.kind_of_file == FileKind::Storage);
        if matters && !is_known {
            (operation.kind_of_file, operation.file) = sys::identify(operation.fd);
        }
        let may_own = !is_shared && standing == Standing::Private && operation.kind_of_file == FileKind::Storage;
        // SAFETY: the slot is the caller's, who gives it to us.
        if let Some(body) = unsafe { self.slots.body(key) } {
            *body = Some(Request::new(operation, payload, before, started));
        }
        if operation.for_copier && standing == Standing::Public && !is_shared {
            // The copier's telling of the end may make a thread for the program: an own ring goes before that, here.
            let _masked = MaskedSignals::new();
            self.leave_own_ring();
        }
        let submitted = self.route(key, &operation, may_own, flush);
        match submitted {
            Ok(route) => {
                Counters::current().submitted(operation.kind(), route);
                Ok(())
            }
            Err(errno) => {
                // SAFETY: what could not be submitted is ours again.
                let payload = match unsafe { self.slots.body(key) }.map(Option::take) {
                    Some(Some(request)) => Some(request.payload),
                    _ => None,
                };
                self.slots.give_back(key);
                Counters::current().event(Event::LimitHit);
                Err((errno, payload))
            }
        }
    }

    fn route(&self, key: Key, operation: &Operation, may_own: bool, flush: bool) -> Result<Route, Errno> {
        if operation.for_copier
            && let Some(copier) = self.copier()
        {
            self.busy.add(operation.fd);
            copier.push(key);
            return Ok(Route::Copier);
        }
        if operation.is_sync() {
            // It covers what the copier has.
            self.split.drain();
        }
        if self.phase.load(Ordering::Acquire) != SHARED {
            // A handler that submits may end this phase: not between here and the hand-over.
            let masked = MaskedSignals::new();
            let _uncancellable = Uncancellable::new();
            if let Some(own) = self.own_ring_for(operation, may_own) {
                self.busy.add(operation.fd);
                own.submit(&masked, key, flush);
                return Ok(Route::OwnRing);
            }
        }
        self.drivers.submit(key, operation, flush)
    }

    /// The copier, started if need be; `None` if there is none to be had: then nothing is meant for it any more.
    #[inline]
    fn copier(&self) -> Option<&Copier<P>> {
        self.copier.get().or_else(|| self.start_copier())
    }

    #[cold]
    fn start_copier(&self) -> Option<&Copier<P>> {
        let _masked = MaskedSignals::new();
        let _uncancellable = Uncancellable::new();
        let _starting = self.starting_copier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copier) = self.copier.get() {
            return Some(copier);
        }
        let clones =
            (Arc::clone(&self.slots), Arc::clone(&self.busy), Arc::clone(&self.split), Arc::clone(&self.drivers));
        match Copier::start(clones.0, clones.1, clones.2, clones.3) {
            Ok(copier) => Some(self.copier.get_or_init(|| copier)),
            Err(_) => {
                self.split.give_up();
                None
            }
        }
    }

    /// The own ring, if this request may go there; makes it when the first one may. A request that may take for ever, or
    /// raise a signal in the thread that submits it, may not.
    fn own_ring_for(&self, operation: &Operation, may_own: bool) -> Option<&OwnRing<P>> {
        let may_own = may_own
            && self.choice.allows(DriverKind::Uring)
            && !operation.needs_thread()
            && !(operation.is_write() && sys::has_size_limit());
        // Where the ring is refused, the driver's own attempt will say why.
        if may_own
            && self.phase.load(Ordering::Acquire) == FRESH
            && sys::count_foreign_threads() == Some(1)
            && let Ok(ring) = OwnRing::new(Arc::clone(&self.slots), Arc::clone(&self.busy))
            && self.own.set(ring).is_ok()
            && self.phase.compare_exchange(FRESH, OWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            Counters::current().driver(true, &self.choice.reason(DriverKind::Uring, None));
        }
        let is_own = self.phase.load(Ordering::Acquire) == OWN;
        let own = self.own.get().filter(|own| may_own && is_own && own.is_ours());
        if own.is_none() {
            self.leave_own_ring();
        }
        own
    }

    /// To be called by the only thread of a process before it makes a second one: gives up the own ring, if there is one,
    /// after everything on it has completed. Bounded by the time that the disk takes.
    pub fn before_second_thread(&self) {
        if self.phase.load(Ordering::Acquire) == OWN {
            self.leave_own_ring();
        }
    }

    /// Not from another thread than the owner's, which alone can reap the ring.
    fn leave_own_ring(&self) {
        if self.phase.load(Ordering::Acquire) == OWN {
            let Some(own) = self.own.get().filter(|own| own.is_ours()) else { return };
            own.drain();
            Counters::current().event(Event::Handover);
        }
        self.phase.store(SHARED, Ordering::Release);
    }

    /// Sees to it that everything submitted so far is on its way.
    pub fn flush(&self) {
        if self.phase.load(Ordering::Acquire) == OWN
            && let Some(own) = self.own.get()
            && own.is_ours()
        {
            own.flush();
        }
        self.drivers.flush();
    }

    /// Whether the driver that was strictly asked for works here. Requests that need no driver are refused as well where
    /// it does not, so that nobody takes the one for the other.
    ///
    /// # Errors
    /// What the system refuses it with.
    pub fn check_choice(&self) -> Result<(), Errno> {
        if self.choice != Choice::Strict(DriverKind::Uring) || self.driver().is_some() {
            return Ok(());
        }
        let _uncancellable = Uncancellable::new();
        Ring::new().map(drop).inspect_err(|errno| {
            Counters::current().driver(true, &format!("io_uring was asked for and is refused: {errno}"));
        })
    }

    /// Starts the driver now rather than with the first request that needs it.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM; EAGAIN when no thread can be made; what a strictly chosen driver is refused with.
    pub fn launch(&self) -> Result<(), Errno> {
        self.drivers.launch()
    }

    /// Publishes what has completed on the caller's own ring, if it has one, and sees to it that what was submitted is on
    /// its way. No system call if there is nothing to do. Async-signal-safe.
    #[inline]
    pub fn poll(&self) {
        self.split.poll();
        if self.phase.load(Ordering::Acquire) == OWN
            && let Some(own) = self.own.get()
        {
            own.poll();
        } else {
            self.drivers.poll();
        }
    }

    /// Waits on the caller's own ring until `is_done`; `None` if the engine has none (any more), and the caller has to
    /// wait for what the payloads do. Async-signal-safe.
    pub fn wait_on_own_ring(&self, deadline: Option<Instant>, mut is_done: impl FnMut() -> bool) -> Option<OwnWait> {
        if self.phase.load(Ordering::Acquire) != OWN {
            return None;
        }
        let own = self.own.get().filter(|own| own.is_ours())?;
        // What the copier has will not show on the ring, and is done soon.
        let wait = self.split.wait(deadline);
        own.poll();
        if self.drivers.kind().is_some() {
            // The copier has handed something on that the ring does not show, either.
            self.leave_own_ring();
            return None;
        }
        Some(match wait {
            _ if is_done() => OwnWait::Done,
            Wait::Woken => own.wait_until(deadline, is_done),
            Wait::TimedOut => OwnWait::TimedOut,
            Wait::Interrupted => OwnWait::Interrupted,
        })
    }

    /// Looks again and again, while the copier is at work and for some microseconds at most, whether `is_done`: it nearly
    /// always is soon, and a sleep costs more. Async-signal-safe.
    #[inline]
    pub fn watch_copies(&self, is_done: impl FnMut() -> bool) -> bool {
        self.split.watch(is_done)
    }

    /// The marks of waiting threads on a request; `None` if it has ended. Async-signal-safe.
    #[inline]
    pub fn waiters(&self, key: Key) -> Option<&Waiters> {
        self.slots.find(key).map(|slot| Waiters::of(&slot.waiters))
    }

    /// Cancels requests, and returns when it is decided which have been: those have ended with ECANCELED.
    pub fn cancel(&self, target: Target) -> Verdict {
        self.split.drain();
        let shared = self.drivers.cancel(target);
        if self.phase.load(Ordering::Acquire) == OWN
            && let Some(own) = self.own.get()
            && own.is_ours()
        {
            let own = own.cancel(target);
            return Verdict { cancelled: own.cancelled || shared.cancelled, survived: own.survived || shared.survived };
        }
        shared
    }

    /// What was remembered of a descriptor no longer holds. Async-signal-safe.
    pub fn forget_descriptor(&self, fd: RawFd) {
        hints::forget(fd);
    }

    /// Whether some request depends on the number `fd`, so that [`Engine::release_number`] has to be called before the
    /// program closes it, or makes it mean another file. Nearly always false. What was remembered of the descriptor is
    /// forgotten. Async-signal-safe.
    #[inline]
    pub fn needs_number(&self, fd: RawFd) -> bool {
        hints::forget(fd);
        self.busy.contains(fd)
    }

    /// Returns when no request depends on the number `fd` any more: the kernel has the file, or the engine a descriptor of
    /// its own.
    pub fn release_number(&self, fd: RawFd) {
        self.split.drain();
        if self.phase.load(Ordering::Acquire) == OWN
            && let Some(own) = self.own.get()
            && own.is_ours()
        {
            own.close(fd);
        }
        self.drivers.close(fd);
    }

    /// Whether requests of the only thread go to a ring of its own, which nobody else can reap.
    #[inline]
    pub fn is_on_own_ring(&self) -> bool {
        self.phase.load(Ordering::Acquire) == OWN
    }

    /// Which driver carries requests out; `None` before the first one.
    pub fn driver(&self) -> Option<DriverKind> {
        self.drivers.kind().or_else(|| self.own.get().map(|_| DriverKind::Uring))
    }
}

impl<P: Payload> Drop for Engine<P> {
    /// The kernel is done with everything before the memory of the requests goes. (The driver's threads see to theirs.)
    fn drop(&mut self) {
        // It may still hand requests to the driver.
        drop(self.copier.take());
        if self.phase.load(Ordering::Acquire) == OWN {
            self.leave_own_ring();
        }
    }
}

impl<P: Payload> std::fmt::Debug for Engine<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("driver", &self.driver()).field("choice", &self.choice).finish_non_exhaustive()
    }
}
