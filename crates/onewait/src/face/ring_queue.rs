//! The queue of a loop: requests that the loop's own ring carries out.

use super::aio::EngineNumber;
use super::completion::{CancelVerdict, Completion, Refused, RequestHandle};
use super::descriptor::Descriptor;
use super::in_flight::InFlight;
use super::request::Request;
use crate::aio::inline::{self, Attempt};
use crate::aio::{CAPACITY, CopySplit, Key, LoopRing, Submission, Target};
use crate::counters::{Counters, Event, Route};
use crate::driver::operation::Operation;
use crate::errno::Errno;
use crate::sys::{self, FileId, FileKind};
use eventpoll::{AsSource, Events, Source, SourceRef, Watched};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A queue whose requests are on a [`LoopRing`], in flight or ended, which every call gets.
pub(crate) struct RingQueue {
    number: EngineNumber,
    /// Nobody copies beside a loop.
    split: CopySplit,
    ended: Watched<HasEnded>,
}

/// Ready to be read while there are completions. Changed by the loop's thread; relaxed, since a notification that others
/// see comes after.
#[derive(Default)]
struct HasEnded(AtomicBool);

impl Source for HasEnded {
    fn level(&self) -> Events {
        if self.0.load(Ordering::Relaxed) { READABLE } else { Events::empty() }
    }
}

const READABLE: Events = Events::IN.union(Events::RDNORM);

impl RingQueue {
    pub(crate) fn new() -> RingQueue {
        let ended = Watched::new(HasEnded::default());
        RingQueue { number: EngineNumber::next(), split: CopySplit::without_copier(), ended }
    }

    pub(crate) fn source(&self) -> SourceRef<'_> {
        self.ended.as_source()
    }

    /// Tells of requests that have ended, if there are any, and that was not told since there were none.
    #[inline]
    pub(crate) fn tell(&self, ring: &LoopRing<InFlight>) {
        if ring.has_ended() && !self.ended.0.load(Ordering::Relaxed) {
            self.ended.0.store(true, Ordering::Relaxed);
            self.ended.notify(READABLE);
        }
    }

    /// Takes the completion of the request that has ended first.
    #[inline]
    pub(crate) fn take(&self, ring: &mut LoopRing<InFlight>) -> Option<Completion> {
        let taken = ring.take();
        if !ring.has_ended() {
            self.ended.0.store(false, Ordering::Relaxed);
        }
        taken.map(|(in_flight, outcome)| in_flight.completion(outcome))
    }

    /// Submits a request: staged, unless it has ended already. [`RingQueue::tell`] follows.
    ///
    /// # Errors
    /// EAGAIN when there are too many.
    pub(crate) fn submit(&self, ring: &mut LoopRing<InFlight>, request: Request) -> Result<RequestHandle, Refused> {
        if ring.outstanding() >= CAPACITY {
            Counters::current().event(Event::LimitHit);
            return Err(Refused { errno: Errno::AGAIN, request });
        }
        let started = Counters::current().is_timed().then(Instant::now);
        let is_of_storage = request.descriptor.as_ref().is_some_and(Descriptor::is_storage);
        let mut in_flight = InFlight::new(request);
        let key = match in_flight.operation() {
            Ok(mut operation) if is_of_storage && goes_by_ring(&operation) => {
                operation.kind_of_file = FileKind::Storage;
                Some(stage(ring, operation, 0, started, in_flight)?)
            }
            operation => self.try_now(ring, operation, started, in_flight)?,
        };
        Ok(RequestHandle { key, engine: self.number })
    }

    /// Carries it out at once, if that needs no waiting; `None` then.
    fn try_now(
        &self,
        ring: &mut LoopRing<InFlight>,
        operation: Result<Operation, Errno>,
        started: Option<Instant>,
        in_flight: InFlight,
    ) -> Result<Option<Key>, Refused> {
        let kind = Operation::new(in_flight.request.code, -1).kind();
        let attempt = match operation {
            // SAFETY: what it points to is owned by `in_flight`.
            Ok(operation) => unsafe { inline::attempt(operation, &self.split) },
            Err(errno) => Attempt::Done(Err(errno)),
        };
        match attempt {
            Attempt::Done(outcome) => {
                Counters::current().submitted(kind, Route::Inline);
                ring.ended(kind, outcome, started, in_flight);
                Ok(None)
            }
            Attempt::Queue(operation, before) => {
                stage(ring, identified(operation), before, started, in_flight).map(Some)
            }
        }
    }

    /// # Errors
    /// EINVAL if the request was submitted elsewhere.
    pub(crate) fn cancel(&self, ring: &mut LoopRing<InFlight>, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        if request.engine != self.number {
            return Err(Errno::INVAL);
        }
        Ok(request.key.map_or(CancelVerdict::AllDone, |key| self.cancel_target(ring, Target::Request(key))))
    }

    pub(crate) fn cancel_all(&self, ring: &mut LoopRing<InFlight>, descriptor: &Descriptor) -> CancelVerdict {
        self.cancel_target(ring, Target::Descriptor(descriptor.as_raw_fd()))
    }

    fn cancel_target(&self, ring: &mut LoopRing<InFlight>, target: Target) -> CancelVerdict {
        let verdict = ring.cancel(target);
        self.tell(ring);
        verdict.into()
    }
}

/// What the operation points to is owned by `in_flight`.
#[inline]
fn stage(
    ring: &mut LoopRing<InFlight>,
    operation: Operation,
    before: usize,
    started: Option<Instant>,
    in_flight: InFlight,
) -> Result<Key, Refused> {
    // SAFETY: `in_flight` is not given back before the kernel is done with it.
    let submitted = unsafe { ring.submit(Submission { operation, before, started, payload: in_flight }) };
    submitted.map_err(|(errno, in_flight)| Refused { errno, request: in_flight.request })
}

/// Whether the ring reads it without being asked anything first. It reads what the page cache holds as fast as a call of its
/// own would, and is entered anyhow.
fn goes_by_ring(operation: &Operation) -> bool {
    operation.is_read() && operation.offset >= 0 && !operation.is_empty()
}

/// With what the order among requests has to know of the file. For reads of storage that is nothing.
fn identified(mut operation: Operation) -> Operation {
    let is_read_of_storage = operation.is_read() && operation.kind_of_file == FileKind::Storage;
    if operation.file == FileId::UNKNOWN && !is_read_of_storage && operation.fd >= 0 {
        (operation.kind_of_file, operation.file) = sys::identify(operation.fd);
    }
    operation
}
