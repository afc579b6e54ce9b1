//! What sockets receive into: a supply of buffers for bytes, and one for messages.
//!
//! Bytes come in parts of any length, so their buffers are small, and follow what comes. Of a message what does not fit is
//! lost, and nobody knows the next one's length: so messages have the largest buffers from the first on. Few of these are in
//! use at a time, and of a large one a short message touches a page.

use super::id::SocketId;
use super::loan::Loan;
use super::pool::{LARGEST, Pool, SMALLEST};
use crate::sys::socket::SocketKind;
use eventpoll::Waker;
use std::collections::VecDeque;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bytes,
    Messages,
}

impl Content {
    pub(super) const ALL: [Content; 2] = [Content::Bytes, Content::Messages];

    /// What such a socket receives.
    #[inline]
    pub(super) fn of(kind: SocketKind) -> Content {
        match kind {
            SocketKind::Stream => Content::Bytes,
            SocketKind::Sequence | SocketKind::Datagrams => Content::Messages,
        }
    }
}

/// Buffers, and who waits for one.
#[derive(Debug)]
pub(super) struct Supply {
    pub(super) pool: Pool,
    /// Sockets that found no buffer to receive into, each once; some may have left since.
    pub(super) starved: VecDeque<SocketId>,
}

/// Those of a reactor's sockets.
#[derive(Debug)]
pub(super) struct Supplies {
    pub(super) bytes: Supply,
    pub(super) messages: Supply,
}

impl Supplies {
    /// All buffers may have so many bytes, those for messages half of them. The waker ends the wait of whoever found no
    /// buffer.
    pub(super) fn new(memory: usize, waker: Waker) -> Supplies {
        let supply = |pool| Supply { pool, starved: VecDeque::new() };
        Supplies {
            bytes: supply(Pool::new(SMALLEST, memory, memory, waker.clone())),
            messages: supply(Pool::new(LARGEST, memory / 2, memory, waker)),
        }
    }

    #[inline]
    pub(super) fn of(&mut self, content: Content) -> &mut Supply {
        match content {
            Content::Bytes => &mut self.bytes,
            Content::Messages => &mut self.messages,
        }
    }

    /// Whether somebody waits for a buffer.
    pub(super) fn is_awaited(&self) -> bool {
        !self.bytes.starved.is_empty() || !self.messages.starved.is_empty()
    }

    /// As [`Pool::take`].
    #[inline]
    pub(super) fn take(&mut self, content: Content) -> Option<Box<Loan>> {
        let (pool, other) = self.pools(content);
        pool.take(other)
    }

    /// As [`Pool::take_if_any`].
    #[inline]
    pub(super) fn take_if_any(&mut self, content: Content) -> Option<Box<Loan>> {
        let (pool, other) = self.pools(content);
        pool.take_if_any(other)
    }

    /// The one for this, and the other.
    #[inline]
    fn pools(&mut self, content: Content) -> (&mut Pool, &Pool) {
        match content {
            Content::Bytes => (&mut self.bytes.pool, &self.messages.pool),
            Content::Messages => (&mut self.messages.pool, &self.bytes.pool),
        }
    }
}
