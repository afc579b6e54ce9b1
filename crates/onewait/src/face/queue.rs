//! Submitting and reaping.

use super::aio::Aio;
use super::completion::{CancelVerdict, Completion, Refused, RequestHandle};
use super::descriptor::Descriptor;
use super::finished::Finished;
use super::in_flight::InFlight;
use super::queued::Queued;
use super::request::Request;
use crate::aio::inline::{self, Attempt};
use crate::aio::{Key, Standing, Submission};
use crate::counters::{Counters, Kind};
use crate::driver::operation::Operation;
use crate::errno::Errno;
use eventpoll::{AsSource, SourceRef};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where requests are submitted, and where their completions wait to be reaped, in the order in which they ended.
///
/// A clone is the same queue. Any number of threads may submit and any number may wait at the same time; each completion
/// goes to one of them. While there is one, reaping is no system call.
///
/// # Order
/// Requests are carried out in no order, with three exceptions: an [`fsync`](Request::fsync) covers all writes to its file
/// that were submitted before it; on a pipe, socket or terminal, reads take the bytes in the order of submission, and writes
/// put them in that order; writes to a file opened with O_APPEND go to it in that order. These hold for all queues of an
/// [`Aio`] together.
///
/// # Dropping
/// Requests go on when the last clone is dropped: writes are written, and the completions are dropped. The queue keeps its
/// [`Aio`] going.
#[derive(Clone)]
pub struct CompletionQueue {
    aio: Aio,
    finished: Arc<Finished>,
}

impl CompletionQueue {
    pub(super) fn new(aio: Aio, limit: usize) -> CompletionQueue {
        CompletionQueue { aio, finished: Arc::new(Finished::new(limit)) }
    }

    /// Submits a request. What needs no waiting is carried out at once, in this thread: reads of what the page cache holds,
    /// short writes of whole pages into it. Everything else is on its way when the call returns.
    ///
    /// # Errors
    /// The request is given back, and nothing of it was done: EAGAIN when the queue or the engine is full, or no thread can
    /// be made; EMFILE when there are too few descriptors left; ENOMEM; ECHILD in the child of a fork.
    pub fn submit(&self, request: Request) -> Result<RequestHandle, Refused> {
        self.start(request, true)
    }

    /// Submits requests as one batch, with fewer system calls than one by one, and returns how many were submitted. Stops
    /// at the first that is refused; lend the iterator (`&mut`) to keep the rest.
    ///
    /// # Errors
    /// Those of [`CompletionQueue::submit`], with the request that was refused. Those before it are submitted.
    pub fn submit_all(&self, requests: impl IntoIterator<Item = Request>) -> Result<usize, Refused> {
        // Whatever happens in the caller's iterator, what was submitted goes on its way.
        struct Flush<'a>(&'a Aio);
        impl Drop for Flush<'_> {
            fn drop(&mut self) {
                self.0.shared.engine.flush();
            }
        }
        let _flush = Flush(&self.aio);
        let mut count = 0;
        for request in requests {
            self.start(request, false)?;
            count += 1;
        }
        Ok(count)
    }

    /// Submits an operation on memory and on a descriptor that are the caller's: for faces whose callers own both, as C's do.
    /// A list of vectors is copied. Its [`Completion`] has the token and the result, and no buffers.
    ///
    /// # Errors
    /// Those of [`CompletionQueue::submit`]; EINVAL for more than 1024 vectors.
    ///
    /// # Safety
    /// The list of vectors is valid for the call. What the operation transfers to or from stays valid, and is not touched if
    /// it is written to, and the descriptor means the same file, until the completion was reaped, or the last clone of the
    /// [`Aio`] and of its queues is gone.
    pub unsafe fn submit_borrowed(&self, operation: Operation, token: u64) -> Result<RequestHandle, Errno> {
        self.enter()?;
        let mut in_flight = InFlight::new(Request::no_op().token(token));
        // SAFETY: passed on to the caller.
        let operation = unsafe { in_flight.borrow(operation) };
        let kind = operation.map_or(Kind::Nop, |operation| operation.kind());
        self.carry_out(in_flight, operation, kind, true).map_err(|refused| refused.errno)
    }

    fn start(&self, request: Request, flush: bool) -> Result<RequestHandle, Refused> {
        if let Err(errno) = self.enter() {
            return Err(Refused { errno, request });
        }
        let kind = Operation::new(request.code, -1).kind();
        let mut in_flight = InFlight::new(request);
        let operation = in_flight.operation();
        self.carry_out(in_flight, operation, kind, flush)
    }

    /// Takes a place for a request that is about to come.
    ///
    /// # Errors
    /// ECHILD in the child of a fork; EAGAIN if there is no place.
    fn enter(&self) -> Result<(), Errno> {
        self.aio.shared.check_process()?;
        if self.finished.take_place() { Ok(()) } else { Err(Errno::AGAIN) }
    }

    /// Carries a request out that has a place, here or in the engine. What its operation points to is valid for as long as
    /// `in_flight` lives: it owns it, or somebody has promised.
    fn carry_out(
        &self,
        in_flight: InFlight,
        operation: Result<Operation, Errno>,
        kind: Kind,
        flush: bool,
    ) -> Result<RequestHandle, Refused> {
        let started = Counters::current().is_timed().then(Instant::now);
        let attempt = match operation {
            // SAFETY: by the contract of this function.
            Ok(operation) => unsafe { inline::attempt(operation, self.aio.shared.engine.copy_split()) },
            Err(errno) => Attempt::Done(Err(errno)),
        };
        let payload = Queued { in_flight, finished: Arc::clone(&self.finished) };
        let key = match attempt {
            Attempt::Done(outcome) => {
                inline::count(kind, outcome, started);
                payload.finish(outcome);
                None
            }
            Attempt::Queue(operation, before) => {
                match self.enqueue(Submission { operation, before, started, payload }, flush) {
                    Ok(key) => Some(key),
                    Err(refused) => {
                        self.finished.give_place_back();
                        return Err(refused);
                    }
                }
            }
        };
        Ok(RequestHandle { key, engine: self.aio.shared.number })
    }

    fn enqueue(&self, submission: Submission<Queued>, flush: bool) -> Result<Key, Refused> {
        let engine = &self.aio.shared.engine;
        let key = match engine.reserve() {
            Ok(key) => key,
            Err(errno) => return Err(Refused { errno, request: submission.payload.in_flight.request }),
        };
        // SAFETY: what the operation points to is owned by the payload (buffers, vectors), which is not dropped before it
        // was told of the end, or was promised to live as long; so was its descriptor. The key was reserved just now.
        let submitted = unsafe { engine.submit(key, submission, Standing::Public, flush) };
        match submitted {
            Ok(()) => Ok(key),
            Err((errno, payload)) => {
                // It is never missing: the slot was there a moment ago.
                let request = payload.map_or_else(Request::no_op, |queued| queued.in_flight.request);
                Err(Refused { errno, request })
            }
        }
    }

    /// Reaps all that have ended, oldest first, behind what `completions` holds; if there are none, sleeps until there is
    /// one. Returns how many there were: 0 means that `timeout` has passed. `None` waits for ever, also when nothing is in
    /// flight: another thread may submit. Never returns early, and not before there is something or the time is over.
    pub fn wait(&self, completions: &mut Vec<Completion>, timeout: Option<Duration>) -> usize {
        self.finished.wait(completions, usize::MAX, timeout)
    }

    /// As [`wait`](CompletionQueue::wait), and leaves all but the first `limit` to the next call or another thread.
    pub fn wait_at_most(&self, completions: &mut Vec<Completion>, limit: usize, timeout: Option<Duration>) -> usize {
        self.finished.wait(completions, limit, timeout)
    }

    /// As [`wait_at_most`](CompletionQueue::wait_at_most), for places other than a `Vec`, such as an array of another
    /// language's. The queue is locked while they are handed over: it must not be used by `into` itself.
    pub fn wait_into(&self, into: &mut impl Extend<Completion>, limit: usize, timeout: Option<Duration>) -> usize {
        self.finished.wait(into, limit, timeout)
    }

    /// Reaps all that have ended, and never sleeps.
    pub fn try_wait(&self, completions: &mut Vec<Completion>) -> usize {
        self.finished.wait(completions, usize::MAX, Some(Duration::ZERO))
    }

    /// Reaps one; if there is none, sleeps until there is, at most for `timeout` (`None`: for ever).
    pub fn reap(&self, timeout: Option<Duration>) -> Option<Completion> {
        self.finished.reap(timeout)
    }

    /// Reaps one if there is one, and never sleeps.
    pub fn try_reap(&self) -> Option<Completion> {
        self.reap(Some(Duration::ZERO))
    }

    /// How many requests are in flight or were not reaped. At 0, nothing comes unless something is submitted.
    pub fn outstanding(&self) -> usize {
        self.finished.outstanding()
    }

    /// How many have ended and were not reaped: so many can be had without waiting.
    pub fn ready(&self) -> usize {
        self.finished.ready()
    }

    /// How many requests can be in flight or not reaped at a time.
    pub fn limit(&self) -> usize {
        self.finished.limit()
    }

    /// As [`Aio::cancel`].
    ///
    /// # Errors
    /// Those of [`Aio::cancel`].
    pub fn cancel(&self, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        self.aio.cancel(request)
    }

    /// As [`Aio::cancel_all`].
    ///
    /// # Errors
    /// Those of [`Aio::cancel_all`].
    pub fn cancel_all(&self, descriptor: &Descriptor) -> Result<CancelVerdict, Errno> {
        self.aio.cancel_all(descriptor)
    }

    /// The engine that carries the requests out.
    pub fn aio(&self) -> &Aio {
        &self.aio
    }
}

/// As a source it is ready to be read (`IN | RDNORM`) while there are completions to reap, and every completion is an edge.
impl AsSource for CompletionQueue {
    fn as_source(&self) -> SourceRef<'_> {
        self.finished.source()
    }
}

impl fmt::Debug for CompletionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outstanding, limit) = (self.outstanding(), self.limit());
        write!(f, "CompletionQueue({outstanding} of {limit} requests, {:?})", self.aio.driver())
    }
}
