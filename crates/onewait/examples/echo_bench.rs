//! The echo server that `benches/echo` measures: one thread, one reactor, one buffer for all connections.
//!
//!     cargo run --release -p onewait --example echo_bench -- [SPIN]
//!
//! SPIN: for how many microseconds it may look for events before it sleeps. It writes its port to its standard output, and
//! echoes until it is killed.

use onewait::reactor::{Fd, Interest, Reactor, Ready, Registry};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

const LISTENER: u64 = u64::MAX;
const BUFFER: usize = 65536;
const EVENTS: usize = 1024;
const READS: Interest = Interest::IN.union(Interest::RDHUP).union(Interest::EDGE);
const WRITES: Interest = Interest::OUT.union(Interest::EDGE);

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
    /// Sends what is left, then echoes what has come until a read is short: after that, more is another edge.
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
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let place = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        registry.add(&stream, READS, place as u64)?;
        let connection = Some(Connection { stream, rest: Vec::new() });
        if place == connections.len() {
            connections.push(connection);
        } else {
            connections[place] = connection;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spin = std::env::args().nth(1).map_or(Ok(0), |word| word.parse())?;
    let mut reactor = Reactor::builder().spin(Duration::from_micros(spin)).build()?;
    let registry = reactor.registry().clone();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    registry.add(&listener, Interest::IN | Interest::EDGE, LISTENER)?;
    let (mut events, mut buffer) = ([Ready::default(); EVENTS], vec![0; BUFFER]);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    loop {
        let ready = match reactor.wait(&mut events, None) {
            Err(errno) if io::Error::from(errno).kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        for event in ready {
            if event.token == LISTENER {
                take_connections(&listener, &registry, &mut connections)?;
                continue;
            }
            let place = event.token as usize;
            let Some(Some(connection)) = connections.get_mut(place) else { continue };
            let wrote = !connection.rest.is_empty();
            let interest = match connection.echo(&mut buffer) {
                After::WaitToRead if wrote => READS,
                After::WaitToWrite if !wrote => WRITES,
                After::WaitToRead | After::WaitToWrite => continue,
                After::Close => {
                    connections[place] = None;
                    continue;
                }
            };
            registry.modify(Fd(&connection.stream), interest, event.token)?;
        }
    }
}
