//! An echo server on mio. Writes its port to its standard output, and echoes until it is killed.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;

const LISTENER: Token = Token(usize::MAX - 1);
const BUFFER: usize = 65536;
const EVENTS: usize = 1024;

struct Connection {
    stream: TcpStream,
    /// What the socket did not take. Nothing is read before it is gone.
    rest: Vec<u8>,
}

enum After {
    WaitToRead,
    WaitToWrite,
    Close,
}

impl Connection {
    /// Sends what is left, then echoes what has come until a read is short.
    fn echo(&mut self, buffer: &mut [u8]) -> After {
        if !self.rest.is_empty() {
            match sent(self.stream.write(&self.rest)) {
                Some(count) => drop(self.rest.drain(..count)),
                None => return After::Close,
            }
            if !self.rest.is_empty() {
                return After::WaitToWrite;
            }
        }
        loop {
            let got = match self.stream.read(buffer) {
                Ok(0) => return After::Close,
                Ok(got) => got,
                Err(error) if is_for_now(&error) => return After::WaitToRead,
                Err(_) => return After::Close,
            };
            match sent(self.stream.write(&buffer[..got])) {
                Some(count) if count == got => {}
                Some(count) => {
                    self.rest.extend_from_slice(&buffer[count..got]);
                    return After::WaitToWrite;
                }
                None => return After::Close,
            }
            if got < buffer.len() {
                return After::WaitToRead;
            }
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn sent(result: io::Result<usize>) -> Option<usize> {
    match result {
        Ok(count) => Some(count),
        Err(error) if is_for_now(&error) => Some(0),
        Err(_) => None,
    }
}

fn take_connections(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let place = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        registry.register(&mut stream, Token(place), Interest::READABLE)?;
        let connection = Some(Connection { stream, rest: Vec::new() });
        if place == connections.len() {
            connections.push(connection);
        } else {
            connections[place] = connection;
        }
    }
}

fn main() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{}", listener.local_addr()?.port());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut buffer) = (Events::with_capacity(EVENTS), vec![0; BUFFER]);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                take_connections(&listener, poll.registry(), &mut connections)?;
                continue;
            }
            let Some(Some(connection)) = connections.get_mut(token.0) else { continue };
            let wrote = !connection.rest.is_empty();
            let interest = match connection.echo(&mut buffer) {
                After::WaitToRead if wrote => Interest::READABLE,
                After::WaitToWrite if !wrote => Interest::WRITABLE,
                After::WaitToRead | After::WaitToWrite => continue,
                After::Close => {
                    connections[token.0] = None;
                    continue;
                }
            };
            poll.registry().reregister(&mut connection.stream, token, interest)?;
        }
    }
}
