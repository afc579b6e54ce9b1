//! Asynchronous: a request says what is to be done, and its completion says that it *was* done. Nobody asks whether a socket
//! is ready: the receive is under way before there is something to receive.
//!
//! `cargo run --release -p onewait --example echo_asynchronous -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use onewait::reactor::{Reactor, Ready};
use onewait::sockets::{SocketCompletion, SocketOutcome, Sockets};
use onewait::{DriverKind, Errno};
use shared::Meter;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main("asynchronous", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let sockets = reactor.sockets()?;
    // Without io_uring, each request is a call or two that the program does not see.
    if sockets.driver() == DriverKind::Epoll {
        meter.makes_other_calls();
    }
    let listener = sockets.attach(listener)?;
    // One request for all connections that will come.
    sockets.accept(listener, 0)?;
    let mut events = [Ready::default(); 4];

    while !meter.is_over() {
        // One call hands over everything that was asked for since the last one, and waits until something is done.
        match meter.call(reactor.wait(&mut events, None)) {
            Err(Errno::INTR) => continue,
            result => _ = result?,
        }
        let sockets = reactor.sockets()?;
        while let Some(done) = sockets.take() {
            go_on(sockets, done, meter)?;
        }
    }
    Ok(())
}

/// What follows on something that was done.
fn go_on(sockets: &mut Sockets, done: SocketCompletion, meter: &Meter) -> io::Result<()> {
    match done.outcome {
        SocketOutcome::Accepted(socket) => {
            // One request for all that will come. No memory is given away with it: who is silent costs no buffer.
            sockets.receive(socket?, 0)?;
            meter.accepted();
        }
        SocketOutcome::Received(bytes) => match bytes? {
            // The client has hung up.
            end if end.is_empty() => {
                meter.call(sockets.close(done.socket))?;
                meter.closed();
            }
            // They go back in the buffer in which they came.
            bytes => sockets.send(done.socket, bytes, 0)?,
        },
        SocketOutcome::Sent(result, bytes) => {
            result?;
            meter.echoed(bytes.len());
        }
        SocketOutcome::Connected(result) => result?,
    }
    Ok(())
}
