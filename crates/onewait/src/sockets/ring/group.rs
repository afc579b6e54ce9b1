//! Buffers that the kernel has: those for bytes are one group, those for messages another.

use crate::driver::uring::Ring;
use crate::driver::uring::buffers::BufferRing;
use crate::errno::Errno;
use crate::sockets::loan::Loan;
use crate::sockets::supply::{Content, Supplies};

/// The buffers of one group, which the kernel takes from when something has come.
pub(super) struct Group {
    content: Content,
    ring: BufferRing,
    /// Those that the kernel has, by number.
    given: Vec<Option<Box<Loan>>>,
    free_numbers: Vec<u16>,
    /// So many the kernel is to have.
    target: usize,
    /// Somebody has received: before, the kernel has no buffers.
    pub(super) is_used: bool,
}

impl Group {
    /// # Errors
    /// As [`BufferRing::register`].
    ///
    /// # Safety
    /// The ring is dropped before this is.
    pub(super) unsafe fn register(ring: &Ring, content: Content) -> Result<Group, Errno> {
        let (entries, target) = sizes(content);
        // SAFETY: passed on to the caller.
        let ring = unsafe { BufferRing::register(ring, entries, number(content))? };
        Ok(Group {
            content,
            ring,
            given: (0..entries).map(|_| None).collect(),
            free_numbers: (0..entries).rev().collect(),
            target,
            is_used: false,
        })
    }

    /// The kernel gets the buffers that it is to have. Whether it has any.
    pub(super) fn feed(&mut self, supplies: &mut Supplies) -> bool {
        if !self.is_used {
            return false;
        }
        let has = self.given.len() - self.free_numbers.len();
        let mut added = 0;
        while has + added < self.target {
            let is_awaited = has + added == 0 && !supplies.of(self.content).starved.is_empty();
            let loan = if is_awaited { supplies.take(self.content) } else { supplies.take_if_any(self.content) };
            let Some(loan) = loan else { break };
            let Some(number) = self.free_numbers.pop() else {
                supplies.of(self.content).pool.give(loan);
                break;
            };
            // SAFETY: there are as many numbers as entries. The buffer is kept in `given` until the kernel gives it back.
            unsafe { self.ring.add(loan.buffer.address(), loan.buffer.capacity() as u32, number) };
            self.given[usize::from(number)] = Some(loan);
            added += 1;
        }
        if added > 0 {
            self.ring.publish();
        }
        has + added > 0
    }

    /// The kernel has given this one back.
    #[inline]
    pub(super) fn take_back(&mut self, number: u16) -> Option<Box<Loan>> {
        self.free_numbers.push(number);
        self.given.get_mut(usize::from(number))?.take()
    }

    /// They have run out: there are to be more.
    pub(super) fn grow(&mut self) {
        self.target = (self.target * 2).min(self.given.len());
    }

    /// The kernel goes on with what it has: that memory is never freed.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.given));
        self.ring.leak();
    }
}

/// What the kernel knows a group by.
pub(super) fn number(content: Content) -> u16 {
    match content {
        Content::Bytes => 0,
        Content::Messages => 1,
    }
}

/// How many buffers the kernel can have, a power of two, and how many it has at first: it gets more when they run out.
///
/// Measured for bytes with 32, 64 and 256: an echo costs 0.97, 1.01 and 0.98 of a bare loop on epoll with 64 connections,
/// and 0.98, 1.02 and 0.92 with a thousand. Those for messages are sixteen times as large.
fn sizes(content: Content) -> (u16, usize) {
    match content {
        Content::Bytes => (1024, 256),
        Content::Messages => (256, 16),
    }
}
