//! Multiplexed by onewait's reactor: descriptors sit in an epoll of the kernel's with the flags that they were given, here
//! edges; and the same wait reports timers, completions of requests, signals, and channels of other threads.
//!
//! `cargo run --release -p onewait --example echo_reactor -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use onewait::Errno;
use onewait::reactor::{Events, Interest, Reactor, Ready};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Connections, Meter, Next, accept};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

/// How many events a wait takes.
const EVENTS: usize = 256;
/// All that can become of a connection, once and for all.
const INTEREST: Interest = Interest::IN.union(Interest::OUT).union(Interest::RDHUP).union(Interest::EDGE);
/// The client sends no more. Told once, so what it had sent has to be read to the end now.
const HUNG_UP: Events = Events::RDHUP.union(Events::HUP).union(Events::ERR);

fn main() -> ExitCode {
    shared::main("reactor", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = Connections::default();
    let mut events = [Ready::default(); EVENTS];
    let mut reactor = Reactor::new()?;
    // The token is the descriptor. With nothing but descriptors each of these is one system call, and so is each wait.
    meter.call(reactor.registry().add(&listener, INTEREST, listener.as_raw_fd() as u64))?;

    while !meter.is_over() {
        let ready = match meter.call(reactor.wait(&mut events, None)) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        for Ready { token, events } in ready {
            let fd = *token as RawFd;
            if fd == listener.as_raw_fd() {
                // All of them: several may have come at one edge.
                while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
                    let token = socket.as_raw_fd() as u64;
                    // What has come before this is reported, too: adding looks at the present state.
                    meter.call(reactor.registry().add(&socket, INTEREST, token))?;
                    connections.insert(Connection::new(socket));
                }
                continue;
            }
            let Some(connection) = connections.get(fd) else { continue };
            if connection.turns(events.intersects(HUNG_UP), &mut buffer, meter)? == Next::Closed {
                // Nothing else refers to the socket, so closing it takes it out of the reactor, too.
                connections.close(fd, meter);
            }
        }
    }
    Ok(())
}
