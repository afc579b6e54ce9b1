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

/// A receive that got so many bytes may not have emptied the socket, and a send of so many may have had to wait for room.
const LONG: usize = 4096;

fn main() -> ExitCode {
    shared::main("asynchronous", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    let sockets = reactor.sockets()?;
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
            bytes => {
                if sockets.driver() == DriverKind::Epoll {
                    count_plain_calls(bytes.len(), meter);
                }
                // They go back in the buffer in which they came.
                sockets.send(done.socket, bytes, 0)?;
            }
        },
        SocketOutcome::Sent(result, bytes) => {
            result?;
            meter.echoed(bytes.len());
        }
        SocketOutcome::Connected(result) => result?,
    }
    Ok(())
}

/// Without io_uring, the receive was a system call of its own, and the send is one. The program does not see those: of long
/// messages there may be more.
fn count_plain_calls(length: usize, meter: &Meter) {
    if length < LONG {
        meter.call(());
        meter.call(());
    } else {
        meter.makes_other_calls();
    }
}
