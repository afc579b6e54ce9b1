//! What is to be sent, in its order.

use super::loan::Received;
use crate::face::Buffer;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that a send owns while it is in flight, and that its completion gives back: of one's own, shared with others, or
/// such as were [received](Received).
pub enum Outgoing {
    /// As it was received.
    Received(Received),
    /// All bytes that the buffer holds.
    Buffer(Buffer),
    /// All of the vector.
    Owned(Vec<u8>),
    /// Shared: one message for many sockets.
    Shared(Arc<[u8]>),
    /// Part of the program.
    Static(&'static [u8]),
}

impl Deref for Outgoing {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Outgoing::Received(bytes) => bytes,
            Outgoing::Buffer(bytes) => bytes,
            Outgoing::Owned(bytes) => bytes,
            Outgoing::Shared(bytes) => bytes,
            Outgoing::Static(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({} bytes)", self.len())
    }
}

macro_rules! outgoing {
    ($($type:ty => $kind:ident),+ $(,)?) => {$(
        impl From<$type> for Outgoing {
            fn from(bytes: $type) -> Outgoing {
                Outgoing::$kind(bytes)
            }
        }
    )+};
}

outgoing!(
    Received => Received,
    Buffer => Buffer,
    Vec<u8> => Owned,
    Arc<[u8]> => Shared,
    &'static [u8] => Static,
);

impl<const N: usize> From<&'static [u8; N]> for Outgoing {
    fn from(bytes: &'static [u8; N]) -> Outgoing {
        Outgoing::Static(bytes)
    }
}

/// A send that has not ended.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) bytes: Outgoing,
    /// So many of them are sent.
    pub(super) sent: usize,
    pub(super) token: u64,
}

const NONE: u32 = u32::MAX;

/// The sends of one socket, the first one first: places in [`Sends`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    first: u32,
    last: u32,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { first: NONE, last: NONE }
    }
}

impl Chain {
    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// All sends of all sockets: an idle socket has no list of its own.
#[derive(Debug, Default)]
pub(super) struct Sends {
    /// `None`: free. The bytes lie elsewhere, and stay where they are when this grows.
    places: Vec<(Option<Sending>, u32)>,
    free: Vec<u32>,
}

impl Sends {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn push(&mut self, chain: &mut Chain, sending: Sending) {
        let new = (Some(sending), NONE);
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = new;
                place
            }
            None => {
                self.places.push(new);
                // Far fewer are allowed.
                (self.places.len() - 1) as u32
            }
        };
        match self.places.get_mut(chain.last as usize) {
            Some((_, next)) => *next = place,
            None => chain.first = place,
        }
        chain.last = place;
    }

    pub(super) fn first(&mut self, chain: Chain) -> Option<&mut Sending> {
        self.places.get_mut(chain.first as usize)?.0.as_mut()
    }

    pub(super) fn pop(&mut self, chain: &mut Chain) -> Option<Sending> {
        let (sending, next) = self.places.get_mut(chain.first as usize)?;
        let (sending, next) = (sending.take(), *next);
        self.free.push(chain.first);
        chain.first = next;
        if next == NONE {
            chain.last = NONE;
        }
        sending
    }
}
