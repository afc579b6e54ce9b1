//! Buffers that sockets receive into: few, so that they stay in the processor's cache, and none for who is idle.
//!
//! Measured: 256 buffers of 4 KiB cost 10 to 20 % less a request than 4096, and buffers smaller than the messages seven
//! times as much. So there are as many as are in use at a time, and their size follows what comes, unless these are messages
//! (`supply.rs`).

use super::loan::{Lender, Loan, Loans, Received};
use crate::face::Buffer;
use eventpoll::Waker;

/// Bytes of a buffer.
pub(super) const SMALLEST: usize = 4 << 10;
pub(super) const LARGEST: usize = 64 << 10;
/// So many of [`SHORT_WINDOW`] receives that fill their buffers make these larger.
const FULL_ONES: u32 = 4;
const SHORT_WINDOW: u32 = 16;
/// In so many receives none may need a quarter of its buffer before these become smaller.
const LONG_WINDOW: u32 = 1024;
/// Whatever the limit of memory, so many buffers there may be.
const LEAST_COUNT: usize = 16;

/// Buffers of one reactor's sockets.
#[derive(Debug)]
pub(super) struct Pool {
    /// The last used is the first to be used again.
    free: Loans,
    lender: Lender,
    /// Of a new buffer, in bytes. Buffers of another size are replaced when they come back.
    size: usize,
    /// How many there are, lent ones included.
    count: usize,
    /// How many bytes all may have.
    most: usize,
    /// How many bytes these and those of the other pool may have.
    memory: usize,
    seen: u32,
    full: u32,
    longest: usize,
}

impl Pool {
    /// Of buffers that have this size at first. The waker ends the wait of whoever found no buffer.
    pub(super) fn new(size: usize, most: usize, memory: usize, waker: Waker) -> Pool {
        let lender = Lender::new(waker);
        Pool { free: Loans::default(), lender, size, count: 0, most, memory, seen: 0, full: 0, longest: 0 }
    }

    /// An empty buffer for whoever waits for one; `None` while the limit's worth of them is lent: then the next that is given
    /// back ends the reactor's sleep.
    pub(super) fn take(&mut self, other: &Pool) -> Option<Box<Loan>> {
        loop {
            let loan = self.take_if_any(other);
            if loan.is_some() || self.lender.awaits() {
                return loan;
            }
        }
    }

    /// The same for nobody in particular: nobody is told.
    #[inline]
    pub(super) fn take_if_any(&mut self, other: &Pool) -> Option<Box<Loan>> {
        self.take_free().or_else(|| {
            self.free = self.lender.collect();
            self.take_free().or_else(|| self.make(other))
        })
    }

    #[inline]
    fn take_free(&mut self) -> Option<Box<Loan>> {
        for mut loan in &mut self.free {
            if loan.buffer.capacity() == self.size {
                loan.buffer.clear();
                return Some(loan);
            }
            self.count -= 1;
        }
        None
    }

    #[cold]
    fn make(&mut self, other: &Pool) -> Option<Box<Loan>> {
        let room = self.most.min(self.memory.saturating_sub(other.count * other.size));
        if self.count >= (room / self.size).max(LEAST_COUNT) {
            return None;
        }
        self.count += 1;
        Some(self.lender.make(Buffer::with_capacity(self.size)))
    }

    /// Takes back a buffer that was not lent.
    #[inline]
    pub(super) fn give(&mut self, loan: Box<Loan>) {
        self.free.push(loan);
    }

    /// Lends a buffer, with what was received into it.
    #[inline]
    pub(super) fn lend(&mut self, loan: Box<Loan>) -> Received {
        self.learn(loan.buffer.len(), loan.buffer.capacity());
        Received::new(loan)
    }

    /// The same, but their size stays.
    #[inline]
    pub(super) fn lend_message(loan: Box<Loan>) -> Received {
        Received::new(loan)
    }

    fn learn(&mut self, length: usize, capacity: usize) {
        self.seen += 1;
        self.longest = self.longest.max(length);
        if length == capacity && capacity == self.size {
            self.full += 1;
        }
        if self.full >= FULL_ONES && self.size < LARGEST {
            self.resize(self.size * 2);
        } else if self.seen == LONG_WINDOW {
            let is_too_large = self.longest <= self.size / 4 && self.size > SMALLEST;
            self.resize(if is_too_large { self.size / 2 } else { self.size });
        } else if self.seen.is_multiple_of(SHORT_WINDOW) {
            self.full = 0;
        }
    }

    fn resize(&mut self, size: usize) {
        if size != self.size {
            self.size = size;
            self.count -= self.free.by_ref().count();
        }
        (self.seen, self.full, self.longest) = (0, 0, 0);
    }
}
