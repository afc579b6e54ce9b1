//! Questions to the thread that owns a ring, and where their answers go.

use super::Table;
use crate::aio::request::{Reply, Verdict};
use crate::aio::slots::Key;

/// Who waits for an answer: the slot that the question came in, if it came in one, and where the answer goes.
#[derive(Clone, Copy)]
pub(super) struct Control {
    pub(super) slot: Option<Key>,
    pub(super) reply: Reply,
}

/// Gives the answer, and the slot back.
pub(super) fn answer<P>(slots: &Table<P>, control: Control, verdict: Verdict) {
    if let Some(key) = control.slot {
        // SAFETY: the slot was handed to us with the question in it.
        if let Some(body) = unsafe { slots.body(key) } {
            *body = None;
        }
        slots.give_back(key);
    }
    control.reply.send(verdict);
}
