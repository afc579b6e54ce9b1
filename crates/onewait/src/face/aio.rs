//! An engine with its driver.

use super::completion::{CancelVerdict, RequestHandle};
use super::descriptor::Descriptor;
use super::queue::CompletionQueue;
use super::queued::Queued;
use crate::aio::{CAPACITY, Engine, Target};
use crate::counters::{self, Counters, Event};
use crate::driver::{Choice, DriverKind};
use crate::errno::Errno;
use crate::sys::fork;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

/// An engine with its driver: it carries out the requests of all its queues.
///
/// A clone is the same engine. Any number of threads may share it and submit at the same time. One is enough for a program;
/// more are independent of each other, and each has a thread and a few descriptors of its own.
///
/// # The end
/// With the last clone and the last [`CompletionQueue`] the engine ends: it cancels what can be cancelled, waits for what
/// the kernel is in the middle of (as long as the disk takes), and leaves no thread and no descriptor behind. Writes that
/// had not begun are lost then: reap what matters. If it is forgotten instead (`mem::forget`), it just goes on.
///
/// # Fork
/// A child of `fork(2)` has none of its parent's threads. There, an inherited engine refuses requests with ECHILD, what its
/// parent had in flight completes in the parent only, and a new `Aio` works as anywhere.
///
/// # Signals
/// Nothing of this face may be called in a signal handler. The engine's threads take no signals, no request raises one,
/// and a signal does not end a wait.
#[derive(Clone, Debug)]
pub struct Aio {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: ManuallyDrop<Engine<Queued>>,
    pub(super) number: EngineNumber,
    /// Of the process that made it.
    generation: u32,
}

/// Tells apart those who carry requests out: engines, and rings of loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EngineNumber(u64);

impl EngineNumber {
    /// One that nobody has.
    pub(super) fn next() -> EngineNumber {
        static LAST: AtomicU64 = AtomicU64::new(0);
        EngineNumber(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

impl Aio {
    /// Starts an engine on the best driver that the system allows, or on the one that the environment variable
    /// `ONEWAIT_DRIVER` (`uring` or `epoll`) asks for.
    ///
    /// # Errors
    /// Those of [`Aio::with_driver`], and `InvalidInput` if the variable names no driver.
    pub fn new() -> io::Result<Aio> {
        let choice = Choice::from_environment().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Aio::with_driver(choice)?)
    }

    /// Starts an engine on the driver of one's choice, whatever the environment says.
    ///
    /// # Errors
    /// EMFILE or ENFILE (too few descriptors left), ENOMEM, EAGAIN (no thread can be made). With
    /// [`Choice::Strict`] also what the system refuses the driver with: ENOSYS, EPERM or EACCES where io_uring is forbidden,
    /// EINVAL where the kernel is too old for it (before 6.1), ENOMEM where too little memory may be locked.
    pub fn with_driver(choice: Choice) -> Result<Aio, Errno> {
        static BEGIN: Once = Once::new();
        BEGIN.call_once(|| {
            counters::adopt();
            Counters::current().event(Event::Process);
        });
        fork::watch();
        let engine = Engine::new(choice);
        engine.launch()?;
        let number = EngineNumber::next();
        let shared = Shared { engine: ManuallyDrop::new(engine), number, generation: fork::generation() };
        Ok(Aio { shared: Arc::new(shared) })
    }

    /// Which driver carries requests out. Why it is this one, the [counters](crate::counters::Snapshot) tell.
    pub fn driver(&self) -> DriverKind {
        // It was started when the engine was made.
        self.shared.engine.driver().unwrap_or(DriverKind::Epoll)
    }

    /// Whether this is the child of a fork, in which the engine is of no use.
    pub fn is_inherited(&self) -> bool {
        self.shared.check_process().is_err()
    }

    /// A completion queue for as many requests as the engine takes: [`CAPACITY`].
    pub fn queue(&self) -> CompletionQueue {
        self.bounded_queue(CAPACITY)
    }

    /// A completion queue for up to `limit` requests at a time, those that have ended and were not reaped included. One
    /// more is refused with EAGAIN.
    pub fn bounded_queue(&self, limit: usize) -> CompletionQueue {
        CompletionQueue::new(self.clone(), limit)
    }

    /// Cancels a request of any of this engine's queues, and returns when it is decided whether that was possible.
    ///
    /// What has not begun can be cancelled, and what waits for a pipe, a socket or a poll; what the disk is at usually
    /// cannot. A cancelled request has a completion like any other, with ECANCELED.
    ///
    /// # Errors
    /// EINVAL if the request is another engine's; EAGAIN when too many requests are in flight to ask; ECHILD in the child
    /// of a fork.
    pub fn cancel(&self, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        if request.engine != self.shared.number {
            return Err(Errno::INVAL);
        }
        request.key.map_or(Ok(CancelVerdict::AllDone), |key| self.cancel_target(Target::Request(key)))
    }

    /// Cancels all requests on a descriptor, in all queues of this engine: [`CancelVerdict::Cancelled`] if all that had not
    /// ended were cancelled, [`CancelVerdict::NotCancelled`] if at least one goes on. Descriptors are told apart by their
    /// number: another one of the same file is not meant.
    ///
    /// # Errors
    /// ECHILD in the child of a fork.
    pub fn cancel_all(&self, descriptor: &Descriptor) -> Result<CancelVerdict, Errno> {
        self.cancel_target(Target::Descriptor(descriptor.as_raw_fd()))
    }

    fn cancel_target(&self, target: Target) -> Result<CancelVerdict, Errno> {
        self.shared.check_process()?;
        Ok(self.shared.engine.cancel(target).into())
    }
}

impl Shared {
    /// Whether the engine is this process's own.
    ///
    /// # Errors
    /// ECHILD if it was inherited.
    #[inline]
    pub(super) fn check_process(&self) -> Result<(), Errno> {
        if self.generation == fork::generation() { Ok(()) } else { Err(Errno(libc::ECHILD)) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // An inherited engine has no threads that could end; what they had locked stays locked.
        if self.check_process().is_ok() {
            // SAFETY: dropped here and nowhere else.
            unsafe { ManuallyDrop::drop(&mut self.engine) };
        }
    }
}
