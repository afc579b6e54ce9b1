//! A request as it lies in its slot.

use super::order::Ticket;
use super::payload::{Outcome, Payload, Waiters};
use super::slots::Key;
use crate::counters::{Counters, Kind};
use crate::driver::operation::{Code, Operation};
use crate::errno::Errno;
use crate::sys::{self, Descriptor};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

/// An operation on its way.
pub(crate) struct Request<P> {
    pub(crate) operation: Operation,
    pub(crate) payload: P,
    /// Bytes that an earlier part of the operation transferred already.
    pub(crate) before: usize,
    /// When it was submitted, if latencies are wanted.
    pub(crate) started: Option<Instant>,
    pub(crate) ticket: Ticket,
    /// Where it is.
    pub(crate) place: Place,
    /// How often it was handed to the driver again, because the driver had no real answer.
    pub(crate) retries: u8,
    /// A descriptor of its own, made when the program closed the number while the request was held back.
    pub(crate) pinned: Option<Arc<Descriptor>>,
    /// The program has closed the number that the request came with: it may mean another file by now.
    pub(crate) is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Held back by another request.
    Held,
    /// With the driver.
    Driver,
}

impl<P> Request<P> {
    pub(crate) fn new(operation: Operation, payload: P, before: usize, started: Option<Instant>) -> Request<P> {
        let place = Place::Held;
        Request {
            operation,
            payload,
            before,
            started,
            ticket: Ticket::default(),
            place,
            retries: 0,
            pinned: None,
            is_closed: false,
        }
    }
}

impl<P> Request<P> {
    /// Whether a part of a write went well of which the rest must follow: a write to a blocking pipe, socket or terminal
    /// ends when all of it is written. If so, the request becomes that rest.
    pub(crate) fn must_continue(&mut self, result: i32) -> bool {
        let operation = &mut self.operation;
        let Ok(written) = u32::try_from(result) else { return false };
        let is_part = written > 0 && written < operation.length;
        if !is_part || operation.code != Code::Write || !operation.is_stream() || operation.nowait {
            return false;
        }
        operation.address += written as usize;
        operation.length -= written;
        self.before += written as usize;
        true
    }
}

impl<P> Request<P> {
    /// Gives the request a descriptor of ours, for whenever it is handed over (again). Without one it ends with EBADF then:
    /// it must not reach another file.
    pub(crate) fn pin(&mut self, descriptor: &Option<Arc<Descriptor>>) {
        self.pinned.clone_from(descriptor);
        self.operation.fd = descriptor.as_ref().map_or(-1, |descriptor| descriptor.as_raw_fd());
    }
}

impl<P> Request<P> {
    /// What the driver's last answer means: a first part that went well counts more than an error of the rest.
    pub(crate) fn outcome(&self, result: i32) -> Outcome {
        match usize::try_from(result) {
            Ok(transferred) => Ok(self.before + transferred),
            Err(_) if self.before > 0 => Ok(self.before),
            Err(_) => Err(Errno(-result)),
        }
    }
}

impl<P: Payload> Request<P> {
    /// Counts the end and tells the payload.
    pub(crate) fn end(self, result: i32, waiters: Option<&Waiters>) {
        let outcome = self.outcome(result);
        count(self.operation.kind(), outcome, self.started);
        if let Some(waiters) = waiters {
            self.payload.complete(outcome, waiters);
        }
    }
}

/// Counts the end of a request.
pub(crate) fn count(kind: Kind, outcome: Outcome, started: Option<Instant>) {
    let counters = Counters::current();
    counters.completed(kind, outcome.map_or_else(|errno| -i64::from(errno.0), |value| value as i64));
    if let Some(started) = started {
        counters.latency(kind, started.elapsed().as_nanos() as u64);
    }
    if outcome == Err(Errno::CANCELED) {
        counters.event(crate::counters::Event::Cancelled);
    }
}

/// Which operations are to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Request(Key),
    /// All on this descriptor.
    Descriptor(i32),
}

/// What came of a cancellation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// At least one request was cancelled; that was published before the verdict.
    pub cancelled: bool,
    /// At least one request goes on.
    pub survived: bool,
}

const REPLIED: u32 = 1 << 31;

/// Where the one who asked sleeps: a word on its stack that becomes other than 0. Valid until then, and not a moment longer.
#[derive(Clone, Copy)]
pub(crate) struct Reply(*const AtomicU32);

// SAFETY: the word is an atomic that its owner keeps alive until it is set.
unsafe impl Send for Reply {}

impl Reply {
    pub(crate) fn to(word: &AtomicU32) -> Reply {
        Reply(word)
    }

    /// Wakes the one who asked, and tells what came of it.
    pub(crate) fn send(self, verdict: Verdict) {
        let bits = REPLIED | u32::from(verdict.cancelled) | u32::from(verdict.survived) << 1;
        // SAFETY: the owner waits in `await_reply` until the word is set; the wake only compares the address.
        unsafe { (*self.0).store(bits, std::sync::atomic::Ordering::Release) };
        sys::futex_wake(self.0 as usize, 1);
    }
}

/// The reply, if it is there.
pub(crate) fn verdict(word: &AtomicU32) -> Option<Verdict> {
    let bits = word.load(std::sync::atomic::Ordering::Acquire);
    (bits != 0).then_some(Verdict { cancelled: bits & 1 != 0, survived: bits & 2 != 0 })
}

/// Sleeps until the reply is there; signals do not end it.
pub(crate) fn await_verdict(word: &AtomicU32) -> Verdict {
    loop {
        if let Some(verdict) = verdict(word) {
            return verdict;
        }
        sys::futex_wait(word, 0, None);
    }
}
