//! Asynchronous: a request says what is to be done, with the memory that it takes, and its completion says that it *was* done.
//! Nobody asks whether a socket is ready: the read is under way before there is something to read.
//!
//! `cargo run --release -p onewait --example echo_asynchronous -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use onewait::{Aio, Buffer, Completion, Descriptor, PollEvents, Request};
use rustix::net::SocketFlags;
use shared::{BUFFER, Meter, accept};
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

/// The token of the listener's request. Those of connections are their places in the array.
const LISTENER: u64 = u64::MAX;

fn main() -> ExitCode {
    shared::main("asynchronous", serve)
}

struct Connection {
    socket: Descriptor,
    /// How much of the buffer was sent back. `None` while it is being read into.
    sent: Option<usize>,
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = Descriptor::from(listener);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let queue = Aio::new()?.queue();
    // The engine's, that is.
    meter.makes_other_calls();
    let wait_for_clients = || Request::poll(&listener, PollEvents::READABLE).token(LISTENER);
    let mut requests = vec![wait_for_clients()];
    let mut completions = Vec::new();

    while !meter.is_over() {
        // As one batch: fewer system calls than requests.
        queue.submit_all(requests.drain(..))?;
        queue.wait(&mut completions, None);
        for done in completions.drain(..) {
            if done.token != LISTENER {
                requests.extend(go_on(&mut connections, done, meter)?);
                continue;
            }
            // Accepting is no request; waiting until there is somebody is one.
            done.result?;
            // Not in O_NONBLOCK mode, in which a request would end with EAGAIN instead of waiting.
            while let Some(socket) = accept(&listener, SocketFlags::empty(), meter)? {
                let connection = Connection { socket: socket.into(), sent: None };
                // Memory that is given away before there is anything to put into it: each idle client costs a buffer.
                requests.push(read(&connection, Buffer::with_capacity(BUFFER), connections.len()));
                connections.push(Some(connection));
            }
            requests.push(wait_for_clients());
        }
    }
    Ok(())
}

fn read(connection: &Connection, buffer: Buffer, index: usize) -> Request {
    Request::read(&connection.socket, buffer, 0).token(index as u64)
}

/// What follows on the end of a connection's request: reads and writes take turns, with one buffer that goes to and fro.
fn go_on(connections: &mut [Option<Connection>], done: Completion, meter: &Meter) -> io::Result<Option<Request>> {
    let Completion { token, result, buffer, .. } = done;
    let index = token as usize;
    let Some(connection) = &mut connections[index] else { return Ok(None) };
    let sent = match (result?, connection.sent) {
        (0, None) => {
            // The client has hung up. The last clone of the socket closes it.
            connections[index] = None;
            meter.closed();
            return Ok(None);
        }
        (_, None) => 0,
        (count, Some(before)) => {
            meter.echoed(count);
            before + count
        }
    };
    if sent < buffer.len() {
        connection.sent = Some(sent);
        Ok(Some(Request::write(&connection.socket, buffer, 0).skip(sent).token(token)))
    } else {
        connection.sent = None;
        Ok(Some(read(connection, buffer, index)))
    }
}
