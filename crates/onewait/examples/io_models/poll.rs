//! Multiplexed by poll: as select, with an array of descriptors in place of bit maps. There is no limit on their numbers, and
//! the answer has a field of its own; but the kernel still looks at each descriptor in each call.
//!
//! `cargo run --release -p onewait --example echo_poll -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Meter, Next, accept};
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main("poll", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections: Vec<Connection> = Vec::new();
    // Which of the connections are ready, the last one first.
    let mut ready: Vec<usize> = Vec::new();

    while !meter.is_over() {
        // In C the array would be kept from turn to turn. Here its entries borrow the sockets, so that none can be closed
        // while it is waited for, and it is made anew. The kernel reads and writes all of it in any case.
        let mut entries = Vec::with_capacity(connections.len() + 1);
        entries.extend(connections.iter().map(|connection| {
            let wanted = if connection.needs_room() { PollFlags::OUT } else { PollFlags::IN };
            PollFd::new(connection, wanted)
        }));
        entries.push(PollFd::new(&listener, PollFlags::IN));
        rustix::io::retry_on_intr(|| meter.call(poll(&mut entries, None)))?;
        // Errors and hang-ups come unasked, and the read tells what they are: so any answer counts.
        let is_ready = |entry: &PollFd| !entry.revents().is_empty();
        let somebody_new = entries.pop().is_some_and(|entry| is_ready(&entry));
        ready.extend((0..entries.len()).rev().filter(|index| is_ready(&entries[*index])));

        for index in ready.drain(..) {
            // If there is more, the next poll says so again.
            if connections[index].turn(&mut buffer, meter)? == Next::Closed {
                // The last one takes its place: it was looked at before.
                connections.swap_remove(index);
                meter.closed();
            }
        }
        if somebody_new {
            while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
                connections.push(Connection::new(socket));
            }
        }
    }
    Ok(())
}
