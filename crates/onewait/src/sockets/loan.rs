//! Buffers on loan: what was received, and how its buffer comes back.
//!
//! A buffer lives in a [`Loan`] all its life, which also knows where it belongs: lending it and giving it back allocates
//! nothing and counts nothing. Those that were given back are a stack, whose head is one word:
//!
//! ```text
//!                  look: nothing there
//!            EMPTY ────────────────────▶ AWAITED          the giver who ends AWAITED wakes
//!              │ ▲                          │
//!         give │ │ collect             give │ and wake
//!              ▼ │                          │
//!        a stack of loans ◀─────────────────┘             each ── the pool ends ──▶ CLOSED
//! ```
//!
//! Ownership: a loan is the pool's, then whoever's that has the [`Received`], then the stack's. A loan in the stack keeps the
//! stack alive; the end of the pool takes them out.

use crate::face::Buffer;
use eventpoll::Waker;
use std::ffi::c_void;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What was received, in a buffer that goes back to where it came from when this is dropped: so do it soon. While many are
/// kept, receives wait.
pub struct Received(Option<Box<Loan>>);

/// A buffer, and its home.
pub(super) struct Loan {
    pub(super) buffer: Buffer,
    home: Arc<Home>,
    /// The next in the stack. Of no meaning elsewhere.
    next: *mut Loan,
}

// SAFETY: `next` is used by the owner of the stack only, who owns all that are in it; of the rest see below.
unsafe impl Send for Loan {}
// SAFETY: shared, only the buffer can be read.
unsafe impl Sync for Loan {}

const _: () = {
    const fn goes_to_any_thread<T: Send + Sync>() {}
    goes_to_any_thread::<Buffer>();
    goes_to_any_thread::<Arc<Home>>();
};

/// Where loans come back to, from any thread. One thread at a time takes from it: the pool's.
struct Home {
    /// One of the words below, or the first loan, which is owned with all that follow it. Release when a loan is pushed,
    /// Acquire when they are taken.
    head: AtomicPtr<Loan>,
    waker: Waker,
}

const EMPTY: *mut Loan = ptr::null_mut();
/// There is none, and somebody waits for one.
const AWAITED: *mut Loan = ptr::without_provenance_mut(1);
/// Nobody takes them any more.
const CLOSED: *mut Loan = ptr::without_provenance_mut(2);

fn is_loan(head: *mut Loan) -> bool {
    !(head == EMPTY || head == AWAITED || head == CLOSED)
}

/// The pool's side: it makes loans, and takes those that were given back.
pub(super) struct Lender(Arc<Home>);

impl Received {
    /// No bytes.
    pub(super) fn nothing() -> Received {
        Received(None)
    }

    pub(super) fn new(loan: Box<Loan>) -> Received {
        Received(Some(loan))
    }

    /// As an address, for languages that have no such types; null for no bytes. The bytes stay where they are, and the buffer
    /// does not come back before [`Received::from_raw`].
    #[must_use]
    pub fn into_raw(mut self) -> *mut c_void {
        self.0.take().map_or(ptr::null_mut(), |loan| Box::into_raw(loan).cast())
    }

    /// From the address that [`Received::into_raw`] gave.
    ///
    /// # Safety
    /// It is null, or such an address, for the first time.
    #[must_use]
    pub unsafe fn from_raw(address: *mut c_void) -> Received {
        // SAFETY: made from a box by `into_raw`, and the caller's alone.
        Received((!address.is_null()).then(|| unsafe { Box::from_raw(address.cast()) }))
    }
}

impl Deref for Received {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |loan| &loan.buffer)
    }
}

impl DerefMut for Received {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |loan| &mut loan.buffer)
    }
}

impl Drop for Received {
    #[inline]
    fn drop(&mut self) {
        if let Some(loan) = self.0.take() {
            give_back(loan);
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.len())
    }
}

fn give_back(loan: Box<Loan>) {
    let loan = Box::into_raw(loan);
    // SAFETY: the loan is ours, and keeps its home, until the exchange that gives it away has succeeded.
    let home = unsafe { &*Arc::as_ptr(&(*loan).home) };
    let mut first = home.head.load(Ordering::Relaxed);
    loop {
        if first == CLOSED {
            // SAFETY: made from a box above, and not given away.
            return drop(unsafe { Box::from_raw(loan) });
        }
        // After the exchange the pool may end, and with it the home: what wakes has to be at hand before.
        let waker = (first == AWAITED).then(|| home.waker.clone());
        // SAFETY: as above.
        unsafe { (*loan).next = first };
        match home.head.compare_exchange_weak(first, loan, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return waker.iter().for_each(Waker::wake),
            Err(other) => first = other,
        }
    }
}

impl Lender {
    /// The waker is for whoever found nothing to take.
    pub(super) fn new(waker: Waker) -> Lender {
        Lender(Arc::new(Home { head: AtomicPtr::new(EMPTY), waker }))
    }

    /// A new loan, not lent yet.
    pub(super) fn make(&self, buffer: Buffer) -> Box<Loan> {
        Box::new(Loan { buffer, home: Arc::clone(&self.0), next: EMPTY })
    }

    /// All that were given back, the last one first.
    #[inline]
    pub(super) fn collect(&mut self) -> Loans {
        // Nobody but us takes any: what is there stays.
        if !is_loan(self.0.head.load(Ordering::Relaxed)) {
            return Loans::default();
        }
        Loans(self.0.head.swap(EMPTY, Ordering::Acquire))
    }

    /// Whether there is none: then whoever gives one back from now on wakes us.
    pub(super) fn awaits(&mut self) -> bool {
        let found = self.0.head.compare_exchange(EMPTY, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        matches!(found, Ok(_) | Err(AWAITED))
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        drop(Loans(self.0.head.swap(CLOSED, Ordering::Acquire)));
    }
}

impl fmt::Debug for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lender").finish_non_exhaustive()
    }
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loan({} of {} bytes)", self.buffer.len(), self.buffer.capacity())
    }
}

/// Loans that are owned here, the last one first: what was taken from the stack, or was not lent.
pub(super) struct Loans(*mut Loan);

// SAFETY: it owns them.
unsafe impl Send for Loans {}

impl Loans {
    #[inline]
    pub(super) fn push(&mut self, mut loan: Box<Loan>) {
        loan.next = self.0;
        self.0 = Box::into_raw(loan);
    }
}

impl Default for Loans {
    fn default() -> Loans {
        Loans(EMPTY)
    }
}

impl Iterator for Loans {
    type Item = Box<Loan>;

    #[inline]
    fn next(&mut self) -> Option<Box<Loan>> {
        if !is_loan(self.0) {
            return None;
        }
        // SAFETY: made from a box by `push` or `give_back`, and owned by us since then, or since the stack was taken.
        let loan = unsafe { Box::from_raw(self.0) };
        self.0 = loan.next;
        Some(loan)
    }
}

impl Drop for Loans {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for Loans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loans").finish_non_exhaustive()
    }
}
