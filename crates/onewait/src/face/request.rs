//! What can be asked for.

use super::buffer::Buffer;
use super::descriptor::Descriptor;
use crate::driver::operation::Code;
use std::ops::BitOr;

/// One thing to be done, with everything that it needs: its file, its buffers, and a token by which its completion is
/// known again. It does nothing until it is [submitted](crate::CompletionQueue::submit).
///
/// Offsets and lengths are in bytes. An offset means nothing on pipes, sockets and terminals, and on files opened with
/// O_APPEND a write goes to the end whatever it says. One request transfers up to 2 147 479 552 bytes (2 GiB less a page),
/// as `read(2)` does, and like it may transfer less than was asked for: at the end of the file, on a stream, when the
/// device is full.
///
/// # Errors
/// A request is never refused for what it asks. Its completion has the errno that the system call of the same name would
/// have given, among them:
/// EBADF (the descriptor is not open for this), EINVAL (O_DIRECT and not aligned; an offset beyond `i64::MAX`; more than
/// 1024 vectors; a [`skip`](Request::skip) beyond the buffer's length), EISDIR, EFBIG, ENOSPC, EDQUOT, EIO, EPIPE (without
/// SIGPIPE), ECANCELED; EAGAIN on a descriptor in O_NONBLOCK mode that is not ready: such a descriptor keeps its promise
/// never to wait, so take it out of that mode, or [`poll`](Request::poll) first.
#[derive(Debug)]
pub struct Request {
    pub(super) code: Code,
    pub(super) descriptor: Option<Descriptor>,
    pub(super) buffer: Buffer,
    pub(super) buffers: Vec<Buffer>,
    pub(super) offset: u64,
    pub(super) skip: usize,
    pub(super) at_most: usize,
    pub(super) events: PollEvents,
    pub(super) token: u64,
}

impl Request {
    fn new(code: Code) -> Request {
        Request {
            code,
            descriptor: None,
            buffer: Buffer::default(),
            buffers: Vec::new(),
            offset: 0,
            skip: 0,
            at_most: usize::MAX,
            events: PollEvents::default(),
            token: 0,
        }
    }

    fn on(code: Code, descriptor: &Descriptor) -> Request {
        Request { descriptor: Some(descriptor.clone()), ..Request::new(code) }
    }

    /// Reads from `offset` into the buffer's capacity: `pread(2)`. The result is the number of bytes, 0 at the end of the
    /// file; it becomes the buffer's length.
    pub fn read(descriptor: &Descriptor, buffer: impl Into<Buffer>, offset: u64) -> Request {
        Request { buffer: buffer.into(), offset, ..Request::on(Code::Read, descriptor) }
    }

    /// Writes the buffer's length to `offset`: `pwrite(2)`. The result is the number of bytes.
    ///
    /// On a blocking pipe or socket the request ends when all bytes are written, as `write(2)` does.
    pub fn write(descriptor: &Descriptor, buffer: impl Into<Buffer>, offset: u64) -> Request {
        Request { buffer: buffer.into(), offset, ..Request::on(Code::Write, descriptor) }
    }

    /// Reads from `offset` into the capacities of up to 1024 buffers, one after the other: `preadv(2)`. Their lengths
    /// become what each received.
    pub fn read_vectored(descriptor: &Descriptor, buffers: Vec<Buffer>, offset: u64) -> Request {
        Request { buffers, offset, ..Request::on(Code::ReadVectored, descriptor) }
    }

    /// Writes the lengths of up to 1024 buffers, one after the other, to `offset`: `pwritev(2)`. On a pipe or socket it may
    /// write only a part.
    pub fn write_vectored(descriptor: &Descriptor, buffers: Vec<Buffer>, offset: u64) -> Request {
        Request { buffers, offset, ..Request::on(Code::WriteVectored, descriptor) }
    }

    /// Makes the file's data and metadata durable: `fsync(2)`. Covers all writes to the file that were submitted before it
    /// on the same [`Aio`](crate::Aio): it begins when they have ended. Others are not held up by it.
    pub fn fsync(descriptor: &Descriptor) -> Request {
        Request::on(Code::Fsync, descriptor)
    }

    /// As [`fsync`](Request::fsync), with only as much metadata as it takes to read the data again: `fdatasync(2)`.
    pub fn fdatasync(descriptor: &Descriptor) -> Request {
        Request::on(Code::Fdatasync, descriptor)
    }

    /// Waits, once, until one of `events` is there: `poll(2)`. The completion's [`events`](crate::Completion::events) are
    /// those that are there then, with [`PollEvents::ERROR`] and [`PollEvents::HANGUP`] whether asked for or not. A regular
    /// file is always readable and writable.
    pub fn poll(descriptor: &Descriptor, events: PollEvents) -> Request {
        Request { events, ..Request::on(Code::Poll, descriptor) }
    }

    /// Does nothing, with the result 0: for instance to let a thread that waits on the queue know something.
    pub fn no_op() -> Request {
        Request::new(Code::Nop)
    }

    /// Sets the number that the completion will have; otherwise 0. It means nothing to the engine.
    #[must_use]
    pub fn token(self, token: u64) -> Request {
        Request { token, ..self }
    }

    /// Begins `bytes` into the buffer: a write leaves out its first bytes, a read keeps them. What is left after a short
    /// transfer is asked for in this way. More than the buffer's length ends in EINVAL. Not for vectored requests, which
    /// end in EINVAL too.
    #[must_use]
    pub fn skip(self, bytes: usize) -> Request {
        Request { skip: bytes, ..self }
    }

    /// Transfers no more than `bytes`, whatever the buffer's length or capacity. Not for vectored requests, which end in
    /// EINVAL.
    #[must_use]
    pub fn at_most(self, bytes: usize) -> Request {
        Request { at_most: bytes, ..self }
    }

    /// The buffer of a request that was not submitted, or refused; an empty one if it has none.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// The buffers of a vectored request that was not submitted, or refused; none if it is none.
    pub fn into_buffers(self) -> Vec<Buffer> {
        self.buffers
    }
}

/// What a descriptor can be ready for: the events of `poll(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PollEvents(u16);

impl PollEvents {
    /// There is something to read (POLLIN).
    pub const READABLE: PollEvents = PollEvents(libc::POLLIN as u16);
    /// There is room to write (POLLOUT).
    pub const WRITABLE: PollEvents = PollEvents(libc::POLLOUT as u16);
    /// Something exceptional, such as out-of-band data (POLLPRI).
    pub const PRIORITY: PollEvents = PollEvents(libc::POLLPRI as u16);
    /// The peer writes no more (POLLRDHUP).
    pub const PEER_CLOSED: PollEvents = PollEvents(libc::POLLRDHUP as u16);
    /// An error is pending, or the reading end is closed (POLLERR). Needs not be asked for.
    pub const ERROR: PollEvents = PollEvents(libc::POLLERR as u16);
    /// The other end has hung up (POLLHUP). Needs not be asked for.
    pub const HANGUP: PollEvents = PollEvents(libc::POLLHUP as u16);

    /// Whether all of `events` are among these.
    pub const fn contains(self, events: PollEvents) -> bool {
        self.0 & events.0 == events.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As the numbers of `<poll.h>`.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From the numbers of `<poll.h>`.
    pub const fn from_bits(bits: u16) -> PollEvents {
        PollEvents(bits)
    }
}

impl BitOr for PollEvents {
    type Output = PollEvents;

    fn bitor(self, other: PollEvents) -> PollEvents {
        PollEvents(self.0 | other.0)
    }
}
