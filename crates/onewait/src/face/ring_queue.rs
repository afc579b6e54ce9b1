//! The queue of a loop: requests that the loop's own ring carries out.

use super::aio::EngineNumber;
use super::completion::{CancelVerdict, Completion, Refused, RequestHandle};
use super::descriptor::Descriptor;
use super::finished::Finished;
use super::in_flight::InFlight;
use super::request::Request;
use crate::aio::inline::{self, Attempt};
use crate::aio::{CAPACITY, CopySplit, LoopRing, Submission, Target};
use crate::counters::Counters;
use crate::driver::operation::Operation;
use crate::errno::Errno;
use crate::sys::{self, FileId, FileKind};
use eventpoll::SourceRef;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is in flight on a [`LoopRing`], which every call gets, and what has ended.
pub(crate) struct RingQueue {
    finished: Arc<Finished>,
    number: EngineNumber,
    /// Nobody copies beside a loop.
    split: CopySplit,
}

impl RingQueue {
    pub(crate) fn new() -> RingQueue {
        let finished = Arc::new(Finished::new(CAPACITY));
        RingQueue { finished, number: EngineNumber::next(), split: CopySplit::without_copier() }
    }

    pub(crate) fn source(&self) -> SourceRef<'_> {
        self.finished.source()
    }

    pub(crate) fn try_reap(&self) -> Option<Completion> {
        self.finished.reap(Some(Duration::ZERO))
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.finished.outstanding()
    }

    /// Submits a request: staged, unless it has ended already.
    ///
    /// # Errors
    /// EAGAIN when there are too many.
    pub(crate) fn submit(&self, ring: &mut LoopRing<InFlight>, request: Request) -> Result<RequestHandle, Refused> {
        if !self.finished.take_place() {
            return Err(Refused { errno: Errno::AGAIN, request });
        }
        let started = Counters::current().is_timed().then(Instant::now);
        let kind = Operation::new(request.code, -1).kind();
        let is_of_storage = request.descriptor.as_ref().is_some_and(Descriptor::is_storage);
        let mut in_flight = InFlight::new(request, Arc::clone(&self.finished));
        let attempt = match in_flight.operation() {
            Ok(operation) if is_of_storage && goes_by_ring(&operation) => {
                Attempt::Queue(Operation { kind_of_file: FileKind::Storage, ..operation }, 0)
            }
            // SAFETY: what it points to is owned by `in_flight`.
            Ok(operation) => unsafe { inline::attempt(operation, &self.split) },
            Err(errno) => Attempt::Done(Err(errno)),
        };
        let submitted = in_flight.go_on(attempt, kind, started, |submission| {
            let operation = identified(submission.operation);
            // SAFETY: what it points to is owned by the payload, which is not dropped before it was told of the end.
            let submitted = unsafe { ring.submit(Submission { operation, ..submission }) };
            submitted.map_err(|(errno, in_flight)| (errno, Some(in_flight.request)))
        });
        self.finished.place_of(submitted, self.number)
    }

    /// # Errors
    /// EINVAL if the request was submitted elsewhere.
    pub(crate) fn cancel(&self, ring: &mut LoopRing<InFlight>, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        if request.engine != self.number {
            return Err(Errno::INVAL);
        }
        Ok(request.key.map_or(CancelVerdict::AllDone, |key| ring.cancel(Target::Request(key)).into()))
    }

    pub(crate) fn cancel_all(&self, ring: &mut LoopRing<InFlight>, descriptor: &Descriptor) -> CancelVerdict {
        ring.cancel(Target::Descriptor(descriptor.as_raw_fd())).into()
    }
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
