//! Multiplexed by epoll, edge-triggered: a wait reports what has *become* ready since it was last reported. So everything
//! can be asked for once and for all, and whoever leaves bytes behind may never hear of them again.
//!
//! `cargo run --release -p onewait --example echo_epoll_edge -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Connections, Meter, Next, accept};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

/// How many events a wait takes.
const EVENTS: usize = 256;
/// All that can become of a connection. Never changed: no system call when it begins to wait for room, or ends.
const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
/// The client sends no more. Told once, so what it had sent has to be read to the end now.
const HUNG_UP: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

fn main() -> ExitCode {
    shared::main("epoll-edge", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    // Not only a matter of style here: reads go on until there is nothing, and the last one must not sleep.
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = Connections::default();
    let mut events = Vec::with_capacity(EVENTS);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    meter.call(epoll::add(&epoll, &listener, EventData::new_u64(listener.as_raw_fd() as u64), INTEREST))?;

    while !meter.is_over() {
        rustix::io::retry_on_intr(|| meter.call(epoll::wait(&epoll, spare_capacity(&mut events), None)))?;
        for event in events.drain(..) {
            let fd = event.data.u64() as RawFd;
            if fd == listener.as_raw_fd() {
                // All of them: several may have come at one edge.
                while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
                    // What has come before this is reported, too: adding looks at the present state.
                    meter.call(epoll::add(&epoll, &socket, EventData::new_u64(socket.as_raw_fd() as u64), INTEREST))?;
                    connections.insert(Connection::new(socket));
                }
                continue;
            }
            let Some(connection) = connections.get(fd) else { continue };
            let flags = event.flags;
            if connection.turns(flags.intersects(HUNG_UP), &mut buffer, meter)? == Next::Closed {
                // Nothing else refers to the socket, so closing it takes it out of the epoll, too.
                connections.close(fd, meter);
            }
        }
    }
    Ok(())
}
