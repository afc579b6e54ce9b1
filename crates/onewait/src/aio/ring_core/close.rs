//! A descriptor that the program is about to close.

use super::{Ends, RingCore, keeps_number};
use crate::aio::request::{Place, Reply, Verdict, verdict};
use crate::aio::slots::Key;
use crate::driver::uring::Stay;
use crate::sys::{self, FileId};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// A descriptor that is about to be closed.
pub(super) struct Close {
    reply: Reply,
    /// Requests that a thread, ours or the kernel's, may still look the descriptor up for.
    begun: Vec<Key>,
}

impl<P: Send + 'static, E: Ends<P>> RingCore<P, E> {
    /// A descriptor is about to be closed: what may still have to be handed over gets a descriptor of its own, and when
    /// nothing depends on the number any more, the reply is sent.
    pub(super) fn close(&mut self, fd: RawFd, reply: Reply) {
        self.order.forget(FileId::of_number(fd));
        // What waits for a thread needs the number no longer; what a thread is inside of does, to its end.
        let pinned = self.threads.as_ref().map_or_else(Vec::new, |threads| threads.files.pin(fd));
        let mut begun = Vec::new();
        // One descriptor for all of them.
        let mut shared = None;
        for key in self.slots.accepted() {
            // SAFETY: accepted slots stay ours until their end.
            let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { continue };
            if request.operation.fd != fd || request.is_closed {
                continue;
            }
            if request.place == Place::Driver && request.operation.needs_thread() {
                request.is_closed = true;
                if !pinned.contains(&key.to_bits()) {
                    begun.push(key);
                }
                continue;
            }
            // Also what the kernel has: it may give it back undone, or done in part.
            let keeps_number = keeps_number(request);
            let shared = shared.get_or_insert_with(|| sys::duplicate(fd).ok().map(Arc::new));
            request.pin(shared);
            if let Some(busy) = &self.busy
                && (request.place == Place::Held || keeps_number)
            {
                busy.add(request.operation.fd);
                busy.remove(fd);
            }
        }
        self.closes.push(Close { reply, begun });
    }

    /// Returns when nothing depends on the number `fd` any more. For the owner's thread when there is no other to ask.
    pub(crate) fn close_now(&mut self, fd: RawFd) {
        let word = AtomicU32::new(0);
        self.close(fd, Reply::to(&word));
        self.turn(Stay::No);
        while verdict(&word).is_none() {
            self.turn(Stay::UntilCompletion);
        }
    }

    pub(super) fn decide_closes(&mut self) {
        if self.closes.is_empty() || self.ring.staged() > 0 || !self.backlog.is_empty() {
            return;
        }
        let slots = &self.slots;
        self.closes.retain(|close| {
            if close.begun.iter().any(|key| slots.find(*key).is_some()) {
                return true;
            }
            close.reply.send(Verdict::default());
            false
        });
    }
}
