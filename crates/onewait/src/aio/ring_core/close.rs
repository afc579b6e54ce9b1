//! A descriptor that the program is about to close.

use super::RingCore;
use super::control::{Control, answer};
use crate::aio::payload::Payload;
use crate::aio::request::{Body, Place, Reply, Verdict, verdict};
use crate::aio::slots::Key;
use crate::driver::uring::Stay;
use crate::sys::FileId;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU32;

/// A descriptor that is about to be closed.
pub(super) struct Close {
    control: Control,
    /// `fsync` requests: the kernel looks their descriptor up by number as late as in its worker thread.
    syncs: Vec<Key>,
}

impl<P: Payload> RingCore<P> {
    /// A descriptor is about to be closed: what is held back gets a descriptor of its own, and when nothing depends on the
    /// number any more, the answer goes where `control` says.
    pub(super) fn close(&mut self, fd: RawFd, control: Control) {
        self.order.forget(FileId::of_number(fd));
        let mut syncs = Vec::new();
        for key in self.slots.accepted() {
            // SAFETY: accepted slots stay ours until their end.
            let Some(Some(Body::Request(request))) = (unsafe { self.slots.body(key) }) else { continue };
            if request.operation.fd != fd || request.is_closed {
                continue;
            }
            if request.place == Place::Held {
                request.pin(&self.busy);
                continue;
            }
            request.is_closed = true;
            if request.operation.is_sync() {
                syncs.push(key);
            }
        }
        self.closes.push(Close { control, syncs });
    }

    /// Returns when nothing depends on the number `fd` any more. For the owner's thread when there is no other to ask.
    pub(crate) fn close_now(&mut self, fd: RawFd) {
        let word = AtomicU32::new(0);
        self.close(fd, Control { slot: None, reply: Reply::to(&word) });
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
            if close.syncs.iter().any(|key| slots.find(*key).is_some()) {
                return true;
            }
            answer(slots, close.control, Verdict::default());
            false
        });
    }
}
