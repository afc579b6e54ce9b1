//! A request of any C face inside the engine, which they share: so an `fsync` of the one covers writes of the other.

use crate::libaio::LibaioRequest;
use crate::posix_aio::PosixRequest;
use onewait::aio::{Outcome, Payload, Waiters};

/// Whose request it is.
pub(crate) enum FaceRequest {
    /// Of `<aio.h>`.
    Posix(PosixRequest),
    /// Of libaio.
    Libaio(LibaioRequest),
}

impl Payload for FaceRequest {
    fn complete(self, outcome: Outcome, waiters: &Waiters) {
        match self {
            FaceRequest::Posix(request) => request.complete(outcome, waiters),
            FaceRequest::Libaio(request) => request.complete(outcome, waiters),
        }
    }
}
