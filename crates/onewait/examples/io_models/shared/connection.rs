//! A connection of a server that never waits in a read or a write, but is told when these are worth trying.

use super::Meter;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The next client. `None` if there is none and the listener does not block.
///
/// # Errors
/// Those of `accept4(2)`. A server for strangers would go on after some of them: EMFILE, ECONNABORTED.
pub(crate) fn accept(listener: impl AsFd, flags: SocketFlags, meter: &Meter) -> io::Result<Option<OwnedFd>> {
    match meter.call(accept_with(listener, flags | SocketFlags::CLOEXEC)) {
        Ok(socket) => {
            meter.accepted();
            Ok(Some(socket))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a connection waits for after a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// For nothing: there may be more to read.
    Again,
    /// For bytes. The last read has taken all that were there: it got fewer than it had asked for.
    Drained,
    /// For bytes. There was nothing to read (EAGAIN).
    Empty,
    /// For room to send what is left.
    Room,
    /// The client has hung up.
    Closed,
}

pub(crate) struct Connection {
    socket: OwnedFd,
    /// What was read and could not be sent yet. While there is something, nothing else is read: a client that does not
    /// take its echoes gets to feel it, and not the memory of the server.
    unsent: Vec<u8>,
}

impl Connection {
    /// Of a socket in O_NONBLOCK mode.
    pub(crate) fn new(socket: OwnedFd) -> Connection {
        Connection { socket, unsent: Vec::new() }
    }

    /// Whether it waits for room to send, and not for bytes.
    pub(crate) fn needs_room(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// One read, and one write of what it got; or one write of what was left. The buffer is the same for all
    /// connections: between turns there is nothing in it.
    pub(crate) fn turn(&mut self, buffer: &mut [u8], meter: &Meter) -> io::Result<Next> {
        if self.needs_room() {
            let count = send_some(&self.socket, &self.unsent, meter)?;
            self.unsent.drain(..count);
            return Ok(if self.needs_room() { Next::Room } else { Next::Again });
        }
        let count = match meter.call(recv(&self.socket, &mut *buffer, RecvFlags::empty())) {
            Ok((0, _)) => return Ok(Next::Closed),
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => return Ok(Next::Empty),
            Err(error) => return Err(error.into()),
        };
        let sent = send_some(&self.socket, &buffer[..count], meter)?;
        self.unsent.extend_from_slice(&buffer[sent..count]);
        Ok(match count {
            _ if self.needs_room() => Next::Room,
            _ if count == buffer.len() => Next::Again,
            _ => Next::Drained,
        })
    }

    /// Turns until there is nothing left to do, for servers that are told of changes only. A read that gets less than it
    /// asked for has emptied the socket, which saves the read that says so; but if the client's hanging up may have been
    /// told already, it is `to_the_end` that finds it.
    pub(crate) fn turns(&mut self, to_the_end: bool, buffer: &mut [u8], meter: &Meter) -> io::Result<Next> {
        loop {
            match self.turn(buffer, meter)? {
                Next::Again => {}
                Next::Drained if to_the_end => {}
                next => return Ok(next),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends as much as there is room for.
fn send_some(socket: &OwnedFd, bytes: &[u8], meter: &Meter) -> io::Result<usize> {
    // NOSIGNAL: a client that has gone is an error here, and not a SIGPIPE for the whole server.
    match meter.call(send(socket, bytes, SendFlags::NOSIGNAL)) {
        Ok(count) => {
            meter.echoed(count);
            Ok(count)
        }
        Err(Errno::AGAIN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Connections by the number of their descriptor. The kernel gives the lowest one that is free, so a plain array is full.
#[derive(Default)]
pub(crate) struct Connections(Vec<Option<Connection>>);

impl Connections {
    pub(crate) fn insert(&mut self, connection: Connection) -> &mut Connection {
        let number = connection.socket.as_raw_fd() as usize;
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        self.0[number].insert(connection)
    }

    pub(crate) fn get(&mut self, fd: RawFd) -> Option<&mut Connection> {
        self.0.get_mut(fd as usize)?.as_mut()
    }

    pub(crate) fn close(&mut self, fd: RawFd, meter: &Meter) {
        if self.0.get_mut(fd as usize).and_then(Option::take).is_some() {
            meter.closed();
        }
    }

    /// The descriptors of all.
    pub(crate) fn all(&self) -> Vec<RawFd> {
        self.0.iter().flatten().map(|connection| connection.socket.as_raw_fd()).collect()
    }
}
