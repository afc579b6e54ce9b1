//! Multiplexed by epoll, level-triggered: the kernel keeps the list of what is watched, and notes who becomes ready, so a
//! wait costs by what is ready and not by what is watched. As poll does, it reports what *is* ready, each time.
//!
//! `cargo run --release -p onewait --example echo_epoll_level -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Connections, Meter, Next, accept};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

/// How many events a wait takes. Those that did not fit are reported first by the next.
const EVENTS: usize = 256;

fn main() -> ExitCode {
    shared::main("epoll-level", serve)
}

/// What comes back with an event: the descriptor.
fn data(fd: RawFd) -> EventData {
    EventData::new_u64(fd as u64)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = Connections::default();
    let mut events = Vec::with_capacity(EVENTS);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    meter.call(epoll::add(&epoll, &listener, data(listener.as_raw_fd()), EventFlags::IN))?;

    while !meter.is_over() {
        rustix::io::retry_on_intr(|| meter.call(epoll::wait(&epoll, spare_capacity(&mut events), None)))?;
        for event in events.drain(..) {
            let fd = event.data.u64() as RawFd;
            if fd == listener.as_raw_fd() {
                while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
                    meter.call(epoll::add(&epoll, &socket, data(socket.as_raw_fd()), EventFlags::IN))?;
                    connections.insert(Connection::new(socket));
                }
                continue;
            }
            let Some(connection) = connections.get(fd) else { continue };
            let needed_room = connection.needs_room();
            match connection.turn(&mut buffer, meter)? {
                // Nothing else refers to the socket, so closing it takes it out of the epoll, too.
                Next::Closed => connections.close(fd, meter),
                // A socket has room nearly always: asked for unneeded, it would be reported for that in every wait.
                Next::Room if !needed_room => {
                    meter.call(epoll::modify(&epoll, &*connection, data(fd), EventFlags::OUT))?;
                }
                Next::Again | Next::Drained | Next::Empty if needed_room => {
                    meter.call(epoll::modify(&epoll, &*connection, data(fd), EventFlags::IN))?;
                }
                // If there is more, the next wait says so again.
                Next::Again | Next::Drained | Next::Empty | Next::Room => {}
            }
        }
    }
    Ok(())
}
