//! Cancelling requests on a ring: what is held back is taken out, what the kernel has the kernel is asked for.

use super::{CANCELLATION, Ends, Entry, RingCore, is_for_thread};
use crate::aio::request::{Place, Reply, Target, Verdict, verdict};
use crate::aio::slots::Key;
use crate::driver::uring::Stay;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU32;

/// A cancellation that is not decided.
pub(super) struct Cancellation {
    reply: Reply,
    targets: Vec<CancelTarget>,
    verdict: Verdict,
}

/// How far the cancellation of one request has come.
enum CancelStep {
    /// There is no such request any more.
    Gone,
    /// It was held back, and has ended.
    Cancelled,
    /// A thread is inside it.
    Begun,
    /// The kernel was asked, under this number.
    Asked(u64),
}

struct CancelTarget {
    user_data: u64,
    key: Key,
    answer: Option<i32>,
}

impl Cancellation {
    /// Notes that a request has ended by being cancelled.
    pub(super) fn note_cancelled(&mut self, key: Key) {
        self.verdict.cancelled |= self.targets.iter().any(|target| target.key == key);
    }

    /// Notes what the kernel answered to the question with this number.
    pub(super) fn note_answer(&mut self, user_data: u64, answer: i32) {
        for target in self.targets.iter_mut().filter(|target| target.user_data == user_data) {
            target.answer = Some(answer);
        }
    }
}

impl<P: Send + 'static, E: Ends<P>> RingCore<P, E> {
    /// Begins a cancellation. When it is decided, the reply is sent.
    pub(super) fn cancel(&mut self, target: Target, reply: Reply) {
        let keys: Vec<Key> = match target {
            Target::Request(key) => vec![key],
            Target::Descriptor(_) => self.slots.accepted().collect(),
        };
        let mut cancellation = Cancellation { reply, targets: Vec::new(), verdict: Verdict::default() };
        for key in keys {
            if let Target::Descriptor(fd) = target
                && self.descriptor_of(key) != Some(fd)
            {
                continue;
            }
            match self.cancel_one(key) {
                CancelStep::Gone => {}
                CancelStep::Cancelled => cancellation.verdict.cancelled = true,
                CancelStep::Begun => cancellation.verdict.survived = true,
                CancelStep::Asked(user_data) => {
                    cancellation.targets.push(CancelTarget { user_data, key, answer: None });
                }
            }
        }
        self.cancellations.push(cancellation);
        self.decide_cancellations();
    }

    fn descriptor_of(&self, key: Key) -> Option<RawFd> {
        if !self.slots.is_accepted(key) {
            return None;
        }
        // SAFETY: accepted slots stay ours until their end.
        match unsafe { self.slots.body(key) } {
            Some(Some(request)) if !request.is_closed => Some(request.operation.fd),
            _ => None,
        }
    }

    /// Takes a request out that is held back, or asks the kernel to.
    fn cancel_one(&mut self, key: Key) -> CancelStep {
        if !self.slots.is_accepted(key) {
            return CancelStep::Gone;
        }
        // SAFETY: accepted slots stay ours until their end.
        let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { return CancelStep::Gone };
        if request.place == Place::Held && self.order.withdraw(key, request.ticket, &mut self.released) {
            self.end_withdrawn(key);
            return CancelStep::Cancelled;
        }
        self.last_cancellation += 1;
        let user_data = CANCELLATION | self.last_cancellation;
        if let Some(threads) = self.threads.as_ref().filter(|_| is_for_thread(request)) {
            if !threads.cancel(key.to_bits()) {
                return CancelStep::Begun;
            }
            self.finish(key, -libc::ECANCELED);
            return CancelStep::Cancelled;
        }
        self.put(Entry::Cancel { target: key, user_data });
        CancelStep::Asked(user_data)
    }

    /// Cancels, and returns when that is decided. For the owner's thread when there is no other to ask.
    pub(crate) fn cancel_now(&mut self, target: Target) -> Verdict {
        let word = AtomicU32::new(0);
        self.cancel(target, Reply::to(&word));
        loop {
            if let Some(verdict) = verdict(&word) {
                return verdict;
            }
            self.turn(Stay::UntilCompletion);
        }
    }

    /// Begins the cancellation of all requests; nobody waits for an answer.
    pub(crate) fn cancel_everything(&mut self) {
        let keys: Vec<Key> = self.slots.accepted().collect();
        for key in keys {
            self.cancel_one(key);
        }
    }

    fn end_withdrawn(&mut self, key: Key) {
        // SAFETY: the slot is ours until the end of the request, which is now.
        let Some(Some(mut request)) = (unsafe { self.slots.body(key) }).map(Option::take) else {
            return;
        };
        request.ticket.settle();
        self.end(key, request, -libc::ECANCELED);
    }

    pub(super) fn decide_cancellations(&mut self) {
        let slots = &self.slots;
        self.cancellations.retain_mut(|cancellation| {
            for target in &cancellation.targets {
                let is_live = slots.find(target.key).is_some();
                match target.answer {
                    Some(answer) if answer < 0 => cancellation.verdict.survived |= is_live,
                    _ if is_live => return true,
                    _ => {}
                }
            }
            cancellation.reply.send(cancellation.verdict);
            false
        });
    }
}
