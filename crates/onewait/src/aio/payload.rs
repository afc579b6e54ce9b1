//! What a face attaches to a request, and how it learns of the end.

use crate::errno::Errno;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a request ended: the bytes transferred (or the poll mask, or 0), or the error.
pub type Outcome = Result<usize, Errno>;

/// What belongs to a request but means nothing to the engine: a control block, a buffer, where to report.
pub trait Payload: Send + 'static {
    /// The request has ended. Called exactly once for every request that was submitted, from whatever thread saw the end;
    /// on the engine's threads it must not wait for anything, and must not submit.
    ///
    /// `waiters` tells who sleeps until then. It is to be asked after the end was published, where [`Waiters`] says how.
    fn complete(self, outcome: Outcome, waiters: &Waiters);
}

/// Marks that waiting threads leave on a request, so that its end can wake just them.
///
/// The protocol: a waiter marks, then looks whether the end was published, then sleeps. The completer publishes, then
/// takes the marks. Both use sequentially consistent accesses, so one of the two sees the other.
#[derive(Debug)]
#[repr(transparent)]
pub struct Waiters(AtomicU32);

impl Waiters {
    pub(crate) fn of(word: &AtomicU32) -> &Waiters {
        // SAFETY: `Waiters` is a transparent wrapper.
        unsafe { &*std::ptr::from_ref(word).cast::<Waiters>() }
    }

    /// Leaves a mark: any bits that the face has given a meaning.
    #[inline]
    pub fn mark(&self, bits: u32) {
        self.0.fetch_or(bits, Ordering::SeqCst);
    }

    /// The marks that were left.
    #[inline]
    pub fn marks(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}
