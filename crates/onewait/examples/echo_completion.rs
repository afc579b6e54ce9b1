//! The echo server that `benches/echo` measures, with sockets by completion: one thread, one reactor, on either driver.
//!
//!     cargo run --release -p onewait --example echo_completion
//!     ONEWAIT_DRIVER=epoll cargo run --release -p onewait --example echo_completion
//!
//! What was received is sent back in the buffer that it came in. It writes its port to its standard output, and echoes until
//! it is killed. An argument says for how many microseconds it may look for events before it sleeps.

use onewait::Errno;
use onewait::reactor::{Reactor, Ready};
use onewait::sockets::{SocketCompletion, SocketOutcome, Sockets};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spin = std::env::args().nth(1).map_or(Ok(0), |word| word.parse())?;
    let mut reactor = Reactor::builder().spin(Duration::from_micros(spin)).build()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let listener = reactor.sockets()?.attach(listener)?;
    reactor.sockets()?.accept(listener, 0)?;
    let mut events = [Ready::default(); 8];
    loop {
        match reactor.wait(&mut events, None) {
            Err(errno) if io::Error::from(errno).kind() == ErrorKind::Interrupted => continue,
            result => _ = result?,
        }
        let sockets = reactor.sockets()?;
        while let Some(done) = sockets.take() {
            serve(sockets, done)?;
        }
    }
}

fn serve(sockets: &mut Sockets, done: SocketCompletion) -> io::Result<()> {
    let socket = done.socket;
    match done.outcome {
        SocketOutcome::Accepted(connection) => {
            let connection = connection?;
            if let Some(descriptor) = sockets.descriptor(connection) {
                TcpStream::from(descriptor.as_fd().try_clone_to_owned()?).set_nodelay(true)?;
            }
            sockets.receive(connection, 0)?;
        }
        SocketOutcome::Received(Ok(bytes)) if !bytes.is_empty() => sockets.send(socket, bytes, 0)?,
        SocketOutcome::Received(_) | SocketOutcome::Sent(Err(_), _) => match sockets.close(socket) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(errno) => return Err(errno.into()),
        },
        SocketOutcome::Sent(Ok(()), _) | SocketOutcome::Connected(_) => {}
    }
    Ok(())
}
