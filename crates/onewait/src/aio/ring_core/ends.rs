//! Where requests go that have ended.

use crate::aio::payload::{Payload, Waiters};
use crate::aio::request::Request;

/// Takes requests over that have ended.
pub(in crate::aio) trait Ends<P>: Default {
    /// `result` is the last answer of the driver's. `waiters` is `None` if the slot is not the request's any more.
    fn end(&mut self, request: Request<P>, result: i32, waiters: Option<&Waiters>);
}

/// Their payloads are told.
#[derive(Default)]
pub(crate) struct Tell;

impl<P: Payload> Ends<P> for Tell {
    fn end(&mut self, request: Request<P>, result: i32, waiters: Option<&Waiters>) {
        request.end(result, waiters);
    }
}
