//! A libaio request inside the engine.

use super::bell::Bell;
use super::context::Held;
use super::vectors::Vectors;
use onewait::Errno;
use onewait::aio::{Key, Outcome, Payload, Waiters};
use std::sync::{Arc, PoisonError};

/// What the engine keeps for us.
pub(crate) struct LibaioRequest {
    pub(super) context: Held,
    pub(super) key: Key,
    pub(super) data: u64,
    /// The control block's address: an identity, not to be looked behind.
    pub(super) object: u64,
    pub(super) bell: Option<Arc<Bell>>,
    /// What the operation's address points to, if it is vectored.
    pub(super) vectors: Option<Box<Vectors>>,
    /// The events that a poll may report.
    pub(super) polled: Option<u32>,
    /// Whether it is in the context's list of those that can be cancelled.
    pub(super) is_cancellable: bool,
}

impl Payload for LibaioRequest {
    fn complete(self, outcome: Outcome, _waiters: &Waiters) {
        if self.is_cancellable {
            let mut cancellable = self.context.cancellable.lock().unwrap_or_else(PoisonError::into_inner);
            // Another request may have come with the same control block.
            if cancellable.get(&self.object) == Some(&self.key) {
                cancellable.remove(&self.object);
            }
        }
        let result = match (outcome, self.polled) {
            // io_uring tells of POLLRDHUP unasked.
            (Ok(mask), Some(polled)) => i64::from(mask as u32 & polled),
            (Ok(value), None) => value as i64,
            // A poll that is cancelled has seen nothing (rule 32).
            (Err(Errno::CANCELED), Some(_)) => 0,
            (Err(errno), _) => -i64::from(errno.0),
        };
        self.context.complete(self.data, self.object, result);
        if let Some(vectors) = self.vectors {
            self.context.used_vectors.put(vectors);
        }
        if let Some(bell) = self.bell {
            bell.ring();
        }
        self.context.announce();
        self.context.leave_engine();
    }
}
