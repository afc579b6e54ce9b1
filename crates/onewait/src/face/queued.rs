//! A request of a queue's, inside the engine.

use super::finished::Finished;
use super::in_flight::InFlight;
use crate::aio::{Outcome, Payload, Waiters};
use std::sync::Arc;

/// Goes to its queue at its end.
pub(super) struct Queued {
    pub(super) in_flight: InFlight,
    pub(super) finished: Arc<Finished>,
}

impl Queued {
    /// The end. Calls nothing of the program's.
    pub(super) fn finish(self, outcome: Outcome) {
        self.finished.push(self.in_flight.completion(outcome));
    }
}

impl Payload for Queued {
    fn complete(self, outcome: Outcome, _waiters: &Waiters) {
        self.finish(outcome);
    }
}
