//! Blocking: a call returns when it has done its work, and until then its thread sleeps. Who serves many clients therefore
//! has many threads, one each, and the state of a conversation is simply where its thread stands.
//!
//! `cargo run --release -p onewait --example echo_blocking -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::net::{RecvFlags, SendFlags, SocketFlags, recv, send};
use shared::{BUFFER, Meter, accept};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::thread;

/// Bytes: enough for these few calls. A thread has 2 MiB otherwise, though only of addresses: memory is taken when touched.
const STACK: usize = 64 * 1024;

fn main() -> ExitCode {
    shared::main("blocking", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    let mut threads = Vec::new();
    for _ in 0..meter.connections() {
        // Sleeps until somebody comes.
        if let Some(socket) = accept(&listener, SocketFlags::empty(), meter)? {
            threads.push(thread::Builder::new().stack_size(STACK).spawn(move || echo(&socket, meter))?);
        }
    }
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread has panicked"))??;
    }
    Ok(())
}

/// One conversation, from its first byte to its end.
fn echo(socket: &OwnedFd, meter: &Meter) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        // Sleeps until there is something, and then takes what there is: a message may come in pieces.
        let (count, _) = meter.call(recv(socket, &mut buffer[..], RecvFlags::empty()))?;
        if count == 0 {
            meter.closed();
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            // Sleeps until all of it has found room; less is taken only if a signal comes.
            let sent = meter.call(send(socket, rest, SendFlags::NOSIGNAL))?;
            meter.echoed(sent);
            rest = &rest[sent..];
        }
    }
}
