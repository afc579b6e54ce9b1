//! Requests of a loop that have ended, until the loop takes them.
//!
//! The loop's thread ends them and takes them, so they lie in a plain list, and are counted in numbers of its own: what
//! others read, it adds up once a turn.

use super::payload::{Outcome, Waiters};
use super::request::Request;
use super::ring_core::Ends;
use crate::counters::{Counters, Kind, Route, Tally};
use crate::errno::Errno;
use std::collections::VecDeque;
use std::time::Instant;

/// Oldest first.
pub(super) struct Ended<P> {
    list: VecDeque<(P, Outcome)>,
    tally: Tally,
}

impl<P> Default for Ended<P> {
    fn default() -> Ended<P> {
        Ended { list: VecDeque::new(), tally: Tally::default() }
    }
}

impl<P> Ends<P> for Ended<P> {
    #[inline]
    fn end(&mut self, request: Request<P>, result: i32, _waiters: Option<&Waiters>) {
        let (kind, outcome, started) = (request.operation.kind(), request.outcome(result), request.started);
        self.add(kind, outcome, started, request.payload);
    }
}

impl<P> Ended<P> {
    /// A request has ended, and is counted.
    #[inline]
    pub(super) fn add(&mut self, kind: Kind, outcome: Outcome, started: Option<Instant>, payload: P) {
        self.tally.completed(kind, outcome.map_or_else(|errno| -i64::from(errno.0), |value| value as i64));
        if let Some(started) = started {
            Counters::current().latency(kind, started.elapsed().as_nanos() as u64);
        }
        if outcome == Err(Errno::CANCELED) {
            Counters::current().event(crate::counters::Event::Cancelled);
        }
        self.list.push_back((payload, outcome));
    }

    /// A request was accepted.
    #[inline]
    pub(super) fn accepted(&mut self, kind: Kind) {
        self.tally.submitted(kind);
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<(P, Outcome)> {
        self.list.pop_front()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Lets others see what was counted.
    #[inline]
    pub(super) fn publish(&mut self) {
        Counters::current().add(&mut self.tally, Route::OwnRing);
    }
}
