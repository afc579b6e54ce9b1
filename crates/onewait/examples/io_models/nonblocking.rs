//! Non-blocking: a call that would have to wait says so (EAGAIN) and returns. One thread can look after everybody, by asking
//! each of them, over and over: polling in the old sense of the word.
//!
//! `cargo run --release -p onewait --example echo_nonblocking -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Meter, Next, accept};
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main("non-blocking", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = Vec::new();
    // It never sleeps: this loop uses up its processor also when nobody says anything.
    while !meter.is_over() {
        while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
            connections.push(Connection::new(socket));
        }
        let mut index = 0;
        while index < connections.len() {
            // Mostly Next::Empty, for the price of a system call.
            if connections[index].turn(&mut buffer, meter)? == Next::Closed {
                // Dropped, which closes it; the last one takes its place, and is asked next.
                connections.swap_remove(index);
                meter.closed();
            } else {
                index += 1;
            }
        }
    }
    Ok(())
}
