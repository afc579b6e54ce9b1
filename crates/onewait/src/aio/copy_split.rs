//! Who copies between the program and the page cache: the thread that submits a request, or the copier beside it.
//!
//! Neither is always better. A program that has many requests in flight is served faster by two processors; one that waits
//! for each is not, nor one whose other threads, or whose neighbours, need the second processor. So both are tried now and
//! then ([`Trial`]), and what was faster is done.

use super::copy_trial::Trial;
use super::inbox::Inbox;
use crate::sys::{self, Wait};
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// So many requests the copier has at a time; further ones are the submitter's. Enough to keep it busy, and few enough to
/// be waited for.
const BACKLOG: u32 = 8;

/// Longer ones the submitter copies itself: they would be waited for too long.
const LONGEST: u32 = 64 * 1024;

/// How often a thread that waits for the copier looks before it sleeps.
const PATIENCE: u32 = 1000;

/// On a cache line of its own: its neighbours are written by other threads.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart(AtomicU32);

/// Who copies what in an engine. Counts wrap around.
#[derive(Debug)]
pub struct CopySplit {
    trial: Trial,
    /// Requests handed to the copier, which also counts them.
    pub(super) inbox: Inbox,
    /// Requests that the copier has ended, in the order in which they were handed over; written by the copier. Those
    /// who wait for it sleep here.
    done: Apart,
    /// How many do.
    sleepers: Apart,
}

impl CopySplit {
    pub(super) fn new() -> CopySplit {
        let (done, sleepers) = (Apart::default(), Apart::default());
        CopySplit { trial: Trial::new(), inbox: Inbox::new(), done, sleepers }
    }

    /// Where nobody copies but the submitter.
    pub(crate) fn without_copier() -> CopySplit {
        let split = CopySplit::new();
        split.give_up();
        split
    }

    /// Whether a request for so many bytes is one for the copier.
    #[inline]
    pub(super) fn is_for_copier(&self, length: u32) -> bool {
        length <= LONGEST && self.trial.next(length) && self.backlog() < BACKLOG
    }

    /// Whether the copier is to get all that it can take, likely or not to be in the page cache: for tests.
    #[inline]
    pub(super) fn is_forced(&self) -> bool {
        self.trial.is_forced
    }

    /// There is no copier to be had.
    pub(super) fn give_up(&self) {
        self.trial.give_up();
    }

    #[inline]
    fn backlog(&self) -> u32 {
        self.inbox.pushed().wrapping_sub(self.done.0.load(Ordering::SeqCst))
    }

    /// The copier has ended one.
    #[inline]
    pub(super) fn one_done(&self) {
        self.done.0.fetch_add(1, Ordering::SeqCst);
        // SeqCst: who sleeps has counted itself before it looked at `done` for the last time.
        if self.sleepers.0.load(Ordering::SeqCst) != 0 {
            sys::futex_wake(self.done.0.as_ptr() as usize, i32::MAX);
        }
    }

    /// Sees to it that the copier is at work if it has any. Async-signal-safe.
    #[inline]
    pub(super) fn poll(&self) {
        self.inbox.wake_if_pending();
    }

    /// Looks again and again, while the copier is at work and for some microseconds at most, whether `is_done`.
    #[inline]
    pub(super) fn watch(&self, mut is_done: impl FnMut() -> bool) -> bool {
        for _ in 0..PATIENCE {
            if self.backlog() == 0 {
                break;
            }
            if is_done() {
                return true;
            }
            hint::spin_loop();
        }
        is_done()
    }

    /// Waits until the copier has ended what was handed to it before the call. Async-signal-safe.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Wait {
        let last = self.inbox.pushed();
        // After that: every push that is waited for is told of then, whoever was interrupted in it.
        self.poll();
        let is_done = |done: u32| last.wrapping_sub(done) as i32 <= 0;
        if self.watch(|| is_done(self.done.0.load(Ordering::SeqCst))) {
            return Wait::Woken;
        }
        let deadline = match deadline.map(sys::monotonic) {
            Some(None) => return Wait::TimedOut,
            deadline => deadline.flatten(),
        };
        self.sleepers.0.fetch_add(1, Ordering::SeqCst);
        let wait = loop {
            let done = self.done.0.load(Ordering::SeqCst);
            if is_done(done) {
                break Wait::Woken;
            }
            match sys::futex_wait(&self.done.0, done, deadline.as_ref()) {
                Wait::Woken => {}
                wait => break wait,
            }
        };
        self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
        wait
    }

    /// The same, whatever signals come.
    pub(super) fn drain(&self) {
        while self.wait(None) == Wait::Interrupted {}
    }
}
