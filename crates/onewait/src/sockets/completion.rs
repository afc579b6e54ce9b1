//! What comes back.

use super::id::SocketId;
use super::loan::Received;
use super::outgoing::Outgoing;
use crate::errno::Errno;
use std::fmt;

/// Something that has happened to a socket because it was asked for.
#[derive(Debug)]
#[must_use = "it holds what was received, or the bytes of a send, or an error"]
pub struct SocketCompletion {
    /// The token of the call that asked for it.
    pub token: u64,
    /// Of which socket. In the last completion after a [`close`](super::Sockets::close) it names nothing any more.
    pub socket: SocketId,
    /// What has happened.
    pub outcome: SocketOutcome,
    /// Nothing else follows from that call. Accepting and receiving go on by themselves until they fail, the other side
    /// ends, or they are stopped.
    pub is_last: bool,
}

/// What has happened.
#[derive(Debug)]
pub enum SocketOutcome {
    /// A connection came, and is a socket here; or why not. EMFILE and ENFILE: there are too many descriptors, and some
    /// connections that waited were accepted and closed, so that their clients know; accepting goes on. ECANCELED: it was
    /// stopped, or closed. Others as `accept(2)` says.
    Accepted(Result<SocketId, Errno>),
    /// The connection is there; or why not, as `connect(2)` says.
    Connected(Result<(), Errno>),
    /// Bytes, or a message; no bytes: the other side has sent its last, unless it is a datagram. EMSGSIZE: a message was
    /// longer than 64 KiB, and is lost; receiving goes on. Other errors as `recv(2)` says, and ECANCELED.
    Received(Result<Received, Errno>),
    /// All bytes were given to the socket, and are here again; or why not, as `send(2)` says: EPIPE or ECONNRESET if the
    /// other side is gone, ECANCELED if the socket was closed. Some may have been sent.
    Sent(Result<(), Errno>, Outgoing),
}

/// A send that was refused: nothing of it was done, and here are the bytes again.
#[derive(Debug)]
pub struct Unsent {
    /// EBADF: there is no such socket. EAGAIN: too many sends are in flight, or were not taken. EEXIST: the sockets belong
    /// to another thread. ECHILD: in the child of a fork.
    pub errno: Errno,
    /// What was to be sent.
    pub bytes: Outgoing,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the send was refused: {}", self.errno)
    }
}

impl std::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}

/// Drops the bytes.
impl From<Unsent> for std::io::Error {
    fn from(unsent: Unsent) -> std::io::Error {
        unsent.errno.into()
    }
}
