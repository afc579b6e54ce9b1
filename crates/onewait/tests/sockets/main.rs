//! Sockets by completion, through the public face, on the driver that `ONEWAIT_DRIVER` asks for.

#[path = "../common/mod.rs"]
mod common;

mod accepts;
mod connects;
mod dispatcher;
mod embedded;
mod ends;
mod limits;
mod loans;
mod messages;
mod play;
mod receives;
mod sends;
mod setup;
mod waits;

use common::PATIENCE;
use onewait::Errno;
use onewait::reactor::{Reactor, ReactorBuilder, Ready};
use onewait::sockets::{Outgoing, Received, SocketCompletion, SocketId, SocketOutcome, Sockets};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

/// A reactor whose sockets are under test.
pub(crate) struct Loop {
    pub(crate) reactor: Reactor,
    events: [Ready; 4],
}

impl Loop {
    pub(crate) fn new() -> Loop {
        Loop::of(Reactor::builder())
    }

    pub(crate) fn of(builder: ReactorBuilder) -> Loop {
        Loop { reactor: builder.build().expect("a reactor can be made"), events: [Ready::default(); 4] }
    }

    pub(crate) fn sockets(&mut self) -> &mut Sockets {
        self.reactor.sockets().expect("sockets can be had")
    }

    /// One of ours, and the other end.
    pub(crate) fn pair(&mut self) -> (SocketId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        theirs.set_read_timeout(PATIENCE).unwrap();
        (self.sockets().attach(ours).expect("it is a socket"), theirs)
    }

    /// A listener of ours on loopback that accepts under this token, and its port.
    pub(crate) fn listener(&mut self) -> (SocketId, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (self.sockets().attach(listener).unwrap(), port)
    }

    /// The next completion.
    pub(crate) fn next(&mut self) -> SocketCompletion {
        loop {
            if let Some(done) = self.sockets().take() {
                return done;
            }
            self.await_news();
        }
    }

    /// Waits until there is something to be taken.
    pub(crate) fn await_news(&mut self) {
        let began = Instant::now();
        // A buffer that comes back ends a wait as a waker does.
        while self.reactor.wait(&mut self.events, PATIENCE).expect("a wait works").is_empty() {
            assert!(Some(began.elapsed()) < PATIENCE, "nothing completes");
        }
    }

    /// Whether another loop, which polls this one, finds it ready within so many milliseconds.
    pub(crate) fn is_readable(&self, timeout: i32) -> bool {
        let fd = self.reactor.descriptor().expect("it is embeddable").as_raw_fd();
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for the call.
        unsafe { libc::poll(&raw mut entry, 1, timeout) == 1 }
    }

    /// There is no completion within this time.
    pub(crate) fn is_quiet_for(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            if self.sockets().take().is_some() {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            self.reactor.wait(&mut self.events, Some(left)).expect("a wait works");
        }
    }

    pub(crate) fn is_quiet(&mut self) -> bool {
        self.is_quiet_for(Duration::from_millis(30))
    }

    /// The next completion is of such a receive.
    pub(crate) fn received(&mut self) -> (SocketId, Received) {
        let done = self.next();
        match done.outcome {
            SocketOutcome::Received(Ok(bytes)) => (done.socket, bytes),
            other => panic!("{other:?}"),
        }
    }

    /// The next completion is of a send that went well.
    pub(crate) fn sent(&mut self) -> (u64, Outgoing) {
        let done = self.next();
        match done.outcome {
            SocketOutcome::Sent(Ok(()), bytes) => (done.token, bytes),
            other => panic!("{other:?}"),
        }
    }

    /// The next completion is of a connection that came.
    pub(crate) fn accepted(&mut self) -> SocketId {
        match self.next().outcome {
            SocketOutcome::Accepted(Ok(socket)) => socket,
            other => panic!("{other:?}"),
        }
    }
}

/// How it failed.
pub(crate) fn error(done: &SocketCompletion) -> Option<Errno> {
    match &done.outcome {
        SocketOutcome::Accepted(result) => result.as_ref().err().copied(),
        SocketOutcome::Connected(result) => result.as_ref().err().copied(),
        SocketOutcome::Received(result) => result.as_ref().err().copied(),
        SocketOutcome::Sent(result, _) => result.as_ref().err().copied(),
    }
}

pub(crate) fn client(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("there is a listener");
    stream.set_read_timeout(PATIENCE).unwrap();
    stream
}

pub(crate) fn read(mut stream: impl Read, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("so much comes");
    bytes
}
