//! What comes back.

use super::aio::{Aio, EngineNumber};
use super::buffer::Buffer;
use super::descriptor::Descriptor;
use super::request::{PollEvents, Request};
use crate::aio::{Key, Outcome, Verdict};
use crate::errno::Errno;
use std::fmt;
use std::io;

/// A request that has ended, with everything that it took.
#[derive(Debug)]
#[must_use = "it holds the request's buffer and its error"]
pub struct Completion {
    /// The token of the request.
    pub token: u64,
    /// How it ended: bytes transferred, for a poll the events, 0 for the others; or the error, as [`Request`] lists them.
    pub result: Outcome,
    /// The buffer of a read or write; an empty one for all others.
    pub buffer: Buffer,
    /// The buffers of a vectored read or write, in their order; none for all others.
    pub buffers: Vec<Buffer>,
    /// Keeps the last clone of a descriptor out of the engine's threads: closing can take its time.
    pub(super) _descriptor: Option<Descriptor>,
}

impl Completion {
    /// The events that a poll has found; none if it failed. Means nothing for other requests.
    pub fn events(&self) -> PollEvents {
        PollEvents::from_bits(self.result.unwrap_or(0) as u16)
    }
}

/// Names a submitted request, to cancel it by. It means nothing any more, and does no harm, once the request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestHandle {
    /// `None` if the request ended in the very call that submitted it.
    pub(super) key: Option<Key>,
    /// Of whom it is.
    pub(super) engine: EngineNumber,
}

impl RequestHandle {
    /// As a number, for languages that have no such types. 0: the request ended in the call that submitted it.
    pub fn to_bits(self) -> u64 {
        self.key.map_or(0, Key::to_bits)
    }

    /// From the number of a handle of this engine's. Any other number names no request.
    pub fn from_bits(aio: &Aio, bits: u64) -> RequestHandle {
        RequestHandle { key: (bits != 0).then(|| Key::from_bits(bits)), engine: aio.shared.number }
    }
}

/// What came of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelVerdict {
    /// Cancelled: the completions, with ECANCELED, are in their queues already.
    Cancelled,
    /// At least one request could not be stopped, and will complete as if nothing had happened: it is with the disk, say.
    NotCancelled,
    /// There was nothing to cancel: all have ended before.
    AllDone,
}

impl From<Verdict> for CancelVerdict {
    fn from(verdict: Verdict) -> CancelVerdict {
        match verdict {
            Verdict { survived: true, .. } => CancelVerdict::NotCancelled,
            Verdict { cancelled: true, .. } => CancelVerdict::Cancelled,
            Verdict { .. } => CancelVerdict::AllDone,
        }
    }
}

/// A request that was not submitted: nothing of it was done, and here it is again.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub errno: Errno,
    /// The request as it was, with its buffers.
    pub request: Request,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request was refused: {}", self.errno)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}

/// Drops the request.
impl From<Refused> for io::Error {
    fn from(refused: Refused) -> io::Error {
        refused.errno.into()
    }
}
