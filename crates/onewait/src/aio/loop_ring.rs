//! The ring of a loop: requests on files, and guests of other kinds, by one system call a turn.
//!
//! A loop's thread submits, sleeps and reaps here, and nobody else does: what was submitted goes to the kernel with the call
//! that also waits. Guests (sockets, say) stage and reap operations of their own, whose `user_data` has [`GUEST`] in it.
//!
//! Reaping and finishing are apart: while the loop sleeps, what it hears of would wake it by its doorbell; it is the one who
//! reaps, and finishes when it is awake. What has ended lies here until it is taken (`ended.rs`).

use super::Submission;
use super::ended::Ended;
use super::payload::Outcome;
use super::request::{Request, Target, Verdict};
use super::ring_core::{Beside, FOREIGN, RingCore, Table};
use super::slots::{Key, Slots};
use crate::counters::{Counters, Event, Kind};
use crate::driver::uring::sockets::Staged;
use crate::driver::uring::{Completion, Entered, Ring, Stay};
use crate::errno::Errno;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// The bits that each guest's `user_data` has; the others are the guest's.
pub(crate) const GUEST: u64 = FOREIGN;

/// The ring, with the requests that are on it.
pub(crate) struct LoopRing<P> {
    core: RingCore<P, Ended<P>>,
    beside: Beside,
    slots: Arc<Table<P>>,
    /// Requests that the kernel is done with, and that are not finished.
    held: VecDeque<Completion>,
}

impl<P: Send + 'static> LoopRing<P> {
    /// A ring of the calling thread's.
    ///
    /// # Errors
    /// What io_uring is refused with, and EMFILE, ENFILE, ENOMEM.
    pub(crate) fn new() -> Result<LoopRing<P>, Errno> {
        let slots = Arc::new(Slots::new(std::process::id()));
        let mut ring = Ring::new()?;
        ring.spare_from_signals();
        let (core, beside) = RingCore::with_threads(ring, Arc::clone(&slots), None)?;
        Ok(LoopRing { core, beside, slots, held: VecDeque::new() })
    }

    /// For what guests register.
    pub(crate) fn ring(&self) -> &Ring {
        self.core.ring()
    }

    /// Stages an operation of a guest's. False if the submission queue is full.
    ///
    /// # Safety
    /// As [`Ring::stage_socket`].
    pub(crate) unsafe fn stage_guest(&mut self, staged: &Staged) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.core.ring_mut().stage_socket(staged) }
    }

    /// How many entries are staged.
    pub(crate) fn staged(&mut self) -> usize {
        self.core.ring_mut().staged()
    }

    /// Whether a turn would find something to do, or hand something over.
    pub(crate) fn has_news(&mut self) -> bool {
        self.core.ring().has_news() || self.has_finished() || self.core.has_more() || self.staged() > 0
    }

    /// Whether the kernel or a thread is done with requests of which [`LoopRing::finish`] has not heard.
    pub(crate) fn has_finished(&self) -> bool {
        !self.held.is_empty() || self.beside.answers.has_any()
    }

    /// What a sleep needs is staged.
    pub(crate) fn prepare_sleep(&mut self) {
        if !self.core.is_idle() {
            // A thread's answer from now on ends the sleep.
            self.core.arm();
        }
    }

    /// Hands over what is staged, and stays as long as `stay` says, unless requests have ended;
    /// [`LoopRing::prepare_sleep`] comes before a stay. Guests then reap by [`LoopRing::next`] until there is nothing more.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)` that do not pass.
    pub(crate) fn enter(&mut self, stay: Stay<'_>) -> Result<Entered, Errno> {
        self.core.ends().publish();
        if self.has_finished() || self.core.has_more() {
            return self.core.try_enter(Stay::No).map(|_| Entered::Awake);
        }
        self.core.try_enter(stay)
    }

    /// The next completion of a guest's; those of requests are held.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Completion> {
        if let Some(completion) = self.core.next_foreign() {
            return Some(completion);
        }
        loop {
            let completion = self.core.ring_mut().reap()?;
            if completion.user_data >= GUEST {
                return Some(completion);
            }
            self.held.push_back(completion);
        }
    }

    /// Lets requests end that the kernel, or a thread, is done with.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.has_finished() {
            self.finish_held();
        }
    }

    /// Whether there are requests to take.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.core.ends_ref().len() > 0
    }

    /// Takes the request that has ended first.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<(P, Outcome)> {
        self.core.ends().take()
    }

    /// How many requests have not ended, or were not taken.
    pub(crate) fn outstanding(&self) -> usize {
        self.core.live() + self.core.ends_ref().len()
    }

    /// A request has ended without coming here.
    pub(crate) fn ended(&mut self, kind: Kind, outcome: Outcome, started: Option<Instant>, payload: P) {
        self.core.ends().add(kind, outcome, started, payload);
    }

    fn finish_held(&mut self) {
        self.core.take_answers(&self.beside.answers);
        while let Some(completion) = self.held.pop_front() {
            self.core.completed(completion);
        }
        self.core.decide();
        self.core.ends().publish();
    }

    /// Takes a request over. It goes to the kernel with the next turn.
    ///
    /// # Errors
    /// EAGAIN when too many requests are in flight, with the payload.
    ///
    /// # Safety
    /// What the operation points to stays valid until the payload was taken, or was dropped with this.
    pub(crate) unsafe fn submit(&mut self, submission: Submission<P>) -> Result<Key, (Errno, P)> {
        let Submission { operation, before, started, payload } = submission;
        let Some(key) = self.slots.take() else {
            Counters::current().event(Event::LimitHit);
            return Err((Errno::AGAIN, payload));
        };
        // SAFETY: the slot was taken just now.
        if let Some(body) = unsafe { self.slots.body(key) } {
            *body = Some(Request::new(operation, payload, before, started));
        }
        self.core.ends().accepted(operation.kind());
        self.core.accept(key);
        Ok(key)
    }

    /// Cancels, and returns when that is decided.
    pub(crate) fn cancel(&mut self, target: Target) -> Verdict {
        self.finish();
        self.core.cancel_now(target)
    }

    /// From now on a request that was done in part ends with that part, and none is begun again.
    pub(crate) fn begin_end(&mut self) {
        self.core.begin_end();
    }

    /// Cancels what can be cancelled, and waits for the rest. Guests have nothing in flight any more. False if that cannot be,
    /// and the kernel goes on with it.
    pub(crate) fn drain(&mut self) -> bool {
        self.begin_end();
        self.finish_held();
        self.core.cancel_everything();
        while !self.core.is_idle() {
            self.core.arm();
            self.finish_held();
            let stay = if self.has_finished() || self.core.is_idle() { Stay::No } else { Stay::UntilCompletion };
            if self.core.try_enter(stay).is_err() {
                return false;
            }
            self.core.reap();
        }
        self.core.ends().publish();
        self.beside.threads.stop();
        // The kernel may keep the ring for longer than we do, and must not wait for a word that is gone.
        self.core.disarm()
    }

    /// The kernel goes on with what it has: that memory is never freed.
    pub(crate) fn leak(&mut self) {
        mem::forget((Arc::clone(&self.slots), Arc::clone(&self.beside.doorbell)));
    }
}
